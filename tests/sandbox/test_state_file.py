"""An account that outlives its sandbox."""

import asyncio
import copy
import errno
import json
import os
import random
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from plivo_endpoints.sandbox import Sandbox
from tests.unmeasured import unmeasured


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    """Keep an account of two endpoints, one of them registered, and a subaccount."""
    file = tmp_path / "state.json"
    with Sandbox(endpoints=2, state_file=file) as sandbox:
        sandbox.register(next(iter(sandbox.endpoints)))
        sandbox.add_subaccount()
    return file


async def test_an_account_is_kept(tmp_path: Path) -> None:
    """Credentials, subaccounts, endpoints and registrations come back; ids and names go on."""
    file = tmp_path / "state.json"
    async with Sandbox(endpoints=3, state_file=file) as before:
        subaccount = before.add_subaccount()
        registered = next(iter(before.endpoints))
        before.register(registered)
    with Sandbox(endpoints=3, state_file=file) as after:
        assert (after.auth_id, after.auth_token) == (before.auth_id, before.auth_token)
        assert dict(after.endpoints) == dict(before.endpoints)
        after.seed(1)
    assert list(after.endpoints)[:3] == list(before.endpoints)
    assert 4 == len({endpoint.username for endpoint in after.endpoints.values()})
    async with Sandbox(state_file=str(file)) as third, aiohttp.ClientSession(third.base_url) as session:
        headers = {"Authorization": aiohttp.encode_basic_auth(subaccount.auth_id, subaccount.auth_token)}
        async with session.get(f"/v1/Account/{subaccount.auth_id}/Endpoint/", headers=headers) as response:
            assert 200 == response.status
    assert (4, True) == (len(third.endpoints), third.endpoints[registered].sip_registered)


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    """The token is in it; nothing else is left in the folder."""
    file = tmp_path / "state.json"
    with Sandbox(state_file=file):
        pass
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        *["[]", "{}", "null", '{"format": 2}', '{"format": 1, "auth_id": "MA"}'],
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    """What is no state is neither read nor overwritten."""
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="not a sandbox state file"):
        Sandbox(state_file=file)
    assert file.read_text() == text


@pytest.mark.parametrize("credentials", [{"auth_id": "MA000000000000000000"}, {"auth_token": "t" * 40}])
def test_other_credentials_are_refused(tmp_path: Path, credentials: dict[str, str]) -> None:
    """Credentials in the file and in the call must agree."""
    file = tmp_path / "state.json"
    with Sandbox(state_file=file):
        pass
    with pytest.raises(ValueError, match="credentials"):
        Sandbox(auth_id=credentials.get("auth_id"), auth_token=credentials.get("auth_token"), state_file=file)


def test_an_empty_file_is_a_new_account(tmp_path: Path) -> None:
    """As `mktemp` makes one."""
    file = tmp_path / "state.json"
    file.touch()
    with Sandbox(endpoints=1, state_file=file) as before:
        pass
    assert list(before.endpoints) == list(Sandbox(state_file=file).endpoints)


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_a_file_that_others_could_read(state_file: Path, mode: int) -> None:
    """Only its owner can from then on, whatever lies beside it."""
    beside = state_file.with_name(f".{state_file.name}.{os.getpid()}")
    for file in (state_file, beside):
        file.touch()
        file.chmod(mode)
    with Sandbox(state_file=state_file):
        assert 0o600 == stat.S_IMODE(state_file.stat().st_mode)


def test_nobody_can_foresee_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written under another name each time, and no link is followed under any."""
    victim = tmp_path / "victim"
    victim.write_text("unharmed")
    (tmp_path / f".state.json.{os.getpid()}").symlink_to(victim)
    used: list[Path] = []
    replace = Path.replace

    def remember(path: Path, target: Path) -> Path:
        used.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", remember)
    with Sandbox(state_file=tmp_path / "state.json"):
        used[0].symlink_to(victim)
    assert ("unharmed", 2) == (victim.read_text(), len(set(used)))


@pytest.mark.parametrize("name", ["state.json", ".state.json.lock"])
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """Neither in the file's place nor in its lock's: it is refused, and what it points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("{}")
    (tmp_path / name).symlink_to(victim)
    with pytest.raises((ValueError, OSError), match="link"), Sandbox(state_file=tmp_path / "state.json"):
        pass
    assert "{}" == victim.read_text()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["state.json", ".state.json.lock"])
