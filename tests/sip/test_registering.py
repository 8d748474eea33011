"""Registering with a password, and what the sandbox then shows of the endpoint."""

import logging
from datetime import timedelta

import pytest

from plivo_endpoints.sandbox import Sandbox, SandboxEndpoint
from plivo_endpoints.sandbox._rules import Changes
from plivo_endpoints.sandbox._sip._message import Source
from plivo_endpoints.sandbox._store import listed
from tests.sip.phones import DOMAIN, Phone, digest, seeded


def test_a_login(account: Sandbox, phone: Phone) -> None:
    """The endpoint is registered, with contact, expiry, user agent and source."""
    answer = phone.log_in("password-1", "Expires: 120", contact=f'"Al, I" <{phone.contact};ob>')
    assert 200 == answer.status
    assert f"<{phone.contact};ob>;expires=120" == answer.first("Contact")
    found = seeded(account).registration
    assert found is not None
    assert (f"{phone.contact};ob", "Test phone", "192.0.2.7:5060 (UDP)") == (
        found.contact,
        found.user_agent,
        found.source,
    )
    assert timedelta(seconds=119) < found.expires - account.clock.now() <= timedelta(seconds=120)
    shown = listed(seeded(account))
    assert ("true", f"{phone.contact};ob", f"{found.expires:%Y-%m-%d %H:%M:%S}", "Test phone") == (
        shown["sip_registered"],
        shown["sip_contact"],
        shown["sip_expires"],
        shown["sip_user_agent"],
    )


@pytest.mark.parametrize("nc", [0, 1])
def test_with_and_without_qop(account: Sandbox, phone: Phone, nc: int) -> None:
    """Both forms of the digest are accepted."""
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}", nc=nc)
    assert 200 == phone.send(f"Authorization: {authorization}", f"m: {phone.contact}").status
    assert seeded(account).sip_registered


def test_a_nonce_serves_while_its_count_grows(account: Sandbox, phone: Phone) -> None:
    """A phone need not be challenged each time; silence for 5 minutes makes the nonce stale."""
    challenge = phone.challenge()
    for nc in (1, 2, 5):
        authorization = digest(challenge, phone.user, "password-1", uri=f"sip:{DOMAIN}", nc=nc)
        assert 200 == phone.send(f"Authorization: {authorization}", f"m: {phone.contact}").status
    account.clock.move(301)
    late = digest(challenge, phone.user, "password-1", uri=f"sip:{DOMAIN}", nc=6)
    assert phone.send(f"Authorization: {late}").first("WWW-Authenticate").endswith("stale=true")


@pytest.mark.parametrize("nc", [0, 1])
def test_a_replay(account: Sandbox, phone: Phone, nc: int) -> None:
    """What was used once is refused as stale, and changes nothing."""
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}", nc=nc)
    assert 200 == phone.send(f"Authorization: {authorization}", f"m: {phone.contact}").status
    again = phone.send(f"Authorization: {authorization}", "m: *", "Expires: 0")
    assert 401 == again.status
    assert again.first("WWW-Authenticate").endswith("stale=true")
    assert seeded(account).sip_registered


