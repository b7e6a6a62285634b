"""When the forecast's night begins, and what becomes of the worker."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config import Ledger, Settings
from gateway.ledger.made_at import made_us
from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.telemetry import Telemetry
from gateway.timetable import Timetable, can_forecast, is_due

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("made", "now", "due"),
    [
        ("2026-11-23T22:00", "2026-11-24T02:59", False),  # the night has not begun
        ("2026-11-23T22:00", "2026-11-24T03:00", True),
        ("2026-11-24T03:04", "2026-11-24T23:59", False),  # made this night
        ("2026-11-20T03:04", "2026-11-24T01:00", True),  # the box was off for days
    ],
)
def test_a_forecast_is_made_once_a_night(made, now, due):
    made_at, now_at = (datetime.fromisoformat(text).replace(tzinfo=BERLIN) for text in (made, now))

    assert is_due(int(made_at.timestamp()) * 1_000_000, now_at) is due


def test_a_shop_without_a_whole_forecast_gets_one_at_once(tmp_path):
    """There is no file, or one whose first night was cut off."""
    assert made_us(tmp_path / "forecast.db") is None
    sqlite3.connect(tmp_path / "forecast.db").execute("CREATE TABLE state (name, value)").connection.close()
    assert made_us(tmp_path / "forecast.db") is None

    assert is_due(None, datetime(2026, 11, 24, 12, tzinfo=BERLIN))


def said(telemetry, folder):
    telemetry.flush()
    reader = sqlite3.connect(folder / "telemetry.db")
    rows = reader.execute("SELECT state, text FROM link_state WHERE name = 'forecast'").fetchall()
    reader.close()
    return rows


def test_a_night_that_cannot_begin_is_said_and_stops_nothing(tmp_path):
    """The data folder cannot be looked into: here a file is in its place."""
    (tmp_path / "data").touch()
    telemetry = Telemetry(tmp_path / "telemetry.db")
    timetable = Timetable(
        Settings(tmp_path / "c.toml", ledger=Ledger(tmp_path / "data")),
        telemetry,
        OpenAlerts(tmp_path / "data" / "ledger.db"),
    )

    timetable.look()

    ((state, text),) = said(telemetry, tmp_path)
    assert state == "failed"
    assert "Not a directory" in text and text.endswith("the former forecast stays, it is tried again later")


NIGHT = """
import sys, time
from pathlib import Path
from gateway.config import Ledger, Settings
from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.telemetry import Telemetry
from gateway.timetable import Timetable
folder = Path(sys.argv[1])
timetable = Timetable(Settings(folder / "c.toml", ledger=Ledger(folder)), Telemetry(folder / "telemetry.db"),
    OpenAlerts(folder / "ledger.db"))
timetable.look()
print(timetable._worker.pid, flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not can_forecast(), reason="the extra [models] is not installed")
def test_the_worker_dies_with_a_daemon_that_is_killed(tmp_path):
    held = sqlite3.connect(tmp_path / "forecast.db", isolation_level=None)
    held.execute("CREATE TABLE busy (x)")
    held.execute("BEGIN EXCLUSIVE")  # the worker waits for it, up to ten seconds
    os.utime(tmp_path / "forecast.db", (0, 0))
    sqlite3.connect(tmp_path / "ledger.db").execute("CREATE TABLE movement (seq)").connection.close()
    daemon = subprocess.Popen([sys.executable, "-c", NIGHT, str(tmp_path)], stdout=subprocess.PIPE)
    worker = int(daemon.stdout.readline())
    wait_for(lambda: has_open(worker, tmp_path / "forecast.db"), "the worker at its work")
    os.kill(worker, signal.SIGSTOP)  # it does not end by itself

    daemon.send_signal(signal.SIGKILL)
    daemon.communicate()

    try:
        wait_for(lambda: not is_running(worker), "the end of the worker")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        held.close()


def has_open(pid: int, file: Path) -> bool:
    with contextlib.suppress(OSError):
        return file in [one.readlink() for one in Path(f"/proc/{pid}/fd").iterdir()]
    return False


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def test_asking_every_minute_whether_a_night_was_made_writes_nothing(tmp_path: Path) -> None:
    forecast = tmp_path / "forecast.db"
    store = sqlite3.connect(forecast)
    store.execute("PRAGMA journal_mode = wal")
    store.execute("CREATE TABLE state (name, value)")
    store.execute("INSERT INTO state VALUES ('made_us', '7')")
    store.commit()
    store.close()
    assert [made_us(forecast), made_us(forecast)] == [7, 7]
    for name in ("forecast.db-shm", "forecast.db-wal"):
        (tmp_path / name).unlink(missing_ok=True)
    made_us(forecast)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    assert made_us(forecast) == 7

    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
