"""The tasks for Procrastinate, on a real PostgreSQL: in this process, and as the example starts them."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import procrastinate
import pytest

from plivo_endpoints import AsyncClient, InvalidArgumentError, RateLimit
from plivo_endpoints.provisioning import AsyncFleet, Row
from plivo_endpoints.provisioning.procrastinate import fleet_blueprint
from plivo_endpoints.sandbox import Fault
from tests.postgres import PASSWORD
from tests.services.service import environment_of, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from plivo_endpoints.sandbox import Sandbox
    from tests.postgres import PostgresServer

KEY: Final = "a master key that nobody knows"
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "procrastinate"
PROGRAM: Final = (sys.executable, "-m", "procrastinate", "--app=app.app")


class Queue:
    """An app with one worker at a time, which runs in the test's own loop."""

    def __init__(self, server: PostgresServer, sandbox: Sandbox) -> None:
        self.url = server.new_database()
        self.state = f"{self.url}#phones"
        self._server = server
        self._sandbox = sandbox
        self._connector = procrastinate.PsycopgConnector(conninfo=self.url)
        self.app = procrastinate.App(connector=self._connector)
        self.limit: RateLimit | None = None

    def client(self) -> AsyncClient:
        """Return a client of the sandbox."""
        sandbox = self._sandbox
        return AsyncClient(
            sandbox.auth_id, sandbox.auth_token, base_url=sandbox.base_url, rate_limit=self.limit
        )

    async def open(self, **options: Any) -> None:
        """Create the tables of the queue and add the tasks; no clock defers them."""
        settings: dict[str, Any] = {"client": self.client, "master_key": KEY, "settle": 0.2, **options}
        self.app.add_tasks_from(fleet_blueprint(self.state, **settings), namespace="plivo")
        self.app.periodic_registry.periodic_tasks.clear()
        await self.app.open_async()
        await self.app.schema_manager.apply_schema_async()

    async def close(self) -> None:
        """Close its connections."""
        await self.app.close_async()

    @asynccontextmanager
    async def fleet(self) -> AsyncGenerator[AsyncFleet]:
        """Give the fleet, with a client of its own."""
        async with self.client() as client:
            yield AsyncFleet(client, self.state, master_key=KEY)

    async def enqueue(self, rows: int) -> None:
        """Put so many rows into the state."""
        async with self.fleet() as fleet:
            await fleet.enqueue(rows_without_password(rows))

    async def run(self, *names: str) -> None:
        """Defer these tasks, and let a worker run until no job is left that is due."""
        for name in names:
            arguments = {} if name == "shift" else {"timestamp": 0}
            await self.app.configure_task(f"plivo:{name}").defer_async(**arguments)
        async with asyncio.timeout(60):  # or a chain of shifts without end would keep the worker
            await self.app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement in the database."""
        return self._server.execute(statement, self.url.rsplit("/", 1)[1])

    def jobs(self, name: str) -> list[str]:
        """Return the status of each job of a task."""
        rows = self.execute("SELECT task_name, status::text FROM procrastinate_jobs ORDER BY id")
        return [status for task, status in rows if task == f"plivo:{name}"]

    def is_done(self) -> bool:
        """Whether the run has ended."""
        return self.execute("SELECT value FROM plivo_facts WHERE name = 'done'") == [("yes",)]

    def all_jobs(self) -> str:
        """Return all that the queue's tables contain."""
        tables = ("procrastinate_jobs", "procrastinate_events", "procrastinate_periodic_defers")
        return "\n".join(str(row) for table in tables for row in self.execute(f"SELECT * FROM {table}"))  # noqa: S608


@pytest.fixture
async def queue(postgres: PostgresServer, sandbox: Sandbox) -> AsyncIterator[Queue]:
    """Give a queue without tasks."""
    made = Queue(postgres, sandbox)
    yield made
    await made.close()


def rows_without_password(count: int) -> list[Row]:
    """Return so many rows, whose passwords are derived."""
    return [Row(key=f"key-{n}", username=f"user{n}x", alias=f"row-{n}") for n in range(count)]


