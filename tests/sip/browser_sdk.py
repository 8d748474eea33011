"""Where Plivo's browser SDK is, and when the tests that need it are skipped.

To install it, run `npm install --ignore-scripts plivo-browser-sdk` anywhere, and set NODE_PATH to that
node_modules.
"""

import os
from pathlib import Path

import pytest

from tests.browser import CHROMIUM

_SDKS = [
    Path(folder, "plivo-browser-sdk", "dist", "plivobrowsersdk.js")
    for folder in os.environ.get("NODE_PATH", "").split(os.pathsep)
    if folder
]
SDK = next((path for path in _SDKS if path.is_file()), None)

NEEDS_SDK = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NEEDS CHROMIUM: the browser SDK was not tested"),
    pytest.mark.skipif(SDK is None, reason="NEEDS plivo-browser-sdk in NODE_PATH: it was not tested"),
]