def test_a_pipe_is_refused(tmp_path: Path, name: str) -> None:
    """Nobody waits for its other end."""
    os.mkfifo(tmp_path / name)
    with (
        pytest.raises((ValueError, OSError), match=r"state\.json"),
        Sandbox(state_file=tmp_path / "state.json"),
    ):
        pass


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, a device and a socket are named as what cannot be used."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path in (tmp_path, Path(os.devnull), tmp_path / "socket"):
            with pytest.raises((ValueError, OSError), match=path.name):
                Sandbox(state_file=path)


def test_two_at_a_time_are_refused(state_file: Path) -> None:
    """The second is told who is first, and nothing of the first is lost."""
    with Sandbox(state_file=state_file) as first:
        second = Sandbox(state_file=state_file)
        second.seed(1)
        with pytest.raises(
            OSError, match=rf"another sandbox \(process {os.getpid()}\) is using it"
        ) as refused:
            second.__enter__()
        assert (refused.value.errno, refused.value.filename) == (errno.EBUSY, str(state_file))
        first.seed(3)
    assert list(first.endpoints) == list(Sandbox(state_file=state_file).endpoints)


def test_one_that_read_too_early_is_refused(state_file: Path) -> None:
    """It would overwrite what another has written since."""
    early = Sandbox(state_file=state_file)
    with Sandbox(state_file=state_file) as other:
        other.seed(3)
    with pytest.raises(ValueError, match="another sandbox has written"):
        early.__enter__()
    assert [state_file] == list(state_file.parent.iterdir())  # nor is the lock still held
    with Sandbox(state_file=state_file) as late:
        assert list(other.endpoints) == list(late.endpoints)


def test_two_that_begin_at_once(tmp_path: Path) -> None:
    """Where there was no file, one of them makes it and the other is refused."""
    sandboxes = [Sandbox(state_file=tmp_path / "state.json") for _ in range(2)]
    with sandboxes[0], pytest.raises(OSError, match="another sandbox"):
        sandboxes[1].__enter__()
    with pytest.raises(ValueError, match="another sandbox"):
        sandboxes[1].__enter__()


KILLED = """
import os, signal, sys
from plivo_endpoints.sandbox import Sandbox

with Sandbox(state_file=sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_sandbox_holds_nothing(state_file: Path) -> None:
    """Its lock ends with its process, and the next one starts."""
    subprocess.run([sys.executable, "-c", KILLED, str(state_file)], check=False)  # noqa: S603
    with Sandbox(state_file=state_file) as sandbox:
        assert 2 == len(sandbox.endpoints)
    assert [state_file] == list(state_file.parent.iterdir())


def test_a_start_that_fails_holds_nothing(state_file: Path) -> None:
    """Where the port is taken, the file is free afterwards."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="address already in use"),
        Sandbox(state_file=state_file, port=taken.getsockname()[1]),
    ):
        pass
    with Sandbox(state_file=state_file):
        pass


