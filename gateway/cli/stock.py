"""`storekeeper stock`: what is on hand, and the movements that say why."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import config_option, examples, json_option

if TYPE_CHECKING:
    from gateway.ledger.queries import Item, Movement

EXIT_NOT_FOUND = 1


@click.group(
    epilog=examples("storekeeper stock show", "storekeeper stock why 5901234123457 --json"),
)
def stock() -> None:
    """What is on hand, and the movements that say why."""


@stock.command(epilog=examples("storekeeper stock show", "storekeeper stock show milk --short --json"))
@click.argument("text", default="")
@click.option("--short", is_flag=True, help="Only what runs short.")
@config_option
@json_option
def show(text: str, short: bool, config: Path | None, as_json: bool) -> None:
    """What is on hand; with TEXT, the items whose name, code, place or category contains it."""
    from gateway.cli.opened import opened
    from gateway.ledger import queries

    _, ledger = opened(config)
    items = queries.items(ledger, text, short, limit=-1)
    if as_json:
        import json

        click.echo(json.dumps([item_keys(ledger, one) for one in items], ensure_ascii=False))
        return
    for one in items:
        flag = "  count it" if one.on_hand < 0 else "  short" if one.short else ""
        click.echo(f"{amount(one.on_hand, one.unit):>12}  {one.name}  {one.place}{flag}".rstrip())
    if not items:
        click.echo("nothing found" if text or short else "no items yet", err=True)


@stock.command(
    epilog=examples("storekeeper stock why 5901234123457", "storekeeper stock why oat-drink --json")
)
@click.argument("code")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many movements."
)
@config_option
@json_option
@click.pass_context
def why(ctx: click.Context, code: str, limit: int, config: Path | None, as_json: bool) -> None:
    """The movements behind the number on hand of the item CODE (its key, or any code printed on it)."""
    from gateway.cli.opened import local, opened
    from gateway.ledger import queries

    settings, ledger = opened(config)
    sku = queries.sku_of(ledger, code)
    item = queries.item(ledger, sku) if sku else None
    if item is None:
        click.echo(f"no item has the code {code!r}; storekeeper stock show TEXT searches by name", err=True)
        ctx.exit(EXIT_NOT_FOUND)
    steps = queries.why(ledger, item.sku, limit)
    if as_json:
        import json

        listed = [movement_keys(step.movement) | {"left": step.left} for step in steps]
        click.echo(json.dumps(item_keys(ledger, item) | {"movements": listed}, ensure_ascii=False))
        return
    click.echo(f"{item.name}: {amount(item.on_hand, item.unit)} on hand")
    for step in steps:
        click.echo(movement_line(step.movement, local(step.movement.happened_us, settings), step.left))


def item_keys(ledger: sqlite3.Connection, item: "Item") -> dict[str, Any]:
    """The stable keys of an item, as documented in docs/doors.md."""
    from gateway.ledger import queries

    return {
        "sku": item.sku,
        "name": item.name,
        "category": item.category,
        "unit": item.unit,
        "on_hand": item.on_hand,
        "price_minor": item.price_minor,
        "place": item.place,
        "stocked": item.stocked,
        "low_units": item.low_units,
        "short": item.short,
        "next_expiry": item.next_expiry,
        "codes": [[one.code, one.units] for one in queries.codes_of(ledger, item.sku)],
        "levels": [
            {"location": one.loc, "lot": one.lot, "expiry": one.expiry, "quantity": one.qty}
            for one in queries.levels(ledger, item.sku)
        ],
    }


def movement_keys(movement: "Movement") -> dict[str, Any]:
    """The stable keys of a movement, as documented in docs/doors.md."""
    from gateway.cli.opened import utc

    return {
        "seq": movement.seq,
        "kind": movement.kind,
        "sku": movement.sku,
        "name": movement.name,
        "quantity": movement.qty,
        "change": movement.delta,
        "source": movement.src,
        "destination": movement.dst,
        "lot": movement.lot,
        "expiry": movement.expiry,
        "reason": movement.reason,
        "document": movement.doc,
        "device": movement.device,
        "origin": movement.origin,
        "quantity_source": movement.qty_src,
        "happened_at": utc(movement.happened_us),
        "written_at": utc(movement.wall_us),
        "value_minor": movement.value_minor,
        "reverses": movement.reverses,
        "reversed_by": movement.reversed_by,
    }


def movement_line(movement: "Movement", when: str, left: int | None = None) -> str:
    """One line for people: when, what, by how much, and what was left then."""
    change = f"{movement.delta:+d}" if movement.delta else f"{movement.qty}"
    then = "" if left is None else f"  -> {left}"
    back = "  (taken back)" if movement.reversed_by else ""
    what = f"{movement.kind} undone" if movement.reverses else movement.kind
    name = "" if left is not None else f"  {movement.name}"
    return f"{movement.seq:>7}  {when}  {what:<16} {change:>7}{then}{name}  {movement.device}{back}"


def amount(units: int, unit: str) -> str:
    return {"gram": f"{units} g", "millilitre": f"{units} ml"}.get(unit, str(units))
