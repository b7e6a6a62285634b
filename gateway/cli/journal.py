"""`storekeeper journal`: the newest movements."""

from pathlib import Path
from typing import get_args

import click

from gateway.cli import config_option, examples, json_option


@click.command(
    short_help="The newest movements.",
    epilog=examples("storekeeper journal", "storekeeper journal --kind sale --limit 5 --json"),
)
@click.option("--item", "code", default="", help="Only this item: its key or any code printed on it.")
@click.option("--kind", default="", help="Only this kind: sale, receipt, waste ...")
@click.option("--device", default="", help="Only what this device did.")
@click.option("--before", type=int, help="Only older ones than this seq: for the next page.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many.")
@config_option
@json_option
def journal(
    code: str, kind: str, device: str, before: int | None, limit: int, config: Path | None, as_json: bool
) -> None:
    """Every movement, the newest first. Nothing is ever edited: an undo is a movement of its own."""
    from gateway.cli.opened import local, opened
    from gateway.cli.stock import movement_keys, movement_line
    from gateway.ledger import queries
    from gateway.stock.movements import Kind

    kinds = get_args(Kind)
    if kind and kind not in kinds:
        raise click.BadParameter(f"{kind!r} is no kind; use one of: {', '.join(kinds)}")
    settings, ledger = opened(config)
    sku = (queries.sku_of(ledger, code) or code) if code else ""
    rows = queries.movements(ledger, sku=sku, kind=kind, device=device, before_seq=before, limit=limit)
    if as_json:
        import json

        click.echo(json.dumps([movement_keys(row) for row in rows], ensure_ascii=False))
        return
    for row in rows:
        click.echo(movement_line(row, local(row.happened_us, settings)))
    if not rows:
        click.echo("no such movement", err=True)
