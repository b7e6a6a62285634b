"""A disk that fills up is said once a level, and what can be made again goes first."""

import os
import sqlite3
import time
from datetime import datetime
from pathlib import Path

import pytest

from gateway.config import Ledger, Settings
from gateway.ledger.backups import backups
from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.recovery import create
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import Writer
from gateway.room import Room, level_of, notices
from gateway.timetable import Timetable
from tests.system.disk import small_tmpfs
from tests.system.shop import open_shop

GIB = 1 << 30


@pytest.mark.parametrize(
    ("used_percent", "before", "level"),
    [
        (79.9, 0, 0),
        (80.0, 0, 80),
        (91.0, 80, 90),
        (99.0, 0, 95),
        (89.0, 90, 90),  # at the border: still the same notice
        (87.9, 90, 80),
        (77.0, 80, 0),
    ],
)
def test_the_level_of_a_disk(used_percent, before, level):
    assert level_of(used_percent, before) == level


def test_a_disk_that_reaches_ninety_percent_is_said_once_and_the_lower_notice_is_over():
    found = Room(used_percent=91.4, free_bytes=2 * GIB, size_bytes=30 * GIB)

    over, said = notices(found, {80})

    assert over == {"kind": "disk", "subject": "80", "over": True}
    assert (said["subject"], said["severity"]) == ("90", "warning")
    assert said["text"].startswith("the disk is 91 % full, 2,147 MB are left: delete what is not needed")
    assert notices(found, {90}) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_nearly_full_disk_is_an_alert_in_the_ledger_of_a_running_shop(tmp_path):
    with small_tmpfs(tmp_path / "small", 24) as disk, open_shop(tmp_path / "shop", data=disk) as shop:
        shop.start()
        free = os.statvfs(disk)
        (disk / "films").write_bytes(bytes(free.f_bavail * free.f_frsize - 2_000_000))

        def told():
            return shop.rows("SELECT subject, severity FROM alert WHERE kind = 'disk' AND state = 'open'")

        shop.wait_until(told, "the notice")
        assert told() == [("90", "warning")]
        shop.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_old_samples_go_first_and_then_all_copies_but_the_newest(tmp_path):
    with small_tmpfs(tmp_path / "small", 40) as disk:
        writer = Writer(disk, ballast_mb=1)
        telemetry = Telemetry(disk / "telemetry.db")
        now_us = time.time_ns() // 1000
        for at_us, celsius in ((now_us - 3 * 86_400_000_000, 4.0), (now_us, 5.0)):
            telemetry.sample("fridge", "probe", at_us, "celsius", celsius)
        telemetry.flush()
        for day in (1, 2):
            batch = writer.batch()
            batch.statements.append(("INSERT OR IGNORE INTO location VALUES (?, ?)", (f"shelf {day}", "")))
            writer.commit(batch)
            made = create(disk / "ledger.db", disk / "backups", datetime(2026, 11, day))
            made.path.rename(made.path.with_name(f"ledger-001-{day:012}-2026110{day}T0300.db"))
        free = os.statvfs(disk)
        (disk / "films").write_bytes(bytes(free.f_bavail * free.f_frsize - 500_000))
        timetable = Timetable(
            Settings(Path(tmp_path / "c.toml"), ledger=Ledger(disk)),
            telemetry,
            OpenAlerts(disk / "ledger.db"),
        )

        timetable.look_at_the_disk()
        telemetry._make_room()

        with sqlite3.connect(disk / "telemetry.db") as reader:
            samples = reader.execute("SELECT device, quantity, value FROM sample ORDER BY wall_us").fetchall()
        reader.close()
        assert [one.last_seq for one in backups(disk / "backups")] == [2]
        assert samples == [("", "gap", 1.0), ("fridge", "celsius", 5.0)]
        writer.close()
