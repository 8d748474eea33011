"""A server that fails on command."""

from tests.faults.fixtures import faults

__all__ = ["faults"]
