"""The worker: python -m models learn|forecast|status|evaluate|promote|rollback|forecast-item|backtest.

Short-lived and niced. Reads ledger.db read-only and is the only writer of forecast.db; killed at any moment it leaves
the forecasts of the night before.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from models.worker import Shop

NICE = 10
PR_SET_PDEATHSIG = 1  # linux/prctl.h
ONE_CORE = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)  # read by numpy when it is imported: the rest is the shop's


def main(argv: list[str] | None = None) -> int:
    for name in ONE_CORE:
        os.environ.setdefault(name, "1")
    arguments = _parser().parse_args(argv)
    if hasattr(os, "nice"):
        os.nice(NICE)
    if arguments.dies_with:
        _die_with(arguments.dies_with)
    try:
        return int(arguments.run(arguments))
    except sqlite3.OperationalError as error:
        print(f"forecast: {error}; forecast.db keeps what it had", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"forecast: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.set_defaults(dies_with=0)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str, ledger: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(run=run)
        sub.add_argument(
            "--out", type=Path, default=Path("forecast.db"), help="forecast.db, written by this worker alone"
        )
        if ledger:
            sub.add_argument("--ledger", type=Path, required=True)
            sub.add_argument("--timezone", default="UTC", help="of the shop: a day ends at its midnight")
            sub.add_argument("--country", help="two letters, for public holidays")
            sub.add_argument("--subdivision", help="state or province, for public holidays")
            sub.add_argument(
                "--through", type=date.fromisoformat, help="last day to learn from (default: yesterday)"
            )
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument(
                "--block-items", type=int, default=500, help="items in memory at once, and in one transaction"
            )
            sub.add_argument("--dies-with", type=int, metavar="PID", help="end when this parent ends")
        return sub

    command(
        "forecast",
        _forecast,
        "catch up with the ledger and forecast every item, without learning",
        ledger=True,
    )
    command("learn", _learn, "one night: catch up, learn, decide who serves, forecast", ledger=True)
    command(
        "evaluate", _evaluate, "score the serving model and the simple rule on the last 28 days", ledger=True
    )
    status = command("status", _status, "who serves, how good it is and what was decided")
    status.add_argument("--json", action="store_true")
    command("promote", _promote, "let a version serve").add_argument("version")
    command("rollback", _rollback, "let the version before the champion serve again")
    item = command("forecast-item", _item, "the forecast of one item")
    item.add_argument("sku")
    item.add_argument("--json", action="store_true")
    bench = commands.add_parser(
        "backtest", help="rolling-origin forecasts of a folder of demand data (extra: bench)"
    )
    bench.set_defaults(run=_backtest)
    bench.add_argument("data", type=Path)
    bench.add_argument("--out", type=Path, required=True, help="predictions.parquet or predictions.csv.gz")
    bench.add_argument("--sums", default="7", help="spans in days, such as 7,14,28,49")
    bench.add_argument("--weights", type=Path, help="another shipped.npz")
    bench.add_argument("--history-days", type=int, help="see only so many days at each origin")
    bench.add_argument("--seed", type=int, default=0)
    return parser


def _die_with(parent: int) -> None:
    """Whoever started us and is killed takes us along: a second daemon must not meet a second worker."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        raise SystemExit(1)


def _open(arguments: argparse.Namespace) -> tuple[sqlite3.Connection, sqlite3.Connection, Shop, date]:
    from models import series, store, worker

    ledger = series.read_only(arguments.ledger)
    telemetry = arguments.ledger.with_name("telemetry.db")
    zone = ZoneInfo(arguments.timezone)
    shop = worker.Shop(zone, arguments.country, arguments.subdivision, arguments.seed, telemetry)
    through = arguments.through or datetime.now(UTC).astimezone(shop.zone).date() - timedelta(days=1)
    return store.open_store(arguments.out), ledger, shop, through


def _forecast(arguments: argparse.Namespace) -> int:
    from models import worker
    from models.progress import Progress

    store, ledger, shop, through = _open(arguments)
    progress = Progress(arguments.out)
    with closing(store), closing(ledger):
        progress.stage("catch_up")
        worker.catch_up(store, ledger, shop)
        items = worker.forecast_tonight(store, ledger, shop, through, progress, arguments.block_items)
    print(f"{items} items forecast from {through}")
    return 0


