"""The ground truth of one case: what arrived, and what came of it."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections import Counter, deque
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from attrs import define, field, frozen

from tests.faults.wire import Answer, make_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.kinds import Fault

AUTH_ID: Final = "MAFAULTFAULTFAULT000"
_HEADER: Final = {"alg": "HS256", "cty": "plivo;v=1", "typ": "JWT"}
SEED: Final = "10000000000001"
_NOT_FOUND: Final = make_answer(404, "Not Found", b'{"api_id":"a-404","error":"not found"}')


@frozen
class Step:
    """What happens to one request: a fault, and whether the request is carried out all the same."""

    fault: Fault
    applied: bool


@frozen
class Arrival:
    """A request that reached the server."""

    method: str
    target: str
    at: float  # monotonic seconds
    status: int | None  # of a refusal that was scripted for it


@frozen
class Made:
    """An endpoint that exists."""

    endpoint_id: str
    username: str
    alias: str


def make_jwt(signature: str = "c2lnbmF0dXJl") -> str:
    """Return a token as Plivo makes them, its signature apart."""
    claims: dict[str, object] = {
        "iss": AUTH_ID,
        "sub": "",
        "nbf": 1,
        "exp": 86401,
        "app": "",
        "per": {"voice": {}},
    }
    parts = [encode_part(part) for part in (_HEADER, claims)]
    return ".".join([*parts, signature])


def encode_part(part: object) -> str:
    """Encode one part of a token."""
    return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@define(eq=False)
class Account:
    """One scripted account; the steps of its script are spent request by request, then it is honest."""

    honest: Fault
    script: deque[Step] = field(factory=deque[Step])
    forever: Step | None = None
    arrivals: list[Arrival] = field(factory=list[Arrival])
    endpoints: dict[str, Made] = field(factory=dict[str, Made])
    created: list[Made] = field(factory=list[Made])
    jwt: str = field(factory=make_jwt)
    landing: list[float] = field(factory=list[float])  # when delayed creates landed, epoch seconds
    _serial: int = 0

    def play(self, steps: Iterable[Step]) -> None:
        """Script the requests to come."""
        self.script.extend(steps)

    def next_step(self) -> Step:
        """Return what happens to the request that came."""
        if self.script:
            return self.script.popleft()
        return self.forever or Step(self.honest, applied=True)

    def seed(self, username: str = "seed123", alias: str = "seed", endpoint_id: str = SEED) -> None:
        """Add an endpoint that nobody created through the wire."""
        self.endpoints[endpoint_id] = Made(endpoint_id, username, alias)

    def sends(self) -> Counter[str]:
        """Count the requests that came, by method."""
        return Counter(arrival.method for arrival in self.arrivals)

    def carry_out(self, method: str, target: str, body: bytes, *, applied: bool) -> Answer:
        """Answer a request as Plivo would; its effect, if any, comes about only when `applied`."""
        path, query = urlsplit(target).path.split("/Account/")[1].split("/", 1)[1], urlsplit(target).query
        if path == "JWT/Token/":
            return _ok(200, {"api_id": "a-1", "token": self.jwt})
        if path == "Endpoint/":
            return self._create(body, applied=applied) if method == "POST" else self._list(query)
        return self._one(method, path.split("/")[1], applied=applied)

    def _create(self, body: bytes, *, applied: bool) -> Answer:
        asked = json.loads(body)
        made = self.make(asked["username"], asked["alias"], applied=applied)
        fields = {"username": made.username, "alias": made.alias, "endpoint_id": made.endpoint_id}
        return _ok(201, {"message": "created", "api_id": "a-1", **fields})

    def make(self, username: str, alias: str, *, applied: bool) -> Made:
        """Make an endpoint, or only tell what it would have been."""
        self._serial += 1
        made = Made(str(20000000000000 + self._serial), f"{username}{260101000000 + self._serial}", alias)
        if applied:
            self.endpoints[made.endpoint_id] = made
            self.created.append(made)
            self.landing.append(time.time())
        return made

    def _list(self, query: str) -> Answer:
        asked = {name: int(values[0]) for name, values in parse_qs(query).items()}
        limit, offset = asked.get("limit", 20), asked.get("offset", 0)
        everything = list(self.endpoints.values())
        rest = offset + limit < len(everything)
        link = f"/v1/Account/{AUTH_ID}/Endpoint/?limit={limit}&offset={offset + limit}" if rest else None
        meta = {"limit": limit, "offset": offset, "next": link, "previous": None}
        objects = [_describe(made) for made in everything[offset : offset + limit]]
        content = {"meta": {**meta, "total_count": len(everything)}, "objects": objects}
        return _ok(200, {"api_id": "a-1", **content})

    def _one(self, method: str, endpoint_id: str, *, applied: bool) -> Answer:
        made = self.endpoints.get(endpoint_id)
        if made is None:
            return _NOT_FOUND
        if method == "GET":
            return _ok(200, _describe(made))
        if method == "POST":
            return _ok(202, {"message": "changed", "api_id": "a-1"})
        if applied:
            del self.endpoints[endpoint_id]
        return make_answer(204, "No Content")


def _describe(made: Made) -> dict[str, str | None]:
    return {
        "endpoint_id": made.endpoint_id,
        "username": made.username,
        "alias": made.alias,
        "password": "0123456789abcdef0123456789abcdef",
        "sip_uri": f"sip:{made.username}@phone.example",
        "sip_registered": "false",
        "application": None,
    }


def _ok(status: int, content: object) -> Answer:
    return make_answer(status, "OK", json.dumps(content).encode())
