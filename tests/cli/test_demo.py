"""The demo's machine: what it shows is what it runs."""

import pytest

from plivo_endpoints import InvalidArgumentError, PlivoError
from plivo_endpoints.cli.demo.stepper import read_steps, walk


class Recorder:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.shown: list[object] = []

    def code(self, source: str) -> None:
        """Keep a statement."""
        self.shown.append(source)

    def value(self, value: object) -> None:
        """Keep what it gave."""
        self.shown.append(value)

    def error(self, error: PlivoError) -> None:
        """Keep what it raised."""
        self.shown.append(error)


def example(number: int) -> None:
    """Duplicate and show."""
    # Twice as much.
    twice = 2 * number

    str(twice)


def failing(error: PlivoError) -> None:
    """Raise."""
    throw(error)


def throw(error: PlivoError) -> None:
    """Raise what is given."""
    raise error


def loop() -> None:
    """Do what a walkthrough cannot show."""
    for _ in ():
        pass


def test_statements_and_values() -> None:
    """Comments stay with their statement; an expression shows its value, an assignment the new one."""
    stage = Recorder()
    walk(example, stage, number=3)
    assert stage.shown == ["# Twice as much.\ntwice = 2 * number", 6, "str(twice)", "6"]


def test_an_error_that_is_meant() -> None:
    """It is shown."""
    stage = Recorder()
    error = InvalidArgumentError("alias", "must be there")
    walk(failing, stage, fails=True, error=error)
    assert stage.shown == ["throw(error)", error]


def test_an_error_that_is_not_meant() -> None:
    """It ends the walkthrough."""
    with pytest.raises(InvalidArgumentError):
        walk(failing, Recorder(), error=InvalidArgumentError("alias", "must be there"))


def test_what_cannot_be_shown() -> None:
    """Only assignments and expressions have something to show."""
    with pytest.raises(TypeError, match="assignments and expressions"):
        list(read_steps(loop))
