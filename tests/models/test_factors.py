"""Daily factors: an effect that is there is found, noise stays off, and nothing that is fed makes a bad forecast."""

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from models import store as db
from models.factors import (
    PRICE,
    Effect,
    Factor,
    applied,
    candidates,
    choose,
    laid,
    lift,
    pack_effects,
    price_unusual,
    said,
    unpack_effects,
    unusual,
)
from models.learn import Forecast
from models.panel import Panel
from tests.models.shop import MONDAY, Ledger, panel
from tests.models.test_worker import rows, worker

DAYS = 300
START = MONDAY.toordinal()


def weather(rng: np.random.Generator) -> np.ndarray:
    """Degrees: a season, and spells of a few days."""
    spell = np.zeros(DAYS)
    for day in range(1, DAYS):
        spell[day] = 0.8 * spell[day - 1] + rng.normal(0, 2.5)
    return 15 + 8 * np.sin(np.arange(DAYS) / 58) + spell


def shop_of(rng: np.random.Generator, driver: np.ndarray, effect: float) -> Panel:
    """Thirty items; a day on which `driver` is one deviation high sells `effect` more."""
    unusual_days = (driver - driver.mean()) / driver.std()
    mean = rng.gamma(1, 2, (30, 1)) * np.where(np.arange(DAYS) % 7 == 5, 1.8, 1)
    mean = mean * np.maximum(1 + effect * unusual_days, 0.1) * rng.gamma(100, 0.01, DAYS)
    return panel(rng.poisson(mean))


def effect_of(shop: Panel, values: np.ndarray, known_ahead: bool = True) -> Effect:
    factor = Factor("footfall", known_ahead, START, values.astype(np.float32))
    (found,) = choose(shop, candidates(shop, [factor], {}, set()))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_an_effect_that_is_there_is_found_at_its_size(seed):
    rng = np.random.default_rng(seed)
    visitors = 200 + 30 * rng.normal(0, 1, DAYS)

    found = effect_of(shop_of(rng, visitors, 0.2), visitors)

    assert found.on
    assert found.shop == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize("known_ahead", [True, False])
def test_noise_stays_off(known_ahead):
    on = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        on += effect_of(shop_of(rng, weather(rng), 0.0), weather(rng), known_ahead).on

    assert on == 0


def test_a_factor_that_nobody_knows_ahead_fades_with_the_days():
    values = weather(np.random.default_rng(0))

    x, _ = unusual(Factor("outdoors", False, START, values.astype(np.float32)), START + DAYS - 1, 7)

    assert len(x) == DAYS + 7
    assert (np.diff(np.abs(x[DAYS - 1 :])) < 0).all()


SAYING_NOTHING = {
    "NaN": np.full(DAYS, np.nan),
    "always the same": np.full(DAYS, 7.0),
    "empty": np.zeros(0),
    "three weeks": np.full(20, 3.0),
    "gaps and giants": np.where(np.arange(DAYS) % 2, np.nan, 1e12),
}


@pytest.mark.parametrize("values", SAYING_NOTHING.values(), ids=SAYING_NOTHING.keys())
def test_a_series_that_says_nothing_changes_nothing(values):
    factor = Factor("weather", False, START, values.astype(np.float32))

    x, spread = unusual(factor, START + DAYS - 1, 28)

    assert np.isfinite(x).all() and np.isfinite(spread)


def test_a_nan_among_the_weather_leaves_its_day_out():
    rng = np.random.default_rng(1)
    values = weather(rng)
    values[::9] = np.nan

    found = effect_of(shop_of(rng, np.nan_to_num(values, nan=15), 0.25), values)

    assert np.isfinite(found.shop)


def test_days_of_a_factor_are_laid_over_those_of_the_shop():
    assert laid(np.float32([1, 2, 3]), START + 2, START, 4).tolist() == [[0, 0, 1, 2]]
    assert laid(np.float32([1, 2, 3]), START - 2, START, 4).tolist() == [[3, 0, 0, 0]]


def test_a_price_is_unusual_until_one_gets_used_to_it():
    shop = replace(panel(np.ones((2, 40))), keys=("tea", "salt"))

    x = price_unusual(shop, {"tea": [(START, 100.0), (START + 20, 80.0)]}, 60)

    assert x[1].tolist() == [0] * 60
    assert x[0, 19] == 0 and x[0, 20] == pytest.approx(-2.23, abs=0.01)  # ten times the log of 0.8
    assert x[0, 20] < x[0, 39] < 0


