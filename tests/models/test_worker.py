"""The worker as a process: a night, its answers, its faults."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from models import store as db
from models.network import pack, unpack
from tests.models.shop import MONDAY, Ledger
from tests.system.disk import small_tmpfs

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


def test_the_same_ledger_seed_and_version_give_the_same_forecasts(ledger_path, learned, tmp_path):
    worker("learn", "--ledger", ledger_path, "--out", tmp_path / "again.db", "--through", THROUGH)

    for table in ("forecast", "forecast_sum", "item", "model"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
        assert rows(tmp_path / "again.db", query) == rows(learned, query)


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
    """By turns while it learns and while it forecasts; a worker that was done before its kill does not count."""
    out = tmp_path / "forecast.db"
    with sqlite3.connect(learned) as store, sqlite3.connect(out) as target:
        store.backup(target)
    night = ["--ledger", ledger_path, "--out", out, "--through", THROUGH, "--block-items", 3, "--seed"]
    began_s = time.monotonic()
    worker("forecast", *night, 0)
    last_moment_s = {"learn": 3.0, "forecast": time.monotonic() - began_s}
    chance, kills = random.Random(1), 0

    while kills < KILLS:
        name = "forecast" if kills % 2 else "learn"
        process = subprocess.Popen(
            command(name, *night, chance.randint(1, 3)),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(chance.uniform(0.1, last_moment_s[name]))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL

        assert rows(out, "PRAGMA integrity_check") == [("ok",)]
        assert rows(out, "SELECT count(*) FROM forecast") == [(12 * 28,)]
    worker("forecast", *night, 0)
    left = "SELECT count(*) FROM sqlite_master WHERE name GLOB 'next_*'"
    assert rows(out, f"SELECT (SELECT count(*) FROM forecast), ({left})") == [(12 * 28, 0)]


KILLED_AFTER_A_BLOCK = """
import os, signal, sys, time
from pathlib import Path
from datetime import date
from zoneinfo import ZoneInfo
from models import series, store, worker
from models.progress import Progress

class LastWords(Progress):
    def at(self, share, items=0):
        time.sleep(0.6 if items else 0)  # what is said oftener than twice a second is not written
        super().at(share, items)
        if items >= 6:
            os.kill(os.getpid(), signal.SIGKILL)

