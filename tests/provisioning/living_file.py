"""A file that is edited repeatedly, with one kill per edition, and a dictionary of the expected endpoints.

The sandbox and each run of the program are separate processes, as in the kill loop. At the same time others
create and delete endpoints with the aliases of rows and almost equal usernames. By hand, with more rows:
`python -m tests.provisioning.living_file [rows] [editions] [seed]`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request

from attrs import asdict, define, evolve, field, frozen

from tests.provisioning.killed_run import CHANGING, SENDING
from tests.provisioning.killloop import Loop, life, opener, order_of, run_sandbox, state_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

FIRST_STEPS = (*SENDING, "take up", "taken up", "note", "noted", None)
STEPS = (*FIRST_STEPS, *CHANGING, *CHANGING)
DIGITS = 12  # that the sandbox appends
OPTIONS = {"master_key": "a master key of the living file", "replace": True, "delete": True}

Endpoint = dict[str, Any]


@frozen(kw_only=True)
class Person:
    """A row as the file has it."""

    key: str
    username: str
    alias: str
    password: str
    app_id: str = ""


@define
class LivingFile:
    """The truth: who is in the file, by key, and who was, and the usernames that anybody ever asked for.

    Also `known`: what endpoint each had when that was looked at last, and for which username.
    """

    path: Path
    chance: random.Random
    people: dict[str, Person] = field(factory=dict[str, Person])
    gone: dict[str, Person] = field(factory=dict[str, Person])
    names: set[str] = field(factory=set[str])
    theirs: set[str] = field(factory=set[str])
    known: dict[str, tuple[str, str]] = field(factory=dict[str, tuple[str, str]])
    hired: int = 0

    def hire(self, count: int) -> None:
        """Add rows."""
        for number in range(self.hired, self.hired + count):
            person = Person(
                key=f"key-{number}", username=self._name(), alias=f"desk {number}", password=self._password()
            )
            self.people[person.key] = person
        self.hired += count

    def edit(self) -> None:
        """Change rows in every way in which a row may change; let some go, one come back, and new ones in."""
        keys = self.chance.sample(sorted(self.people), 16)
        one, two, three, four, five, six, seven, eight, nine, *sales = keys[:12]
        self._change(one, alias=f"another {self.chance.random()}")
        self._change(two, app_id=self._app_id())
        self._change(three, password=self._password())
        self._change(four, alias=f"both {self.chance.random()}", app_id=self._app_id())
        self._swap("alias", five, six)
        self._change(seven, username=self._name())
        self._change(eight, username=self._name(), alias="Sales", password=self._password())
        self._change(nine, alias=self.people[one].alias)
        for key in sales:
            self._change(key, alias="Sales")
        for key in sorted(self.gone)[:1]:
            self.people[key] = self.gone.pop(key)
        for key in keys[12:]:
            self.gone[key] = self.people.pop(key)
            self.known.pop(key, None)  # once it is back, it may have another
        self.hire(self.chance.randint(2, 10))

    def write(self) -> None:
        """Write it, in another order each time."""
        people = list(self.people.values())
        self.chance.shuffle(people)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            columns = csv.writer(file)
            columns.writerow(["key", "username", "alias", "password", "app_id"])
            columns.writerows(
                [person.key, person.username, person.alias, person.password, person.app_id]
                for person in people
            )

    def name_beside(self, username: str) -> str | None:
        """Return a name that is one digit longer than another and nobody's, if there is one."""
        free = [f"{username}{digit}" for digit in range(10) if not self._is_taken(f"{username}{digit}")]
        if free:
            self.theirs.add(free[0])
        return next(iter(free), None)

    def _name(self) -> str:
        # Such as ext1 and ext12: with Plivo's digits the one can be taken for the other.
        number = len(self.names)
        while self._is_taken(f"ext{number}"):
            number += 1
        self.names.add(f"ext{number}")
        return f"ext{number}"

    def _is_taken(self, name: str) -> bool:
        return name in self.names or name in self.theirs

    def _password(self) -> str:
        return f"s3cret-{self.chance.random()}"

    def _app_id(self) -> str:
        return str(self.chance.randrange(10**6))

    def _swap(self, name: str, one: str, two: str) -> None:
        before = getattr(self.people[one], name), getattr(self.people[two], name)
        self._change(one, **{name: before[1]})
        self._change(two, **{name: before[0]})

    def _change(self, key: str, **fields: str) -> None:
        self.people[key] = evolve(self.people[key], **fields)


