"""Answers to models and errors: Plivo's own examples, and everything else that can come."""

from __future__ import annotations

import copy
import gzip
import html
import json
import os
import pickle
import re
import subprocess
import sys
import tracemalloc
import zlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from attrs import asdict, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from plivo_endpoints import (
    Acknowledgement,
    APIError,
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    CreatedEndpoint,
    Endpoint,
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
    Page,
    PageMeta,
    PlivoError,
    RateLimitedError,
    ResponseDecodeError,
    ServerError,
)
from plivo_endpoints._models import IssuedToken
from plivo_endpoints._resources import endpoints, tokens
from plivo_endpoints._sansio.codec import build_request, parse_response
from plivo_endpoints._sansio.compression import decompress
from plivo_endpoints._sansio.converter import converter, read_claims
from plivo_endpoints._sansio.json_text import load_json
from plivo_endpoints._sansio.messages import Response
from plivo_endpoints._sansio.reading import make_reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aioresponses import aioresponses

    from plivo_endpoints._sansio.messages import Operation

ENDPOINT: dict[str, Any] = {
    "alias": "callme",
    "application": "/v1/Account/MA2025RK4E639VJFZAGV/Application/33406267401237901/",
    "endpoint_id": "32866729519064",
    "resource_uri": "/v1/Account/MA2025RK4E639VJFZAGV/Endpoint/32866729519064/",
    "sip_contact": "sip:callme140703093224@122.172.71.207:57563;ob",
    "sip_expires": "2022-07-21 19:26:08",
    "sip_registered": "true",
    "sip_uri": "sip:callme140703093944@phone.plivo.com",
    "sip_user_agent": "Telephone 1.1.4",
    "sub_account": None,
    "username": "callme140703093944",
}


def answer(body: object, status: int = 200) -> Response:
    """Return a response with a JSON body."""
    return Response(status, json.dumps(body).encode())


def test_plivos_example_of_an_endpoint() -> None:
    """Every field of the documented object gets its meaning."""
    found = parse_response(endpoints.GET, answer({**ENDPOINT, "new_field": [1]}))
    assert found == Endpoint(
        endpoint_id="32866729519064",
        username="callme140703093944",
        alias="callme",
        application=ENDPOINT["application"],
        sip_uri="sip:callme140703093944@phone.plivo.com",
        sip_registered=True,
        sip_contact=ENDPOINT["sip_contact"],
        sip_expires=datetime(2022, 7, 21, 19, 26, 8, tzinfo=UTC),
        sip_user_agent="Telephone 1.1.4",
        sub_account=None,
        resource_uri=ENDPOINT["resource_uri"],
        extra={"new_field": [1]},
    )
    assert found.application_id == "33406267401237901"
    assert hash(found) == hash(parse_response(endpoints.GET, answer({**ENDPOINT, "other": {}})))


def test_an_endpoint_that_came_is_like_one_that_is_made() -> None:
    """The constructor is passed by, so nothing that it would set may be missing."""
    found = parse_response(endpoints.GET, answer({"endpoint_id": "1"}))
    assert vars(Endpoint(endpoint_id="1")) == vars(found)


def test_plivos_example_of_a_create() -> None:
    """The answer to a create names the endpoint as Plivo made it."""
    body = {
        "username": "zumba131031145958",
        "alias": "zumba",
        "message": "created",
        "endpoint_id": "37371860103666",
        "api_id": "1c13de4c-423d-11e3-9899-22000abfa5d5",
    }
    assert CreatedEndpoint(**body) == parse_response(endpoints.CREATE, answer(body, 201))


def test_plivos_example_of_a_list() -> None:
    """A trimmed item and the page's place in the list."""
    item = {
        "alias": "callme",
        "endpoint_id": "32866729519064",
        "sip_registered": "false",
        "username": "callme140703093944",
    }
    meta = {"limit": 20, "next": None, "offset": 0, "previous": None, "total_count": 11}
    page = parse_response(endpoints.LIST, answer({"api_id": "30a0c8c2", "meta": meta, "objects": [item]}))
    assert PageMeta(limit=20, offset=0, total_count=11) == page.meta
    assert page.objects == (
        Endpoint(
            endpoint_id="32866729519064",
            alias="callme",
            sip_registered=False,
            username="callme140703093944",
        ),
    )
    assert page.api_id == "30a0c8c2"


