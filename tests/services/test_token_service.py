"""The token endpoint as it is deployed, on a server for ASGI."""

from __future__ import annotations

import json
import signal
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.services.service import LIMIT, Service, skip_without, wait_until_open

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox import Sandbox

pytestmark = pytest.mark.slow


def post(url: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Ask for a token; return the status and the document."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=LIMIT)
    try:
        connection.request("POST", "/token", headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("app", ["alone", "app"])
def test_the_asgi_app_under_uvicorn(
    launch: Callable[..., Service], threaded_sandbox: Sandbox, app: str
) -> None:
    """Alone or as a route of FastAPI, it gives visitors one kept token, refuses others, and ends cleanly."""
    skip_without("fastapi", "uvicorn")
    service = launch("uvicorn", "--port", "0", f"asgi_tokens:{app}")
    url = service.wait_for(r"running on (http://\S+)")
    wait_until_open(url)
    answers = [post(url, Cookie="user=alice123") for _ in range(3)]
    assert [200] * 3 == [status for status, _ in answers]
    assert 1 == len({document["jwt"] for _, document in answers})
    assert ["alice123"] == [claims["sub"] for claims in threaded_sandbox.tokens]
    assert (401, {"error": "log in first"}) == post(url)
    status = service.terminate()  # uvicorn ends by the signal that it got, after it has closed everything
    assert (True, []) == (status in {0, -signal.SIGTERM}, service.complaints())
    assert "Application shutdown complete" in service.output
