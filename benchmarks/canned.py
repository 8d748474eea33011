"""The responses that every contender gets, in Plivo's format."""

from __future__ import annotations

import json
from typing import Final

AUTH_ID: Final = "MA0123456789ABCDEFGH"
AUTH_TOKEN: Final = "benchmark-token"  # noqa: S105 - opens nothing
ENDPOINT_ID: Final = "10000000000001"
ROOT: Final = f"/v1/Account/{AUTH_ID}/Endpoint/"
PAGE_SIZE: Final = 20


def endpoint(number: int) -> dict[str, object]:
    """Return an endpoint as it is in a list."""
    endpoint_id, username = str(10_000_000_000_001 + number), f"user{number:06d}123456789012"
    return {
        "alias": f"desk {number}",
        "application": f"/v1/Account/{AUTH_ID}/Application/20000000000001/",
        "endpoint_id": endpoint_id,
        "resource_uri": ROOT + endpoint_id + "/",
        "sip_registered": "false",
        "sip_uri": f"sip:{username}@phone.plivo.com",
        "sub_account": None,
        "username": username,
    }


def page(offset: int, total: int) -> bytes:
    """Return a page of a list as Plivo sends it."""
    following = (
        f"{ROOT}?limit={PAGE_SIZE}&offset={offset + PAGE_SIZE}" if offset + PAGE_SIZE < total else None
    )
    before = f"{ROOT}?limit={PAGE_SIZE}&offset={max(0, offset - PAGE_SIZE)}" if offset else None
    content = {
        "api_id": "5a9fcb68-521f-11e1-83d9-1231400195d6",
        "meta": {
            "limit": PAGE_SIZE,
            "next": following,
            "offset": offset,
            "previous": before,
            "total_count": total,
        },
        "objects": [endpoint(number) for number in range(offset, min(offset + PAGE_SIZE, total))],
    }
    return json.dumps(content).encode()


FOUND: Final = json.dumps(
    {**endpoint(0), "password": "0" * 32, "api_id": "5a9fcb68-521f-11e1-83d9-1231400195d6"}
).encode()
CREATED: Final = json.dumps(
    {
        "alias": "front-desk",
        "api_id": "5a9fcb68-521f-11e1-83d9-1231400195d6",
        "endpoint_id": ENDPOINT_ID,
        "message": "created",
        "username": "alice123456789012",
    }
).encode()
PAGE: Final = page(0, 100)
