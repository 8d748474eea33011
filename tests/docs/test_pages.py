"""Every page of the documentation is followed as a reader would follow it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from plivo_endpoints.sandbox import Sandbox
from tests.docs.pages import DOCS, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES: Final = [Page.read(path) for path in sorted(DOCS.rglob("*.md"))]
RUNNING: Final = [page for page in PAGES if any(block.runs for block in page.blocks)]


@pytest.fixture
def account() -> Iterator[Sandbox]:
    """Serve a sandbox that phones can register with, and that has the control API."""
    with Sandbox(control=True, sip=True) as sandbox:
        yield sandbox


def environment(sandbox: Sandbox, home: Path) -> dict[str, str]:
    """Return an environment in which the commands of the package are found, and use a sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PLIVO_"))}
    return kept | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "XDG_STATE_HOME": str(home),
        "PLIVO_AUTH_ID": sandbox.auth_id,
        "PLIVO_AUTH_TOKEN": sandbox.auth_token,
        "PLIVO_BASE_URL": sandbox.base_url,
    }


def follow(script: str, folder: Path, variables: dict[str, str]) -> str:
    """Run a script and return what it printed; nothing that it started survives it."""
    output = folder.with_name("output.txt")
    with output.open("w") as file:
        shell = subprocess.Popen(  # noqa: S603
            ["bash", "-c", script],  # noqa: S607
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = shell.wait(timeout=100)
    finally:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(shell.pid, signal.SIGKILL)
    printed = output.read_text()
    assert 0 == status, printed
    return printed


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=str)
def test_a_page(page: Page, account: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Its commands and programs succeed, one after the other, and print what it shows."""
    folder = tmp_path / "reader"
    folder.mkdir()
    script = page.script
    for program in ("baresip", "sipsak"):
        if f"\n{program} " in script and shutil.which(program) is None:
            pytest.skip(f"NEEDS {program}: {page} was not followed")
    if "postgresql://" in script:
        url = request.getfixturevalue("postgres").new_database()
        script = re.sub(r"postgresql://[^\s'\"#]+", lambda _: url, script)
    printed = follow(script, folder, environment(account, tmp_path))
    assert [] == page.missing(printed), printed


# Another language is a mistake: a block in it, such as "shell", would not run.
LANGUAGES: Final = {"python", "sh", "text", "console", "ini", "js", "json", "toml", "yaml"}
PARSERS: Final = {"json": json.loads, "toml": tomllib.loads}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_documents(page: Page) -> None:
    """Those in formats that Python can read are well-formed."""
    for block in page.blocks:
        if block.language in PARSERS:
            PARSERS[block.language](block.code)


def test_all_pages_are_read() -> None:
    """No fence is overlooked: each one has a language, and belongs to a block."""
    for page in PAGES:
        fences = re.findall(r"^ *(?:```|~~~)", page.path.read_text("utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(page.blocks), page
        assert set() == {block.language for block in page.blocks} - LANGUAGES, page


FAILING: Final = {
    "a command": "```sh\nfalse\n```\n",
    "a command before a pipe": "```sh\nfalse | cat\n```\n",
    "a block in a list": "1. Run it:\n\n    ```sh\n    false\n    ```\n",
    "an end before the last block": "```sh\nexit 0\n```\n\n```sh\nfalse\n```\n",
    "a difference in a text": "```sh\necho one\n```\n\n```text\ntwo\n```\n",
}


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
def test_what_a_page_fails_for(text: str, tmp_path: Path) -> None:
    """A page that is not as it says is noticed."""
    path = tmp_path / "page.md"
    path.write_text(text)
    page = Page.read(path)
    folder = tmp_path / "reader"
    folder.mkdir()
    with pytest.raises(AssertionError):
        assert [] == page.missing(follow(page.script, folder, dict(os.environ)))
