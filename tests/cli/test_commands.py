"""Each command against the sandbox, in this process."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from plivo_endpoints.cli.main import cli
from plivo_endpoints.sandbox import Fault, Sandbox

Run = Callable[..., Result]

GUIDE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"


def lines(result: Result) -> dict[str, str]:
    """Read lines of name, tab and value."""
    return dict(line.split("\t") for line in result.stdout.splitlines())


def test_create(sandbox: Sandbox, run: Run) -> None:
    """The password comes from standard input; what Plivo made of the username comes out."""
    result = run("create", "alice", "--alias", "front desk", "--password-stdin", stdin="s3cret\n")
    (endpoint_id,) = sandbox.endpoints
    made = sandbox.endpoints[endpoint_id]
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result) == {
        "endpoint_id": endpoint_id,
        "username": made.username,
        "alias": "front desk",
        "message": "created",
        "api_id": lines(result)["api_id"],
    }
    assert made.username.startswith("alice")


def test_create_with_an_application_and_a_password_from_the_environment(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--app-id` attaches the application; the variable spares the prompt."""
    monkeypatch.setenv("PLIVO_ENDPOINT_PASSWORD", "s3cret")
    result = run("create", "alice", "--alias", "a", "--app-id", "123", "--json")
    (made,) = sandbox.endpoints.values()
    assert result.exit_code == 0
    assert json.loads(result.stdout)["endpoint_id"] == made.endpoint_id
    assert json.loads(run("get", made.endpoint_id, "--json").stdout)["application_id"] == "123"


def test_get(sandbox: Sandbox, run: Run) -> None:
    """What is not known is left out of the lines."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    shown = lines(run("get", endpoint_id))
    assert shown["endpoint_id"] == endpoint_id
    assert shown["sip_registered"] == "false"
    assert "sip_contact" not in shown


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_command_shows_the_hash_of_a_password(sandbox: Sandbox, run: Run, form: tuple[str, ...]) -> None:
    """Though `get` receives it."""
    sandbox.seed(1)
    (made,) = sandbox.endpoints.values()
    assert made.password
    for command in (("get", made.endpoint_id), ("list",)):
        result = run(*form, *command)
        assert (result.exit_code, "password" in result.stdout, made.password in result.stdout) == (
            0,
            False,
            False,
        )


def test_get_a_registered_endpoint(sandbox: Sandbox, run: Run) -> None:
    """A time is written with its offset."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    sandbox.register(endpoint_id)
    document = json.loads(run("--json", "get", endpoint_id).stdout)
    assert document["sip_registered"] is True
    assert datetime.fromisoformat(document["sip_expires"]).utcoffset() == timedelta(0)


def test_update(sandbox: Sandbox, run: Run) -> None:
    """Only what is named changes."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    result = run("update", endpoint_id, "--alias", "lobby")
    assert (result.exit_code, lines(result)["message"]) == (0, "changed")
    assert sandbox.endpoints[endpoint_id].alias == "lobby"
    assert sandbox.requests[-1].body == {"alias": "lobby"}


def test_update_of_the_password(sandbox: Sandbox, run: Run) -> None:
    """It comes from standard input."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    result = run("update", endpoint_id, "--password-stdin", stdin="n3w-secret")
    assert result.exit_code == 0
    assert sandbox.requests[-1].body == {"password": "[redacted]"}


def test_the_password_variable_alone_changes_nothing(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left over from a create, it must not change a password in passing; `--password` asks for it."""
    monkeypatch.setenv("PLIVO_ENDPOINT_PASSWORD", "n3w-secret")
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    run("update", endpoint_id, "--alias", "lobby")
    assert sandbox.requests[-1].body == {"alias": "lobby"}
    run("update", endpoint_id, "--password")
    assert sandbox.requests[-1].body == {"password": "[redacted]"}


def test_delete(sandbox: Sandbox, run: Run) -> None:
    """It is gone, and the output says so."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    result = run("delete", endpoint_id, "--json")
    assert json.loads(result.stdout) == {"endpoint_id": endpoint_id, "message": "deleted"}
    assert len(sandbox.endpoints) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), 45),
        (("--limit", "1"), 1),
        (("--limit", "20"), 20),
        (("--limit", "21"), 21),
        (("--limit", "99"), 45),
        (("--offset", "44"), 1),
        (("--offset", "45"), 0),
        (("--limit", "5", "--offset", "42"), 3),
    ],
)
def test_list(sandbox: Sandbox, run: Run, arguments: tuple[str, ...], expected: int) -> None:
    """As many as asked for, across pages, each once; as JSON and as lines."""
    sandbox.seed(45)
    documents = json.loads(run("list", "--json", *arguments).stdout)
    ids = [line.split("\t")[0] for line in run("list", *arguments).stdout.splitlines()]
    assert len(set(ids)) == expected
    assert [document["endpoint_id"] for document in documents] == ids


