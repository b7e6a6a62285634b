"""Items with few days of their own: a new item, a new shop, an item back after a long stock-out.

Demand of a new item is a count around a rate that nobody knows yet: what items of its category sold in their first
four weeks says how large it is and how unsure (or the sister that the owner named does); each day of its own makes it
surer. Mean and quantiles are those of that mixture, so they are wide on the first day and narrow down by themselves;
over four weeks they give way to the model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.learn import Forecast
from models.network import LEVELS
from models.panel import Floats, Panel

COLD_DAYS = 28
COLD_DAYS_MIN, ENOUGH = 7, 20.0  # what sells much and steadily is known sooner
WHOLE_UNITS = 10.0  # below this a quantile between two counts would cover only the lower one
ABSENT_DAYS_MIN = 28  # so long without stock, and the item starts again, from what it sold before
SISTER_CV = 0.7  # how unsure the owner's comparison is
BACK_CV = 0.5
DRIFT = 0.35  # how far the rate itself moves in its first weeks, as a share of it
CV_MIN, CV_MAX = 0.5, 2.5
RATE_DEFAULT, CV_DEFAULT = 0.5, 2.0  # of a shop that has no item with a history
ITEMS_MIN = 5  # of a category, before it has a profile of its own
WEEKS = 5  # of the launch curve: four, and all that follow
COUNT_MAX = 400
NORMAL_SCORES = np.array([-1.2816, 0.0, 1.2816, 1.6449, 2.3263])  # of LEVELS


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of items before they have days of their own."""

    rates: dict[
        str, tuple[float, float]
    ]  # category -> mean demand a day of the first four weeks, and its spread
    shop: tuple[float, float]
    weekday: Floats  # (7,) over the mean of the week
    curve: Floats  # (WEEKS,) demand of the weeks after the launch over the mean of the first four
    dispersion: float  # a day's variance is dispersion x mean + burst x mean squared
    burst: float

    def of(self, category: str) -> tuple[float, float]:
        return self.rates.get(category, self.shop)


def profile_of(items: Iterable[tuple[str, int, Floats]], shop_first_day: int) -> Profile:
    """From every item's (category, ordinal of its first day, units a day); NaN is unknown."""
    early: dict[str, list[float]] = {}
    settled: dict[str, list[float]] = {}
    weeks, weekday, spreads = np.zeros((2, WEEKS)), np.full(7, 1e-6), []
    for category, first_day, units in items:
        sold = np.flatnonzero(np.nan_to_num(units) > 0)
        if not len(sold):
            continue
        # the first sale is why we look at all: it would count twice
        life = units[sold[0] + 1 :]
        if len(life) < COLD_DAYS:
            continue
        settled.setdefault(category, []).append(float(np.nanmean(life[-56:])))
        recent = units[-84:]
        days = (first_day + len(units) - len(recent) + np.arange(len(recent)) - 1) % 7  # Monday is ordinal 1
        weekday += np.bincount(days, np.nan_to_num(recent), 7)
        mean = float(np.nanmean(recent))
        if mean > 0:
            spreads.append((mean, float(np.nanvar(recent))))
        if first_day + sold[0] - shop_first_day < COLD_DAYS:
            continue  # older than our records
        early.setdefault(category, []).append(float(np.nanmean(life[:COLD_DAYS])))
        if len(life) >= 2 * COLD_DAYS:
            for week in range(WEEKS):
                span = life[week * 7 : week * 7 + 7] if week < 4 else life[COLD_DAYS : 2 * COLD_DAYS]
                weeks[0, week] += float(np.nanmean(span))
            weeks[1] += float(np.nanmean(life[:COLD_DAYS]))
    curve = np.clip((weeks[0] + 1) / (weeks[1] + 1), 0.5, 2)
    categories = sorted(settled)
    everything = [rate for rates in early.values() for rate in rates]
    if len(everything) < ITEMS_MIN:
        everything = [rate for rates in settled.values() for rate in rates]
    shop = _spread(everything) if len(everything) >= ITEMS_MIN else (RATE_DEFAULT, CV_DEFAULT)
    rates = {}
    for category in categories:
        own = early.get(category, [])
        own = own if len(own) >= ITEMS_MIN else settled[category]
        if len(own) >= ITEMS_MIN:
            rates[category] = _spread(own)
    return Profile(
        rates=rates,
        shop=shop,
        weekday=(weekday / weekday.mean()).astype(np.float32),
        curve=curve.astype(np.float32),
        dispersion=_middle([v / m for m, v in spreads if m < 1], 1.5, 1.05, 10),
        burst=_middle([(v - m) / m**2 for m, v in spreads if m >= 1], 0.2, 0.02, 4),
    )


