"""A server that fails on command, and a way to run programs against it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.faults.fixtures import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["faults"]

Program = subprocess.Popen[str]


def said(program: Program, *, timeout: float = 30) -> tuple[int, str, str]:
    """Wait for a program's end, and return its status, output and complaints."""
    out, err = program.communicate(timeout=timeout)
    # On a busy machine asyncio's debug mode remarks on slow steps, which is no complaint.
    kept = [line for line in err.splitlines() if not line.startswith("Executing <")]
    return program.returncode, out, "\n".join(kept)


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Start Python programs; those that did not end by themselves are ended."""
    started: list[Program] = []

    def run(
        source: str,
        *arguments: str,
        options: tuple[str, ...] = ("-X", "dev", "-W", "error"),
        env: dict[str, str] | None = None,
    ) -> Program:
        command = [sys.executable, *options, "-c", textwrap.dedent(source), *arguments]
        program = subprocess.Popen(  # noqa: S603
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=env,
        )
        started.append(program)
        return program

    yield run
    for program in started:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)  # its forks too: it leads a group of its own
        program.communicate()
