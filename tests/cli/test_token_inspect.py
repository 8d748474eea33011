"""`token inspect`: what a token allows, for how long, and why it would be refused."""

import json
import random
import re
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt as pyjwt
import pytest
from click.testing import Result

from plivo_endpoints.cli.inspection import MalformedTokenError, inspect_token
from plivo_endpoints.sandbox import Sandbox

Run = Callable[..., Result]

NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
AUTH_ID: Final = "MA0123456789ABCDEFGH"
HEADER: Final[dict[str, Any]] = {"alg": "HS256", "cty": "plivo;v=1", "typ": "JWT"}
CLAIMS: Final[dict[str, Any]] = {
    "app": "",
    "exp": int(NOON.timestamp()) + 3 * 3600 + 12 * 60,
    "iss": AUTH_ID,
    "nbf": int(NOON.timestamp()) - 10,
    "per": {"voice": {"incoming_allow": True, "outgoing_allow": False}},
    "sub": "alice1",
}
PERMIT_NOTHING: Final = {"voice": {"incoming_allow": False, "outgoing_allow": False}}
SHAPE: Final = "not a JWT: it must be three parts of letters"


def segment(value: object) -> str:
    """Encode a part of a token."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(content).decode().rstrip("=")


def token_of(claims: object, header: object = HEADER) -> str:
    """Return a token; its signature is not looked at."""
    return f"{segment(header)}.{segment(claims)}.c2lnbmF0dXJl"


def fields(claims: dict[str, Any], header: object = HEADER, at: datetime = NOON) -> dict[str, Any]:
    """Inspect a token with these claims changed."""
    return inspect_token(token_of({**CLAIMS, **claims}, header), at).fields()


def now_valid(**changes: object) -> str:
    """Return a token that is valid for an hour from now."""
    now = int(datetime.now(UTC).timestamp())
    return token_of({**CLAIMS, "nbf": now - 10, "exp": now + 3600, **changes})


def test_a_usable_token() -> None:
    """Its claims, its time and its permissions; the document's keys are always the same."""
    assert fields({}) == {
        "usable": True,
        "state": "valid",
        "time_left": "expires in 3 h 12 min",
        "seconds_left": 11_520,
        "incoming_calls": True,
        "outgoing_calls": False,
        "logs_in_as": f"alice1_{AUTH_ID}",
        "problems": (),
        "signature": "not verified: only Plivo can do that",
        "claims": {
            "iss": AUTH_ID,
            "sub": "alice1",
            "nbf": NOON - timedelta(seconds=10),
            "exp": NOON + timedelta(hours=3, minutes=12),
            "app": None,
            "incoming_allow": True,
            "outgoing_allow": False,
        },
    }
    assert list(fields({})) == list(fields({"iss": None, "nbf": "x", "exp": [], "per": 5}))


@pytest.mark.parametrize(
    ("after", "state", "time_left", "seconds_left"),
    [
        (-10, "valid", "expires in 3 h 12 min", 11_530),
        (-11, "not yet valid", "becomes valid in 1 s, expires in 3 h 12 min", 11_531),
        (-7211, "not yet valid", "becomes valid in 2 h 0 min, expires in 5 h 12 min", 18_731),
        (11_519, "valid", "expires in 1 s", 1),
        (11_400, "valid", "expires in 2 min 0 s", 120),
        (11_520, "expired", "expired 0 s ago", 0),
        (11_520 + 90_061, "expired", "expired 1 d 1 h ago", 0),
    ],
)
def test_its_time(after: int, state: str, time_left: str, seconds_left: int) -> None:
    """From `nbf` on it is valid and from `exp` on expired; outside of that it allows no calls."""
    found = fields({}, at=NOON + timedelta(seconds=after))
    assert (state, time_left, seconds_left) == (found["state"], found["time_left"], found["seconds_left"])
    assert (state == "valid",) * 2 == (found["usable"], found["incoming_calls"])
    assert () == found["problems"]


