"""Requests and answers: what each call encodes and decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.canned import AUTH_ID, CREATED, ENDPOINT_ID, FOUND, PAGE, PAGE_SIZE
from benchmarks.peers import NEW
from plivo_endpoints._request_models import NewEndpoint
from plivo_endpoints._resources.endpoints import CREATE, GET, LIST
from plivo_endpoints._sansio.codec import build_request, parse_response
from plivo_endpoints._sansio.messages import Response

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from plivo_endpoints._sansio.messages import Request

ACCOUNT_URL = f"https://api.plivo.com/v1/Account/{AUTH_ID}/"


def test_ask_for_a_create(benchmark: BenchmarkFixture) -> None:
    """Check the arguments and encode them."""

    def ask() -> Request:
        return build_request(CREATE, ACCOUNT_URL, NewEndpoint(**NEW))

    assert benchmark(ask).body is not None


def test_ask_for_a_get(benchmark: BenchmarkFixture) -> None:
    """Check the id and put it into the URL."""
    request = benchmark(build_request, GET, ACCOUNT_URL, ids={"endpoint_id": ENDPOINT_ID})
    assert request.url.endswith(f"/{ENDPOINT_ID}/")


def test_decode_a_created_endpoint(benchmark: BenchmarkFixture) -> None:
    """The answer to a create."""
    assert benchmark(parse_response, CREATE, Response(201, CREATED)).endpoint_id == ENDPOINT_ID


def test_decode_an_endpoint(benchmark: BenchmarkFixture) -> None:
    """The answer to a get."""
    assert benchmark(parse_response, GET, Response(200, FOUND)).endpoint_id == ENDPOINT_ID


def test_decode_a_page(benchmark: BenchmarkFixture) -> None:
    """Twenty endpoints, typed and frozen."""
    assert len(benchmark(parse_response, LIST, Response(200, PAGE)).objects) == PAGE_SIZE