def test_a_full_disk(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file; what it held is still there, and nothing else beside it."""
    before = state_file.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as refused, Sandbox(state_file=state_file):
        pass
    assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, str(state_file))
    assert before == state_file.read_bytes()
    assert [state_file] == list(state_file.parent.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs resource limits")
def test_a_full_disk_on_the_command_line(tmp_path: Path) -> None:
    """The message speaks of the file, not of a port."""
    file = tmp_path / "state.json"
    script = "ulimit -f 0; trap '' XFSZ; exec \"$@\""
    command = [sys.executable, "-m", "plivo_endpoints", "sandbox", "--endpoints", "99", "--state", str(file)]
    ended = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", script, "sh", *command],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (1, "", f"Error: cannot keep the account in {file}: File too large\n") == (
        ended.returncode,
        ended.stdout,
        ended.stderr,
    )


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Return where each value of a document stands."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items += cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        items += enumerate(cast("list[object]", value))
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def replaced(document: Any, path: tuple[str | int, ...], value: object) -> Any:
    """Return a document with another value in one place."""
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


ODD: list[object] = [
    *(None, True, 0, -1, 1.5, 10**13, 10**25, [], {}, [0], {"a": {}}),
    *("", "x", "\ud800", "\n", "a:b", "x" * 100_000),
    *("1970-01-01", "2026-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59"),
]


async def use(sandbox: Sandbox) -> set[int]:
    """Ask for everything that there is and return the statuses."""
    headers = {"Authorization": aiohttp.encode_basic_auth(sandbox.auth_id, sandbox.auth_token)}
    fields = {"username": "alice", "password": "s3cret", "alias": "a"}
    sandbox.list_lag = 1
    account = f"/v1/Account/{sandbox.auth_id}/"
    requests = [("POST", f"{account}Endpoint/", fields), ("GET", f"{account}Endpoint/", None)]
    for endpoint_id in list(sandbox.endpoints):
        path = f"{account}Endpoint/{endpoint_id}/"
        requests += [("GET", path, None), ("POST", path, {"alias": "b"}), ("DELETE", path, None)]
    requests += [("POST", f"{account}JWT/Token/", {"iss": sandbox.auth_id}), ("GET", "/_sandbox/state", None)]
    found: set[int] = set()
    async with aiohttp.ClientSession(sandbox.base_url, headers=headers) as session:
        for method, path, body in requests:
            async with session.request(method, path, json=body) as response:
                found.add(response.status)
    return found


@pytest.mark.slow
def test_values_of_the_wrong_type(state_file: Path) -> None:
    """Each is refused in one line that names the file, or everything works: there is no 500 later."""
    document = json.loads(state_file.read_text())
    refused = 0
    chance = random.Random(3)  # noqa: S311 - the same in every run
    changes = [(path, value) for path in places(document) for value in ODD]
    for path, value in chance.sample(changes, 400):
        state_file.write_text(json.dumps(replaced(document, path, value)))
        try:
            sandbox = Sandbox(state_file=state_file, control=True)
        except ValueError as problem:
            assert str(problem).startswith(f"{state_file} is not a sandbox state file: ")
            assert (1, True) == (len(str(problem).splitlines()), len(str(problem)) < 400)
            refused += 1
            continue
        with sandbox:
            assert {200, 201, 202, 204} >= asyncio.run(use(sandbox)), (path, str(value)[:100])
    assert 200 < refused < 400


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("format",), 3, "format"),
        (("auth_id",), "a b", "auth_id must be"),
        (("auth_token",), "", "auth_token must be"),
        (("last_id",), True, "last_id must be of type int"),
        (("last_id",), 99_999_999_999_999, "out of range"),
        (("default_app_id",), "\ud800", "default_app_id"),
        (("subaccounts",), {"SA": 5}, "auth_token must be"),
        (("endpoints", 1), 5, r"endpoints\[1\]: must be an object"),
        (("endpoints", 0, "alias"), 5, r"endpoints\[0\]: alias must be a string"),
        (("endpoints", 0, "created"), "2026-01-01", "created must be a time with a UTC offset"),
        (("endpoints", 0, "registration", "expires"), 5, "a time must be a string"),
        (("endpoints", 1, "endpoint_id"), "00000000000000", r"endpoints\[1\] .* out of order"),
        (("endpoints", 0, "username"), "a\r\nb", "username must be letters and digits"),
        (("endpoints", 0, "app_id"), "../..", "app_id must be an application's id"),
        (
            ("endpoints", 0, "registration", "contact"),
            "sip:a\r\nX: 1",
            "contact must be a text without control",
        ),
    ],
)
def test_the_message_names_the_field(
    state_file: Path, path: tuple[str | int, ...], value: object, problem: str
) -> None:
    """What it should be, too."""
    state_file.write_text(json.dumps(replaced(json.loads(state_file.read_text()), path, value)))
    with pytest.raises(ValueError, match=problem):
        Sandbox(state_file=state_file)
