"""The documentation for language models: `llms.txt`, an index of the pages.

Links are relative, as the site's address is not known. See https://llmstxt.org for the form.
"""

from __future__ import annotations

import re
import tomllib
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Nav: TypeAlias = "list[str | dict[str, str | _Nav]]"

_INCLUDED: Final = re.compile(r'^--8<-- "(?P<path>[^"]+)"$', re.MULTILINE)
_COMMENT: Final = re.compile(r"<!--.*?-->\n*", re.DOTALL)
_CODE: Final = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_NOT_PROSE: Final = ("#", "!", "|", ":::", "<", "- ")


@frozen(kw_only=True)
class _Page:
    section: str
    path: str
    text: str

    @property
    def address(self) -> str:
        """Its place in the site."""
        return "./" if self.path == "index.md" else f"{self.path.removesuffix('.md')}/"

    @property
    def title(self) -> str:
        """Its heading."""
        found = re.search(r"^# (.+)$", self.text, re.MULTILINE)
        return found[1] if found else self.path

    @property
    def summary(self) -> str:
        """The first paragraph, without links, in one line."""
        paragraphs = re.split(r"\n{2,}", _CODE.sub("", self.text))
        prose = next((each for each in paragraphs if each and not each.startswith(_NOT_PROSE)), "")
        return " ".join(re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", prose).split())


def index(root: Path) -> str:
    """Return `llms.txt`: each page that `zensical.toml` in the root folder lists, and how it begins."""
    config = _config(root)
    lines = [f"# {config['site_name']}\n\n> {config['site_description']}\n"]
    for section, pages in groupby(_pages(root), lambda page: page.section):
        lines += [f"\n## {section}\n\n", *map(_line, pages)]
    return "".join(lines)


def _config(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "zensical.toml").read_text("utf-8"))["project"]
    return project


def _pages(root: Path) -> Iterator[_Page]:
    config = _config(root)
    for section, path in _paths(config["nav"], "Start"):
        yield _Page(section=section, path=path, text=_read(root / config["docs_dir"] / path, root))


def _paths(nav: _Nav, section: str) -> Iterator[tuple[str, str]]:
    for item in nav:
        if isinstance(item, str):
            yield section, item
            continue
        for name, inside in item.items():
            yield from _paths(inside, name) if isinstance(inside, list) else [(section, inside)]


def _read(path: Path, root: Path) -> str:
    text = path.read_text("utf-8")
    return _INCLUDED.sub(lambda found: (root / found["path"]).read_text("utf-8"), _COMMENT.sub("", text))


def _line(page: _Page) -> str:
    summary = f": {page.summary}" if page.summary else ""
    return f"- [{page.title}]({page.address}){summary}\n"
