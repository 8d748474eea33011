"""An operation of Plivo's API as a value."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen
class Operation(Generic[T]):
    """One row of Plivo's API.

    Attributes:
        name: What events call it: resource and method, such as "endpoints.create".
        method: HTTP method.
        path: Template below the account; ends in a slash, as every path of Plivo's does.
        returns: What a success decodes to.
        repeatable: Whether a request whose answer is lost may be sent again. It has no default: create and
            update are both POST, and this is the most important fact of either.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    returns: type[T]
    repeatable: bool
