"""The endpoints of one account in the order of creation, and Plivo's two representations of them."""

import hashlib
import secrets
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from datetime import datetime, timedelta

from attrs import evolve, field, frozen
from attrs.validators import instance_of, optional

from plivo_endpoints.sandbox._clock import Clock
from plivo_endpoints.sandbox._json import Json
from plivo_endpoints.sandbox._listing import PageRequest, Window, cut_window
from plivo_endpoints.sandbox._rules import Changes
from plivo_endpoints.sandbox._settings import PageOrder, is_string, is_time, matches

SIP_DOMAIN = "phone.plivo.com"


@frozen(kw_only=True)
class Registration:
    """A SIP client's registration.

    Attributes:
        contact: The URI where it takes calls.
        expires: When it ends, unless the phone registers again; in UTC.
        user_agent: What the phone calls itself.
        source: Where a phone registered from, as in `127.0.0.1:5060 (UDP)`. It is `None` if no phone did, but
            `Account.register` or the page; such a registration does not end by itself.
    """

    contact: str = field(validator=matches(r"[^\x00-\x1f\x7f]+", "a text without control characters"))
    expires: datetime = field(validator=is_time)
    user_agent: str = field(validator=is_string)
    source: str | None = field(default=None, validator=optional(is_string))

    def has_ended(self, now: datetime) -> bool:
        """Whether a phone would have had to register again before `now`."""
        return self.source is not None and self.expires <= now


@frozen(kw_only=True)
class SandboxEndpoint:
    """An endpoint as it was when it was looked up.

    Attributes:
        account_id: The account's auth_id.
        endpoint_id: Its id, 14 digits.
        username: Its username, with the appended digits.
        alias: Its human-readable name.
        password: The MD5 that Plivo returns, as 32 hexadecimal digits.
        app_id: The application that handles its calls.
        sub_account: The auth_id of the subaccount that created it, or `None`.
        created: When it was created, in UTC.
        ha1: What the digest authentication of SIP compares passwords by.
        registration: The registered phone, if there is one.
    """

    account_id: str = field(validator=is_string)
    endpoint_id: str = field(validator=matches("[0-9]{14}", "14 digits"))
    username: str = field(validator=matches("[A-Za-z][A-Za-z0-9]*", "letters and digits"))
    alias: str = field(validator=is_string)
    password: str = field(repr=False, validator=is_string)
    app_id: str = field(validator=matches("[A-Za-z0-9_-]{1,64}", "an application's id"))
    sub_account: str | None = field(validator=optional(is_string))
    created: datetime = field(validator=is_time)
    ha1: str = field(repr=False, validator=is_string)
    registration: Registration | None = field(default=None, validator=optional(instance_of(Registration)))

    @property
    def sip_uri(self) -> str:
        """The SIP address that others call to reach this endpoint."""
        return f"sip:{self.username}@{SIP_DOMAIN}"

    @property
    def sip_registered(self) -> bool:
        """Whether a SIP client is registered."""
        return self.registration is not None


def listed(endpoint: SandboxEndpoint) -> dict[str, Json]:
    """Return the endpoint as an item of a list, without the password."""
    account = f"/v1/Account/{endpoint.account_id}"
    shown: dict[str, Json] = {
        "alias": endpoint.alias,
        "application": f"{account}/Application/{endpoint.app_id}/",
        "endpoint_id": endpoint.endpoint_id,
        "resource_uri": f"{account}/Endpoint/{endpoint.endpoint_id}/",
        # Plivo sends this one as a string.
        "sip_registered": "true" if endpoint.sip_registered else "false",
        "sip_uri": endpoint.sip_uri,
        "sub_account": endpoint.sub_account,
        "username": endpoint.username,
    }
    if endpoint.registration is not None:
        shown["sip_contact"] = endpoint.registration.contact
        shown["sip_expires"] = f"{endpoint.registration.expires:%Y-%m-%d %H:%M:%S}"
        shown["sip_user_agent"] = endpoint.registration.user_agent
    return shown


def detailed(endpoint: SandboxEndpoint) -> dict[str, Json]:
    """Return the endpoint as retrieved by id, with the password's MD5 unless registered."""
    shown = listed(endpoint)
    if endpoint.registration is None:
        shown["password"] = endpoint.password
    return shown


# Ids always have 14 digits. There is room for more than 10^12 ids above the last initial one.
FIRST_ID, LAST_ID = 10**13, 9 * 10**13
LAST_SUFFIX = 10**12 - 10**9


