"""One case of the matrix: a call against a scripted fault, and what may be said of it afterwards."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

import aiohttp
from attrs import define, field, frozen

from plivo_endpoints import (
    APIError,
    AsyncClient,
    AttemptFinished,
    CallFinished,
    Client,
    CreatedEndpoint,
    Event,
    OutcomeUnknownError,
    PlivoError,
)
from tests.faults.account import AUTH_ID, SEED, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plivo_endpoints import Acknowledgement, Endpoint, Token
    from tests.faults.account import Account
    from tests.faults.kinds import Fault
    from tests.faults.server import FaultServer

    Result = CreatedEndpoint | Endpoint | Acknowledgement | Token | None

Operation = Literal["get", "create", "update", "token", "delete"]
OPERATIONS: Final[tuple[Operation, ...]] = ("get", "create", "update", "token", "delete")
VERBS: Final = {"get": "GET", "create": "POST", "update": "POST", "token": "POST", "delete": "DELETE"}
MAX_BODY: Final = 100_000
_AT_ONCE: Final = 64
_CATCHING_UP: Final = 5.0  # seconds for the server to see what a client that gave up had sent


@frozen
class Case:
    """What to do under which fault."""

    fault: Fault
    operation: Operation
    applied: bool
    warm: bool = False
    injected: bool = False  # a session of the caller's, which replays by itself
    certain: bool = True  # whether the fault's kind decides how the call ends

    def __str__(self) -> str:
        flags = [name for name in ("applied", "warm", "injected") if getattr(self, name)]
        return " ".join([self.fault.name, self.operation, *flags])


@define
class Outcome:
    """How a call ended, and what the client told on the way."""

    result: Result = None
    error: BaseException | None = None
    events: list[Event] = field(factory=list[Event])

    @property
    def calls(self) -> list[CallFinished]:
        """The calls that ended."""
        return [event for event in self.events if isinstance(event, CallFinished)]

    @property
    def sends(self) -> int:
        """How many requests the client says have left."""
        unsent = sum(isinstance(event, AttemptFinished) and not event.sent for event in self.events)
        return sum(call.attempts for call in self.calls) - unsent


async def operate(client: AsyncClient, operation: Operation) -> Result:
    """Carry out an operation on the seeded endpoint, or make one."""
    match operation:
        case "get":
            return await client.endpoints.get(SEED)
        case "create":
            return await client.endpoints.create(username="alice", password="s3cret", alias="desk")
        case "update":
            return await client.endpoints.update(SEED, alias="lobby")
        case "token":
            return await client.tokens.create(outgoing_allow=True)
        case "delete":
            await client.endpoints.delete(SEED)
            return None


def operate_blocking(client: Client, operation: Operation) -> Result:
    """The same with the blocking client."""
    match operation:
        case "get":
            return client.endpoints.get(SEED)
        case "create":
            return client.endpoints.create(username="alice", password="s3cret", alias="desk")
        case "update":
            return client.endpoints.update(SEED, alias="lobby")
        case "token":
            return client.tokens.create(outgoing_allow=True)
        case "delete":
            client.endpoints.delete(SEED)
            return None


async def attempt(client: AsyncClient, case: Case, account: Account, outcome: Outcome) -> None:
    """Run the call of a case, once its connection is warm if it should be."""
    if case.warm:
        await client.endpoints.get(SEED)
        outcome.events.clear()
        account.arrivals.clear()
    account.play([Step(case.fault, case.applied)])
    try:
        outcome.result = await operate(client, case.operation)
    except Exception as error:  # noqa: BLE001 - which errors may come is what the verdict is about
        outcome.error = error


async def run(case: Case, server: FaultServer) -> list[str]:
    """Run a case and return the complaints about it."""
    account, url = server.account()
    outcome = Outcome()
    # As its own users may have made it.
    session = aiohttp.ClientSession(raise_for_status=True) if case.injected else None
    client = AsyncClient(
        AUTH_ID,
        "fault-token",
        base_url=url,
        timeout=case.fault.timeout,
        max_body=MAX_BODY,
        session=session,
        on_event=outcome.events.append,
    )
    async with client:
        await attempt(client, case, account, outcome)
    if session is not None:
        await session.close()
    await _catch_up(account, outcome)
    return [f"{case}: {complaint}" for complaint in complaints(case, account, outcome)]


def run_blocking(case: Case, server: FaultServer) -> list[str]:
    """Run a case with the blocking client and return the complaints about it."""
    account, url = server.account()
    outcome = Outcome()
    account.play([Step(case.fault, case.applied)])
    client = Client(
        AUTH_ID,
        "fault-token",
        base_url=url,
        timeout=case.fault.timeout,
        max_body=MAX_BODY,
        on_event=outcome.events.append,
    )
    with client:
        try:
            outcome.result = operate_blocking(client, case.operation)
        except Exception as error:  # noqa: BLE001 - as above
            outcome.error = error
    return [f"{case}, blocking: {complaint}" for complaint in complaints(case, account, outcome)]


async def _catch_up(account: Account, outcome: Outcome) -> None:
    deadline = time.monotonic() + _CATCHING_UP
    while len(account.arrivals) < outcome.sends and time.monotonic() < deadline:
        await asyncio.sleep(0.01)  # the server is another thread's


async def run_all(cases: Iterable[Case], server: FaultServer) -> list[str]:
    """Run many cases, some dozens at a time, and return all complaints."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def place(case: Case) -> list[str]:
        async with places:
            return await run(case, server)

    found = await asyncio.gather(*map(place, cases))
    return [complaint for complaints in found for complaint in complaints]


