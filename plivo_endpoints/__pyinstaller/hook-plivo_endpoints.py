"""What a program that PyInstaller makes needs beside this package's compiled modules."""

from pathlib import Path

_SANDBOX = Path(__file__).parent.parent / "sandbox"

datas = [(str(_SANDBOX / "page.html"), "plivo_endpoints/sandbox")]
# The demo shows its own source as it runs.
module_collection_mode = {"plivo_endpoints.cli.demo.script": "pyz+py"}
