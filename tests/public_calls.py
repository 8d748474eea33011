"""The public callables and arguments that are right for them, read from their signatures."""

from __future__ import annotations

import inspect
import ssl
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import FunctionType
from typing import Any, Final

import aiohttp

from plivo_endpoints import (
    AsyncClient,
    AsyncEndpoints,
    AsyncPaginator,
    AsyncTokens,
    Client,
    Endpoints,
    Paginator,
    Priority,
    RateLimit,
    SharedRateLimit,
    Tokens,
)
from plivo_endpoints._events import Event

AUTH_ID: Final = "MAFAULTFAULTFAULT000"
SEED: Final = "10000000000001"
RESOURCES: Final[dict[type, str]] = {
    AsyncEndpoints: "endpoints",
    AsyncTokens: "tokens",
    Endpoints: "endpoints",
    Tokens: "tokens",
}
PUBLIC: Final[tuple[type, ...]] = (AsyncClient, Client, RateLimit, AsyncPaginator, Paginator, *RESOURCES)
# A new argument without a default needs a good value here, and one that changes what is right a line below.
REQUIRED: Final[dict[str, Any]] = {
    "endpoint_id": SEED,
    "username": "seed",
    "password": "s3cret-enough",
    "alias": "seed",
    "sent_at": datetime(2026, 1, 1, tzinfo=UTC),
    "timeout": 0.0,
}
FURTHER: Final[dict[str, dict[str, Any]]] = {
    "update": {"alias": "desk"},
    "find_created": {"settle": 0.0},
    "AsyncClient": {"auth_id": AUTH_ID, "auth_token": "token"},
    "Client": {"auth_id": AUTH_ID, "auth_token": "token"},
}
_NAMES: Final[dict[str, Any]] = {
    "aiohttp": aiohttp,
    "ssl": ssl,
    "AbstractEventLoop": AbstractEventLoop,
    "Callable": Callable,
    "Event": Event,
    "RateLimit": RateLimit,
    "RateLimitStore": SharedRateLimit,  # for the protocol
    "Priority": Priority,
    "datetime": datetime,
    "timedelta": timedelta,
}


def methods(resource: type) -> dict[str, FunctionType]:
    """Return the public methods of a class by name."""
    return {
        name: member
        for name, member in vars(resource).items()
        if isinstance(member, FunctionType) and not name.startswith("_")
    }


def parameters(function: Callable[..., object]) -> dict[str, Any]:
    """Return the types of a function's arguments by name."""
    found = inspect.signature(function).parameters.values()
    return {
        each.name: eval(each.annotation, _NAMES) if isinstance(each.annotation, str) else each.annotation  # noqa: S307
        for each in found
        if each.name != "self"
    }


def good_arguments(function: Callable[..., object]) -> dict[str, Any]:
    """Return arguments with which a call works."""
    name = function.__name__
    needed = {
        each.name: REQUIRED[each.name]
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty and each.name != "self"
    }
    return {**needed, **FURTHER.get(name, {})}


async def carry_out(client: AsyncClient, resource: type, name: str, arguments: dict[str, Any]) -> object:
    """Call a method of the async client, and walk through what it returns."""
    result: Any = getattr(getattr(client, RESOURCES[resource]), name)(**arguments)
    if isinstance(result, AsyncIterable):
        return [item async for item in result]  # pyright: ignore[reportUnknownVariableType]
    return await result


def carry_out_blocking(client: Client, resource: type, name: str, arguments: dict[str, Any]) -> object:
    """Call a method of the blocking client, and walk through what it returns."""
    result: Any = getattr(getattr(client, RESOURCES[resource]), name)(**arguments)
    is_walk = isinstance(result, Iterable) and not isinstance(result, tuple)
    return list(result) if is_walk else result  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