def _middle(values: list[float], default: float, low: float, high: float) -> float:
    return float(np.clip(np.median(values), low, high)) if len(values) >= ITEMS_MIN else default


def _spread(rates: Sequence[float]) -> tuple[float, float]:
    mean = max(float(np.mean(rates)), 0.01)
    return mean, float(np.clip(np.std(rates) / mean, CV_MIN, CV_MAX))


@dataclass(frozen=True, slots=True)
class Start:
    """What an item has shown so far. Arrays have one entry an item."""

    rate: Floats  # expected demand a day before any was seen
    cv: Floats  # how unsure that is: standard deviation over mean
    age_days: Floats  # since it was there to be sold
    seen: Floats  # days that count, weighted by weekday and launch curve
    sold: Floats  # units on them


def forecast_of(
    start: Start, profile: Profile, weekdays: NDArray[np.int64], windows: Sequence[tuple[int, int]]
) -> Forecast:
    """The days ahead, of which `weekdays` says which they are (0 is Monday), and the sums of `windows`."""
    prior = 1 / start.cv**2
    first_guess = (prior + start.sold) / (prior / np.maximum(start.rate, 1e-3) + start.seen)
    phi = profile.dispersion + profile.burst * first_guess  # a day's variance over its mean
    shape = prior + start.sold / phi
    rate = shape / (prior / np.maximum(start.rate, 1e-3) + start.seen / phi)
    unsure = 1 / shape + DRIFT**2
    ahead = np.arange(1, len(weekdays) + 1)
    week = np.minimum((start.age_days[:, None] + ahead) // 7, WEEKS - 1).astype(np.int64)
    mean = rate[:, None] * profile.weekday[weekdays] * profile.curve[week]
    variance = profile.dispersion * mean + profile.burst * mean**2  # of a day, were the rate known
    quantiles = count_quantiles(mean, variance + mean**2 * unsure[:, None])
    sums = {}
    for first, span in windows:
        days = slice(first, first + span)
        total = mean[:, days].sum(1)
        sums[first, span] = total, count_quantiles(total, variance[:, days].sum(1) + total**2 * unsure)
    return Forecast(mean.astype(np.float32), quantiles, mean, quantiles, sums)


def count_quantiles(mean: Floats, variance: Floats) -> Floats:
    """(..., LEVELS) of a negative binomial: the smallest count that covers the level; large means by the gamma's."""
    mean = np.maximum(np.asarray(mean, np.float64), 1e-6)
    variance = np.maximum(variance, mean * 1.01)
    levels = np.asarray(LEVELS)
    shape = mean**2 / variance  # Wilson and Hilferty's cube root of a gamma variable
    root = 1 - 1 / (9 * shape[..., None]) + NORMAL_SCORES / (3 * np.sqrt(shape[..., None]))
    out = mean[..., None] * np.maximum(root, 0) ** 3
    small = mean + 6 * np.sqrt(variance) < COUNT_MAX
    m, v = mean[small], variance[small]
    size, chance = m**2 / (v - m), m / v
    probability = np.exp(size * np.log(chance))
    total, found = probability.copy(), np.zeros((len(m), len(levels)))
    for count in range(COUNT_MAX):
        below = total[:, None] < levels
        found += below
        if not below.any():
            break
        probability = probability * (count + size) / (count + 1) * (1 - chance)
        total = total + probability
    out[small] = found
    return np.maximum.accumulate(out, -1).astype(np.float32)


def is_settled(panel: Panel) -> bool:
    """Whether every item has four weeks behind it, so that nothing here concerns the panel."""
    known = np.isfinite(panel.units)
    seen = known & ~(panel.censored & ~(panel.units > 0))
    if panel.days <= 2 * COLD_DAYS or not seen[:, : -2 * COLD_DAYS].any(1).all():
        return False
    fortnights = seen[:, -2 * COLD_DAYS :].reshape(len(seen), 4, COLD_DAYS // 2)
    return bool(fortnights.any(2).all())  # an absence of four weeks has a whole one of these in it


def start_of(
    panel: Panel,
    profile: Profile,
    categories: Sequence[str],
    level: Floats,
    sisters: Mapping[str, float] = MappingProxyType({}),
) -> Start:
    """What each item of the panel has shown; `level` (items,) is what it sold a day before a long absence.

    `sisters`: of items that the owner compared with another one, what that one sells a day.
    """
    days = panel.days
    known = np.isfinite(panel.units)
    sold = np.nan_to_num(panel.units)
    empty = panel.censored & (sold <= 0)
    counts = known & ~empty & ~panel.closed[:, :days]
    first_sale = np.where(sold.any(1), (sold > 0).argmax(1), days)
    first_known = np.where(known.any(1), known.argmax(1), days)
    begins = np.where(first_sale == first_known, first_sale + 1, first_known)  # a series that a sale began
    back, absent = _back(empty | ~known, first_known)
    begins = np.maximum(begins, back)
    after = np.arange(days) >= begins[:, None]
    weekday = profile.weekday[(panel.first_day.weekday() + np.arange(days)) % 7]
    week = np.clip((np.arange(days) - begins[:, None]) // 7, 0, WEEKS - 1)
    curve = np.where(absent[:, None], 1, profile.curve[week])
    use = counts & after
    known_by = [
        (sisters[sku], SISTER_CV) if sku in sisters else profile.of(category)
        for sku, category in zip(panel.keys, categories, strict=True)
    ]
    priors = np.array(known_by, np.float64).reshape(-1, 2)
    return Start(
        rate=np.where(absent, np.maximum(level, 0.01), priors[:, 0]),
        cv=np.where(absent, BACK_CV, priors[:, 1]),
        age_days=np.where(absent, 1000, days - begins).astype(np.float32),
        seen=np.where(use, weekday * curve, 0).sum(1),
        sold=np.where(use, sold, 0).sum(1),
    )


def _back(
    missing: NDArray[np.bool_], first_known: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(items,) the day on which each came back from its last long absence, and whether there was one lately."""
    items, days = missing.shape
    back, run = np.zeros(items, np.int64), np.zeros(items, np.int64)
    for day in range(max(0, days - COLD_DAYS - 400), days):
        away = missing[:, day] & (day > first_known)
        ended = ~away & (run >= ABSENT_DAYS_MIN)
        back = np.where(ended, day, back)
        run = np.where(away, run + 1, 0)
    still = run >= ABSENT_DAYS_MIN
    back = np.where(still, days, back)
    return back, still | ((back > 0) & (back > days - COLD_DAYS))


def warmed(
    forecast: Forecast, panel: Panel, start: Start, profile: Profile
) -> tuple[Forecast, NDArray[np.bool_]]:
    """The forecast with its young items pulled to what is known of new ones; which items those are."""
    phi = profile.dispersion + profile.burst * start.sold / np.maximum(start.seen, 1)
    cold_days = COLD_DAYS_MIN + (COLD_DAYS - COLD_DAYS_MIN) / (1 + start.sold / phi / ENOUGH)
    weight = np.clip(np.minimum(start.seen, start.age_days) / cold_days, 0, 1).astype(np.float32)
    cold = weight < 1
    if not cold.any():
        return forecast, cold
    rows = np.flatnonzero(cold)
    young = Start(*(getattr(start, name)[rows] for name in Start.__slots__))
    ahead = forecast.mean.shape[1]
    weekdays = (panel.first_day.weekday() + panel.days + np.arange(ahead)) % 7
    new = forecast_of(young, profile, weekdays, list(forecast.sums))
    is_open = np.broadcast_to(
        ~panel.planned_until(panel.days + ahead).closed[:, panel.days :], forecast.mean.shape
    )
    w = weight[rows, None]
    mean, quantiles = forecast.mean.copy(), forecast.quantiles.copy()
    mean[rows] = (w * mean[rows] + (1 - w) * new.mean) * is_open[rows]
    blended = w[..., None] * quantiles[rows] + (1 - w[..., None]) * new.quantiles
    blended = np.where(blended < WHOLE_UNITS, np.rint(blended), blended)
    quantiles[rows] = blended * is_open[rows][..., None]
    sums = {}
    for key, (total, spread) in forecast.sums.items():
        total, spread = total.copy(), spread.copy()
        new_total, new_spread = new.sums[key]
        now = mean[rows, key[0] : key[0] + key[1]].sum(1)
        mixed = w[:, 0] * total[rows] + (1 - w[:, 0]) * new_total
        closed = np.where(mixed > 1e-9, now / np.maximum(mixed, 1e-9), 1).astype(np.float32)  # days shut
        total[rows] = now
        spread[rows] = (w * spread[rows] + (1 - w) * new_spread) * closed[:, None]
        sums[key] = total, spread
    return replace(forecast, mean=mean, quantiles=quantiles, sums=sums), cold
