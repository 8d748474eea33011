"""The checks of the site find what is wrong with a page; language models get an index of its pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.site import llms
from tools.site.check import find_problems

ROOT = Path(__file__).parents[2]
PAGE = '<title>A page</title><h1 id="top">A page</h1>'


def problems(tmp_path: Path, body: str) -> list[str]:
    """Return what is wrong with a page that contains more, beside another page and a picture."""
    (tmp_path / "page").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "page" / "index.html").write_text(PAGE + body)
    (tmp_path / "other" / "index.html").write_text(PAGE)
    (tmp_path / "picture.png").write_bytes(b"")
    return find_problems(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        '<a href="#top">Up</a>',
        '<a href="../other/">Other</a>',
        '<a href="../other/#top">Its heading</a>',
        '<a href="/other/">From the root, as 404.html has it</a>',
        '<a href="https://www.plivo.com/docs/">Another host</a>',
        '<a href="mailto:somebody@example.com">Mail</a>',
        '<img src="../picture.png" alt="A picture">',
    ],
)
def test_a_page_without_problems(tmp_path: Path, body: str) -> None:
    """Links to what is there, and to elsewhere, are fine."""
    assert [] == problems(tmp_path, body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="#below">Down</a>', "#below leads to a heading that is not there"),
        ('<a href="../other/#no">Other</a>', "../other/#no leads to a heading that is not there"),
        ('<a href="docs/other/">Other</a>', "docs/other/ leads nowhere"),
        ('<a href="../other.md">Other</a>', "../other.md leads nowhere"),
        ('<img src="../lost.png" alt="A picture">', "../lost.png leads nowhere"),
        ('<img src="../picture.png">', "1 images have no alternative text"),
        ("<h1>Another</h1>", "has 2 main headings (h1) instead of one"),
        (
            '<script src="https://cdn.example.com/a.js"></script>',
            "loads https://cdn.example.com/a.js from another host",
        ),
    ],
)
def test_a_page_with_a_problem(tmp_path: Path, body: str, problem: str) -> None:
    """It is named, with the page's path."""
    assert [f"page/index.html: {problem}"] == problems(tmp_path, body)


def test_a_page_without_a_title(tmp_path: Path) -> None:
    """It is found."""
    (tmp_path / "page.html").write_text("<title></title><h1>A page</h1>")
    assert ["page.html: has no title"] == find_problems(tmp_path)


@pytest.fixture
def documentation(tmp_path: Path) -> Path:
    """A small documentation's folder."""
    (tmp_path / "docs" / "guides").mkdir(parents=True)
    (tmp_path / "zensical.toml").write_text(
        '[project]\nsite_name = "Phones"\nsite_description = "For phones"\ndocs_dir = "docs"\n'
        'nav = [{ "Home" = "index.md" }, { "Guides" = ["guides/one.md", "guides/changes.md"] }]\n'
    )
    (tmp_path / "docs" / "index.md").write_text(
        "# Home\n\n```sh\ndial\n```\n\nSee\n[the guide](guides/one.md).\n"
    )
    (tmp_path / "docs" / "guides" / "one.md").write_text(
        "# One\n\n[Home](../index.md), [a part](#part), ![it](../it.png)\n\n"
        "::: phones.Phone\n    options:\n      heading_level: 3\n"
    )
    (tmp_path / "docs" / "guides" / "changes.md").write_text('<!-- included -->\n--8<-- "CHANGES.md"\n')
    (tmp_path / "CHANGES.md").write_text("# Changes\n\nAll of them.\n")
    return tmp_path


def test_the_index(documentation: Path) -> None:
    """Each page with its heading and its first paragraph, in the order of the navigation."""
    assert llms.index(documentation) == (
        "# Phones\n\n> For phones\n\n## Start\n\n- [Home](./): See the guide.\n\n"
        "## Guides\n\n- [One](guides/one/): Home, a part, it\n- [Changes](guides/changes/): All of them.\n"
    )


def test_the_documentation_itself() -> None:
    """Each page has something to say in the index."""
    lines = [line for line in llms.index(ROOT).splitlines() if line.startswith("- ")]
    assert [] == [line for line in lines if "): " not in line]
