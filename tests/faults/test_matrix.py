"""Every kind of fault, under every operation, on cold and warm connections, ours and the caller's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest
from attrs import evolve

from tests.faults.account import SEED, Account
from tests.faults.cases import OPERATIONS, Case, Operation, run_all, run_blocking
from tests.faults.kinds import ANSWER_THEN_RESET, HONEST, KINDS, Fault, cut
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.server import FaultServer


def _variants(operation: Operation, fault: Fault) -> tuple[bool, ...]:
    # Reading, updating and minting leave nothing to count: whether they were carried out makes no difference.
    return fault.may_apply if operation in {"create", "delete"} else fault.may_apply[:1]


def _matrix(*, injected: bool) -> Iterator[Case]:
    for fault, operation, warm in product(KINDS, OPERATIONS, (False, True)):
        for applied in _variants(operation, fault):
            yield Case(fault, operation, applied, warm=warm, injected=injected)
    for operation, warm in product(OPERATIONS, (False, True)):
        yield Case(ANSWER_THEN_RESET, operation, applied=True, warm=warm, injected=injected, certain=False)


def test_there_are_enough_kinds() -> None:
    """At least thirty, each with a name of its own."""
    assert len({fault.name for fault in KINDS}) == len(KINDS) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("injected", [False, True])
async def test_every_kind_under_every_operation(
    injected: bool, faults: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """No create is doubled or lost, no error is a stranger's, and the server counts what the client tells."""
    cases = list(_matrix(injected=injected))
    complaints = await run_all(cases, faults)
    with capsys.disabled():
        print(f"\n{len(KINDS)} kinds, {len(cases)} cases, {len(complaints)} complaints")  # noqa: T201
    assert complaints == []
    assert len(cases) >= 700


def _answer_length(method: str, target: str, body: bytes) -> int:
    account = Account(HONEST)
    account.seed()
    path = f"/case/v1/Account/x/{target}"
    return len(account.carry_out(method, path, body, applied=False).encode())


LENGTHS: Final[dict[Operation, int]] = {
    "create": _answer_length("POST", "Endpoint/", b'{"username":"alice","alias":"desk"}'),
    "get": _answer_length("GET", f"Endpoint/{SEED}/", b""),
    "delete": _answer_length("DELETE", f"Endpoint/{SEED}/", b""),
}


@pytest.mark.slow
async def test_an_answer_cut_at_every_byte(faults: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever the answer breaks off, a create that was made is told of as unknown, and the rest recovers."""
    cases = [
        Case(
            Fault(f"{end.__name__} after {length} bytes", cut(length, end)),
            operation,
            applied=True,
            warm=warm,
        )
        for operation, whole in LENGTHS.items()
        for length, end, warm in product(range(whole), (Wire.fin, Wire.rst), (False, True))
    ]
    complaints = await run_all(cases, faults)
    with capsys.disabled():
        print(f"\n{len(cases)} cuts, {len(complaints)} complaints")  # noqa: T201
    assert complaints == []
    assert len(cases) >= 2_000


@pytest.mark.slow
async def test_the_blocking_client_in_threads(faults: FaultServer) -> None:
    """A slice of the matrix through the portal ends the same way."""
    cases = [
        case for case in _matrix(injected=False) if not case.warm and case.operation in {"create", "delete"}
    ]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(16) as pool:
        found = await asyncio.gather(
            *[loop.run_in_executor(pool, run_blocking, case, faults) for case in cases]
        )
    assert [complaint for complaints in found for complaint in complaints] == []


async def test_the_matrix_sees_what_it_should(faults: FaultServer) -> None:
    """A case whose kind is told wrong is complained about: the verdicts are not empty."""
    wrong = [evolve(fault, ends="refused", status=418) for fault in KINDS if fault.ends == "ambiguous"]
    complaints = await run_all([Case(fault, "get", applied=True) for fault in wrong[:3]], faults)
    assert len(complaints) >= 3
