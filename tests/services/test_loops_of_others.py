"""Programs whose event loop belongs to somebody else: notebooks and the standard library's test cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services.service import skip_without

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox import Sandbox
    from tests.services.service import Service

pytestmark = pytest.mark.slow


def test_a_notebook(launch: Callable[..., Service], threaded_sandbox: Sandbox) -> None:
    """`await` stands at its top level, and the blocking client works in its running loop."""
    skip_without("nbclient", "ipykernel")
    run = launch("execute_notebook")
    assert (run.wait(), run.complaints()) == (0, []), run.output
    first, _ = threaded_sandbox.endpoints
    # On a busy machine the kernel may remark, at its end, that who started it has gone.
    said = [line for line in run.output.splitlines() if not line.startswith("[IPKernelApp]")]
    assert [repr(first), repr(first), "2"] == said
    assert {"async": 1, "blocking": 1} == threaded_sandbox.applied_creates


def test_isolated_asyncio_test_cases(launch: Callable[..., Service], threaded_sandbox: Sandbox) -> None:
    """A client of each test and one of the whole class: the tests pass, and none is complained about."""
    run = launch("unittest", "isolated_cases", PYTHONDEVMODE="1", PYTHONWARNINGS="error")
    assert (run.wait(), run.complaints()) == (0, []), run.output
    assert dict.fromkeys(("first", "second", "third", "fourth"), 1) == threaded_sandbox.applied_creates
