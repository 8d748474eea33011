"""A resource that the client does not have, added as a contributor would: nothing else has to know of it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import field, frozen

from plivo_endpoints import AmbiguousOutcomeError, AsyncClient, CallFinished, Event, OutcomeUnknownError, Page
from plivo_endpoints._request_models import RequestModel
from plivo_endpoints._resources.base import AsyncResource
from plivo_endpoints._sansio.messages import Operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

AUTH_ID: Final = "MA0123456789ABCDEFGH"


@frozen(kw_only=True)
class Voicemail:
    """A mailbox."""

    mailbox_id: str
    minutes: int | None = None
    urgent: bool | None = None


@frozen(kw_only=True)
class NewVoicemail(RequestModel):
    """What a create asks for."""

    name: str
    pin: str = field(repr=False)


CREATE: Final = Operation("voicemails.create", "POST", "Voicemail/", returns=Voicemail, repeatable=False)
LIST: Final = Operation("voicemails.list", "GET", "Voicemail/", returns=Page[Voicemail], repeatable=True)
CLEAR: Final = Operation("voicemails.clear", "POST", "Voicemail/Clear/", returns=type(None), repeatable=False)


class AsyncVoicemails(AsyncResource):
    """Mailboxes."""

    async def create(self, *, name: str, pin: str) -> Voicemail:
        """Create a mailbox."""
        return await self._executor.execute(CREATE, NewVoicemail(name=name, pin=pin))

    async def list(self) -> Page[Voicemail]:
        """Return a page of mailboxes."""
        return await self._executor.execute(LIST)

    async def clear(self) -> None:
        """Empty them all."""
        await self._executor.execute(CLEAR)


class Plivo:
    """Answers with whatever a test wants, and keeps the bodies."""

    def __init__(self) -> None:
        self.answer: Callable[[], web.Response] = web.Response
        self.bodies: list[object] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request."""
        self.bodies.append(await request.json() if request.can_read_body else None)
        return self.answer()


@pytest.fixture
async def plivo() -> AsyncIterator[tuple[Plivo, str]]:
    """Serve it."""
    served, app = Plivo(), web.Application()
    app.router.add_route("*", "/{path:.*}", served.handle)
    async with TestServer(app) as server:
        yield served, str(server.make_url("")).rstrip("/")


async def test_it_is_created(plivo: tuple[Plivo, str]) -> None:
    """Sent as its fields say, and read as the answer's types say."""
    served, url = plivo
    served.answer = lambda: web.json_response({"mailbox_id": "7", "minutes": 3, "urgent": "true"})
    async with AsyncClient(AUTH_ID, "token", base_url=url) as client:
        made = await AsyncVoicemails(client.endpoints._executor).create(name="desk", pin="1234")
    assert Voicemail(mailbox_id="7", minutes=3, urgent=True) == made
    assert [{"name": "desk", "pin": "1234"}] == served.bodies


async def test_they_are_listed(plivo: tuple[Plivo, str]) -> None:
    """The objects of a page are read by their own type."""
    served, url = plivo
    served.answer = lambda: web.json_response({"objects": [{"mailbox_id": "7"}], "meta": {"total_count": 1}})
    async with AsyncClient(AUTH_ID, "token", base_url=url) as client:
        page = await AsyncVoicemails(client.endpoints._executor).list()
    assert (Voicemail(mailbox_id="7"),) == page.objects
    assert page.meta.total_count == 1


async def test_a_lost_create_is_told_and_not_sent_again(
    plivo: tuple[Plivo, str], caplog: pytest.LogCaptureFixture
) -> None:
    """With the general error, which names the operation and no secret, though the server echoes one."""
    served, url = plivo
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    served.answer = lambda: web.Response(status=502, text=json.dumps({"error": "bad pin 1234-5678"}))
    async with AsyncClient(AUTH_ID, "token", base_url=url, on_event=events.append) as client:
        voicemails = AsyncVoicemails(client.endpoints._executor)
        with pytest.raises(AmbiguousOutcomeError, match="POST Voicemail/ was sent") as lost:
            await voicemails.create(name="desk", pin="1234-5678")
        with pytest.raises(AmbiguousOutcomeError):
            await voicemails.clear()
    assert not isinstance(lost.value, OutcomeUnknownError)
    assert (502, 1, 2) == (lost.value.status, lost.value.attempts, len(served.bodies))
    assert "1234-5678" not in str(lost.value) + caplog.text
    assert [("voicemails.create", True), ("voicemails.clear", True)] == [
        (event.operation, event.outcome_unknown) for event in events if isinstance(event, CallFinished)
    ]
