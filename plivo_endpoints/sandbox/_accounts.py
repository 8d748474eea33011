"""`/_sandbox/accounts`: further accounts on the same server, as `fresh_account` gives them to Python.

With one each, parallel tests do not see each other's endpoints and faults.
"""

from aiohttp import web

from plivo_endpoints.sandbox._account import new_account
from plivo_endpoints.sandbox._json import RefusedError, answer
from plivo_endpoints.sandbox._routes import CALLER
from plivo_endpoints.sandbox._state import Directory

MAX_ACCOUNTS = 1_000


def add_accounts(app: web.Application, directory: Directory) -> None:
    """Add the routes; only the account that the sandbox was started with may use them."""
    accounts = Accounts(directory)
    app.router.add_routes(
        [
            web.get("/_sandbox/accounts", accounts.show, allow_head=False),
            web.post("/_sandbox/accounts", accounts.create),
            web.delete("/_sandbox/accounts/{account_id}", accounts.delete),
        ]
    )


class Accounts:
    """The handlers."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def show(self, request: web.Request) -> web.Response:
        """Return the auth_id of each account."""
        self._check_caller(request)
        return answer(200, {"accounts": [each.auth_id for each in self._directory.accounts()]})

    async def create(self, request: web.Request) -> web.Response:
        """Create an empty account and return its credentials."""
        self._check_caller(request)
        if len(self._directory.accounts()) >= MAX_ACCOUNTS:
            raise RefusedError(f"there are {MAX_ACCOUNTS} accounts: delete some")
        made = new_account(self._directory)
        return answer(201, {"auth_id": made.auth_id, "auth_token": made.auth_token})

    async def delete(self, request: web.Request) -> web.Response:
        """Remove an account with everything in it; its credentials are no longer valid."""
        self._check_caller(request)
        account = self._directory.find(request.match_info["account_id"])
        if account is None or account.sub_account:
            raise web.HTTPNotFound
        if account is self._directory.first():
            raise RefusedError("the account that the sandbox was started with cannot be deleted")
        self._directory.remove(account.state)
        return answer(200, {"message": "deleted"})

    def _check_caller(self, request: web.Request) -> None:
        if request[CALLER] is not self._directory.first():
            raise web.HTTPForbidden(reason="only the account that the sandbox was started with may do this")