def test_nonces_of_before_the_oldest_known_use_are_stale(
    account: Sandbox, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When uses are forgotten, no nonce of their age is accepted, so that none is accepted twice."""
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._digest.MAX_USED", 2)
    used = [
        digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}", nc=nc) for nc in (1, 1, 1, 1)
    ]
    assert [200] * 4 == [phone.send(f"Authorization: {each}").status for each in used]
    assert [401] * 4 == [phone.send(f"Authorization: {each}").status for each in used]
    assert 200 == phone.log_in("password-1").status
    assert seeded(account).sip_registered


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (f'realm="{DOMAIN}"', 'realm="other.example"'),
        ('nonce="', 'nonce="9'),
        (f'uri="sip:{DOMAIN}"', 'uri="sip:other.example"'),
        ("qop=auth", "qop=auth-int"),
        ("nc=00000001", "nc=1"),
        ('cnonce="cn0nce"', 'cnonce="other"'),
        ("Digest ", "Basic "),
        ("Digest ", "Digest algorithm=SHA-256, "),
        ('response="', 'response="é'),
        ("username=", "user="),
        ('username="', 'username="x'),
    ],
)
def test_wrong_credentials(account: Sandbox, phone: Phone, right: str, wrong: str) -> None:
    """Any change of a right answer makes it wrong: a new challenge that says nothing about why."""
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}")
    assert right in authorization
    answer = phone.send(f"Authorization: {authorization.replace(right, wrong)}", f"m: {phone.contact}")
    assert 401 == answer.status
    assert "stale" not in answer.first("WWW-Authenticate")
    assert not seeded(account).sip_registered


def test_a_right_answer_for_another_request(account: Sandbox, phone: Phone) -> None:
    """What was computed for another URI is wrong; for a nonce of another server it is stale."""
    elsewhere = digest(phone.challenge(), phone.user, "password-1", uri="sip:other.example")
    foreign = digest('nonce="1-1-' + "0" * 32 + '"', phone.user, "password-1", uri=f"sip:{DOMAIN}")
    now = int(account.clock.now().timestamp())
    forged = digest(f'nonce="{now}-99-{"0" * 32}"', phone.user, "password-1", uri=f"sip:{DOMAIN}")
    answers = [
        phone.send(f"Authorization: {each}", f"m: {phone.contact}") for each in (elsewhere, foreign, forged)
    ]
    assert [False, True, True] == [each.first("WWW-Authenticate").endswith("stale=true") for each in answers]
    assert not seeded(account).sip_registered


def test_a_wrong_password_and_an_unknown_user(account: Sandbox, phone: Phone) -> None:
    """They are refused alike."""
    stranger = Phone(registrar=phone.registrar, user="nobody")
    assert [401, 401] == [phone.log_in("password-2").status, stranger.log_in("password-1").status]
    assert not seeded(account).sip_registered


def test_credentials_of_another_user(account: Sandbox, phone: Phone) -> None:
    """They register nobody but their own user."""
    account.seed(1)
    _, other = account.endpoints.values()
    authorization = digest(phone.challenge(), other.username, "password-1", uri=f"sip:{DOMAIN}")
    assert 401 == phone.send(f"Authorization: {authorization}", f"m: {phone.contact}").status
    assert [False, False] == [endpoint.sip_registered for endpoint in account.endpoints.values()]


def test_a_new_password(account: Sandbox, phone: Phone) -> None:
    """After an update the new password counts; after a deletion none."""
    endpoint_id = seeded(account).endpoint_id
    account._state.store.change(endpoint_id, Changes(password="n3w-password"))
    assert [401, 200] == [phone.log_in("password-1").status, phone.log_in("n3w-password").status]
    account._state.store.delete(endpoint_id)
    assert 401 == phone.log_in("n3w-password").status
    assert {} == account._state.store._id_of


def test_all_accounts(account: Sandbox, phone: Phone) -> None:
    """Endpoints of other accounts register too, those of the same username each by its own password."""
    with account.fresh_account() as other:
        other.restore(account.snapshot())
        (copy,) = other.endpoints
        other._state.store.change(copy, Changes(password="other-password"))
        assert 200 == phone.log_in("other-password").status
        assert other.endpoints[copy].sip_registered
        assert not seeded(account).sip_registered
    assert 401 == phone.log_in("other-password").status


def test_usernames_of_several_accounts_differ(account: Sandbox) -> None:
    """Also if the endpoints were created in the same second, so that a phone registers the right one."""
    with account.fresh_account() as other:
        other.seed(20)
        account.seed(20)
        names = [each.username for one in (account, other) for each in one.endpoints.values()]
    assert len(names) == len(set(names))


def test_an_endpoint_that_is_gone_while_a_phone_registers(
    account: Sandbox, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no error: nothing is registered."""
    store = account._state.store
    found = store.find(phone.user)
    assert found is not None
    store.delete(found.endpoint_id)

    def find(*_: object) -> SandboxEndpoint:
        return found

    monkeypatch.setattr(store, "find", find)
    assert 200 == phone.log_in("password-1").status
    assert {} == dict(account.endpoints)


@pytest.mark.parametrize("uri", ["sip:127.0.0.1:5060", "sip:PHONE.plivo.com", f"sip:{DOMAIN}"])
def test_the_uri_of_the_credentials(phone: Phone, uri: str) -> None:
    """It may name the proxy, or the domain in another form."""
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=uri)
    assert 200 == phone.send(f"Authorization: {authorization}", f"m: {phone.contact}").status


def test_it_ends_by_the_clock(account: Sandbox, phone: Phone) -> None:
    """Without a word of the phone, a registration ends; refreshed in time, it goes on."""
    phone.log_in("password-1", "Expires: 60")
    account.clock.move(50)
    phone.log_in("password-1", "Expires: 60")
    account.clock.move(50)
    assert seeded(account).sip_registered
    account.clock.move(11)
    endpoint_id = seeded(account).endpoint_id
    found = (account.endpoints[endpoint_id], seeded(account), account._state.store.find(phone.user))
    assert [None] * 3 == [endpoint and endpoint.registration for endpoint in found]
    assert "sip_contact" not in listed(seeded(account))


