"""What is wrong with a built site: links that lead nowhere, and what screen readers would miss."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ADDRESSES: Final = {"href", "src"}
_LOADED: Final = {"img", "link", "script", "source"}


class _Page(HTMLParser):
    """What is of interest in an HTML file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.headings = 0
        self.images_without_text = 0
        self.title = ""
        self._in_title = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, links, main headings and images without a text."""
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        addresses = [value for name, value in given.items() if name in _ADDRESSES]
        self.links += addresses
        if tag in _LOADED:
            self.loaded += addresses
        self.headings += tag == "h1"
        self.images_without_text += tag == "img" and not given.get("alt")
        self._in_title = tag == "title" and not self.title

    def handle_data(self, data: str) -> None:
        """Note the title."""
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's signature
        """Note the title's end."""
        self._in_title = False


def find_problems(site: Path) -> list[str]:
    """Return what is wrong in the HTML files below a folder, a line each.

    Links to other hosts are not followed, but a page must load nothing from them.
    """
    read = cache(_Page)
    return [
        f"{path.relative_to(site)}: {problem}"
        for path in sorted(site.rglob("*.html"))
        for problem in (*_flaws(read(path)), *_broken_links(read, read(path), site))
    ]


def _flaws(page: _Page) -> Iterator[str]:
    if not page.title.strip():
        yield "has no title"
    if page.headings != 1:
        yield f"has {page.headings} main headings (h1) instead of one"
    if page.images_without_text:
        yield f"{page.images_without_text} images have no alternative text"
    for address in page.loaded:
        if urlsplit(address).netloc:
            yield f"loads {address} from another host"


def _broken_links(read: Callable[[Path], _Page], page: _Page, site: Path) -> Iterator[str]:
    for address in dict.fromkeys(page.links):
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = _resolve(unquote(parts.path), page.path, site)
        if not target.is_file():
            yield f"{address} leads nowhere"
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).ids:
            yield f"{address} leads to a heading that is not there"


def _resolve(path: str, page: Path, site: Path) -> Path:
    if not path:
        return page
    target = site / path[1:] if path.startswith("/") else page.parent / path
    return (target / "index.html" if target.is_dir() else target).resolve()
