"""Registering with a token instead of a password, as Plivo's browser SDK does."""

from datetime import timedelta
from typing import Any

import jwt
import pytest

from plivo_endpoints import AsyncClient
from plivo_endpoints.sandbox import Account, Sandbox
from plivo_endpoints.sandbox._rules import Changes
from plivo_endpoints.sandbox._sip._registrar import Registrar
from tests.sip.phones import DOMAIN, Answer, Phone, seeded

HEADER = {"cty": "plivo;v=1"}


def claims_for(account: Account, subject: str, **others: object) -> dict[str, Any]:
    """Return the claims of a token that lives for an hour."""
    now = int(account.clock.now().timestamp())
    voice = {"incoming_allow": bool(subject), "outgoing_allow": True}
    claims = {"iss": account.auth_id, "sub": subject, "app": "", "nbf": now, "exp": now + 3600}
    return {**claims, "per": {"voice": voice}, **others}


def sign(claims: dict[str, Any], key: str, **header: object) -> str:
    """Return a token that another library has signed."""
    # PyJWT names types of `cryptography`, which it works without.
    return jwt.encode(  # pyright: ignore[reportUnknownMemberType]
        claims, key, "HS256", headers={**HEADER, **header}
    )


def log_in(registrar: Registrar, token: str, user: str, *fields: str) -> Answer:
    """Register by token."""
    phone = Phone(registrar=registrar, user=user)
    return phone.send(
        f"X-Plivo-Jwt: {token}", f"Contact: <{phone.contact}>", "User-Agent: Test phone", *fields
    )


def test_a_login(account: Sandbox, registrar: Registrar) -> None:
    """The endpoint whose username is the subject is registered; the answer has the token's end."""
    endpoint = seeded(account)
    claims = claims_for(account, endpoint.username)
    user = f"{endpoint.username}_{account.auth_id}"
    answer = log_in(registrar, sign(claims, account.auth_token), user, "Expires: 120")
    assert (200, f"exp={claims['exp']};") == (answer.status, answer.first("X-Plivo-Jwt"))
    found = seeded(account).registration
    assert found is not None
    assert ("Test phone", 120) == (
        found.user_agent,
        round((found.expires - account.clock.now()).total_seconds()),
    )


def test_it_never_outlives_its_token(account: Sandbox, registrar: Registrar) -> None:
    """A registration ends with the token, and a new token continues it."""
    username = seeded(account).username
    user = f"{username}_{account.auth_id}"
    claims = claims_for(account, username, exp=int(account.clock.now().timestamp()) + 200)
    answer = log_in(registrar, sign(claims, account.auth_token), user, "Expires: 86400")
    assert int(answer.first("Contact").rpartition("=")[2]) in {199, 200}
    account.clock.move(100)
    renewed = sign(claims_for(account, username), account.auth_token)
    assert 200 == log_in(registrar, renewed, user, "Expires: 300").status
    account.clock.move(200)
    assert seeded(account).sip_registered
    account.clock.move(101)
    assert not seeded(account).sip_registered


def test_logging_out(account: Sandbox, registrar: Registrar) -> None:
    """The SDK repeats the token with its goodbye."""
    username = seeded(account).username
    phone = Phone(registrar=registrar, user=f"{username}_{account.auth_id}")
    token = f"X-Plivo-Jwt: {sign(claims_for(account, username), account.auth_token)}"
    contact = f"Contact: <{phone.contact}>;expires="
    assert 200 == phone.send(token, f"{contact}60").status
    assert seeded(account).sip_registered
    assert 200 == phone.send(token, f"{contact}0").status
    assert not seeded(account).sip_registered
    phone.sequence = 0
    assert 400 == phone.send(token, f"{contact}60").status  # a replay
    assert not seeded(account).sip_registered


def encoded(subject: str, account: Account) -> str:
    """Return the user of a token login as it stands in a URI."""
    return f"{subject}_{account.auth_id}".replace(" ", "%20")


