"""The account on a sandbox that tests inspect and control."""

import secrets
import string
from collections.abc import Mapping
from datetime import timedelta

from attrs import field, frozen

from plivo_endpoints.sandbox._clock import Clock
from plivo_endpoints.sandbox._faults import Fault, new_injection
from plivo_endpoints.sandbox._json import Json
from plivo_endpoints.sandbox._record import RequestRecord
from plivo_endpoints.sandbox._rules import Changes
from plivo_endpoints.sandbox._settings import PageOrder, Pagination
from plivo_endpoints.sandbox._sip._websocket import SIGNALLING_PATH
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory
from plivo_endpoints.sandbox._state_file import dump_endpoints, restore_endpoints
from plivo_endpoints.sandbox._store import EndpointsView, Registration

_REGISTERED_SECONDS = 3600
_ID_ALPHABET = string.ascii_uppercase + string.digits


@frozen(kw_only=True)
class Subaccount:
    """Credentials of a subaccount, which can see and change only the endpoints it created.

    Attributes:
        auth_id: Its auth id.
        auth_token: Its auth token.
    """

    auth_id: str
    auth_token: str = field(repr=False)


class Account:
    """One account: its credentials, its state, and the requests it has received.

    The account sees all endpoints. If a subaccount created an endpoint, `sub_account` is that subaccount's
    auth_id. May be used from any thread.
    """

    def __init__(self, caller: Caller, directory: Directory) -> None:
        self._caller = caller
        self._state = caller.state
        self._directory = directory

    @property
    def auth_id(self) -> str:
        """The account's auth_id."""
        return self._caller.auth_id

    @property
    def auth_token(self) -> str:
        """The account's auth_token, which also signs its tokens."""
        return self._caller.auth_token

    @property
    def base_url(self) -> str:
        """The sandbox's origin, such as `http://127.0.0.1:8080`, without a trailing slash.

        Raises:
            RuntimeError: the sandbox is not running.
        """
        if self._directory.origin is None:
            raise RuntimeError("the sandbox is not running: use `with Sandbox()` or `async with Sandbox()`")
        return self._directory.origin

    @property
    def sip_port(self) -> int:
        """The port where phones register by UDP and TCP, on the host of `base_url`.

        Raises:
            RuntimeError: the sandbox is not running, or was not made with `sip=True`.
        """
        return self._require_sip()

    @property
    def signalling_url(self) -> str:
        """The WebSocket where phones in browsers register, such as `ws://127.0.0.1:8080/signalling`.

        Raises:
            RuntimeError: the sandbox is not running, or was not made with `sip=True`.
        """
        self._require_sip()
        return f"ws{self.base_url.removeprefix('http')}{SIGNALLING_PATH}"

    def _require_sip(self) -> int:
        if self._directory.sip_port is None:
            raise RuntimeError("SIP is not running: use `with Sandbox(sip=True)`")
        return self._directory.sip_port

    @property
    def endpoints(self) -> EndpointsView:
        """A live mapping of endpoint_id to `SandboxEndpoint`, oldest first."""
        return EndpointsView(self._state.store)

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The most recent requests, oldest first, without secrets: at most 100,000, in at most 128 MiB."""
        return tuple(self._state.requests)

    @property
    def tokens(self) -> tuple[dict[str, Json], ...]:
        """The claims of the last 1,000 tokens, oldest first.

        Plain dicts of `iss`, `sub`, `app`, `nbf`, `exp` and `per`, as in the token itself.
        """
        return tuple(self._state.claims)

    @property
    def clock(self) -> Clock:
        """The account's clock, which can be set and moved."""
        return self._state.clock

    @property
    def pagination(self) -> Pagination:
        """Whether `meta.next` of a list has an offset, a cursor, or both (`"hybrid"`); can be set."""
        return self._state.settings.pagination

    @pagination.setter
    def pagination(self, pagination: Pagination) -> None:
        self._state.configure(pagination=pagination)

    @property
    def order(self) -> PageOrder:
        """Whether lists start with the newest or the oldest endpoint; can be set."""
        return self._state.settings.order

    @order.setter
    def order(self, order: PageOrder) -> None:
        self._state.configure(order=order)

    @property
    def strict_alias(self) -> bool:
        """Whether an alias may hold only letters, digits, `-` and `_`; can be set."""
        return self._state.settings.strict_alias

    @strict_alias.setter
    def strict_alias(self, strict: bool) -> None:
        self._state.configure(strict_alias=strict)

    @property
    def quota(self) -> bool:
        """Whether endpoint requests beyond 300 in 5 seconds get a 429; can be set."""
        return self._state.settings.quota

    @quota.setter
    def quota(self, enforced: bool) -> None:
        self._state.configure(quota=enforced)

    @property
    def list_lag(self) -> float:
        """Seconds until a new endpoint appears in lists, at most a day; can be set."""
        return self._state.settings.list_lag

    @list_lag.setter
    def list_lag(self, seconds: float) -> None:
        self._state.configure(list_lag=seconds)

    @property
    def applied_creates(self) -> dict[str, int]:
        """How many creates were carried out for each requested username, whatever the response was.

        Beyond 1,000,000 usernames, those requested first are dropped.
        """
        return dict(self._state.creates)

    def inject(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        rate: float | None = None,
        seed: int = 0,
        latency_sigma: float = 0.0,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        """Apply `fault` to the next `times` requests (default 1), or to a fraction `rate` until cleared.

        With a `latency_sigma`, from 0 to 5, latencies are lognormal: the fault's `latency` is their median,
        and one in six requests takes more than `exp(latency_sigma)` times as long. The same `seed` selects
        the same requests and latencies.

        `method` (`GET`, `POST` or `DELETE`) and `path` select the requests. `path` is a shell pattern for the
        part after the account's path, such as `Endpoint/*/`. If several pending faults match a request, the
        first is applied. The `status` in `requests` shows whether it was.

        Raises:
            ValueError: `times` is below 1, `rate` is not from 0 to 1, both are given, `latency_sigma` is
                above 5 or the fault has no latency, or no operation matches `method` and `path`.
        """
        injection = new_injection(
            fault,
            times=times,
            rate=rate,
            seed=seed,
            latency_sigma=latency_sigma,
            method=method,
            path=path,
        )
        self._state.faults.add(injection)

    def clear_faults(self) -> None:
        """Remove all pending faults."""
        self._state.faults.clear()

    def register(
        self, endpoint_id: str, *, contact: str | None = None, user_agent: str = "Sandbox phone 1.0"
    ) -> None:
        """Register a SIP client at the URI `contact` with an endpoint.

        It stays registered until `unregister`, whatever `sip_expires` says.

        Raises:
            KeyError: there is no such endpoint.
        """
        endpoint = self.endpoints[endpoint_id]
        registration = Registration(
            contact=contact or f"sip:{endpoint.username}@192.0.2.1:57563;ob",
            expires=self.clock.now() + timedelta(seconds=_REGISTERED_SECONDS),
            user_agent=user_agent,
        )
        self._state.store.set_registration(endpoint_id, registration)

    def unregister(self, endpoint_id: str) -> None:
        """Unregister the SIP client of an endpoint; `KeyError` if there is no such endpoint."""
        self._state.store.set_registration(self.endpoints[endpoint_id].endpoint_id, None)

    def add_subaccount(self) -> Subaccount:
        """Create a subaccount and return its credentials."""
        made = Subaccount(auth_id=new_auth_id("SA"), auth_token=new_auth_token())
        self._directory.add(Caller(state=self._state, auth_id=made.auth_id, auth_token=made.auth_token))
        return made

    def seed(self, count: int) -> None:
        """Create `count` endpoints named user1, user2 and so on."""
        for number in range(1, count + 1):
            fields = Changes(password=f"password-{number}", alias=f"seeded-{number}")
            self._state.store.create(f"user{number}", fields)

    def reset(self) -> None:
        """Return to an empty account with the settings it started with.

        Endpoints, requests, tokens, counts and faults are removed, and the clock returns to the machine's
        time. The credentials of the account and its subaccounts stay valid. No endpoint_id is used again.
        """
        self._state.reset()

    def snapshot(self) -> dict[str, Json]:
        """Return the endpoints as a JSON document for `restore`, in the format of a state file.

        It contains no credentials of the account, but hashes of the endpoints' passwords, with which a phone
        could register: treat it as a secret.
        """
        return dump_endpoints(self._state)

    def restore(self, snapshot: Mapping[str, Json]) -> None:
        """Replace all endpoints and the default application by those of a snapshot.

        Nothing else changes: for everything else, call `reset` before. The snapshot may be another account's.
        New endpoints get ids that this account has not used before.

        Raises:
            ValueError: `snapshot` is not what `snapshot()` returns; nothing is changed.
        """
        restore_endpoints(snapshot, self._state)


def new_account(directory: Directory, auth_id: str | None = None, auth_token: str | None = None) -> Caller:
    """Add an empty account to `directory`; its credentials are random unless given."""
    state = AccountState(auth_id or new_auth_id("MA"), directory)
    caller = Caller(state=state, auth_id=state.auth_id, auth_token=auth_token or new_auth_token())
    directory.add(caller)
    return caller


def new_auth_id(prefix: str) -> str:
    """Return a random auth_id: `MA` or `SA`, followed by 18 capitals and digits."""
    return prefix + "".join(secrets.choice(_ID_ALPHABET) for _ in range(18))


def new_auth_token() -> str:
    """Return a random auth_token in Plivo's format: 40 characters."""
    return secrets.token_hex(20)
