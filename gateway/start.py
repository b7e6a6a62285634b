"""From a path to a running daemon: settings, what is wrong with them, then `gateway.daemon`."""

import sys
from pathlib import Path

from gateway.config import load
from gateway.errors import Trouble


def start(path: str) -> int:
    """Run the daemon with the settings of `path`. The exit status is that of the command line's table."""
    try:
        loaded = load(Path(path))
        if loaded.problems:
            print(loaded.report(), file=sys.stderr)
        from gateway.daemon import run

        return run(loaded.settings)
    except Trouble as trouble:
        print(f"storekeeper: {trouble}", file=sys.stderr)
        return trouble.exit_status
    except KeyboardInterrupt:
        return 130
