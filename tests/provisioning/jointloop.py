"""Several processes share a run on PostgreSQL while they are killed and stopped, and the database restarts.

`test_joint_loop` runs it; with more rows and more kills it is the proof that the guide describes.
"""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from tests.provisioning.killloop import ROOT, Loop, requests_of, run_sandbox, state_of, write_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from tests.postgres import PostgresServer

LONGEST: Final = 900.0  # seconds


@frozen(kw_only=True)
class JointLoop:
    """What to run, and what happens to the workers meanwhile.

    Attributes:
        rows: Rows of the source.
        workers: Processes at a time; one that is killed is replaced.
        kills: How many are killed, at random moments.
        stops: How many are stopped for longer than their lease, and go on afterwards.
        restarts: How many times the database crashes and starts again.
        faults: Share of requests with a fault.
        lease: Seconds.
        settle: Seconds.
        every: Seconds between two of these events.
        limited: Whether they share the account's quota, which the sandbox then enforces.
        environments: Variables of some of the workers, such as another clock.
    """

    folder: Path
    rows: int
    workers: int = 3
    kills: int = 0
    stops: int = 0
    restarts: int = 0
    faults: float = 0.04
    lease: float = 2.0
    settle: float = 8.0
    every: float = 1.0
    limited: bool = False
    seed: int = 1
    environments: tuple[Mapping[str, str], ...] = ()


@define
class Joined:
    """What came of it; all lists should be empty."""

    reports: list[dict[str, Any]] = field(factory=list[dict[str, Any]])
    events: Counter[str] = field(factory=Counter[str])
    seconds: float = 0.0
    duplicated: list[str] = field(factory=list[str])
    lost: list[str] = field(factory=list[str])
    mismatched: list[str] = field(factory=list[str])
    requests: list[dict[str, Any]] = field(factory=list[dict[str, Any]])

    @property
    def times(self) -> list[float]:
        """When each request arrived, in seconds."""
        return sorted(datetime.fromisoformat(each["at"]).timestamp() for each in self.requests)

    @property
    def refused(self) -> int:
        """How many requests the quota has refused."""
        return sum(each["status"] == HTTPStatus.TOO_MANY_REQUESTS for each in self.requests)


