"""What tools that read the source, or the classes alone, see of the resources."""

from __future__ import annotations

import inspect
import pydoc
from unittest.mock import create_autospec

import pytest

from plivo_endpoints import AsyncClient, AsyncEndpoints, AsyncTokens, Client, Endpoint, Endpoints, Tokens

PAIRS = [(AsyncEndpoints, Endpoints), (AsyncTokens, Tokens)]
METHODS = [
    (asynchronous, blocking, name)
    for asynchronous, blocking in PAIRS
    for name in vars(asynchronous)
    if not name.startswith("_")
]


@pytest.mark.slow
@pytest.mark.parametrize(("asynchronous", "blocking", "name"), METHODS)
def test_griffe_reads_the_blocking_methods(asynchronous: type, blocking: type, name: str) -> None:
    """Signature and docstring of the async method, without running anything."""
    griffe = pytest.importorskip("griffe")
    module = griffe.load(blocking.__module__, allow_inspection=False)
    ours, theirs = module[asynchronous.__name__][name], module[blocking.__name__][name]
    assert ours.is_function
    assert theirs.is_function
    assert [(each.name, str(each.annotation), each.kind, each.default) for each in ours.parameters][1:] == [
        (each.name, str(each.annotation), each.kind, each.default) for each in theirs.parameters
    ][1:]
    assert str(ours.returns).removeprefix("Async") == str(theirs.returns)
    assert ours.docstring.value == theirs.docstring.value


@pytest.mark.slow
def test_jedi_completes_a_blocking_call() -> None:
    """It knows the parameters of a call, and the type of its result."""
    jedi = pytest.importorskip("jedi")
    source = 'from plivo_endpoints import Client\nendpoint = Client().endpoints.get("1")\nendpoint'
    (signature,) = jedi.Script(source).get_signatures(2, len("endpoint = Client().endpoints.get("))
    assert ["endpoint_id"] == [parameter.name for parameter in signature.params]
    assert [Endpoint.__name__] == [found.name for found in jedi.Script(source).infer(3, 2)]


@pytest.mark.parametrize("client", [AsyncClient, Client])
def test_help_on_the_class(client: type[AsyncClient | Client]) -> None:
    """`help(Client.endpoints)` describes the operations."""
    text = pydoc.plain(pydoc.render_doc(client.endpoints))
    assert "create(" in text
    assert "OutcomeUnknownError" in text


async def test_autospec() -> None:
    """A mock has the resources, with their signatures."""
    mock = create_autospec(Client, instance=True)
    mock.endpoints.get("1")
    with pytest.raises(TypeError):
        mock.endpoints.create("alice")
    asynchronous = create_autospec(AsyncClient, instance=True)
    await asynchronous.endpoints.get("1")
    assert inspect.iscoroutinefunction(asynchronous.tokens.create)
