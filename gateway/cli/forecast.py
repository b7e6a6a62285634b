"""`storekeeper forecast CODE`: what an item is expected to sell, never without its range and its error."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import config_option, examples, json_option

if TYPE_CHECKING:
    from gateway.ledger.forecasts import ForecastNote


@click.command(
    short_help="What an item is expected to sell.",
    epilog=examples("storekeeper forecast 5901234123457", "storekeeper forecast oat-drink --days 7 --json"),
)
@click.argument("code")
@click.option("--days", type=click.IntRange(1, 90), default=14, show_default=True, help="How far ahead.")
@config_option
@json_option
@click.pass_context
def forecast(ctx: click.Context, code: str, days: int, config: Path | None, as_json: bool) -> None:
    """The days ahead for the item CODE (its key or any code printed on it): mean, and 10 to 90 % range."""
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    from gateway.cli.opened import forecasts, opened
    from gateway.ledger import queries
    from gateway.ledger.forecasts import forecast as expected
    from gateway.ledger.forecasts import forecast_note

    settings, ledger = opened(config)
    sku = queries.sku_of(ledger, code)
    if sku is None:
        click.echo(f"no item has the code {code!r}; storekeeper stock show TEXT searches by name", err=True)
        ctx.exit(1)
    store = forecasts(settings)
    tomorrow = datetime.now(ZoneInfo(settings.shop.timezone)).date() + timedelta(days=1)
    rows = expected(store, sku, tomorrow.isoformat(), days) if store else []
    note = forecast_note(store, sku) if store else None
    if as_json:
        import json
        from dataclasses import asdict

        body = {"sku": sku, "days": [asdict(row) for row in rows], "note": asdict(note) if note else None}
        click.echo(json.dumps(body))
    elif not rows:
        click.echo("no forecast yet: it is made at night from what was sold", err=True)
    else:
        for row in rows:
            click.echo(f"{row.day}  {row.mean:8.1f}   {row.low:6.1f} to {row.high:6.1f}")
        for line in told(note):
            click.echo(line, err=True)
    ctx.exit(0 if rows else 1)


def told(note: "ForecastNote | None") -> list[str]:
    """Why the forecast is what it is, in units a day of next week, and how far it can be trusted."""
    if note is None:
        return []
    reasons = [
        f"{name} {units:+.1f}"
        for name, units in note.pieces.items()
        if name != "level" and abs(units) >= 0.05
    ]
    lines = (
        [", ".join([f"next week: {note.pieces.get('level', 0):.1f} a day", *reasons])] if note.pieces else []
    )
    if note.model.startswith("new"):
        item = note.model.removeprefix("new").removeprefix(", like ")
        return [
            *lines,
            f"new here: expected to sell like {item or 'others of its kind'}, and less sure for some weeks",
        ]
    if note.error_units is not None:
        served = "the simple rule: the model is no better here" if note.simple_rule else f"model {note.model}"
        rule = (
            f", the simple rule by {note.rule_error_units:.1f}" if note.rule_error_units is not None else ""
        )
        lines.append(f"by {served}; off by {note.error_units:.1f} a day over the last four weeks{rule}")
    return lines
