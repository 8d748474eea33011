"""The notebook among the examples: what is saved in it, and that it still runs so."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.examples.conftest import EXAMPLES
from tests.services.service import PROGRAMS, skip_without

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.service import Service

NOTEBOOK: Final = EXAMPLES / "notebook.ipynb"
TIME: Final = r"datetime\.datetime\([\d, ]+, tzinfo=datetime\.timezone\.utc\)"  # it leaves out no seconds


def code_cells() -> list[dict[str, Any]]:
    """Return the saved cells with code."""
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def shape_of(text: str) -> list[str]:
    """Return lines without what differs from run to run: ids, times, and random names."""
    return re.sub(rf"{TIME}|MA[0-9A-Z]{{18}}|[0-9a-f-]{{36}}|\d+", "0", text).split("\n")


def saved_text() -> str:
    """Return what the saved notebook shows below its cells."""
    outputs = [output for cell in code_cells() for output in cell["outputs"]]
    texts = [output["data"]["text/plain"] if "data" in output else output["text"] for output in outputs]
    return "\n".join("".join(text) for text in texts)


def test_it_was_saved_after_a_run_from_top_to_bottom() -> None:
    """Its cells are numbered in order, and no output has a path of the machine or an error."""
    cells = code_cells()
    assert list(range(1, len(cells) + 1)) == [cell["execution_count"] for cell in cells]
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert {"execute_result", "stream"} == kinds
    assert re.search(r"(?<![\w.:/])/(home|root|tmp|Users)/", NOTEBOOK.read_text("utf-8")) is None


@pytest.mark.slow
def test_it_runs(start: Callable[..., Service]) -> None:
    """Every cell succeeds, and shows what is saved, but for ids and times."""
    skip_without("nbclient", "ipykernel")
    run = start(".", str(PROGRAMS / "execute_notebook.py"))
    assert (0, []) == (run.wait(), run.complaints())
    # On a busy machine the kernel may remark, at its end, that who started it has gone.
    shown = "\n".join(line for line in run.output.splitlines() if not line.startswith("[IPKernelApp]"))
    assert [line for line in shape_of(saved_text()) if line] == [line for line in shape_of(shown) if line]
