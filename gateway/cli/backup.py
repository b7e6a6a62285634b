"""`storekeeper backup`: proven copies of the ledger, and the way back from one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import config_option, examples, json_option

if TYPE_CHECKING:
    from gateway.ledger.backups import Backup


@click.group(epilog=examples("storekeeper backup create", "storekeeper backup restore newest"))
def backup() -> None:
    """Copies of the ledger: create, list, verify, restore, prune."""


@backup.command(epilog=examples("storekeeper backup create", "storekeeper backup create --to /media/usb"))
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Instead of backup_dir."
)
@click.option("--dies-with", type=int, hidden=True, help="The daemon that asked: step back, and end with it.")
@config_option
@json_option
def create(folder: Path | None, dies_with: int | None, config: Path | None, as_json: bool) -> None:
    """Copy the ledger while it is in use, recompute every movement of the copy, let the oldest go."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from gateway.config import find, load
    from gateway.ledger import recovery

    if dies_with:
        _step_back(dies_with)
    settings = load(find(config)).settings
    path = settings.ledger.data_dir / "ledger.db"
    _need(path)
    now = datetime.now(ZoneInfo(settings.shop.timezone))
    made = recovery.create(path, folder or settings.ledger.backups, now, settings.ledger.backups_kept)
    if as_json:
        import json

        click.echo(json.dumps(_keys(made)))
    elif not dies_with:
        click.echo(f"{made.path}: {made.last_seq} movements, {made.bytes / 1e6:.1f} MB, every one recomputed")


@backup.command("list", epilog=examples("storekeeper backup list", "storekeeper backup list --json"))
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """The copies that there are, the newest first."""
    from gateway.config import find, load
    from gateway.ledger import backups

    folder = load(find(config)).settings.ledger.backups
    found = backups.backups(folder)
    if as_json:
        import json

        click.echo(json.dumps([_keys(one) for one in found]))
        return
    for one in found:
        click.echo(
            f"{_when(one.made_at)}  {one.last_seq:>9} movements  {one.bytes / 1e6:>8.1f} MB  {one.path}"
        )
    if not found:
        click.echo(f"no backup in {folder}; the first: storekeeper backup create", err=True)


@backup.command(epilog=examples("storekeeper backup verify", "storekeeper backup verify FILE --json"))
@click.argument("file", default="newest")
@config_option
@json_option
@click.pass_context
def verify(ctx: click.Context, file: str, config: Path | None, as_json: bool) -> None:
    """Recompute every page and movement of a copy: FILE, or the newest. Exit code 1 when wrong."""
    import sqlite3

    from gateway.errors import LedgerUnusable
    from gateway.ledger import recovery

    path = _chosen(file, config)
    try:
        found = recovery.verify(path)
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{path} is no ledger: {error}", "SK-L06") from error
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({"ok": not found.findings, "path": str(path), **asdict(found)}))
    else:
        for finding in found.findings:
            click.echo(f"{finding.rule:<6} {finding.text}")
        verdict = "is damaged: take another one" if found.findings else "all as booked"
        click.echo(f"{path}: {found.movements} movements, {verdict}", err=bool(found.findings))
    ctx.exit(1 if found.findings else 0)


@backup.command(
    epilog=examples(
        "storekeeper backup restore newest", "storekeeper backup restore /media/usb/ledger-001.db"
    )
)
@click.argument("file")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def restore(file: str, yes: bool, config: Path | None, as_json: bool) -> None:
    """Put a copy (FILE, or "newest") in the ledger's place. The daemon must be stopped first.

    What is there now is kept beside it. The ledger goes on in a new epoch, so that nobody takes its history
    for the one that was lost.
    """
    from gateway.config import find, load
    from gateway.ledger import recovery

    settings = load(find(config)).settings
    path = _chosen(file, config)
    if not yes:
        click.confirm(f"Replace {settings.ledger.data_dir / 'ledger.db'} by {path}?", abort=True, err=True)
    done = recovery.restore(path, settings.ledger.data_dir)
    if as_json:
        import json

        keys = {"epoch": done.epoch, "last_seq": done.last_seq, "lost_after_seq": done.lost_after_seq}
        click.echo(json.dumps(keys | {"replaced": str(done.replaced) if done.replaced else None}))
        return
    click.echo(f"{done.last_seq} movements are back; the ledger goes on as epoch {done.epoch}.")
    if done.replaced:
        later = done.lost_after_seq
        click.echo(f"The ledger that was here is kept: {done.replaced}")
        if later is not None and later > done.last_seq:
            click.echo(
                f"It has {later - done.last_seq} newer movements: book them again, or count those shelves."
            )
    click.echo("Next: start the daemon, count what was sold since the backup.")
    if settings.mqtt.enabled:
        name = f"{settings.shop.store}/{settings.shop.gateway}"
        click.echo("The back office holds this gateway apart until somebody says there:")
        click.echo(f"  storekeeper backoffice release {name} --restored-to {done.last_seq}")


@backup.command(epilog=examples("storekeeper backup prune", "storekeeper backup prune --keep 2"))
@click.option("--keep", type=click.IntRange(1), help="How many stay; else backups_kept of the settings.")
@config_option
def prune(keep: int | None, config: Path | None) -> None:
    """Delete all but the newest copies."""
    from gateway.config import find, load
    from gateway.ledger import backups

    settings = load(find(config)).settings.ledger
    for one in backups.prune(settings.backups, keep or settings.backups_kept):
        click.echo(f"deleted {one.path}")


def _chosen(file: str, config: Path | None) -> Path:
    """The path that was meant by FILE or "newest"."""
    from gateway.config import find, load
    from gateway.ledger import backups

    if file != "newest":
        _need(Path(file))
        return Path(file)
    folder = load(find(config)).settings.ledger.backups
    _need(folder)
    found = backups.backups(folder)
    return found[0].path if found else _need(folder / "ledger-*.db")


def _need(path: Path) -> Path:
    from gateway.errors import LedgerUnusable

    if not path.exists():
        raise LedgerUnusable(f"{path} does not exist: storekeeper backup list says what there is")
    return path


def _step_back(daemon: int) -> None:
    """Its night's work: the shop has precedence, and a daemon that is killed takes it along."""
    import ctypes
    import os
    import signal

    from gateway.nursery import PR_SET_PDEATHSIG

    os.nice(19)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != daemon:
        raise SystemExit(1)


def _keys(one: "Backup") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(one) | {"path": str(one.path)}


def _when(made_at: str) -> str:
    return f"{made_at[:4]}-{made_at[4:6]}-{made_at[6:8]} {made_at[9:11]}:{made_at[11:13]}"
