"""The README keeps to its form, and what it shows runs."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from plivo_endpoints.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


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
    """60 lines at most; eight for the async example, four for the blocking one."""
    assert len(README.splitlines()) <= 60
    assert [len(snippet.splitlines()) for snippet in SNIPPETS[:2]] == [8, 4]


def test_its_links() -> None:
    """Every file that it links to is there, and every heading in it."""
    missing: list[str] = []
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", README):
        name, _, heading = target.partition("#")
        path = ROOT / name
        words = heading.replace("-", " ")
        if not path.is_file() or (words and words not in path.read_text(encoding="utf-8").lower()):
            missing.append(target)
    assert missing == []