@pytest.mark.parametrize(
    ("application", "expected"),
    [(None, None), ("", None), ("/v1/Account/MA/Application/9/", "9"), ("9", "9"), ("///", None)],
)
def test_application_id_is_the_uris_last_segment(application: str | None, expected: str | None) -> None:
    """However the URI ends."""
    assert expected == Endpoint(endpoint_id="1", application=application).application_id


@pytest.mark.parametrize("said", [True, "true", "True"])
def test_booleans_come_in_two_forms(said: object) -> None:
    """Plivo writes booleans as strings; real ones are read too."""
    found = parse_response(endpoints.GET, answer({"endpoint_id": "1", "sip_registered": said}))
    assert found.sip_registered is True


UNREADABLE: list[tuple[Operation[Any], bytes]] = [
    (endpoints.GET, b""),
    (endpoints.GET, b"null"),
    (endpoints.GET, b'"text"'),
    (endpoints.GET, b"[]"),
    (endpoints.GET, b"7"),
    (endpoints.GET, b"{}"),
    (endpoints.GET, b'{"endpoint_id": ""}'),
    (endpoints.GET, b'{"endpoint_id": 32866729519064}'),
    (endpoints.GET, b'{"endpoint_id": null}'),
    (endpoints.GET, b'{"endpoint_id": "1"'),
    (endpoints.GET, b"<html>maintenance</html>"),
    (endpoints.GET, b"\xff\xfe\x00"),
    (endpoints.GET, b"[" * 200_000),
    (endpoints.GET, b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
    (endpoints.GET, b'{"endpoint_id": "../x"}'),
    (endpoints.GET, b'{"endpoint_id": "1", "alias": "\xff"}'),
    (endpoints.GET, b'{"endpoint_id": "1", "alias": "\x01"}'),
    (endpoints.GET, b'{"endpoint_id": "1", "number": ' + b"1" * 5000 + b"}"),
    (endpoints.CREATE, b'{"endpoint_id": "1"}'),
    (endpoints.CREATE, b'{"endpoint_id": "1", "username": 5}'),
    (endpoints.CREATE, b'{"endpoint_id": "1", "username": ""}'),
    (endpoints.CREATE, b'{"username": "alice1"}'),
    (endpoints.UPDATE, b"[]"),
    (endpoints.LIST, b"{}"),
    (endpoints.LIST, b'{"objects": {}}'),
    (endpoints.LIST, b'{"objects": null}'),
    (endpoints.LIST, b'{"objects": [1]}'),
    (endpoints.LIST, b'{"objects": [{"endpoint_id": "1"}, {"endpoint_id": 2}]}'),
    (endpoints.LIST, b'{"objects": [{"endpoint_id": "1"}, {"alias": "a"}]}'),
    (endpoints.LIST, b'{"objects": [], "meta": []}'),
    (endpoints.LIST, b'{"objects": [], "meta": "x"}'),
    (endpoints.LIST, b'{"objects": [], "meta": {"next": 5}}'),
    (endpoints.LIST, b'{"objects": [], "meta": {"next": {}}}'),
    (endpoints.LIST, b'{"objects": [], "meta": {"next": false}}'),
    (endpoints.LIST, b'{"objects": [], "meta": {"next": ""}}'),
    (tokens.CREATE, b"{}"),
    (tokens.CREATE, b'{"token": null}'),
    (tokens.CREATE, b'{"token": ""}'),
]


@pytest.mark.parametrize(("operation", "body"), UNREADABLE)
def test_an_unreadable_success_is_an_error(operation: Operation[Any], body: bytes) -> None:
    """Never `None`, never a foreign exception, never a long text."""
    with pytest.raises(ResponseDecodeError) as unreadable:
        parse_response(operation, Response(200, body))
    assert len(str(unreadable.value)) < 400
    assert unreadable.value.__cause__ is None
    assert unreadable.value.__context__ is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"endpoint_id": "77"}, "77"),
        ({"endpoint_id": "77", "username": ["alice1"]}, "77"),
        ({"username": "alice1"}, None),
        *(
            ({"endpoint_id": unusable, "username": "alice1"}, None)
            for unusable in ("../x", "7/7", "7\0", "7\n", "7 ", "é", "\ud800", "7" * 65, "", 77, None, ["77"])
        ),
    ],
    ids=repr,
)
def test_a_half_readable_create_still_tells_the_id(body: dict[str, object], expected: str | None) -> None:
    """The id helps to find the endpoint; only one that a request could carry is told."""
    with pytest.raises(ResponseDecodeError) as unreadable:
        parse_response(endpoints.CREATE, answer(body))
    assert expected == unreadable.value.endpoint_id