def test_a_button_does_not_expire(account: Sandbox, phone: Phone) -> None:
    """What `register` registers stays, until a phone takes over."""
    endpoint_id = seeded(account).endpoint_id
    account.register(endpoint_id)
    account.clock.move(1_000_000)
    assert seeded(account).sip_registered
    phone.log_in("password-1", "Expires: 60")
    account.clock.move(61)
    assert not seeded(account).sip_registered


@pytest.mark.parametrize(
    ("fields", "granted"),
    [
        ((), 3600),
        (("Expires: 100",), 100),
        (("Expires: 4294967295",), 86_400),
        (("Expires: 100", "Contact: <sip:a@b>;expires=50"), 50),
    ],
)
def test_how_long(account: Sandbox, phone: Phone, fields: tuple[str, ...], granted: int) -> None:
    """An hour unless requested; the contact's own expiry counts first; a day at most."""
    answer = phone.log_in("password-1", *fields)
    assert answer.first("Contact").endswith(f";expires={granted}")
    found = seeded(account).registration
    assert found is not None
    assert granted == round((found.expires - account.clock.now()).total_seconds())


@pytest.mark.parametrize(
    "fields",
    [("m: *", "Expires: 0"), ("m: <{}>;expires=0",), ("m: {}", "Expires: 0")],
    ids=lambda each: each[0],
)
def test_unregistering(account: Sandbox, phone: Phone, fields: tuple[str, ...]) -> None:
    """By `*` or by the contact."""
    phone.log_in("password-1")
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}")
    answer = phone.send(f"Authorization: {authorization}", *(each.format(phone.contact) for each in fields))
    assert (200, []) == (answer.status, answer.all("Contact"))
    assert not seeded(account).sip_registered


def test_the_last_login_wins(account: Sandbox, phone: Phone) -> None:
    """A second phone takes over, and the first one's goodbye does not remove it."""
    phone.log_in("password-1")
    elsewhere = Source(transport="TCP", host="198.51.100.2", port=5061)
    second = Phone(registrar=phone.registrar, user=phone.user, source=elsewhere)
    assert 1 == len(second.log_in("password-1", contact="<sip:second@198.51.100.2>").all("Contact"))
    phone.log_in("password-1", "Expires: 0")
    found = seeded(account).registration
    assert found is not None
    assert ("sip:second@198.51.100.2", "198.51.100.2:5061 (TCP)") == (found.contact, found.source)


def test_a_question(account: Sandbox, phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    """A REGISTER without a contact shows the registration and leaves it."""
    phone.log_in("password-1")
    before = seeded(account)
    caplog.set_level(logging.INFO)
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}")
    answer = phone.send(f"Authorization: {authorization}", "Expires: 0")
    assert answer.first("Contact").startswith(f"<{phone.contact}>;expires=")
    assert (before, "") == (seeded(account), caplog.text)


@pytest.mark.parametrize(
    "fields",
    [
        *[("m: *",), ("m: *", "Expires: 1"), ("m: *, <sip:a@b>", "Expires: 0"), ("m: <mailto:a@b.example>",)],
        *[
            ("m: <sip:a@b",),
            ("m: sip:a@b>",),
            ("m: <sip:a@b>;expires=soon",),
            ("Expires: -1", "m: <sip:a@b>"),
        ],
        ("m: <sip:" + "a" * 1000 + "@b>",),
    ],
    ids=lambda each: each[0][:30],
)
def test_contacts_that_make_no_sense(account: Sandbox, phone: Phone, fields: tuple[str, ...]) -> None:
    """They are a 400, and nothing is registered."""
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}")
    assert 400 == phone.send(f"Authorization: {authorization}", *fields).status
    assert not seeded(account).sip_registered


def test_an_old_request_that_arrives_late(account: Sandbox, phone: Phone) -> None:
    """Of one phone, CSeq must grow; only its last request counts."""
    phone.log_in("password-1", "Expires: 60")
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=f"sip:{DOMAIN}")
    phone.sequence = 1
    assert 400 == phone.send(f"Authorization: {authorization}", "m: *", "Expires: 0").status
    assert seeded(account).sip_registered


