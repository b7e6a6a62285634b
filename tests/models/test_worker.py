"""The worker as a process: a night, its answers, its faults."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from models import store as db
from tests.models.shop import MONDAY, Ledger

DAYS = 130
THROUGH = (MONDAY + timedelta(days=DAYS - 1)).isoformat()
ROOT = Path(__file__).parents[2]
KILLS = 200 if os.environ.get("SOAK") else 5


@pytest.fixture(scope="module")
def ledger_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "ledger.db"
    ledger, rng = Ledger(path), np.random.default_rng(0)
    for item in range(12):
        ledger.item(f"item-{item:02}", "food" if item % 2 else "drink")
        mean = 0.3 + item * np.where(np.arange(DAYS) % 7 == 5, 2, 1)
        ledger.sell(f"item-{item:02}", rng.poisson(mean).tolist())
    ledger.close()
    return path


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "models", name, *map(str, arguments)]


def worker(name: str, *arguments: object) -> str:
    done = subprocess.run(command(name, *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def learned(ledger_path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("learned") / "forecast.db"
    worker("learn", "--ledger", ledger_path, "--out", out, "--through", THROUGH)
    return out


def rows(path: Path, query: str) -> list[tuple]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
        return store.execute(query).fetchall()


def test_a_night_forecasts_every_item_for_four_weeks(learned):
    assert rows(learned, "SELECT count(*), count(DISTINCT sku), min(day) FROM forecast") == [
        (12 * 28, 12, "2024-05-10")
    ]


def test_the_fan_is_ordered(learned):
    assert (
        rows(
            learned,
            "SELECT * FROM forecast WHERE q10 < 0 OR q50 < q10 OR q90 < q50 OR q95 < q90 OR q99 < q95",
        )
        == []
    )


def test_sums_reach_review_and_lead_time(learned):
    query = "SELECT span FROM forecast_sum WHERE sku = 'item-03' AND start = 0 AND span >= 28 ORDER BY span"

    assert rows(learned, query) == [
        (28,), (35,), (42,), (49,), (56,),
    ]  # fmt: skip


def test_the_pieces_of_an_item_add_up_to_next_weeks_mean(learned):
    found = db.forecast_item(learned, "item-11")

    week = sum(day["mean"] for day in found["days"][:7]) / 7
    assert sum(found["pieces"].values()) == pytest.approx(week, abs=0.05)


def test_every_night_says_what_it_decided_and_why(learned):
    status = json.loads(worker("status", "--out", learned, "--json"))

    assert status["items"] == 12
    assert "loss of the last 28 days" in status["decisions"][0]["why"]


def test_a_night_run_twice_keeps_its_champion(ledger_path, learned, tmp_path):
    copy = tmp_path / "forecast.db"
    with sqlite3.connect(learned) as store, sqlite3.connect(copy) as target:
        store.backup(target)
        target.execute("UPDATE model SET role = 'champion'")

    worker("learn", "--ledger", ledger_path, "--out", copy, "--through", THROUGH)

    assert rows(copy, "SELECT role FROM model") == [("champion",)]
    assert rows(copy, "SELECT value FROM state WHERE name = 'served_by'")[0][0].startswith("model 2024-")


def test_the_same_ledger_seed_and_version_give_the_same_forecasts(ledger_path, tmp_path):
    for name in ("a.db", "b.db"):
        worker("forecast", "--ledger", ledger_path, "--out", tmp_path / name, "--through", THROUGH)

    query = "SELECT * FROM forecast ORDER BY sku, day"
    assert rows(tmp_path / "a.db", query) == rows(tmp_path / "b.db", query)


def test_a_second_night_reads_only_new_movements(ledger_path, tmp_path):
    out = tmp_path / "forecast.db"
    worker("forecast", "--ledger", ledger_path, "--out", out, "--through", THROUGH)
    before = rows(out, "SELECT * FROM demand ORDER BY sku")

    worker("forecast", "--ledger", ledger_path, "--out", out, "--through", THROUGH)

    assert rows(out, "SELECT * FROM demand ORDER BY sku") == before


def test_a_rollback_lets_the_version_before_serve(learned, tmp_path):
    copy = tmp_path / "forecast.db"
    with sqlite3.connect(learned) as store, sqlite3.connect(copy) as target:
        store.backup(target)

    said = worker("rollback", "--out", copy)

    assert said.startswith("shipped serves")
    assert rows(copy, "SELECT action FROM decision ORDER BY id DESC LIMIT 1") == [("rolled back",)]


def test_a_damaged_champion_is_passed_over_and_that_is_said(ledger_path, learned, tmp_path):
    copy = tmp_path / "forecast.db"
    with sqlite3.connect(learned) as store, sqlite3.connect(copy) as target:
        store.backup(target)
        target.execute("UPDATE model SET role = 'champion', weights = x'00'")

    worker("forecast", "--ledger", ledger_path, "--out", copy, "--through", THROUGH)

    assert "is damaged" in rows(copy, "SELECT value FROM state WHERE name = 'served_by'")[0][0]


def test_without_a_shipped_model_the_simple_rule_serves_and_says_so(ledger_path, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    code = "import models.worker as w, models.__main__ as m, sys; from pathlib import Path;"
    code += f"w.shipped_model.__defaults__ = (Path({str(broken / 'none.npz')!r}),); sys.exit(m.main(sys.argv[1:]))"
    arguments = [
        "forecast",
        "--ledger",
        str(ledger_path),
        "--out",
        str(tmp_path / "f.db"),
        "--through",
        THROUGH,
    ]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, capture_output=True)

    served = rows(tmp_path / "f.db", "SELECT value FROM state WHERE name = 'served_by'")[0][0]
    assert served.startswith("simple rule: the shipped model file is not usable")
    assert rows(tmp_path / "f.db", "SELECT count(*) FROM forecast WHERE mean > 0")[0][0] > 0


def test_a_forecast_file_that_is_no_database_is_put_aside(ledger_path, tmp_path):
    out = tmp_path / "forecast.db"
    out.write_bytes(b"this is not a database, it only looks like a file" * 40)

    worker("forecast", "--ledger", ledger_path, "--out", out, "--through", THROUGH)

    assert (tmp_path / "forecast.db.damaged").exists()
    assert rows(out, "SELECT count(DISTINCT sku) FROM forecast") == [(12,)]


def test_an_empty_ledger_is_an_empty_night(tmp_path):
    Ledger(tmp_path / "ledger.db").close()

    said = worker(
        "learn", "--ledger", tmp_path / "ledger.db", "--out", tmp_path / "f.db", "--through", THROUGH
    )

    assert "nothing to learn" in said
    assert "0 items forecast" in said


def test_an_unknown_item_is_named(learned):
    done = subprocess.run(
        command("forecast-item", "no-such", "--out", learned),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "no forecast of 'no-such'" in done.stderr


def test_a_worker_killed_at_any_moment_leaves_the_forecasts_of_the_night_before(
    ledger_path, learned, tmp_path
):
    out = tmp_path / "forecast.db"
    with sqlite3.connect(learned) as store, sqlite3.connect(out) as target:
        store.backup(target)
    chance = random.Random(1)
    night = command("learn", "--ledger", ledger_path, "--out", out, "--through", THROUGH)

    for _ in range(KILLS):
        process = subprocess.Popen(
            [*night, "--seed", str(chance.randint(1, 99))],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(chance.uniform(0.1, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert rows(out, "PRAGMA integrity_check") == [("ok",)]
        assert rows(out, "SELECT count(*) FROM forecast") == [(12 * 28,)]
