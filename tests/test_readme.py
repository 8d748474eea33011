"""The README keeps to its form, and what it shows runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from plivo_endpoints import AsyncClient
from plivo_endpoints.sandbox import Fault, Sandbox

DOCS = Path(__file__).parent.parent / "docs"
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def snippets(text: str) -> list[str]:
    """Return the Python code in a Markdown text."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


SNIPPETS = snippets(README)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_run(
    snippet: str,
    threaded_sandbox: Sandbox,
    point_to: Callable[[Sandbox], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each runs as it stands, with the environment pointing to a sandbox."""
    point_to(threaded_sandbox)
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102 - the point
    assert bool(capsys.readouterr().out) == ("print(" in snippet)


def test_the_worked_example_of_a_lost_create(
    threaded_sandbox: Sandbox, point_to: Callable[[Sandbox], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/guides/unknown-outcomes.md has it: the endpoint is found, and made once."""
    point_to(threaded_sandbox)
    threaded_sandbox.inject(Fault(applied=True, status=502), method="POST")
    (example,) = snippets((DOCS / "guides" / "unknown-outcomes.md").read_text(encoding="utf-8"))
    exec(compile(example, "errors.md", "exec"), {})  # noqa: S102 - the point
    assert "\n".join(threaded_sandbox.endpoints) + "\n" == capsys.readouterr().out
    assert threaded_sandbox.applied_creates == {"alice": 1}


CLIENT = [
    each
    for name in ("client", "one-quota", "observability")
    for each in snippets((DOCS / "guides" / f"{name}.md").read_text(encoding="utf-8"))
]
TOKENS = snippets((DOCS / "guides" / "token-service.md").read_text(encoding="utf-8"))


def test_the_examples_of_the_client(
    threaded_sandbox: Sandbox, point_to: Callable[[Sandbox], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The others of docs/guides/client.md: what is old is deleted, all of it, and each call is told."""
    point_to(threaded_sandbox)
    threaded_sandbox.seed(5)
    for example in CLIENT:
        exec(compile(example, "client.md", "exec"), {})  # noqa: S102 - the point
    assert "endpoints.list: done after 1, " in capsys.readouterr().out


def test_how_to_make_json(
    threaded_sandbox: Sandbox, point_to: Callable[[Sandbox], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/guides/client.md has it, for a page of endpoints."""
    point_to(threaded_sandbox)
    threaded_sandbox.seed(1)
    (example,) = snippets(
        (DOCS / "guides" / "client.md").read_text(encoding="utf-8").partition("\n## To JSON\n")[2]
    )
    exec(compile(example, "client.md", "exec"), {})  # noqa: S102 - the point
    page = json.loads(capsys.readouterr().out)
    assert list(threaded_sandbox.endpoints) == [endpoint["endpoint_id"] for endpoint in page["objects"]]
    assert page["meta"]["total_count"] == 1


def test_the_examples_of_tokens(
    threaded_sandbox: Sandbox, point_to: Callable[[Sandbox], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of docs/guides/token-service.md that call Plivo: as many requests as they say."""
    point_to(threaded_sandbox)
    for example in TOKENS[:2]:
        exec(compile(example, "tokens.md", "exec"), {})  # noqa: S102 - the point
    assert "1 token" in capsys.readouterr().out
    assert 3 == len(threaded_sandbox.requests)


def test_the_function_for_an_auth_token() -> None:
    """Of docs/guides/token-service.md: it is not called, and so needs no file, before the first request."""
    names: dict[str, Any] = {}
    exec(compile(TOKENS[4], "tokens.md", "exec"), names)  # noqa: S102 - the point
    assert isinstance(names["client"], AsyncClient)


async def test_the_token_endpoint(sandbox: Sandbox, point_to: Callable[[Sandbox], None]) -> None:
    """Of docs/guides/token-service.md, on aiohttp: it gives a token to who is logged in."""
    point_to(sandbox)
    names: dict[str, Any] = {"__name__": "tokens"}
    exec(compile(TOKENS[2], "tokens.md", "exec"), names)  # noqa: S102 - the point
    async with TestClient(TestServer(names["app"])) as browser:
        answer = await browser.post("/token", headers={"X-Remote-User": "alice"})
        assert (200, {"jwt", "expires_at"}) == (answer.status, set(await answer.json()))
        assert ["alice260131120000"] == [claims["sub"] for claims in sandbox.tokens]
        assert 401 == (await browser.post("/token")).status


@pytest.mark.slow
def test_the_token_endpoint_in_fastapi(
    threaded_sandbox: Sandbox, point_to: Callable[[Sandbox], None]
) -> None:
    """Of docs/guides/token-service.md: the same as a route."""
    testclient = pytest.importorskip("fastapi.testclient", reason="FASTAPI IS NOT INSTALLED")
    point_to(threaded_sandbox)
    names: dict[str, Any] = {"__name__": "tokens"}
    exec(compile(TOKENS[3], "tokens.md", "exec"), names)  # noqa: S102 - the point
    with testclient.TestClient(names["app"]) as browser:
        answer = browser.post("/token", headers={"X-Remote-User": "alice"})
        assert (200, {"jwt", "expires_at"}) == (answer.status_code, set(answer.json()))
        assert 401 == browser.post("/token").status_code


async def test_the_store_of_ones_own(sandbox: Sandbox) -> None:
    """Of docs/guides/client.md: a client can use it."""
    (example,) = [each for each in CLIENT if "class StoreOfMine" in each]
    names: dict[str, Any] = {}
    exec(compile(example, "client.md", "exec"), names)  # noqa: S102 - the point
    store = names["StoreOfMine"]()
    account = (sandbox.auth_id, sandbox.auth_token)
    async with AsyncClient(*account, base_url=sandbox.base_url, rate_limit=store) as client:
        await client.endpoints.list_page()
    (pace,) = store.paces.values()
    assert pace.next_place > 0


def test_its_first_thirty_lines() -> None:
    """They hold the promise, the install, the demo, both clients, and what to do after a lost create."""
    head = "\n".join(README.splitlines()[:30])
    wanted = (
        "never creates an endpoint twice behind your back",
        "Unofficial",
        "pip install",
        "plivo-endpoints demo",
        SNIPPETS[0],
        SNIPPETS[1],
        "`OutcomeUnknownError`",
        "docs/guides/unknown-outcomes.md",
    )
    assert [text for text in wanted if text not in head] == []


def test_its_commands_need_only_a_clone() -> None:
    """What they install is the clone: nobody has published it."""
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)).splitlines()
    installed = [re.findall(r"pip install -q (?:-e )?'([^']+)'", command) for command in commands]
    assert [[".[cli]"], [".[test]"]] == installed


def test_its_size() -> None:
    """120 lines at most; eight for the async example, four for the blocking one."""
    assert len(README.splitlines()) <= 120
    assert [len(snippet.splitlines()) for snippet in SNIPPETS[:2]] == [8, 4]


def test_its_links() -> None:
    """Every file that it links to is there, and every heading in it."""
    root = Path(__file__).parent.parent
    missing: list[str] = []
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", README):
        name, _, heading = target.partition("#")
        path = root / name
        if not path.is_file() or (heading and heading not in path.read_text(encoding="utf-8").lower()):
            missing.append(target)
    assert missing == []
