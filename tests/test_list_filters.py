"""Filters of a list: Plivo has none, so every page is requested and the endpoints are compared here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from plivo_endpoints import AsyncClient, Client, Endpoint, ListChangedWarning
from plivo_endpoints._resources.filters import EndpointFilter
from plivo_endpoints.sandbox import Fault

if TYPE_CHECKING:
    from plivo_endpoints.sandbox import Sandbox

DESK: Final = Endpoint(
    endpoint_id="1",
    username="alice250101",
    alias="desk",
    application="/v1/Account/MA/Application/42/",
    sip_registered=True,
)
BARE: Final = Endpoint(endpoint_id="2", extra={"username": 5, "alias": {}, "sip_registered": "maybe"})


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({"alias": "desk"}, True),
        ({"alias": "des"}, False),
        ({"alias": "Desk"}, False),
        ({"username_prefix": "alice"}, True),
        ({"username_prefix": "alice250101"}, True),
        ({"username_prefix": "alice2501012"}, False),
        ({"username_prefix": "Alice"}, False),
        ({"app_id": "42"}, True),
        ({"app_id": "4"}, False),
        ({"registered": True}, True),
        ({"registered": False}, False),
        ({"alias": "desk", "app_id": "42", "registered": True}, True),
        ({"alias": "desk", "app_id": "43", "registered": True}, False),
        ({}, True),
    ],
    ids=repr,
)
def test_what_matches(wanted: dict[str, Any], matches: bool) -> None:
    """Aliases and applications that are equal, usernames that begin so, the given state; all of them."""
    assert matches is EndpointFilter(**wanted).matches(DESK)


@pytest.mark.parametrize(
    "wanted",
    [
        {"alias": "desk"},
        {"username_prefix": "a"},
        {"app_id": "1"},
        {"registered": True},
        {"registered": False},
    ],
    ids=repr,
)
def test_a_missing_or_unreadable_value_does_not_match(wanted: dict[str, Any]) -> None:
    """An endpoint whose registration is unknown is neither registered nor unregistered."""
    assert EndpointFilter(**wanted).matches(BARE) is False


async def test_every_page_is_requested(client: AsyncClient, sandbox: Sandbox) -> None:
    """The filter selects from what arrives, and `offset` skips endpoints that would not match, too."""
    sandbox.order = "oldest"
    sandbox.seed(45)
    ids = list(sandbox.endpoints)
    for position in (3, 25, 44):
        sandbox.register(ids[position])
    found = [endpoint.endpoint_id async for endpoint in client.endpoints.list(registered=True)]
    assert [ids[3], ids[25], ids[44]] == found
    assert [{"limit": "20", "offset": str(offset)} for offset in (0, 20, 40)] == [
        request.query for request in sandbox.requests
    ]
    later = client.endpoints.list(registered=True, offset=20, prefetch=2)
    assert [ids[25], ids[44]] == [endpoint.endpoint_id async for endpoint in later]
    unregistered = [endpoint async for endpoint in client.endpoints.list(registered=False)]
    assert 42 == len(unregistered)


async def test_pages_keep_only_the_matches(client: AsyncClient, sandbox: Sandbox) -> None:
    """A page without a match comes empty, and still says where it lies in the whole list."""
    sandbox.order = "oldest"
    sandbox.seed(45)
    alias = list(sandbox.endpoints.values())[25].alias
    pages = [page async for page in client.endpoints.list(alias=alias).pages()]
    assert [[], [alias], []] == [[endpoint.alias for endpoint in page.objects] for page in pages]
    assert [(0, 45), (20, 45), (40, 45)] == [(page.meta.offset, page.meta.total_count) for page in pages]


async def test_what_does_not_match_is_counted(client: AsyncClient, sandbox: Sandbox) -> None:
    """A filtered list is not shorter than its total; one that ends early still warns."""
    sandbox.seed(25)
    assert [] == [endpoint async for endpoint in client.endpoints.list(alias="none of them")]
    short = '{"meta": {"limit": 20, "offset": 0, "next": null, "total_count": 3}, "objects": []}'
    sandbox.inject(Fault(applied=True, status=200, body=short), times=1)
    with pytest.warns(ListChangedWarning, match="ended before its reported total"):
        assert [] == [endpoint async for endpoint in client.endpoints.list(alias="none of them")]


def test_the_blocking_list_has_the_same_filters(blocking_client: Client, threaded_sandbox: Sandbox) -> None:
    """Items and pages."""
    made = blocking_client.endpoints.create(username="alice", password="s3cret", alias="desk", app_id="42")
    threaded_sandbox.seed(20)
    listing = blocking_client.endpoints.list(alias="desk", username_prefix="alice", app_id="42")
    assert [made.endpoint_id] == [endpoint.endpoint_id for endpoint in listing]
    assert [0, 1] == sorted(len(page.objects) for page in listing.pages())