@pytest.mark.parametrize(
    ("claims", "problems"),
    [
        ({"iss": ""}, ["browser SDK: iss is missing or empty"]),
        ({"iss": 5}, ["browser SDK: iss is not a string"]),
        ({"sub": ["alice"]}, ["browser SDK: sub is not a string", "Plivo: incoming calls need a sub"]),
        ({"app": 42}, ["browser SDK: app is not a string"]),
        ({"nbf": None}, ["browser SDK: nbf is missing or empty", "Plivo: nbf or exp is not a time"]),
        ({"nbf": 0}, ["browser SDK: nbf is missing or empty", "Plivo: exp is not between 3 minutes"]),
        ({"exp": "1767268800"}, ["browser SDK: exp is not a number", "Plivo: nbf or exp is not a time"]),
        ({"exp": True}, ["browser SDK: exp is not a number", "Plivo: nbf or exp is not a time"]),
        ({"exp": 1e30}, ["Plivo: nbf or exp is not a time"]),
        ({"exp": 10**4000}, ["Plivo: nbf or exp is not a time"]),
        ({"nbf": CLAIMS["exp"] - 179}, ["Plivo: exp is not between 3 minutes and 24 hours"]),
        ({"nbf": CLAIMS["exp"] - 86_401}, ["Plivo: exp is not between 3 minutes and 24 hours"]),
        ({"nbf": CLAIMS["exp"] + 1}, ["Plivo: exp is not between 3 minutes and 24 hours"]),
        ({"per": {"voice": {"outgoing_allow": "true"}}}, ["browser SDK: per.voice.outgoing_allow is not"]),
        (
            {"per": {"voice": {"incoming_allow": 1}}},
            ["browser SDK: per.voice.incoming_allow is not"],
        ),
        ({"sub": ""}, ["Plivo: incoming calls need a sub: nobody could call the random name"]),
    ],
    ids=lambda case: repr(case)[:40],
)
def test_what_is_refused(claims: dict[str, Any], problems: list[str]) -> None:
    """Each problem with who refuses it; such a token is not usable."""
    found = fields(claims)
    assert [True] * len(problems) == [
        told.startswith(wanted) for told, wanted in zip(found["problems"], problems, strict=True)
    ]
    assert (False, False, False) == (found["usable"], found["incoming_calls"], found["outgoing_calls"])


@pytest.mark.parametrize("per", [{"incoming_allow": True}, PERMIT_NOTHING])
def test_a_token_that_allows_no_calls(per: dict[str, Any]) -> None:
    """A phone can log in with it, but neither call nor be called."""
    found = fields({"per": per})
    assert (True, False, False) == (found["usable"], found["incoming_calls"], found["outgoing_calls"])


@pytest.mark.parametrize("lifetime", [180, 86_400])
def test_the_shortest_and_the_longest(lifetime: int) -> None:
    """They are allowed."""
    nbf = int(NOON.timestamp())
    assert fields({"nbf": nbf, "exp": nbf + lifetime})["usable"] is True


@pytest.mark.parametrize(("name", "value"), [("alg", "none"), ("alg", None), ("cty", "JWT"), ("cty", None)])
def test_a_header_that_is_not_plivos(name: str, value: object) -> None:
    """The browser SDK does not read it, but Plivo does."""
    wanted = {"alg": "HS256", "cty": "plivo;v=1"}[name]
    found = fields({}, header={**HEADER, name: value})
    assert (f'Plivo: {name} in the header is not "{wanted}"',) == found["problems"]
    assert f"alice1_{AUTH_ID}" == found["logs_in_as"]


def test_a_token_without_a_name() -> None:
    """It can call, under a random name; and none is shown for a token that the SDK refuses."""
    calls = {"sub": "", "per": {"voice": {"outgoing_allow": True}}}
    found = fields(calls)
    assert (True, True, "a random name, as sub is missing") == (
        found["usable"],
        found["outgoing_calls"],
        found["logs_in_as"],
    )
    assert fields({**calls, "iss": None})["logs_in_as"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", SHAPE),
        ("x", SHAPE),
        ("a.b", SHAPE),
        ("a.b.c.d", SHAPE),
        (f"Bearer {token_of(CLAIMS)}", SHAPE),
        (f'"{token_of(CLAIMS)}"', SHAPE),
        (token_of(CLAIMS).replace(".", " ."), SHAPE),
        ("\u00e4.\udcff.x", SHAPE),
        (f"a.{segment(CLAIMS)}.c", "the token's header is not a JSON object in base64url"),
        (f"{segment([])}.{segment(CLAIMS)}.c", "the token's header is not"),
        (f"{segment(HEADER)}.a.c", "the token's claims are not a JSON object in base64url"),
        (token_of(b"\xff"), "the token's claims are not"),
        (token_of(5), "the token's claims are not"),
        (token_of(b"[" * 40_000), "the token's claims are not"),
    ],
    ids=lambda text: text[:12].encode("ascii", "backslashreplace").decode(),
)
def test_what_is_no_token(text: str, message: str) -> None:
    """The error says what is wrong, and nothing of what was given."""
    with pytest.raises(MalformedTokenError) as caught:
        inspect_token(text, NOON)
    assert caught.value.message.startswith(message)
    assert segment(CLAIMS) not in caught.value.message


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["nothing", "-"])
def test_from_standard_input(run: Run, arguments: tuple[str, ...]) -> None:
    """White space around it, and where it was wrapped, is ignored; the token is not printed."""
    token = now_valid()
    wrapped = f"\n  {token[:70]}\r\n  {token[70:]} \n"
    shown = run("token", "inspect", *arguments, stdin=wrapped)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert ["usable", "true"] == lines[0]
    assert re.fullmatch(r"expires in (1 h 0|59) min.*", dict(lines)["time_left"])
    assert [part for part in token.split(".") if part in shown.output] == []


