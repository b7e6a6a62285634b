"""The command line's frame: one module a command, read only when it is called.

Exit codes: 0 fine; 1 found problems; 2 wrong usage; 3 config invalid; 4 daemon not reachable; 5 device or
permission; 6 database; 130 interrupted. Data goes to stdout, everything else to stderr.
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.errors import Trouble

# name -> one line of `storekeeper --help`. The module gateway/cli/<name>.py holds a command of the same name
# (dashes become underscores) whose short help is this line: so `--help` imports none of them.
COMMANDS = {
    "demo": "A simulated shop, to look at without any hardware.",
    "run": "The daemon, in the foreground.",
    "check": "Check config.toml: line, column and remedy of each mistake.",
    "doctor": "Look at system, disk, devices and sync; say the remedy.",
    "service": "The systemd service: install, status, uninstall.",
    "devices": "Scanners, readers, scales and sensors, and how they are.",
    "driver": "For integrators: list, decode, record, test, new.",
    "code": "Explain what a barcode says.",
    "epc": "Explain what an RFID tag says.",
    "scan": "Put a scan in through the real path.",
    "stock": "What is on hand, and the movements that say why.",
    "items": "What the shop sells: list, import a CSV file, export one.",
    "journal": "The newest movements.",
    "alerts": "What wants a person: list, and say that you see to it.",
    "plans": "Promotions, closed days, daily factors: what the forecast should know.",
    "forecast": "What an item is expected to sell.",
    "model": "Who forecasts, how good it is, and why.",
    "ledger": "Recompute and verify the ledger.",
    "backup": "Copies of the ledger: create, list, verify, restore, prune.",
    "sync": "The line to the back office.",
    "backoffice": "The other end: stock of all gateways, acknowledged end to end.",
    "bench": "Measure the daemon on this machine; --card for a file to send in.",
    "help": "The page of a message code, such as SK-C03.",
}

F = TypeVar("F", bound=Callable[..., Any])


class LazyGroup(click.Group):
    """Knows its commands by the table above; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        attribute = cmd_name.replace("-", "_")
        command = getattr(import_module(f"gateway.cli.{attribute}"), attribute)
        assert isinstance(command, click.Command), f"gateway.cli.{attribute}.{attribute} is no click command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except Trouble as trouble:
            click.echo(f"storekeeper: {trouble}", err=True)
            ctx.exit(trouble.exit_status)
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)
            ctx.exit(130)


def examples(*lines: str) -> str:
    """The end of a command's help: `epilog=examples("storekeeper check", ...)`; two at least."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def did_you_mean(word: str, words: Any) -> str:
    """'; did you mean "tls"?', or nothing when no word is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(words), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def config_option(command: F) -> F:
    """`-c FILE`, the same for every command: the argument `config` is None when it was not given."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="config.toml to use; else $STOREKEEPER_CONFIG, ./config.toml, /etc/storekeeper/config.toml.",
    )(command)


def json_option(command: F) -> F:
    """`--json`: stable keys for programs. The argument is `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="For programs: JSON with stable keys.")(
        command
    )


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("storekeeper demo", "storekeeper check config.toml"),
)
@click.version_option(package_name="storekeeper", prog_name="storekeeper")
def main() -> None:
    """Keeps the stockroom of a shop: scanners, readers and scales in, a durable ledger and forecasts out."""
