"""The OpenAPI document and the sandbox describe the same API."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate

from plivo_endpoints.sandbox import Sandbox
from plivo_endpoints.sandbox._routes import PATHS

SCHEMATHESIS = shutil.which("schemathesis")


async def served(sandbox: Sandbox) -> dict[str, Any]:
    """Return the document, read without credentials."""
    async with (
        aiohttp.ClientSession(sandbox.base_url) as session,
        session.get("/_sandbox/openapi.json") as response,
    ):
        assert (200, "application/json") == (response.status, response.content_type)
        document: dict[str, Any] = await response.json()
        return document


async def test_the_document_is_valid(sandbox: Sandbox) -> None:
    """It is OpenAPI 3.1, and anyone may read it."""
    document = await served(sandbox)
    assert "3.1.0" == document["openapi"]
    validate(document)


async def test_every_path_is_described(sandbox: Sandbox) -> None:
    """It has the paths that the sandbox has, and no others."""
    assert set(PATHS) == set((await served(sandbox))["paths"])


@pytest.mark.parametrize("control", [False, True])
async def test_the_health(control: bool) -> None:
    """A health check needs no credentials and no control path; it is not recorded."""
    async with Sandbox(control=control) as sandbox, aiohttp.ClientSession(sandbox.base_url) as session:
        async with session.get("/_sandbox/health") as response:
            assert (200, {"status": "ok"}) == (response.status, await response.json())
        assert () == sandbox.requests


@pytest.fixture
def used_sandbox() -> Iterator[Sandbox]:
    """Serve an account of some endpoints, one of them registered."""
    with Sandbox(endpoints=45, pagination="hybrid") as sandbox:
        sandbox.register(next(iter(sandbox.endpoints)))
        yield sandbox


# All other checks are on by default. No schema can say that a token lives for 3 minutes to 24 hours, so some
# requests that follow the schema are refused.
CONFIGURATION = """
[[operations]]
include-operation-id = "createToken"
checks.positive_data_acceptance.enabled = false
"""


def narrowed(document: dict[str, Any], sandbox: Sandbox) -> dict[str, Any]:
    """Return the document for one account, and without cursors, which cannot be made up."""
    parameters, schemas = document["components"]["parameters"], document["components"]["schemas"]
    parameters["AuthId"].update(schema={"const": sandbox.auth_id}, example=sandbox.auth_id)
    schemas["NewToken"]["properties"]["iss"]["const"] = sandbox.auth_id
    listing = document["paths"][PATHS[0]]["get"]
    listing["parameters"] = [each for each in listing["parameters"] if each["name"] != "cursor"]
    return document


@pytest.mark.slow
@pytest.mark.skipif(SCHEMATHESIS is None, reason="needs the program schemathesis: pip install schemathesis")
async def test_schemathesis(used_sandbox: Sandbox, tmp_path: Path) -> None:
    """Generated requests, valid and not, alone and in sequences, get the responses that are described."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(narrowed(await served(used_sandbox), used_sandbox)))
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    credentials = f"{used_sandbox.auth_id}:{used_sandbox.auth_token}"
    options = ("--seed", "1", "--max-examples", "10", "--no-color")
    command = (str(SCHEMATHESIS), "run", str(document), "--url", used_sandbox.base_url, *options)
    ended = subprocess.run(  # noqa: ASYNC221, S603 - the sandbox has a thread of its own
        [*command, "--auth", credentials], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "6 selected / 6 total" in ended.stdout
    # All that is described was met, or the generator has lost its teeth.
    assert {200, 201, 202, 204, 400, 401, 404, 405} <= {record.status for record in used_sandbox.requests}
