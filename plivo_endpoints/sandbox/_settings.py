"""What an account's owner can set."""

from typing import Literal

from attrs import field, frozen

from plivo_endpoints.sandbox._checks import is_between, is_flag, is_one_of

Pagination = Literal["offset", "cursor", "hybrid"]
PageOrder = Literal["newest", "oldest"]

MAX_SECONDS = 86_400  # a day: of lag, latency and drip


@frozen(kw_only=True)
class Settings:
    """The settings of an account; see `Account` for each."""

    pagination: Pagination = field(default="offset", validator=is_one_of("offset", "cursor", "hybrid"))
    order: PageOrder = field(default="newest", validator=is_one_of("newest", "oldest"))
    strict_alias: bool = field(default=False, validator=is_flag)
    quota: bool = field(default=False, validator=is_flag)
    list_lag: float = field(default=0.0, validator=is_between(0, MAX_SECONDS))
