"""`storekeeper plans`: promotions, closed days, one-offs, prices to come, daily factors, sister items."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli import config_option, examples, json_option

ROWS_PER_DOCUMENT = 500


@click.group(
    epilog=examples("storekeeper plans import calendar.csv", "storekeeper plans factor footfall.csv --ahead"),
    short_help="Promotions, closed days, daily factors: what the forecast should know.",
)
def plans() -> None:
    """Promotions, closed days, one-offs, price changes, daily factors: what the forecast should know.

    The next night's learning uses it.
    """


@plans.command("list", epilog=examples("storekeeper plans list", "storekeeper plans list --all --json"))
@click.option("--all", "show_all", is_flag=True, help="Those that are over, too.")
@config_option
@json_option
def list_(show_all: bool, config: Path | None, as_json: bool) -> None:
    """What is planned, the factors with the days that they reach, and new items with their sisters."""
    from dataclasses import asdict
    from datetime import date

    from gateway.cli.opened import opened
    from gateway.ledger import plans as table

    _, ledger = opened(config)
    found = table.plans(ledger, None, "" if show_all else date.today().isoformat())
    factors = table.factors(ledger)
    if as_json:
        import json

        body = {"plans": [asdict(one) for one in found], "factors": [asdict(one) for one in factors]}
        click.echo(json.dumps(body, ensure_ascii=False))
        return
    for one in found:
        click.echo(f"{one.starts_on} to {one.ends_on}  {one.kind:<14} {one.sku or 'the whole shop'}")
    for factor in factors:
        known = "known ahead" if factor.known_ahead else "observed only"
        click.echo(
            f"factor {factor.name}: {factor.days} days, {factor.first_day} to {factor.last_day}, {known}"
        )
    if not found and not factors:
        click.echo("nothing is planned, and there are no factors", err=True)


@plans.command(
    "import",
    epilog=examples(
        "storekeeper plans import calendar.csv", "storekeeper plans import calendar.csv --dry-run"
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what is wrong; change nothing.")
@config_option
@click.pass_context
def import_(ctx: click.Context, file: Path, dry_run: bool, config: Path | None) -> None:
    """Read plans from a CSV FILE with the columns item, starts_on, ends_on, kind, strength, price.

    An empty item is the whole shop; dates are YYYY-MM-DD; kind is promotion, display, closed, school_holiday,
    one_off, launch, weekly_sums (one number a week was booked) or price. The same line twice is one plan.
    """
    from gateway.cli.opened import opened
    from gateway.ledger import queries

    settings, ledger = opened(config)
    rows: list[dict[str, Any]] = []
    wrong = []
    for number, line in _lines(file, ("starts_on", "kind")):
        try:
            code = (line.get("item") or line.get("sku") or "").strip()
            sku = queries.sku_of(ledger, code) if code else ""
            if sku is None:
                raise ValueError(f"no item has the code {code!r}")
            row = {"plan": _plan(line, sku, settings.shop.currency)}
            _check(row)
            rows.append(row)
        except ValueError as error:
            wrong.append(f"{file.name} row {number}: {error}. Row left out")
    _send(ctx, settings, rows, wrong, dry_run, "plans")


@plans.command(
    epilog=examples("storekeeper plans factor footfall.csv", "storekeeper plans factor events.csv --ahead")
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="What it is called; else the name of the file.")
@click.option(
    "--ahead/--observed", default=False, help="Its days to come are known; else only those past are."
)
@click.option("--dry-run", is_flag=True, help="Say what is wrong; change nothing.")
@config_option
@click.pass_context
def factor(
    ctx: click.Context, file: Path, name: str | None, ahead: bool, dry_run: bool, config: Path | None
) -> None:
    """Read a daily series from a CSV FILE with the columns day and value: footfall, events, temperature.

    The forecast uses it only where a back-test says that it helps: storekeeper model status says so.
    """
    from gateway.cli.opened import opened
    from gateway.ledger.factor_file import read_factor

    settings, _ = opened(config)
    try:
        read = read_factor(file, name, known_ahead=ahead)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rows = [{"factor": row} for row in read.rows]
    _send(ctx, settings, rows, read.wrong, dry_run, f"factor {read.name}: days", read.days)


@plans.command(
    epilog=examples(
        "storekeeper plans like new-tea old-tea", "storekeeper plans like new-tea old-tea --share 0.5"
    )
)
@click.argument("new")
@click.argument("known")
@click.option("--share", default=1.0, show_default=True, help="Of what KNOWN sells; 0 forgets it.")
@config_option
@click.pass_context
def like(ctx: click.Context, new: str, known: str, share: float, config: Path | None) -> None:
    """The item NEW is expected to sell like the item KNOWN until it has days of its own."""
    from gateway.cli.opened import opened
    from gateway.ledger import queries

    settings, ledger = opened(config)
    found = [queries.sku_of(ledger, code) for code in (new, known)]
    for code, sku in zip((new, known), found, strict=True):
        if sku is None:
            raise click.UsageError(
                f"no item has the code {code!r}; storekeeper stock show TEXT searches by name"
            )
    _send(
        ctx,
        settings,
        [{"like": {"sku": found[0], "like_sku": found[1], "share": share}}],
        [],
        False,
        "sisters",
    )


def _lines(file: Path, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """As `lines`; raises click.UsageError when a column is missing."""
    from gateway.ledger.factor_file import lines

    try:
        yield from lines(file, wanted)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _plan(line: dict[str, str], sku: str, currency: str) -> dict[str, Any]:
    from gateway.cli.items import digits_of

    plan: dict[str, Any] = {"sku": sku, "starts_on": line["starts_on"].strip(), "kind": line["kind"].strip()}
    plan["ends_on"] = line.get("ends_on", "").strip() or plan["starts_on"]
    if line.get("strength", "").strip():
        plan["strength"] = float(line["strength"].replace(",", "."))
    if line.get("price", "").strip():
        plan["price_minor"] = round(float(line["price"].replace(",", ".")) * 10 ** digits_of(currency))
    return plan


def _check(row: dict[str, Any]) -> None:
    """What the core would refuse is said here, with its row."""
    from gateway.ledger.plans import statements_of

    statements_of(row, 0)


def _send(
    ctx: click.Context,
    settings: Any,
    rows: list[dict[str, Any]],
    wrong: list[str],
    dry_run: bool,
    what: str,
    count: int | None = None,
) -> None:
    from gateway.cli.opened import tell

    for text in wrong:
        click.echo(text, err=True)
    refused = []
    for start in range(0, 0 if dry_run else len(rows), ROWS_PER_DOCUMENT):
        code, text = tell(settings, "items", {"rows": rows[start : start + ROWS_PER_DOCUMENT]})
        if code != "ok":
            refused.append(text)
            click.echo(f"not recorded: {text}", err=True)
    click.echo(
        f"{what}: {len(rows) if count is None else count}{' would be' if dry_run else ''} taken, {len(wrong)} left out"
    )
    ctx.exit(1 if wrong or refused else 0)
