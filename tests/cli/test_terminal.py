"""What people see: tables that fit, colours that can be turned off, prompts that hide."""

import re
from collections.abc import Callable

import pytest

from plivo_endpoints.sandbox import Sandbox

pytestmark = pytest.mark.slow

OnTerminal = Callable[..., str]


def plain(shown: str) -> str:
    """Take the colours out."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits(sandbox: Sandbox, on_terminal: OnTerminal, columns: int) -> None:
    """No line is longer than the terminal is wide; every id is whole."""
    sandbox.seed(45)
    shown = plain(on_terminal("list", columns=columns))
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= columns
    assert [endpoint_id in shown for endpoint_id in sandbox.endpoints] == [True] * 45


def test_a_table_has_one_header(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """Three pages make one table; where it does not fit, each endpoint is a block of lines."""
    sandbox.seed(45)
    assert on_terminal("list").count("endpoint_id") == 1
    assert on_terminal("list", columns=40).count("endpoint_id") == 45


def test_an_empty_table(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """No endpoints: no header either; and where nothing was created, the sentence alone."""
    assert on_terminal("list") == ""
    find = ("find-created", "--username", "a", "--alias", "a", "--sent-at", "2026-01-31T12:00:00Z")
    assert on_terminal(*find) == "Nothing was created, so it is safe to create it now.\n"
    assert len(sandbox.requests) == 2


def test_a_record_is_not_broken(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """A token is longer than a line and stays whole, to be copied."""
    shown = plain(on_terminal("token", "--sub", "alice"))
    assert re.search(r"^jwt +\S+\.\S+\.\S+$", shown, re.MULTILINE)
    assert sandbox.tokens[-1]["sub"] == "alice"


@pytest.mark.parametrize("columns", [0, 3])
def test_a_terminal_that_does_not_know_its_width(
    sandbox: Sandbox, on_terminal: OnTerminal, columns: int
) -> None:
    """It is taken for one of 80 columns, and nothing is lost."""
    sandbox.seed(1)
    assert on_terminal("list", columns=columns) == on_terminal("list")
    token = on_terminal("token", "--sub", "alice", columns=columns)
    assert re.search(r"^jwt +\S+\.\S+\.\S+$", plain(token), re.MULTILINE)
    demo = on_terminal("demo", columns=columns)
    assert len(demo.splitlines()) == len(on_terminal("demo").splitlines())


def test_no_colour(sandbox: Sandbox, on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NO_COLOR` leaves bold type at most."""
    monkeypatch.setenv("NO_COLOR", "1")
    sandbox.seed(1)
    shown = on_terminal("list") + on_terminal("demo")
    assert set(re.findall(r"\x1b\[[0-9;]*m", shown)) <= {"\x1b[1m", "\x1b[0m"}


def test_the_demo_can_be_copied(on_terminal: OnTerminal) -> None:
    """Code and paths are left whole, results keep their margin, and no line ends in blanks."""
    lines = plain(on_terminal("demo", columns=60)).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    create = 'client.endpoints.create(username="alice", password="s3cret", alias="front-desk")'
    assert [line for line in lines if create in line] == [
        f">>> made = await {create}",
        f">>> made = {create}",
    ]
    paths = [line for line in lines if line.startswith("    application=")]
    assert [path for path in paths if re.fullmatch(r" {4}application='/v1/\S+/',", path)] == paths != []
    assert "# an hour, and read when it expires." in lines


def test_a_prompt_hides(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """The password is asked for twice, and does not appear."""
    shown = on_terminal("create", "alice", "--alias", "a", typed=(b"s3cret\n", b"s3cret\n"))
    assert shown.count("SIP password") == 1
    assert "Repeat" in shown
    assert "s3cret" not in shown
    assert len(sandbox.endpoints) == 1


def test_a_prompt_takes_text_only(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """Bytes that are not UTF-8 are refused without showing what was typed."""
    shown = on_terminal("create", "alice", "--alias", "a", typed=(b"canary\xff\n",))
    assert shown.startswith("SIP password: \nUsage: ")
    assert shown.endswith("Error: the SIP password, typed or in PLIVO_ENDPOINT_PASSWORD, must be UTF-8\n")
    assert ("Traceback" in shown, "canary" in shown) == (False, False)
    assert sandbox.requests == ()


def test_ctrl_c_at_the_prompt(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """It stops the command before anything is sent."""
    shown = on_terminal("create", "alice", "--alias", "a", typed=(b"\x03",))
    assert "Error: stopped" in shown
    assert sandbox.requests == ()


def test_no_password_in_json(sandbox: Sandbox, on_terminal: OnTerminal) -> None:
    """On a terminal too, `--json` is JSON."""
    shown = on_terminal("list", "--json")
    assert len(sandbox.endpoints) == 0
    assert shown == "[]\n"
