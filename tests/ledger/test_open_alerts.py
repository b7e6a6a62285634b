"""What looks at the ledger again and again sees each change, and touches nothing while there is none."""

import sqlite3
from pathlib import Path

import pytest

from gateway.ledger.open_alerts import OpenAlerts
from gateway.ledger.writer import AlertClosed, AlertRaised, Writer


def say(writer: Writer, *news: AlertRaised | AlertClosed) -> None:
    batch = writer.batch()
    batch.alerts += news
    writer.commit(batch)


def test_a_notice_is_open_from_when_it_is_raised_until_it_is_closed(tmp_path: Path) -> None:
    writer = Writer(tmp_path, ballast_mb=0)
    open_alerts = OpenAlerts(writer.path)
    seen = [open_alerts()]

    say(writer, AlertRaised("device_gone", "door", "warning", "door is not there"))
    seen.append(open_alerts())
    say(writer, AlertClosed("device_gone", "door"))
    seen.append(open_alerts())

    assert seen == [set(), {("device_gone", "door")}, set()]


def test_looking_at_a_ledger_that_nobody_writes_touches_no_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path, ballast_mb=0)
    say(writer, AlertRaised("disk", "90", "warning", "the disk is 91 % full"))
    open_alerts = OpenAlerts(writer.path)
    open_alerts()
    before = {file.name: file.stat().st_ctime_ns for file in tmp_path.iterdir()}

    again = [open_alerts() for _ in range(3)]

    assert again == [{("disk", "90")}] * 3
    assert {file.name: file.stat().st_ctime_ns for file in tmp_path.iterdir()} == before


def test_after_the_ledger_could_not_be_read_it_is_opened_anew(tmp_path: Path) -> None:
    open_alerts = OpenAlerts(tmp_path / "ledger.db")
    with pytest.raises(sqlite3.OperationalError):
        open_alerts()

    writer = Writer(tmp_path, ballast_mb=0)
    say(writer, AlertRaised("disk", "80", "info", "the disk is 81 % full"))

    assert open_alerts() == {("disk", "80")}
