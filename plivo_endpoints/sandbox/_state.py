"""The accounts of a sandbox, with their callers, quota and listeners."""

import asyncio
import base64
import binascii
import hmac
import threading
from collections import OrderedDict, deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from plivo_endpoints.sandbox._clock import Clock
from plivo_endpoints.sandbox._faults import Faults
from plivo_endpoints.sandbox._record import RecentRequests
from plivo_endpoints.sandbox._settings import Settings, is_token, matches
from plivo_endpoints.sandbox._store import EndpointStore, SandboxEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox._json import Json
    from plivo_endpoints.sandbox._record import RequestRecord


class Feed:
    """Wakes its listeners, each in its own event loop; changes may come from any thread."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def publish(self) -> None:
        """Wake all listeners; several changes may wake them only once."""
        for event, loop in tuple(self._listeners.items()):
            with suppress(RuntimeError):  # its loop is closed, so the listener is gone
                loop.call_soon_threadsafe(event.set)

    @contextmanager
    def listen(self) -> Generator[asyncio.Event]:
        """Yield an event that is set at every change; the listener clears it."""
        event = asyncio.Event()
        self._listeners[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            del self._listeners[event]


LIMIT = 300
WINDOW = 5.0  # seconds


class Quota:
    """Allows 300 requests in any 5 seconds; rejected requests do not count."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque(maxlen=LIMIT)

    def admit(self, now: float) -> bool:
        """Whether a request at `now` (seconds) is within the quota; counts it if so."""
        # A time after now was counted before the clock was set back.
        if len(self._admitted) == LIMIT and 0 <= now - self._admitted[0] < WINDOW:
            return False
        self._admitted.append(now)
        return True


# Limits, so that a sandbox can run for weeks.
MAX_TOKENS = 1_000
MAX_USERNAMES = 1_000_000


class AccountState:
    """The state of one account."""

    def __init__(self, auth_id: str, directory: "Directory") -> None:
        self.auth_id: str = auth_id
        self.clock: Clock = Clock()
        self.feed: Feed = Feed()
        self.store: EndpointStore = EndpointStore(
            auth_id, self.clock, self.feed.publish, is_taken=lambda name: bool(directory.find_endpoints(name))
        )
        self.faults: Faults = Faults()
        self.quota: Quota = Quota()
        self.settings: Settings = Settings()
        self._first_settings = self.settings
        self.requests: RecentRequests = RecentRequests()
        self.claims: deque[dict[str, Json]] = deque(maxlen=MAX_TOKENS)
        self.creates: OrderedDict[str, int] = OrderedDict()
        self.on_request: Callable[[RequestRecord], None] | None = None
        self._lock = threading.Lock()

    def start_with(self, settings: Settings) -> None:
        """Set the settings to which `reset` returns."""
        self.settings = self._first_settings = settings

    def reset(self) -> None:
        """Return to an empty account; endpoint ids go on."""
        # The records are replaced, not emptied, as another thread may be adding to them.
        self.requests, self.quota = RecentRequests(), Quota()
        self.claims, self.creates = deque(maxlen=MAX_TOKENS), OrderedDict()
        self.faults.clear()
        self.clock.reset()
        with self._lock:
            self.settings = self._first_settings
        self.store.clear()

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - `Settings` checks them
        """Change settings; if one breaks its rule, raise `ValueError` and change none."""
        with self._lock:
            self.settings = evolve(self.settings, **changes)

    def count_create(self, username: str) -> None:
        """Count a create for the requested username."""
        self.creates[username] = self.creates.get(username, 0) + 1
        if len(self.creates) > MAX_USERNAMES:
            self.creates.popitem(last=False)

    def remember(self, record: "RequestRecord") -> None:
        """Record a request and notify listeners."""
        self.requests.append(record)
        self.feed.publish()
        if self.on_request is not None:
            self.on_request(record)


@frozen(kw_only=True)
class Caller:
    """An account or subaccount, with its credentials."""

    state: AccountState
    auth_id: str = field(validator=matches("[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, - and _"))
    auth_token: str = field(repr=False, validator=is_token)

    @property
    def sub_account(self) -> str | None:
        """The subaccount whose endpoints the caller is limited to; `None` for the whole account."""
        return None if self.auth_id == self.state.auth_id else self.auth_id

    @property
    def endpoints_path(self) -> str:
        """The path of the endpoint list."""
        return f"/v1/Account/{self.auth_id}/Endpoint/"


class Directory:
    """All callers of a sandbox by auth_id, its origin (`None` while it is not running), and its SIP port."""

    def __init__(self) -> None:
        self.origin: str | None = None
        self.sip_port: int | None = None
        self._callers: dict[str, Caller] = {}
        self._first: Caller

    def add(self, caller: Caller) -> None:
        """Accept the credentials of `caller`."""
        if not self._callers:
            self._first = caller
        self._callers[caller.auth_id] = caller

    def remove(self, state: AccountState) -> None:
        """Remove an account and its subaccounts."""
        for auth_id in [each.auth_id for each in tuple(self._callers.values()) if each.state is state]:
            del self._callers[auth_id]

    def subaccounts(self, state: AccountState) -> list[Caller]:
        """Return the subaccounts of an account."""
        return [each for each in tuple(self._callers.values()) if each.state is state and each.sub_account]

    def accounts(self) -> list[Caller]:
        """Return all accounts, without subaccounts."""
        return [each for each in tuple(self._callers.values()) if not each.sub_account]

    def find(self, auth_id: str) -> Caller | None:
        """Return the caller with this auth_id."""
        return self._callers.get(auth_id)

    def find_endpoints(self, username: str) -> list[tuple[AccountState, SandboxEndpoint]]:
        """Return the endpoints of that username: several if a snapshot was restored in several accounts."""
        states = dict.fromkeys(each.state for each in tuple(self._callers.values()))
        found = [(state, state.store.find(username)) for state in states]
        return [(state, endpoint) for state, endpoint in found if endpoint is not None]

    def first(self) -> Caller:
        """Return the caller that the sandbox was started with."""
        return self._first

    def sign_in(self, authorization: str) -> Caller | None:
        """Return the caller of an `Authorization` header, or `None` if its credentials are wrong."""
        scheme, _, credentials = authorization.partition(" ")
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except (ValueError, binascii.Error):
            return None
        auth_id, _, token = decoded.partition(":")
        caller = self._callers.get(auth_id) if scheme.lower() == "basic" else None
        if caller is None or not hmac.compare_digest(caller.auth_token.encode(), token.encode()):
            return None
        return caller