def complaints(case: Case, account: Account, outcome: Outcome) -> list[str]:
    """Say what is wrong with how a case ended; nothing, if all is well."""
    checks = [
        *_about_the_error(outcome),
        *_about_the_sends(case, account, outcome),
        *(_about_the_create(account, outcome) if case.operation == "create" else ()),
        *(_about_the_end(case, account, outcome) if case.certain else ()),
    ]
    return [complaint for complaint, is_fine in checks if not is_fine]


Check = tuple[str, bool]


def _about_the_error(outcome: Outcome) -> list[Check]:
    error = outcome.error
    return [
        (f"raised {error!r}, which is not ours", error is None or isinstance(error, PlivoError)),
        (f"{error!r} hangs on an exception that may hold a request", _is_alone(error)),
        (f"told of {len(outcome.calls)} calls", len(outcome.calls) == 1),
        (f"{error!r} counts its attempts otherwise", _attempts(error, outcome) == outcome.calls[0].attempts),
    ]


def _is_alone(error: BaseException | None) -> bool:
    return error is None or (error.__cause__ is None and error.__context__ is None)


def _attempts(error: BaseException | None, outcome: Outcome) -> object:
    return outcome.calls[0].attempts if error is None else getattr(error, "attempts", None)


def _about_the_sends(case: Case, account: Account, outcome: Outcome) -> list[Check]:
    seen, told = account.sends(), outcome.sends
    return [
        (f"the server saw {seen}, the client tells of {told}", seen == Counter({VERBS[case.operation]: told}))
    ]


def _about_the_create(account: Account, outcome: Outcome) -> list[Check]:
    error, result = outcome.error, outcome.result
    carried = [arrival for arrival in account.arrivals if arrival.status != 429]
    known = isinstance(result, CreatedEndpoint) and [result.endpoint_id] == [
        m.endpoint_id for m in account.created
    ]
    told = isinstance(error, OutcomeUnknownError) and error.endpoint_id in {
        None,
        *(made.endpoint_id for made in account.created),
    }
    return [
        (f"sent {len(carried)} times", len(carried) <= 1),
        (f"made {len(account.created)} endpoints", len(account.created) <= 1),
        (f"applied, yet ended as {error!r} {result!r}", not account.created or known or told),
        (f"told of an endpoint that is not: {result!r}", result is None or known),
    ]


def _about_the_end(case: Case, account: Account, outcome: Outcome) -> list[Check]:
    error, ends = outcome.error, case.fault.ends
    if ends == "refused":
        refused = isinstance(error, APIError) and error.status == case.fault.status
        return [(f"ended as {error!r}, not refused", refused), ("tried again", outcome.sends == 1)]
    if ends == "ambiguous" and case.operation == "create":
        return [(f"ended as {error!r}, not unknown", isinstance(error, OutcomeUnknownError))]
    if case.fault.timeout < 30:  # it took all the time there was
        return [(f"ended as {error!r}", _is_timeout(error))]
    gone = case.operation != "delete" or SEED not in account.endpoints or _says_so(case)
    return [(f"did not recover: {error!r}", error is None), ("is not deleted", gone)]


def _is_timeout(error: BaseException | None) -> bool:
    return isinstance(error, PlivoError) and type(error).__name__ == "RequestTimeoutError"


def _says_so(case: Case) -> bool:
    # A server that answers 2xx to a deletion it did not carry out is believed.
    return not case.applied
