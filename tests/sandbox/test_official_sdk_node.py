"""A second client that nobody here wrote: Plivo's SDK for Node.

Skipped without Node or the module: `npm install plivo` anywhere, and set NODE_PATH to that node_modules.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import jwt
import pytest

from plivo_endpoints.sandbox import Sandbox

pytestmark = pytest.mark.slow

NODE = shutil.which("node")
SCRIPT = Path(__file__).with_name("official_sdk.js")


def run_node(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Node and return what it did."""
    return subprocess.run(  # noqa: S603
        [str(NODE), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_operation() -> None:
    """Create, get, update, list two pages, mint a token, delete; refusals are exceptions."""
    if NODE is None or run_node("-e", "require.resolve('plivo')").returncode != 0:
        pytest.skip("needs Node and its module plivo")
    with Sandbox(endpoints=24) as sandbox:
        ended = run_node(
            str(SCRIPT),
            PLIVO_BASE_URL=sandbox.base_url,
            PLIVO_AUTH_ID=sandbox.auth_id,
            PLIVO_AUTH_TOKEN=sandbox.auth_token,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
    seen = json.loads(ended.stdout)
    # PyJWT names types of `cryptography`, which it works without.
    claims = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
        seen.pop("token"), sandbox.auth_token, algorithms=["HS256"]
    )
    username = seen.pop("username")
    assert (claims["sub"], claims["per"]["voice"]["incoming_allow"]) == (username, True)
    assert "not found" in seen.pop("gone")
    assert seen.pop("refused").startswith("Error")
    assert {
        "made": "created",
        "sameName": True,
        "registered": "false",
        "changed": "changed",
        "alias": "Double time.",
        "pages": [20, 5],
    } == seen
