"""The outcomes of rows, as a stream and as a file."""

from __future__ import annotations

import csv
import json
import os
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final, Literal, TextIO

from attrs import asdict, field, fields, frozen

from plivo_endpoints._errors import InvalidArgumentError
from plivo_endpoints.provisioning._attach import verify_source
from plivo_endpoints.provisioning._entries import RowState
from plivo_endpoints.provisioning._errors import StaleError
from plivo_endpoints.provisioning._load import chunks
from plivo_endpoints.provisioning._passwords import password_of
from plivo_endpoints.provisioning._report import Outcome, outcome_of
from plivo_endpoints.provisioning._state._protocol import batches, batches_of_gone, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from os import PathLike

    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._protocol import FleetState

Form = Literal["jsonl", "csv"]

_AFTER_DELETION: Final = (RowState.DELETED, RowState.UNDELETED, RowState.FAILED, RowState.REVIEW)


@frozen(kw_only=True)
class SipCredentials(Outcome):
    """An outcome with the SIP password.

    Attributes:
        password: The password; `None` if it was never sent, as for an imported endpoint.
    """

    password: str | None = field(default=None, repr=False)


async def read_outcomes(state: FleetState) -> AsyncGenerator[Outcome]:
    """Yield the outcome of each row so far; also during a run.

    Rows come in the order of the source, then the rows no longer in it that this run was to delete.
    """
    async with opened(state.read_only()) as known:
        for reading in (batches(known, *RowState), batches_of_gone(known, *_AFTER_DELETION)):
            async with aclosing(reading) as entries:
                async for batch in entries:
                    for entry in batch:
                        yield outcome_of(entry)


async def read_credentials(
    state: FleetState, rows: RowSource, master_key: str | None
) -> AsyncGenerator[SipCredentials]:
    """Yield the outcome of each row with its password: see `AsyncFleet.credentials`."""
    async with opened(state.read_only()) as known:
        contents, deriver = await verify_source(known, rows, master_key)
        last = 0
        async with aclosing(chunks(rows)) as reading:
            async for first, chunk in reading:
                entries = await known.read(after=first - 1, limit=len(chunk), states=tuple(RowState))
                for last, row in enumerate(chunk, first):
                    if not contents.has(row, last):
                        raise StaleError(f"row {last} of the source has changed")
                    if last - first >= len(entries) or entries[last - first].key != row.key:
                        raise StaleError("another run changed the state while it was read: try again")
                    entry = entries[last - first]
                    password = password_of(row, deriver) if entry.has_known_password else None
                    yield SipCredentials(**asdict(outcome_of(entry)), password=password)
        if last < len(contents.marks):
            raise StaleError("the source has become shorter")


@contextmanager
def private_file(path: str | PathLike[str]) -> Generator[TextIO]:
    """Create a file that only its owner may read; raise `FileExistsError` if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        yield file


def writer(file: TextIO, form: Form, kind: type[Outcome]) -> Callable[[Outcome], None]:
    """Return a function that writes outcomes of a kind to an open file, one at a time.

    Raises:
        InvalidArgumentError: Passwords as CSV, which would change some to be safe to open in a spreadsheet.
    """
    if form == "jsonl":
        return lambda outcome: print(json.dumps(asdict(outcome)), file=file)
    if issubclass(kind, SipCredentials):
        raise InvalidArgumentError("form", "must be jsonl for passwords: CSV would change some of them")
    columns = csv.writer(file)
    columns.writerow(each.name for each in fields(kind))
    return lambda outcome: columns.writerow(map(_cell, asdict(outcome).values()))


def _cell(value: object) -> str:
    # A spreadsheet would run a value that looks like a formula.
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
