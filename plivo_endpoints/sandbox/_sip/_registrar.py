"""Answers SIP requests from the state of the sandbox's accounts, without input or output.

REGISTER changes that state, OPTIONS is answered, and everything else is refused: the sandbox has no calls.
"""

import logging
from collections import OrderedDict
from datetime import UTC, datetime
from http import HTTPStatus

from attrs import frozen

from plivo_endpoints.sandbox._sip._bindings import Registrant, read_contacts, show_contact
from plivo_endpoints.sandbox._sip._digest import Nonces, read_credentials
from plivo_endpoints.sandbox._sip._message import Reply, Request, Source, read_request, write_response
from plivo_endpoints.sandbox._sip._syntax import SipSyntaxError, read_address, read_uri
from plivo_endpoints.sandbox._sip._tokens import TokenRefusedError, read_token
from plivo_endpoints.sandbox._state import AccountState, Directory
from plivo_endpoints.sandbox._store import SIP_DOMAIN, SandboxEndpoint

# Phones whose last CSeq is known; those that were silent for the longest time are dropped.
MAX_SEQUENCES = 10_000

_LOGGER = logging.getLogger("plivo_endpoints.sandbox.sip")
_MAX_CALL_ID = 250  # characters
_MAX_USER_AGENT = 200
_MAX_LOGGED = 200
_ALLOW = ("Allow", "REGISTER, OPTIONS")
_WITHIN_CALLS = frozenset({"BYE", "CANCEL", "INFO", "PRACK", "UPDATE"})
_KNOWN = frozenset({"INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PUBLISH", "REFER", "SUBSCRIBE"})


class RequestRefusedError(Exception):
    """The request is refused with this response."""

    def __init__(self, status: int, *fields: tuple[str, str], warning: str | None = None) -> None:
        super().__init__(status)
        if warning is not None:
            fields = (*fields, ("Warning", f'399 {SIP_DOMAIN} "{warning}"'))
        self.reply = Reply(status=status, fields=fields)


@frozen(kw_only=True)
class _Login:
    """Who registers, and until when; `endpoint` is `None` if the subject of a token is no endpoint."""

    state: AccountState
    endpoint: SandboxEndpoint | None
    until: datetime | None = None
    fields: tuple[tuple[str, str], ...] = ()