ledger, out, through = sys.argv[1:]
books, shop = series.read_only(Path(ledger)), worker.Shop(ZoneInfo("UTC"))
forecasts = store.open_store(Path(out))
worker.catch_up(forecasts, books, shop)
worker.forecast_tonight(forecasts, books, shop, date.fromisoformat(through), LastWords(Path(out)), 3)
"""


def test_a_worker_killed_between_blocks_goes_on_at_the_next_one(ledger_path, tmp_path):
    night = ["--ledger", ledger_path, "--through", THROUGH, "--block-items", 3, "--out"]
    worker("forecast", *night, tmp_path / "whole.db")
    out = tmp_path / "cut.db"
    cut = subprocess.run([sys.executable, "-c", KILLED_AFTER_A_BLOCK, ledger_path, out, THROUGH], cwd=ROOT)
    after_the_kill = rows(out, "SELECT (SELECT count(*) FROM forecast), (SELECT count(*) FROM next_item)")

    again = subprocess.run(command("forecast", *night, out), cwd=ROOT, capture_output=True, text=True)

    assert (cut.returncode, after_the_kill) == (-signal.SIGKILL, [(0, 6)])
    assert "forecast, 6 items" in again.stderr and "12 items forecast" in again.stdout
    for table in ("forecast", "forecast_sum", "item", "anomaly"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
        assert rows(out, query) == rows(tmp_path / "whole.db", query)


def test_a_night_cut_off_on_another_day_begins_anew(ledger_path, tmp_path):
    out = tmp_path / "cut.db"
    subprocess.run([sys.executable, "-c", KILLED_AFTER_A_BLOCK, ledger_path, out, "2024-04-30"], cwd=ROOT)

    worker("forecast", "--ledger", ledger_path, "--out", out, "--through", THROUGH, "--block-items", 3)

    assert rows(out, "SELECT min(day), count(*) FROM forecast") == [("2024-05-10", 12 * 28)]


def test_progress_is_told_while_a_night_goes_on_and_taken_away_at_its_end(ledger_path, tmp_path):
    out = tmp_path / "cut.db"
    subprocess.run([sys.executable, "-c", KILLED_AFTER_A_BLOCK, ledger_path, out, THROUGH], cwd=ROOT)
    told = json.loads((tmp_path / "cut.progress").read_text())

    worker("forecast", "--ledger", ledger_path, "--out", out, "--through", THROUGH)

    assert told["stage"] == "forecast" and 0 < told["percent"] < 100
    assert not (tmp_path / "cut.progress").exists()


def test_a_champion_worse_in_the_last_fortnight_gives_its_place_back(ledger_path, learned, tmp_path):
    """The champion of two weeks ago expects five times too much; the version before it was right."""
    out = tmp_path / "forecast.db"
    made_on = (MONDAY + timedelta(days=DAYS - 1 - 14)).isoformat()
    with sqlite3.connect(learned) as store, sqlite3.connect(out) as target:
        store.backup(target)
    store = db.open_store(out)
    (good, *_) = db.models(store)
    nets = unpack(good.weights)
    nets["day"]["out_b"] = nets["day"]["out_b"] + np.log(5)
    bad = replace(good, version="five-times", role="champion", made_on=made_on, weights=pack(nets))
    with db.transaction(store):
        db.set_role(store, good.version, "champion")
        db.put_model(store, bad)
        db.set_role(store, "five-times", "champion")
    store.close()

    said = worker("learn", "--ledger", ledger_path, "--out", out, "--through", THROUGH)

    assert "rolled back: the last 14 days" in said
    first = json.loads(worker("status", "--out", out, "--json"))["decisions"]
    back = [one for one in first if one["action"] == "rolled back"]
    assert [one["version"] for one in back] == [good.version]
    assert "five-times lost" in back[0]["why"]


@pytest.mark.parametrize("spoil", ["half", "other inputs", "not a number"])
def test_a_champion_of_another_version_is_passed_over_and_that_is_said(ledger_path, learned, tmp_path, spoil):
    out = tmp_path / "forecast.db"
    with sqlite3.connect(learned) as store, sqlite3.connect(out) as target:
        store.backup(target)
    store = db.open_store(out)
    (row, *_) = db.models(store)
    nets = unpack(row.weights)
    if spoil == "half":
        blob = row.weights[: len(row.weights) // 2]
    elif spoil == "other inputs":
        nets["day"]["w0"] = nets["day"]["w0"][:-3]
        blob = pack(nets)
    else:
        nets["day"]["w1"] = nets["day"]["w1"] * np.nan
        blob = pack(nets)
    with db.transaction(store):
        db.put_model(store, replace(row, weights=blob))
        db.set_role(store, row.version, "champion")
    store.close()

    worker("forecast", "--ledger", ledger_path, "--out", out, "--through", THROUGH)

    served = rows(out, "SELECT value FROM state WHERE name = 'served_by'")[0][0]
    assert served.startswith("model shipped") and f"{row.version} is damaged" in served
    assert rows(out, "SELECT count(*) FROM forecast") == [(12 * 28,)]


def test_a_full_disk_leaves_last_nights_forecasts_and_the_next_night_works(ledger_path, tmp_path):
    with small_tmpfs(tmp_path / "small", 3) as folder:
        out = folder / "forecast.db"
        night = ["--ledger", ledger_path, "--out", out, "--through"]
        worker("forecast", *night, "2024-05-08")
        room = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        (folder / "holiday-photos").write_bytes(bytes(room - 40_000))

        full = subprocess.run(command("forecast", *night, THROUGH), cwd=ROOT, capture_output=True, text=True)
        kept = rows(out, "SELECT min(day), count(*) FROM forecast")
        (folder / "holiday-photos").unlink()
        worker("forecast", *night, THROUGH)

        assert (full.returncode, kept) == (1, [("2024-05-09", 12 * 28)])
        assert "disk is full; forecast.db keeps what it had" in full.stderr
        assert rows(out, "SELECT min(day), count(*) FROM forecast") == [("2024-05-10", 12 * 28)]
