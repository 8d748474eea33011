"""Pictures of terminals are self-contained."""

from __future__ import annotations

from tools.site.terminal import draw


def test_a_terminal() -> None:
    """Its text is in it, in its colours, and nothing is loaded from elsewhere."""
    picture = draw("$ plivo-endpoints\n\x1b[32mcreated\x1b[0m 600\n\n\n")
    assert "created" in picture
    assert "plivo-endpoints" in picture
    assert [] == [part for part in ("@font-face", "https://cdn", "url(https") if part in picture]
