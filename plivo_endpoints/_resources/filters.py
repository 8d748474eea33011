"""Which endpoints a list keeps: Plivo's list has no parameters for this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.converters import optional

from plivo_endpoints._validation import check_bool, check_id, check_text, plain

if TYPE_CHECKING:
    from plivo_endpoints._models import Endpoint


@frozen(kw_only=True)
class EndpointFilter:
    """What an endpoint must have to match; `None` matches any value, even a missing one."""

    alias: str | None = field(converter=optional(plain), default=None)
    username_prefix: str | None = field(converter=optional(plain), default=None)
    app_id: str | None = field(converter=optional(plain), default=None)
    registered: bool | None = None

    def check(self) -> None:
        """Raise `InvalidArgumentError` if a value breaks a rule."""
        if self.alias is not None:
            check_text("alias", self.alias)
        if self.username_prefix is not None:
            check_text("username_prefix", self.username_prefix)
        if self.app_id is not None:
            check_id("app_id", self.app_id)
        if self.registered is not None:
            check_bool("registered", self.registered)

    def matches(self, endpoint: Endpoint) -> bool:
        """Return whether an endpoint has all the values; what it lacks does not match."""
        return (
            (self.alias is None or endpoint.alias == self.alias)
            and (self.username_prefix is None or (endpoint.username or "").startswith(self.username_prefix))
            and (self.app_id is None or endpoint.application_id == self.app_id)
            and (self.registered is None or endpoint.sip_registered is self.registered)
        )