def test_a_create_is_certain_of_id_and_username_alone() -> None:
    """Whatever else came with them."""
    odd: dict[str, object] = {"alias": {}, "message": 5, "api_id": False, "new": 1}
    body = {"endpoint_id": "77", "username": "alice1", **odd}
    expected = CreatedEndpoint(endpoint_id="77", username="alice1")
    assert expected == parse_response(endpoints.CREATE, answer(body, 201))


ODD: list[tuple[str, object]] = [
    ("application", {}),
    ("alias", 5),
    ("username", ["x"]),
    ("sub_account", False),
    ("api_id", 7),
    ("sip_registered", "maybe"),
    ("sip_registered", 1),
    ("sip_registered", {}),
    ("sip_expires", ""),
    ("sip_expires", "0000-00-00 00:00:00"),
    ("sip_expires", "soon"),
    ("sip_expires", 1658431568),
    ("sip_expires", "0001-01-01T00:00:00+10:00"),
    ("extra", {"a": 1}),
]


def test_a_byte_order_mark_is_no_harm() -> None:
    """A create that worked is not lost to it."""
    answer = Response(201, b'\xef\xbb\xbf{"endpoint_id": "1", "username": "alice1"}')
    assert "1" == parse_response(endpoints.CREATE, answer).endpoint_id


@pytest.mark.parametrize(("name", "value"), ODD)
def test_only_the_id_of_an_endpoint_is_certain(name: str, value: object) -> None:
    """What does not fit counts as missing, and is kept as it came: for one alone and in a list."""
    body = {"endpoint_id": "1", name: value}
    page = parse_response(endpoints.LIST, answer({"objects": [ENDPOINT, body]}))
    for found in (parse_response(endpoints.GET, answer(body)), page.objects[1]):
        assert Endpoint(endpoint_id="1", extra={name: value}) == found
    assert ENDPOINT["endpoint_id"] == page.objects[0].endpoint_id


def test_a_listed_endpoint_may_have_any_id() -> None:
    """No request could carry such an id, and none would; but the endpoint is there, so the list shows it."""
    page = parse_response(endpoints.LIST, answer({"objects": [{"endpoint_id": "../x"}]}))
    assert (Endpoint(endpoint_id="../x"),) == page.objects
    with pytest.raises(InvalidArgumentError):
        build_request(endpoints.GET, "https://h/", ids={"endpoint_id": page.objects[0].endpoint_id})


def test_a_page_is_read_whatever_its_place_says() -> None:
    """But for where the next begins: a list must not end unnoticed."""
    meta: dict[str, object] = {
        "limit": "20",
        "offset": -0.5,
        "previous": 5,
        "total_count": True,
        "next": "/?offset=20",
        "more": {},
    }
    page = parse_response(endpoints.LIST, answer({"objects": [], "meta": meta, "api_id": 5}))
    assert Page[Endpoint](objects=(), meta=PageMeta(next="/?offset=20")) == page


@pytest.mark.parametrize("body", [{}, {"message": 5, "api_id": []}, {"message": None, "more": 1}], ids=repr)
def test_nothing_is_certain_in_an_acknowledgement(body: dict[str, object]) -> None:
    """An update whose status says success is done."""
    assert Acknowledgement() == parse_response(endpoints.UPDATE, answer(body, 202))


