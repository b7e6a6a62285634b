"""`storekeeper devices`: scanners, readers, scales and sensors, and how they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from gateway.cli import config_option, examples, json_option
from gateway.cli.device_setup import add, confirm, free, ignore, pair, sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from gateway.config import Settings
    from gateway.listening import Piece
    from gateway.stock.check_card import Verdict


@click.group(epilog=examples("storekeeper devices discover", "storekeeper devices list --json"))
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


@devices.command(epilog=examples("storekeeper devices shelves", "storekeeper devices shelves --json"))
@config_option
@json_option
@click.pass_context
def shelves(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """What scales under shelves say beside the ledger. Exit code 1 when something left unscanned."""
    import json
    import time
    from dataclasses import asdict

    from gateway.cli.opened import opened, telemetry, utc
    from gateway.shelf_evidence import evidence

    settings, ledger = opened(config)
    file = telemetry(settings)
    now_us = time.time_ns() // 1000
    weighed = [device for device in settings.devices if device.sku]
    found = [evidence(ledger, file, device, now_us) for device in weighed] if file else []
    if as_json:
        rows = [{**asdict(one), "removals": [step._asdict() for step in one.removals]} for one in found]
        click.echo(json.dumps([_finite(row) for row in rows], ensure_ascii=False))
    for one in found if not as_json else []:
        count = one.by_weight
        by_weight = f"{count.units} ± {count.standard_error_units:.1f}" if count else "not known yet"
        click.echo(f"{one.device:<18} {one.sku}: by weight {by_weight}, by the ledger {one.by_ledger_units}")
        for removal in one.removals:
            click.echo(f"    {utc(int(removal.at_s * 1e6))}  {removal.reason}")
    if not weighed:
        click.echo('no device weighs a shelf: add sku = "..." to the [[device]] of a scale', err=True)
    ctx.exit(1 if any(one.removals for one in found) else 0)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what is not known yet is null."""
    unit = row["unit"] if row["unit"]["observations"] else None
    count = row["by_weight"]._asdict() if row["by_weight"] else None
    return row | {"unit": unit, "by_weight": count}


@devices.command(epilog=examples("storekeeper devices discover", "storekeeper devices discover --json"))
@config_option
@json_option
def discover(config: Path | None, as_json: bool) -> None:
    """What is plugged in, with its lasting name and what to write. Nothing is opened or read."""
    import json
    from dataclasses import asdict

    from gateway.config import find, load
    from gateway.errors import SettingsInvalid
    from gateway.plugged import plugged

    try:
        known = load(find(config)).settings.devices
    except SettingsInvalid:
        known = ()  # discover comes before there is a config file
    rows = [{**asdict(found), "configured": name} for found, name in plugged(known)]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo(row["what"])
        if row["configured"]:
            click.echo(f"    is your device {row['configured']}")
            continue
        driver = row["driver"] or "..."
        option, path = next(iter(row["settings"].items()))
        click.echo(f'    [[device]] name = "..." driver = "{driver}" {option} = "{path}"')
    if not rows:
        click.echo("nothing is seen: is it plugged in, and switched on?", err=True)


@devices.command(
    epilog=examples("storekeeper devices monitor counter", "storekeeper devices monitor --seconds 60")
)
@click.argument("name", required=False)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=86_400, help="Leave after so long.")
@click.option("--raw", is_flag=True, help="The bytes as they come, and as what they are read. Needs NAME.")
@config_option
def monitor(name: str | None, seconds: float, raw: bool, config: Path | None) -> None:
    """What the daemon hears from a device, or from all: live, until Ctrl-C."""
    import time

    from gateway.cli.device_line import named, overheard
    from gateway.cli.opened import opened

    settings, _ = opened(config)
    if raw and not name:
        raise click.UsageError("--raw shows one device: name it")
    if name:
        named(settings, name)
    if name and raw:
        _raw(settings, name, seconds)
        return
    for heard in overheard(settings, seconds):
        if name in (None, heard.device):
            click.echo(f"{time.strftime('%H:%M:%S')}  {heard.device:<18} {heard.what}")


def _raw(settings: "Settings", name: str, seconds: float) -> None:
    import time

    from gateway.listening import shown, told

    for piece in _invited(f"Use {name} ... (Ctrl-C ends)", _tapped_for(settings, name, seconds)):
        if piece.data or piece.readings:
            read = "; ".join(told(reading) for reading in piece.readings)
            click.echo(f"{time.strftime('%H:%M:%S')}  {shown(piece.data):<50}  {read}".rstrip())


def _tapped_for(settings: "Settings", name: str, seconds: float) -> "Iterator[Piece]":
    """Again and again, for a driver shows itself for a limited time only."""
    import time

    from gateway.listening import TAP_S, tapped

    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        yield from tapped(settings, name, min(left_s, TAP_S), aside=False)


@devices.command(epilog=examples("storekeeper devices test", "storekeeper devices test counter --seconds 10"))
@click.argument("name", required=False)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=30, show_default=True)
@config_option
@click.pass_context
def test(ctx: click.Context, name: str | None, seconds: float, config: Path | None) -> None:
    """Press the trigger: who speaks? Exit code 1 when nothing is heard."""
    from gateway.cli.device_line import named, overheard
    from gateway.cli.opened import opened

    settings, _ = opened(config)
    if name:
        named(settings, name)
    click.echo("Scan anything, put something on the scale, warm the sensor with your hand ...", err=True)
    for heard in overheard(settings, seconds):
        if name in (None, heard.device):
            click.echo(f"{heard.device}: {heard.what}")
            ctx.exit(0)
    whose = f'from "{name}" ' if name else ""
    click.echo(f"nothing was heard {whose}within {seconds:g} s: storekeeper devices list says why", err=True)
    ctx.exit(1)


