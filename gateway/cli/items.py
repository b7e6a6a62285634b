"""`storekeeper items`: what the shop sells, in and out as a table."""

from pathlib import Path
from typing import TextIO

import click

from gateway.cli import config_option, examples, json_option

ROWS_PER_DOCUMENT = 500


@click.group(
    epilog=examples("storekeeper items import items.csv --dry-run", "storekeeper items export -o items.csv")
)
def items() -> None:
    """What the shop sells: list, import a CSV file, export one."""


@items.command("list", epilog=examples("storekeeper items list", "storekeeper items list tea --json"))
@click.argument("text", default="")
@config_option
@json_option
def list_(text: str, config: Path | None, as_json: bool) -> None:
    """Items by name; with TEXT, those whose name, code, place or category contains it."""
    from gateway.cli.opened import opened
    from gateway.cli.stock import item_keys
    from gateway.ledger import queries

    _, ledger = opened(config)
    found = queries.items(ledger, text, limit=-1)
    if as_json:
        import json

        click.echo(json.dumps([item_keys(ledger, one) for one in found], ensure_ascii=False))
        return
    for one in found:
        click.echo(f"{one.sku:<20} {one.name}")
    if not found:
        click.echo("no such item" if text else "no items yet", err=True)


@items.command(
    "import",
    epilog=examples(
        "storekeeper items import items.csv --dry-run", "storekeeper items import items.csv --errors bad.csv"
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--errors", type=click.Path(path_type=Path, dir_okay=False), help="Write the bad rows there.")
@config_option
@json_option
@click.pass_context
def import_(
    ctx: click.Context, file: Path, dry_run: bool, errors: Path | None, config: Path | None, as_json: bool
) -> None:
    """Read items from a CSV FILE: new ones are added, known ones changed, bad rows left out.

    The first line names the columns: name, gtin (several with spaces, packs as CODE*12), sku, price, cost,
    category, unit (piece, gram, millilitre), place, low, supplier, pack, stocked. No column is needed but a
    name or a code. Codes of items that wait unnamed are booked. Exit code 1 when a row was left out.
    """
    from gateway.cli.item_table import changes, nearest_column, read_table, write_errors
    from gateway.cli.opened import opened, tell
    from gateway.ledger import queries

    settings, ledger = opened(config)
    table = read_table(
        file.read_bytes(), lambda code: queries.sku_of(ledger, code), digits_of(settings.shop.currency)
    )
    sorted_rows: dict[str, list[dict[str, object]]] = {"new": [], "changed": [], "same": []}
    for row in table.rows:
        item = queries.item(ledger, row["sku"])
        sorted_rows[changes(row, item, queries.codes_of(ledger, row["sku"]))].append(row)
    told = []
    to_send = sorted_rows["new"] + sorted_rows["changed"]
    if not dry_run:
        for start in range(0, len(to_send), ROWS_PER_DOCUMENT):
            told.append(tell(settings, "items", {"rows": to_send[start : start + ROWS_PER_DOCUMENT]}))
    if errors is not None:
        errors.write_text(write_errors(table.errors), encoding="utf-8")
    counts = {name: len(rows) for name, rows in sorted_rows.items()} | {"errors": len(table.errors)}
    if as_json:
        import json

        found = [{"row": one.row, "column": one.column, "text": one.text} for one in table.errors]
        click.echo(json.dumps(counts | {"dry_run": dry_run, "ignored": table.ignored, "error_rows": found}))
    else:
        for name in table.ignored:
            click.echo(f'column "{name}" is not read{nearest_column(name)}', err=True)
        for one in table.errors:
            click.echo(f"{file.name} {one}", err=True)
        would = "would be " if dry_run else ""
        click.echo(
            f"{counts['new']} {would}new, {counts['changed']} {would}changed, {counts['same']} the same, "
            f"{counts['errors']} left out"
        )
    failed = [text for code, text in told if code != "ok"]
    for text in failed:
        click.echo(f"not recorded: {text}", err=True)
    ctx.exit(1 if table.errors or failed else 0)


@items.command(epilog=examples("storekeeper items export", "storekeeper items export -o items.csv"))
@click.option(
    "-o", "--output", type=click.File("w", encoding="utf-8"), default="-", help="Where to; else stdout."
)
@config_option
def export(output: TextIO, config: Path | None) -> None:
    """All items as CSV. Importing it again changes nothing."""
    from gateway.cli.item_table import write_table
    from gateway.cli.opened import opened
    from gateway.ledger import queries

    settings, ledger = opened(config)
    found = queries.items(ledger, limit=-1)
    text = write_table(
        ((one, queries.codes_of(ledger, one.sku)) for one in found), digits_of(settings.shop.currency)
    )
    output.write(text)


def digits_of(currency: str) -> int:
    """How many digits the currency's minor unit has: 1.29 EUR, 300 JPY."""
    return {"JPY": 0, "ISK": 0, "KRW": 0, "BHD": 3, "KWD": 3}.get(currency, 2)