def test_it_needs_no_account(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a server."""
    for name in ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN", "PLIVO_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for arguments in (
        ("--json", "token", "inspect"),
        ("token", "--json", "inspect"),
        ("token", "inspect", "--json"),
    ):
        shown = run(*arguments, now_valid())
        assert (shown.exit_code, json.loads(shown.stdout)["usable"]) == (0, True)


@pytest.mark.parametrize("changes", [{"exp": 1_700_000_000}, {"nbf": 9_999_999_999}, {"iss": None}])
def test_the_status_of_an_unusable_token(run: Run, changes: dict[str, Any]) -> None:
    """It is 1, and everything is shown all the same: a line for each problem."""
    shown = run("token", "inspect", now_valid(**changes))
    assert (shown.exit_code, shown.stderr, shown.stdout.split("\n")[0]) == (1, "", "usable\tfalse")
    told = json.loads(run("token", "inspect", "--json", now_valid(**changes)).stdout)["problems"]
    assert [f"problems\t{problem}" for problem in told] == [
        line for line in shown.stdout.splitlines() if line.startswith("problems")
    ]


@pytest.mark.parametrize("stdin", [b"", b"\xff\xfe\x00", b"x" * 10_000_000, b"Bearer x.y.z"], ids=len)
def test_the_status_of_what_is_no_token(run: Run, stdin: bytes) -> None:
    """It is 1 as well, with one line on standard error, or one document."""
    shown = run("token", "inspect", stdin=stdin)
    assert (shown.exit_code, shown.stdout, shown.stderr.count("\n")) == (1, "", 1)
    assert shown.stderr.startswith("Error: not a JWT: ")
    document = json.loads(run("token", "inspect", "--json", stdin=stdin).stderr)
    assert "MalformedTokenError" == document["error"]["type"]


def test_a_token_that_is_too_long(run: Run) -> None:
    """However well it is formed, on standard input or as an argument."""
    token = now_valid(app="9" * 50_000)
    for shown in (run("token", "inspect", stdin=token), run("token", "inspect", token)):
        assert shown.stderr == "Error: not a JWT: it is longer than 65536 characters\n"
        assert (shown.exit_code, shown.stdout) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "SECRET"),
        ("token", "inspect", "Bearer", "SECRET"),
        ("token", "--sub", "alice", "inspect", "SECRET"),
        ("token", "--incoming", "inspect", "SECRET"),
        ("token", "--nbf", "0", "inspect", "SECRET"),
        ("token", "--base-url", "http://127.0.0.1:1", "inspect", "SECRET"),
        ("token", "inspect", "--base-url", "http://127.0.0.1:1", "SECRET"),
    ],
    ids=" ".join,
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    """Status 2, and a message that does not repeat the token, as click's own would."""
    shown = run(*arguments)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "SECRET" not in shown.stderr


def test_help_shows_both(run: Run) -> None:
    """That of `token` names its options and `inspect`, that of `inspect` the risk and the exit status."""
    both, one = run("token", "--help").stdout, run("token", "inspect", "--help").stdout
    assert "Usage: plivo-endpoints token [OPTIONS] | inspect [JWT|-]\n" in both
    assert re.search(r"\n  inspect  Show what a token allows, and for how long\.\n", both)
    assert "visible to other users" in one
    assert re.findall(r"^    (\d)  ", one, re.MULTILINE) == ["0", "1", "2"]


def test_a_token_of_the_sandbox(sandbox: Sandbox, run: Run) -> None:
    """What `token` mints, `inspect` finds usable; and no other library reads it differently."""
    minted = json.loads(run("token", "--sub", "alice", "--incoming", "--json").stdout)
    found = json.loads(run("token", "inspect", "--json", stdin=minted["jwt"]).stdout)
    assert (True, minted["claims"]) == (found["usable"], found["claims"])
    assert found["claims"]["sub"] == pyjwt.decode(minted["jwt"], sandbox.auth_token, ["HS256"])["sub"]


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_token_prints_can_be_piped(sandbox: Sandbox, run: Run, form: tuple[str, ...]) -> None:
    """In either form."""
    printed = run("token", "--sub", "alice", "--outgoing", *form).stdout
    assert len(sandbox.tokens) == 1
    assert json.loads(run("token", "inspect", "--json", stdin=printed).stdout)["usable"]


@pytest.mark.slow
def test_the_prompt(on_terminal: Callable[..., str]) -> None:
    """On a terminal the token is typed or pasted unseen."""
    token = now_valid()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal("token", "inspect", typed=(token.encode() + b"\n",)))
    assert shown.startswith("Token: \nusable ")
    assert token not in shown
    broken = on_terminal("token", "inspect", typed=(b"canary\xff\n",))
    assert broken.startswith("Token: \nError: not a JWT: ")
    assert "canary" not in broken


