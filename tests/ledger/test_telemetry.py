"""Telemetry never holds up a scan, and forgets by itself."""

import sqlite3
import threading
import time

import pytest

from gateway.ledger.telemetry import SAMPLE_DAYS, Telemetry

DAY_US = 86_400 * 10**6


@pytest.fixture
def telemetry(tmp_path):
    return Telemetry(tmp_path / "telemetry.db")


def rows(tmp_path, question):
    reader = sqlite3.connect(tmp_path / "telemetry.db")
    found = reader.execute(question).fetchall()
    reader.close()
    return found


def test_a_reading_is_reported_while_the_disk_takes_its_time(telemetry, tmp_path):
    telemetry.device("counter", "serial_scanner", "running")
    slow = sqlite3.connect(tmp_path / "telemetry.db", isolation_level=None)
    slow.execute("BEGIN IMMEDIATE")  # for the flush, a disk that does not answer
    writing = threading.Thread(target=telemetry.flush)
    writing.start()
    time.sleep(0.3)

    telemetry.heard("counter", 1)
    still_writing = writing.is_alive()
    slow.execute("ROLLBACK")
    writing.join()
    slow.close()
    telemetry.flush()

    assert still_writing
    assert rows(tmp_path, "SELECT state, last_reading_us FROM device_state") == [("running", 1)]


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(telemetry, tmp_path):
    (pages,) = telemetry._ledger.execute("PRAGMA page_count").fetchone()
    telemetry._ledger.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(2_000):
        telemetry.sample("fridge", "air", number, "celsius", 4.0)
    telemetry.device("fridge", "thermometer_sht3x", "running")
    telemetry.flush()
    refused = rows(tmp_path, "SELECT count(*) FROM sample")
    telemetry._ledger.execute("PRAGMA max_page_count = 10000")
    telemetry.sample("fridge", "air", 2_000, "celsius", 5.0)
    telemetry.flush()

    assert refused == [(0,)]
    assert rows(tmp_path, "SELECT count(*) FROM sample") == [(2_001,)]
    assert rows(tmp_path, "SELECT state FROM device_state") == [("running",)]


def test_samples_of_last_month_go_while_the_daemon_runs(telemetry, tmp_path):
    now_us = time.time_ns() // 1000
    for age_days in (SAMPLE_DAYS + 1, SAMPLE_DAYS - 1):
        telemetry.sample("fridge", "air", now_us - age_days * DAY_US, "celsius", 4.0)
    telemetry.flush()

    telemetry.trim()

    assert rows(tmp_path, "SELECT wall_us FROM sample") == [(now_us - (SAMPLE_DAYS - 1) * DAY_US,)]
