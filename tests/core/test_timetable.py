"""When the forecast's night begins."""

import os
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.timetable import is_due

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
def test_a_forecast_is_made_once_a_night(tmp_path, made, now, due):
    forecast = tmp_path / "forecast.db"
    forecast.touch()
    made_s = datetime.fromisoformat(made).replace(tzinfo=BERLIN).timestamp()
    os.utime(forecast, (made_s, made_s))

    assert is_due(forecast, datetime.fromisoformat(now).replace(tzinfo=BERLIN)) is due


def test_a_shop_without_a_forecast_gets_one_at_once(tmp_path):
    assert is_due(tmp_path / "forecast.db", datetime(2026, 11, 24, 12, tzinfo=BERLIN))
