"""Answers as JSON, the one way that docs/guides/client.md shows: `attrs.asdict`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from attrs import asdict, fields
from attrs.filters import exclude

from plivo_endpoints import Acknowledgement, CreatedEndpoint, Endpoint, Page, PageMeta, Token, TokenClaims

MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ENDPOINT = Endpoint(
    endpoint_id="1", sip_registered=True, sip_expires=MOMENT, password="5f4dcc3b", extra={"a": [{"b": None}]}
)
CLAIMS = TokenClaims(
    iss="MA", sub=None, nbf=MOMENT, exp=MOMENT, app=None, incoming_allow=True, outgoing_allow=None
)
ANSWERS: list[Any] = [
    ENDPOINT,
    Page(objects=(ENDPOINT,), meta=PageMeta(limit=20)),
    CreatedEndpoint(endpoint_id="1", username="alice1"),
    Acknowledgement(message="changed"),
    Token(jwt="a.b.c", claims=CLAIMS, expires_at=MOMENT),
    Token(jwt="opaque", claims=None, expires_at=MOMENT),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_every_answer_becomes_json(answer: Any) -> None:
    """An object with all fields, by their names."""
    document = json.loads(json.dumps(asdict(answer), default=str))
    assert [field.name for field in fields(cast("Any", type(answer)))] == list(document)


def test_a_document_holds_what_is_nested() -> None:
    """A page its endpoints, an endpoint what came unknown, a token its claims; times can be read back."""
    page = json.loads(json.dumps(asdict(ANSWERS[1]), default=str))
    token = json.loads(json.dumps(asdict(ANSWERS[4]), default=str))
    assert page["objects"][0]["extra"] == {"a": [{"b": None}]}
    assert page["meta"]["limit"] == 20
    assert datetime.fromisoformat(token["claims"]["exp"]) == MOMENT


def test_the_hash_of_a_password_can_be_left_out() -> None:
    """With the filter that the guide names."""
    assert asdict(ENDPOINT).keys() - asdict(ENDPOINT, filter=exclude("password")).keys() == {"password"}


@pytest.mark.slow
def test_fastapi_returns_it() -> None:
    """From a function annotated as the guide says, for every kind of answer."""
    fastapi = pytest.importorskip("fastapi")
    testing = pytest.importorskip("fastapi.testclient")
    app = fastapi.FastAPI()

    def get(number: int) -> dict[str, object]:
        return asdict(ANSWERS[number])

    app.get("/{number}")(get)

    with testing.TestClient(app) as browser:
        for number, answer in enumerate(ANSWERS):
            returned = browser.get(f"/{number}")
            assert (returned.status_code, set(returned.json())) == (200, set(asdict(answer)))
        assert datetime.fromisoformat(browser.get("/4").json()["claims"]["exp"]) == MOMENT