class EndpointStore:
    """Holds endpoints by id and reports each change; every method may be called from any thread."""

    def __init__(
        self,
        account_id: str,
        clock: Clock,
        changed: Callable[[], None],
        *,
        is_taken: Callable[[str], bool],
    ) -> None:
        self.default_app_id: str = f"{secrets.randbelow(9 * 10**16) + 10**16}"
        self._account_id = account_id
        self._clock = clock
        self._changed = changed
        self._is_taken = is_taken  # whether any account has an endpoint of that username
        self._lock = threading.RLock()
        self._by_id: dict[str, SandboxEndpoint] = {}
        self._id_of: dict[str, str] = {}  # by username
        # Sorted, as ids only grow. None maps to all ids, a subaccount to its own.
        self._ids: dict[str | None, list[str]] = {None: []}
        self.last_id: int = secrets.randbelow(LAST_ID - FIRST_ID) + FIRST_ID
        self.last_suffix: int = 0

    def create(self, username: str, fields: Changes, sub_account: str | None = None) -> SandboxEndpoint:
        """Create an endpoint from validated fields."""
        with self._lock:
            final, password = self._final_username(username), fields.password or ""
            endpoint = SandboxEndpoint(
                account_id=self._account_id,
                endpoint_id=self._next_id(),
                username=final,
                alias=fields.alias or "",
                password=_md5(password),
                app_id=fields.app_id or self.default_app_id,
                sub_account=sub_account,
                created=self._clock.now(),
                ha1=_ha1(final, password),
            )
            self.add(endpoint)
        self._changed()
        return endpoint

    def add(self, endpoint: SandboxEndpoint) -> None:
        """Add an endpoint that is newer than all others."""
        with self._lock:
            self._by_id[endpoint.endpoint_id] = endpoint
            self._id_of[endpoint.username] = endpoint.endpoint_id
            for view in {None, endpoint.sub_account}:
                self._ids.setdefault(view, []).append(endpoint.endpoint_id)

    def clear(self) -> None:
        """Remove all endpoints; ids go on, and digits after usernames start with the time again."""
        with self._lock:
            self.last_suffix = 0
            self._replace_all([])
        self._changed()

    def restore(self, endpoints: Iterable[SandboxEndpoint], last_id: int, last_suffix: int) -> None:
        """Replace all endpoints; new ids and digits are above both the given ones and those used so far."""
        with self._lock:
            self.last_id = max(self.last_id, last_id)
            self.last_suffix = max(self.last_suffix, last_suffix)
            self._replace_all(endpoints)
        self._changed()

    def _replace_all(self, endpoints: Iterable[SandboxEndpoint]) -> None:
        # Filled before they are replaced: others read them without the lock.
        by_id, id_of, ids = _index(endpoints)
        self._by_id, self._id_of, self._ids = by_id, id_of, ids

    def get(self, endpoint_id: str, sub_account: str | None = None) -> SandboxEndpoint | None:
        """Return an endpoint, or `None` if there is none or `sub_account` may not see it."""
        endpoint = self._by_id.get(endpoint_id)
        if endpoint is None or sub_account not in (None, endpoint.sub_account):
            return None
        return _as_of(self._clock.now(), endpoint)

    def find(self, username: str, sub_account: str | None = None) -> SandboxEndpoint | None:
        """Return the endpoint of that username, or `None` as in `get`."""
        return self.get(self._id_of.get(username, ""), sub_account)

    def change(self, endpoint_id: str, changes: Changes) -> None:
        """Set the given fields, unless the endpoint is gone."""
        with self._lock:
            old = self._by_id.get(endpoint_id)
            if old is None:
                return
            self._by_id[endpoint_id] = evolve(
                old,
                password=old.password if changes.password is None else _md5(changes.password),
                ha1=old.ha1 if changes.password is None else _ha1(old.username, changes.password),
                alias=old.alias if changes.alias is None else changes.alias,
                app_id=changes.app_id or old.app_id,
            )
        self._changed()

    def set_registration(self, endpoint_id: str, registration: Registration | None) -> None:
        """Register an endpoint, or unregister it with `None`."""
        self.update_registration(endpoint_id, lambda _: registration)

    def update_registration(
        self, endpoint_id: str, update: Callable[[Registration | None], Registration | None]
    ) -> Registration | None:
        """Replace an endpoint's registration by what `update` returns for it; `None` if it is gone."""
        with self._lock:
            endpoint = self.get(endpoint_id)
            if endpoint is None:
                return None
            registration = update(endpoint.registration)
            if registration == endpoint.registration:
                return registration
            self._by_id[endpoint_id] = evolve(endpoint, registration=registration)
        self._changed()
        return registration

    def delete(self, endpoint_id: str) -> None:
        """Remove an endpoint, unless it is gone."""
        with self._lock:
            endpoint = self._by_id.pop(endpoint_id, None)
            if endpoint is None:
                return
            self._id_of.pop(endpoint.username, None)
            for view in {None, endpoint.sub_account}:
                ids = self._ids[view]
                del ids[bisect_left(ids, endpoint_id)]
        self._changed()

    def page(
        self, request: PageRequest, order: PageOrder, lag: float = 0.0, sub_account: str | None = None
    ) -> tuple[Window, list[SandboxEndpoint]]:
        """Return one page of the endpoints that `sub_account` may see and that are `lag` seconds old."""
        with self._lock:
            ids = self._ids.get(sub_account, [])
            window = cut_window(ids, self._count_older(ids, lag), request, order)
            now = self._clock.now()
            return window, [_as_of(now, self._by_id[endpoint_id]) for endpoint_id in window.ids]

    def snapshot(self) -> dict[str, SandboxEndpoint]:
        """Return all endpoints as they are now, oldest first."""
        now = self._clock.now()
        with self._lock:
            return {endpoint_id: _as_of(now, endpoint) for endpoint_id, endpoint in self._by_id.items()}

    def __len__(self) -> int:
        return len(self._by_id)

    def _count_older(self, ids: list[str], lag: float) -> int:
        if not lag:
            return len(ids)
        latest = self._clock.now() - timedelta(seconds=lag)
        return bisect_right(ids, latest, key=lambda endpoint_id: self._by_id[endpoint_id].created)

    def _next_id(self) -> str:
        self.last_id += 7  # neither consecutive nor out of order
        return str(self.last_id)

    def _final_username(self, username: str) -> str:
        while self._is_taken(final := f"{username}{self._next_suffix()}"):
            pass
        return final

    def _next_suffix(self) -> str:
        # The time of creation, as on Plivo. Within one second the suffixes count up, as two usernames must
        # never be equal.
        self.last_suffix = max(self.last_suffix + 1, int(f"{self._clock.now():%y%m%d%H%M%S}"))
        return f"{self.last_suffix:012d}"


