"""Commands as processes of their own: how they start, are interrupted, and end."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from plivo_endpoints import AsyncClient
from plivo_endpoints.cli.command_line import command_line
from plivo_endpoints.sandbox import Fault, Sandbox
from tests.sip.phones import digest

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-W", "error", "-m", "plivo_endpoints")


def start(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command and return its process, with pipes for all three streams."""
    return subprocess.Popen(  # noqa: S603
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def read_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read the first lines that it prints."""
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sandbox(number: signal.Signals) -> None:
    """Its three lines are what a client needs; it ends cleanly on Ctrl-C and on `kill`."""
    with start("sandbox", "--endpoints", "3") as process:
        exports = dict(line.removeprefix("export ").split("=") for line in read_lines(process, 3))
        listed = start("list", environment=exports).communicate()
        process.send_signal(number)
        rest = process.communicate()
    assert (len(listed[0].splitlines()), listed[1]) == (3, "")
    path = f"/v1/Account/{exports['PLIVO_AUTH_ID']}/Endpoint/"
    assert (process.returncode, rest[0]) == (0, "")
    assert [f"GET {path} 200"] == [line.partition(" ")[2] for line in rest[1].splitlines()]


def test_sandbox_keeps_its_account(tmp_path: Path) -> None:
    """With `--state`, endpoints and credentials outlive the process; `--quiet` logs nothing."""
    kept = tmp_path / "account.json"
    arguments = ("sandbox", "--state", str(kept), "--quiet", "--endpoints", "2")
    exports: list[dict[str, str]] = []
    for count in (3, 4):
        with start(*arguments) as process:
            exports.append(dict(line.removeprefix("export ").split("=") for line in read_lines(process, 3)))
            created = start(
                *("create", "alice", "--alias", f"a{count}"),
                environment=exports[-1] | {"PLIVO_ENDPOINT_PASSWORD": "s3cret"},
            )
            created.communicate()
            listed = start("list", environment=exports[-1]).communicate()
            process.send_signal(signal.SIGTERM)
            assert ("", "") == process.communicate()
        assert count == len(listed[0].splitlines())
    assert exports[0]["PLIVO_AUTH_TOKEN"] == exports[1]["PLIVO_AUTH_TOKEN"]


def test_sandbox_with_a_file_that_is_no_state(tmp_path: Path) -> None:
    """Status 1, and why."""
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    process = start("sandbox", "--state", str(other))
    problem = f"{other} is not a sandbox state file: it is not a JSON object"
    assert ("", f"Error: {problem}\n") == process.communicate()
    assert process.returncode == 1


def test_sandbox_with_a_state_that_cannot_be_kept(tmp_path: Path) -> None:
    """It is told before anything is served."""
    nowhere = tmp_path / "missing" / "account.json"
    process = start("sandbox", "--state", str(nowhere))
    assert ("", f"Error: cannot keep the account in {nowhere}: No such file or directory\n") == (
        process.communicate()
    )
    assert process.returncode == 1


async def test_sandbox_with_its_control_path() -> None:
    """`--control` opens it, and it is closed without."""
    for arguments, status in (((), 404), (("--control",), 200)):
        with start("sandbox", "--json", *arguments) as process:
            values = json.loads(read_lines(process, 1)[0])
            authorization = aiohttp.encode_basic_auth(values["PLIVO_AUTH_ID"], values["PLIVO_AUTH_TOKEN"])
            async with (
                aiohttp.ClientSession(headers={"Authorization": authorization}) as session,
                session.get(values["PLIVO_BASE_URL"] + "/_sandbox/state") as answer,
            ):
                assert status == answer.status
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.communicate)


def test_sandbox_with_sip() -> None:
    """`--sip` adds two lines with what phones need, and logs who registers."""
    with start("sandbox", "--sip", "--endpoints", "1") as process:
        exports = dict(line.removeprefix("export ").split("=") for line in read_lines(process, 5))
        username = json.loads(start("list", "--json", environment=exports).communicate()[0])[0]["username"]
        with socket.create_connection(("127.0.0.1", int(exports["PLIVO_SIP_PORT"]))) as phone:
            register(phone, username, "password-1")
        process.send_signal(signal.SIGINT)
        _, logged = process.communicate()
    port = exports["PLIVO_BASE_URL"].rpartition(":")[2]
    assert f"ws://127.0.0.1:{port}/signalling" == exports["PLIVO_SIGNALLING_URL"]
    assert f" {username} registered by 127.0.0.1:" in logged.splitlines()[-1]


def register(phone: socket.socket, username: str, password: str) -> None:
    """Register as phones do: be challenged, and answer."""
    received = phone.makefile("rb")
    fields: tuple[str, ...] = ()
    for number in (1, 2):
        phone.sendall(write_register(username, number, *fields))
        answer = b"".join(iter(received.readline, b"\r\n")).decode()
        if number == 1:
            challenge = answer.partition("WWW-Authenticate: ")[2]
            authorization = digest(challenge, username, password, uri="sip:phone.plivo.com")
            fields = (f"Authorization: {authorization}", "Contact: <sip:phone@127.0.0.1>")
    assert answer.startswith("SIP/2.0 200 OK")


def write_register(username: str, number: int, *fields: str) -> bytes:
    """Return a REGISTER."""
    lines = (
        "REGISTER sip:phone.plivo.com SIP/2.0",
        f"Via: SIP/2.0/TCP phone.invalid;branch=z9hG4bK{number}",
        f"From: <sip:{username}@phone.plivo.com>;tag=1",
        f"To: <sip:{username}@phone.plivo.com>",
        "Call-ID: call",
        f"CSeq: {number} REGISTER",
        *fields,
        "Content-Length: 0",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_sip_port_needs_sip() -> None:
    """It would have no effect alone."""
    process = start("sandbox", "--sip-port", "5060")
    assert "--sip-port needs --sip" in process.communicate()[1]
    assert 2 == process.returncode


def test_sandbox_in_the_background() -> None:
    """Where a script's shell lets Ctrl-C pass it by, `kill` still ends it."""
    script = f"{sys.executable} -m plivo_endpoints sandbox & read -r _; kill -TERM $!; wait $!; echo ended $?"
    with subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        exports = read_lines(process, 3)
        shown, _ = process.communicate("go on\n")
    assert [line.partition("=")[0] for line in exports] == [
        "export PLIVO_BASE_URL",
        "export PLIVO_AUTH_ID",
        "export PLIVO_AUTH_TOKEN",
    ]
    assert shown == "ended 0\n"


async def test_sandbox_in_json() -> None:
    """With `--json` the same three values are a document."""
    with start("sandbox", "--json") as process:
        values = json.loads(read_lines(process, 1)[0])
        async with AsyncClient(
            values["PLIVO_AUTH_ID"], values["PLIVO_AUTH_TOKEN"], base_url=values["PLIVO_BASE_URL"]
        ) as client:
            assert [endpoint async for endpoint in client.endpoints.list()] == []
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.communicate)
    assert process.returncode == 0


