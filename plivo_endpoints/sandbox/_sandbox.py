"""The sandbox: an account, and the server that answers for it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Self

from plivo_endpoints.sandbox._account import Account, new_auth_id, new_auth_token
from plivo_endpoints.sandbox._app import build_app
from plivo_endpoints.sandbox._record import RequestRecord
from plivo_endpoints.sandbox._server import LoopServer, ThreadServer
from plivo_endpoints.sandbox._settings import PageOrder, Pagination
from plivo_endpoints.sandbox._state import AccountState, Caller, Directory
from plivo_endpoints.sandbox._state_file import StateFile, dump_account, restore_account


class Sandbox(Account):
    """A Plivo of one's own on loopback, gone when the block is left.

    `async with Sandbox() as sandbox:` serves in the running loop; `with Sandbox() as sandbox:` serves
    from a thread, for programs that block. Credentials that are not given are made up. `port=0` takes a
    free port; `endpoints` is how many to begin with; `control` opens `/_sandbox/` to whoever has the
    account's credentials. A page for people is at the root.

    `state_file` keeps the account over restarts: it is read at the start if it exists (credentials and
    endpoints are then those in it) and written when the block is left. It holds the account's token, so only
    its owner can read it. While the block runs, no other sandbox can use it.
    `on_request` is called with each request as it is answered, in the thread that serves.

    Raises:
        ValueError: an argument breaks its rule; `state_file` holds something else, or an account with other
            credentials.
        OSError: on entering the block: the address cannot be served, another sandbox is using `state_file`,
            or it cannot be written. Its `filename` is set where it is about the file.
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
        state_file: str | PathLike[str] | None = None,
        on_request: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        directory = Directory()
        self._state_file = None if state_file is None else StateFile(Path(state_file))
        kept = self._state_file and _kept_account(self._state_file, directory, auth_id, auth_token)
        super().__init__(kept or _new_account(directory, auth_id, auth_token), directory)
        self._state.configure(strict_alias=strict_alias, pagination=pagination, order=order)
        self._state.on_request = on_request
        self._address = (host, port)
        self._control = control
        self._loop_server: LoopServer
        self._thread_server: ThreadServer
        if not kept:
            self.seed(endpoints)

    async def __aenter__(self) -> Self:
        self._open_state_file()
        try:
            self._loop_server = self._new_server()
            self._directory.origin = await self._loop_server.start()
        except BaseException:
            self._close_state_file()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._directory.origin = None
        try:
            await self._loop_server.stop()
        finally:
            self._close_state_file()

    def __enter__(self) -> Self:
        self._open_state_file()
        try:
            self._thread_server = ThreadServer(self._new_server())
            self._directory.origin = self._thread_server.start()
        except BaseException:
            self._close_state_file()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self._thread_server.is_here:
            return  # nor is the account: a child would overwrite what the parent keeps
        self._directory.origin = None
        try:
            self._thread_server.stop()
        finally:
            self._close_state_file()

    @contextmanager
    def fresh_account(self) -> Generator[Account]:
        """Lend another account on the same server, with nothing in it, gone after the block."""
        caller = _new_account(self._directory)
        try:
            yield Account(caller, self._directory)
        finally:
            self._directory.remove(caller.state)

    def _open_state_file(self) -> None:
        if self._directory.origin is not None:
            raise RuntimeError("the sandbox is running already")
        if self._state_file is not None:
            self._state_file.acquire()
            try:
                # A file that cannot be written is reported now, not when there is something to lose.
                self._save(self._state_file)
            except BaseException:
                self._state_file.release()
                raise

    def _close_state_file(self) -> None:
        if self._state_file is not None and self._state_file.is_held:
            try:
                self._save(self._state_file)
            finally:
                self._state_file.release()

    def _save(self, file: StateFile) -> None:
        file.write(dump_account(self._caller, self._directory))

    def _new_server(self) -> LoopServer:
        host, port = self._address
        return LoopServer(build_app(self._directory, host, control=self._control), host, port)


def _new_account(directory: Directory, auth_id: str | None = None, auth_token: str | None = None) -> Caller:
    state = AccountState(auth_id or new_auth_id("MA"))
    caller = Caller(state=state, auth_id=state.auth_id, auth_token=auth_token or new_auth_token())
    directory.add(caller)
    return caller


def _kept_account(
    file: StateFile, directory: Directory, auth_id: str | None, auth_token: str | None
) -> Caller | None:
    """Return the account in the file, `None` if there is none yet."""
    saved = file.read()
    if saved is None:
        return None
    try:
        caller = restore_account(saved, directory)
    except ValueError as problem:
        raise file.refuse(str(problem)) from None
    if auth_id not in (None, caller.auth_id) or auth_token not in (None, caller.auth_token):
        raise ValueError(f"{file.path} holds an account with other credentials")
    return caller
