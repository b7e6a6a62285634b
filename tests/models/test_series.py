import sqlite3
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gateway.ledger.migrate import SCHEMA
from models.panel import Panel
from models.series import (
    DayRow,
    Event,
    Series,
    holiday_row,
    ledger_events,
    panel_of,
    read_only,
    sensor_days,
    sold_days,
    sold_prices,
)
from tests.models.shop import MONDAY, Ledger

UTC = ZoneInfo("UTC")


@pytest.fixture
def ledger(tmp_path):
    shop = Ledger(tmp_path / "ledger.db")
    yield shop
    shop.close()


def days_of(ledger: Ledger, zone: ZoneInfo = UTC, after: int = 0) -> list[tuple[str, str, int, int]]:
    with read_only(ledger.path) as db:
        rows = list(sold_days(db, after, 1000, zone))
    return [(r.sku, date.fromordinal(r.day).isoformat(), r.demand_units, r.change_units) for r in rows]


def series(
    sku: str, demand: list[float], change: list[float] | None = None, first_day: date = MONDAY
) -> Series:
    change = [-units for units in demand] if change is None else change
    return Series(sku, first_day.toordinal(), np.float32(demand), np.float32(change))


def shop(items: list[Series], through: date, events: list[Event] | None = None) -> Panel:
    return panel_of(items, {}, events or [], through, None)


def test_sales_of_a_day_add_up(ledger):
    ledger.move("tea", "sale", 2, MONDAY)
    ledger.move("tea", "sale", 3, MONDAY, hour=17)

    assert days_of(ledger) == [("tea", "2024-01-01", 5, -5)]


def test_a_cancelled_sale_takes_the_demand_off_the_day_it_was_booked_on(ledger):
    sale = ledger.move("tea", "sale", 2, MONDAY)
    ledger.move("tea", "sale", 2, MONDAY + timedelta(days=3), reverses=sale)

    assert days_of(ledger) == [("tea", "2024-01-01", 0, 0)]


def test_a_customer_return_is_not_negative_demand(ledger):
    ledger.move("tea", "sale", 2, MONDAY)
    ledger.move("tea", "customer_return", 1, MONDAY + timedelta(days=1))

    assert days_of(ledger) == [("tea", "2024-01-01", 2, -2), ("tea", "2024-01-02", 0, 1)]


def test_a_day_ends_at_the_shops_own_midnight(ledger):
    ledger.move("tea", "sale", 1, MONDAY, hour=23)

    assert days_of(ledger, ZoneInfo("Europe/Vienna")) == [("tea", "2024-01-02", 1, -1)]


def test_summer_time_moves_midnight(ledger):
    ledger.move("tea", "sale", 1, date(2024, 7, 1), hour=22)
    ledger.move("tea", "sale", 1, date(2024, 1, 1), hour=22)

    assert days_of(ledger, ZoneInfo("Europe/Vienna")) == [
        ("tea", "2024-01-01", 1, -1),
        ("tea", "2024-07-02", 1, -1),
    ]


def test_only_movements_after_the_last_night_are_read(ledger):
    ledger.move("tea", "sale", 1, MONDAY)
    ledger.move("tea", "sale", 4, MONDAY + timedelta(days=1))

    assert days_of(ledger, after=1) == [("tea", "2024-01-02", 4, -4)]


def test_more_movements_of_a_known_day_add_to_it():
    grown = series("tea", [1, 0, 2]).with_days([DayRow("tea", MONDAY.toordinal() + 2, 3, -3)])

    assert grown.demand.tolist() == [1, 0, 5]


def test_a_movement_that_arrives_late_moves_the_start_of_the_series():
    grown = series("tea", [7]).with_days([DayRow("tea", MONDAY.toordinal() - 2, 1, -1)])

    assert (grown.first_day, grown.demand.tolist()) == (MONDAY.toordinal() - 2, [1, 0, 7])


def test_days_after_the_last_sale_are_days_without_demand():
    seen = shop([series("tea", [3])], MONDAY + timedelta(days=2))

    assert seen.units.tolist() == [[3, 0, 0]]


def test_a_country_that_nobody_knows_has_no_holidays():
    assert not holiday_row(MONDAY, 400, "EN", None).any()
    assert holiday_row(MONDAY, 400, "DE", None).any()


