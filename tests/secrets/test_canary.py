"""No secret shows, through any fault, but in the caller's own frames and what the caller pickles."""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
import os
import pickle
import signal
import threading
import time
import traceback
from base64 import b64encode
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import frozen

from plivo_endpoints import (
    AsyncClient,
    AsyncEndpoints,
    AsyncTokens,
    Client,
    Endpoints,
    InvalidArgumentError,
    PlivoError,
    RateLimit,
    Tokens,
)
from plivo_endpoints._request_models import NewEndpoint
from tests.faults.account import AUTH_ID, Step, make_jwt
from tests.faults.kinds import KINDS, Fault
from tests.faults.wire import Answer, Wire, make_answer
from tests.public_calls import carry_out, carry_out_blocking, good_arguments, methods, parameters
from tests.secrets.frames import errors_of, leaks_of

if TYPE_CHECKING:
    from tests.faults.server import FaultServer

pytestmark = pytest.mark.slow

TOKEN: Final = "CanaryAuthToken0123456789"
PASSWORD: Final = 'CanaryPassw0rd<&">'
MD5: Final = "c0ffee00c0ffee00c0ffee00c0ffee00"
JWT: Final = make_jwt("CanarySignature")
HEADER: Final = b64encode(f"{AUTH_ID}:{TOKEN}".encode()).decode()
# Of some only a part: JSON and repr write the rest otherwise, or a text is cut within it.
STEM: Final = "CanaryPassw0rd"
SECRETS: Final = ("CanaryAuth", STEM, MD5, "CanarySignature", HEADER, "CanaryProxyPw")
PROXY_PASSWORD: Final = "CanaryProxyPw"


def _leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def _body(content: str) -> Fault:
    async def play(wire: Wire, _: Answer) -> None:
        await wire.send(make_answer(200, "OK", content.encode()).encode())

    return Fault(content[:30], play)


def _echo(status: int, form: str) -> Fault:
    async def play(wire: Wire, _: Answer) -> None:
        said = form.replace("TOKEN", TOKEN).replace("HEADER", HEADER).replace("PASSWORD", _in_json(PASSWORD))
        await wire.send(make_answer(status, "No", said.replace("MD5", MD5).encode(), X_Echo=HEADER).encode())

    return Fault(f"{status} {form[:40]}", play)


def _in_json(text: str) -> str:
    return text.replace('"', '\\"')


ECHOES: Final = [
    _echo(status, form)
    for status in (400, 401, 404, 429, 500)
    for form in (
        '{"error": "bad header Basic HEADER"}',
        '{"error": "no such token: TOKEN"}',
        '{"error": {"password": ["PASSWORD is too short"]}}',
        '{"api_id": "TOKEN", "error": "x"}',
        '["HEADER", "PASSWORD"]',
        "Authorization: Basic HEADER",
        "<p>" + "x" * 180 + "HEADER",
        '{"error": "' + "x" * 190 + 'TOKEN"}',
    )
]
# Successes that cannot be read, or in part only, and hold a secret.
UNREADABLE: Final = [
    _body(f'{{"token": "{JWT}", "api_id": 5}}'),
    _body(f'{{"token": ["{JWT}"]}}'),
    _body(f'"{JWT}"'),
    _body(f'{{"endpoint_id": "1", "password": "{MD5}", "sip_expires": "{MD5}"}}'),
    _body(f'{{"endpoint_id": "1", "password": "{MD5}", "alias": 5, "username": 5}}'),
    _body(f'{{"endpoint_id": "1", "password": ["{MD5}"], "alias": "{MD5[:3]}", "new": "{MD5}"}}'),
    _body(f'{{"objects": [{{"endpoint_id": "1", "password": "{MD5}", "application": {{"x": "{MD5}"}}}}]}}'),
    _body(f'{{"objects": "{MD5}", "token": 7}}'),
    _body(f'{{"sip_registered": "{JWT}", "endpoint_id": "{TOKEN} {HEADER}", "token": null}}'),
    _body(JWT),
]


