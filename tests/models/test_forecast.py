"""Whatever the history, a forecast is a forecast: finite, not negative, not crossing."""

import numpy as np
import pytest

from models.anomalies import Anomaly, Judged, Screening
from models.baselines import dow_emp_q
from models.features import demand_given_at_least
from models.gate import Trial, better
from models.learn import Calibration, blend, learn, look_ahead
from models.panel import Panel
from models.worker import shipped_model
from tests.models.shop import MONDAY, panel

RNG = np.random.default_rng(5)
SPANS = [(0, 7), (7, 7), (0, 28)]


def weekly(items: int, days: int) -> np.ndarray:
    return RNG.poisson(np.where(np.arange(days) % 7 == 5, 9, 3), (items, days)).astype(np.float32)


def giant() -> np.ndarray:
    units = weekly(3, 200)
    units[1, 150] = 100_000
    return units


def gaps() -> np.ndarray:
    units = weekly(3, 200)
    units[0, 50:90] = np.nan
    units[1, ::3] = np.nan
    return units


HISTORIES = {
    "ten days": weekly(3, 10),
    "one day": weekly(3, 1),
    "all zeros": np.zeros((2, 120)),
    "one giant sale": giant(),
    "gaps": gaps(),
    "two years": weekly(2, 760),
}


@pytest.mark.parametrize("units", HISTORIES.values(), ids=HISTORIES.keys())
@pytest.mark.parametrize("with_model", [True, False], ids=["model", "simple-rule"])
def test_a_forecast_is_finite_not_negative_and_its_quantiles_do_not_cross(units, with_model):
    model = shipped_model() if with_model else None

    forecast = blend(look_ahead(panel(units), model, 28), Calibration.default(), model, SPANS)

    for mean, quantiles in [(forecast.mean, forecast.quantiles), *forecast.sums.values()]:
        assert np.isfinite(mean).all() and (mean >= 0).all()
        assert np.isfinite(quantiles).all() and (quantiles >= 0).all()
        assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_nothing_is_sold_on_a_closed_day():
    closed = np.zeros((1, 290), np.bool_)
    closed[0, 203] = True
    model = shipped_model()

    forecast = blend(
        look_ahead(panel(weekly(2, 200), closed=closed), model, 7), Calibration.default(), model, ()
    )

    assert (forecast.mean[:, 3] == 0).all() and (forecast.quantiles[:, 3] == 0).all()
    assert (forecast.mean[:, 4] > 0).all()


def test_the_best_weekday_is_forecast_as_the_best_weekday():
    model = shipped_model()

    forecast = blend(look_ahead(panel(weekly(3, 196)), model, 7), Calibration.default(), model, ())

    assert (forecast.mean.argmax(1) == 5).all()


def test_a_promotion_that_always_doubled_sales_lifts_the_forecast():
    promotion = np.zeros((1, 290), np.float32)
    promotion[0, 20:200:20] = promotion[0, 21:200:20] = promotion[0, 202] = 1
    units = np.where(promotion[0, :200] > 0, 12, 4) * np.ones((3, 1))
    model = shipped_model()

    mean = blend(
        look_ahead(panel(units, promotion=promotion), model, 7), Calibration.default(), model, ()
    ).mean

    assert (mean[:, 2] > 1.5 * mean[:, 1]).all()


def test_the_simple_rule_repeats_a_steady_item():
    rule = dow_emp_q(panel(np.full((1, 112), 4.0)), np.arange(1, 8))

    assert rule.mean == pytest.approx(np.full((1, 7), 4.0), abs=0.05)
    assert rule.quantiles[0, 0] == pytest.approx([4.0] * 5, abs=0.1)


def test_the_simple_rule_knows_the_day_that_is_always_shut():
    week = [5, 5, 5, 5, 5, 5, 0]

    rule = dow_emp_q(panel(np.tile(week, 16)), np.arange(1, 8))

    assert rule.mean[0] == pytest.approx(week, abs=0.6)


def test_an_item_without_demand_on_censored_days_is_not_an_item_without_demand():
    units, censored = np.full((1, 100), 6.0), np.zeros((1, 100), np.bool_)
    units[0, 60:], censored[0, 60:] = 0, True

    rule = dow_emp_q(panel(units, censored=censored), np.arange(1, 8))

    assert rule.mean[0] == pytest.approx([6.0] * 7, abs=0.3)


@pytest.mark.parametrize(
    ("sold", "expected", "demand"),
    [(2.0, 9.0, 13.2), (9.0, 4.0, 11.8), (1.0, 0.25, 1.35)],
    ids=["sold out early", "sold more than usual", "a slow item"],
)
def test_a_sold_out_day_counts_as_at_least_what_was_sold_and_expected(sold, expected, demand):
    assert demand_given_at_least(np.array([sold]), np.array([expected]))[0] == pytest.approx(demand)


def test_a_shop_that_sells_out_every_saturday_forecasts_more_than_it_sold():
    units, censored = np.tile([4.0, 4, 4, 4, 4, 5, 4], 20)[None], np.zeros((1, 140), np.bool_)
    censored[0, 5::7] = True
    model = shipped_model()

    mean = blend(look_ahead(panel(units, censored=censored), model, 7), Calibration.default(), model, ()).mean

    assert mean[0, 5] > 6


@pytest.fixture(scope="module")
def shop() -> Panel:
    return panel(weekly(20, 200), MONDAY)


def test_two_nights_with_one_seed_learn_the_same_weights(shop, monkeypatch):
    monkeypatch.setattr("models.learn.VISITS_PER_NIGHT", 20_000)

    first, second = learn(shop, shipped_model(), seed=3), learn(shop, shipped_model(), seed=3)

    assert all((first[0].day[name] == second[0].day[name]).all() for name in first[0].day)
    assert (first[1].width == second[1].width).all()


def test_a_shop_of_a_few_weeks_keeps_the_shipped_weights():
    shipped = shipped_model()

    model, _ = learn(panel(weekly(3, 40)), shipped)

    assert model is shipped


def trial(loss: float, rule: float = 1.0) -> Trial:
    return Trial(np.full(50, loss), np.full(50, rule))


@pytest.mark.parametrize(
    ("challenger", "rival", "wins", "said"),
    [
        (0.80, 0.90, True, "better"),
        (0.90, 0.90, False, "not better by"),
        (0.95, 0.90, False, "not better by"),
        (1.10, 1.20, False, "not better than the simple rule"),
        (float("nan"), 0.90, False, "nothing was sold"),
    ],
)
def test_a_challenger_serves_only_when_it_is_better_on_days_unseen(challenger, rival, wins, said):
    verdict, why = better(trial(challenger), trial(rival), "champion")

    assert verdict is wins
    assert said in why


def odd(p: float) -> Anomaly:
    return Anomaly("tea", MONDAY, "spike", 9, 1, 0, 3, p, "sold 9")


def test_one_small_probability_among_many_items_is_no_alarm():
    tests = Screening()
    tests.add(Judged(100, [odd(0.01)]))

    assert tests.improbable() == []


def test_a_probability_small_for_the_whole_shop_is_an_alarm():
    tests = Screening()
    tests.add(Judged(100, [odd(0.0001), odd(0.5)]))

    assert [found.p for found in tests.improbable()] == [0.0001]
