"""Injected faults: what goes wrong, for which requests and how often, and how it is sent."""

import random
import re
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from http import HTTPStatus

from aiohttp import web
from attrs import define, evolve, field, frozen

from plivo_endpoints.sandbox._json import refuse
from plivo_endpoints.sandbox._server import pause
from plivo_endpoints.sandbox._settings import MAX_SECONDS, is_between

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")

# Paths below the account's, with `{}` for an id, and their methods.
OPERATIONS = {
    "Endpoint/": ("GET", "POST"),
    "Endpoint/{}/": ("GET", "POST", "DELETE"),
    "JWT/Token/": ("POST",),
}
_MAX_PATTERN = 200  # characters
_MAX_HEADERS = 100
_MAX_SIGMA = 5
_WILDCARD = re.compile(r"\[(.)[^]]*\]|[*?]")


@frozen(kw_only=True)
class Fault:
    """What goes wrong with a response.

    Attributes:
        applied: Whether the operation is carried out anyway, which the caller cannot see.
        status: Replaces the status. Without it the real response is sent, or nothing if the operation was not
            applied.
        body: Replaces the body if there is a `status`. Without it an error in Plivo's format is sent.
        content_type: The type of `body`.
        headers: More headers, of whichever response is sent.
        latency: Seconds before the response starts, at most a day.
        drip: Seconds between two bytes of the body, at most a day.
        truncate_at: How many bytes of the body are sent before the connection is closed.
        reset: Whether to close the connection by RST; without `truncate_at` before any byte is sent.
    """

    applied: bool
    status: int | None = None
    body: str | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(factory=dict[str, str])
    latency: float = field(default=0.0, validator=is_between(0, MAX_SECONDS))
    drip: float = field(default=0.0, validator=is_between(0, MAX_SECONDS))
    truncate_at: int | None = None
    reset: bool = False

    def __attrs_post_init__(self) -> None:
        # Below 200 are interim responses, after which a client waits for the final one.
        if self.status is not None and not HTTPStatus.OK <= self.status <= 599:  # noqa: PLR2004
            raise ValueError("status must be 200 to 599")
        if (self.truncate_at or 0) < 0:
            raise ValueError("truncate_at must not be negative")
        if self.status is None and not self.applied and not self.reset:
            raise ValueError("a fault that is not applied needs a status or reset")
        self._check_text()

    def _check_text(self) -> None:
        if len(self.headers) > _MAX_HEADERS:
            raise ValueError(f"headers must have at most {_MAX_HEADERS} entries")
        for name, value in {**self.headers, "Content-Type": self.content_type}.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError("headers and content_type must be valid in HTTP")
            if name.lower() in ("content-length", "transfer-encoding"):
                raise ValueError(f"headers must not set {name}: use truncate_at to cut the body short")
        if self.body is not None:
            if self.status is None:
                raise ValueError("a body needs a status")
            self.body.encode()  # lone surrogates raise UnicodeEncodeError, a ValueError


@define
class Injection:
    """A fault, and which requests it applies to."""

    fault: Fault
    times: int | None
    rate: float
    latency_sigma: float
    chance: random.Random
    method: str | None
    path: str

    def strikes(self, method: str, path: str) -> bool:
        """Whether the fault applies to this request; counts it if so."""
        if self.times == 0 or self.method not in (None, method) or not fnmatchcase(path, self.path):
            return False
        if self.times is not None:
            self.times -= 1
            return True
        return self.chance.random() < self.rate

    def draw(self) -> Fault:
        """Return the fault for one request, with a latency from the distribution."""
        if not self.latency_sigma:
            return self.fault
        latency = self.fault.latency * self.chance.lognormvariate(0, self.latency_sigma)
        return evolve(self.fault, latency=min(latency, MAX_SECONDS))


class Faults:
    """The pending faults; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._injections: list[Injection] = []

    def add(self, injection: Injection) -> None:
        """Add a fault after the pending ones."""
        with self._lock:
            self._injections.append(injection)

    def __len__(self) -> int:
        return len(self._injections)

    def clear(self) -> None:
        """Remove all pending faults."""
        with self._lock:
            self._injections.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the fault for this request; `path` is the part after the account's path."""
        with self._lock:
            hit = next((each for each in self._injections if each.strikes(method, path)), None)
            self._injections = [each for each in self._injections if each.times != 0]
            return hit.draw() if hit else None


