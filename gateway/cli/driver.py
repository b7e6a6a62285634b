"""`storekeeper driver`: for integrators. Bytes in, readings out, without a device and without the daemon."""

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
    import msgspec

    encode = msgspec.json.Encoder(decimal_format="string").encode
    chosen, config = _configured(name, settings)
    if not hasattr(chosen, "decoder"):
        raise click.UsageError(f"driver {name} has no decoder: it does its own input and output")
    data = file.read()
    for reading in readings_of(chosen, config, _unhexed(data) if is_hex else data, chunk_bytes, idle_ms):
        sys.stdout.buffer.write(encode(reading) + b"\n")


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
    from gateway.cli.driver_new import write_package

    name = name.replace("-", "_")
    if not name.isidentifier() or name != name.lower():
        raise click.UsageError(f"{name}: a driver is named like a module: lower case, digits, underscores")
    try:
        files = write_package(name, output or Path(name))
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    for file in files:
        click.echo(file)
    click.echo(f"next: pip install -e {output or name} && storekeeper driver test {name}", err=True)


@driver.command(
    epilog=examples(
        "storekeeper driver test my_scale", "storekeeper driver test serial_scanner my_recordings"
    )
)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@json_option
def test(name: str, folder: Path | None, as_json: bool) -> None:
    """Replay recordings (hw_fixtures/*/*.bytes with their .toml) cut 1, 7 and 4096 bytes at a time."""
    import json
    import tomllib

    name = name.replace("-", "_")
    rows = []
    for recording in _recordings(name, folder):
        facts = tomllib.loads(recording.with_suffix(".toml").read_text())
        settings = tuple(f"{key}={value}" for key, value in facts.get("settings", {}).items())
        chosen, config = _configured(name, settings)
        for chunk_bytes in TEST_CHUNKS_BYTES:
            data = recording.read_bytes()
            found = [_comparable(one) for one in readings_of(chosen, config, data, chunk_bytes)]
            ok = found == facts["readings"]
            rows.append(
                {"recording": str(recording), "chunk_bytes": chunk_bytes, "ok": ok, "readings": found}
            )
    if not rows:
        raise click.UsageError(
            f"no recordings of {name} in {folder or 'hw_fixtures'}: make one with driver record"
        )
    wrong = [row for row in rows if not row["ok"]]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in wrong:
            click.echo(
                f"wrong  {row['recording']} in pieces of {row['chunk_bytes']}: {json.dumps(row['readings'])}"
            )
        click.echo(f"{len(rows) - len(wrong)} of {len(rows)} as expected")
    if wrong:
        raise SystemExit(1)


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

    name = name.replace("-", "_")
    chosen, config = _configured(name, settings)
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
    path.with_suffix(".toml").write_text(_as_toml(name, settings, found))
    click.echo(
        f"{path}: {len(data)} bytes, {len(found)} readings; look them through in {path.with_suffix('.toml')}"
    )


def _recordings(name: str, folder: Path | None) -> list[Path]:
    """The recordings of this driver in `folder`, or in all of ./hw_fixtures."""
    import tomllib

    found = sorted(folder.glob("*.bytes") if folder else Path("hw_fixtures").glob("*/*.bytes"))
    described = [(path, path.with_suffix(".toml")) for path in found]
    return [
        path
        for path, facts in described
        if facts.exists() and tomllib.loads(facts.read_text()).get("driver") == name
    ]


def _comparable(reading: AnyReading) -> dict[str, Any]:
    """A reading as the door prints it, without the evidence."""
    import msgspec

    encoded = msgspec.json.Encoder(decimal_format="string").encode(reading)
    row: dict[str, Any] = msgspec.json.decode(encoded)
    row.pop("raw_hex", None)
    return row


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


def _as_toml(name: str, settings: tuple[str, ...], readings: list[dict[str, Any]]) -> str:
    import json

    own = ("port", "path")  # where the device was plugged in says nothing about what it sends
    kept = [setting.partition("=") for setting in settings if setting.partition("=")[0] not in own]
    lines = [
        f'driver = "{name}"',
        'recorded = "real device: name it here, with its settings and the date"',
        'source = "driver record"',
        "settings = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, _, value in kept) + " }",
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


def _configured(name: str, settings: tuple[str, ...]) -> tuple[Any, Any]:
    from drivers.loading import configured, load

    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write --set key=value")
        options[key] = value
    try:
        chosen = load(name)
        return chosen, configured(chosen, options)
    except ConfigError as error:
        raise SettingsInvalid(f"driver {name}: {error}") from error


def _unhexed(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise click.UsageError(f"--hex: the input is not hexadecimal: {error}") from error
