"""Reading a source: into the journal once, and again for the passwords."""

from __future__ import annotations

import asyncio
import hashlib
import json
from array import array
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeGuard

from attrs import field, frozen

from plivo_endpoints.provisioning._errors import SourceError
from plivo_endpoints.provisioning._passwords import stretch
from plivo_endpoints.provisioning._rows import Problem, Row, fault_of
from plivo_endpoints.provisioning._states import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from plivo_endpoints.provisioning._journal import Clash, Journal
    from plivo_endpoints.provisioning._rows import RowSource

CHUNK: Final = 250  # rows; few enough to leave the event loop its turns


@frozen
class Contents:
    """What a source holds.

    Attributes:
        hash: Of all rows, passwords included.
        derives: Whether rows came without a password.
        marks: A hash of each row, to know it again when it is read again: of this process alone, because it
            would tell a password to who can guess it.
    """

    hash: bytes = field(repr=False)
    derives: bool
    marks: array[int] = field(repr=False)

    def has(self, row: Row | Problem, number: int) -> TypeGuard[Row]:
        """Whether a row, read again, is the one that was at this place, from 1 on."""
        return number <= len(self.marks) and self.marks[number - 1] == hash(row)

    def digest(self, salt: str) -> str:
        """Return what may be kept of the hash: slow to compute, because it tells of passwords."""
        return stretch(self.hash, salt).hex()


class _Hash:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._derives = False
        self._marks = array("q")

    def add(self, row: Row) -> None:
        texts = (row.key, row.username, row.alias, row.password, row.app_id)
        self._hash.update(json.dumps(texts).encode() + b"\n")
        self._derives = self._derives or row.password is None
        self._marks.append(hash(row))

    def contents(self) -> Contents:
        return Contents(self._hash.digest(), self._derives, self._marks)


async def chunks(source: RowSource) -> AsyncGenerator[tuple[int, list[Row | Problem]]]:
    """Read a source in a thread, some rows at a time, each time with the number of the first, from 1 on."""
    rows: Iterator[Row | Problem] = iter(source)
    first = 1
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK))):
        yield first, chunk
        first += len(chunk)


async def load(journal: Journal, source: RowSource, *, derives: bool) -> Contents:
    """Fill an empty journal with the rows of a source.

    Raises:
        SourceError: A row cannot be used, or shares a key, username or alias with another.
    """
    problems: list[Problem] = []
    contents = _Hash()
    async with aclosing(chunks(source)) as reading:
        async for first, chunk in reading:
            entries: list[Entry] = []
            for number, item in enumerate(chunk, first):
                entry = _entry(item, number, derives=derives)
                if isinstance(entry, Problem):
                    problems.append(entry)
                else:
                    entries.append(entry)
                if isinstance(item, Row):
                    contents.add(item)
            problems += [_problem(clash) for clash in await journal.add(entries)]
    if problems:
        raise SourceError(tuple(sorted(problems, key=lambda problem: problem.line)))
    return contents.contents()


async def examine(source: RowSource) -> Contents:
    """Return what a source holds that was loaded before."""
    contents = _Hash()
    async with aclosing(chunks(source)) as reading:
        async for _, chunk in reading:
            for item in chunk:
                if isinstance(item, Row):
                    contents.add(item)
    return contents.contents()


def _entry(item: Row | Problem, number: int, *, derives: bool) -> Entry | Problem:
    if isinstance(item, Problem):
        return item
    line = item.line or number
    if reason := fault_of(item, derives=derives):
        return Problem(line, reason)
    return Entry(
        number=number,
        line=line,
        key=item.key,
        username=item.username,
        alias=item.alias,
        app_id=item.app_id,
    )


def _problem(clash: Clash) -> Problem:
    return Problem(clash.entry.line, f"{clash.field}: is already that of line {clash.first.line}")