def once(count: int) -> dict[str, int]:
    """Return what was created if each row was created once."""
    return {f"row-{n}": 1 for n in range(count)}


def secrets_in(text: str, sandbox: Sandbox) -> list[str]:
    """Return which secrets a text contains."""
    return [secret for secret in (KEY, PASSWORD, quote(PASSWORD), sandbox.auth_token) if secret in text]


def created(sandbox: Sandbox) -> dict[str, int]:
    """Return how many endpoints there are with each alias."""
    aliases = [endpoint.alias for endpoint in sandbox.endpoints.values()]
    return {alias: aliases.count(alias) for alias in aliases}


def test_arguments_are_checked() -> None:
    """Before any worker starts."""
    wrong: dict[str, dict[str, Any]] = {
        "state": {"state": "fleet.db"},
        "shift": {"shift": 120.0, "settle": 120.0},
        "settle": {"settle": -1.0},
        "audit": {"audit": "at night"},
        "client": {"client": 5},
        "master_key": {"master_key": "short"},
    }
    for field, options in wrong.items():
        given: dict[str, Any] = {"state": "postgresql://localhost/app#phones", **options}
        with pytest.raises(InvalidArgumentError) as raised:
            fleet_blueprint(**given)
        assert raised.value.field == field
    fleet_blueprint("postgresql://localhost/app#phones", shift=121.0, settle=120.0)


