"""Make the README's relative links absolute for the project's page on PyPI.

Hatchling calls this when it builds. The links lead to `Repository` of `[project.urls]` in pyproject.toml: to
the tag of the version, or to the branch `main` before a release. As long as no address is set, they stay
relative.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r'(\]\(|(?:href|src|srcset)=")(?!https?:|mailto:|#)([^)"\s]+)')
_IMAGES = (".gif", ".jpg", ".png", ".svg", ".webp")


class AbsoluteLinks(MetadataHookInterface):
    """Give the build the README as its `readme`, with absolute links."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, which pyproject.toml lists as dynamic."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        if repository := metadata.get("urls", {}).get("Repository"):
            version = runpy.run_path(str(root / "plivo_endpoints" / "_version.py"))["__version__"]
            text = _absolute(text, repository, "main" if "dev" in version else f"v{version}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def _absolute(text: str, repository: str, ref: str) -> str:
    def replace(link: re.Match[str]) -> str:
        before, target = link.groups()
        kind = "raw" if target.endswith(_IMAGES) else "blob"
        return f"{before}{repository.rstrip('/')}/{kind}/{ref}/{target}"

    return _RELATIVE_LINK.sub(replace, text)
