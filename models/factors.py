"""Named daily series as factors of demand: footfall, events, temperature, prices. On only where a back-test says so.

The shipped network has fixed inputs, so a factor enters after it: a ridge regression of what a plain expectation left
over, on how unusual the factor was that day; the shop's coefficient, the item's own one pulled towards it. A factor is
switched on when it makes rolling forecasts of the last sixteen weeks better by more than luck, and off when it does so
no longer. It multiplies mean and quantiles alike, so that no quantile can cross or be negative.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learn import Forecast
from models.panel import Floats, Panel
from models.series import has_table

FACTORS_MAX = 12
HISTORY_DAYS_MIN = 84  # of a factor, before it may be tried
TRIAL_DAYS = 112
FOLD_DAYS = 14
LEARN_DAYS_MIN = 70  # of the shop, before the first fold
HORIZON_MEMORY = 7  # days ahead that the trial looks
USUAL_DECAY = 0.965  # of what is usual: a memory of four weeks
WEEKDAY_DECAY = 0.9  # ... and of ten of the same weekday
UNUSUAL_MAX = 4.0  # standard deviations
PRIOR_SD_SHOP, PRIOR_SD_ITEM = 0.3, 0.1  # of an effect of one standard deviation
MULTIPLIER_MIN, MULTIPLIER_MAX = 0.25, 4.0
LUCK_ON, LUCK_OFF = 2.3, 1.0  # standard errors of the daily gain: to be switched on, to stay on
GAIN_MIN = 0.002  # share of the loss
PRICE = "price"


@dataclass(frozen=True, slots=True)
class Factor:
    """A series of the whole shop, one value a day from `first_day` on, NaN where nobody knows."""

    name: str
    known_ahead: bool
    first_day: int  # ordinal
    values: Floats
    kind: str = "factor"  # factor, weather: the piece of the explanation that it belongs to


@dataclass(frozen=True, slots=True)
class Effect:
    """What was learned of one factor. Coefficients are shares of demand per standard deviation."""

    name: str
    on: bool
    shop: float
    items: dict[str, float]
    gain: float  # share of the loss
    luck: float  # gain over its standard error
    spread: float  # one standard deviation, in the factor's unit

    def of(self, sku: str) -> float:
        return self.items.get(sku, self.shop)


def read_factors(ledger: sqlite3.Connection, store: sqlite3.Connection) -> list[Factor]:
    """Those that people gave, and the shop's own thermometers; the longest first, at most FACTORS_MAX."""
    found = []
    if has_table(ledger, "factor"):
        for name, ahead in ledger.execute("SELECT name, known_ahead FROM factor ORDER BY name").fetchall():
            query = "SELECT day, value FROM factor_day WHERE name = ? ORDER BY day"
            kind = "weather" if "temperature" in name or "weather" in name else "factor"
            found += _factor(name, bool(ahead), ledger.execute(query, (name,)).fetchall(), kind)
    for (sensor,) in store.execute("SELECT DISTINCT sensor FROM sensor_day ORDER BY sensor").fetchall():
        query = "SELECT day, value FROM sensor_day WHERE sensor = ? ORDER BY day"
        found += _factor(sensor, False, store.execute(query, (sensor,)).fetchall(), "weather")
    found.sort(key=lambda factor: (-len(factor.values), factor.name))
    return found[:FACTORS_MAX]


def _factor(name: str, ahead: bool, rows: list[tuple[str, float]], kind: str) -> list[Factor]:
    days = [date.fromisoformat(day).toordinal() for day, _ in rows]
    if not days:
        return []
    values = np.full(days[-1] - days[0] + 1, np.nan, np.float32)
    values[np.array(days) - days[0]] = [value for _, value in rows]
    return [Factor(name, ahead, days[0], values, kind)]


