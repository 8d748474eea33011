"""Interrupt creates of the blocking client at random moments, and compare what was told with what was made.

Arguments: auth id, base URL, interrupts, seconds within which each comes, what the signal's handler does (the
name of what it raises, or "close"), and how many more signals follow each within 0.1 ms, as where a terminal
and a parent process both send one. The server is honest. Prints a JSON object.
"""

from __future__ import annotations

import json
import logging
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import plivo_endpoints
from plivo_endpoints import Client, ClientStateError, OutcomeUnknownError

auth_id, url, interrupts, seconds, reaction, more = sys.argv[1:]
PACKAGE = str(Path(plivo_endpoints.__file__).parent)
KINDS: dict[str, type[BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "RuntimeError": RuntimeError,
    "TimeoutError": TimeoutError,
}
EXPECTED: tuple[type[BaseException], ...] = (*KINDS.values(), ClientStateError)
chance = random.Random(7)  # noqa: S311 - the same moments in every run
client = Client(auth_id, "t", base_url=url, rate_limit=None)
ends: Counter[str] = Counter()
silent: list[str] = []  # aliases of those that nobody told of
longest = 0.0
to_come = 0  # signals of the present burst


def react(*_: object) -> None:
    """Do what the storm is about."""
    global to_come  # noqa: PLW0603 - a handler has no other place
    if to_come == 0:  # the call has ended
        return
    to_come -= 1
    if to_come:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 1e-4))
    if reaction == "close":
        client.close()
    else:
        raise KINDS[reaction]("of a handler")


def tells(error: BaseException) -> bool:
    """Whether an error says that the create may have been made, or that it was."""
    outcome = isinstance(error, OutcomeUnknownError) or isinstance(error.__cause__, OutcomeUnknownError)
    return outcome or bool(getattr(error, "__notes__", None))


def is_ours(error: BaseException) -> bool:
    """Whether the interrupt came within the call, and not just before or after it."""
    return any(frame.filename.startswith(PACKAGE) for frame in traceback.extract_tb(error.__traceback__))


logging.getLogger("plivo_endpoints").addHandler(logging.NullHandler())
signal.signal(signal.SIGALRM, react)
for number in range(int(interrupts)):
    if reaction == "close":
        client = Client(auth_id, "t", base_url=url, rate_limit=None)
    # A connection that creates have used before, so that the next one leaves at once.
    client.endpoints.create(username="alice", password="s3cret", alias="before")
    delay = chance.uniform(1e-6, float(seconds))
    end = "made"
    begun = time.perf_counter()
    try:
        try:
            to_come = 1 + int(more)
            signal.setitimer(signal.ITIMER_REAL, delay)
            client.endpoints.create(username="alice", password="s3cret", alias=f"desk-{number}")
        finally:
            to_come = 0
            signal.setitimer(signal.ITIMER_REAL, 0)
    except EXPECTED as error:
        longest = max(longest, time.perf_counter() - begun - delay)
        end = "told" if tells(error) else "silent" if is_ours(error) else "outside"
    except OutcomeUnknownError:
        end = "told"
    ends[end] += 1
    if end == "silent":
        silent.append(f"desk-{number}")
client.close()
sys.stdout.write(json.dumps({"ends": ends, "silent": silent, "longest": longest}))
