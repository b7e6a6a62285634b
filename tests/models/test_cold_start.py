"""Items with few days of their own: wide at first, soon like themselves, never nonsense."""

from datetime import timedelta

import numpy as np
import pytest

from models.cold_start import Profile, Start, count_quantiles, forecast_of, is_settled, profile_of, start_of
from tests.models.shop import MONDAY, Ledger, panel
from tests.models.test_worker import rows, worker

FLAT = Profile({"tea": (4.0, 1.0)}, (1.0, 1.0), np.ones(7), np.ones(5), 1.1, 0.0)
WEEK = np.arange(7)


def start(rate: float, cv: float, days: float = 0, sold: float = 0) -> Start:
    return Start(*(np.array([value]) for value in (rate, cv, days, days, sold)))


def test_the_quantiles_of_a_count_are_the_smallest_counts_that_cover_their_levels():
    """A Poisson of mean 2: 0.135, 0.406, 0.677, 0.857, 0.947, 0.983, 0.995."""
    found = count_quantiles(np.array([2.0]), np.array([2.0]))

    assert found.tolist() == [[0, 2, 4, 5, 6]]


def test_of_an_item_that_nobody_bought_yet_its_category_tells():
    found = forecast_of(start(4, 1), FLAT, WEEK, [(0, 7)])

    assert found.mean[0] == pytest.approx([4] * 7)
    assert found.sums[0, 7][0][0] == pytest.approx(28)


def test_days_of_its_own_soon_say_more_than_the_category():
    """The category sells 4 a day; it sold 1 a day."""
    means = [forecast_of(start(4, 1, days, days), FLAT, WEEK, ()).mean[0, 0] for days in (0, 7, 28)]

    assert means[0] == pytest.approx(4)
    assert means[0] > means[1] > means[2]
    assert means[2] == pytest.approx(1.03, abs=0.01)


def test_the_range_of_a_new_item_narrows_as_days_come():
    ranges = [forecast_of(start(4, 1, days, 4 * days), FLAT, WEEK, ()).quantiles[0, 0] for days in (0, 7, 28)]

    assert ranges[0][3] > ranges[1][3] >= ranges[2][3]


def test_a_category_is_known_by_how_its_items_began():
    """Five items that sold 2 a day from their launch on, and old ones that sell 9."""
    new = [("tea", 100, np.full(60, 2.0)) for _ in range(5)]
    old = [("tea", 0, np.full(160, 9.0)) for _ in range(5)]

    assert profile_of([*new, *old], 0).of("tea")[0] == pytest.approx(2.0)
    assert profile_of([], 0).of("tea") == (0.5, 2.0)


def test_an_item_back_after_months_without_stock_starts_from_what_it_sold_before():
    units = np.full((1, 150), 6.0)
    units[0, 60:148] = 0
    censored = np.zeros((1, 150), np.bool_)
    censored[0, 60:148] = True
    shop = panel(units, censored=censored)

    found = start_of(shop, FLAT, ["tea"], np.array([6.0]))

    assert not is_settled(shop)
    assert (found.rate[0], found.seen[0], found.sold[0]) == (6.0, 2.0, 12.0)


def test_an_item_of_many_months_is_nothing_new():
    assert is_settled(panel(np.ones((3, 150))))


@pytest.fixture(scope="module")
def forecast(tmp_path_factory):
    """Ten teas of 100 days; a new one delivered yesterday, one sold for two days, one compared, one with a sister."""
    folder, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(0)
    ledger = Ledger(folder / "ledger.db")
    for number in range(10):
        ledger.item(f"tea-{number}", "tea")
        ledger.sell(f"tea-{number}", rng.poisson(4, 100).tolist())
    for sku in ("delivered", "two-days", "sister"):
        ledger.item(sku, "tea")
    ledger.move("delivered", "receipt", 12, MONDAY + timedelta(days=99))
    ledger.sell("two-days", [3, 5], MONDAY + timedelta(days=98))
    ledger.like("sister", "tea-3", 0.5)
    ledger.close()
    through = (MONDAY + timedelta(days=99)).isoformat()
    worker("forecast", "--ledger", folder / "ledger.db", "--out", folder / "f.db", "--through", through)
    return folder / "f.db"


def test_every_item_has_a_forecast_from_its_first_day(forecast):
    found = dict(rows(forecast, "SELECT sku, model FROM item WHERE sku NOT LIKE 'tea-%'"))

    assert found == {"delivered": "new", "two-days": "new", "sister": "new, like tea-3"}
    assert rows(forecast, "SELECT count(*) FROM forecast WHERE sku = 'sister'") == [(28,)]
    assert rows(forecast, "SELECT count(*) FROM forecast_sum WHERE sku = 'sister' AND span = 28") == [(1,)]


def test_a_sister_sells_the_share_that_the_owner_said(forecast):
    ((mean,),) = rows(
        forecast, "SELECT mean FROM forecast_sum WHERE sku = 'sister' AND start = 0 AND span = 28"
    )

    assert mean == pytest.approx(28 * 2, rel=0.15)


def test_a_new_item_is_less_sure_than_an_old_one(forecast):
    query = "SELECT sku, q95 / mean FROM forecast_sum WHERE start = 0 AND span = 7 AND sku IN ('delivered', 'tea-1')"
    found = dict(rows(forecast, query))

    assert found["delivered"] > 1.3 * found["tea-1"]


def test_no_forecast_of_a_new_item_is_negative_or_crosses(forecast):
    bad = "mean < 0 OR q50 < 0 OR q90 < q50 OR q95 < q90 OR q99 < q95"

    assert rows(forecast, f"SELECT * FROM forecast WHERE q10 < 0 OR q50 < q10 OR {bad}") == []
    assert rows(forecast, f"SELECT * FROM forecast_sum WHERE {bad}") == []
