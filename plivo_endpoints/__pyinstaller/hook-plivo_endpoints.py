"""What a program that PyInstaller makes needs beside this package's compiled modules."""

from pathlib import Path

_SANDBOX = Path(__file__).parent.parent / "sandbox"

datas = [(str(_SANDBOX / name), "plivo_endpoints/sandbox") for name in ("page.html", "openapi.json")]
# The demo shows its own source as it runs.
module_collection_mode = {"plivo_endpoints.cli.demo.script": "pyz+py"}