def test_list_asks_for_no_more_than_it_needs(sandbox: Sandbox, run: Run) -> None:
    """With a limit, no page is read ahead."""
    sandbox.seed(45)
    run("list", "--limit", "3")
    assert [request.query for request in sandbox.requests] == [{"limit": "3", "offset": "0"}]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--alias", "seeded-3"), [3]),
        (("--registered",), [2, 44]),
        (("--registered", "--offset", "10"), [44]),
        (("--registered", "--limit", "1"), [2]),
        (("--not-registered", "--limit", "3"), [1, 3, 4]),
        (("--alias", "seeded-3", "--registered"), []),
    ],
)
def test_list_with_filters(sandbox: Sandbox, run: Run, options: tuple[str, ...], expected: list[int]) -> None:
    """Only what matches all of them is printed; `--limit` counts matches, `--offset` everything."""
    sandbox.order = "oldest"
    sandbox.seed(45)
    for made in sandbox.endpoints.values():
        if made.alias in {"seeded-2", "seeded-44"}:
            sandbox.register(made.endpoint_id)
    shown = run("list", *options)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert [line.split("\t")[2] for line in shown.stdout.splitlines()] == [f"seeded-{n}" for n in expected]


def test_filters_by_username_and_application(sandbox: Sandbox, run: Run) -> None:
    """The two that a create sets."""
    run("create", "alice", "--alias", "a", "--app-id", "42", "--password-stdin", stdin="s3cret")
    run("create", "bob", "--alias", "a", "--password-stdin", stdin="s3cret")
    for options in (("--username-prefix", "ali"), ("--app-id", "42")):
        (document,) = json.loads(run("list", *options, "--json").stdout)
        assert document["username"].startswith("alice")
    refused = run("list", "--username-prefix", "")
    assert (refused.exit_code, refused.stderr) == (2, "Error: username_prefix: must be a non-empty string\n")
    assert len(sandbox.requests) == 4


def test_a_limit_of_matches_ends_the_requests(sandbox: Sandbox, run: Run) -> None:
    """Pages stay full, as most of one may not match; after the last match none is requested."""
    sandbox.order = "oldest"
    sandbox.seed(60)
    run("list", "--alias", "seeded-25", "--limit", "1")
    assert [request.query for request in sandbox.requests] == [
        {"limit": "20", "offset": "0"},
        {"limit": "20", "offset": "20"},
    ]


