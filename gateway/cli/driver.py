"""`storekeeper driver`: for integrators. Bytes in, readings out, without a device and without the daemon."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from drivers.contract import AnyReading, ConfigError, Decoder, EventDriver
from gateway.cli import examples, json_option
from gateway.errors import DeviceOrPermission, SettingsInvalid

CHUNK_BYTES = 65_536
TEST_CHUNKS_BYTES = (1, 7, 4096)
RECORD_BYTES_MAX = 16 * 1024 * 1024
POLL_S = 0.05


@click.group(
    epilog=examples("storekeeper driver list", "storekeeper driver decode serial_scanner scan.bytes")
)
def driver() -> None:
    """For integrators: list, decode, record, test, new."""


@driver.command(
    epilog=examples(
        "storekeeper driver decode serial_scanner scan.bytes",
        "printf 'W1250' | storekeeper driver decode scale_mtsics --set baud=9600 -",
    )
)
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.option("--chunk", "chunk_bytes", type=click.IntRange(min=1), help="Feed so many bytes at a time.")
@click.option("--hex", "is_hex", is_flag=True, help="The input is hexadecimal text.")
@click.option(
    "--idle-ms", type=click.IntRange(min=0), default=1000, show_default=True, help="Silence at the end."
)
def decode(
    name: str, file: BinaryIO, settings: tuple[str, ...], chunk_bytes: int | None, is_hex: bool, idle_ms: int
) -> None:
    """Bytes in, one JSON reading a line out: no device, no daemon.

    FILE holds what the device file gives: 24-byte records (evdev), whole reports of report_bytes (hidraw),
    one {"topic", "payload"} a line (MQTT sources), the file's text (1-wire), else the bytes of the line.
    """
    from gateway.cli.driver_door import as_line

    name = _installed_name(name)
    chosen, config = _configured(name, _options(settings))
    if not hasattr(chosen, "decoder"):
        raise click.UsageError(f"driver {name} has no decoder: it does its own input and output")
    data = file.read()
    for reading in readings_of(chosen, config, _unhexed(data) if is_hex else data, chunk_bytes, idle_ms):
        sys.stdout.buffer.write(as_line(reading) + b"\n")


def readings_of(
    chosen: Any, config: Any, data: bytes, chunk_bytes: int | None = None, idle_ms: int = 1000
) -> Iterator[AnyReading]:
    """What a driver makes of a recording cut in pieces of `chunk_bytes` (reports and messages stay whole)."""
    decoder: Decoder = chosen.decoder(config)
    for chunk in pieces(chosen, config, data, chunk_bytes or CHUNK_BYTES):
        yield from decoder.feed(chunk, 0.0)
    yield from decoder.idle(idle_ms / 1000)


def pieces(chosen: Any, config: Any, data: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """The recording as the host would read it."""
    if isinstance(chosen, EventDriver):  # a source of messages: one a line
        yield from (line for line in data.splitlines() if line.strip())
        return
    step = getattr(config, "report_bytes", 0) or chunk_bytes
    yield from (data[at : at + step] for at in range(0, len(data), step))


@driver.command(
    epilog=examples("storekeeper driver new my_scale", "storekeeper driver new acme_reader -o acme")
)
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; else NAME.")
def new(name: str, output: Path | None) -> None:
    """Write a driver that works, with its recording, test and pip package, to start from."""
    from gateway.cli.driver_new import refusal, write_package

    if refused := refusal(name):
        raise click.UsageError(refused)
    name = name.replace("-", "_")
    try:
        files = write_package(name, output or Path(name))
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    for file in files:
        click.echo(file)
    where = shlex.quote(str(output or name))
    click.echo(f"next: cd {where} && pip install -e . && storekeeper driver test {name}", err=True)


@driver.command(
    epilog=examples(
        "storekeeper driver test my_scale", "storekeeper driver test serial_scanner my_recordings"
    )
)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@json_option
def test(name: str, folder: Path | None, as_json: bool) -> None:
    """Replay recordings (hw_fixtures/*/*.bytes with their .toml) cut 1, 7 and 4096 bytes at a time.

    FOLDER holds the recordings, or folders of recordings, or is a package with hw_fixtures; else ./hw_fixtures.
    All three cuttings must give the same, also the bytes kept as evidence (raw_hex).
    """
    import json

    from gateway.cli.driver_door import expectations

    name = _installed_name(name)
    rows = []
    for recording, facts in expectations(name, folder):
        chosen, config = _configured(name, facts.get("settings", {}), recording.with_suffix(".toml"))
        rows += _replayed(chosen, config, recording, facts["readings"])
    wrong = [row for row in rows if not row["ok"]]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in wrong:
            click.echo(f"wrong  {row['recording']} in pieces of {row['chunk_bytes']}: {row['why']}")
        click.echo(f"{len(rows) - len(wrong)} of {len(rows)} as expected")
    if wrong:
        raise SystemExit(1)


def _replayed(
    chosen: Any, config: Any, recording: Path, expected: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One row a cutting: what came out, and where it differs from the expectation or the other cuttings."""
    from gateway.cli.driver_door import as_row, difference

    data = recording.read_bytes()
    cuttings = {
        size: [as_row(one) for one in readings_of(chosen, config, data, size)] for size in TEST_CHUNKS_BYTES
    }
    whole = cuttings[max(TEST_CHUNKS_BYTES)]
    rows = []
    for size, found in cuttings.items():
        why = difference(found, expected)
        if not why and found != whole:
            why = f"the cutting changes it: {difference(found, whole)}"
        facts = {"recording": str(recording), "chunk_bytes": size, "ok": not why, "why": why}
        rows.append(facts | {"readings": [_without_evidence(row) for row in found]})
    return rows


@driver.command(
    epilog=examples(
        "storekeeper driver record my_scale --seconds 30 --set port=/dev/ttyUSB0",
        "storekeeper driver record serial_scanner --set port=/dev/ttyACM0 -o three_scans.bytes",
    )
)
@click.argument("name")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.option("--seconds", type=click.FloatRange(min=0.1, max=3600), default=30, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="FILE.bytes")
def record(name: str, settings: tuple[str, ...], seconds: float, output: Path | None) -> None:
    """Record a real device: its bytes, and beside them what the driver makes of them now."""
    from drivers.contract import DeviceGone

    name = _installed_name(name)
    options = _options(settings)
    chosen, config = _configured(name, options)
    if isinstance(chosen, EventDriver):
        raise click.UsageError(f"driver {name} does its own input and output: there are no bytes to record")
    path = (output or Path("hw_fixtures") / name / "recorded.bytes").with_suffix(".bytes")
    if path.exists():
        raise click.UsageError(f"{path} exists already: choose another name with -o")
    try:
        data = _heard(chosen, config, seconds)
    except (DeviceGone, ConfigError) as error:
        raise DeviceOrPermission(f"driver {name}: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    found = [_comparable(one) for one in readings_of(chosen, config, data)]
    path.with_suffix(".toml").write_text(
        _as_toml(name, {key: getattr(config, key) for key in options}, found)
    )
    click.echo(
        f"{path}: {len(data)} bytes, {len(found)} readings; look them through in {path.with_suffix('.toml')}"
    )


def _comparable(reading: AnyReading) -> dict[str, Any]:
    """A reading as the door prints it, without the evidence."""
    from gateway.cli.driver_door import as_row

    return _without_evidence(as_row(reading))


def _without_evidence(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "raw_hex"}


def _heard(chosen: Any, config: Any, seconds: float) -> bytes:
    """What the device sends within `seconds`, asked as its decoder asks; an unplugged one ends it early."""
    import time

    from drivers.contract import Asks, DeviceGone

    transport, decoder = chosen.open(config), chosen.decoder(config)
    data = bytearray()
    started_s = time.monotonic()
    try:
        while (now_s := time.monotonic()) < started_s + seconds and len(data) < RECORD_BYTES_MAX:
            if isinstance(decoder, Asks) and (request := decoder.pending_bytes(now_s)):
                transport.write(request)
            chunk = transport.read(POLL_S)
            data += chunk
            decoder.feed(chunk, now_s) if chunk else decoder.idle(now_s)
    except DeviceGone as gone:
        click.echo(f"the recording ends early: {gone}", err=True)
    finally:
        transport.close()
    return bytes(data)


def _as_toml(name: str, settings: dict[str, Any], readings: list[dict[str, Any]]) -> str:
    import json

    own = ("port", "path")  # where the device was plugged in says nothing about what it sends
    kept = {key: value for key, value in settings.items() if key not in own}
    lines = [
        f'driver = "{name}"',
        'recorded = "real device: name it here, with its settings and the date"',
        'source = "driver record"',
        "settings = { "
        + ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in kept.items())
        + " }",
        "" if readings else "readings = []",
    ]
    for reading in readings:
        lines += ["[[readings]]", *(f"{key} = {json.dumps(value)}" for key, value in reading.items()), ""]
    return "\n".join(lines)


@driver.command("list", epilog=examples("storekeeper driver list", "storekeeper driver list --json"))
@json_option
def list_(as_json: bool) -> None:
    """Every installed driver with its settings."""
    import json

    rows = [_described(one.name, one.package) for one in _available()]
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    for row in rows:
        click.echo(f"{row['name']}  ({row['package']})  {row.get('error') or row['about']}")
        for option in row["options"]:
            default = "must be given" if option["required"] else f"default {option['default']!r}"
            click.echo(f"    {option['name']:<16} {option['type']}, {default}")


def _described(name: str, package: str) -> dict[str, Any]:
    from drivers.loading import LoadError, load, options_of

    row: dict[str, Any] = {"name": name, "package": package, "about": "", "shape": "", "options": []}
    try:
        chosen = load(name)
    except LoadError as error:
        return row | {"error": str(error)}
    about = (sys.modules[type(chosen).__module__].__doc__ or "").strip().partition("\n")[0]
    shape = "event" if isinstance(chosen, EventDriver) else "byte"
    return row | {"about": about, "shape": shape, "options": [one._asdict() for one in options_of(chosen)]}


def _available() -> Any:
    from drivers.loading import available

    return available()


def _installed_name(name: str) -> str:
    """As it is installed: a name may be typed with dashes."""
    from drivers.loading import LoadError, load

    try:
        installed = [one.name for one in _available()]
        name = name if name in installed else name.replace("-", "_")
        load(name)
    except LoadError as error:
        raise SettingsInvalid(str(error)) from error
    return name


def _options(settings: tuple[str, ...]) -> dict[str, str]:
    """What `--set` says, still as text."""
    if wrong := [setting for setting in settings if "=" not in setting]:
        raise click.UsageError(f"--set {wrong[0]}: write --set key=value")
    pairs = [setting.partition("=") for setting in settings]
    return {key: value for key, _, value in pairs}


def _configured(name: str, options: dict[str, Any], file: Path | None = None) -> tuple[Any, Any]:
    """The driver and its Config: options of the command line, or of a file, where a text is no number."""
    from drivers.loading import load
    from gateway.options import as_in_toml, configured

    chosen = load(name)
    try:
        if file:
            return chosen, configured(chosen, options, f"{file}: settings")
        return chosen, configured(chosen, as_in_toml(chosen.Config, options), f"driver {name}")
    except ConfigError as error:
        raise SettingsInvalid(str(error)) from error


def _unhexed(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise click.UsageError(f"--hex: the input is not hexadecimal: {error}") from error
