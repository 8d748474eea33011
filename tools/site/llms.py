"""The documentation for language models: `llms.txt`, an index, and `llms-full.txt`, all pages.

Links are relative, as the site's address is not known. See https://llmstxt.org for the form.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen
from griffe import Alias, Attribute, Class, Function, GriffeLoader, Object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Nav: TypeAlias = "list[str | dict[str, str | _Nav]]"

_INCLUDED: Final = re.compile(r'^--8<-- "(?P<path>[^"]+)"$', re.MULTILINE)
_DOCUMENTED: Final = re.compile(
    r"^::: (?P<name>(?P<package>\w+)[\w.]*)$(?P<options>(?:\n {4}.*)*)", re.MULTILINE
)
_COMMENT: Final = re.compile(r"<!--.*?-->\n*", re.DOTALL)
_CODE: Final = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<path>[\w./-]*?)(?P<anchor>#[\w.-]+)?\)")
_NOT_PROSE: Final = ("#", "!", "|", ":::", "<", "- ")


@frozen(kw_only=True)
class _Page:
    section: str
    path: str
    text: str

    @property
    def address(self) -> str:
        """Its place in the site."""
        return _address(self.path)

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


def all_pages(root: Path) -> str:
    """Return `llms-full.txt`: the text of all pages, with the docstrings."""
    loader = GriffeLoader(search_paths=[root])
    pages = list(_pages(root))
    for package in {found["package"] for page in pages for found in _DOCUMENTED.finditer(page.text)}:
        loader.load(package)
    return "\n\n".join(_whole(page, loader) for page in pages) + "\n"


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


def _address(path: str) -> str:
    return "./" if path == "index.md" else f"{path.removesuffix('.md')}/"


def _whole(page: _Page, loader: GriffeLoader) -> str:
    """Return a page's text, with what mkdocstrings would insert, and links from the site's root."""
    folder = posixpath.dirname(page.path)

    def lead_on(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found["path"])) if found["path"] else page.path
        place = _address(target) if target.endswith(".md") else target
        return f"{found['text']}({place}{found['anchor'] or ''})"

    text = _LINK.sub(lead_on, page.text)
    return _DOCUMENTED.sub(
        lambda found: _documentation(loader, found["name"], found["options"]), text
    ).strip()


def _documentation(loader: GriffeLoader, name: str, options: str) -> str:
    """Return what mkdocstrings shows of a public name, and of the public members of a class."""
    documented = loader.modules_collection[name]
    parts = [_entry(name, documented, with_docstring="show_docstring_description: false" not in options)]
    if documented.is_class and "members: false" not in options:
        parts += [
            _entry(f"{name}.{member}", inside)
            for member, inside in documented.members.items()
            if inside.docstring and not member.startswith("_")
        ]
    return "\n\n".join(parts)


def _entry(name: str, documented: Alias | Object, *, with_docstring: bool = True) -> str:
    docstring = documented.docstring.value if documented.docstring and with_docstring else ""
    return f"## {name}\n\n```python\n{_code(name, documented)}\n```\n\n{docstring}".rstrip()


def _code(name: str, documented: Alias | Object) -> str:
    """Return a function's or class's signature, or an attribute with its value or type."""
    target = documented.final_target if isinstance(documented, Alias) else documented
    if isinstance(target, Attribute):
        return f"{name} = {target.value}" if target.value else f"{name}: {target.annotation}"
    if isinstance(target, Function):
        return ("async " * ("async" in target.labels)) + target.signature(return_type=True, name=name)
    return target.signature(name=name) if isinstance(target, Class) and "__init__" in target.members else name
