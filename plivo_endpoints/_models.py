"""Models of Plivo's objects and responses: frozen values, validated once, by the codec."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - type hints resolve the annotations
from datetime import datetime  # noqa: TC003 - type hints resolve the annotations
from typing import Generic, TypeVar

from attrs import field, frozen

T = TypeVar("T")


# What lists contain and creates return has no slots: the codec fills it in without its constructor.
@frozen(kw_only=True, slots=False)
class Endpoint:
    """A SIP user that can register with Plivo and make and receive calls.

    Only `endpoint_id` is always present. Plivo leaves out what does not apply, and lists contain fewer fields
    than `get`. A value of the wrong type counts as missing and is kept in `extra`.

    Attributes:
        endpoint_id: Opaque id.
        username: The SIP user name, with the digits that Plivo appended.
        alias: Its human-readable name.
        password: The MD5 hash of the SIP password in hexadecimal, not the password. Plivo sends it only from
            `get` and while no phone is registered; it may be stale after an update. `repr` does not show it.
        application: URI of the application attached to it.
        sip_uri: The address to call it on. Its user part may differ from `username`.
        sip_registered: Whether a phone is registered now.
        sip_contact: Address of the registered phone.
        sip_expires: When the registration expires, as an aware UTC datetime.
        sip_user_agent: User agent of the registered phone.
        sub_account: The subaccount it is linked to.
        resource_uri: Its URI.
        api_id: Plivo's id of the request; not part of the endpoint, so not compared.
        extra: Unknown fields and values of the wrong type, as received. `repr` shows only their names, since
            an unknown field may hold a secret.
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
        """The attached application's id: the last segment of `application`, as `app_id` expects it."""
        return self.application.rstrip("/").rpartition("/")[2] or None if self.application else None


@frozen(kw_only=True, slots=False)
class CreatedEndpoint:
    """Plivo's response to a create.

    `endpoint_id` and `username` are always present: without them it is unknown what was created.

    Attributes:
        endpoint_id: The new endpoint's id.
        username: The requested username and the digits that Plivo appended. Phones register with this one.
        alias: The alias.
        message: Plivo's message, "created".
        api_id: Plivo's id of the request.
    """

    endpoint_id: str
    username: str
    alias: str | None = None
    message: str | None = None
    api_id: str | None = None


@frozen(kw_only=True)
class Acknowledgement:
    """Plivo's response to an update, which does not contain the endpoint.

    Attributes:
        message: Plivo's message, "changed".
        api_id: Plivo's id of the request.
    """

    message: str | None = None
    api_id: str | None = None


@frozen(kw_only=True)
class PageMeta:
    """The position of a page in its list; `None` for what is missing or of the wrong type.

    Attributes:
        limit: Maximum number of objects per page.
        offset: Number of objects before this page.
        next: Relative path and query of the next page, `None` on the last.
        previous: Relative path and query of the previous page.
        total_count: Number of objects in the whole list.
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
        objects: Its objects, in Plivo's order.
        meta: Its position in the list.
        api_id: Plivo's id of the request.
    """

    objects: tuple[T, ...]
    meta: PageMeta = field(factory=PageMeta)
    api_id: str | None = None


@frozen(kw_only=True)
class TokenClaims:
    """The claims of a token, read without verifying its signature; `None` for what cannot be read.

    Attributes:
        iss: The auth id it was issued for.
        sub: Who may log in with it; `None` if absent.
        nbf: Start of its validity, as an aware UTC datetime.
        exp: End of its validity, as an aware UTC datetime.
        app: Application that routes its calls.
        incoming_allow: Whether incoming calls are allowed; `False` if absent.
        outgoing_allow: Whether outgoing calls are allowed; `False` if absent.
    """

    iss: str | None
    sub: str | None
    nbf: datetime | None
    exp: datetime | None
    app: str | None
    incoming_allow: bool | None
    outgoing_allow: bool | None


@frozen(kw_only=True)
class IssuedToken:
    """Plivo's response to a token request.

    Attributes:
        jwt: The token itself.
        claims: Its claims, unverified; `None` if they could not be read.
        api_id: Plivo's id of the request.
    """

    jwt: str = field(repr=lambda _: "<hidden>")
    claims: TokenClaims | None
    api_id: str | None = None


@frozen(kw_only=True)
class Token:
    """A JWT that lets one browser or phone log in.

    Attributes:
        jwt: The token itself, for the browser or phone. A secret until it expires; `repr` does not show it.
        claims: Its claims, unverified; `None` if they could not be read.
        expires_at: When it expires, as an aware UTC datetime: from its claims, or if they could not be read,
            as it was requested.
        api_id: Plivo's id of the request.
    """

    jwt: str = field(repr=lambda _: "<hidden>")
    claims: TokenClaims | None
    expires_at: datetime
    api_id: str | None = None