def _learn(arguments: argparse.Namespace) -> int:
    from models import worker
    from models.progress import Progress

    store, ledger, shop, through = _open(arguments)
    with closing(store), closing(ledger):
        for said in worker.one_night(
            store, ledger, shop, through, Progress(arguments.out), arguments.block_items
        ):
            print(said, flush=True)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from models import gate, worker

    store, ledger, shop, through = _open(arguments)
    with closing(store), closing(ledger):
        worker.catch_up(store, ledger, shop)
        who = worker.serving(store)
        panel = worker.sample_panel(store, ledger, shop, through)
    if panel is None or panel.days < worker.LOOK_BACK_DAYS_MIN or who.model is None:
        print(json.dumps({"serves": who.why, "loss": None, "rule_loss": None}))
        return 0
    trial = gate.trial_of(panel, who.model, who.calibration)
    print(
        json.dumps(
            {"serves": who.why, "loss": trial.loss, "rule_loss": trial.rule_loss, "items": len(panel.keys)}
        )
    )
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from models import store

    found = store.status(arguments.out)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    state = found["state"]
    assert isinstance(state, dict)
    print(
        f"served by {state.get('served_by', 'nothing yet')}; forecasts from {state.get('forecast_day', '-')}"
    )
    print(f"{found['items']} items, {found['simple_rule_items']} of them no better than the simple rule")
    decisions = found["decisions"]
    assert isinstance(decisions, list)
    for decision in decisions:
        print(f"{decision['day']}  {decision['action']} {decision['version']}: {decision['why']}")
    return 0


def _promote(arguments: argparse.Namespace) -> int:
    from models import store as db

    with closing(db.open_store(arguments.out)) as store, db.transaction(store):
        if arguments.version not in {row.version for row in db.models(store)}:
            raise ValueError(f"no version {arguments.version!r}; `status` lists them")
        db.set_role(store, arguments.version, "champion")
        db.decide(store, datetime.now(UTC).date(), "promoted", arguments.version, "a person said so")
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    from models import store as db

    with closing(db.open_store(arguments.out)) as store, db.transaction(store):
        champion, before = db.models(store, "champion"), db.models(store, "retired")
        if champion:
            db.set_role(store, champion[0].version, "rejected")
        if before:
            db.set_role(store, before[0].version, "champion")
        version = before[0].version if before else "shipped"
        db.decide(store, datetime.now(UTC).date(), "rolled back", version, "a person said so")
    print(f"{version} serves from the next forecast on")
    return 0


def _item(arguments: argparse.Namespace) -> int:
    from models import store

    found = store.forecast_item(arguments.out, arguments.sku)
    if found is None:
        raise ValueError(f"no forecast of {arguments.sku!r}; is it an item that has ever been sold?")
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    rule = " (simple rule: the model is no better here)" if found["simple_rule"] else ""
    error = f"last weeks' error {found['error_units']} a day"
    print(f"{arguments.sku}: {found['model']}{rule}, from {found['last_day']}, {error}")
    print("  ".join(f"{name} {units:+.2f}" for name, units in dict(found["pieces"]).items() if units))
    for day in found["days"]:
        print(f"{day['day']}  {day['mean']:8.2f}   10-90 %: {day['q10']:.1f} to {day['q90']:.1f}")
    return 0


def _backtest(arguments: argparse.Namespace) -> int:
    from models import backtest, worker
    from models.network import SHIPPED

    shipped = worker.shipped_model(arguments.weights or SHIPPED)
    if shipped is None:
        raise ValueError(f"{arguments.weights or SHIPPED}: not a model file of this version")
    spans = tuple(int(span) for span in arguments.sums.split(","))
    bench = backtest.read_bench(arguments.data)
    runs = backtest.backtest(bench, shipped, spans, arguments.history_days, arguments.seed)
    backtest.write_predictions(bench, runs, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