def new_injection(
    fault: Fault,
    *,
    times: int | None = None,
    rate: float | None = None,
    seed: int = 0,
    latency_sigma: float = 0.0,
    method: str | None = None,
    path: str | None = None,
) -> Injection:
    """Return an injection for the next `times` requests (default 1), or for a fraction `rate` of them.

    Raises:
        ValueError: `times` is below 1, `rate` is not from 0 to 1, both are given, `latency_sigma` is not from
            0 to 5 or the fault has no latency for it, or no operation matches `method` and `path`.
    """
    if times is not None and rate is not None:
        raise ValueError("give times or rate, not both")
    if rate is None:
        times = 1 if times is None else times
    if (times is not None and times < 1) or not 0 <= (rate or 0) <= 1:
        raise ValueError("times must be at least 1, and rate from 0 to 1")
    if not 0 <= latency_sigma <= _MAX_SIGMA or (latency_sigma and not fault.latency):
        raise ValueError(f"latency_sigma must be from 0 to {_MAX_SIGMA}, and needs a fault with a latency")
    path = "*" if path is None else path
    if len(path) > _MAX_PATTERN:
        raise ValueError(f"path must be at most {_MAX_PATTERN} characters")
    _check_aim(method, path)
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return Injection(fault, times, rate or 0.0, latency_sigma, chance, method, path)


def _check_aim(method: str | None, path: str) -> None:
    # With a fault that never applies, a test would pass without testing anything.
    for operation, methods in OPERATIONS.items():
        if method in (None, *methods) and any(fnmatchcase(each, path) for each in _examples(operation, path)):
            return
    known = "; ".join(f"{', '.join(methods)} of {each.format('*')}" for each, methods in OPERATIONS.items())
    raise ValueError(f"method={method!r} with path={path!r} matches no operation: there are {known}")


def _examples(operation: str, path: str) -> set[str]:
    """Return paths of an operation: if `path` matches any path of it, it matches one of these."""
    # One part of the pattern stands for the id: replace wildcards by their first choice, or a digit.
    parts = _WILDCARD.sub(lambda wildcard: wildcard[1] or "1", path).split("/")
    return {operation.format(each) for each in parts if each}


# Close at once, with RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


def faulty_answer(fault: "Fault", real: web.StreamResponse | None) -> web.StreamResponse | None:
    """Return the response to send; `None` if the connection is dropped before any byte."""
    if fault.reset and fault.truncate_at is None:
        return None
    answer = real if fault.status is None else _substitute(fault, fault.status)
    if answer is not None:
        answer.headers.update(fault.headers)
    return answer


async def send_faulty_response(
    request: web.Request, fault: "Fault", answer: web.StreamResponse | None
) -> web.StreamResponse:
    """Send `answer`, or nothing, with the delays and truncation of the fault."""
    if fault.latency:
        await pause(request.app, fault.latency)
    if answer is None:
        _drop(request, reset=True)
        return web.Response()
    if not fault.drip and fault.truncate_at is None:
        return answer
    # The client may have disconnected, which is what slow responses are for.
    with suppress(ConnectionError):
        return await _send_in_part(request, fault, answer)
    return answer


async def _send_in_part(
    request: web.Request, fault: "Fault", answer: web.StreamResponse
) -> web.StreamResponse:
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    partly = web.StreamResponse(status=answer.status, headers=answer.headers)
    partly.content_length = len(body)
    await partly.prepare(request)
    shown = body[: fault.truncate_at]
    step = 1 if fault.drip else max(len(shown), 1)
    for start in range(0, len(shown), step):
        await partly.write(shown[start : start + step])
        if fault.drip:
            await pause(request.app, fault.drip)
    if fault.truncate_at is not None:
        _drop(request, reset=fault.reset)
    return partly


def _drop(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:  # the client disconnected first
        return
    if reset:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    else:
        transport.close()


def _substitute(fault: "Fault", status: int) -> web.Response:
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return web.Response(status=status)  # they have no body
    if fault.body is None:
        known = status in HTTPStatus.__members__.values()
        return refuse(status, HTTPStatus(status).phrase.lower() if known else "error")
    headers = {"Content-Type": fault.content_type}
    return web.Response(status=status, body=fault.body.encode(), headers=headers)
