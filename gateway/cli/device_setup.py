"""`storekeeper devices pair|add|ignore|confirm|free|sound`: what the devices page does, on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import config_option, examples, json_option

if TYPE_CHECKING:
    from drivers.discover import Found
    from gateway.config import Settings

MODES = ("look", "sell", "receive", "waste", "move", "return", "to_supplier")


@click.command(
    epilog=examples("storekeeper devices pair", "storekeeper devices pair --keyboard keyboard@1.2")
)
@click.option("--seconds", type=click.FloatRange(min=0.1, max=600), default=30, show_default=True)
@click.option(
    "--keyboard",
    "named",
    multiple=True,
    metavar="IDENTITY",
    help="A keyboard that is a scanner: listen to it, too.",
)
@config_option
@json_option
@click.pass_context
def pair(
    ctx: click.Context, seconds: float, named: tuple[str, ...], config: Path | None, as_json: bool
) -> None:
    """Press the trigger: which of the found devices is it? Exit code 1 when none speaks."""
    import json
    from dataclasses import asdict

    from gateway.listening import candidates, raise_block
    from gateway.listening import pair as listen

    settings, found = _found(config)
    chosen = candidates(found, named)
    for one in found:
        if one not in chosen and one.kind == "keyboard":
            click.echo(
                f"not listened to, for it may be your keyboard: {one.what}  --keyboard {one.identity}",
                err=True,
            )
    click.echo("Scan anything, put 1 kg on the scale, warm the sensor with your hand ...", err=True)
    heard = 0
    for spoke in listen(chosen, seconds):
        heard += 1
        if spoke.blocked and settings:
            raise_block(settings, spoke)
        if as_json:
            click.echo(json.dumps(asdict(spoke), ensure_ascii=False))
        else:
            word = (
                "BLOCKED, it types what no scanner types"
                if spoke.blocked
                else spoke.driver or "driver unknown"
            )
            click.echo(f"{spoke.identity}: {spoke.what}  ({word})")
    if not heard:
        click.echo("nothing spoke; storekeeper devices discover shows what is seen", err=True)
    ctx.exit(0 if heard else 1)


@click.command(
    epilog=examples(
        "storekeeper devices add serial_scanner@1.2 --name counter --mode sell",
        "storekeeper devices add serial@1.4 --name deli --driver scale_toledo8217",
    )
)
@click.argument("identity")
@click.option("--name", required=True, help="On every screen and in the ledger; keep it for good.")
@click.option("--driver", default="", help="What it is, when that was not found out.")
@click.option("--mode", type=click.Choice(MODES), default="look", show_default=True, help="Of a scanner.")
@click.option("--location", default="counter", show_default=True, help="Where the stock is that it moves.")
@config_option
@click.pass_context
def add(
    ctx: click.Context, identity: str, name: str, driver: str, mode: str, location: str, config: Path | None
) -> None:
    """Write a section for the found device IDENTITY, and take it up. Exit code 1 when it was not written."""
    from gateway.cli.opened import tell
    from gateway.config import find
    from gateway.errors import DaemonNotReachable, DeviceOrPermission
    from gateway.settings_file import add_device

    settings, seen = _found(config)
    found = next((one for one in seen if one.identity == identity), None)
    if found is None:
        raise DeviceOrPermission(
            f"nothing is seen that is {identity}; storekeeper devices discover says what is"
        )
    if not (driver or found.driver):
        raise click.UsageError(f"{found.what}: say with --driver what it is; storekeeper driver list has all")
    values = {"name": name, "driver": driver or found.driver, "mode": mode, "location": location}
    change = add_device(find(config), {**values, **found.settings})
    if not change.written:
        click.echo(f"{change.refused}\nThe section to write:\n\n{change.paste}", err=True)
        ctx.exit(1)
    click.echo(f"{name} is in {find(config)}")
    try:
        if settings:
            tell(settings, "device", {"name": name, "do": "confirm", "hardware": found.hardware})
            tell(settings, "settings", {})
    except DaemonNotReachable:
        click.echo(
            f"the daemon takes it up when it starts; then: storekeeper devices confirm {name}", err=True
        )


@click.command(
    epilog=examples(
        "storekeeper devices ignore keyboard@1.1", "storekeeper devices ignore keyboard@1.1 --not"
    )
)
@click.argument("identity")
@click.option("--not", "wanted", is_flag=True, help="Show it again.")
@config_option
def ignore(identity: str, wanted: bool, config: Path | None) -> None:
    """What is found and not wanted is not shown any more on the devices page."""
    _say(config, "hardware", {"identity": identity, "is": "" if wanted else "ignored"})


@click.command(
    epilog=examples(
        "storekeeper devices confirm counter", "storekeeper devices confirm counter -c config.toml"
    )
)
@click.argument("name")
@config_option
def confirm(name: str, config: Path | None) -> None:
    """Say that what is plugged in as NAME is the shop's: it is never blocked, and a blocked one counts again."""
    from drivers.discover import hardware_at
    from gateway.cli.device_line import named
    from gateway.config import find, load
    from gateway.plugged import where

    device = named(load(find(config)).settings, name)
    _say(config, "device", {"name": name, "do": "confirm", "hardware": hardware_at(where(device))})


@click.command(
    epilog=examples("storekeeper devices free counter", "storekeeper devices free counter -c config.toml")
)
@click.argument("name")
@config_option
def free(name: str, config: Path | None) -> None:
    """Let a muted or blocked device count again, this once. Of one that is muted: scan SK/FREE with it."""
    _say(config, "device", {"name": name, "do": "free"})


@click.command(
    epilog=examples("storekeeper devices sound counter", "storekeeper devices sound counter -c config.toml")
)
@click.argument("name")
@config_option
def sound(name: str, config: Path | None) -> None:
    """A test tone: which of the devices is it?"""
    _say(config, "device", {"name": name, "do": "identify"})


def _found(config: Path | None) -> tuple["Settings | None", list["Found"]]:
    """What is plugged in and not set up; pairing comes before there is a config file."""
    from gateway.config import find, load
    from gateway.errors import SettingsInvalid
    from gateway.plugged import strangers

    try:
        settings = load(find(config)).settings
    except SettingsInvalid:
        return None, strangers(())
    return settings, strangers(settings.devices)


def _say(config: Path | None, kind: str, body: dict[str, Any]) -> None:
    """To the daemon. Raises DaemonNotReachable, DeviceOrPermission."""
    from gateway.cli.opened import tell
    from gateway.config import find, load
    from gateway.errors import DeviceOrPermission

    code, text = tell(load(find(config)).settings, kind, body)
    if code in ("refused", "not_recording"):
        raise DeviceOrPermission(text)
    click.echo(text or "done")
