"""An account with one endpoint, and a phone that knows its username."""

import pytest

from plivo_endpoints.sandbox import Sandbox
from plivo_endpoints.sandbox._sip._registrar import Registrar
from tests.sip.phones import Phone, seeded


@pytest.fixture
def account() -> Sandbox:
    """Return an account that is not served; its endpoint's password is `password-1`."""
    return Sandbox(endpoints=1)


@pytest.fixture
def registrar(account: Sandbox) -> Registrar:
    """Return the account's registrar."""
    return Registrar(account._directory)


@pytest.fixture
def phone(account: Sandbox, registrar: Registrar) -> Phone:
    """Return a phone of the endpoint."""
    return Phone(registrar=registrar, user=seeded(account).username)
