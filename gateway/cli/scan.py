"""`storekeeper scan CODE`: a scan through the real path: bus, interpretation, ledger, acknowledgement."""

from pathlib import Path

import click

from gateway.cli import config_option, examples, json_option

GOOD = ("ok", "low", "negative", "mode", "undo", "shown", "expired", "late")


@click.command(
    short_help="Put a scan in through the real path.",
    epilog=examples(
        "storekeeper scan 5901234123457 --mode sell", "storekeeper scan SK/UNDO --device counter"
    ),
)
@click.argument("code")
@click.option("--mode", type=click.Choice(["look", "sell", "receive", "return", "to_supplier"]), default=None)
@click.option("--qty", type=click.IntRange(1, 100_000), default=None, help="How many.")
@click.option("--device", default="", help="As if this station had scanned it; its mode applies.")
@click.option("--aim", default=None, help='AIM identifier of the scanner, such as "]C1".')
@config_option
@json_option
@click.pass_context
def scan(
    ctx: click.Context,
    code: str,
    mode: str | None,
    qty: int | None,
    device: str,
    aim: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Scan CODE without a scanner: booked, answered and synced like any other scan.

    Without --mode and --device nothing is booked: it is looked up. Exit code 1 when it was not booked.
    """
    from gateway.cli.opened import tell
    from gateway.config import find, load

    body = {"code": code, "device": device, "mode": mode, "qty": qty, "aim": aim}
    outcome, text = tell(load(find(config)).settings, "scan", body)
    if as_json:
        import json

        click.echo(json.dumps({"outcome": outcome, "text": text, "code": code}))
    else:
        click.echo(f"{outcome}: {text}")
    ctx.exit(0 if outcome in GOOD else 1)
