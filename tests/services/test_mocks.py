"""Mocks that the standard library makes of a client, as programs use them in their own tests."""

from __future__ import annotations

import inspect
from typing import Any
from unittest.mock import create_autospec

import pytest

from plivo_endpoints import AsyncClient, Client

CREATE = {"username": "alice", "password": "s3cret", "alias": "front-desk"}


@pytest.mark.parametrize("client_type", [Client, AsyncClient])
def test_the_resources_keep_their_signatures(client_type: type[Any]) -> None:
    """A call with the right arguments is recorded, and one with wrong ones refused as the client would."""
    mock = create_autospec(client_type, instance=True)
    made, token = mock.endpoints.create(**CREATE), mock.tokens.create(sub="alice", outgoing_allow=True)
    for awaitable in filter(inspect.iscoroutine, (made, token)):
        awaitable.close()
    mock.endpoints.create.assert_called_once_with(**CREATE)
    mock.tokens.create.assert_called_once_with(sub="alice", outgoing_allow=True)
    with pytest.raises(TypeError, match="alias"):
        mock.endpoints.create(username="alice", password="s3cret")
    with pytest.raises(TypeError, match="subject"):
        mock.tokens.create(subject="alice")
    with pytest.raises(AttributeError):
        _ = mock.endpoints.make


async def test_what_an_async_mock_returns_is_awaited() -> None:
    """As with the client itself."""
    mock = create_autospec(AsyncClient, instance=True)
    mock.endpoints.get.return_value = "found"
    assert await mock.endpoints.get("18406780198123") == "found"


def test_what_a_blocking_mock_returns_is_not() -> None:
    """As with the client itself."""
    mock = create_autospec(Client, instance=True)
    mock.endpoints.get.return_value = "found"
    assert mock.endpoints.get("18406780198123") == "found"
