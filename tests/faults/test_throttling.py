"""429, `Retry-After`, and the client's own rate limit, seen from the server."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plivo_endpoints import AsyncClient, RateLimit
from plivo_endpoints._sansio.rate_limit import SlidingWindow
from plivo_endpoints._sansio.retry import parse_retry_after
from tests.faults.account import AUTH_ID, SEED, Step
from tests.faults.kinds import HONEST, Fault, instead
from tests.faults.wire import make_answer

if TYPE_CHECKING:
    from tests.faults.account import Account
    from tests.faults.server import FaultServer

_THROTTLED: Final = Fault("429", instead(make_answer(429, "Slow", Retry_After="1")), status=429)
_NOW: Final = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT

RETRY_AFTER: Final[dict[str, float | None]] = {
    "9" * 400: None,
    "0": 0.0,
    "1": 1.0,
    "120": 120.0,
    "007": 7.0,
    "  5 ": 5.0,
    "\t5\t": 5.0,
    "1.5": 1.5,
    "0.0": 0.0,
    "99999999999999999999": 1e20,
    "Sun, 06 Nov 1994 08:49:37 GMT": 0.0,
    "Sun, 06 Nov 1994 08:50:37 GMT": 60.0,
    "Sun, 06 Nov 1994 08:49:36 GMT": 0.0,
    "Sun, 06 Nov 1994 09:50:37 +0100": 60.0,
    "Sun, 06 Nov 1994 08:50:37 -0000": 60.0,
    "Sunday, 06-Nov-94 08:50:37 GMT": 60.0,
    "Sun Nov  6 08:50:37 1994": 60.0,
    "06 Nov 1994 08:50:37 GMT": 60.0,
    "Thu, 01 Jan 1970 00:00:00 GMT": 0.0,
    "": None,
    " ": None,
    "-1": None,
    "+1": None,
    "1e3": None,
    ".5": None,
    "5.": None,
    "0x10": None,
    "1_000": None,
    "inf": None,
    "nan": None,
    "soon": None,
    "5 seconds": None,
    "1, 2": None,
    "Sun, 99 Nov 1994 08:49:37 GMT": None,
    "Sun, 06 Nov 1994 99:49:37 GMT": None,
    "Sun, 06 Nov 99999 08:49:37 GMT": None,
    "٣": None,
    "²": None,
    "1\x00": None,
}


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.items())
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds or a date; what is neither asks for nothing."""
    assert parse_retry_after(value, _NOW) == seconds


@pytest.mark.slow
@given(st.text(max_size=40))
def test_no_retry_after_breaks_it(value: str) -> None:
    """Whatever a server writes there, the result is usable."""
    seconds = parse_retry_after(value, _NOW)
    assert seconds is None or seconds >= 0


async def _create(client: AsyncClient, times: int) -> None:
    for _ in range(times):
        await client.endpoints.create(username="alice", password="s3cret", alias="desk")


def _arrivals(account: Account) -> list[float]:
    return sorted(arrival.at for arrival in account.arrivals)


@pytest.mark.slow
async def test_one_429_pauses_a_hundred_workers(faults: FaultServer) -> None:
    """Nobody sends during the pause, and afterwards every create is made, once."""
    account, url = faults.account()
    account.play([*[Step(HONEST, applied=True)] * 20, Step(_THROTTLED, applied=False)])
    # Over few connections, so that most are still to be sent when the 429 comes.
    async with AsyncClient(
        AUTH_ID, "fault-token", base_url=url, rate_limit=None, max_connections=4
    ) as client:
        await asyncio.gather(*(_create(client, 5) for _ in range(100)))
    (throttled,) = [arrival.at for arrival in account.arrivals if arrival.status == 429]
    # What was on its way already still arrives.
    meanwhile = [at for at in _arrivals(account) if throttled + 0.1 < at < throttled + 0.98]
    assert (meanwhile, len(account.created), len(account.arrivals)) == ([], 500, 501)


@pytest.mark.slow
async def test_a_429_for_each_of_a_hundred_workers(faults: FaultServer) -> None:
    """All wait, and none is lost."""
    account, url = faults.account()
    account.play([Step(_THROTTLED, applied=False)] * 100)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, rate_limit=None) as client:
        await asyncio.gather(*(_create(client, 1) for _ in range(100)))
    assert (len(account.created), len(account.arrivals)) == (100, 200)


def _most_within(moments: list[float], seconds: float) -> int:
    """Return the most moments that lie in one window."""
    return max(sum(start <= other < start + seconds for other in moments) for start in moments)


@pytest.mark.slow
async def test_a_burst_over_cold_connections(faults: FaultServer) -> None:
    """By the server's own clock no window holds more than the limit, give or take its reading late."""
    account, url = faults.account()
    limit = RateLimit(20, 1.0)
    async with AsyncClient(AUTH_ID, "fault-token", base_url=url, rate_limit=limit) as client:
        reads = [client.endpoints.get(SEED) for _ in range(30)]
        await asyncio.gather(*reads, *(_create(client, 1) for _ in range(30)))
    arrivals = _arrivals(account)
    assert len(arrivals) == 60
    assert _most_within(arrivals, 0.9) <= 20


Journey = tuple[
    int, int, int, int, bool
]  # asked at; reserve to arrival, to departure told, to settling; sent
_journeys = st.lists(
    st.tuples(st.integers(0, 60), *[st.integers(0, 20)] * 3, st.booleans()), min_size=1, max_size=40
)


def _arrivals_under(limit: RateLimit, journeys: list[Journey]) -> list[float]:
    """Play the journeys through a window, and return when the requests arrived."""
    window = SlidingWindow(limit)
    arrived: list[float] = []
    agenda: list[tuple[float, int, int, float | None]] = []  # when, settling before asking, who, left
    for number, journey in enumerate(journeys):
        heapq.heappush(agenda, (journey[0], 1, number, None))
    while agenda:
        now, asking, number, left = heapq.heappop(agenda)
        if not asking:
            window.settle(left)
            continue
        free = window.reserve(now)
        if free > now:
            heapq.heappush(agenda, (free, 1, number, None))
            continue
        _, until_arrival, until_left, until_settled, sent = journeys[number]
        departure = now + until_arrival + until_left
        if sent:
            arrived.append(now + until_arrival)
        heapq.heappush(agenda, (departure + until_settled, 0, number, departure if sent else None))
    return arrived


@given(st.integers(1, 4), st.integers(1, 20), _journeys)
def test_no_schedule_exceeds_the_limit(requests: int, seconds: int, journeys: list[Journey]) -> None:
    """Wherever between reserving and settling each request arrives, no window holds more than the limit."""
    arrived = _arrivals_under(RateLimit(requests, seconds), journeys)
    assert len(arrived) == sum(journey[-1] for journey in journeys)
    assert not arrived or _most_within(arrived, seconds) <= requests
