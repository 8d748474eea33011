"""No secret shows, through any fault, but in the caller's own frames and what the caller pickles."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import traceback
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import pytest

from plivo_endpoints import AsyncClient, Client, PlivoError
from tests.faults.account import AUTH_ID, SEED, Account, Step, make_jwt
from tests.faults.kinds import KINDS, Fault
from tests.faults.wire import Answer, Wire, make_answer

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
SECRETS: Final = ("CanaryAuth", STEM, MD5, "CanarySignature", HEADER)
# What a frame of a public method shows is what its caller passed to it.
PUBLIC: Final = {"create", "update"}


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


async def _create(client: AsyncClient) -> object:
    return await client.endpoints.create(username="alice", password=PASSWORD, alias="desk")


async def _get(client: AsyncClient) -> object:
    return await client.endpoints.get(SEED)


async def _update(client: AsyncClient) -> object:
    return await client.endpoints.update(SEED, password=PASSWORD)


async def _mint(client: AsyncClient) -> object:
    return await client.tokens.create(outgoing_allow=True)


async def _list(client: AsyncClient) -> object:
    return [endpoint async for endpoint in client.endpoints.list()]


CALLS: Final = (_create, _get, _update, _mint, _list)
# A password that a call did not send is none that its errors could know.
SENT_PASSWORD: Final = (_create, _update)


def _frames(error: BaseException) -> str:
    """Return the traceback with locals, without the caller's frames and those of the public methods."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain: list[traceback.TracebackException | None] = [shown, shown.__cause__, shown.__context__]
    frames = [frame for part in chain if part for frame in part.stack]
    return "\n".join(
        f"{frame.filename}:{frame.name} {frame.locals}"
        for frame in frames
        if "/tests/" not in frame.filename and frame.name not in PUBLIC
    )


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
        "locals": _frames(error),
    }
    if isinstance(error, PlivoError):
        forms["pickle"] = repr(pickle.dumps(error))
    return forms


async def _leaks_of(client: AsyncClient, account: Account, fault: Fault, call: Any) -> list[str]:
    account.forever = Step(fault, applied=fault.may_apply[0])
    try:
        result = await call(client)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not show a secret
        shown = _shown(error)
    else:
        shown = {"result": repr(result) + str(result)}
    return [
        f"{fault.name}, {call.__name__}: {form} shows {secret}"
        for form, text in shown.items()
        for secret in _leaks(text)
        if secret != STEM or call in SENT_PASSWORD
    ]


def _is_slow(fault: Fault) -> bool:
    return fault.timeout < 30


async def _walk(server: FaultServer, fault: Fault, call: Any) -> list[str]:
    account, url = server.account()
    account.jwt = JWT
    timeout = 0.3 if _is_slow(fault) else 10
    async with AsyncClient(
        AUTH_ID, TOKEN, base_url=url, timeout=timeout, max_attempts=1, max_body=100_000
    ) as client:
        assert _leaks(repr(client) + str(client) + f"{client}" + repr(vars(client))) == []
        return await _leaks_of(client, account, fault, call)


async def test_no_fault_shows_a_secret(
    faults: FaultServer, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """In no form of any error, in no local of any frame but the caller's, in no log and in no warning."""
    caplog.set_level(logging.DEBUG)
    throttled = {"429 Retry-After 1", "429", "429 Retry-After junk", "429 Retry-After 0"}
    quick = [fault for fault in KINDS if fault.name not in throttled]
    walks = [_walk(faults, fault, call) for fault in (*quick, *ECHOES, *UNREADABLE) for call in CALLS]
    leaks = [leak for found in await asyncio.gather(*walks) for leak in found]
    assert leaks == []
    assert _leaks(caplog.text) == []
    assert _leaks("".join(str(warning.message) for warning in recwarn.list)) == []
    assert len(walks) >= 500


async def test_a_cancelled_call_shows_no_secret(faults: FaultServer) -> None:
    """The `CancelledError` of a call under way leads through no frame that holds the header."""
    for call in (_create, _get):
        account, url = faults.account()
        account.forever = Step(next(f for f in KINDS if f.name == "never answers"), applied=False)
        async with AsyncClient(AUTH_ID, TOKEN, base_url=url) as client:
            task = asyncio.ensure_future(call(client))
            while not account.arrivals:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
        assert _leaks(_frames(caught.value)) == []


def test_the_blocking_client_shows_no_secret(faults: FaultServer) -> None:
    """Its frames between the caller and the loop hold none either."""
    for fault in (*ECHOES, *UNREADABLE):
        account, url = faults.account()
        account.forever = Step(fault, applied=False)
        with Client(AUTH_ID, TOKEN, base_url=url, max_attempts=1, timeout=2) as client:
            try:
                client.endpoints.update(SEED, password=PASSWORD)
            except PlivoError as error:
                shown = _shown(error)
                assert [(form, _leaks(text)) for form, text in shown.items() if _leaks(text)] == []


def test_the_walk_finds_a_leak() -> None:
    """A secret in a local of a frame that is not the caller's is seen."""
    namespace: dict[str, Any] = {}
    source = "def leak():\n    held = 'CanarySignature'\n    raise ValueError('x')"
    exec(compile(source, "lib.py", "exec"), namespace)  # noqa: S102
    with pytest.raises(ValueError, match="x") as caught:
        namespace["leak"]()
    assert "CanarySignature" in _frames(caught.value)