def test_closed_streams(sandbox: Sandbox) -> None:
    """Without standard output nothing is sent; without standard input there is no password."""
    for closed, complaint in (
        (">&-", "standard output is closed"),
        ("<&-", "there is no terminal to prompt"),
    ):
        script = f"{sys.executable} -m plivo_endpoints create alice --alias a {closed}"
        ended = subprocess.run(  # noqa: S602
            script, shell=True, capture_output=True, text=True, check=False
        )
        assert (2, True) == (ended.returncode, complaint in ended.stderr)
    assert 0 == len(sandbox.requests)


def test_a_closed_stderr(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without standard error all works, a run with its progress too."""
    sandbox.seed(1)
    (tmp_path / "users.csv").write_text("username,alias,password\nalice,a,s3cret\n")
    for command in ("list", "provision apply users.csv --state run.db"):
        ended = subprocess.run(  # noqa: S602
            f"{sys.executable} -m plivo_endpoints {command} 2>&-",
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            check=False,
        )
        assert (0, True) == (ended.returncode, len(ended.stdout) > 0), command
    assert len(sandbox.endpoints) == 2


def test_sandbox_on_a_port_that_is_taken(sandbox: Sandbox) -> None:
    """Status 1, and why."""
    port = sandbox.base_url.rpartition(":")[2]
    process = start("sandbox", "--port", port)
    assert process.communicate() == ("", f"Error: cannot serve on port {port}: Address already in use\n")
    assert process.returncode == 1


def test_demo() -> None:
    """Every step, both clients, an error of each kind; the sandbox that it started has ended."""
    process = start("demo")
    shown, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, "")
    exports = dict(line.removeprefix("export ").split("=") for line in shown.splitlines() if "export" in line)
    gone = start("list", environment=exports)
    assert "Error: " in gone.communicate()[1]
    for method in ("create", "get", "update", "list", "delete"):
        assert shown.count(f"await client.endpoints.{method}(") + (method == "list") * 1 == 1, method
    assert shown.count("    [20, 20, 5]\n") == 2
    assert shown.count("    45\n") == 2
    assert (
        shown.count("    CreatedEndpoint(") == shown.count("    Token(jwt=<hidden>, claims=TokenClaims(") == 2
    )
    assert shown.count("    InvalidArgumentError: ") == shown.count("    NotFoundError: ") == 1
    lost, found = shown.split("    OutcomeUnknownError: ")[1].split(">>> client.endpoints.find_created(")
    assert "(Connection reset by peer)" in lost
    assert "username='bob'" in lost
    assert found.count("Endpoint(endpoint_id=") == 1
    assert shown.endswith(f"\n{command_line(['sandbox'])}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_ends_its_sandbox_when_interrupted(number: signal.Signals) -> None:
    """A signal to the demo ends the sandbox too."""
    process = start("demo")
    exports = dict(
        line.removeprefix("export ").split("=") for line in read_lines(process, 6) if "export" in line
    )
    process.send_signal(number)
    process.communicate()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM}[number]
    assert "Error: " in start("list", environment=exports).communicate()[1]


def test_demo_in_a_frozen_program() -> None:
    """Under PyInstaller `sys.executable` is the program itself: the demo works, and shows how to start it."""
    code = (
        "import sys; sys.frozen, sys.executable = True, '/bin/false'; "
        "from plivo_endpoints.cli import main as root; root.run()"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, "demo"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("\n/bin/false sandbox\n")


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_during_a_create(sandbox: Sandbox, options: tuple[str, ...]) -> None:
    """Status 3, not 130: the endpoint may exist, and here it does. It is told once, as text or as JSON."""
    sandbox.inject(Fault(applied=True, latency=60))
    with start(*options, "create", "alice", "--alias", "a", "--password-stdin") as process:
        assert process.stdin is not None
        process.stdin.write("s3cret")
        process.stdin.close()
        while not sandbox.applied_creates:
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait() == 3
        assert process.stderr is not None
        told = process.stderr.read()
        assert "find-created --username alice --alias a --sent-at " in told
        assert told.count("'alice'") == 1
        assert not options or json.loads(told)["error"]["username"] == "alice"
    assert len(sandbox.endpoints) == 1


def test_ctrl_c_during_a_list(sandbox: Sandbox) -> None:
    """Status 130 and one line."""
    sandbox.seed(1)
    sandbox.inject(Fault(applied=True, drip=60))
    with start("list") as process:
        while not sandbox.requests:
            pass
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "Error: stopped\n")
    assert process.returncode == 130


def test_a_reader_that_left_the_demo() -> None:
    """`demo | true` ends like any other command, and quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*COMMAND, "demo"], stdout=writer, stderr=subprocess.PIPE, check=False)  # noqa: S603
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.usefixtures("output_buffering")
def test_a_reader_that_leaves(sandbox: Sandbox) -> None:
    """`list | head -1` is quiet."""
    sandbox.seed(2000)
    with start("list", "--json") as process:
        read_lines(process, 1)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_text_that_the_terminal_cannot_show(sandbox: Sandbox) -> None:
    """An alias beyond the output's encoding is written out, not a traceback."""
    process = start(
        "create",
        "alice",
        "--alias",
        "caf\u00e9",
        "--password-stdin",
        environment={"PYTHONIOENCODING": "ascii"},
    )
    shown, complaints = process.communicate("s3cret")
    assert (process.returncode, complaints) == (0, "")
    assert "alias\tcaf\\xe9\n" in shown
    assert len(sandbox.endpoints) == 1


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra(missing: str) -> None:
    """It says in one line what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom plivo_endpoints.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "plivo-endpoints: the command line needs an extra: pip install 'plivo-endpoints[cli]'\n"
    )


def test_ctrl_c_while_it_starts() -> None:
    """Status 130 and no traceback, also when the modules are not there yet."""
    code = (
        "import os, signal, sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'plivo_endpoints.cli.demo':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from plivo_endpoints.__main__ import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_another_module_missing() -> None:
    """Only what the extra brings gets that advice."""
    code = (
        "import sys; sys.modules['plivo_endpoints.cli.main'] = None\n"
        "from plivo_endpoints.__main__ import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.stderr.endswith("import of plivo_endpoints.cli.main halted; None in sys.modules\n")
