"""What is out of the ordinary is said with its evidence; ordinary weeks are not."""

from datetime import date

import numpy as np
import pytest

from models.anomalies import Judged, Screening, odd_sensor, season_shifts, trend_breaks
from models.learn import look_ahead
from tests.models.shop import panel

RNG = np.random.default_rng(3)


def last_month(units: np.ndarray):
    """The shop, and what was expected of its last 28 days."""
    shop = panel(units)
    pieces = look_ahead(shop.seen_at(shop.days - 29), None, 28)
    return shop, pieces.snapshot, pieces.rule.mean


def said(tests: Judged) -> list[tuple[str, str]]:
    screening = Screening()
    screening.add(tests)
    return [(odd.sku, odd.kind) for odd in screening.improbable()]


def test_weeks_that_fall_one_after_the_other_are_a_turned_trend():
    units = RNG.poisson(10, (20, 200)).astype(np.float32)
    for week, factor in enumerate((1.4, 1.0, 0.5, 0.2)):
        units[4, 172 + 7 * week : 179 + 7 * week] = np.round(10 * factor)

    tests = trend_breaks(*last_month(units))

    assert said(tests) == [("item-4", "trend")]
    assert "week by week 98, 70, 35, 14; about " in tests.odd[0].evidence


def test_a_level_that_stays_is_no_trend():
    units = RNG.poisson(10, (20, 200)).astype(np.float32)
    units[4, 172:] = 15

    assert said(trend_breaks(*last_month(units))) == []


def test_a_season_that_does_not_come_again_is_said():
    """Every November sold three times its October, this one does not."""
    units = RNG.poisson(10, (20, 450)).astype(np.float32)
    units[:, 450 - 364 - 28 : 450 - 364] = RNG.poisson(30, (20, 28))
    units[:19, -28:] = RNG.poisson(30, (19, 28))
    shop, snapshot, _ = last_month(units)

    tests = season_shifts(shop, snapshot)

    assert said(tests) == [("item-19", "season")]
    assert tests.odd[0].evidence.startswith("four weeks ")


def test_a_shop_younger_than_a_year_has_no_season_to_compare():
    shop, snapshot, _ = last_month(RNG.poisson(10, (3, 300)).astype(np.float32))

    assert season_shifts(shop, snapshot).count == 0


@pytest.mark.parametrize(("deviation", "is_said"), [(0.5, False), (2.0, False), (4.0, True), (-4.0, True)])
def test_a_thermometer_far_from_its_usual_day_is_said(deviation, is_said):
    odd = odd_sensor("fridge-2", date(2026, 11, 23), 5 + deviation, deviation, 1.0)

    assert (said(Judged(1, [odd])) == [("fridge-2", "sensor")]) is is_said
    assert odd.expected == pytest.approx(5.0)


def test_of_a_quiet_shop_hardly_anything_is_said():
    shop, snapshot, mean = last_month(RNG.poisson(RNG.gamma(1, 3, (300, 1)), (300, 450)).astype(np.float32))

    assert len(said(trend_breaks(shop, snapshot, mean))) + len(said(season_shifts(shop, snapshot))) <= 3
