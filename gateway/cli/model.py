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
    from gateway.ledger.forecasts import model_status, progress

    settings, _ = opened(config)
    night = progress(settings.ledger.data_dir)
    if night is not None:
        done = f", {night.items} items" if night.items else ""
        click.echo(
            f"a night is under way: {night.stage.replace('_', ' ')}, {night.percent} %{done}", err=True
        )
    store = forecasts(settings)
    if store is None:
        click.echo("there is no forecast yet: it is made at night from what was sold", err=True)
        ctx.exit(1)
    found = model_status(store)
    if as_json:
        import json
        from dataclasses import asdict

        under_way = {"under_way": asdict(night) if night else None}
        click.echo(json.dumps(asdict(found) | under_way, ensure_ascii=False))
        return
    if found.state.get("served_by"):
        click.echo(f"served by {found.state['served_by']}")
    click.echo(f"{found.items} items, {found.simple_rule_items} of them by the simple rule")
    for one in found.versions:
        loss, rule = (f"{value:.3f}" if value is not None else "-" for value in (one.loss, one.rule_loss))
        click.echo(f"{one.version:<24} {one.role:<10} made {one.made_on}  error {loss}, simple rule {rule}")
    for said in found.decisions:
        click.echo(f"{said.day}  {said.action}  {said.version}: {said.why}")


@model.command(
    epilog=examples("storekeeper model train", "storekeeper model train -c config.toml --through 2026-11-20")
)
@click.option("--through", metavar="DAY", help="Last day to learn from; else yesterday.")
@config_option
def train(through: str | None, config: Path | None) -> None:
    """One night's work now: catch up with the ledger, learn, decide who serves, forecast every item."""
    work("learn", config, *(["--through", through] if through else []))


@model.command(epilog=examples("storekeeper model evaluate", "storekeeper model evaluate -c config.toml"))
@config_option
def evaluate(config: Path | None) -> None:
    """The error of who serves, beside that of the simple rule, on the last 28 days."""
    work("evaluate", config)


@model.command(
    epilog=examples("storekeeper model promote v12", "storekeeper model promote v12 -c config.toml")
)
@click.argument("version")
@config_option
def promote(version: str, config: Path | None) -> None:
    """Let VERSION serve from now on."""
    work("promote", config, version, reads_ledger=False)


@model.command(epilog=examples("storekeeper model rollback", "storekeeper model rollback -c config.toml"))
@config_option
def rollback(config: Path | None) -> None:
    """Let the version before the champion serve again."""
    work("rollback", config, reads_ledger=False)


def work(command: str, config: Path | None, *words: str, reads_ledger: bool = True) -> None:
    """Become the models worker: it alone writes forecast.db, and it is not for a process that stays."""
    import os
    import sys

    from gateway.cli.opened import opened

    settings, _ = opened(config)
    folder = settings.ledger.data_dir
    line = [sys.executable, "-m", "models", command, *words, "--out", str(folder / "forecast.db")]
    if reads_ledger:
        line += ["--ledger", str(folder / "ledger.db"), "--timezone", settings.shop.timezone]
        line += ["--country", settings.shop.country] if settings.shop.country else []
    os.execv(sys.executable, line)