def test_the_md5_of_a_password_is_read_and_not_shown() -> None:
    """Nor is an odd one kept where it would be shown."""
    md5 = "5f4dcc3b5aa765d61d8327deb882cf99"
    found = parse_response(endpoints.GET, answer({**ENDPOINT, "password": md5}))
    odd = parse_response(endpoints.GET, answer({**ENDPOINT, "password": [md5], "sip_expires": md5}))
    assert (md5, {}) == (found.password, found.extra)
    assert (None, {"sip_expires": md5}) == (odd.password, odd.extra)
    assert md5 not in repr(found) + repr(odd)


def test_an_answer_beyond_the_limit_is_unreadable() -> None:
    """Even where what was read happens to be JSON."""
    with pytest.raises(ResponseDecodeError, match="max_body"):
        parse_response(endpoints.GET, Response(200, b'{"endpoint_id": "1"}', complete=False))
    with pytest.raises(ResponseDecodeError, match="max_body"):
        parse_response(endpoints.GET, Response(200, b'{"endpoint_id": "1', complete=False))


GZIP = gzip.compress(b"{}", mtime=0)  # the same in each run, as its names of tests must be


def bare_deflate(content: bytes) -> bytes:
    """Compress without the header of zlib."""
    return zlib.compress(content)[2:-4]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        (" GZIP ", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
    ],
)
@pytest.mark.parametrize(("size", "is_all"), [(0, True), (1000, True), (1001, False), (50_000_000, False)])
def test_a_body_is_decompressed_up_to_the_limit(
    encoding: str, compress: Callable[[bytes], bytes], size: int, is_all: bool
) -> None:
    """Neither more nor less; and no memory goes to what lies beyond."""
    content = bytes(size)
    body = compress(content)
    tracemalloc.start()
    found = decompress(body, encoding, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (content[:1000], is_all) == found
    assert peak < 100_000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"\x8b\x02\x80{}\x03"),
        ("zstd", b"(\xb5/\xfd"),
        ("gzip, gzip", gzip.compress(GZIP, mtime=0)),
        ("gzip", b"{}"),
        ("gzip", GZIP[:-1]),
        ("gzip", GZIP + b"x"),
        ("gzip", GZIP[:-8] + bytes(8)),
        ("deflate", b""),
        ("deflate", GZIP),
    ],
)
def test_a_body_that_cannot_be_decompressed(encoding: str, body: bytes) -> None:
    """An unknown encoding, or not what it says, or cut, or more than one stream."""
    assert decompress(body, encoding, 1000) is None


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_compressed_answer_is_called_so(encoding: str) -> None:
    """A success and a refusal; but where only the header is wrong, the body is read."""
    said = f"its body is compressed ({encoding})"
    with pytest.raises(ResponseDecodeError, match=re.escape(said)):
        parse_response(endpoints.GET, Response(200, b"\x8b\x02", encoding=encoding))
    with pytest.raises(NotFoundError) as missing:
        parse_response(endpoints.GET, Response(404, b"\x8b\x02", encoding=encoding))
    assert missing.value.message.startswith(said)
    found = parse_response(endpoints.GET, Response(200, b'{"endpoint_id": "1"}', encoding=encoding))
    assert Endpoint(endpoint_id="1") == found


@pytest.mark.parametrize("body", [b"", b"anything", b'{"message": "deleted"}'])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_deletion_says_no_more_than_its_status(status: int, body: bytes) -> None:
    """Accept whatever body it brings."""
    assert parse_response(endpoints.DELETE, Response(status, body)) is None


