"""A scripted server of raw sockets, in a thread of its own, that knows the truth about what it did."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, Self

from attrs import define, field

from tests.faults.account import Account, Arrival
from tests.faults.kinds import HONEST, NOTHING
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_CASE: Final = 1  # of the target's segments


@define
class Door:
    """A listening socket and how it lets connections in."""

    listener: socket.socket
    delay: float = 0.0  # seconds before each is accepted
    resets: int = 0  # connections reset as soon as they are accepted
    greetings: list[bytes] = field(factory=list[bytes])  # said on accepting, one per connection
    greeted: threading.Event = field(factory=threading.Event)  # set when the first has been said

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.listener.getsockname()[1]
        return port


class FaultServer:
    """Serves any number of accounts, each below its own path."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._names = count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="fault server")
        self._connections: set[asyncio.Task[None]] = set()
        self._doors: set[asyncio.Task[None]] = set()
        self.accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self.open_door().port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = self._doors | self._connections
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def open_door(self, *, delay: float = 0.0, resets: int = 0, greetings: Sequence[bytes] = ()) -> Door:
        """Listen on one more port."""
        door = Door(socket.create_server(("127.0.0.1", 0), backlog=512), delay, resets, list(greetings))
        door.listener.setblocking(False)  # noqa: FBT003 - the standard library's own
        asyncio.run_coroutine_threadsafe(self._start(door), self._loop).result()
        return door

    async def _start(self, door: Door) -> None:
        task = asyncio.create_task(self._accept(door))
        self._doors.add(task)

    def account(self, *, port: int | None = None) -> tuple[Account, str]:
        """Return a new account and its base URL."""
        name = f"case-{next(self._names)}"
        account = self._accounts[name] = Account(HONEST)
        account.seed()
        return account, f"http://127.0.0.1:{port or self.port}/{name}"

    @property
    def open_connections(self) -> int:
        """How many connections have not ended."""
        return len(self._connections)

    async def _accept(self, door: Door) -> None:
        with door.listener:
            while True:
                if door.delay:
                    await asyncio.sleep(door.delay)
                connection, _ = await self._loop.sock_accept(door.listener)
                self.accepted += 1
                connection.setblocking(False)  # noqa: FBT003 - the standard library's own
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if door.resets:
                    door.resets -= 1
                    await Wire(connection).rst()
                    continue
                if door.greetings:
                    await Wire(connection).send(door.greetings.pop(0))
                    door.greeted.set()
                task = asyncio.create_task(self._converse(connection))
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)

    async def _converse(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            wire = Wire(connection)
            while not wire.closed and (line := await wire.peek_line()) is not None:
                await self._exchange(wire, line.decode("latin-1"))

    async def _exchange(self, wire: Wire, line: str) -> None:
        method, target, _ = line.split(" ")
        account = self._accounts[target.split("/")[_CASE]]
        step = account.next_step()
        fault = step.fault
        account.arrivals.append(Arrival(method, target, time.monotonic(), fault.status))
        if fault.reads == "line":
            await fault.play(wire, NOTHING)
            return
        head = await wire.read_head()
        if fault.reads == "headers":
            await fault.play(wire, NOTHING)
            return
        body = await wire.read_body(head)
        if fault.lands_after is not None:
            later = (method, target, body)
            self._loop.call_later(fault.lands_after, lambda: account.carry_out(*later, applied=True))
        await fault.play(wire, account.carry_out(method, target, body, applied=step.applied))
