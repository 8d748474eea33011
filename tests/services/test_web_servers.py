"""Web services with several worker processes, as they are deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.services.service import Service, pids_of, post_until, skip_without, wait_until_open

if TYPE_CHECKING:
    from collections.abc import Callable

    from plivo_endpoints.sandbox import Sandbox

pytestmark = pytest.mark.slow

WORKERS: Final = 2


@pytest.fixture
def gunicorn(launch: Callable[..., Service]) -> Callable[..., tuple[Service, str]]:
    """Start gunicorn with two workers; return it and its URL."""
    skip_without("gunicorn", "flask")

    def start(*words: str) -> tuple[Service, str]:
        options = ("--bind", "127.0.0.1:0", "--workers", str(WORKERS), "--graceful-timeout", "10")
        service = launch("gunicorn", *options, *words)
        return service, service.wait_for(r"Listening at: (http://\S+)")

    return start


def ended_well(service: Service) -> bool:
    """End a service as an init system would: it does so, and never complained."""
    status = service.terminate()
    assert (status, service.complaints()) == (0, []), service.output
    return True


def test_fastapi_under_uvicorn(launch: Callable[..., Service], threaded_sandbox: Sandbox) -> None:
    """Both workers hand out tokens, one for each request, and end cleanly."""
    skip_without("fastapi", "uvicorn")
    service = launch("uvicorn", "--port", "0", "--workers", str(WORKERS), "fastapi_tokens:app")
    url = service.wait_for(r"running on (http://\S+)")
    wait_until_open(url)  # it says so before
    answers = post_until(f"{url}/tokens/visitor", WORKERS)
    assert {200} == {answer.status for answer in answers}
    visitors = sorted(f"visitor{number}" for number in range(len(answers)))
    assert visitors == sorted(str(claims["sub"]) for claims in threaded_sandbox.tokens)
    assert ended_well(service)


@pytest.mark.parametrize(
    "options",
    [
        "--worker-class sync",
        "--worker-class sync --preload",
        "--worker-class gthread --threads 4",
        "--worker-class gthread --threads 4 --preload",
        "--worker-class gevent",
        "--worker-class gevent --preload",
    ],
)
def test_flask_under_gunicorn(
    options: str, gunicorn: Callable[..., tuple[Service, str]], threaded_sandbox: Sandbox
) -> None:
    """All workers create, once for each request; with `--preload` the client was made before the fork."""
    if "gevent" in options:
        skip_without("gevent")
    service, url = gunicorn(*options.split(), "flask_endpoints:app")
    answers = post_until(f"{url}/endpoints/user", WORKERS)
    assert {201} == {answer.status for answer in answers}
    created = {f"user{number}": 1 for number in range(len(answers))}
    assert created == threaded_sandbox.applied_creates
    assert ended_well(service)


REFUSED: Final = "a client used before a fork cannot be used in the child process: create a new one there"


def test_a_client_used_before_the_fork(
    gunicorn: Callable[..., tuple[Service, str]], threaded_sandbox: Sandbox
) -> None:
    """Each request is told what is wrong, nothing is sent, and the workers live on to end cleanly."""
    service, url = gunicorn("--preload", "flask_used_before_fork:app")
    answers = post_until(f"{url}/endpoints/user", WORKERS)
    assert {(503, REFUSED)} == {(answer.status, answer.body["error"]) for answer in answers}
    assert pids_of(answers) == pids_of(post_until(f"{url}/endpoints/user", WORKERS))
    assert ["GET"] == [request.method for request in threaded_sandbox.requests]
    assert ended_well(service)