def test_lines_of_a_list(sandbox: Sandbox, run: Run) -> None:
    """Five columns with tabs between, without a header; what is unknown is empty."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    document: dict[str, Any] = json.loads(run("list", "--json").stdout)[0]
    expected = [endpoint_id, document["username"], "seeded-1", "false", document["application_id"]]
    assert run("list").stdout == "\t".join(expected) + "\n"


def test_a_value_that_is_not_known(sandbox: Sandbox, run: Run) -> None:
    """Its column is there all the same, and empty."""
    page = '{"meta": {}, "objects": [{"endpoint_id": "1", "username": "alice1"}]}'
    sandbox.inject(Fault(applied=True, status=200, body=page))
    assert run("list").stdout == "1\talice1\t\t\t\n"


def test_a_list_that_breaks_off_is_no_document(sandbox: Sandbox, run: Run) -> None:
    """Half a list must not look like a whole one to a program."""
    sandbox.seed(45)
    sandbox.inject(Fault(applied=False, status=403), path="Endpoint/", times=1)
    refused = run("list", "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    sandbox.pagination = "cursor"
    sandbox.inject(Fault(applied=True, status=200, body=cut_page(run)), times=1)
    sandbox.inject(Fault(applied=False, status=403), times=1)
    cut = run("list", "--json")
    assert cut.exit_code == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.stdout)


def cut_page(run: Run) -> str:
    """Return a first page whose next one will be refused."""
    endpoint = json.loads(run("list", "--json", "--limit", "1").stdout)[0]
    return json.dumps({"meta": {"next": "/?cursor=x", "total_count": 45}, "objects": [endpoint]})


def test_a_list_that_changed(sandbox: Sandbox, run: Run) -> None:
    """A warning of one line, on stderr; the list is printed all the same."""
    sandbox.seed(45)
    page = '{"meta": {"next": "/?offset=20", "total_count": 44}, "objects": []}'
    sandbox.inject(Fault(applied=True, status=200, body=page), times=1)
    result = run("list")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 25)
    told = "the list changed while it was read: some objects may be missing here, so read it again"
    assert result.stderr == f"Warning: {told}\n"


def test_token(sandbox: Sandbox, run: Run) -> None:
    """Permissions and lifetime arrive; the token's claims are read from it."""
    result = run("token", "--sub", "alice", "--incoming", "--lifetime", "3600", "--app", "9", "--json")
    document = json.loads(result.stdout)
    claims = document["claims"]
    assert (claims["sub"], claims["app"]) == ("alice", "9")
    assert (claims["incoming_allow"], claims["outgoing_allow"]) == (True, False)
    left = datetime.fromisoformat(document["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=3590) < left <= timedelta(seconds=3600)
    assert sandbox.tokens[-1]["sub"] == "alice"


def test_a_token_that_allows_nothing(sandbox: Sandbox, run: Run) -> None:
    """It is minted, and a warning stands on stderr, away from what is piped on."""
    result = run("token", "--sub", "alice", "--json")
    assert (result.exit_code, len(sandbox.tokens)) == (0, 1)
    assert json.loads(result.stdout)["claims"]["sub"] == "alice"
    assert result.stderr == "Warning: without --incoming or --outgoing the token allows no calls\n"
    for permission in ("--incoming", "--outgoing"):
        assert run("token", "--sub", "alice", permission).stderr == ""


def test_a_token_that_starts_later(sandbox: Sandbox, run: Run) -> None:
    """`--nbf` takes both forms of a time, and what is neither is wrong usage."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    for nbf in (start.isoformat(), str(int(start.timestamp()))):
        minted = json.loads(run("token", "--outgoing", "--nbf", nbf, "--lifetime", "600", "--json").stdout)
        assert start == datetime.fromisoformat(minted["claims"]["nbf"])
    for nbf in ("soon", "2026-01-01T12:00:00", "-1", "9" * 30):
        assert run("token", "--outgoing", "--nbf", nbf).exit_code == 2
    assert len(sandbox.tokens) == 2


def test_token_in_lines(sandbox: Sandbox, run: Run) -> None:
    """The claims get dotted names."""
    shown = lines(run("token", "--outgoing"))
    assert shown["claims.outgoing_allow"] == "true"
    assert shown["claims.iss"] == sandbox.auth_id
    assert shown["jwt"].count(".") == 2


def test_completion_of_a_line_that_will_be_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that asks what may follow gets its answer."""
    monkeypatch.setenv("_PLIVO_ENDPOINTS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "plivo-endpoints --json demo --")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert run().output == "plain,--help\n"


def test_text_from_the_server_cannot_steer(sandbox: Sandbox, run: Run) -> None:
    """Escape sequences, tabs, line breaks and right-to-left marks come out written."""
    sandbox.seed(1)
    (endpoint_id,) = sandbox.endpoints
    body = json.dumps({"endpoint_id": endpoint_id, "alias": "\x1b[2J\t\n\u202e", "\x1b]0;": "\x07"})
    sandbox.inject(Fault(applied=True, status=200, body=body), times=2)
    shown = run("get", endpoint_id).stdout
    assert shown == (f"endpoint_id\t{endpoint_id}\nalias\t\\x1b[2J\\t\\n\\u202e\nextra.\\x1b]0;\t\\x07\n")
    assert "\x1b" not in run("get", endpoint_id, "--json").stdout


def test_help_and_guide_tell_one_story(run: Run) -> None:
    """Each exit status and each variable that the guide names is in the help too."""
    guide = GUIDE.read_text(encoding="utf-8")
    shown = run("--help").stdout
    statuses = re.findall(r"^\| (\d+) \|", guide, re.MULTILINE)
    assert statuses == re.findall(r"^    (\d+)  ", shown, re.MULTILINE)
    variables = set(re.findall(r"`(PLIVO_\w+|NO_COLOR|\w+_PROXY)`", guide))
    assert {name for name in variables if name not in shown} == set()


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_tells_of_the_exit_status(run: Run, command: str) -> None:
    """Each command's own, or where to find it."""
    assert "xit status" in run(command, "--help").stdout


def test_help(run: Run) -> None:
    """What each command does fits beside its name."""
    shown = run("--help").stdout
    assert "find-created" in shown
    assert "..." not in shown.replace("[OPTIONS] COMMAND [ARGS]...", "")


SERVER = ("--base-url", "http://127.0.0.1:1")


@pytest.mark.parametrize("names", [["list"], ["provision", "plan"]], ids=["list", "plan"])
def test_options_before_or_after_the_name(
    sandbox: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    """Wherever they stand, among the names or after them, they act."""
    monkeypatch.setenv("PLIVO_BASE_URL", "http://127.0.0.1:1")
    source = tmp_path / "users.csv"
    source.write_text("username,alias,password\nalice,a,s3cret\n")
    rest = [str(source)] if "plan" in names else []
    options = ["--json", "--base-url", sandbox.base_url]
    for place in range(len(names) + 1):
        shown = run(*names[:place], *options, *names[place:], *rest)
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert isinstance(json.loads(shown.stdout), list if names == ["list"] else dict)
    assert len(sandbox.requests) == len(names) + 1


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("demo",), ("--json",)),
        (("demo",), SERVER),
        (("sandbox",), SERVER),
        (("provision", "status", "--state", __file__), SERVER),
        (("provision", "results", "--state", __file__), SERVER),
    ],
)
def test_an_option_without_effect(run: Run, command: tuple[str, ...], option: tuple[str, ...]) -> None:
    """It is refused, before the name and after it."""
    before, after = run(*option, *command), run(*command, *option)
    assert (before.exit_code, after.exit_code) == (2, 2)
    assert f" has no option {option[0]}\n" in before.stderr
    assert re.search(f"No such option.*{option[0]}", after.stderr)
    assert option[0] not in run(*command, "--help").stdout
