"""`storekeeper backoffice`: the other end of the feed. A program of its own; nothing of it is imported here."""

import os
import sys
from pathlib import Path

import click

from gateway.cli import config_option, examples, json_option


@click.group(
    invoke_without_command=True,
    epilog=examples("storekeeper backoffice -c backoffice.toml", "storekeeper backoffice stock --json"),
)
@config_option
@click.pass_context
def backoffice(ctx: click.Context, config: Path | None) -> None:
    """The other end: stock of all gateways, acknowledged end to end."""
    if ctx.invoked_subcommand is None:
        _become(config)
    ctx.obj = config


@backoffice.command(
    epilog=examples("storekeeper backoffice stock", "storekeeper backoffice -c backoffice.toml stock --json")
)
@config_option
@json_option
@click.pass_obj
def stock(outer: Path | None, config: Path | None, as_json: bool) -> None:
    """What every store holds, as the feed has told it."""
    _become(config or outer, "--stock", *(["--json"] if as_json else []))


@backoffice.command(
    epilog=examples(
        "storekeeper backoffice release corner/gw1",
        "storekeeper backoffice -c backoffice.toml release corner/gw1 --restored-to 812",
    )
)
@click.argument("gateway", metavar="STORE/GATEWAY")
@click.option("--restored-to", type=click.IntRange(0), metavar="SEQ", help="Set aside what came after it.")
@config_option
@click.pass_obj
def release(outer: Path | None, config: Path | None, gateway: str, restored_to: int | None) -> None:
    """Hear a gateway again that was put in quarantine, once a person has looked.

    One that was restored from a backup goes on from an older movement: `backup restore` says which. What came
    after it is set aside here, and no longer counts.
    """
    words = [] if restored_to is None else ["--restored-to", str(restored_to)]
    _become(config or outer, "--release", gateway, *words)


def _become(config: Path | None, *words: str) -> None:
    chosen = ["-c", str(config)] if config else []
    os.execv(sys.executable, [sys.executable, "-m", "backoffice", *chosen, *words])