def test_procrastinate_is_an_extra() -> None:
    """Without it, the package works, and the module says what to install."""
    code = (
        "import sys; sys.modules['procrastinate'] = None\n"
        "import plivo_endpoints.provisioning\n"
        "import plivo_endpoints.provisioning.procrastinate"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    expected = "ImportError: needs Procrastinate: pip install 'plivo-endpoints[procrastinate]'"
    assert ended.stderr.splitlines()[-1] == expected


async def test_nothing_happens_without_a_fleet(queue: Queue, sandbox: Sandbox) -> None:
    """No shift is deferred, no table created, no request sent."""
    await queue.open()
    await queue.run("watch", "audit", "shift")
    assert (queue.jobs("watch"), queue.jobs("audit"), queue.jobs("shift")) == (["succeeded"],) * 3
    assert queue.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'plivo%'") == []
    assert sandbox.requests == ()


@pytest.mark.slow
async def test_a_source_is_carried_out(
    queue: Queue, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The watch notices it, one shift does it all, and nothing is deferred afterwards.

    An audit that is due before that sends nothing.
    """
    await queue.open()
    await queue.enqueue(20)
    await queue.run("audit")
    assert (queue.jobs("audit"), sandbox.requests) == (["succeeded"], ())
    with caplog.at_level(logging.INFO, "plivo_endpoints"):
        await queue.run("watch")
    assert queue.is_done()
    assert created(sandbox) == once(20)
    await queue.run("watch")
    assert queue.jobs("shift") == ["succeeded"]
    assert "has ended: created: 20" in caplog.text


@pytest.mark.slow
async def test_a_run_takes_several_shifts(queue: Queue, sandbox: Sandbox) -> None:
    """Each defers the next one, until the run has ended."""
    queue.limit = RateLimit(10, 1.0)
    await queue.open(shift=1.0)
    await queue.enqueue(30)
    await queue.run("shift")
    assert queue.is_done()
    assert created(sandbox) == once(30)
    assert len(queue.jobs("shift")) >= 3
    assert set(queue.jobs("shift")) == {"succeeded"}


@pytest.mark.slow
async def test_a_shift_begins_when_it_has_planned(queue: Queue, sandbox: Sandbox) -> None:
    """Even if that takes longer than a shift, which would otherwise end before its first create."""
    await queue.open(shift=1.5)
    await queue.enqueue(3)
    sandbox.inject(Fault(applied=True, latency=3.0), method="GET")
    await queue.run("shift")
    assert queue.is_done()
    assert queue.jobs("shift") == ["succeeded"]


@pytest.mark.slow
async def test_a_fleet_with_a_worker_is_left_alone(queue: Queue) -> None:
    """The watch defers no shift, and the audit waits for another night, while any process works on it."""
    queue.limit = RateLimit(10, 1.0)
    await queue.open()
    await queue.enqueue(20)
    async with queue.fleet() as fleet, fleet.work(settle=0.2) as run:
        await queue.run("watch", "audit")
        assert queue.jobs("shift") == []
        assert run.progress.phase != "done"
        assert queue.jobs("audit") == ["succeeded"]


@pytest.mark.slow
async def test_a_shift_that_failed_is_followed_by_a_pause(
    queue: Queue, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is due in 5 minutes, and the watch defers none before that; the log has the reason."""
    await queue.open(master_key=f"not {KEY}")
    await queue.enqueue(3)
    with caplog.at_level(logging.DEBUG):
        await queue.run("shift", "watch")
    assert (queue.jobs("shift"), queue.jobs("watch")) == (["failed", "todo"], ["succeeded"])
    ((due,),) = queue.execute("SELECT scheduled_at - now() FROM procrastinate_jobs WHERE status = 'todo'")
    assert 280 < due.total_seconds() <= 300
    assert created(sandbox) == {}
    assert "StaleError: the master key (PLIVO_PROVISION_KEY) is not the one" in caplog.text
    assert secrets_in(caplog.text + queue.all_jobs(), sandbox) == []


@pytest.mark.slow
async def test_the_audit_warns(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    """Only if there is something that a person must see: here, an endpoint that somebody else created."""
    await queue.open()
    await queue.enqueue(2)
    await queue.run("shift", "audit")
    assert caplog.text == ""
    async with queue.client() as client:
        await client.endpoints.create(username="user1x", password="secret-1", alias="row-1")
    await queue.run("audit")
    (warning,) = [each for each in caplog.records if each.name == "plivo_endpoints"]
    assert warning.levelname == "WARNING"
    assert warning.message.endswith("#phones has ended: created: 2, duplicates: 1")
    assert queue.jobs("audit") == ["succeeded"] * 2


class Example:
    """The example, with its workers as processes."""

    def __init__(self, queue: Queue, sandbox: Sandbox, folder: Path) -> None:
        self.folder = folder / "example"
        shutil.copytree(EXAMPLE, self.folder)
        self._queue = queue
        self._environment = environment_of(
            sandbox,
            DATABASE_URL=queue.url,
            PLIVO_PROVISION_KEY=KEY,
            SETTLE="1",
            PROCRASTINATE_LOG_LEVEL="debug",
            HOME=str(folder),
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        )
        self._begun: list[subprocess.Popen[bytes]] = []

    @property
    def output(self) -> str:
        """What all programs have written."""
        return "".join(path.read_text() for path in self.folder.glob("output-*"))

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program."""
        with (self.folder / f"output-{len(self._begun)}").open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self.folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._begun.append(process)
        return process

    def call(self, *words: str) -> None:
        """Run a command of Procrastinate to its end."""
        assert self.start(*PROGRAM, *words).wait() == 0, self.output

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.start(*PROGRAM, "worker", *options)

    def wait_for_creates(self, count: int) -> int:
        """Wait until so many creates were carried out, and return the process id of the fleet's worker."""
        finished = "SELECT count(*) FROM plivo_rows WHERE endpoint_id IS NOT NULL"
        wait_until(lambda: self._queue.execute(finished)[0][0] >= count)
        ((name,),) = self._queue.execute("SELECT name FROM plivo_workers")
        return int(name.split()[1])

    def end(self) -> None:
        """End all that still run."""
        for process in self._begun:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def served(postgres: PostgresServer, threaded_sandbox: Sandbox) -> Queue:
    """Give a queue whose workers are processes."""
    return Queue(postgres, threaded_sandbox)


@pytest.fixture
def example(served: Queue, threaded_sandbox: Sandbox, tmp_path: Path) -> Iterator[Example]:
    """Copy the example."""
    made = Example(served, threaded_sandbox, tmp_path)
    yield made
    made.end()
    sys.stdout.write(made.output)  # shown where the test failed


@pytest.fixture
def enqueued(example: Example, served: Queue) -> int:
    """Put rows into the state for which the quota needs some seconds, and return their number."""
    example.call("schema", "--apply")
    asyncio.run(served.enqueue(200))
    return 200


@pytest.mark.slow
def test_the_example(example: Example, served: Queue, threaded_sandbox: Sandbox) -> None:
    """Its README's commands carry out its file; the rate limit is shared, and no secret appears anywhere."""
    _, commands = re.findall(
        r"^```sh\n(.*?)^```$",
        (EXAMPLE / "README.md").read_text().partition("\n## Without Docker\n")[2],
        re.MULTILINE | re.DOTALL,
    )
    exports, *rest = commands.splitlines()
    assert re.findall(r"(\w+)=", exports) == ["DATABASE_URL", "PLIVO_PROVISION_KEY", "SETTLE"]
    shell = example.start("sh", "-ec", "\n".join(rest))
    wait_until(lambda: created(threaded_sandbox) == dict.fromkeys(["reception", "workshop", "library"], 1))
    wait_until(served.is_done)
    wait_until(lambda: served.jobs("shift") == ["succeeded"])
    os.killpg(shell.pid, signal.SIGTERM)
    shell.wait()
    assert f"/{threaded_sandbox.auth_id}/" in str(served.execute("SELECT account FROM plivo_paces"))
    assert secrets_in(example.output + served.all_jobs(), threaded_sandbox) == []
    assert "plivo:shift" in example.output
    assert "plivo:watch" in served.all_jobs()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(
    enqueued: int, example: Example, served: Queue, threaded_sandbox: Sandbox
) -> None:
    """Another one begins a shift at the next watch after the lease, and each row is created once."""
    workers = [example.start_worker(), example.start_worker()]
    killed = example.wait_for_creates(enqueued // 4)
    assert killed in {worker.pid for worker in workers}
    os.kill(killed, signal.SIGKILL)
    assert not served.is_done()
    wait_until(lambda: served.execute("SELECT name FROM plivo_workers WHERE lease_until > now()") == [])
    example.call("defer", "--ignore-already-enqueued", "plivo:watch", '{"timestamp": 0}')
    wait_until(served.is_done)
    assert created(threaded_sandbox) == once(enqueued)
    assert set(threaded_sandbox.applied_creates.values()) == {1}
    assert served.jobs("shift")[0] == "doing"  # so Procrastinate was not told


@pytest.mark.slow
def test_a_worker_that_is_stopped_leaves_at_once(
    enqueued: int, example: Example, served: Queue, threaded_sandbox: Sandbox
) -> None:
    """As at a deployment: no create is left without an answer, and the next shift need not wait."""
    threaded_sandbox.inject(Fault(applied=True, latency=0.5), rate=1.0, method="POST")  # some are in flight
    worker = example.start_worker("--shutdown-graceful-timeout=0.1")
    example.wait_for_creates(enqueued // 4)
    worker.terminate()
    assert worker.wait() == 0
    assert not served.is_done()
    assert served.execute("SELECT name FROM plivo_workers") == []
    assert served.execute("SELECT key FROM plivo_rows WHERE state IN ('intent', 'parked')") == []
    assert served.jobs("shift") == ["aborted"]
    example.start_worker()
    example.call("defer", "--ignore-already-enqueued", "plivo:watch", '{"timestamp": 0}')
    wait_until(served.is_done)
    assert created(threaded_sandbox) == once(enqueued)


@pytest.mark.slow
def test_what_compose_starts(example: Example, served: Queue) -> None:
    """Its file is well-formed; its command creates the tables unless they exist, and its worker starts."""
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    for _ in range(2):
        command = [word.replace("$$", "$") for word in services["schema"]["command"]]
        assert example.start(*command).wait() == 0
    assert served.all_jobs() == ""
    for name in ("worker-1", "worker-2"):
        assert example.start(*services[name]["command"], "--one-shot").wait() == 0
    assert example.output.count("Starting worker on queues plivo") == 2
