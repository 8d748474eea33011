"""The example of a token service: from the one command of its README to a token, and to its end."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.examples.browsing import Visitor
from tests.services.service import skip_without, wait_until_open

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.service import Service

pytestmark = pytest.mark.slow

ALICE = {"name": "alice", "password": "open sesame"}


def claims(token: str) -> dict[str, Any]:
    """Read a token of the sandbox."""
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def test_a_visitor_logs_in(start: Callable[..., Service]) -> None:
    """Only who is logged in gets a token, for their own endpoint; a signal ends all of it gracefully."""
    skip_without("fastapi", "uvicorn", "itsdangerous")
    demo = start("token_service", "demo.py", "0")
    url = demo.wait_for(r"running on (http://\S+)")
    wait_until_open(url)
    visitor = Visitor(url)
    assert (200, '{"status":"ok"}') == visitor.get("/health")
    assert "Log in" in visitor.get("/").text
    assert (401, {"error": "log in first"}) == (
        visitor.post("/token").status,
        json.loads(visitor.post("/token").text),
    )
    assert 401 == visitor.post_json("/login", name="alice", password="guessed").status
    assert 401 == visitor.post_json("/login", name="nobody", password="open sesame").status
    assert 401 == visitor.post_json("/login", name="alice", password="\ud800").status
    assert 401 == visitor.post("/token").status
    assert 204 == visitor.post_json("/login", **ALICE).status
    answers = [visitor.post("/token") for _ in range(4)]
    assert [200] * 4 == [answer.status for answer in answers]
    found = claims(json.loads(answers[0].text)["jwt"])
    assert found["sub"].startswith("alice2")
    assert 401 == Visitor(url).post("/token").status
    assert 204 == visitor.post("/logout").status
    assert 401 == visitor.post("/token").status
    assert (True, []) == (demo.terminate() in {0, -signal.SIGTERM}, demo.complaints())
    assert 2 == demo.output.count("site closed")
    assert "open sesame" not in demo.output.split("\n", 1)[1]
    assert "eyJ" not in demo.output
