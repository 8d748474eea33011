"""A file that is edited again and again, each edition killed once on the way, and a dictionary as the truth.

The sandbox and each life of the program are processes of their own, as in the kill loop. Meanwhile others
make and delete endpoints with the aliases of rows and names that only just differ.
"""

from __future__ import annotations

import csv
import json
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request

from attrs import define, evolve, field, frozen

from tests.provisioning.killed_run import SENDING
from tests.provisioning.killloop import Loop, life, opener, run_sandbox, state_of

if TYPE_CHECKING:
    from pathlib import Path

STEPS = (*SENDING, "take up", "taken up", "note", "noted", None)
DIGITS = 12  # that the sandbox appends


@frozen(kw_only=True)
class Person:
    """A row as the file has it."""

    key: str
    username: str
    alias: str
    password: str = "s3cret"
    app_id: str = ""


@define
class LivingFile:
    """The truth: who is in the file, and who was."""

    chance: random.Random
    people: dict[str, Person] = field(factory=dict[str, Person])
    gone: dict[str, Person] = field(factory=dict[str, Person])
    hired: int = 0

    def hire(self, count: int) -> None:
        """Add rows."""
        for number in range(self.hired, self.hired + count):
            self.people[f"key-{number}"] = Person(
                key=f"key-{number}", username=f"user{number}x", alias=f"desk {number}"
            )
        self.hired += count

    def edit(self) -> None:
        """Change rows in every way in which a row may change; let some go, one come back, and new ones in."""
        one, two, three, four, five, six, *leaving = self.chance.sample(sorted(self.people), 10)
        self._change(one, alias=f"another {self.chance.random()}")
        self._change(two, app_id=str(self.chance.randrange(10**6)))
        self._change(three, password=f"s3cret-{self.chance.random()}")
        self._change(four, alias=f"both {self.chance.random()}", app_id=str(self.chance.randrange(10**6)))
        swapped = self.people[five].alias, self.people[six].alias
        self._change(six, alias=swapped[0])
        self._change(five, alias=swapped[1])
        for key in sorted(self.gone)[:1]:
            self.people[key] = self.gone.pop(key)
        for key in leaving:
            self.gone[key] = self.people.pop(key)
        self.hire(self.chance.randint(5, 15))

    def _change(self, key: str, **fields: str) -> None:
        self.people[key] = evolve(self.people[key], **fields)

    def write(self, path: Path) -> None:
        """Write it, in another order each time."""
        people = list(self.people.values())
        self.chance.shuffle(people)
        with path.open("w", newline="", encoding="utf-8") as file:
            columns = csv.writer(file)
            columns.writerow(["key", "username", "alias", "password", "app_id"])
            columns.writerows(
                [person.key, person.username, person.alias, person.password, person.app_id]
                for person in people
            )


@frozen(kw_only=True)
class Result:
    """What came of it: how often it was killed, and everything that is wrong, which should be nothing."""

    kills: int
    rows: int
    wrong: list[str]


def run(loop: Loop, *, editions: int) -> Result:
    """Apply so many editions of a file, each killed once on the way, and look at the account after each."""
    chance = random.Random(loop.seed)  # noqa: S311 - repeatable on purpose
    file, path = LivingFile(chance), loop.folder / "users.csv"
    file.hire(loop.rows)
    wrong: list[str] = []
    known: dict[str, str] = {}
    kills = 0
    with run_sandbox(loop) as account:
        order = {
            **account,
            "csv": str(path),
            "state": str(loop.folder / "run.db"),
            "settle": loop.settle,
            "limited": False,
            "broken": loop.broken,
        }
        for edition in range(editions):
            if edition:
                file.edit()
            file.write(path)
            before = _strangers(_meddle(account, [key for key in file.people if key in known], file, chance))
            step = chance.choice(STEPS)
            delay = chance.uniform(0.0, 1.0) if step is None else None
            kills += life({**order, "step": step, "count": chance.randint(1, 9)}, delay) is None
            last = life({**order, "step": None, "count": 0}, None)
            assert last is not None, "the last life was not to be killed"
            after = state_of(account)["endpoints"]
            wrong += [f"edition {edition}: {each}" for each in _compare(file, known, after)]
            if last["status"] != 0:
                wrong.append(f"edition {edition}: {last}")
            if _strangers(after) != before:
                wrong.append(f"edition {edition}: somebody else's endpoints were touched")
    return Result(kills=kills, rows=len(file.people) + len(file.gone), wrong=wrong)


def _meddle(
    account: dict[str, str], keys: list[str], file: LivingFile, chance: random.Random
) -> list[dict[str, Any]]:
    """Let others make and delete endpoints; return what the account has then."""
    for key in chance.sample(keys, min(3, len(keys))):
        person = file.people[key]
        # One digit more than Plivo would append to the row's name.
        body = {"username": f"{person.username}2", "alias": person.alias, "password": "s3cret"}
        _send(account, "POST", "Endpoint/", body)
    others = list(_strangers(state_of(account)["endpoints"]))
    for endpoint_id in chance.sample(others, min(1, len(others))):
        _send(account, "DELETE", f"Endpoint/{endpoint_id}/", None)
    endpoints: list[dict[str, Any]] = state_of(account)["endpoints"]
    return endpoints


def _send(account: dict[str, str], method: str, path: str, body: dict[str, str] | None) -> None:
    url = f"{account['url']}/v1/Account/{account['auth_id']}/{path}"
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - loopback
    with suppress(URLError, OSError):  # a fault of the sandbox
        opener(account).open(request).close()


def _strangers(endpoints: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the endpoints of others, by id."""
    return {each["endpoint_id"]: each for each in endpoints if _owner(each["username"]) is None}


def _owner(username: str) -> str | None:
    """Return the username that a row asked for."""
    asked = username[:-DIGITS]
    return asked if asked.startswith("user") and asked.endswith("x") else None


def _compare(file: LivingFile, known: dict[str, str], endpoints: list[dict[str, Any]]) -> list[str]:
    """Return what is not as the file wants it; remember which endpoint is whose."""
    wrong: list[str] = []
    owned: dict[str, list[dict[str, Any]]] = {}
    for endpoint in endpoints:
        owned.setdefault(_owner(endpoint["username"]) or "", []).append(endpoint)
    owned.pop("", None)
    for person in (*file.people.values(), *file.gone.values()):
        mine = owned.pop(person.username, [])
        if len(mine) != 1:
            wrong.append(f"{person.key} has {len(mine)} endpoints")
            continue
        (endpoint,) = mine
        if known.setdefault(person.key, endpoint["endpoint_id"]) != endpoint["endpoint_id"]:
            wrong.append(f"{person.key} has another endpoint")
        if person.key in file.people and endpoint["alias"] != person.alias:
            wrong.append(f"{person.key} has the alias {endpoint['alias']!r}, not {person.alias!r}")
        if person.key in file.people and person.app_id and f"/{person.app_id}/" not in str(endpoint):
            wrong.append(f"{person.key} has not the application {person.app_id}")
    wrong += [f"{username} is nobody's" for username in owned]
    return wrong
