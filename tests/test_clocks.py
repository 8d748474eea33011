"""Clocks that stand still, and clocks that are wrong: neither stops the client."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from freezegun import freeze_time

from plivo_endpoints import AsyncClient, OutcomeUnknownError, RateLimit
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox


async def test_a_frozen_clock_frees_the_rate_limit(sandbox: Sandbox) -> None:
    """It counts seconds that pass, not those that a test shows."""
    limit = RateLimit(2, 0.2)
    with freeze_time("2026-01-01", real_asyncio=True):
        async with AsyncClient(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=limit
        ) as client:
            for _ in range(6):
                await client.tokens.create(sub="alice")
    assert 6 == len(sandbox.requests)


async def test_a_frozen_clock_is_what_tokens_and_errors_tell(sandbox: Sandbox) -> None:
    """The time of day is the one that a test shows."""
    shown = datetime(2026, 1, 1, tzinfo=UTC)
    sandbox.inject(Fault(applied=True, status=502), times=1, path="Endpoint/")
    with freeze_time("2026-01-01", real_asyncio=True):
        async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client:
            token = await client.tokens.create(sub="alice", lifetime=timedelta(hours=1))
            with pytest.raises(OutcomeUnknownError) as lost:
                await client.endpoints.create(username="alice", password="s3cret", alias="a")
    assert (shown + timedelta(hours=1), shown) == (token.expires_at, lost.value.sent_at)


@pytest.mark.parametrize("epoch", [1e12, -1e12])
async def test_a_clock_beyond_all_dates(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, epoch: float
) -> None:
    """It shows the nearest time that there is; a create, and one whose answer is lost, work as ever."""
    async with AsyncClient(sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url) as client:
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: epoch)
            await client.endpoints.create(username="alice", password="s3cret", alias="a")
            sandbox.inject(Fault(applied=True, status=502), times=1)
            with pytest.raises(OutcomeUnknownError) as lost:
                await client.endpoints.create(username="alice", password="s3cret", alias="b")
            found = await client.endpoints.find_created(
                username="alice", alias="b", sent_at=lost.value.sent_at, elapsed=lost.value.elapsed
            )
    assert 1 == len(found)
    assert (9999 if epoch > 0 else 1970) == lost.value.sent_at.year
