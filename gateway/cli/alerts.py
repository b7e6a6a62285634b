"""`storekeeper alerts`: what wants a person."""

from pathlib import Path

import click

from gateway.cli import config_option, examples, json_option


@click.group(epilog=examples("storekeeper alerts list", "storekeeper alerts ack 3"))
def alerts() -> None:
    """What wants a person: list, and say that you see to it."""


@alerts.command("list", epilog=examples("storekeeper alerts list", "storekeeper alerts list --all --json"))
@click.option("--all", "every", is_flag=True, help="Those seen to and over as well.")
@config_option
@json_option
def list_(every: bool, config: Path | None, as_json: bool) -> None:
    """Open alerts, the most serious first."""
    from gateway.cli.opened import opened, utc
    from gateway.ledger import queries

    _, ledger = opened(config)
    states = ("open", "ack", "closed") if every else ("open",)
    rows = queries.alerts(ledger, states, limit=-1)
    if as_json:
        import json

        listed = [
            {
                "id": row.id,
                "kind": row.kind,
                "subject": row.subject,
                "severity": row.severity,
                "state": row.state,
                "text": row.text,
                "data": row.data,
                "first": utc(row.first_us),
                "last": utc(row.last_us),
                "count": row.count,
            }
            for row in rows
        ]
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row.id:>5}  {row.severity:<8} {row.state:<6} {row.text}")
    if not rows:
        click.echo("no alert" if every else "no open alert", err=True)


@alerts.command(epilog=examples("storekeeper alerts ack 3", "storekeeper alerts ack 3 -c config.toml"))
@click.argument("number", type=int)
@config_option
@click.pass_context
def ack(ctx: click.Context, number: int, config: Path | None) -> None:
    """Say that you see to alert NUMBER."""
    from gateway.cli.opened import opened, tell
    from gateway.ledger import queries

    settings, ledger = opened(config)
    if number not in {row.id for row in queries.alerts(ledger, ("open", "ack"), limit=-1)}:
        click.echo(f"there is no open alert {number}; storekeeper alerts list shows them", err=True)
        ctx.exit(1)
    outcome, text = tell(settings, "alert", {"id": number, "do": "ack"})
    if outcome != "ok":
        click.echo(text, err=True)
        ctx.exit(1)
    click.echo(text or f"alert {number}: seen to")
