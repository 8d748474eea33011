"""What a REGISTER asks for, and the registration that results: RFC 3261, 10.3."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import frozen

from plivo_endpoints.sandbox._sip._message import Request
from plivo_endpoints.sandbox._sip._syntax import SipSyntaxError, read_address, read_uri, split
from plivo_endpoints.sandbox._store import Registration

DEFAULT_SECONDS = 3600
MAX_SECONDS = 86_400
ANY = "*"

_MAX_CONTACT = 1000  # characters
_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)


@frozen(kw_only=True)
class Contact:
    """A URI, or `ANY`, and for how many seconds it shall be registered: 0 removes it."""

    uri: str
    seconds: int


def read_contacts(request: Request) -> list[Contact]:
    """Return the contacts of a REGISTER; none if it is only a question.

    Raises:
        SipSyntaxError: one is no SIP URI, an expiry is no number, or `*` is not alone or not with
            `Expires: 0`.
    """
    values = [each for value in request.all("contact") for each in split(value, ",")]
    default = _read_seconds(request.first("expires"), DEFAULT_SECONDS)
    if ANY in values:
        if values != [ANY] or default != 0:
            raise SipSyntaxError("Contact: * must be alone, and with Expires: 0")
        return [Contact(uri=ANY, seconds=0)]
    return [_read_contact(value, default) for value in values]


def _read_contact(value: str, default: int) -> Contact:
    address = read_address(value, "Contact")
    if len(address.uri) > _MAX_CONTACT:
        raise SipSyntaxError(f"Contact must have at most {_MAX_CONTACT} characters")
    read_uri(address.uri, "Contact")
    return Contact(uri=address.uri, seconds=_read_seconds(address.parameters.get("expires"), default))


def _read_seconds(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not _SECONDS.fullmatch(text):
        raise SipSyntaxError("an expiry must be a number of seconds")
    return min(int(text), MAX_SECONDS)


@frozen(kw_only=True)
class Registrant:
    """A phone that registers, and until when its login allows that at most."""

    source: str
    user_agent: str
    latest: datetime | None

    def bind(
        self, current: Registration | None, contacts: Iterable[Contact], now: datetime
    ) -> Registration | None:
        """Return the registration after `contacts` were applied to the `current` one.

        An endpoint has one registration: the last login wins. A phone removes its own, or with `*` whichever
        there is.
        """
        for contact in contacts:
            if contact.seconds > 0:
                current = self._registration(contact, now)
            elif current is not None and contact.uri in (ANY, current.contact):
                current = None
        return current

    def _registration(self, contact: Contact, now: datetime) -> Registration:
        expires = now + timedelta(seconds=contact.seconds)
        return Registration(
            contact=contact.uri,
            expires=expires if self.latest is None else min(expires, self.latest),
            user_agent=self.user_agent,
            source=self.source,
        )


def show_contact(registration: Registration | None, now: datetime) -> tuple[tuple[str, str], ...]:
    """Return the Contact field that a response has for a registration."""
    if registration is None:
        return ()
    seconds = max(1, int((registration.expires - now).total_seconds()))
    return (("Contact", f"<{registration.contact}>;expires={seconds}"),)