@frozen
class Call:
    """A public method with arguments that work, secrets among them."""

    resource: type
    method: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what is passed."""
        function = methods(self.resource)[self.method]
        secret = {"password": PASSWORD} if "password" in parameters(function) else {}
        return {**good_arguments(function), **secret}

    @property
    def sends_password(self) -> bool:
        """Whether it sends a password: one that a call did not send is none that its errors could know."""
        return "password" in self.arguments


SENDS_NOTHING: Final = {"invalidate"}  # so nothing of it can be cancelled or refused by a server
CALLS: Final = [
    Call(kind, name)
    for kind in (AsyncEndpoints, AsyncTokens)
    for name in methods(kind)
    if name not in SENDS_NOTHING
]
BLOCKING: Final = [
    Call(kind, name) for kind in (Endpoints, Tokens) for name in methods(kind) if name not in SENDS_NOTHING
]


def _shown(error: BaseException) -> dict[str, str]:
    """Return all that an error shows of itself."""
    again = copy.copy(error)
    forms: dict[str, str] = {
        "str": str(error),
        "repr": repr(error),
        "format": f"{error}",
        "attributes": repr(vars(error)),
        "copy": repr(vars(again)) + str(again),
        "traceback": "".join(traceback.format_exception_only(error)),
        "locals": "\n".join(leaks_of(error, SECRETS)),
        "chain": repr([(str(each), vars(each)) for each in errors_of(error)]),
    }
    if isinstance(error, PlivoError):
        forms["pickle"] = repr(pickle.dumps(error))
    return forms


def _leaks_of_error(what: str, call: Call, error: BaseException) -> list[str]:
    return [
        f"{what}, {call.method}: {form} shows {secret}: {text if form == 'locals' else ''}"
        for form, text in _shown(error).items()
        for secret in _leaks(text)
        if secret != STEM or call.sends_password
    ]


def _timeout(fault: Fault) -> float:
    return 0.3 if fault.timeout < 30 else 10


def _is_quick(fault: Fault) -> bool:
    return fault.name not in {"429 Retry-After 1", "429", "429 Retry-After junk", "429 Retry-After 0"}


FAULTS: Final = [*filter(_is_quick, KINDS), *ECHOES, *UNREADABLE]


async def _walk(server: FaultServer, fault: Fault, call: Call) -> list[str]:
    account, url = server.account()
    account.jwt = JWT
    account.forever = Step(fault, applied=fault.may_apply[0])
    async with AsyncClient(
        AUTH_ID, TOKEN, base_url=url, timeout=_timeout(fault), max_attempts=1, max_body=100_000
    ) as client:
        assert _leaks(repr(client) + str(client) + f"{client}" + repr(vars(client))) == []
        try:
            # One look of `find_created` is all that a fault can be seen in.
            async with asyncio.timeout(1 if call.method == "find_created" else None):
                result = await carry_out(client, call.resource, call.method, call.arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not show a secret
            return _leaks_of_error(fault.name, call, error)
        return [f"{fault.name}, {call.method}: result shows {leak}" for leak in _leaks(repr(result))]


@pytest.mark.slow
async def test_no_fault_shows_a_secret(
    faults: FaultServer, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """In no form of any error of any call, in nothing that a frame below the call reaches, in no log."""
    caplog.set_level(logging.DEBUG)
    walks = [_walk(faults, fault, call) for fault in FAULTS for call in CALLS]
    leaks = [leak for found in await asyncio.gather(*walks) for leak in found]
    assert leaks == []
    assert _leaks(caplog.text) == []
    assert _leaks("".join(str(warning.message) for warning in recwarn.list)) == []
    assert len(walks) >= 1000


def _walk_blocking(server: FaultServer, fault: Fault, call: Call) -> list[str]:
    account, url = server.account()
    account.jwt = JWT
    account.forever = Step(fault, applied=fault.may_apply[0])
    # That a slow answer comes too late is an error like any other.
    with Client(AUTH_ID, TOKEN, base_url=url, timeout=0.3, max_attempts=1) as client:
        try:
            carry_out_blocking(client, call.resource, call.method, call.arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not show a secret
            return _leaks_of_error(fault.name, call, error)
    return []


@pytest.mark.slow
def test_the_blocking_client_shows_no_secret(faults: FaultServer) -> None:
    """Its frames between the caller and the loop hold none either, whatever the fault.

    One call for each fault, as below those frames it runs the same code. Not `find_created`, which nobody
    could end.
    """
    calls = itertools.cycle([call for call in BLOCKING if call.method != "find_created"])
    walks = [_walk_blocking(faults, fault, call) for fault, call in zip(FAULTS, calls, strict=False)]
    assert [leak for walk in walks for leak in walk] == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
async def test_a_cancelled_call_shows_no_secret(faults: FaultServer, call: Call) -> None:
    """The `CancelledError` of a call under way leads through no frame that holds one."""
    account, url = faults.account()
    account.forever = Step(_never_answers(), applied=False)
    async with AsyncClient(AUTH_ID, TOKEN, base_url=url) as client:
        task = asyncio.ensure_future(carry_out(client, call.resource, call.method, call.arguments))
        while not account.arrivals:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert _leaks_of_error("cancelled", call, caught.value) == []


def _never_answers() -> Fault:
    return next(fault for fault in KINDS if fault.name == "never answers")


@pytest.mark.parametrize("call", BLOCKING, ids=lambda call: call.method)
def test_an_interrupted_call_shows_no_secret(faults: FaultServer, call: Call) -> None:
    """Nor the `KeyboardInterrupt` of Ctrl-C while a blocking call waits."""
    account, url = faults.account()
    account.forever = Step(_never_answers(), applied=False)
    main = threading.get_ident()
    assert threading.current_thread() is threading.main_thread()

    def interrupt() -> None:
        while not account.arrivals:
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGINT)

    with Client(AUTH_ID, TOKEN, base_url=url) as client:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt) as caught:
            carry_out_blocking(client, call.resource, call.method, call.arguments)
        thread.join()
    assert _leaks_of_error("interrupted", call, caught.value) == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
async def test_what_the_client_refuses_shows_no_secret(
    faults: FaultServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No place in the rate limit, nobody there, a fork, a closed client."""
    account, url = faults.account()
    account.seed()
    leaks: list[str] = []

    async def fail(what: str, client: AsyncClient) -> None:
        with pytest.raises(PlivoError) as caught:
            await carry_out(client, call.resource, call.method, call.arguments)
        leaks.extend(_leaks_of_error(what, call, caught.value))

    async with AsyncClient(
        AUTH_ID, TOKEN, base_url=url, rate_limit=RateLimit(1, 60.0), timeout=1.0
    ) as client:
        await client.endpoints.list_page()
        await fail("rate limit", client)
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            await fail("forked", client)
    await fail("closed", client)
    for proxy in (None, f"http://user:{PROXY_PASSWORD}@127.0.0.1:9"):
        async with AsyncClient(
            AUTH_ID, TOKEN, base_url="http://127.0.0.1:9", max_attempts=1, proxy=proxy
        ) as client:
            await fail("nobody there", client)
    assert leaks == []


