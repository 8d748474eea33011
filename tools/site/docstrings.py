"""What mkdocstrings inserts into a page, as Markdown: signatures and docstrings, read from the source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from griffe import Alias, Attribute, Class, Function, GriffeLoader, Object

if TYPE_CHECKING:
    from pathlib import Path

_DOCUMENTED: Final = re.compile(
    r"^::: (?P<name>(?P<package>\w+)[\w.]*)$(?P<options>(?:\n {4}.*)*)", re.MULTILINE
)


class Docstrings:
    """Those of the packages in a folder."""

    def __init__(self, root: Path) -> None:
        self._loader = GriffeLoader(search_paths=[root])

    def insert(self, text: str) -> str:
        """Replace each line that names something by its documentation."""
        return _DOCUMENTED.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        if found["package"] not in self._loader.modules_collection:
            self._loader.load(found["package"])
        documented = self._loader.modules_collection[found["name"]]
        with_docstring = "show_docstring_description: false" not in found["options"]
        parts = [_entry(found["name"], documented, with_docstring=with_docstring)]
        if documented.is_class and "members: false" not in found["options"]:
            parts += [
                _entry(f"{found['name']}.{name}", member)
                for name, member in documented.members.items()
                if member.docstring and not name.startswith("_")
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
        signature = target.signature(return_type=True, name=name)
        return f"async {signature}" if "async" in target.labels else signature
    return target.signature(name=name) if isinstance(target, Class) and "__init__" in target.members else name
