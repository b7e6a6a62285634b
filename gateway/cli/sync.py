"""`storekeeper sync status`: how far the back office holds what was booked here."""

from pathlib import Path

import click

from gateway.cli import config_option, examples, json_option


@click.group(epilog=examples("storekeeper sync status", "storekeeper sync status --json"))
def sync() -> None:
    """The line to the back office."""


@sync.command(epilog=examples("storekeeper sync status", "storekeeper sync status --json"))
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Online or since when not; how much waits, lane by lane, and how old the oldest is."""
    import contextlib
    import json
    import sqlite3
    import time
    from dataclasses import asdict

    from gateway.config import find, load
    from gateway.errors import LedgerUnusable
    from gateway.ledger.feed import lane_states
    from gateway.ledger.queries import connect

    settings = load(find(config)).settings
    folder = settings.ledger.data_dir
    link = {"state": "off", "text": "no back office is set up", "since_us": None}
    try:
        with contextlib.closing(connect(folder / "ledger.db")) as ledger:
            lanes = lane_states(ledger)
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(connect(folder / "telemetry.db")) as telemetry,
        ):
            row = telemetry.execute(
                "SELECT state, text, since_us FROM link_state WHERE name = 'back office'"
            ).fetchone()
            if row:
                link = dict(zip(link, row, strict=True))
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{folder}/ledger.db cannot be read: {error}", "SK-L02") from error
    if as_json:
        click.echo(json.dumps({"link": link, "lanes": [asdict(lane) for lane in lanes]}))
        return
    click.echo(f"{link['state']}: {link['text']}")
    for lane in lanes:
        if lane.lane == "L" or lane.waiting:
            age_s = (time.time() - lane.oldest_waiting_us / 1e6) if lane.oldest_waiting_us else 0
            oldest = f", oldest {age_s / 60:.0f} min" if lane.waiting else ""
            click.echo(
                f"  {NAMES[lane.lane]:<10} {lane.acked_seq} of {lane.last_seq} held, {lane.waiting} waiting{oldest}"
            )


NAMES = {"L": "movements", "A": "alerts", "D": "digests", "R": "replies"}