class Registrar:
    """The registrar of the domain phone.plivo.com, for all accounts of a sandbox."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._nonces = Nonces()
        self._sequences: OrderedDict[tuple[str, str], int] = OrderedDict()

    def answer(self, message: bytes, source: Source) -> bytes | None:
        """Return the response to a message, or `None` if it gets none."""
        request = read_request(message)
        if request is None or request.method == "ACK":
            return None
        try:
            reply = self._reply(request, source)
        except RequestRefusedError as refusal:
            reply = refusal.reply
        except SipSyntaxError as problem:
            reply = RequestRefusedError(400, warning=str(problem)).reply
        _log_refusal(request, source, reply)
        return write_response(request, source, reply)

    def _reply(self, request: Request, source: Source) -> Reply:
        if request.problem is not None:
            raise RequestRefusedError(400, warning=request.problem)
        if not request.uri.lower().startswith(("sip:", "sips:")):
            raise RequestRefusedError(416)
        if required := request.all("require"):
            raise RequestRefusedError(420, ("Unsupported", ", ".join(required)))
        if request.method == "REGISTER":
            return self._register(request, source)
        return self._reply_without_calls(request)

    def _reply_without_calls(self, request: Request) -> Reply:
        if request.method in _WITHIN_CALLS:
            raise RequestRefusedError(481)
        if request.method not in _KNOWN:
            raise RequestRefusedError(501, _ALLOW)
        target = read_uri(request.uri, "the Request-URI")
        if target.user:
            is_known = _is_served(target.host) and self._directory.find_endpoints(target.user)
            raise RequestRefusedError(480 if is_known else 404)
        if request.method != "OPTIONS":
            raise RequestRefusedError(405, _ALLOW)
        return Reply(status=200, fields=(_ALLOW,))

    def _register(self, request: Request, source: Source) -> Reply:
        user = _read_user(request)
        token = request.first("x-plivo-jwt")
        login = self._password_login(request, user) if token is None else self._token_login(token, user)
        contacts = read_contacts(request)
        self._check_sequence(request, user)
        user_agent = (request.first("user-agent") or "")[:_MAX_USER_AGENT]
        registrant = Registrant(source=str(source), user_agent=user_agent, latest=login.until)
        now, endpoint, store = login.state.clock.now(), login.endpoint, login.state.store
        registration = registrant.bind(None, contacts, now)
        if endpoint is not None:
            registration = store.update_registration(
                endpoint.endpoint_id, lambda current: registrant.bind(current, contacts, now)
            )
            if contacts:
                _LOGGER.info("%s %s by %s", user, "registered" if registration else "unregistered", source)
        return Reply(status=200, fields=(*show_contact(registration, now), *login.fields))

    def _password_login(self, request: Request, user: str) -> _Login:
        now = int(self._directory.first().state.clock.now().timestamp())
        credentials = read_credentials(request.all("authorization"))
        is_stale = False
        if credentials is not None and credentials.username == user and _is_for_us(credentials.uri):
            for state, endpoint in self._directory.find_endpoints(user):
                if credentials.match(request.method, endpoint.ha1):
                    if self._nonces.use(credentials, now):
                        return _Login(state=state, endpoint=endpoint)
                    is_stale = True
        challenge = self._nonces.challenge(now, stale=is_stale)
        raise RequestRefusedError(401, ("WWW-Authenticate", challenge))

    def _token_login(self, token: str, user: str) -> _Login:
        try:
            login = read_token(token, user, self._directory)
        except TokenRefusedError as refusal:
            code = ("X-Plivo-Jwt-Error-Code", str(int(refusal.error)))
            raise RequestRefusedError(403, code, warning=refusal.error.name) from None
        state = login.caller.state
        return _Login(
            state=state,
            endpoint=state.store.find(login.subject, login.caller.sub_account),
            until=datetime.fromtimestamp(login.expires, UTC),
            fields=(("X-Plivo-Jwt", f"exp={login.expires};"),),
        )

    def _check_sequence(self, request: Request, user: str) -> None:
        """Refuse what is not newer than the last request of the same phone (RFC 3261, 10.3)."""
        if len(request.call_id) > _MAX_CALL_ID:
            raise RequestRefusedError(400, warning=f"Call-ID must have at most {_MAX_CALL_ID} characters")
        phone = (user, request.call_id)
        if request.sequence <= self._sequences.get(phone, -1):
            raise RequestRefusedError(400, warning="CSeq must grow")
        self._sequences[phone] = request.sequence
        self._sequences.move_to_end(phone)
        if len(self._sequences) > MAX_SEQUENCES:
            self._sequences.popitem(last=False)


def _log_refusal(request: Request, source: Source, reply: Reply) -> None:
    fields = dict(reply.fields)
    # Without credentials, or with an old nonce, a phone is only asked for them.
    has_credentials = request.all("authorization") or request.all("x-plivo-jwt")
    is_stale = "stale=true" in fields.get("WWW-Authenticate", "")
    if request.method == "REGISTER" and reply.status != HTTPStatus.OK and has_credentials and not is_stale:
        why = fields.get("Warning", "unknown username or wrong password")
        user = "".join(request.all("to"))[:_MAX_LOGGED]
        _LOGGER.info("%s by %s was refused: %d, %s", user, source, reply.status, why)


def _read_user(request: Request) -> str:
    """Return whom a REGISTER is for."""
    to = read_uri(read_address(request.all("to")[0], "To").uri, "To")
    if not _is_served(to.host) or not to.user:
        raise RequestRefusedError(404, warning=f"register a user of {SIP_DOMAIN}")
    return to.user


def _is_for_us(uri: str) -> bool:
    # Some phones name their proxy, or the domain in another form, instead of the Request-URI.
    return _is_served(read_uri(uri, "the uri of the credentials").host)


def _is_served(host: str) -> bool:
    # Some phones cannot send to an address other than their domain. So the domain may also be an IP address,
    # or the name of this machine or of a container. Any other is a mistake that Plivo would not accept.
    return host == SIP_DOMAIN or "." not in host or host.replace(".", "").isdigit()