def test_a_clock_that_ran_ahead_leaves_no_days_behind():
    seen = shop([series("tea", [3, 0, 0, 9])], MONDAY + timedelta(days=1))

    assert seen.units.tolist() == [[3, 0]]


def test_a_day_that_closes_with_an_empty_shelf_is_censored():
    seen = shop([series("tea", [2, 1, 0, 2], change=[3, -1, -2, 8])], MONDAY + timedelta(days=3))

    assert seen.censored.tolist() == [[False, False, True, False]]


def test_a_shop_that_never_books_receipts_has_no_censored_days():
    seen = shop([series("tea", [2, 1, 3])], MONDAY + timedelta(days=2))

    assert not seen.censored.any()


def test_a_one_off_says_nothing_about_other_days():
    event = Event("tea", MONDAY, MONDAY, "one_off")

    seen = shop([series("tea", [90, 1])], MONDAY + timedelta(days=1), [event])

    assert np.isnan(seen.units).tolist() == [[True, False]]


def test_a_promotion_in_the_past_of_all_data_is_ignored():
    event = Event("tea", date(2019, 1, 1), date(2019, 1, 8), "promotion")

    assert shop([series("tea", [1, 1])], MONDAY + timedelta(days=1), [event]).promotion.max() == 0


def test_a_closed_day_is_closed_for_every_item():
    event = Event("", MONDAY + timedelta(days=1), MONDAY + timedelta(days=1), "closed")

    assert shop([series("tea", [1, 1])], MONDAY + timedelta(days=1), [event]).closed[0, :3].tolist() == [
        False,
        True,
        False,
    ]


def test_what_a_till_books_once_a_week_is_shared_by_the_open_days_of_that_week():
    """Sunday's 12 are those of Monday to Sunday; on Wednesday the shop was closed."""
    week = [0, 0, 0, 0, 0, 0, 12]
    events = [
        Event("tea", MONDAY, MONDAY + timedelta(days=6), "weekly_sums"),
        Event("", MONDAY + timedelta(days=2), MONDAY + timedelta(days=2), "closed"),
    ]

    seen = shop([series("tea", week)], MONDAY + timedelta(days=6), events)

    assert seen.units.tolist() == [[2, 2, 0, 2, 2, 2, 2]]


def test_days_before_the_launch_are_unknown():
    event = Event("tea", MONDAY + timedelta(days=2), MONDAY + timedelta(days=2), "launch")

    seen = shop([series("tea", [0, 0, 3])], MONDAY + timedelta(days=2), [event])

    assert np.isnan(seen.units).tolist() == [[True, True, False]]


def test_a_shop_without_plans_has_no_events(ledger):
    with read_only(ledger.path) as db:
        assert ledger_events(db) == []


def test_the_price_of_a_day_is_what_the_till_took_for_a_unit(ledger):
    ledger.move("tea", "sale", 2, MONDAY, value_minor=300)
    ledger.move("tea", "sale", 1, MONDAY, value_minor=150)
    ledger.move("tea", "sale", 1, MONDAY + timedelta(days=1))

    with read_only(ledger.path) as db:
        assert list(sold_prices(db, 0, 99)) == [("tea", MONDAY.toordinal(), 150.0)]


def test_a_thermometers_day_is_the_mean_of_its_samples_without_nonsense(tmp_path):
    file = sqlite3.connect(tmp_path / "telemetry.db")
    file.executescript((SCHEMA / "telemetry.sql").read_text())
    noon_us = int(datetime(2024, 1, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
    hour_us = 3_600_000_000
    for hours, celsius in ((0, 4.0), (1, 6.0), (2, 1e9), (40, 9.0)):
        row = ("door", "", noon_us + hours * hour_us, "celsius", celsius)
        file.execute("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", row)

    found = sensor_days(file, MONDAY, MONDAY, UTC)
    file.close()

    assert found == {("door", "2024-01-01"): 5.0}


def test_what_a_person_answered_is_read_from_the_ledger(ledger):
    """Ninety sold on a Monday: "that was a one-off"."""
    ledger.plan("one_off", MONDAY, MONDAY, "tea")

    with read_only(ledger.path) as db:
        seen = shop([series("tea", [90, 1])], MONDAY + timedelta(days=1), ledger_events(db))

    assert np.isnan(seen.units).tolist() == [[True, False]]