@define
class Strangers:
    """Others, who work in the same account."""

    account: dict[str, str]
    chance: random.Random
    endpoints: dict[str, Endpoint] = field(factory=dict[str, Endpoint])

    def make(self, file: LivingFile, count: int) -> None:
        """Make endpoints with the aliases of rows, and names that only just differ."""
        for person in self.chance.sample(sorted(file.people.values(), key=str), count):
            if name := file.name_beside(person.username):
                body = {"username": name, "alias": person.alias, "password": "theirs"}
                self._send("POST", "Endpoint/", body)
                self.endpoints |= by_id(each for each in self._all() if asked_for(each) == name)

    def delete(self) -> None:
        """Delete one of theirs."""
        for endpoint_id in self.chance.sample(sorted(self.endpoints), min(1, len(self.endpoints))):
            self._send("DELETE", f"Endpoint/{endpoint_id}/", None)
            if endpoint_id not in by_id(self._all()):
                del self.endpoints[endpoint_id]

    @contextmanager
    def busy(self, file: LivingFile) -> Generator[None]:
        """Let them work beside the block."""
        is_over = Event()

        def work() -> None:
            self.delete()
            while not is_over.wait(0.3):
                self.make(file, 1)

        thread = Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _all(self) -> list[Endpoint]:
        endpoints: list[Endpoint] = state_of(self.account)["endpoints"]
        return endpoints

    def _send(self, method: str, path: str, body: dict[str, str] | None) -> None:
        send(self.account, method, path, body)


@frozen(kw_only=True)
class Result:
    """What came of it: what was done, and everything that is wrong, which should be nothing."""

    editions: int
    kills: int
    seconds: float
    rows: int
    gone: int
    strangers: int
    done: dict[str, int]
    wrong: list[str]


def run(loop: Loop, *, editions: int) -> Result:
    """Apply so many editions of a file, each killed once on the way, and look at the account after each."""
    begun, chance = time.monotonic(), random.Random(loop.seed)  # noqa: S311 - repeatable on purpose
    file = LivingFile(loop.folder / "users.csv", chance)
    file.hire(loop.rows)
    wrong: list[str] = []
    done: Counter[str] = Counter()
    kills = 0
    with run_sandbox(loop) as account:
        strangers = Strangers(account, chance, by_id(state_of(account)["endpoints"]))
        order = {**account, **order_of(loop, file.path, **OPTIONS, delete_limit=loop.rows)}
        for edition in range(editions):
            if edition:
                file.edit()
            file.write()
            kills += _kill(order, chance, STEPS if edition else FIRST_STEPS)
            strangers.make(file, 3)
            if edition and chance.random() < 1 / 2:  # it is edited before anybody goes on
                file.edit()
                file.write()
            with strangers.busy(file):
                last = life({**order, "step": None, "count": 0}, None)
            assert last is not None, "the last life was not to be killed"
            done.update(last["counts"])
            found = [] if last["status"] == 0 else [str(last)]
            found += _compare(file, strangers, read_endpoints(account))
            wrong += [f"edition {edition}: {each}" for each in found]
    return Result(
        editions=editions,
        kills=kills,
        seconds=time.monotonic() - begun,
        rows=len(file.people),
        gone=len(file.gone),
        strangers=len(strangers.endpoints),
        done=done,
        wrong=wrong,
    )