TEXTS: list[tuple[bytes, object]] = [
    (b"[NaN, Infinity, -Infinity, 1e999, -1e999, 1.5]", [None, None, None, None, None, 1.5]),
    (b"[18446744073709551616, -123456789012345678901234567890]", [2**64, -123456789012345678901234567890]),
    (b'{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
    (rb'["\ud83d\ude00", "\uD83D\uDE00", "\u00e9\n\\"]', ["\U0001f600", "\U0001f600", "\u00e9\n\\"]),
    (rb'["\ud83d", "\uDE00x", "\ude00\ud83d", "\ud83d\ud83d\ude00"]', ["?", "?x", "??", "?\U0001f600"]),
    (rb'["\\ud83d", "\\\ud83d"]', ["\\ud83d", "\\?"]),
    (rb'{"\ud83d": 1}', {"?": 1}),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_what_json_does_not_have_costs_no_answer(text: bytes, expected: object) -> None:
    """What is no finite number is read as `null`, half a surrogate pair as U+FFFD, and the rest exactly."""
    assert json.loads(json.dumps(expected).replace("?", "\\ufffd")) == load_json(text)


@pytest.mark.parametrize("installed", ["orjson", "simplejson", "ujson"])
def test_no_faster_parser_changes_what_answers_say(installed: str, tmp_path: Path) -> None:
    """One that is installed is not even imported."""
    (tmp_path / f"{installed}.py").write_text("", encoding="utf-8")
    code = f"import sys, plivo_endpoints._transport; print({installed!r} in sys.modules)"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(  # noqa: S603
        command,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "False\n" == ended.stdout


SHAPES: list[tuple[bytes, str, str | None]] = [
    (b'{"api_id": "a-1", "error": "not found"}', "not found", "a-1"),
    (b'{"error": "text"}', "text", None),
    (
        b'{"api_id": "a", "error": {"username": ["too long", "bad"], "alias": ["missing"]}}',
        "username: too long, bad; alias: missing",
        "a",
    ),
    (b'{"error": {"error": "inner"}}', "inner", None),
    (b'{"error": {"message": "inner"}}', "inner", None),
    (b'{"message": "text"}', "text", None),
    (b'{"error": 5}', "5", None),
    (b'{"error": [1, "b"]}', "1, b", None),
    (b"{}", "", None),
    (b'"a string"', "a string", None),
    (b"[1, 2]", "1, 2", None),
    (b"42", "42", None),
    (b"null", "", None),
    (b"<html>\n <h1>Bad gateway</h1></html>", "<html> <h1>Bad gateway</h1></html>", None),
    (b"plain \x1b[31m text", "plain \\x1b[31m text", None),
    (b'{"api_id": 7, "error": "x"}', "x", None),
    (b'{"token": "eyJ', "", None),
    (b"", "", None),
]


@pytest.mark.parametrize(("body", "message", "api_id"), SHAPES)
def test_every_shape_of_error_is_read(body: bytes, message: str, api_id: str | None) -> None:
    """With its status and text, control characters escaped."""
    with pytest.raises(NotFoundError) as error:
        parse_response(endpoints.GET, Response(404, body))
    assert (404, message, api_id) == (error.value.status, error.value.message, error.value.api_id)
    assert str(error.value).isprintable()


STATUSES: list[tuple[int, type[APIError]]] = [
    (101, APIError),
    (301, APIError),
    (307, APIError),
    (400, BadRequestError),
    (401, AuthenticationError),
    (402, APIError),
    (403, ForbiddenError),
    (404, NotFoundError),
    (405, APIError),
    (408, APIError),
    (409, ConflictError),
    (418, APIError),
    (422, BadRequestError),
    (429, RateLimitedError),
    (500, ServerError),
    (503, ServerError),
    (599, ServerError),
]


@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_each_status_has_its_error(status: int, expected: type[APIError]) -> None:
    """The class says whose fault it is."""
    with pytest.raises(APIError) as error:
        parse_response(endpoints.GET, Response(status, b"{}"))
    assert expected is type(error.value)


@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_deep_error_is_survived(depth: int) -> None:
    """However deep it nests, the status is told."""
    with pytest.raises(ServerError):
        parse_response(endpoints.GET, Response(500, b'{"error":' * depth + b'"x"' + b"}" * depth))


DECODED: tuple[Operation[Any], ...] = (
    endpoints.CREATE,
    endpoints.GET,
    endpoints.LIST,
    endpoints.UPDATE,
    tokens.CREATE,
)


@given(st.binary(max_size=300), st.sampled_from([200, 201, 204, 302, 400, 404, 429, 500]))
def test_no_bytes_raise_anything_foreign(body: bytes, status: int) -> None:
    """Whatever comes, it is a result or one of our errors."""
    for operation in DECODED:
        try:
            parse_response(operation, Response(status, body))
        except PlivoError as error:
            assert len(str(error)) < 600


ANY = st.characters(codec=None, exclude_categories=())  # half surrogate pairs too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(ANY, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*ENDPOINT, "error", "message", "meta", "objects", "token", "total_count"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=15,
)


@given(JSON, st.sampled_from([200, 400, 500]))
def test_no_json_raises_anything_foreign(body: object, status: int) -> None:
    """Likewise for well-formed answers with nonsense in the right places."""
    for operation in DECODED:
        try:
            parse_response(operation, Response(status, json.dumps(body).encode()))
        except PlivoError as error:
            assert len(str(error)) < 600


@pytest.mark.parametrize(
    "jwt",
    ["", "a", "a.b", "a.b.c", "a.e30=.c", "a.W10.c", "a." + "ew" * 50 + ".c", "a.eyJwZXIiOiAxfQ.c"],
)
def test_an_unreadable_token_has_no_claims(jwt: str) -> None:
    """Or empty ones; it is a token all the same."""
    claims = read_claims(jwt)
    assert claims is None or claims.exp is None


def jwt_of(claims: object) -> str:
    """Return a token with these claims, unsigned."""
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


def test_an_odd_claim_leaves_the_others_readable() -> None:
    """It counts as not told; a permission too, which is `False` only where the token has none."""
    body: dict[str, object] = {"iss": 5, "sub": "alice", "nbf": 1e999, "exp": 86401, "app": [], "per": {}}
    odd = {**body, "exp": 10**400, "per": {"voice": {"incoming_allow": "perhaps", "outgoing_allow": True}}}
    claims, others = read_claims(jwt_of(body)), read_claims(jwt_of(odd))
    assert claims is not None
    assert others is not None
    assert [None, "alice", None, None] == [claims.iss, claims.sub, claims.nbf, claims.app]
    assert datetime(1970, 1, 2, 0, 0, 1, tzinfo=UTC) == claims.exp
    assert [False, False] == [claims.incoming_allow, claims.outgoing_allow]
    assert [None, None, True] == [others.exp, others.incoming_allow, others.outgoing_allow]


@pytest.mark.parametrize("per", [5, [1], {"voice": "all"}])
def test_permissions_of_another_form_are_unknown(per: object) -> None:
    """Neither given nor refused."""
    claims = read_claims(jwt_of({"sub": "alice", "per": per}))
    assert claims is not None
    assert ["alice", None, None] == [claims.sub, claims.incoming_allow, claims.outgoing_allow]


def test_only_the_token_itself_is_certain() -> None:
    """Its api_id may be odd."""
    assert IssuedToken(jwt="opaque", claims=None) == parse_response(
        tokens.CREATE, answer({"token": "opaque", "api_id": 5})
    )


def test_a_token_whose_claims_are_unreadable_is_still_given() -> None:
    """Plivo made it; only its reading failed."""
    assert IssuedToken(jwt="opaque", claims=None) == parse_response(
        tokens.CREATE, answer({"token": "opaque"})
    )


def test_ids_go_into_the_path_and_queries_after_it() -> None:
    """Every path ends in a slash, before the query."""
    page = build_request(endpoints.LIST, "https://h/v1/Account/MA/", query={"limit": 5, "cursor": "a b&c"})
    one = build_request(endpoints.GET, "https://h/v1/Account/MA/", ids={"endpoint_id": "77"})
    assert page.url == "https://h/v1/Account/MA/Endpoint/?limit=5&cursor=a+b%26c"
    assert (one.url, one.path, one.body) == (
        "https://h/v1/Account/MA/Endpoint/77/",
        "Endpoint/{endpoint_id}/",
        None,
    )


@pytest.mark.parametrize("error_class", [ServerError, NotFoundError])
def test_errors_copy_and_pickle(error_class: type[APIError]) -> None:
    """With type, message and attributes."""
    error = error_class("text", status=500, api_id="a", method="GET", path="Endpoint/", attempts=3)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert (type(error), str(error), vars(error)) == (type(twin), str(twin), vars(twin))


@pytest.mark.parametrize(("body", "message", "_api_id"), SHAPES)
async def test_canned_errors_come_through_the_client(
    canned: aioresponses, body: bytes, message: str, _api_id: str | None
) -> None:
    """The same, through the whole client and a canned answer."""
    url = "https://api.plivo.com/v1/Account/MA0123456789ABCDEFGH/Endpoint/1/"
    canned.get(url, status=403, body=body)
    async with AsyncClient("MA0123456789ABCDEFGH", "token") as client:
        with pytest.raises(ForbiddenError) as error:
            await client.endpoints.get("1")
    assert message == error.value.message


@pytest.mark.parametrize(
    ("listed", "is_certain"),
    [
        ({"alias": {}, "username": "alice1"}, False),
        ({"alias": "desk", "username": 5}, False),
        ({"alias": 5, "username": 5}, False),
        ({"alias": {}, "username": "bob1"}, True),
        ({"alias": "other", "username": ["alice1"]}, True),
        ({"alias": "desk"}, True),
    ],
    ids=repr,
)
async def test_what_cannot_be_read_may_be_the_create_that_is_looked_for(
    canned: aioresponses, listed: dict[str, object], is_certain: bool
) -> None:
    """Then there is no answer: one would be made again after an empty answer, or adopted after another."""
    url = "https://api.plivo.com/v1/Account/MA0123456789ABCDEFGH/Endpoint/?limit=20&offset=0"
    meta = {"limit": 20, "offset": 0, "next": None, "total_count": 1}
    canned.get(url, payload={"meta": meta, "objects": [{"endpoint_id": "7", **listed}]})
    async with AsyncClient("MA0123456789ABCDEFGH", "token") as client:
        looking = client.endpoints.find_created(
            username="alice", alias="desk", sent_at=datetime(2026, 1, 1, tzinfo=UTC), settle=0
        )
        if is_certain:
            assert await looking == ()
        else:
            with pytest.raises(ResponseDecodeError, match="cannot be read"):
                await looking


@frozen(kw_only=True)
class Plain:
    """A model without a hook of its own."""

    text: str
    number: int
    flag: bool
    time: datetime
    share: float
    maybe: str | None = None
    count: int | None = None
    ratio: float | None = None
    seen: datetime | None = None
    on: bool | None = None
    inner: PageMeta | None = None
    names: list[str] = field(factory=list[str])
    size: int = 20


PLAIN: dict[str, Any] = {
    "text": "a",
    "number": 7,
    "flag": "false",
    "time": "2022-07-21 19:26:08",
    "share": 1,
}
CERTAIN: dict[str, Any] = {**PLAIN, "flag": False, "time": datetime(2022, 7, 21, 19, 26, 8, tzinfo=UTC)}


def test_a_plain_model_is_read() -> None:
    """As CONTRIBUTING promises to whoever adds an operation."""
    optional: dict[str, Any] = {
        "maybe": "b",
        "count": 2**70,
        "ratio": 0.5,
        "seen": "2022-07-21T21:26:08+02:00",
        "on": True,
        "inner": {"limit": 5},
        "names": ["c"],
        "size": 0,
    }
    read = converter.structure({**PLAIN, **optional, "more": 1}, Plain)
    expected: dict[str, Any] = {**optional, "seen": CERTAIN["time"], "inner": PageMeta(limit=5)}
    assert Plain(**CERTAIN, **expected) == read
    assert float is type(read.share)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"maybe": None, "count": None, "names": None, "size": None},
        {
            "maybe": 5,
            "count": "7",
            "ratio": "0.5",
            "seen": 0,
            "on": 1,
            "inner": 5,
            "size": "20",
        },
        {"maybe": {}, "count": True, "ratio": False, "seen": "soon", "on": "", "inner": [], "size": 1.5},
        {"maybe": [], "count": 7.0, "ratio": 10**400, "seen": [], "on": {}, "names": [5], "size": []},
    ],
    ids=str,
)
def test_what_may_be_missing_from_a_plain_model_may_be_odd(odd: dict[str, object]) -> None:
    """Either way it keeps its default."""
    assert Plain(**CERTAIN) == converter.structure({**PLAIN, **odd}, Plain)


