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


@backoffice.command(
    epilog=examples(
        "storekeeper backoffice factor footfall.csv",
        "storekeeper backoffice factor temperature.csv --ahead --to corner/gw1",
    )
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="What it is called; else the name of the file.")
@click.option(
    "--ahead/--observed", default=False, help="Its days to come are known; else only those past are."
)
@click.option("--to", multiple=True, metavar="STORE/GATEWAY", help="Only to these; else to all.")
@click.option("--wait-s", default=30.0, show_default=True, help="For the gateways' answers.")
@click.option("--dry-run", is_flag=True, help="Say what is wrong; send nothing.")
@config_option
@click.pass_obj
def factor(
    outer: Path | None,
    file: Path,
    name: str | None,
    ahead: bool,
    to: tuple[str, ...],
    wait_s: float,
    dry_run: bool,
    config: Path | None,
) -> None:
    """Send a daily series to the gateways: a CSV FILE with the columns day and value.

    Footfall, the weather to come, events: each gateway's forecast uses it only where that helps there. One that is
    away gets it when it is back.
    """
    words = ["--factor", str(file), "--wait-s", str(wait_s)]
    words += ["--name", name] if name else []
    words += ["--ahead"] if ahead else []
    words += ["--dry-run"] if dry_run else []
    _become(config or outer, *words, *(word for one in to for word in ("--to", one)))


def _become(config: Path | None, *words: str) -> None:
    chosen = ["-c", str(config)] if config else []
    os.execv(sys.executable, [sys.executable, "-m", "backoffice", *chosen, *words])
