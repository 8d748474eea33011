"""Web workers and a bulk run that share one quota, as they do on a host."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from tests.provisioning.quota import most_in_a_window
from tests.services.service import Service, skip_without, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow

QUOTA: Final = 300  # in 5 seconds
SECONDS: Final = float(os.environ.get("SHARED_QUOTA_SECONDS", "9"))
VISITORS: Final = 20  # a second
GUIDE: Final = Path(__file__).parent.parent.parent / "docs" / "guides" / "token-service.md"


def write_token_service(folder: Path) -> None:
    """Write the guide's token endpoint to a file."""
    (block,) = re.findall(
        r"```python\n((?:(?!```).)*app = web\.Application.*?)```", GUIDE.read_text(), re.DOTALL
    )
    (folder / "tokens.py").write_text(block)


def visit(url: str, begun: float, number: int) -> tuple[int, float]:
    """Fetch a token at a visitor's time; return the status, and the seconds that it took."""
    time.sleep(max(0.0, begun + number / VISITORS - time.monotonic()))  # they come evenly
    asked = time.monotonic()
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("POST", "/token", headers={"X-Remote-User": f"visitor{number}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - asked
    finally:
        connection.close()


@pytest.fixture(params=["file", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Say where the quota and the state are: in files, or in a database."""
    if request.param == "file":
        return str(tmp_path / "quota.db"), str(tmp_path / "fleet.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    database = server.new_database()
    return database, database


def test_four_workers_and_a_bulk_run(
    launch: Callable[..., Service], threaded_sandbox: Sandbox, tmp_path: Path, places: tuple[str, str]
) -> None:
    """More is asked for than the quota allows: none is refused, nearly all is used, no visitor waits long."""
    skip_without("gunicorn")
    write_token_service(tmp_path)
    users = "".join(f"user{number},desk {number},s3cret\n" for number in range(int(70 * SECONDS)))
    (tmp_path / "users.csv").write_text(f"username,alias,password\n{users}")
    threaded_sandbox.quota = True
    quota = {"PLIVO_RATE_LIMIT": places[0]}
    worker = ("--workers", "4", "--worker-class", "aiohttp.GunicornWebWorker", "--bind", "127.0.0.1:0")
    service = launch("gunicorn", *worker, "--pythonpath", str(tmp_path), "tokens:app", **quota)
    url = service.wait_for(r"Listening at: (http://\S+)")
    state = ("--state", places[1])
    bulk = launch("plivo_endpoints", "provision", "apply", str(tmp_path / "users.csv"), *state, **quota)
    wait_until(lambda: len(threaded_sandbox.requests) > 50)
    first, begun = len(threaded_sandbox.requests), time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        visits = list(pool.map(partial(visit, url, begun), range(int(VISITORS * SECONDS))))
    requests, seconds = threaded_sandbox.requests, time.monotonic() - begun
    most = most_in_a_window(sorted(record.at.timestamp() for record in requests), 5.0)
    used = (len(requests) - first) / seconds / (QUOTA / 5)
    waits = sorted(took for _, took in visits)
    median, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(f"{used:.1%} used, at most {most} in 5 s; a visitor waited {median:.3f} s, p99 {p99:.3f} s")  # noqa: T201
    assert [] == [record for record in requests if record.status == 429]
    assert {200} == {status for status, _ in visits}
    assert used >= 0.9
    assert p99 < 3.0
    assert bulk.complaints() == []
    assert service.terminate() == 0
    assert service.complaints() == []
