"""The public face: what is exported, and that the blocking client is the async one's twin."""

from __future__ import annotations

import inspect
import pydoc
import re
import typing
from importlib import import_module
from typing import Any

import pytest

import plivo_endpoints
from plivo_endpoints import AsyncClient, Client, PlivoError

CLIENTS = {
    "__version__",
    "AsyncClient",
    "AsyncPaginator",
    "Client",
    "Pace",
    "Paginator",
    "PostgresRateLimit",
    "Priority",
    "RateLimit",
    "RateLimitStore",
    "Reservation",
    "SharedRateLimit",
}
MODELS = {"Acknowledgement", "CreatedEndpoint", "Endpoint", "Page", "PageMeta", "Token", "TokenClaims"}
RESOURCE_CLASSES = {"AsyncEndpoints", "AsyncTokens", "Endpoints", "Tokens"}
EVENTS = {
    "AttemptFinished",
    "AttemptStarted",
    "CallFinished",
    "CallStarted",
    "Event",
    "RunFinished",
    "RunPhaseStarted",
    "RunStarted",
}
ERRORS = {
    "APIError",
    "AmbiguousOutcomeError",
    "AuthenticationError",
    "BadRequestError",
    "ClientStateError",
    "ConflictError",
    "ConnectError",
    "ForbiddenError",
    "InvalidArgumentError",
    "ListChangedWarning",
    "NotFoundError",
    "NotRegisteredError",
    "OutcomeUnknownError",
    "PlivoError",
    "RateLimitedError",
    "RequestTimeoutError",
    "RateLimitStoreError",
    "ResponseDecodeError",
    "ServerError",
    "TransportError",
}
RESOURCES = ("endpoints", "tokens")
ACCOUNT = ("MA000000000000000000", "token")


def public(thing: object) -> set[str]:
    """Return the names that do not begin with an underscore."""
    return {name for name in dir(thing) if not name.startswith("_")}


def methods() -> list[tuple[str, str]]:
    """Return resource and name of every public async method."""
    client = AsyncClient(*ACCOUNT)
    return [(resource, name) for resource in RESOURCES for name in sorted(public(getattr(client, resource)))]


def test_what_is_exported() -> None:
    """Each name is meant; each is there; the error tree is complete."""
    assert CLIENTS | MODELS | RESOURCE_CLASSES | EVENTS | ERRORS == set(plivo_endpoints.__all__)
    assert set(plivo_endpoints.__all__) - set(dir(plivo_endpoints)) == set()
    tree = {PlivoError}
    while more := {child for parent in tree for child in parent.__subclasses__()} - tree:
        tree |= more
    named = {
        each.__name__
        for each in tree
        if each.__module__ == PlivoError.__module__ and each.__name__ != "CallError"
    }
    assert ERRORS - {"ListChangedWarning"} == named


@pytest.mark.parametrize(
    "name", ["plivo_endpoints", "plivo_endpoints.provisioning", "plivo_endpoints.sandbox"]
)
def test_everything_public_is_documented(name: str) -> None:
    """Every exported class, and every public method of it, has a docstring."""
    module = import_module(name)
    bare = [
        f"{exported}.{member}"
        for exported in module.__all__
        if inspect.isclass(thing := getattr(module, exported))
        for member in ("__doc__", *vars(thing))
        if not member.startswith("_") or member == "__doc__"
        if (callable(found := getattr(thing, member)) or member == "__doc__")
        if not (found if member == "__doc__" else inspect.getdoc(found))
    ]
    assert [] == bare


def test_the_clients_have_the_same_names() -> None:
    """Resources, `close` and `with_options`; and below the resources, every method."""
    blocking, asynchronous = Client(*ACCOUNT), AsyncClient(*ACCOUNT)
    assert public(blocking) == public(asynchronous) - {"aclose"}  # for which blocking programs have no use
    assert AsyncClient.aclose is AsyncClient.close
    for resource in RESOURCES:
        wanted = public(getattr(asynchronous, resource))
        assert wanted == public(getattr(blocking, resource))


@pytest.mark.parametrize(("resource", "name"), methods())
def test_twins(resource: str, name: str) -> None:
    """Same parameters, same result, same docstring."""
    asynchronous = getattr(getattr(AsyncClient(*ACCOUNT), resource), name)
    blocking = getattr(getattr(Client(*ACCOUNT), resource), name)
    assert parameters(asynchronous) == parameters(blocking)
    assert asynchronous.__doc__
    assert asynchronous.__doc__ == blocking.__doc__
    assert inspect.iscoroutinefunction(blocking) is False
    if inspect.iscoroutinefunction(asynchronous):
        assert (
            inspect.signature(asynchronous).return_annotation == inspect.signature(blocking).return_annotation
        )


def parameters(method: Any) -> list[inspect.Parameter]:
    """Return a bound method's parameters, with kinds, defaults and annotations."""
    return list(inspect.signature(method).parameters.values())


@pytest.mark.parametrize("name", ["with_options", "close"])
def test_the_clients_own_methods(name: str) -> None:
    """They take the same, and so do the clients, but for a session of aiohttp's and a loop to run."""
    assert parameters(getattr(Client(*ACCOUNT), name)) == parameters(getattr(AsyncClient(*ACCOUNT), name))
    wanted = [each for each in parameters(AsyncClient) if each.name != "session"]
    assert wanted == [each for each in parameters(Client) if each.name != "loop_factory"]


def test_help_reads_well() -> None:
    """`help(client.endpoints.create)` shows the signature and what the method says."""
    text = pydoc.plain(pydoc.render_doc(Client(*ACCOUNT).endpoints.create))
    # Python 3.13 gives each parameter a line of its own.
    signature = re.sub(r"\s|,(?=\s*\))", "", text.partition("->")[0])
    assert signature.endswith("create(*,username:'str',password:'str',alias:'str',app_id:'str|None'=None)")
    assert "Create an endpoint; the request is sent again only if" in text
    assert "OutcomeUnknownError" in text


def test_hints_resolve() -> None:
    """Tools that read annotations at run time find the models' types."""
    assert typing.get_type_hints(plivo_endpoints.Endpoint)["sip_registered"] == bool | None