def unusual(factor: Factor, last_day: int, beyond: int, reach: int = 0) -> tuple[Floats, float]:
    """How far each day was from what was usual for its weekday and weeks, in standard deviations; 0 where unknown.

    From the factor's first day to `beyond` days after `last_day` (an ordinal): there a factor known ahead keeps its
    values, another fades at the pace at which it did before. With `reach`, as it would have been known up to so many
    days before each past day. Also the standard deviation, in the factor's unit; 0 where there are too few days.
    """
    last = last_day - factor.first_day
    days = max(0, last + 1 + beyond)
    z = np.full(days, np.nan, np.float64)
    z[: len(factor.values)] = factor.values[:days]
    if not factor.known_ahead:
        z[max(0, last + 1) :] = np.nan
    x = np.zeros(days)
    usual, weekday = np.nan, np.zeros(7)
    for day in np.flatnonzero(np.isfinite(z)):
        if np.isnan(usual):
            usual = float(z[day])
        of_day = (factor.first_day + day) % 7
        x[day] = z[day] - usual - weekday[of_day]
        if day <= last:
            weekday[of_day] += (1 - WEEKDAY_DECAY) * (z[day] - usual - weekday[of_day])
            usual += (1 - USUAL_DECAY) * (z[day] - usual)
    known = np.isfinite(z[: max(0, last + 1)])
    spread = float(x[: last + 1][known].std()) if known.sum() >= HISTORY_DAYS_MIN else 0.0
    if not spread:
        return np.zeros(days, np.float32), 0.0
    x = np.clip(x / spread, -UNUSUAL_MAX, UNUSUAL_MAX)
    if not factor.known_ahead:
        fade = _fade(x[: last + 1], known)
        x[last + 1 :] = x[last] * fade ** np.arange(1, days - last) if known[-1] else 0
        if reach:
            seen = np.zeros(days)
            ahead = 1 + np.arange(days) % reach  # the first day of a week is one ahead, the last one seven
            seen[reach:] = (x[np.arange(days) - ahead] * fade**ahead)[reach:]
            x = seen
    return x.astype(np.float32), spread


def laid(x: Floats, starts_on: int, first_day: int, days: int) -> Floats:
    """(1, days) from `first_day` on; 0 where x, which begins on `starts_on`, says nothing."""
    out = np.zeros((1, days), np.float32)
    start = starts_on - first_day
    span = slice(max(0, start), max(0, min(days, start + len(x))))
    out[0, span] = x[span.start - start : span.stop - start]
    return out


def _fade(x: Floats, known: NDArray[np.bool_]) -> float:
    """How much of an unusual day is left the day after: its autocorrelation."""
    both = known[1:] & known[:-1]
    a, b = x[:-1][both], x[1:][both]
    power = float((a * a).sum())
    return float(np.clip((a * b).sum() / power, 0, 0.95)) if power > 0 else 0.0


def price_unusual(panel: Panel, prices: dict[str, list[tuple[int, float]]], days: int) -> Floats:
    """(items, days): how far the price was from its usual one, in tenths. `prices`: (ordinal, price) of each change."""
    x = np.zeros((len(panel.keys), days), np.float32)
    first = panel.first_day.toordinal()
    for row, sku in enumerate(panel.keys):
        changes = prices.get(sku, [])
        if len(changes) < 2:
            continue
        line = np.full(days, np.log(changes[0][1]))
        for day, price in changes[1:]:
            line[max(0, day - first) :] = np.log(price)
        usual = line[0]
        for day in range(days):
            x[row, day] = line[day] - usual
            if day < panel.days:
                usual += (1 - USUAL_DECAY) * (line[day] - usual)
    return np.clip(x * 10, -UNUSUAL_MAX, UNUSUAL_MAX)


def plain_fit(panel: Panel) -> tuple[Floats, Floats]:
    """(items, days) twice: what level and weekday of the days before led to expect, and demand over it.

    0 and 0 on days that say nothing: closed, sold out, missing, under promotion, holidays, the first four weeks.
    """
    days = panel.days
    quiet = (
        panel.closed[:, :days]
        | panel.holiday[:, :days]
        | (np.maximum(panel.promotion, panel.display)[:, :days] > 0)
    )
    counts = np.isfinite(panel.units) & ~panel.censored & ~quiet
    y = np.where(counts, panel.units, 0).astype(np.float64)
    items = len(y)
    level, weight = np.zeros(items), np.zeros(items)
    wd_num, wd_den = np.zeros((items, 7)), np.zeros((items, 7))
    fit = np.zeros((items, days), np.float32)
    for day in range(days):
        of_day = (panel.first_day.weekday() + day) % 7
        mean = level / np.maximum(weight, 1e-6)
        shop = (wd_num.sum(0) + 1e-3) / (wd_den.sum(0) + 1e-3)
        factor = (wd_num[:, of_day] + 5 * shop[of_day]) / (wd_den[:, of_day] + 5)
        on = counts[:, day]
        fit[:, day] = np.where(on & (weight > 10), mean * factor, 0)
        keep = np.where(on, USUAL_DECAY, 1)
        level = level * keep + np.where(on, y[:, day] / np.maximum(factor, 0.1), 0)
        weight = weight * keep + on
        keep = np.where(on, 0.96, 1)
        wd_num[:, of_day] = wd_num[:, of_day] * keep + np.where(on, y[:, day], 0)
        wd_den[:, of_day] = wd_den[:, of_day] * keep + np.where(on, mean, 0)
    return fit, np.where(fit > 0, y, 0).astype(np.float32)