@frozen(kw_only=True, slots=False)
class LaterEndpoint(Endpoint):
    """An endpoint with the fields of a later version."""

    port: int | None = None
    loss: float | None = None
    muted: bool | None = None
    seen: datetime | None = None


def test_a_field_added_to_an_endpoint_is_read_as_its_type_says() -> None:
    """By itself."""
    read = make_reader(LaterEndpoint, converter)
    told = {"port": 5060, "loss": 0.25, "muted": "true", "seen": "2022-07-21 19:26:08"}
    odd: dict[str, object] = {"port": "5060", "loss": "x", "muted": "no", "seen": 5}
    seen = CERTAIN["time"]
    assert LaterEndpoint(
        endpoint_id="1", port=5060, loss=0.25, muted=True, seen=seen, extra={"new": 1}
    ) == read({"endpoint_id": "1", **told, "new": 1}, None)
    assert LaterEndpoint(endpoint_id="1", extra=odd) == read({"endpoint_id": "1", **odd}, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": None},
        {"text": 5},
        {"text": ""},
        {"number": "7"},
        {"number": True},
        {"flag": 1},
        {"time": 0},
        {"share": "1"},
        {"share": 10**400},
    ],
    ids=lambda wrong: str(wrong)[:20],
)
def test_a_plain_model_is_read_strictly(wrong: dict[str, Any]) -> None:
    """Left to itself cattrs would make text of a number, and a flag of anything."""
    with pytest.raises(TypeError):
        converter.structure({**PLAIN, **wrong}, Plain)


