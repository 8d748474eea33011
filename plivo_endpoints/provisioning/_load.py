"""Read a source: once into the state, and again for the passwords."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from array import array
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeGuard

from attrs import field, frozen

from plivo_endpoints.provisioning._entries import Entry, Spec
from plivo_endpoints.provisioning._errors import SourceError
from plivo_endpoints.provisioning._passwords import Deriver, mark_of, master_key_of, stretch
from plivo_endpoints.provisioning._rows import NO_PASSWORD, Problem, Row, faults_of, is_encodable, key_shown
from plivo_endpoints.provisioning._state._protocol import opened
from plivo_endpoints.provisioning._state._sqlite import SqliteState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from os import PathLike

    from plivo_endpoints.provisioning._rows import RowSource
    from plivo_endpoints.provisioning._state._protocol import FleetState

CHUNK: Final = 250  # rows; few enough not to block the event loop


@frozen
class Contents:
    """A summary of a source.

    Attributes:
        hash: Hash of all rows, including passwords.
        derives: Whether there are rows without a password.
        marks: A hash of each row, to recognise it when it is read again. It never leaves this process, as a
            password could be guessed from it.
    """

    hash: bytes = field(repr=False)
    derives: bool
    marks: array[int] = field(repr=False)

    def has(self, row: Row | Problem, number: int) -> TypeGuard[Row]:
        """Whether a row is the same as the one that was read at this position, from 1."""
        return number <= len(self.marks) and self.marks[number - 1] == hash(row)

    def digest(self, salt: str) -> str:
        """Return a digest that may be stored; it is slow to compute because the hash covers passwords."""
        return stretch(self.hash, salt).hex()


class _Hash:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._derives = False
        self._marks = array("q")

    def add(self, item: Row | Problem) -> None:
        if isinstance(item, Row):
            texts = [item.key, item.username, item.alias, item.password, item.password_version, item.app_id]
            self._derives = self._derives or item.password is None
        else:  # only if the source has changed since it was loaded
            texts = [item.reason]
        self._hash.update(json.dumps(texts).encode() + b"\n")
        self._marks.append(hash(item))

    def contents(self) -> Contents:
        return Contents(self._hash.digest(), self._derives, self._marks)


async def chunks(source: RowSource) -> AsyncGenerator[tuple[int, list[Row | Problem]]]:
    """Read a source in a thread, in chunks of rows, each with the number of its first row, from 1."""
    rows: Iterator[Row | Problem] = iter(source)
    first = 1
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK))):
        yield first, chunk
        first += len(chunk)


def file_of(source: RowSource) -> str | None:
    """Return the file of a source, if it has one."""
    path: PathLike[str] | None = getattr(source, "path", None)
    return None if path is None else os.fspath(path)


async def load(state: FleetState, source: RowSource, deriver: Deriver | None) -> Contents:
    """Add the rows of a source to a state, as an edition that has not taken effect yet.

    Raises:
        SourceError: Rows are invalid, or share a key or username; all of them are named.
    """
    derives = deriver is not None
    file = file_of(source)
    problems: list[Problem] = []
    contents = _Hash()
    async with aclosing(chunks(source)) as reading:
        async for first, chunk in reading:
            entries: list[Entry] = []
            found: dict[int, list[str]] = {}
            for number, item in enumerate(chunk, first):
                if faults := _faults(item, derives=derives):
                    found[number] = faults
                contents.add(item)
                # Invalid rows, too, may share a key or username with others.
                if isinstance(item, Row) and (not faults or is_encodable(item)):
                    entries.append(_entry(item, number, "" if faults else mark_of(item, deriver)))
            for clash in await state.add(entries):
                other = f"{'line' if file else 'row'} {clash.first.line}"
                found.setdefault(clash.entry.number, []).append(f"{clash.field}: is already used by {other}")
            problems += [_problem(chunk[number - first], number, found[number], file) for number in found]
    if problems:
        raise SourceError(tuple(sorted(problems, key=lambda problem: problem.line)))
    return contents.contents()


async def count_rows(source: RowSource) -> int:
    """Return the number of rows of a source, if all of them are valid.

    Raises:
        SourceError: Rows are invalid; all of them are named.
    """
    key = master_key_of(None)
    async with opened(SqliteState(None)) as scratch:
        contents = await load(scratch, source, None if key is None else Deriver(key, ""))
    return len(contents.marks)


async def read_contents(source: RowSource) -> Contents:
    """Return the summary of a source that was loaded before."""
    contents = _Hash()
    async with aclosing(chunks(source)) as reading:
        async for _, chunk in reading:
            for item in chunk:
                contents.add(item)
    return contents.contents()


def _faults(item: Row | Problem, *, derives: bool) -> list[str]:
    if isinstance(item, Row):
        return [f"{name}: {fault}" for name, fault in faults_of(item, derives=derives).items()]
    return [item.reason, f"password: {NO_PASSWORD}"] if item.lacks_password and not derives else [item.reason]


def _entry(row: Row, number: int, mark: str) -> Entry:
    wanted = Spec(username=row.username, alias=row.alias, app_id=row.app_id, password=mark)
    return Entry(number=number, line=row.line or number, key=row.key, wanted=wanted)


def _problem(item: Row | Problem, number: int, faults: list[str], file: str | None) -> Problem:
    reason = "; ".join(faults)
    if isinstance(item, Row):
        return Problem(item.line or number, reason, key_shown(item), file)
    return Problem(item.line, reason, item.key, item.file or file)