@devices.command(
    "check-card",
    epilog=examples(
        "storekeeper devices check-card -o card.html", "storekeeper devices check-card --listen counter"
    ),
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="FILE.html to print.")
@click.option(
    "--listen", "name", metavar="NAME", help="Read the card with this device, and say how it is set."
)
@click.option("--seconds", type=click.FloatRange(min=1), default=60, show_default=True)
@config_option
@json_option
@click.pass_context
def check_card(
    ctx: click.Context,
    output: Path | None,
    name: str | None,
    seconds: float,
    config: Path | None,
    as_json: bool,
) -> None:
    """Print the scanner check card; or listen to a scanner that reads it, and say what to change."""
    from gateway.stock.check_card import card_html

    if name is None:
        page = card_html()
        output.write_text(page) if output else click.echo(page, nl=False)
        if output:
            click.echo(
                f"{output}: print it or open it, then: storekeeper devices check-card --listen NAME", err=True
            )
        return
    verdict = _listened(name, seconds, config)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(verdict), ensure_ascii=False))
    else:
        for line in _told(verdict):
            click.echo(line)
    ctx.exit(0 if verdict.fits and verdict.separator in ("kept", "not scanned") else 1)


def _listened(name: str, seconds: float, config: Path | None) -> "Verdict":
    """Until all three codes of the card arrived and nothing more comes, or the time is over.

    While the daemon runs its driver passes on what it reads, and books none of it.
    """
    from gateway.addresses import run_dir
    from gateway.cli.device_line import named, pieces_of
    from gateway.config import find, load
    from gateway.listening import made, tapped, verdicts
    from gateway.stock.check_card import judge

    settings = load(find(config)).settings
    device = named(settings, name)
    chosen, options = made(device)
    if (run_dir(settings) / "bus").exists():
        pieces = tapped(settings, name, seconds, aside=True)
    else:
        pieces = pieces_of(device, chosen, options, seconds)
    said = judge([])
    invited = _invited("Scan the two long codes, then the square one ...", pieces)
    for found, verdict in verdicts(device, invited):
        said = verdict
        click.echo(f"{len(found)}: {next(iter(found[-1].texts.values()), 'not read')!r}", err=True)
    return said


def _invited(words: str, pieces: "Iterator[Piece]") -> "Iterator[Piece]":
    """The words are said once the device is listened to: who reads them may scan."""
    for first in pieces:
        click.echo(words, err=True)
        yield first
        yield from pieces


def _told(verdict: "Verdict") -> list[str]:
    """For a person: what was found, what to write into the settings, what to change on the scanner."""
    lines = list(verdict.remedies)
    if not verdict.fits:
        return lines
    speed = f", {verdict.key_ms:.0f} ms a character" if verdict.key_ms >= 1 else ""
    aim = "sends" if verdict.aim else "does not send"
    held = f", reads a code in its beam every {verdict.repeat_ms} ms" if verdict.repeat_ms else ""
    found = f"This scanner {aim} identifiers; the GS1 separator: {verdict.separator}{speed}{held}."
    settings = [f"    {key} = {_toml(value)}" for key, value in verdict.settings.items()]
    return [found, *(["In its section of config.toml:", *settings] if settings else []), *lines]


def _toml(value: str | int) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


@devices.command(
    epilog=examples(
        "storekeeper devices record scale --seconds 30", "storekeeper devices record counter -o three.bytes"
    )
)
@click.argument("name")
@click.option("--seconds", type=click.FloatRange(min=0.1, max=3600), default=30, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="FILE.bytes")
@config_option
@click.pass_context
def record(ctx: click.Context, name: str, seconds: float, output: Path | None, config: Path | None) -> None:
    """Record a device as it is set up here: a fixture for its driver. The daemon must not hold it."""
    from gateway.cli.driver import record as record_driver

    driver, settings = _as_set_up(name, config)
    path = output or Path(f"{name}.bytes")
    ctx.invoke(record_driver, name=driver, settings=settings, seconds=seconds, output=path)


@devices.command(
    epilog=examples(
        "storekeeper devices replay counter three.bytes",
        "storekeeper devices replay scale hw_fixtures/a.bytes",
    )
)
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@config_option
@click.pass_context
def replay(ctx: click.Context, name: str, file: BinaryIO, config: Path | None) -> None:
    """What a device, as it is set up here, would read in a recording: JSON lines. Nothing is booked."""
    from gateway.cli.driver import decode

    driver, settings = _as_set_up(name, config)
    ctx.invoke(decode, name=driver, file=file, settings=settings)


def _as_set_up(name: str, config: Path | None) -> tuple[str, tuple[str, ...]]:
    """A device's driver, and those of its options that are not the default, as `--set` takes them."""
    from drivers.loading import options_of
    from gateway.cli.device_line import named
    from gateway.config import find, load
    from gateway.listening import made

    device = named(load(find(config)).settings, name)
    defaults = {option.name: option.default for option in options_of(made(device)[0])}
    changed = {key: value for key, value in device.options.items() if value != defaults.get(key)}
    return device.driver, tuple(f"{key}={value}" for key, value in changed.items())


for command in (pair, add, ignore, confirm, free, sound):
    devices.add_command(command)


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
