"""What Plivo has and what it answers: frozen values, checked by the codec, once, when they come."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - type hints resolve the annotations
from datetime import datetime  # noqa: TC003 - likewise
from typing import Generic, TypeVar

from attrs import field, frozen

T = TypeVar("T")


# What lists are made of and creates return has no slots: the codec fills it in without its constructor.
@frozen(kw_only=True, slots=False)
class Endpoint:
    """A SIP user that can register with Plivo and make and take calls.

    Only `endpoint_id` is certain. Plivo leaves out what does not apply, lists hold less than `get`, and a
    value of the wrong type counts as missing: it is in `extra`.

    Attributes:
        endpoint_id: Opaque id.
        username: The SIP user name, with the digits that Plivo appended.
        alias: The name given to it for people.
        password: The MD5 of the SIP password in hexadecimal, where Plivo sends it: from `get`, while no phone
            is registered. A hash, not the password, and it may be stale after an update. No repr shows it.
        application: URI of the application attached to it.
        sip_uri: The address others call it on. Its user part may differ from `username`.
        sip_registered: Whether a phone is registered now.
        sip_contact: Where the registered phone is.
        sip_expires: When the registration runs out, as an aware UTC time.
        sip_user_agent: What the registered phone calls itself.
        sub_account: The subaccount it is linked to.
        resource_uri: Its URI.
        api_id: Plivo's id of the request that told this; not part of the endpoint, so not compared.
        extra: Fields that this version does not know, and values of the wrong type, as they came. The repr
            shows their names only: nobody knows what an unknown field may hold.
    """

    endpoint_id: str
    username: str | None = None
    alias: str | None = None
    password: str | None = field(default=None, repr=False)
    application: str | None = None
    sip_uri: str | None = None
    sip_registered: bool | None = None
    sip_contact: str | None = None
    sip_expires: datetime | None = None
    sip_user_agent: str | None = None
    sub_account: str | None = None
    resource_uri: str | None = None
    api_id: str | None = field(default=None, eq=False)
    extra: Mapping[str, object] = field(
        factory=dict[str, object], hash=False, repr=lambda extra: repr(sorted(extra))
    )

    @property
    def application_id(self) -> str | None:
        """The attached application's id: the last segment of `application`, the form that requests use."""
        return self.application.rstrip("/").rpartition("/")[2] or None if self.application else None


@frozen(kw_only=True, slots=False)
class CreatedEndpoint:
    """Plivo's answer to a create.

    `endpoint_id` and `username` are certain: without them it is unknown what was created.

    Attributes:
        endpoint_id: The new endpoint's id.
        username: The name as Plivo made it: the one asked for and digits. Phones register with this one.
        alias: The alias.
        message: Plivo's word for it, "created".
        api_id: Plivo's id of the request.
    """

    endpoint_id: str
    username: str
    alias: str | None = None
    message: str | None = None
    api_id: str | None = None


@frozen(kw_only=True)
class Acknowledgement:
    """Plivo's answer to an update, which does not repeat the endpoint.

    Attributes:
        message: Plivo's word for it, "changed".
        api_id: Plivo's id of the request.
    """

    message: str | None = None
    api_id: str | None = None


@frozen(kw_only=True)
class PageMeta:
    """Where a page lies in its list; `None` where Plivo did not say, or said it in the wrong type.

    Attributes:
        limit: Most objects a page may hold.
        offset: Objects before this page.
        next: Relative path and query of the next page, `None` on the last.
        previous: Relative path and query of the page before.
        total_count: Objects in the whole list.
    """

    limit: int | None = None
    offset: int | None = None
    next: str | None = None
    previous: str | None = None
    total_count: int | None = None


@frozen(kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        objects: What is on it, in Plivo's order.
        meta: Where it lies in the list.
        api_id: Plivo's id of the request.
    """

    objects: tuple[T, ...]
    meta: PageMeta = field(factory=PageMeta)
    api_id: str | None = None


@frozen(kw_only=True)
class TokenClaims:
    """What a token says, read without verifying its signature; `None` where it cannot be read.

    Attributes:
        iss: The auth id it was made for.
        sub: Whom it lets in; `None` where it names nobody.
        nbf: Not valid before, aware UTC.
        exp: Not valid from then on, aware UTC.
        app: Application that routes its calls.
        incoming_allow: May take calls; `False` where the token does not say.
        outgoing_allow: May make calls; likewise.
    """

    iss: str | None
    sub: str | None
    nbf: datetime | None
    exp: datetime | None
    app: str | None
    incoming_allow: bool | None
    outgoing_allow: bool | None


@frozen(kw_only=True)
class Token:
    """A JWT that lets one browser or phone log in.

    Attributes:
        jwt: The token itself, what the browser or phone needs. A secret until it expires: no repr shows it.
        claims: What it says, unverified; `None` where it could not be read.
        api_id: Plivo's id of the request.
    """

    jwt: str = field(repr=lambda _: "<hidden>")
    claims: TokenClaims | None
    api_id: str | None = None

    @property
    def expires_at(self) -> datetime | None:
        """When it stops to work, as an aware UTC time; `None` where it could not be read."""
        return self.claims.exp if self.claims else None