def test_a_price_that_moves_demand_is_found():
    rng = np.random.default_rng(2)
    cheap = [(START + day, 80.0 if day // 20 % 2 else 100.0) for day in range(0, DAYS, 20)]
    shop = panel(rng.poisson(6, (10, DAYS)))
    x = price_unusual(shop, dict.fromkeys(shop.keys, cheap), DAYS)
    units = rng.poisson(6 * np.exp(-2 * x / 10))  # elasticity of -2

    (found,) = choose(
        replace(shop, units=units.astype(np.float32)),
        candidates(shop, [], dict.fromkeys(shop.keys, cheap), set()),
    )

    assert (found.name, found.on) == (PRICE, True)
    assert found.shop == pytest.approx(-0.2, abs=0.06)  # a tenth more in the price's logarithm


def test_a_lifted_forecast_keeps_its_order_and_its_sums():
    quantiles = np.float32([[[0, 1, 3, 4, 6]] * 3])
    sums = {(0, 3): (np.float32([6]), np.float32([[2, 5, 9, 11, 14]]))}
    forecast = Forecast(np.full((1, 3), 2.0), quantiles, np.ones((1, 3)), quantiles, sums)

    found = applied(forecast, np.float32([[2, 1, 0.25]]))

    assert found.mean.tolist() == [[4, 2, 0.5]]
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()
    assert found.sums[0, 3][0] == pytest.approx(6.5)
    assert found.sums[0, 3][1][0, -1] == pytest.approx(14 * 6.5 / 6)


def test_however_strong_an_effect_demand_stays_positive_and_bounded():
    shop = panel(np.ones((1, DAYS)))
    values = weather(np.random.default_rng(3)).astype(np.float32)
    effect = Effect("outdoors", True, 9.0, {}, 0.1, 5.0, 4.0)

    found = lift(shop, [Factor("outdoors", True, START, values)], [effect], {}, 28)

    assert found is not None
    assert found.factor.min() >= 0.25 and found.factor.max() <= 4


def test_what_is_kept_of_an_effect_can_be_read_again():
    effect = Effect("footfall", True, 0.2, {"item-1": 0.25}, 0.1, 5.0, 30.0)

    assert unpack_effects(pack_effects([effect])) == [effect]
    assert unpack_effects("[{}]") == unpack_effects("not json") == []
    assert said(effect, False).endswith("an unusual day (one standard deviation) changes demand by +20 %")


def test_a_night_switches_a_factor_on_says_why_and_shows_what_it_does(tmp_path: Path):
    """Match days: known ahead, they sell half more. The next three days are some."""
    rng, days = np.random.default_rng(0), 130
    matches = {MONDAY + timedelta(days=day): float(rng.random() < 0.2) for day in range(days + 28)}
    matches |= {MONDAY + timedelta(days=days + ahead): 1.0 for ahead in range(3)}
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.factor("match day", matches)
    for item in range(6):
        mean = [6 * (1.5 if matches[MONDAY + timedelta(days=day)] else 1) for day in range(days)]
        ledger.item(f"item-{item}")
        ledger.sell(f"item-{item}", rng.poisson(mean).tolist())
    ledger.close()
    out, through = tmp_path / "forecast.db", (MONDAY + timedelta(days=days - 1)).isoformat()

    worker("learn", "--ledger", tmp_path / "ledger.db", "--out", out, "--through", through)

    (decision,) = rows(out, "SELECT version, why FROM decision WHERE action = 'factor on'")
    assert decision[0] == "match day" and "smaller with it" in decision[1]
    found = db.forecast_item(out, "item-3")
    assert found["pieces"]["match day"] > 0.1
    assert min(day["mean"] for day in found["days"][:3]) > 7.5
    assert sum(found["pieces"].values()) == pytest.approx(
        sum(day["mean"] for day in found["days"][:7]) / 7, abs=0.1
    )
    with sqlite3.connect(out) as store:
        assert '"on": true' in store.execute("SELECT value FROM state WHERE name = 'effects'").fetchone()[0]
