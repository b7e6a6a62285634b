"""`storekeeper driver`: for integrators. Bytes in, readings out, without a device and without the daemon."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import click

from drivers.contract import AnyReading, ConfigError, Decoder, EventDriver
from gateway.cli import examples, json_option
from gateway.errors import SettingsInvalid

CHUNK_BYTES = 65_536


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