def _kill(order: dict[str, Any], chance: random.Random, steps: Sequence[str | None]) -> bool:
    """Let it live until one of the steps, or any moment; say whether it came to that."""
    step = chance.choice(steps)
    delay = chance.uniform(0.0, 1.0) if step is None else None
    count = chance.randint(1, 4) if step in SENDING else 1
    return life({**order, "step": step, "count": count}, delay) is None


def send(account: dict[str, str], method: str, path: str, body: dict[str, str] | None) -> Any:
    """Send a request as the account's owner; return what comes back, `None` if that is one of the faults."""
    url = f"{account['url']}/v1/Account/{account['auth_id']}/{path}"
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - loopback
    try:
        with opener(account).open(request) as answer:
            return json.load(answer)
    except (URLError, OSError, HTTPException, ValueError):
        return None


def read_endpoints(account: dict[str, str]) -> list[Endpoint]:
    """Return all that the account has, each as it is shown by itself: with the MD5 of its password."""
    shown: list[Endpoint] = []
    for endpoint in state_of(account)["endpoints"]:
        path = f"Endpoint/{endpoint['endpoint_id']}/"
        answers = (send(account, "GET", path, None) for _ in range(20))
        password = next(answer["password"] for answer in answers if answer and "password" in answer)
        shown.append(endpoint | {"password": password})
    return shown


def by_id(endpoints: Iterable[Endpoint]) -> dict[str, Endpoint]:
    """Return endpoints by their ids."""
    return {each["endpoint_id"]: each for each in endpoints}


def asked_for(endpoint: Endpoint) -> str:
    """Return the username that was asked for."""
    return str(endpoint["username"])[:-DIGITS]


def _compare(file: LivingFile, strangers: Strangers, endpoints: list[Endpoint]) -> list[str]:
    """Return what is not as the file wants it; remember which endpoint is whose."""
    wrong: list[str] = []
    owned: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        if asked_for(endpoint) in file.names:
            owned.setdefault(asked_for(endpoint), []).append(endpoint)
    for person in file.people.values():
        mine = owned.pop(person.username, [])
        wrong += [f"{person.key}: {each}" for each in _faults(person, file.known, mine)]
    wrong += [f"{username} is nobody's" for username in owned]
    return wrong + _touched(strangers.endpoints, by_id(endpoints), file)


def _faults(person: Person, known: dict[str, tuple[str, str]], mine: list[Endpoint]) -> list[str]:
    if len(mine) != 1:
        return [f"it has {len(mine)} endpoints"]
    (endpoint,) = mine
    before = known.get(person.key)
    known[person.key] = (person.username, endpoint["endpoint_id"])
    password = hashlib.md5(person.password.encode(), usedforsecurity=False).hexdigest()
    faults = {
        "it has another endpoint": before is not None
        and before[0] == person.username
        and before != known[person.key],
        f"its alias is {endpoint['alias']!r}, not {person.alias!r}": endpoint["alias"] != person.alias,
        f"its application is not {person.app_id}": bool(person.app_id)
        and f"/{person.app_id}/" not in str(endpoint["application"]),
        "it has another password": endpoint["password"] != password,
    }
    return [fault for fault, is_there in faults.items() if is_there]


def _touched(before: dict[str, Endpoint], after: dict[str, Endpoint], file: LivingFile) -> list[str]:
    """Return which endpoints of others are not as those left them."""
    theirs = {key: each for key, each in after.items() if asked_for(each) not in file.names}
    shown = {key: {name: each[name] for name in each if name != "password"} for key, each in theirs.items()}
    return [
        f"{before.get(key) or shown.get(key)} is a stranger's and was touched"
        for key in before | shown
        if before.get(key) != shown.get(key)
    ]


def main(rows: int = 1_000, editions: int = 20, seed: int = 1) -> None:
    """Run it in a folder that vanishes and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        result = run(Loop(rows=rows, kills=0, seed=seed, folder=Path(folder)), editions=editions)
    for name, value in asdict(result).items():
        print(f"{name}: {value}")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
