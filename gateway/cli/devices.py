"""`storekeeper devices`: scanners, readers, scales and sensors, and how they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import config_option, examples, json_option

if TYPE_CHECKING:
    import sqlite3

    from gateway.config import Settings


@click.group(epilog=examples("storekeeper devices list", "storekeeper devices list --json"))
def devices() -> None:
    """Scanners, readers, scales and sensors, and how they are."""


@devices.command("list", epilog=examples("storekeeper devices list", "storekeeper devices list --json"))
@config_option
@json_option
@click.pass_context
def list_(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Every configured device with its state. Exit code 1 when one of them is not running."""
    from gateway.cli.opened import opened

    settings, ledger = opened(config)
    rows = rows_of(settings, ledger)
    if as_json:
        import json

        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            text = f"  {row['text']}" if row["text"] else ""
            click.echo(f"{row['state']:<13} {row['name']:<18} {row['driver']}{text}")
        if not rows:
            click.echo("no device is configured: add a [[device]] to config.toml", err=True)
    ctx.exit(0 if all(row["state"] in ("running", "disabled") for row in rows) else 1)


def rows_of(settings: "Settings", ledger: "sqlite3.Connection") -> list[dict[str, Any]]:
    """One row a device, with the stable keys of docs/doors.md; "unseen": the daemon never spoke of it."""
    from gateway.cli.opened import telemetry, utc
    from gateway.ledger import queries

    file = telemetry(settings)
    states = {one.device: one for one in queries.device_states(file)} if file else {}
    stations = {one.device: one for one in queries.stations(ledger)}
    rows = []
    for device in settings.devices:
        state, station = states.get(device.name), stations.get(device.name)
        rows.append(
            {
                "name": device.name,
                "driver": device.driver,
                "state": state.state if state else "config_error" if device.problem else "unseen",
                "text": state.text if state else device.problem,
                "mode": station.mode if station else device.mode,
                "location": station.loc if station else device.location,
                "since": utc(state.since_us) if state else None,
                "last_reading": utc(state.last_reading_us) if state else None,
                "counts": state.counts if state else {},
            }
        )
    return rows