def _index(
    endpoints: Iterable[SandboxEndpoint],
) -> tuple[dict[str, SandboxEndpoint], dict[str, str], dict[str | None, list[str]]]:
    """Return endpoints by id, ids by username, and the ids that the account and each subaccount may see."""
    by_id = {endpoint.endpoint_id: endpoint for endpoint in endpoints}
    ids: dict[str | None, list[str]] = {None: list(by_id)}
    for endpoint in by_id.values():
        if endpoint.sub_account is not None:
            ids.setdefault(endpoint.sub_account, []).append(endpoint.endpoint_id)
    return by_id, {endpoint.username: endpoint.endpoint_id for endpoint in by_id.values()}, ids


class EndpointsView(Mapping[str, SandboxEndpoint]):
    """A live, read-only view of an account's endpoints by id, oldest first."""

    def __init__(self, store: EndpointStore) -> None:
        self._store = store

    def __getitem__(self, endpoint_id: str) -> SandboxEndpoint:
        endpoint = self._store.get(endpoint_id)
        if endpoint is None:
            raise KeyError(endpoint_id)
        return endpoint

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.snapshot())

    def __len__(self) -> int:
        return len(self._store)

    # Mapping's own methods would look up each id again, when it may be gone.
    def values(self) -> ValuesView[SandboxEndpoint]:
        """Return a snapshot of the endpoints."""
        return self._store.snapshot().values()

    def items(self) -> ItemsView[str, SandboxEndpoint]:
        """Return a snapshot of ids and endpoints."""
        return self._store.snapshot().items()

    def __repr__(self) -> str:
        return f"<{len(self)} endpoints>"


def _as_of(now: datetime, endpoint: SandboxEndpoint) -> SandboxEndpoint:
    # Looked at when it is read and not when it happens, so that moving the clock takes effect at once.
    if endpoint.registration is None or not endpoint.registration.has_ended(now):
        return endpoint
    return evolve(endpoint, registration=None)


def _ha1(username: str, password: str) -> str:
    return _md5(f"{username}:{SIP_DOMAIN}:{password}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
