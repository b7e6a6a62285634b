"""`storekeeper run`: becomes `python -m gateway run`, so that children never re-import a console script."""

import os
import sys
from pathlib import Path

import click

from gateway.cli import config_option, examples
from gateway.config import find


@click.command(
    short_help="The daemon, in the foreground.",
    epilog=examples("storekeeper run", "storekeeper run --config /etc/storekeeper/config.toml"),
)
@config_option
def run(config: Path | None) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C."""
    path = find(config)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "gateway", "run", "-c", str(path)])
