"""An endpoint, and the two ways in which Plivo shows it."""

from datetime import datetime

from attrs import field, frozen
from attrs.validators import instance_of, optional

from plivo_endpoints.sandbox._checks import is_string, is_time, matches
from plivo_endpoints.sandbox._json import Json


@frozen(kw_only=True)
class Registration:
    """A SIP client's registration: where it can be reached, until when, and what it is."""

    contact: str = field(validator=is_string)
    expires: datetime = field(validator=is_time)
    user_agent: str = field(validator=is_string)


@frozen(kw_only=True)
class SandboxEndpoint:
    """An endpoint as it was when it was looked up.

    `username` carries its digits. `password` is what Plivo shows of one: the MD5 in 32 hexadecimal digits.
    `sub_account` is the auth_id of the subaccount that made it, `None` if none did. `created` is in UTC.
    """

    account_id: str = field(validator=is_string)
    endpoint_id: str = field(validator=matches("[0-9]{14}", "14 digits"))
    username: str = field(validator=is_string)
    alias: str = field(validator=is_string)
    password: str = field(repr=False, validator=is_string)
    app_id: str = field(validator=is_string)
    sub_account: str | None = field(validator=optional(is_string))
    created: datetime = field(validator=is_time)
    registration: Registration | None = field(default=None, validator=optional(instance_of(Registration)))

    @property
    def sip_uri(self) -> str:
        """The address under which others call this endpoint."""
        return f"sip:{self.username}@phone.plivo.com"

    @property
    def sip_registered(self) -> bool:
        """Whether a SIP client is registered."""
        return self.registration is not None


def listed(endpoint: SandboxEndpoint) -> dict[str, Json]:
    """Return the endpoint as an item of a list: never with a password."""
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
    """Return the endpoint as retrieved by itself: with the password's MD5 unless registered."""
    shown = listed(endpoint)
    if endpoint.registration is None:
        shown["password"] = endpoint.password
    return shown
