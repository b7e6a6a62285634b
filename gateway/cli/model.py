"""`storekeeper model`: who forecasts, how good it is, and why."""

from pathlib import Path

import click

from gateway.cli import config_option, examples, json_option


@click.group(epilog=examples("storekeeper model status", "storekeeper model status --json"))
def model() -> None:
    """Who forecasts, how good it is, and why."""


@model.command(epilog=examples("storekeeper model status", "storekeeper model status --json"))
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """The versions with their errors beside that of the simple rule, and the last decisions in words."""
    from gateway.cli.opened import forecasts, opened
    from gateway.ledger import queries

    settings, _ = opened(config)
    store = forecasts(settings)
    if store is None:
        click.echo("there is no forecast yet: it is made at night from what was sold", err=True)
        ctx.exit(1)
    found = queries.model_status(store)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    click.echo(f"{found.items} items, {found.simple_rule_items} of them by the simple rule")
    for one in found.versions:
        loss, rule = (f"{value:.3f}" if value is not None else "-" for value in (one.loss, one.rule_loss))
        click.echo(f"{one.version:<24} {one.role:<10} made {one.made_on}  error {loss}, simple rule {rule}")
    for said in found.decisions:
        click.echo(f"{said.day}  {said.action}  {said.version}: {said.why}")