class Crew:
    """The workers of a run."""

    def __init__(self, loop: JointLoop, order: dict[str, Any], result: Joined) -> None:
        self._loop = loop
        self._order = order
        self._result = result
        self._alive: list[subprocess.Popen[str]] = []
        self._stopped: list[tuple[float, subprocess.Popen[str]]] = []
        self._taking_part: list[subprocess.Popen[str]] = []
        self._begun = 0

    def fill(self) -> None:
        """Start as many as are missing."""
        while len(self._alive) < self._loop.workers:
            number, self._begun = self._begun, self._begun + 1
            command = [sys.executable, "-m", "tests.provisioning.joint_worker", json.dumps(self._order)]
            environment = self._environment(number)
            output = (self._loop.folder / f"worker{number}.txt").open("w")
            with output:
                process = subprocess.Popen(  # noqa: S603
                    command, stdout=subprocess.PIPE, stderr=output, text=True, cwd=ROOT, env=environment
                )
            self._alive.append(process)

    def _environment(self, number: int) -> Mapping[str, str] | None:
        others = self._loop.environments
        return others[number % len(others)] if others else None

    def is_working(self) -> bool:
        """Collect the reports of those that have ended; return whether others go on."""
        for process in [each for each in self._alive if each.poll() is not None]:
            self._alive.remove(process)
            report, _ = process.communicate()
            assert process.returncode == 0, self._complaints()
            self._result.reports.append(json.loads(report.splitlines()[-1]))
        return bool(self._alive)

    def _complaints(self) -> str:
        """Return what the workers have printed as errors and warnings."""
        return "\n".join(path.read_text()[-2000:] for path in self._loop.folder.glob("worker*.txt"))

    def kill(self, chance: random.Random) -> None:
        """Kill one, and start another."""
        process = chance.choice(self._alive)
        self._alive.remove(process)
        self._stopped = [(until, each) for until, each in self._stopped if each is not process]
        process.kill()
        process.communicate()
        self.fill()

    def stop(self, chance: random.Random) -> None:
        """Stop one for longer than its lease."""
        stopped = {process for _, process in self._stopped}
        running = [process for process in self._alive if process not in stopped]
        if running:
            process = chance.choice(running)
            process.send_signal(signal.SIGSTOP)
            self._stopped.append((time.monotonic() + self._loop.lease * chance.uniform(1.2, 2.0), process))

    def await_begun(self) -> None:
        """Wait until each takes part: without a database, a worker cannot start."""
        self.wake(math.inf)
        for process in [each for each in self._alive if each not in self._taking_part]:
            assert process.stdout is not None
            process.stdout.readline()
            self._taking_part.append(process)

    def wake(self, now: float) -> None:
        """Let those go on whose time has come."""
        for until, process in [each for each in self._stopped if each[0] <= now]:
            self._stopped.remove((until, process))
            process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End all."""
        for process in self._alive:
            process.kill()
            process.communicate()


def run(loop: JointLoop, server: PostgresServer) -> Joined:
    """Run it, and compare account and state."""
    result = Joined()
    weather = Loop(rows=loop.rows, kills=0, folder=loop.folder, faults=loop.faults, seed=loop.seed)
    database = server.new_database()
    with run_sandbox(weather, quota=loop.limited) as account:
        order: dict[str, Any] = {
            **account,
            "csv": str(write_rows(loop.folder, loop.rows)),
            "database": database,
            "lease": loop.lease,
            "settle": loop.settle,
            "limited": loop.limited,
            "processes": loop.workers,
            "options": {},
        }
        begun = time.monotonic()
        with _crew(loop, order, result) as crew:
            _disturb(loop, crew, server, result)
        result.seconds = time.monotonic() - begun
        time.sleep(weather.lag)
        _compare(loop, state_of(account), server, database, result)
        result.requests = requests_of(account)
    return result


@contextmanager
def _crew(loop: JointLoop, order: dict[str, Any], result: Joined) -> Generator[Crew]:
    crew = Crew(loop, order, result)
    try:
        crew.fill()
        yield crew
    finally:
        crew.end()


def _disturb(loop: JointLoop, crew: Crew, server: PostgresServer, result: Joined) -> None:
    """Let the workers work to the end, with everything that is to happen to them meanwhile."""
    chance = random.Random(loop.seed)  # noqa: S311 - repeatable on purpose
    events = ["kill"] * loop.kills + ["stop"] * loop.stops
    chance.shuffle(events)
    for number in range(loop.restarts):
        events.insert((number + 1) * len(events) // (loop.restarts + 1), "restart")
    begun, pause = time.monotonic(), 3.0
    next_event = begun + pause
    while crew.is_working():
        assert time.monotonic() < begun + LONGEST, "it does not end"
        crew.wake(time.monotonic())
        if events and time.monotonic() >= next_event and not result.reports:
            event = events.pop()
            if event == "kill":
                crew.kill(chance)
            elif event == "stop":
                crew.stop(chance)
            else:
                crew.await_begun()
                server.stop()
                server.start()
            result.events[event] += 1
            next_event = time.monotonic() + chance.uniform(0.5, 1.5) * loop.every
        time.sleep(0.02)


def _compare(
    loop: JointLoop, account: dict[str, Any], server: PostgresServer, database: str, result: Joined
) -> None:
    wanted = {f"row-{number}" for number in range(loop.rows)}
    made = [endpoint for endpoint in account["endpoints"] if endpoint["alias"] in wanted]
    times = Counter(endpoint["alias"] for endpoint in made)
    ids = {endpoint["alias"]: endpoint["endpoint_id"] for endpoint in made}
    query = "SELECT wanted_alias, endpoint_id FROM plivo_rows"
    noted = dict(server.execute(query, database.rsplit("/", 1)[1]))
    result.duplicated = sorted(alias for alias, count in times.items() if count > 1)
    result.lost = sorted(wanted - set(times))
    result.mismatched = sorted(alias for alias in wanted if noted.get(alias) != ids.get(alias))