@pytest.mark.parametrize("call", BLOCKING, ids=lambda call: call.method)
def test_what_the_blocking_client_refuses_shows_no_secret(
    faults: FaultServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, and a fork after the first call."""
    account, url = faults.account()
    account.seed()
    leaks: list[str] = []

    def fail(what: str, client: Client) -> None:
        with pytest.raises(PlivoError) as caught:
            carry_out_blocking(client, call.resource, call.method, call.arguments)
        leaks.extend(_leaks_of_error(what, call, caught.value))

    with Client(AUTH_ID, TOKEN, base_url=url, rate_limit=RateLimit(1, 60.0), timeout=1.0) as client:
        client.endpoints.list_page()
        fail("rate limit", client)
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            fail("forked", client)
    fail("closed", client)
    assert leaks == []


# What is wrong beside the secret, or with it.
ODD: Final = ("", "\udcff", 7, b"x", object(), "x" * 200)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
async def test_a_refused_argument_shows_no_secret(call: Call) -> None:
    """Whichever it is, the password itself and one beside it included."""
    leaks: list[str] = []
    client = AsyncClient(AUTH_ID, TOKEN, base_url="http://127.0.0.1:9", max_attempts=1)
    secrets = (PASSWORD.encode(), [PASSWORD], "\udcff" + PASSWORD)
    for name in parameters(methods(call.resource)[call.method]):
        for value in (*ODD, *(secrets if name == "password" else ())):
            try:
                await carry_out(client, call.resource, call.method, {**call.arguments, name: value})
            except PlivoError as error:
                leaks += _leaks_of_error(f"{name}={value!r}", call, error)
    await client.close()
    assert leaks == []


@pytest.mark.parametrize("call", BLOCKING, ids=lambda call: call.method)
def test_an_argument_that_the_blocking_client_refuses_shows_no_secret(call: Call) -> None:
    """The same, of the blocking client."""
    leaks: list[str] = []
    secrets = (PASSWORD.encode(), [PASSWORD], "\udcff" + PASSWORD)
    with Client(AUTH_ID, TOKEN, base_url="http://127.0.0.1:9", max_attempts=1) as client:
        for name in parameters(methods(call.resource)[call.method]):
            for value in (*ODD, *(secrets if name == "password" else ())):
                try:
                    carry_out_blocking(client, call.resource, call.method, {**call.arguments, name: value})
                except PlivoError as error:
                    leaks += _leaks_of_error(f"{name}={value!r}", call, error)
    assert leaks == []


def _proxies() -> list[str]:
    secret = f"http://user:{PROXY_PASSWORD}"
    return [f"{secret}#x@h:9", f"{secret}@h:99999", f"{secret}@[::1", f"{secret}\udcff@h", f"ftp{secret}@h"]


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_refused_constructor_shows_no_secret(
    kind: type[AsyncClient | Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever argument is wrong, a secret of another form or in another's place included."""
    given: dict[str, Any] = {
        "auth_id": AUTH_ID,
        "auth_token": TOKEN,
        "base_url": "https://plivo.invalid",
        "proxy": f"http://user:{PROXY_PASSWORD}@h",
    }
    cases = [{**given, name: value} for name in parameters(kind) for value in ODD]
    cases += [{**given, "proxy": proxy} for proxy in _proxies()]
    cases += [{**given, "auth_token": value} for value in (TOKEN.encode(), TOKEN + "\n", [TOKEN])]
    cases += [{**given, "auth_id": TOKEN}, {**given, "base_url": f"https://u:{PROXY_PASSWORD}@h"}]
    leaks: list[str] = [leak for case in cases for leak in _leaks_of_constructor(kind, case)]
    for proxy in _proxies():
        monkeypatch.setenv("https_proxy", proxy) if proxy.isascii() else None
        leaks += _leaks_of_constructor(kind, {**given, "proxy": "environment"})
    monkeypatch.setenv("PLIVO_AUTH_ID", "MA1")
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", TOKEN)
    leaks += _leaks_of_constructor(kind, {})
    assert leaks == []


def _leaks_of_constructor(kind: type[AsyncClient | Client], arguments: dict[str, Any]) -> list[str]:
    try:
        kind(**arguments)
    except PlivoError as error:
        return _leaks_of_error("constructor", Call(kind, kind.__name__), error)
    return []


def _hold(case: str) -> None:
    held: Any = "CanarySignature"
    kept: Any = {
        "text": lambda: held,
        "container": lambda: {"a": [held]},
        "closure": lambda: lambda: held,
        "bytes": held.encode,
        "attribute": lambda: SimpleNamespace(value=held),
    }[case]()
    held = None if case != "closure" else held
    raise ValueError(repr(type(kept)))  # pyright: ignore[reportUnknownArgumentType]


@pytest.mark.parametrize("case", ["text", "container", "closure", "bytes", "attribute"])
def test_the_walk_finds_a_leak(case: str) -> None:
    """A secret in a local of a frame of ours, or within what it holds, is seen."""
    code = _hold.__code__.replace(co_filename="lib.py")
    hold = FunctionType(code, globals())
    with pytest.raises(ValueError, match="class") as caught:
        hold(case)
    assert leaks_of(caught.value, SECRETS) != []


async def test_the_walk_finds_a_leak_below_a_call(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password that a rule's own frame would hold is one."""

    def check(self: NewEndpoint) -> None:
        password = self.password
        raise InvalidArgumentError("password", f"is {len(password)} characters long")

    code = check.__code__.replace(co_filename="plivo_endpoints/_request_models.py")
    monkeypatch.setattr(NewEndpoint, "check", FunctionType(code, globals()))
    with pytest.raises(InvalidArgumentError) as caught:
        await client.endpoints.create(username="alice", password=PASSWORD, alias="a")
    assert [leak.split(": ")[-1] for leak in leaks_of(caught.value, SECRETS)] == [f"password holds {STEM}"]