@given(st.dictionaries(st.sampled_from([*ENDPOINT, "endpoint_id", "password", "x"]), JSON), st.data())
def test_every_answer_can_be_written_down(fields: dict[str, object], data: st.DataObject) -> None:
    """As JSON that all can read, in UTF-8: whatever came, NaN and half surrogate pairs included."""
    text = json.dumps({**fields, "endpoint_id": data.draw(st.text(ANY, min_size=1))}, default=str)
    page = parse_response(endpoints.LIST, Response(200, f'{{"objects": [{text}]}}'.encode()))
    written = json.dumps(asdict(page), ensure_ascii=False, allow_nan=False, default=str).encode()
    assert page.objects[0].endpoint_id == json.loads(written)["objects"][0]["endpoint_id"]


def _page(text: str) -> bytes:
    return f"<p>bad: {text}</p>".encode()


ECHOES: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda secret: json.dumps({"error": f"bad: {secret}"}).encode(),
    "as it was sent": lambda secret: _page(json.dumps({"username": "alice", "password": secret})),
    "in UTF-8": lambda secret: _page(json.dumps({"password": secret}, ensure_ascii=False)),
    "with slashes escaped": lambda secret: _page(json.dumps({"password": secret}).replace("/", "\\/")),
    "in HTML": lambda secret: _page(html.escape(secret)),
    "in HTML, quotes as they are": lambda secret: _page(html.escape(secret, quote=False)),
    "in HTML of ASCII": lambda secret: html.escape(secret).encode("ascii", "xmlcharrefreplace"),
    "in a list": lambda secret: json.dumps({"error": [{"password": secret}]}).encode(),
    "in HTML of Flask": lambda secret: _page(
        html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    ),
    "in a query": lambda secret: _page(urlencode({"password": secret})),
    "in a path": lambda secret: _page(quote(secret, safe="")),
    "in a path, by a browser": lambda secret: _page(quote(secret, safe="!'()*")),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize(
    "secret",
    ["s3cret", "pässwörd", 'se"cret\\1', "two  spaces", "a&b<c>d", "back\\slash'1", "sl/a/sh", "日本語日本"],
)
def test_no_echo_of_a_secret_is_shown(secret: str, echo: Callable[[str], bytes]) -> None:
    """However the server writes down what it was sent."""
    with pytest.raises(BadRequestError) as refused:
        parse_response(endpoints.CREATE, Response(400, echo(secret)), lambda: [secret])
    assert "[secret]" in str(refused.value)
    assert secret not in str(refused.value)


def test_a_secret_within_another_is_not_shown() -> None:
    """The longer one is looked for first."""
    with pytest.raises(BadRequestError) as refused:
        parse_response(endpoints.CREATE, Response(400, b"got abcdeREST"), lambda: ["abcde", "abcdeREST"])
    assert str(refused.value).endswith("got [secret]")