SCALARS: Final[tuple[object, ...]] = (None, "", "x", 0, 0.0, -1, 1, 1.5, 1e30, 1_767_268_800, True, False)
VALUES: Final[tuple[object, ...]] = (*SCALARS, [], ["x"], {}, {"x": 1})
FUNCTION: Final = r"this\.%s=(e=>\{.+?\}),this\.%s="


@pytest.mark.slow
def test_the_rules_of_the_real_sdk() -> None:
    """What Plivo's browser SDK decides about 5,000 odd tokens, when its own functions run in Node.

    Skipped without Node or the module: `npm install plivo-browser-sdk` anywhere, and NODE_PATH.
    """
    path = run_node("try { console.log(require.resolve('plivo-browser-sdk')) } catch { }").strip()
    if not path:
        pytest.skip("needs Node and its module plivo-browser-sdk")
    tokens = odd_tokens(5_000)
    decided: list[bool] = json.loads(run_node(program(Path(path).read_text(encoding="utf-8")), tokens))
    ours = [inspect_token(token, NOON).sdk_problems == () for token in tokens]
    assert 100 < sum(decided) < len(tokens) - 100
    assert [token for token, one, other in zip(tokens, decided, ours, strict=True) if one != other] == []


def run_node(source: str, document: object = None) -> str:
    """Run a program, with a JSON document to read, and return what it prints: nothing without Node."""
    node = shutil.which("node")
    if node is None:
        return ""
    return subprocess.run(  # noqa: S603
        [node, "-e", source],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def program(source: str) -> str:
    """Return a program around the SDK's own `parseJwtToken` and `validateToken`."""
    functions: list[str] = []
    for name, following in (("validateToken", "parseJwtToken"), ("parseJwtToken", "tokenLogin")):
        function = re.search(FUNCTION % (name, following), source, re.DOTALL)
        assert function is not None, f"the SDK has no {name} before {following}"
        functions.append(function[1])
    return (
        "const k = {log: {error: () => {}}}, c = {LOGCAT: {}};"
        f"const validate = {functions[0]}, parse = {functions[1]};"
        "const tokens = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(tokens.map((token) => validate(parse(token)))));"
    )


def odd_tokens(count: int) -> list[str]:
    """Return tokens that mostly have one to three odd values, the same in every run."""
    chance = random.Random(7)  # noqa: S311
    tokens: list[str] = []
    for _ in range(count):
        voice = {**CLAIMS["per"]["voice"]}
        claims = {**CLAIMS, "per": {"voice": voice}}
        for _ in range(chance.randint(0, 3)):
            name = chance.choice([*CLAIMS, *voice, *voice])
            (voice if name in voice else claims)[name] = chance.choice(VALUES)
        if chance.random() < 0.1:
            del claims[chance.choice(list(claims))]
        if chance.random() < 0.1:
            claims["per"] = {"voice": chance.choice(VALUES)}
        tokens.append(token_of(claims))
    return tokens
