"""Nothing that comes makes the registrar fail or grow: random messages, floods, and a day of registering."""

import random
import time
import timeit
import tracemalloc
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plivo_endpoints.sandbox import Sandbox
from plivo_endpoints.sandbox._sip._framing import Framer, FramingError
from plivo_endpoints.sandbox._sip._listeners import RetransmissionCache
from plivo_endpoints.sandbox._sip._message import MAX_MESSAGE
from plivo_endpoints.sandbox._sip._registrar import Registrar
from tests.sip.phones import DOMAIN, SOURCE, Phone, digest, read_answer, seeded

# Pieces that mean something somewhere in a message.
TOKENS = (
    *(b"\r\n", b"\r\n\r\n", b"\r\n ", b":", b";", b",", b'"', b"\\", b"<", b">", b"=", b"*", b"@", b"%"),
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"[::1]", b"sip:", b"SIP/2.0", b"SIP/2.0/UDP ", b"Via: ", b"v:"),
    *(b"Contact: ", b"m: *", b"Expires: 0", b"Expires: 99999999999", b"CSeq: 4294967296 REGISTER", b"tag="),
    *(b"Authorization: Digest ", b"X-Plivo-Jwt: ", b"e30.e30.e30", b"Content-Length: ", b"To: ", b"9" * 400),
)
UNTOUCHED = Registrar(Sandbox(endpoints=1)._directory)


def mutated(message: bytes, chance: random.Random) -> bytes:
    """Return a message with some random changes."""
    changed = bytearray(message)
    for _ in range(chance.randint(1, 8)):
        start = chance.randrange(len(changed) + 1)
        end = start + chance.choice((0, 0, 1, 2, 10, 100))
        piece = chance.choice((b"", chance.choice(TOKENS), chance.randbytes(chance.randint(1, 5))))
        changed[start:end] = piece
    return bytes(changed)


@pytest.mark.slow
def test_ten_thousand_random_messages(account: Sandbox, phone: Phone) -> None:
    """Each is answered with a valid response or ignored, whole and in pieces; then a login still works."""
    chance = random.Random(1)  # noqa: S311 - the same in each run
    statuses, challenge = set[int](), ""
    for number in range(10_000):
        if number % 50 == 0:
            challenge = phone.challenge()
        nc = number % 50
        authorization = digest(challenge, phone.user, "password-1", uri=f"sip:{DOMAIN}", nc=nc)
        kinds = (f"Authorization: {authorization}", "X-Plivo-Jwt: e30.e30.c")
        right = phone.request(kinds[number % 2], f"Contact: <{phone.contact};ob>;expires=60")
        message = mutated(right, chance)
        response = phone.registrar.answer(message, SOURCE)
        if response is not None:
            assert len(response) < MAX_MESSAGE
            statuses.add(read_answer(response.decode("utf-8", "replace").encode()).status)
        cut_at_random(message, chance)
    # Each kind of answer was seen, so the messages were not only garbage.
    assert {200, 400, 401, 403, 404} <= statuses
    assert 200 == phone.log_in("password-1").status
    assert seeded(account).sip_registered


def cut_at_random(message: bytes, chance: random.Random) -> None:
    """Feed a message to a framer in pieces."""
    framer, start = Framer(), 0
    try:
        while start < len(message):
            end = start + chance.randint(1, 300)
            framer.feed(message[start:end])
            start = end
    except FramingError:
        return


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8), max_size=60))
def test_whatever_is_made_of_pieces(pieces: list[bytes]) -> None:
    """Messages that are made of nothing but syntax raise nothing either."""
    start = Phone(registrar=UNTOUCHED, user="alice").request()[:-2]
    for message in (b"".join(pieces), start + b"".join(pieces) + b"\r\n\r\n"):
        UNTOUCHED.answer(message, SOURCE)


def cpu_seconds(phone: Phone, name: str, value: str) -> float:
    """Return what it costs to answer a request with this header."""
    message = phone.request("X: 1").decode().replace(f"\r\n{name}: ", "\r\nIgnored: ")
    encoded = message.replace("X: 1", f"{name}: {value}").encode()
    answering = timeit.Timer(partial(phone.registrar.answer, encoded, SOURCE), time.process_time)
    return min(answering.repeat(repeat=5, number=1))


@pytest.mark.parametrize("name", ["Via", "To", "Contact", "Authorization", "X-Plivo-Jwt", "CSeq"])
def test_reading_is_linear(phone: Phone, name: str) -> None:
    """Eight times as much of any character in any field costs about eight times as much, and not 64 times."""
    for filler in ('"', "<", "\\", ",", ";", '"\\', "\r\n ", "a@", ":", " ", ";a=", "%"):
        short, long = (cpu_seconds(phone, name, filler * (size // len(filler))) for size in (1_875, 15_000))
        assert long < 25 * short, filler


def grown(before: tracemalloc.Snapshot) -> int:
    """Return how many bytes the sandbox's modules hold more than before."""
    chosen = [tracemalloc.Filter(inclusive=True, filename_pattern="*plivo_endpoints/sandbox/*")]
    after = tracemalloc.take_snapshot().filter_traces(chosen)
    return sum(each.size_diff for each in after.compare_to(before.filter_traces(chosen), "filename"))


@pytest.mark.slow
def test_a_flood_costs_no_memory(phone: Phone) -> None:
    """Of requests without a password nothing stays but the last 1,000 answers."""
    answers = RetransmissionCache(phone.registrar)
    flood = [Phone(registrar=phone.registrar, user=f"user{number}") for number in range(10)]
    tracemalloc.start()
    try:
        before = None
        for number in range(4_000):
            answers.answer(flood[number % 10].request(), SOURCE, number)
            if number == 1_500:
                before = tracemalloc.take_snapshot()
        assert before is not None
        assert grown(before) < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_day_of_registering(account: Sandbox, phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone that refreshes every minute of the clock stays registered for a day, in flat memory."""
    # As after a week, when as many logins are remembered as ever will be.
    monkeypatch.setattr("plivo_endpoints.sandbox._sip._digest.MAX_USED", 100)
    started = account.clock.now()
    tracemalloc.start()
    try:
        before = None
        for minute in range(24 * 60):
            assert 200 == phone.log_in("password-1", "Expires: 70").status
            account.clock.move(60)
            assert seeded(account).sip_registered
            if minute == 200:
                before = tracemalloc.take_snapshot()
        assert before is not None
        assert grown(before) < 20_000
    finally:
        tracemalloc.stop()
    assert account.clock.now() - started > timedelta(days=1)
    account.clock.move(11)
    assert not seeded(account).sip_registered
