"""The sandbox: an account, and the server that it runs on."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Self

from plivo_endpoints.sandbox._account import Account, new_account
from plivo_endpoints.sandbox._app import build_app
from plivo_endpoints.sandbox._record import RequestRecord
from plivo_endpoints.sandbox._server import LoopServer, ThreadServer
from plivo_endpoints.sandbox._settings import PageOrder, Pagination, Settings
from plivo_endpoints.sandbox._sip._listeners import SipListeners
from plivo_endpoints.sandbox._sip._registrar import Registrar
from plivo_endpoints.sandbox._state import Caller, Directory
from plivo_endpoints.sandbox._state_file import StateFile, dump_account, restore_account

_LAST_PORT = 65_535


class Sandbox(Account):
    """A stand-in for Plivo on loopback, which runs until the block exits.

    `async with Sandbox() as sandbox:` serves in the running loop. `with Sandbox() as sandbox:` serves from a
    thread, for blocking programs. Credentials are random unless given. `port=0` picks a free port.
    `endpoints` is the initial number of endpoints. `control` enables `/_sandbox/` for callers with the
    account's credentials. The root shows a page for people.

    `state_file` keeps the account across restarts. If the file exists, the credentials and endpoints come
    from it. It is written when the block exits. Only its owner can read it, as it contains the account's
    token. While the block runs, no other sandbox can use it.

    With `sip`, phones can register: by UDP and TCP on `sip_port`, where 0 picks a free port, and by WebSocket
    at `signalling_url`.

    `on_request` is called with each request when its response is ready, in the thread of the server.

    Raises:
        ValueError: an argument breaks its rule, or `state_file` contains something else or an account with
            other credentials.
        OSError: on entering the block, if the address cannot be served, another sandbox is using
            `state_file`, or it cannot be written. `filename` is set if the error is about the file.
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
        sip: bool = False,
        sip_port: int = 0,
        state_file: str | PathLike[str] | None = None,
        on_request: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        for name, number in (("port", port), ("sip_port", sip_port)):
            if type(number) is not int or not 0 <= number <= _LAST_PORT:
                raise ValueError(f"{name} must be from 0 to {_LAST_PORT}")
        if sip_port and not sip:
            raise ValueError("sip_port needs sip=True")
        directory = Directory()
        self._state_file = None if state_file is None else StateFile(Path(state_file))
        saved = self._state_file and _saved_account(self._state_file, directory, auth_id, auth_token)
        super().__init__(saved or new_account(directory, auth_id, auth_token), directory)
        self._state.start_with(Settings(strict_alias=strict_alias, pagination=pagination, order=order))
        self._state.on_request = on_request
        self._address = (host, port)
        self._control = control
        self._sip_port = sip_port if sip else None
        self._loop_server: LoopServer
        self._thread_server: ThreadServer
        if not saved:
            self.seed(endpoints)

    async def __aenter__(self) -> Self:
        self._open_state_file()
        try:
            self._loop_server = self._new_server()
            self._note_start(self._loop_server, await self._loop_server.start())
        except BaseException:
            self._close_state_file()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._note_stop()
        try:
            await self._loop_server.stop()
        finally:
            self._close_state_file()

    def __enter__(self) -> Self:
        self._open_state_file()
        try:
            server = self._new_server()
            self._thread_server = ThreadServer(server)
            self._note_start(server, self._thread_server.start())
        except BaseException:
            self._close_state_file()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self._thread_server.is_here:
            return  # in a forked child, which would overwrite the parent's state file
        self._note_stop()
        try:
            self._thread_server.stop()
        finally:
            self._close_state_file()

    @contextmanager
    def fresh_account(self) -> Generator[Account]:
        """Create another, empty account on the same server, and remove it when the block exits."""
        caller = new_account(self._directory)
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
                # Fail now if the file cannot be written, and not when there is something to lose.
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
        registrar = None if self._sip_port is None else Registrar(self._directory)
        app = build_app(self._directory, host, control=self._control, registrar=registrar)
        listeners = None if registrar is None else SipListeners(registrar, self._sip_port or 0)
        return LoopServer(app, host, port, listeners)

    def _note_start(self, server: LoopServer, origin: str) -> None:
        self._directory.origin = origin
        self._directory.sip_port = None if server.sip is None else server.sip.port

    def _note_stop(self) -> None:
        self._directory.origin = self._directory.sip_port = None


def _saved_account(
    file: StateFile, directory: Directory, auth_id: str | None, auth_token: str | None
) -> Caller | None:
    """Return the account in the file, or `None` if there is none yet."""
    saved = file.read()
    if saved is None:
        return None
    try:
        caller = restore_account(saved, directory)
    except ValueError as problem:
        raise file.refuse(str(problem)) from None
    if auth_id not in (None, caller.auth_id) or auth_token not in (None, caller.auth_token):
        raise ValueError(f"{file.path} contains an account with other credentials")
    return caller