def _normal_equations(
    fit: Floats, y: Floats, noise: Floats, xs: Sequence[Floats], span: slice
) -> tuple[Floats, Floats]:
    """Per item: A (items, k, k) and b (items, k) of the regression of y - fit on fit x."""
    parts = [np.broadcast_to(x[:, span], fit[:, span].shape) for x in xs]
    left = (y - fit)[:, span] / noise[:, None]
    weighted = fit[:, span] / noise[:, None]
    a = np.stack([np.stack([(weighted * p * q).sum(1) for q in parts], 1) for p in parts], 1)
    b = np.stack([(left * p).sum(1) for p in parts], 1)
    return a, b


def _coefficients(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(k,) of the shop and (items, k): ridge towards 0, and each item's towards the shop's."""
    k = a.shape[1]
    shop = np.linalg.solve(a.sum(0) + np.eye(k) / PRIOR_SD_SHOP**2, b.sum(0))
    own = np.linalg.solve(a + np.eye(k) / PRIOR_SD_ITEM**2, (b - a @ shop)[..., None])[..., 0]
    return shop, shop + own


def multipliers(coefficients: Floats, xs: Sequence[Floats], span: slice) -> Floats:
    """(items, days) of the span: 1 where nothing is unusual. `coefficients` is (items, k)."""
    total = sum(
        coefficients[:, n, None] * np.broadcast_to(x, (len(coefficients), x.shape[1]))[:, span]
        for n, x in enumerate(xs)
    )
    out: Floats = np.clip(1 + np.asarray(total), MULTIPLIER_MIN, MULTIPLIER_MAX).astype(np.float32)
    return out


@dataclass(frozen=True, slots=True)
class Candidate:
    """A factor laid over the days of a panel: as it was, and as it would have been known a week ahead."""

    name: str
    x: Floats  # (1 or items, days)
    foreseen: Floats
    spread: float
    was_on: bool = False


def choose(panel: Panel, candidates: Sequence[Candidate]) -> list[Effect]:
    """Try the factors one after the other, the best first; each must pay for itself beside those already on."""
    fit, y = plain_fit(panel)
    noise = _noise(fit, y)
    last = panel.days
    on: list[Candidate] = []
    found: dict[str, Effect] = {}
    waiting = [one for one in candidates if one.spread and one.x[:, :last].any()]
    while waiting:
        base = _daily_loss(fit, y, noise, on, last)
        tried = []
        for one in waiting:
            gain = base - _daily_loss(fit, y, noise, [*on, one], last)
            luck = float(gain.mean() / (gain.std() / np.sqrt(len(gain)) + 1e-9)) if len(gain) else 0.0
            share = float(gain.sum() / max(base.sum(), 1e-9)) if len(gain) else 0.0
            tried.append((luck, share, one))
            found[one.name] = Effect(one.name, False, 0.0, {}, share, luck, one.spread)
        luck, share, best = max(tried, key=lambda trial: (trial[0], trial[2].name))
        if luck < (LUCK_OFF if best.was_on else LUCK_ON) or share < GAIN_MIN:
            break
        on.append(best)
        waiting.remove(best)
        found[best.name] = replace(found[best.name], on=True)
    if on:
        a, b = _normal_equations(fit, y, noise, [one.x for one in on], slice(0, last))
        shop, own = _coefficients(a, b)
        for n, one in enumerate(on):
            items = {sku: round(float(own[row, n]), 4) for row, sku in enumerate(panel.keys)}
            found[one.name] = replace(found[one.name], shop=round(float(shop[n]), 4), items=items)
    return [found.get(one.name, Effect(one.name, False, 0.0, {}, 0.0, 0.0, one.spread)) for one in candidates]


def _noise(fit: Floats, y: Floats) -> Floats:
    """(items,) variance over mean of what is left over, at least 1."""
    left = np.where(fit > 0, (y - fit) ** 2, 0).sum(1)
    out: Floats = np.maximum(left / np.maximum(fit.sum(1), 1e-6), 1)
    return out


def _daily_loss(fit: Floats, y: Floats, noise: Floats, on: Sequence[Candidate], last: int) -> Floats:
    """(trial days,) loss of rolling forecasts: each fortnight with what was learned before it."""
    losses = []
    for start in range(max(LEARN_DAYS_MIN, last - TRIAL_DAYS), last, FOLD_DAYS):
        span = slice(start, min(start + FOLD_DAYS, last))
        expected = fit[:, span]
        if on:
            a, b = _normal_equations(fit, y, noise, [one.x for one in on], slice(0, start))
            _, own = _coefficients(a, b)
            expected = expected * multipliers(own, [one.foreseen for one in on], span)
        error = (y[:, span] - expected) ** 2 / (noise[:, None] * np.maximum(fit[:, span], 0.05))
        losses.append(np.where(fit[:, span] > 0, error, 0).sum(0))
    return np.concatenate(losses) if losses else np.zeros(0)


def candidates(
    panel: Panel, factors: Sequence[Factor], prices: dict[str, list[tuple[int, float]]], on: set[str]
) -> list[Candidate]:
    """Every factor over the days of the panel, and the prices at the till."""
    first, days, last_day = panel.first_day.toordinal(), panel.days, panel.last_day.toordinal()
    found = []
    for factor in factors:
        x, spread = unusual(factor, last_day, 0)
        foreseen, _ = unusual(factor, last_day, 0, HORIZON_MEMORY)
        was, would_be = (laid(one, factor.first_day, first, days) for one in (x, foreseen))
        found.append(Candidate(factor.name, was, would_be, spread, factor.name in on))
    price = price_unusual(panel, prices, days)
    if price.any():
        found.append(Candidate(PRICE, price, price, 0.1, PRICE in on))
    return found


@dataclass(frozen=True, slots=True)
class Lift:
    """What the factors that are on do to the days ahead of one block."""

    factor: Floats  # (items, days ahead) times the forecast
    parts: dict[str, Floats]  # piece of the explanation -> (items, days ahead) share of the forecast


def lift(
    panel: Panel,
    factors: Sequence[Factor],
    effects: Sequence[Effect],
    prices: dict[str, list[tuple[int, float]]],
    ahead: int,
) -> Lift | None:
    """None while no factor is on."""
    on = {effect.name: effect for effect in effects if effect.on}
    first, last_day = panel.first_day.toordinal(), panel.last_day.toordinal()
    rows: list[tuple[str, Effect, Floats]] = []
    for factor in factors:
        if factor.name in on:
            x, _ = unusual(factor, last_day, ahead)
            x = laid(x, factor.first_day, first, panel.days + ahead)
            piece = factor.name if factor.kind == "factor" else factor.kind
            rows.append((piece, on[factor.name], x[:, panel.days :]))
    if PRICE in on:
        x = price_unusual(panel, prices, panel.days + ahead)
        rows.append((PRICE, on[PRICE], x[:, panel.days :]))
    if not rows:
        return None
    parts: dict[str, Floats] = {}
    for piece, effect, x in rows:
        own = np.array([effect.of(sku) for sku in panel.keys], np.float32)[:, None] * x
        parts[piece] = parts[piece] + own if piece in parts else own
    total = np.clip(1 + sum(parts.values()), MULTIPLIER_MIN, MULTIPLIER_MAX).astype(np.float32)
    return Lift(total, parts)


def applied(forecast: Forecast, factor: Floats) -> Forecast:
    """The forecast times `factor` (items, days ahead); sums by the share that their days grew."""
    days = forecast.mean.shape[1]
    mean = forecast.mean * factor[:, :days]
    sums = {}
    for (start, span), (total, quantiles) in forecast.sums.items():
        now = mean[:, start : start + span].sum(1)
        ratio = np.where(total > 1e-9, now / np.maximum(total, 1e-9), 1).astype(np.float32)
        sums[start, span] = total * ratio, quantiles * ratio[:, None]
    return replace(forecast, mean=mean, quantiles=forecast.quantiles * factor[:, :days, None], sums=sums)


def said(effect: Effect, was_on: bool) -> str:
    """The sentence that is kept when a factor is switched on or off."""
    how = f"the error of the last {TRIAL_DAYS} days is {100 * effect.gain:.1f} % smaller with it"
    if effect.gain < 0:
        how = f"the error of the last {TRIAL_DAYS} days is {-100 * effect.gain:.1f} % larger with it"
    if effect.on:
        size = f"an unusual day (one standard deviation) changes demand by {100 * effect.shop:+.0f} %"
        return f"{how} ({effect.luck:.1f} times its luck); {size}"
    return f"{how} ({effect.luck:.1f} times its luck); {'no longer' if was_on else 'not'} enough"


def pack_effects(effects: Iterable[Effect]) -> str:
    return json.dumps([{name: getattr(one, name) for name in Effect.__slots__} for one in effects])


def unpack_effects(text: str) -> list[Effect]:
    """Nothing when the text is of another version: it is learned again the next night."""
    try:
        rows: list[dict[str, Any]] = json.loads(text or "[]")
        return [Effect(**row) for row in rows]
    except (ValueError, TypeError):
        return []
