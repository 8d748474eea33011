"""The account's settings: quota, list lag, clock."""

from datetime import UTC, datetime, timedelta

import aiohttp

from plivo_endpoints.sandbox import Sandbox


async def listed_ids(api: aiohttp.ClientSession) -> list[str]:
    """Return the ids on the first page."""
    async with api.get("Endpoint/") as response:
        return [item["endpoint_id"] for item in (await response.json())["objects"]]


async def test_a_new_endpoint_shows_up_late(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """With a lag an endpoint can be retrieved at once, and is listed once the time has come."""
    sandbox.seed(2)
    sandbox.clock.move(60)
    sandbox.list_lag = 30
    sandbox.seed(1)
    first, second, late = sandbox.endpoints
    async with api.get(f"Endpoint/{late}/") as response:
        assert 200 == response.status
    assert [second, first] == await listed_ids(api)
    sandbox.clock.move(31)
    assert [late, second, first] == await listed_ids(api)


async def test_the_quota_answers_429(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    """The 301st request in 5 seconds is refused, tokens are not counted, and time heals."""

    async def statuses(count: int) -> list[int]:
        seen: list[int] = []
        for _ in range(count):
            async with api.get("Endpoint/", params={"limit": 1}) as response:
                seen.append(response.status)
        return seen

    sandbox.clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    sandbox.quota = True
    assert [200] * 300 + [429] * 2 == await statuses(302)
    async with api.post("JWT/Token/", json={"iss": sandbox.auth_id}) as response:
        assert 200 == response.status
    sandbox.clock.move(5)
    assert [200] == await statuses(1)
    sandbox.quota = False
    assert [200] * 301 == await statuses(301)


async def test_the_clock_dates_what_is_made(sandbox: Sandbox) -> None:
    """A set clock runs on; the username's digits and the registration's end come from it."""
    sandbox.clock.set(datetime(2013, 10, 31, 14, 59, 58))  # noqa: DTZ001 - naive counts as UTC
    sandbox.seed(1)
    ((endpoint_id, endpoint),) = sandbox.endpoints.items()
    assert endpoint.username.startswith("user11310311459")
    sandbox.register(endpoint_id)
    registration = sandbox.endpoints[endpoint_id].registration
    assert registration is not None
    expected = datetime(2013, 10, 31, 15, 59, 58, tzinfo=UTC)
    assert timedelta() <= registration.expires - expected < timedelta(seconds=30)
