"""Facts about programs on the pages of the documentation, beyond that they run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp.test_utils import TestClient, TestServer

from plivo_endpoints import AsyncClient
from plivo_endpoints.sandbox import Fault
from tests.docs.pages import DOCS, Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox import Sandbox

    PointTo = Callable[[Sandbox], None]

GUIDES: Final = DOCS / "guides"
VISITOR: Final = {"X-Remote-User": "alice"}


def run(page: str, *, having: str) -> dict[str, Any]:
    """Run the only program of a guide that contains a text, and return its names."""
    blocks = Page.read(GUIDES / f"{page}.md").blocks
    (code,) = [block.code for block in blocks if block.language == "python" and having in block.code]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, f"{page}.md", "exec"), names)  # noqa: S102 - the point
    return names


def test_a_lost_create(
    threaded_sandbox: Sandbox, point_to: PointTo, capsys: pytest.CaptureFixture[str]
) -> None:
    """The endpoint is found, and was created once."""
    point_to(threaded_sandbox)
    threaded_sandbox.inject(Fault(applied=True, status=502), method="POST")
    run("unknown-outcomes", having="OutcomeUnknownError")
    assert "\n".join(threaded_sandbox.endpoints) + "\n" == capsys.readouterr().out
    assert {"alice": 1} == threaded_sandbox.applied_creates


def test_a_page_as_json(
    threaded_sandbox: Sandbox, point_to: PointTo, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document has the endpoints and the total."""
    point_to(threaded_sandbox)
    threaded_sandbox.seed(1)
    run("client", having="json.dumps")
    page = json.loads(capsys.readouterr().out)
    assert list(threaded_sandbox.endpoints) == [endpoint["endpoint_id"] for endpoint in page["objects"]]
    assert 1 == page["meta"]["total_count"]


def test_events(threaded_sandbox: Sandbox, point_to: PointTo, capsys: pytest.CaptureFixture[str]) -> None:
    """The hook prints a line for each call."""
    point_to(threaded_sandbox)
    run("observability", having="on_event=count")
    assert "endpoints.list: done after 1, " in capsys.readouterr().out


def test_cached_tokens(threaded_sandbox: Sandbox, point_to: PointTo) -> None:
    """Each of the two names costs one request, however many ask."""
    point_to(threaded_sandbox)
    run("token-service", having="asyncio.gather")
    assert 2 == len(threaded_sandbox.requests)


async def test_the_token_endpoint(sandbox: Sandbox, point_to: PointTo) -> None:
    """On aiohttp, it gives a token to who is logged in, and to nobody else."""
    point_to(sandbox)
    names = run("token-service", having="web.Application()")
    async with TestClient(TestServer(names["app"])) as browser:
        answer = await browser.post("/token", headers=VISITOR)
        assert (200, {"jwt", "expires_at"}) == (answer.status, set(await answer.json()))
        assert ["alice260131120000"] == [claims["sub"] for claims in sandbox.tokens]
        assert 401 == (await browser.post("/token")).status


@pytest.mark.slow
def test_the_token_endpoint_in_fastapi(threaded_sandbox: Sandbox, point_to: PointTo) -> None:
    """As a route, it does the same."""
    testclient = pytest.importorskip("fastapi.testclient", reason="FASTAPI IS NOT INSTALLED")
    point_to(threaded_sandbox)
    names = run("token-service", having="FastAPI(")
    with testclient.TestClient(names["app"]) as browser:
        answer = browser.post("/token", headers=VISITOR)
        assert (200, {"jwt", "expires_at"}) == (answer.status_code, set(answer.json()))
        assert 401 == browser.post("/token").status_code


async def test_a_store_of_your_own(sandbox: Sandbox) -> None:
    """A client can use the one on the page about quotas."""
    store = run("one-quota", having="class StoreOfMine")["StoreOfMine"]()
    account = (sandbox.auth_id, sandbox.auth_token)
    async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=store) as client:
        await client.endpoints.list_page()
    (pace,) = store.paces.values()
    assert pace.next_place > 0