@pytest.mark.parametrize("to", ["sip:{}@phone.plivo.example", "sip:phone.plivo.com", "sip:{}@plivo.com"])
def test_another_domain(phone: Phone, to: str) -> None:
    """Whom the domain cannot have is not found, and the answer names the domain."""
    message = phone.request().replace(
        f"To: <sip:{phone.user}@{DOMAIN}>".encode(), f"To: <{to.format(phone.user)}>".encode()
    )
    response = phone.registrar.answer(message, phone.source)
    assert response is not None
    assert b"SIP/2.0 404 " in response
    assert DOMAIN.encode() in response.partition(b"Warning")[2]


@pytest.mark.parametrize("host", ["127.0.0.1:5070", "localhost", "sandbox", "[::1]"])
def test_the_address_as_domain(phone: Phone, host: str) -> None:
    """Phones that know no proxy name the address that they send to; the realm stays."""
    uri = f"sip:{host}"
    authorization = digest(phone.challenge(), phone.user, "password-1", uri=uri)
    message = phone.request(f"Authorization: {authorization}", uri=uri)
    response = phone.registrar.answer(
        message.replace(f"To: <sip:{phone.user}@{DOMAIN}".encode(), f"To: <sip:{phone.user}@{host}".encode()),
        phone.source,
    )
    assert response is not None
    assert response.startswith(b"SIP/2.0 200 ")


def test_extensions_that_are_required(phone: Phone) -> None:
    """There are none: the answer lists them."""
    answer = phone.send("Require: path", "Require: gruu")
    assert (420, "path, gruu") == (answer.status, answer.first("Unsupported"))


@pytest.mark.parametrize(
    ("method", "uri", "status"),
    [
        ("OPTIONS", "sip:phone.plivo.com", 200),
        ("OPTIONS", "sip:admin@phone.plivo.com", 404),
        ("OPTIONS", "sip:{}@phone.plivo.com", 480),
        ("OPTIONS", "sip:{}@other.example", 404),
        ("OPTIONS", "tel:+4912345", 416),
        ("OPTIONS", "sip:a@b@c", 400),
        ("INVITE", "sip:{}@phone.plivo.com", 480),
        ("INVITE", "sip:nobody@phone.plivo.com", 404),
        ("MESSAGE", "sip:phone.plivo.com", 405),
        ("BYE", "sip:{}@phone.plivo.com", 481),
        ("CANCEL", "sip:{}@phone.plivo.com", 481),
        ("DANCE", "sip:phone.plivo.com", 501),
    ],
)
def test_there_are_no_calls(phone: Phone, method: str, uri: str, status: int) -> None:
    """OPTIONS is answered; everything else is refused as RFC 3261 says."""
    answer = phone.send(method=method, uri=uri.format(phone.user))
    assert status == answer.status
    if status in {200, 405, 501}:
        assert "REGISTER, OPTIONS" == answer.first("Allow")


def test_an_ack_is_not_answered(phone: Phone) -> None:
    """ACK never is."""
    assert None is phone.registrar.answer(phone.request(method="ACK"), phone.source)


def test_sequences_have_an_end(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last CSeq of phones that were silent for long is forgotten; Call-IDs have an end too."""
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._registrar.MAX_SEQUENCES", 3)
    for number in range(9):
        phone.call_id = f"call {number}"
        assert 200 == phone.log_in("password-1").status
    assert 3 == len(phone.registrar._sequences)
    phone.call_id = "x" * 251
    assert 400 == phone.log_in("password-1").status


def test_a_reset_and_a_restored_snapshot(account: Sandbox, phone: Phone) -> None:
    """A phone of an endpoint that was removed is refused; once it is restored, the same password works."""
    snapshot = account.snapshot()
    account.reset()
    assert 401 == phone.log_in("password-1").status
    account.restore(snapshot)
    assert 200 == phone.log_in("password-1").status


def test_the_log_says_who_was_refused(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    """With the reason, but not when a phone is only asked for its password."""
    caplog.set_level("INFO", "plivo_endpoints.sandbox.sip")
    phone.challenge()
    assert "" == caplog.text
    phone.log_in("password-2")
    refused = "by 192.0.2.7:5060 (UDP) was refused"
    assert f"<sip:{phone.user}@{DOMAIN}> {refused}: 401, unknown username or wrong password" in caplog.text
    phone.send("X-Plivo-Jwt: a.b.c")
    assert f"{refused}: 403, 399 phone.plivo.com" in caplog.text
    assert "a.b.c" not in caplog.text
