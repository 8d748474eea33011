"""The sandbox: an account, and the server that answers for it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Self

from plivo_endpoints.sandbox._account import Account, new_auth_id, new_auth_token
from plivo_endpoints.sandbox._app import build_app
from plivo_endpoints.sandbox._listing import PageOrder, Pagination
from plivo_endpoints.sandbox._server import LoopServer, ThreadServer
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory


class Sandbox(Account):
    """A Plivo of one's own on loopback, gone when the block is left.

    `async with Sandbox() as sandbox:` serves in the running loop; `with Sandbox() as sandbox:` serves
    from a thread, for programs that block. Credentials that are not given are made up. `port=0` takes a
    free port; `endpoints` is how many to begin with; `control` opens `/_sandbox/` to whoever has the
    account's credentials. A page for people is at the root.
    """

    def __init__(
        self,
        *,
        auth_id: str | None = None,
        auth_token: str | None = None,
        endpoints: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        strict_alias: bool = False,
        pagination: Pagination = "offset",
        order: PageOrder = "newest",
        control: bool = False,
    ) -> None:
        state = AccountState(auth_id or new_auth_id("MA"))
        state.strict_alias, state.pagination, state.order = strict_alias, pagination, order
        caller = Caller(state=state, auth_id=state.auth_id, auth_token=auth_token or new_auth_token())
        super().__init__(caller, Directory())
        self._directory.add(caller)
        self._address = (host, port)
        self._control = control
        self._loop_server: LoopServer | None = None
        self._thread_server: ThreadServer | None = None
        self.seed(endpoints)

    async def __aenter__(self) -> Self:
        self._loop_server = self._new_server()
        self._directory.origin = await self._loop_server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._directory.origin = None
        if self._loop_server is not None:
            await self._loop_server.stop()

    def __enter__(self) -> Self:
        self._thread_server = ThreadServer(self._new_server())
        self._directory.origin = self._thread_server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._directory.origin = None
        if self._thread_server is not None:
            self._thread_server.stop()

    @contextmanager
    def fresh_account(self) -> Generator[Account]:
        """Lend another account on the same server, with nothing in it, gone after the block."""
        state = AccountState(new_auth_id("MA"))
        caller = Caller(state=state, auth_id=state.auth_id, auth_token=new_auth_token())
        self._directory.add(caller)
        try:
            yield Account(caller, self._directory)
        finally:
            self._directory.remove(state)

    def _new_server(self) -> LoopServer:
        if self._directory.origin is not None:
            raise RuntimeError("the sandbox is running already")
        host, port = self._address
        return LoopServer(build_app(self._directory, control=self._control), host, port)