@pytest.mark.parametrize("subject", ["nobody", "front desk"])
def test_a_subject_that_is_no_endpoint(account: Sandbox, registrar: Registrar, subject: str) -> None:
    """Its login is accepted, and registers no endpoint."""
    token = sign(claims_for(account, subject), account.auth_token)
    answer = log_in(registrar, token, encoded(subject, account), "Expires: 60")
    assert 200 == answer.status
    assert answer.first("Contact").endswith(";expires=60")
    assert not seeded(account).sip_registered


def test_no_subject(account: Sandbox, registrar: Registrar) -> None:
    """The SDK makes up a user; that is accepted too, for outgoing calls only."""
    user = f"puser1795885954123jt_{account.auth_id}"
    token = sign(claims_for(account, ""), account.auth_token)
    assert 200 == log_in(registrar, token, user).status
    assert "10004" == log_in(registrar, token, f"alice_{account.auth_id}").first("X-Plivo-Jwt-Error-Code")


def test_a_subaccount(account: Sandbox, registrar: Registrar) -> None:
    """Its tokens register the endpoints that it created, and no others."""
    made = account.add_subaccount()
    store = account._state.store
    own = store.create("own", Changes(password="s3cret"), made.auth_id)
    for username, registered in ((own.username, True), (seeded_first(account), False)):
        claims = claims_for(account, username, iss=made.auth_id)
        assert 200 == log_in(registrar, sign(claims, made.auth_token), f"{username}_{made.auth_id}").status
        found = store.find(username)
        assert found is not None
        assert registered == found.sip_registered


def seeded_first(account: Sandbox) -> str:
    """Return the username of the oldest endpoint."""
    return next(iter(account.endpoints.values())).username


def refused(account: Sandbox, registrar: Registrar, token: str, user: str | None = None) -> str:
    """Return the code that a token is refused with; it is refused as the SDK expects, and changes nothing."""
    username = seeded(account).username
    answer = log_in(registrar, token, user or f"{username}_{account.auth_id}")
    assert 403 == answer.status
    assert not seeded(account).sip_registered
    assert token not in "\n".join(answer.lines)
    return answer.first("X-Plivo-Jwt-Error-Code")


@pytest.mark.parametrize("token", ["a.b", "a.b.c", "a.b.c.d", "é.b.c", "e30.e30", "bnVsbA.bnVsbA.c", "{}"])
def test_no_token(account: Sandbox, registrar: Registrar, token: str) -> None:
    """10001: what is no token."""
    assert "10001" == refused(account, registrar, token)


@pytest.mark.parametrize("header", [{"cty": "plivo;v=2"}, {"cty": None}, {"typ": "jwt"}, {"kid": "1"}])
def test_another_header(account: Sandbox, registrar: Registrar, header: dict[str, object]) -> None:
    """10002: exactly Plivo's header; no other algorithm, and not none."""
    claims = claims_for(account, seeded(account).username)
    assert "10002" == refused(account, registrar, sign(claims, account.auth_token, **header))
    for algorithm in ("HS512", "none"):
        key = "" if algorithm == "none" else account.auth_token * 2
        token = jwt.encode(claims, key, algorithm, headers=HEADER)  # pyright: ignore[reportUnknownMemberType]
        assert "10002" == refused(account, registrar, token)


@pytest.mark.parametrize("issuer", ["MA999999999999999999", "", None, 5, ["x"]])
def test_an_unknown_issuer(account: Sandbox, registrar: Registrar, issuer: object) -> None:
    """10003: nobody of this sandbox."""
    token = jwt_with(claims_for(account, seeded(account).username, iss=issuer), account)
    assert "10003" == refused(account, registrar, token)


def jwt_with(claims: dict[str, Any], account: Account) -> str:
    """Sign claims that PyJWT would not."""
    unchecked = {name: value for name, value in claims.items() if name != "iss"}
    if isinstance(claims["iss"], str):
        return sign(claims, account.auth_token)
    return sign(unchecked, account.auth_token)


@pytest.mark.parametrize("subject", ["bob", "", 5])
def test_another_subject(account: Sandbox, registrar: Registrar, subject: object) -> None:
    """10004: the token is for somebody else."""
    claims = claims_for(account, "x") | {"sub": subject}
    if isinstance(subject, int):
        del claims["sub"]
    assert "10004" == refused(account, registrar, sign(claims, account.auth_token))


