"""Execute the notebook beside this file in a kernel, and print what its cells show."""

from __future__ import annotations

import warnings
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

warnings.simplefilter("ignore")  # it is the kernel's that count: they show in its cells
notebook = nbformat.read("notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
# Over TCP the kernel would warn that others on this machine could listen.
kernel = AsyncKernelManager(transport="ipc", ip=str(Path.home() / "kernel"))
NotebookClient(notebook, km=kernel, timeout=60).execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output["data"]["text/plain"] if "data" in output else output["text"])
