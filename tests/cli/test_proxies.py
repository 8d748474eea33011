"""A proxy from the environment: the way to Plivo, never to this machine itself."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from click.testing import Result

from plivo_endpoints.sandbox import Sandbox

Run = Callable[..., Result]

ELSEWHERE = "plivo.invalid"  # no such name can be: only the proxy hears it


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the environment name a proxy that refuses all, and keep the first line of each request."""
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener, lines))
        thread.start()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield lines
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def refuse(listener: socket.socket, lines: list[str]) -> None:
    """Answer each connection's first request with 403, until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with closing(connection), connection.makefile("rwb") as stream:
            lines.append(stream.readline().decode())
            while stream.readline().strip():
                pass
            stream.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("command", [("list",), ("create", "alice", "--alias", "a", "--password-stdin")])
def test_the_environments_proxy(
    sandbox: Sandbox, run: Run, heard: list[str], command: tuple[str, ...]
) -> None:
    """It is asked for the way to a server elsewhere, and its refusal is an error."""
    refused = run(*command, "--base-url", f"https://{ELSEWHERE}", stdin="s3cret")
    assert heard[0] == f"CONNECT {ELSEWHERE}:443 HTTP/1.1\r\n"
    assert (refused.exit_code, sandbox.requests) == (1, ())
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_needs_no_proxy(sandbox: Sandbox, run: Run, heard: list[str], host: str) -> None:
    """The sandbox is reached, whatever the environment says."""
    base_url = sandbox.base_url.replace("127.0.0.1", host)
    assert json.loads(run("list", "--json", "--base-url", base_url).stdout) == []
    assert (heard, len(sandbox.requests)) == ([], 1)


def test_a_proxy_that_cannot_be(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named: status 2."""
    monkeypatch.setenv("https_proxy", "socks5://proxy.example:1080")
    refused = run("list", "--base-url", f"https://{ELSEWHERE}")
    assert (refused.exit_code, sandbox.requests) == (2, ())
    assert refused.stderr == "Error: HTTPS_PROXY (or ALL_PROXY) must be an http or https URL\n"


@pytest.mark.parametrize("as_json", [(), ("--json",)])
@pytest.mark.parametrize(
    "proxy",
    ["http://user:Hunter2#x@proxy.example:9", "http://user:Hunter2@h:99999", "http://user:Hunter2@[::1"],
)
def test_a_malformed_proxy(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, proxy: str, as_json: tuple[str, ...]
) -> None:
    """One line of error, or one document, and no password in it."""
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    refused = run("list", *as_json, "--base-url", f"https://{ELSEWHERE}")
    assert (refused.exit_code, sandbox.requests) == (2, ())
    assert "HTTPS_PROXY (or ALL_PROXY) must be a URL such as" in refused.stderr
    assert "Hunter2" not in refused.stderr
    assert as_json or len(refused.stderr.splitlines()) == 1
    if as_json:
        assert json.loads(refused.stderr)["error"]["field"] == "proxy"


def test_all_proxy_counts_too(
    sandbox: Sandbox, run: Run, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for `requests`, where no variable of the scheme's own is set."""
    assert sandbox.requests == ()
    monkeypatch.setenv("all_proxy", os.environ["https_proxy"])
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    run("list", "--base-url", f"https://{ELSEWHERE}")
    assert heard[0] == f"CONNECT {ELSEWHERE}:443 HTTP/1.1\r\n"
