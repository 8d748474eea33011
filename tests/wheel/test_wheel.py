"""The wheel that `nox -s wheel` built, installed as its users install it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "WHEEL" not in os.environ, reason="needs a wheel: `nox -s wheel` builds and tests one"
    ),
]

ROOT: Final = Path(__file__).parents[2]
NAME: Final = "plivo-endpoints"
WHEEL: Final = Path(os.environ.get("WHEEL", ""))
DEPENDENCIES: Final = {"aiohttp", "anyio", "attrs", "cattrs"}
# What each extra adds, and code that needs it.
EXTRAS: Final = {
    "cli": ({"click", "rich"}, "import plivo_endpoints.cli.main"),
    "otel": ({"opentelemetry-api"}, "import plivo_endpoints.opentelemetry"),
    "postgres": ({"psycopg"}, "import psycopg; assert psycopg.pq.__impl__ == 'binary'"),
    "procrastinate": ({"procrastinate", "psycopg"}, "import plivo_endpoints.provisioning.procrastinate"),
    "speed": ({"uvloop"}, "import uvloop"),
}
DEVELOPMENT: Final = {"bench", "docs", "test", "test-slow"}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by itself."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)  # noqa: S603


class Environment:
    """A virtual environment with the wheel, or with the wheel and one of its extras."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.programs = folder / "bin"
        wanted = f"{NAME}[{extra}] @ {WHEEL.as_uri()}"
        for command in (
            ("venv", "--quiet", "--python", sys.executable, folder),
            ("pip", "install", "--quiet", "--python", folder, wanted),
        ):
            run("uv", *command, cwd=folder.parent).check_returncode()
        (libraries,) = folder.glob("lib/python*/site-packages")
        self.installed: dict[str, Distribution] = {
            canonicalize_name(each.name): each for each in distributions(path=[str(libraries)])
        }

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the sources."""
        return run(self.programs / program, *arguments, cwd=self.programs)

    def needs(self, name: str, extras: set[str]) -> Iterator[Requirement]:
        """Give what an installed distribution with these extras requires here."""
        for text in self.installed[name].requires or ():
            requirement = Requirement(text)
            if any(
                requirement.marker is None or requirement.marker.evaluate({"extra": extra})
                for extra in extras | {""}
            ):
                yield requirement

    def needed(self, name: str, extras: set[str]) -> set[str]:
        """Return the names of all that a distribution requires, directly or not."""
        found: dict[str, set[str]] = {}
        waiting = [(name, extras)]
        while waiting:
            each, asked = waiting.pop()
            if found.get(each, set()) >= asked and each in found:
                continue
            found[each] = found.get(each, set()) | asked
            waiting += [
                (canonicalize_name(requirement.name), set(requirement.extras))
                for requirement in self.needs(each, asked)
            ]
        return set(found)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel without an extra."""
    return Environment(tmp_path_factory.mktemp("alone") / "environment")


def test_it_brings_four_dependencies(alone: Environment) -> None:
    """Those, what they need, and nothing else; it can be imported from there."""
    assert DEPENDENCIES == {requirement.name for requirement in alone.needs(NAME, set())}
    assert alone.needed(NAME, set()) == set(alone.installed)
    version = alone.run("python", "-c", "import plivo_endpoints; print(plivo_endpoints.__version__)")
    assert f"{alone.installed[NAME].version}\n" == version.stdout


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_adds_what_it_is_for(extra: str, alone: Environment, tmp_path: Path) -> None:
    """Its libraries and what they need; what uses them works then, and not without."""
    added, code = EXTRAS[extra]
    environment = Environment(tmp_path / "environment", extra)
    direct = {each.name for each in environment.needs(NAME, {extra})} - {NAME}
    assert added <= set(environment.installed)
    assert environment.needed(NAME, {extra}) == set(environment.installed)
    assert (direct - DEPENDENCIES) <= added
    assert (0, "") == ((ran := environment.run("python", "-c", code)).returncode, ran.stderr)
    assert 1 == alone.run("python", "-c", code).returncode


def test_every_extra_is_known(alone: Environment) -> None:
    """An extra is either for users, and tested here, or for development."""
    assert {*EXTRAS, *DEVELOPMENT} == set(alone.installed[NAME].metadata.get_all("Provides-Extra", ()))


@pytest.mark.parametrize("command", [["plivo-endpoints"], ["python", "-m", "plivo_endpoints"]])
def test_the_command_names_the_extra_that_it_needs(command: list[str], alone: Environment) -> None:
    """Without the extra `cli` it says how to install that, and nothing else."""
    ran = alone.run(*command)
    assert 1 == ran.returncode
    assert (
        "plivo-endpoints: the command line needs an extra: pip install 'plivo-endpoints[cli]'\n" == ran.stderr
    )


def test_the_demo_starts_without_an_installation(tmp_path: Path) -> None:
    """As with `uvx`."""
    wanted = f"{NAME}[cli] @ {WHEEL.as_uri()}"
    ran = run("uv", "tool", "run", "--python", sys.executable, "--from", wanted, NAME, "demo", cwd=tmp_path)
    assert (0, "") == (ran.returncode, re.sub(r"(?m)^(Installed|Downloading| ).*\n", "", ran.stderr))
    assert "endpoints.create" in ran.stdout


def test_its_files() -> None:
    """The package with its types, the pytest plugin, and the metadata with the licence."""
    with ZipFile(WHEEL) as archive:
        names = archive.namelist()
    metadata = f"{WHEEL.name.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {"plivo_endpoints", "pytest_plivo_endpoints.py", metadata} == {
        name.partition("/")[0] for name in names
    }
    assert {"plivo_endpoints/py.typed", f"{metadata}/licenses/LICENSE"} <= set(names)


README: Final = '[a](docs/a.md#b) ![c](docs/c.png) <img src="docs/d.svg"> [e](https://e.example) [f](#f)\n'
AT_THE_TAG: Final = (
    "[a](https://g.example/h/blob/v1.2.3/docs/a.md#b) ![c](https://g.example/h/raw/v1.2.3/docs/c.png) "
    '<img src="https://g.example/h/raw/v1.2.3/docs/d.svg"> [e](https://e.example) [f](#f)\n'
)


@pytest.mark.parametrize(
    ("version", "urls", "expected"),
    [
        ("1.2.3", "", README),
        ("1.2.3", '[project.urls]\nRepository = "https://g.example/h"\n', AT_THE_TAG),
        (
            "1.2.3.dev0",
            '[project.urls]\nRepository = "https://g.example/h/"\n',
            AT_THE_TAG.replace("v1.2.3", "main"),
        ),
    ],
)
def test_the_readme_has_absolute_links_on_pypi(
    tmp_path: Path, version: str, urls: str, expected: str
) -> None:
    """If pyproject.toml has an address, relative links and images lead there; else they stay as they are."""
    for name in ("hatch_build.py", "pytest_plivo_endpoints.py", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = re.sub(r"^\[project\.urls\]\n(?:\w.*\n)*", "", project, flags=re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text(project + urls, encoding="utf-8")
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    (tmp_path / "plivo_endpoints").mkdir()
    (tmp_path / "plivo_endpoints" / "_version.py").write_text(f'__version__ = "{version}"', encoding="utf-8")
    run("uv", "build", "--quiet", "--wheel", cwd=tmp_path).check_returncode()
    with ZipFile(tmp_path / "dist" / f"plivo_endpoints-{version}-py3-none-any.whl") as archive:
        metadata = archive.read(f"plivo_endpoints-{version}.dist-info/METADATA").decode()
    assert expected == metadata.partition("\n\n")[2]
