"""The kill loop: apply a file, kill the run, apply it again, and check the account in the end.

The sandbox and each run of the program are separate processes. `benchmarks.killloop` runs it longer.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    OpenerDirector,
    build_opener,
)

from attrs import field, frozen

from plivo_endpoints.provisioning._matching import is_made_from
from tests.provisioning.killed_run import EARLY, LATE, SENDING

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[2]
STRANGERS = 60
LIST_LAG = 0.4  # seconds
LONGEST_LIFE = 600.0  # seconds
RATE = 1_000  # creates a second, roughly: what a step's reach is in time


@frozen(kw_only=True)
class Loop:
    """What to run: so many rows, so many kills, faults in this share of requests."""

    rows: int
    kills: int
    folder: Path
    faults: float = 0.04
    lag: float = LIST_LAG
    settle: float = 1.5
    broken: str | None = None
    seed: int = 1
    reach: int = 60  # creates, at most, between two kills
    first: tuple[str, ...] = EARLY  # at which steps it is killed
    then: tuple[str, ...] = SENDING
    last: tuple[str, ...] = LATE


@frozen(kw_only=True)
class Result:
    """What came of it: everything that is wrong, which should be nothing."""

    kills: int
    lives: int
    seconds: float
    status: int
    counts: dict[str, int] = field(factory=dict[str, int])
    duplicated: list[str] = field(factory=list[str])
    lost: list[str] = field(factory=list[str])
    mismatched: list[str] = field(factory=list[str])
    strangers_touched: list[str] = field(factory=list[str])


def run(loop: Loop) -> Result:
    """Run the loop and compare account and state."""
    begun = time.monotonic()
    csv, state = write_rows(loop.folder, loop.rows), loop.folder / "run.db"
    with run_sandbox(loop) as account:
        before = state_of(account)
        order = {**account, **order_of(loop, csv)}
        kills, lives, last = _live(loop, order)
        time.sleep(loop.lag)
        after = state_of(account)
    return Result(
        kills=kills,
        lives=lives,
        seconds=time.monotonic() - begun,
        status=last["status"],
        counts=last["counts"],
        **_compare(loop, state, before["endpoints"], after["endpoints"]),
    )


def _live(loop: Loop, order: dict[str, Any]) -> tuple[int, int, dict[str, Any]]:
    """Let the program live until it has been killed often enough, then once to its end."""
    chance = random.Random(loop.seed)  # noqa: S311 - repeatable on purpose
    kills = lives = 0
    while kills < loop.kills and lives < 2 * loop.kills:
        step, count = _next_death(loop, chance, kills)
        delay = chance.uniform(0.0, loop.reach / RATE) if step is None else None
        kills += life({**order, "step": step, "count": count}, delay) is None
        lives += 1
    last = life({**order, "step": None, "count": 0}, None)
    assert last is not None, "the last life was not to be killed"
    return kills, lives + 1, last


def _next_death(loop: Loop, chance: random.Random, kills: int) -> tuple[str | None, int]:
    """Say at which step, and the how-manieth of its kind; no step means at any moment."""
    if kills < len(loop.first):
        return loop.first[kills], 1
    remaining = loop.kills - kills
    if remaining <= len(loop.last):
        return loop.last[-remaining], 1
    if chance.random() < 1 / 3:
        return None, 0
    return loop.then[kills % len(loop.then)], chance.randint(1, loop.reach)


def life(order: dict[str, Any], delay: float | None) -> dict[str, Any] | None:
    """Return the report of a life that came to its end, `None` of one that was killed."""
    command = [sys.executable, "-m", "tests.provisioning.killed_run", json.dumps(order)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:  # noqa: S603
        assert process.stdout is not None
        begun = process.stdout.readline()
        if delay is not None and begun:
            time.sleep(delay)  # dying at any moment is the point
            process.kill()
        try:
            rest, _ = process.communicate(timeout=LONGEST_LIFE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, f"a life ended with {process.returncode}"
    last: dict[str, Any] = json.loads(rest)
    return last


def order_of(loop: Loop, csv: Path, **options: Any) -> dict[str, Any]:
    """Return what a life is told beside where the account is and when to die."""
    return {
        "csv": str(csv),
        "state": str(loop.folder / "run.db"),
        "settle": loop.settle,
        "limited": False,
        "broken": loop.broken,
        "options": options,
    }


def write_rows(folder: Path, count: int) -> Path:
    """Write a source of so many rows."""
    path = folder / "users.csv"
    lines = (f"user{number}x,row-{number},secret-{number}\n" for number in range(count))
    path.write_text("username,alias,password\n" + "".join(lines))
    return path


@contextmanager
def run_sandbox(loop: Loop, *, quota: bool = False) -> Generator[dict[str, str]]:
    """Run the sandbox with its faults within the block, and give what a client needs."""
    settings = {
        "strangers": STRANGERS,
        "lag": loop.lag,
        "faults": loop.faults,
        "seed": loop.seed,
        "quota": quota,
    }
    command = [sys.executable, "-m", "tests.provisioning.weather", json.dumps(settings)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def opener(account: dict[str, str]) -> OpenerDirector:
    """Return what sends requests as the account's owner."""
    passwords = HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(
        None, account["url"], account["auth_id"], account["auth_token"], is_authenticated=True
    )
    return build_opener(HTTPBasicAuthHandler(passwords))


def state_of(account: dict[str, str]) -> dict[str, Any]:
    """Return all that the sandbox knows."""
    with opener(account).open(f"{account['url']}/_sandbox/state") as answer:
        state: dict[str, Any] = json.load(answer)
        return state


def requests_of(account: dict[str, str]) -> list[dict[str, Any]]:
    """Return the requests that the sandbox has received."""
    with opener(account).open(f"{account['url']}/_sandbox/requests") as answer:
        found: list[dict[str, Any]] = json.load(answer)["requests"]
        return found


def _compare(
    loop: Loop, state: Path, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> dict[str, list[str]]:
    strangers = {endpoint["endpoint_id"]: endpoint for endpoint in before}
    kept = {endpoint["endpoint_id"]: endpoint for endpoint in after}
    made = [endpoint for endpoint in after if endpoint["endpoint_id"] not in strangers]
    times = Counter(endpoint["alias"] for endpoint in made)
    wanted = {f"row-{number}" for number in range(loop.rows)}
    with closing(sqlite3.connect(state)) as db:
        noted = dict(db.execute("SELECT wanted_alias, endpoint_id FROM rows").fetchall())
        names = dict(db.execute("SELECT wanted_alias, wanted_username FROM rows").fetchall())
    ids = {endpoint["alias"]: endpoint["endpoint_id"] for endpoint in made}
    misnamed = [
        endpoint["alias"]
        for endpoint in made
        if not is_made_from(names.get(endpoint["alias"], ""), endpoint["username"])
    ]
    return {
        "duplicated": sorted(alias for alias, count in times.items() if count > 1),
        "lost": sorted(wanted - set(times)),
        "mismatched": sorted(alias for alias in wanted if noted.get(alias) != ids.get(alias)) + misnamed,
        "strangers_touched": sorted(
            endpoint_id for endpoint_id, was in strangers.items() if kept.get(endpoint_id) != was
        ),
    }