def test_not_yet(account: Sandbox, registrar: Registrar) -> None:
    """10005: before `nbf`, by the account's clock."""
    token = sign(claims_for(account, seeded(account).username), account.auth_token)
    account.clock.move(-5)
    assert "10005" == refused(account, registrar, token)


def test_too_late(account: Sandbox, registrar: Registrar) -> None:
    """10006: from `exp` on."""
    token = sign(claims_for(account, seeded(account).username), account.auth_token)
    account.clock.move(3601)
    assert "10006" == refused(account, registrar, token)


def test_another_key(account: Sandbox, registrar: Registrar) -> None:
    """10007: signed by another account, or tampered with in any part."""
    claims = claims_for(account, seeded(account).username)
    with account.fresh_account() as other:
        assert "10007" == refused(account, registrar, sign(claims, other.auth_token))
    head, _, end = sign(claims, account.auth_token).split(".")
    better = sign(claims | {"exp": claims["exp"] + 1}, "x" * 40).split(".")[1]
    assert "10007" == refused(account, registrar, f"{head}.{better}.{end}")
    assert "10007" == refused(account, registrar, f"{head}.{better}.{end[:-1]}")


def test_a_token_of_another_account(account: Sandbox, registrar: Registrar) -> None:
    """A good token of another account does not register this account's endpoint."""
    username = seeded(account).username
    with account.fresh_account() as other:
        token = sign(claims_for(other, username), other.auth_token)
        assert "10004" == refused(account, registrar, token)
        assert 200 == log_in(registrar, token, f"{username}_{other.auth_id}").status
    assert "10003" == refused(account, registrar, token)
    assert not seeded(account).sip_registered


@pytest.mark.parametrize(
    "permissions", [{"voice": 1}, {"video": {}}, {"voice": {"incoming_allow": "yes"}}, []]
)
def test_permissions_of_another_form(account: Sandbox, registrar: Registrar, permissions: object) -> None:
    """10008: what Plivo's API would not have signed."""
    claims = claims_for(account, seeded(account).username, per=permissions)
    assert "10008" == refused(account, registrar, sign(claims, account.auth_token))


def test_incoming_calls_without_a_subject(account: Sandbox, registrar: Registrar) -> None:
    """10008 too."""
    claims = claims_for(account, "", per={"voice": {"incoming_allow": True}})
    user = f"puser1jt_{account.auth_id}"
    assert "10008" == refused(account, registrar, sign(claims, account.auth_token), user)


def test_too_long(account: Sandbox, registrar: Registrar) -> None:
    """10009: more than 24 hours."""
    claims = claims_for(account, seeded(account).username)
    token = sign(claims | {"exp": claims["nbf"] + 86_401}, account.auth_token)
    assert "10009" == refused(account, registrar, token)


@pytest.mark.parametrize("claim", ["nbf", "exp"])
@pytest.mark.parametrize("value", ["1", 1.5, None, True])
def test_times_of_another_type(account: Sandbox, registrar: Registrar, claim: str, value: object) -> None:
    """10001: what the SDK does not send either."""
    claims = claims_for(account, seeded(account).username, **{claim: value})
    assert "10001" == refused(account, registrar, sign(claims, account.auth_token))


def test_times_beyond_the_calendar(account: Sandbox, registrar: Registrar) -> None:
    """No number is too large."""
    claims = claims_for(account, seeded(account).username, exp=10**30)
    assert "10009" == refused(account, registrar, sign(claims, account.auth_token))


async def test_the_sandbox_s_own_tokens(account: Sandbox, registrar: Registrar) -> None:
    """What the API mints is accepted."""
    username = seeded(account).username
    async with account, AsyncClient(account.auth_id, account.auth_token, base_url=account.base_url) as client:
        token = await client.tokens.create(sub=username, outgoing_allow=True, lifetime=timedelta(hours=1))
    assert 200 == log_in(registrar, token.jwt, f"{username}_{account.auth_id}").status
    assert seeded(account).sip_registered
    assert DOMAIN in seeded(account).sip_uri
