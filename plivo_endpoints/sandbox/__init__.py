"""A stateful stand-in for Plivo's Endpoint and JWT API, on loopback.

It serves every operation over HTTP as Plivo documents it. It shares no code with the client, so that neither
can hide the other's mistakes. Programs in any language can talk to it.
"""

from plivo_endpoints.sandbox._account import Account, Subaccount
from plivo_endpoints.sandbox._clock import Clock
from plivo_endpoints.sandbox._faults import Fault
from plivo_endpoints.sandbox._record import RequestRecord
from plivo_endpoints.sandbox._sandbox import Sandbox
from plivo_endpoints.sandbox._store import Registration, SandboxEndpoint

__all__ = [
    "Account",
    "Clock",
    "Fault",
    "Registration",
    "RequestRecord",
    "Sandbox",
    "SandboxEndpoint",
    "Subaccount",
]
