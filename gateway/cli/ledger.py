"""`storekeeper ledger verify`: does the ledger keep its promises?"""

from pathlib import Path

import click

from gateway.cli import config_option, examples, json_option


@click.group(epilog=examples("storekeeper ledger verify", "storekeeper ledger verify --json"))
def ledger() -> None:
    """Recompute and verify the ledger."""


@ledger.command(epilog=examples("storekeeper ledger verify", "storekeeper ledger verify --json"))
@config_option
@json_option
@click.pass_context
def verify(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Recompute balances, order, reversals and the hash chain of every movement. Exit code 1 when wrong."""
    import contextlib
    import sqlite3

    from gateway.config import find, load
    from gateway.errors import LedgerUnusable
    from gateway.ledger.audit import audit
    from gateway.ledger.queries import connect

    path = load(find(config)).settings.ledger.data_dir / "ledger.db"
    try:
        with contextlib.closing(connect(path)) as connection:
            found = audit(connection)
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{path} cannot be read: {error}", "SK-L02") from error
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({"ok": not found.findings, **asdict(found)}))
    else:
        for finding in found.findings:
            click.echo(f"{finding.rule:<6} {finding.text}")
        verdict = f"{len(found.findings)} things are wrong" if found.findings else "all as booked"
        click.echo(f"{found.movements} movements, last {found.last_seq}: {verdict}", err=bool(found.findings))
    ctx.exit(1 if found.findings else 0)
