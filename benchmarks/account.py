"""A sandbox account in a process of its own: `python -m benchmarks.account` prints its URL.

It serves until its standard input is closed.
"""

from __future__ import annotations

import sys

from benchmarks.canned import AUTH_ID, AUTH_TOKEN
from plivo_endpoints.sandbox import Sandbox

if __name__ == "__main__":
    with Sandbox(auth_id=AUTH_ID, auth_token=AUTH_TOKEN) as account:
        print(account.base_url, flush=True)
        sys.stdin.read()
