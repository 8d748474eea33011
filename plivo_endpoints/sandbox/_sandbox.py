"""The sandbox: an account, and the server that answers for it."""

from typing import Self

from plivo_endpoints.sandbox._account import Account, new_auth_id, new_auth_token
from plivo_endpoints.sandbox._app import build_app
from plivo_endpoints.sandbox._listing import PageOrder, Pagination
from plivo_endpoints.sandbox._server import LoopServer, ThreadServer
from plivo_endpoints.sandbox._state import AccountState, Directory


class Sandbox(Account):
    """A Plivo of one's own on loopback, gone when the block is left.

    `async with Sandbox() as sandbox:` serves in the running loop; `with Sandbox() as sandbox:` serves
    from a thread, for programs that block. Credentials that are not given are made up. `port=0` takes a
    free port; `endpoints` is how many to begin with.
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
    ) -> None:
        state = AccountState(auth_id or new_auth_id("MA"))
        state.strict_alias, state.pagination, state.order = strict_alias, pagination, order
        super().__init__(state, auth_token or new_auth_token(), Directory())
        self._address = (host, port)
        self._origin: str | None = None
        self._loop_server: LoopServer | None = None
        self._thread_server: ThreadServer | None = None
        self.seed(endpoints)

    @property
    def base_url(self) -> str:
        """The origin, such as `http://127.0.0.1:8080`, without a trailing slash.

        Raises:
            RuntimeError: the sandbox is not running.
        """
        if self._origin is None:
            raise RuntimeError("the sandbox runs inside `with Sandbox()` or `async with Sandbox()` only")
        return self._origin

    async def __aenter__(self) -> Self:
        self._loop_server = self._new_server()
        self._origin = await self._loop_server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._origin = None
        if self._loop_server is not None:
            await self._loop_server.stop()

    def __enter__(self) -> Self:
        self._thread_server = ThreadServer(self._new_server())
        self._origin = self._thread_server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._origin = None
        if self._thread_server is not None:
            self._thread_server.stop()

    def _new_server(self) -> LoopServer:
        if self._origin is not None:
            raise RuntimeError("the sandbox is running already")
        host, port = self._address
        return LoopServer(build_app(self._directory), host, port)
