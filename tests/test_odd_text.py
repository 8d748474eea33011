"""Text of a subclass of `str`, which may do anything when it is printed, hashed or measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plivo_endpoints import AsyncClient, BadRequestError, OutcomeUnknownError
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox


class Unprintable(str):
    """It has no repr, no text and no hash."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class Empty(str):
    """It claims to be empty."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("field", ["username", "alias"])
async def test_a_lost_create_of_odd_text(client: AsyncClient, sandbox: Sandbox, field: str) -> None:
    """Its error is raised, and shows what was sent."""
    sandbox.inject(Fault(applied=True, reset=True), method="POST")
    asked = {"username": "alice", "password": "s3cret", "alias": "alice", field: Unprintable("alice")}
    with pytest.raises(OutcomeUnknownError, match="create of endpoint 'alice', alias 'alice'"):
        await client.endpoints.create(**asked)


@pytest.mark.parametrize("password", [Unprintable("hunter22"), Empty("hunter22")])
async def test_an_error_that_echoes_an_odd_password(
    client: AsyncClient, sandbox: Sandbox, password: str
) -> None:
    """It is hidden, whatever it claims to be."""
    sandbox.inject(Fault(applied=False, status=400, body='{"error": "not hunter22"}'), method="POST")
    with pytest.raises(BadRequestError, match=r"not \[secret\]"):
        await client.endpoints.create(username="alice", password=password, alias="desk")
