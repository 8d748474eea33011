"""The command `plivo-endpoints`, also `python -m plivo_endpoints`."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

_INTERRUPTED: Final = 130  # as in `cli.errors`, which may not be importable


def main() -> NoReturn:
    """Run the command line, or name the extra that it needs."""
    try:
        from plivo_endpoints.cli.main import run  # noqa: PLC0415 - the extra `cli` may be missing
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        sys.exit("plivo-endpoints: the command line needs an extra: pip install 'plivo-endpoints[cli]'")
    run()


if __name__ == "__main__":
    main()
