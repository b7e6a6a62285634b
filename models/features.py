"""One pass over the days of a shop: levels, weekday, promotion and holiday factors, and what the network reads.

Every state is a pair of decayed sums (demand, expected demand), so that a factor is a ratio that closed, censored and
missing days simply do not enter. All states are scale-free once divided by the item's own level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.panel import Flags, Floats, Panel

ITEM_FEATURES = (
    "level", "level_6d", "level_14d", "level_100d", "level_400d", "sum_7d", "sum_28d",
    "zeros_30d", "zeros_100d", "since_sale", "age", "residual_abs", "residual_sq",
    "ratio_q50", "ratio_q90", "ratio_q95", "sale_size", "shop_fast", "shop_slow", "group_fast", "group_slow",
    "price_ratio", "promotion_share", "uplift_some", "uplift_full", "has_year", "diff_ratio",
)  # fmt: skip
TARGET_FEATURES = (
    "base", "weekday_factor", "same_weekday", "mon", "tue", "wed", "thu", "fri", "sat", "sun",
    "promotion", "display", "promotion_before", "promotion_after", "promotion_news", "uplift",
    "holiday", "holiday_before", "holiday_after", "holiday_factor", "school", "school_before",
    "closed_before", "closed_after", "year_s1", "year_c1", "xmas_before", "xmas_after",
    "xmas_eve", "ahead", "ahead_log",
    "year_shop", "year_item", "year_date", "year_weekday", "month_end",
)  # fmt: skip

DECAYS = np.array(
    [0.85, 0.93, 0.97, 0.99, 0.9975], np.float32
)  # memories of about 6, 14, 33, 100 and 400 days
MID, SLOW = 2, 3
ONE, KEEP_50D = np.float32(1), np.float32(0.98)
WEEKDAY_DECAY = np.float32(0.95)  # per occurrence: about 20 weeks
RECENT_WEEKDAY_DECAY = np.float32(0.72)
FACTOR_DECAY = np.float32(0.99)
PRIOR_DAYS = 5.0
RATIO_DAYS = 84
REFRESH_DAYS = 7
CENSORED_EXCESS = 1.4  # chosen with bench/forecast_censoring.py on days before the first origins
BASE_FLOOR = 0.02
LEVEL_FLOOR = 0.01
YEAR_DAYS = 364


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at the close of day `origin` about the days `origin + ahead`."""

    origin: int
    ahead: NDArray[np.int64]  # (days,) 1 is tomorrow
    item: Floats  # (items, ITEM_FEATURES)
    target: Floats  # (items, days, TARGET_FEATURES)
    base: Floats  # (items, days): level x weekday x promotion x holiday, over the scale
    scale: Floats  # (items,) units a day
    step: Floats  # (items,) mean |one-day difference| of the history, units: what losses are measured in
    open: Flags  # (items, days)
    known: Flags  # (items,): launched, so there is something to learn from
    level: Floats  # (items,) units a day before any factor
    factors: Floats  # (items, days, 3): weekday, promotion, holiday
    dispersion: Floats  # (items,): variance over mean of one day's error


def snapshots(
    panel: Panel, origins: Sequence[int], aheads: Sequence[NDArray[np.int64]]
) -> Iterator[Snapshot]:
    """Replay the days once and look ahead from each origin (ascending)."""
    reach = max(int(origin + ahead.max()) for origin, ahead in zip(origins, aheads, strict=True)) + 2
    state = Replay(panel, max(reach, panel.days + 1))
    for origin, ahead in zip(origins, aheads, strict=True):
        state.advance_to(origin)
        yield state.look(origin, ahead)


class Replay:
    """The states of all items, moved on day by day; `look` reads them."""

    def __init__(self, panel: Panel, reach_days: int) -> None:
        panel = panel.planned_until(reach_days)
        n, days = panel.units.shape
        self.panel = panel
        self.first_weekday = panel.first_day.weekday()
        promotion = np.maximum(panel.promotion, panel.display)
        self.kind = ((promotion > 0.05).astype(np.int8) + (promotion > 0.35)).astype(
            np.int8
        )  # none, some, full
        self.calendar = _calendar(panel.first_day, reach_days)
        self.rows = np.arange(n)
        self.fit = np.zeros((n, days), np.float32)
        self.seen = np.isfinite(panel.units)
        self.y = np.where(self.seen, panel.units, 0).astype(np.float32)
        self.cumulative = np.cumsum(self.y, 1, dtype=np.float32)
        zeros = np.zeros
        self.num, self.den = zeros((n, 5), np.float32), zeros((n, 5), np.float32)
        self.wd_num, self.wd_den = zeros((n, 7), np.float32), zeros((n, 7), np.float32)
        self.rw_num, self.rw_den = zeros((n, 7), np.float32), zeros((n, 7), np.float32)
        self.up_num, self.up_den = zeros((n, 3), np.float32), zeros((n, 3), np.float32)
        self.ho_num, self.ho_den = zeros(n, np.float32), zeros(n, np.float32)
        self.zero = np.full((n, 2), 0.5, np.float32)
        self.res = zeros((n, 2), np.float32)
        self.res_den = zeros(n, np.float32)
        self.size_num, self.size_den = zeros(n, np.float32), zeros(n, np.float32)
        self.since, self.age = zeros(n, np.float32), zeros(n, np.float32)
        self.steps, self.step_days, self.last = (
            zeros(n, np.float32),
            zeros(n, np.float32),
            zeros(n, np.float32),
        )
        self.price, self.price_now = zeros(n, np.float32), zeros(n, np.float32)
        self.share = zeros(n, np.float32)
        self.index = np.ones(days, np.float32)  # shop: demand over fit, by day
        self.next_day = 0
        self.factor, self.up, self.feast = self.weekday_factor(), self.uplift(), self.holiday_factor()

    def weekday(self, day: int) -> int:
        return (self.first_weekday + day) % 7

    def level(self, memory: int = MID) -> Floats:
        prior = 0.0
        return (self.num[:, memory] + prior) / np.maximum(self.den[:, memory], 0.5)

    def weekday_factor(self) -> Floats:
        shop = (self.wd_num.sum(0) + 1e-3) / (self.wd_den.sum(0) + 1e-3)
        prior = (PRIOR_DAYS * np.minimum(self.level(), 1) + 0.05)[:, None]
        factor = (self.wd_num + shop * prior) / (self.wd_den + prior)
        out: Floats = (factor / np.maximum(factor.mean(1, keepdims=True), 0.05)).astype(np.float32)
        return out

    def uplift(self) -> Floats:
        """(items, 3): demand under no, some and full promotion over the level without."""
        shop = (self.up_num.sum(0) + 1) / (self.up_den.sum(0) + 1)
        prior = (PRIOR_DAYS * np.minimum(self.level(), 1) + 0.05)[:, None]
        ratio = (self.up_num + shop * prior) / (self.up_den + prior)
        out: Floats = np.clip(ratio / np.maximum(ratio[:, :1], 0.05), 0.3, 12).astype(np.float32)
        return out

    def holiday_factor(self) -> Floats:
        shop = (self.ho_num.sum() + 0.5) / (self.ho_den.sum() + 0.5)
        prior = 3 * np.minimum(self.level(), 1) + 0.05
        out: Floats = ((self.ho_num + shop * prior) / (self.ho_den + prior)).astype(np.float32)
        return out

    def advance_to(self, last: int) -> None:
        """Take in the days up to `last`."""
        for day in range(self.next_day, last + 1):
            self.advance(day)
        self.next_day = max(self.next_day, last + 1)

    def advance(self, day: int) -> None:
        panel, weekday = self.panel, self.weekday(day)
        y = self.y[:, day]
        closed, holiday = _column(panel.closed, day), _column(panel.holiday, day)
        launched = self.seen[:, day] & ((self.age > 0) | (y > 0))
        sold_out = panel.censored[:, day] & (y > 0)  # an empty shelf all day says nothing at all
        counts = launched & ~closed & (~panel.censored[:, day] | sold_out)
        level = self.level()
        if day % REFRESH_DAYS == 0 or day < 28:  # factors move slowly; a look ahead always takes fresh ones
            self.factor, self.up, self.feast = self.weekday_factor(), self.uplift(), self.holiday_factor()
        factor, uplift = self.factor, self.up
        kind = np.broadcast_to(_column(self.kind, day), y.shape)
        expected_shape = factor[:, weekday] * uplift[self.rows, kind]
        fit = level * expected_shape * np.where(holiday, self.feast, ONE)
        if sold_out.any():
            y = self.y[:, day] = np.where(sold_out, demand_given_at_least(y, fit), y)
        self.cumulative[:, day] = y + (self.cumulative[:, day - 1] if day else 0)
        self.fit[:, day] = np.where(counts, fit, 0)
        settled = counts & (self.age >= 14)
        if settled.any():
            self.index[day] = (y[settled].sum() + 1) / (fit[settled].sum() + 1)
        self.age += launched
        self.since = np.where(launched & (y > 0), 0, self.since + counts)
        self.steps += np.where(launched & (self.age > 1), np.abs(y - self.last), 0)
        self.step_days += launched & (self.age > 1)
        self.last = np.where(launched, y, self.last)
        if panel.price is not None:
            price = np.nan_to_num(panel.price[:, day])
            self.price_now = np.where(price > 0, price, self.price_now)
            self.price = np.where(self.price > 0, 0.98 * self.price + 0.02 * self.price_now, self.price_now)
        self.share = np.where(counts, 0.97 * self.share + 0.03 * (kind > 0), self.share)
        usual = counts & ~holiday
        keep = np.where(counts, KEEP_50D, ONE)
        self.ho_num = self.ho_num * keep + np.where(counts & holiday, y, 0)
        self.ho_den = self.ho_den * keep + np.where(counts & holiday, level * expected_shape, 0)
        decay = np.where(usual[:, None], DECAYS, 1)
        self.num = self.num * decay + np.where(usual, y, 0)[:, None]
        self.den = self.den * decay + np.where(usual, expected_shape, 0)[:, None]
        fresh = self.level()
        self._decay_into(
            self.wd_num, self.wd_den, weekday, WEEKDAY_DECAY, usual, y, fresh * uplift[self.rows, kind]
        )
        recent = RECENT_WEEKDAY_DECAY
        self._decay_into(self.rw_num, self.rw_den, weekday, recent, usual, y, fresh * expected_shape)
        keep3 = np.where(usual, FACTOR_DECAY, ONE)[:, None]
        self.up_num *= keep3
        self.up_den *= keep3
        self.up_num[self.rows, kind] += np.where(usual, y, 0)
        self.up_den[self.rows, kind] += np.where(usual, fresh * factor[:, weekday], 0)
        for memory, rate in enumerate((0.97, 0.99)):
            self.zero[:, memory] = np.where(
                usual, rate * self.zero[:, memory] + (1 - rate) * (y == 0), self.zero[:, memory]
            )
        keep1 = np.where(usual, KEEP_50D, ONE)
        error = np.where(usual, y - fit, 0)
        self.res[:, 0] = self.res[:, 0] * keep1 + np.abs(error)
        self.res[:, 1] = self.res[:, 1] * keep1 + error**2
        self.res_den = self.res_den * keep1 + usual
        sold = usual & (y > 0)
        keep_size = np.where(sold, WEEKDAY_DECAY, ONE)
        self.size_num = self.size_num * keep_size + np.where(sold, y, 0)
        self.size_den = self.size_den * keep_size + sold

    @staticmethod
    def _decay_into(
        num: Floats, den: Floats, column: int, rate: np.float32, mask: Flags, y: Floats, expected: Floats
    ) -> None:
        keep = np.where(mask, rate, ONE)
        num[:, column] = num[:, column] * keep + np.where(mask, y, 0)
        den[:, column] = den[:, column] * keep + np.where(mask, expected, 0)

    def look(self, origin: int, ahead: NDArray[np.int64]) -> Snapshot:
        level = self.level()
        scale = (0.5 * level + 0.5 * self.level(SLOW) + LEVEL_FLOOR).astype(np.float32)
        step = np.maximum(self.steps / np.maximum(self.step_days, 1), LEVEL_FLOOR).astype(np.float32)
        base, open_days, target, factors = self._target(origin, ahead, scale)
        item = self._item(origin, scale, step)
        variance = self.res[:, 1] / np.maximum(self.res_den, 1)
        dispersion = np.maximum(variance / scale, 1).astype(np.float32)
        return Snapshot(
            origin,
            ahead,
            item,
            target,
            base,
            scale,
            step,
            open_days,
            self.age > 0,
            level,
            factors,
            dispersion,
        )

    def _item(self, origin: int, scale: Floats, step: Floats) -> Floats:
        out = np.empty((len(scale), len(ITEM_FEATURES)), np.float32)
        put = dict(zip(ITEM_FEATURES, out.T, strict=True))
        put["level"][:] = np.clip(np.log(scale), -4, 7) / 2
        for name, memory in (("level_6d", 0), ("level_14d", 1), ("level_100d", 3), ("level_400d", 4)):
            put[name][:] = _log_ratio(self.level(memory), scale)
        for name, days in (("sum_7d", 7), ("sum_28d", 28)):
            put[name][:] = _log_ratio(
                self._sum(origin, days) / np.minimum(days, np.maximum(self.age, 1)), scale
            )
        put["zeros_30d"][:], put["zeros_100d"][:] = self.zero.T
        put["since_sale"][:] = np.log1p(self.since)
        put["age"][:] = np.minimum(self.age, 84) / 84  # older than this, an age would only tell the date
        put["residual_abs"][:] = _log_ratio(self.res[:, 0] / np.maximum(self.res_den, 1), scale)
        put["residual_sq"][:] = _log_ratio(np.sqrt(self.res[:, 1] / np.maximum(self.res_den, 1)), scale)
        ratios = self._ratios(origin)
        for column, name in enumerate(("ratio_q50", "ratio_q90", "ratio_q95")):
            put[name][:] = np.log(ratios[:, column] + 0.1)
        put["sale_size"][:] = np.log1p(self.size_num / np.maximum(self.size_den, 0.5)) / 2
        for name, memory, over in (("fast", 0, MID), ("slow", MID, SLOW)):
            put[f"shop_{name}"][:] = _log_ratio(self.level(memory).sum(), self.level(over).sum() + 1e-3)
            groups = self.panel.groups
            a, b = np.bincount(groups, self.level(memory)), np.bincount(groups, self.level(over))
            put[f"group_{name}"][:] = _log_ratio(a[groups], b[groups] + 1e-3)
        put["price_ratio"][:] = np.where(
            self.price > 0, np.log(np.maximum(self.price_now, 1e-3) / np.maximum(self.price, 1e-3)), 0
        )
        put["promotion_share"][:] = self.share
        put["uplift_some"][:], put["uplift_full"][:] = np.log(self.uplift()[:, 1:]).T
        put["has_year"][:] = self.age > YEAR_DAYS + 28
        put["diff_ratio"][:] = _log_ratio(step, scale)
        return np.clip(out, -4, 4, out=out)

    def _target(
        self, origin: int, ahead: NDArray[np.int64], scale: Floats
    ) -> tuple[Floats, Flags, Floats, Floats]:
        panel, n = self.panel, len(scale)
        day = origin + ahead
        weekday = (self.first_weekday + day) % 7
        out = np.zeros((n, len(ahead), len(TARGET_FEATURES)), np.float32)
        put = {name: out[:, :, column] for column, name in enumerate(TARGET_FEATURES)}
        factor, uplift, holiday_factor = self.weekday_factor(), self.uplift(), self.holiday_factor()
        kind = np.broadcast_to(self.kind[:, day], (n, len(day)))
        up = np.take_along_axis(uplift, kind.astype(np.int64), 1)
        is_open = np.broadcast_to(~panel.closed[:, day], (n, len(day)))
        holiday = np.broadcast_to(panel.holiday[:, day], (n, len(day)))
        factors = np.stack([factor[:, weekday], up, np.where(holiday, holiday_factor[:, None], ONE)], 2)
        base = (self.level() / scale)[:, None] * factors.prod(2)
        base = (base * is_open).astype(np.float32)
        put["base"][:] = np.log(base + BASE_FLOOR)
        put["weekday_factor"][:] = np.log(factor[:, weekday] + BASE_FLOOR)
        prior = (0.5 * np.minimum(self.level(), 1) + 0.05)[:, None]
        put["same_weekday"][:] = np.log((self.rw_num + prior) / (self.rw_den + prior))[:, weekday]
        for column, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun")):
            put[name][:] = weekday == column
        put["promotion"][:], put["display"][:] = panel.promotion[:, day], panel.display[:, day]
        either = np.maximum(panel.promotion, panel.display)
        put["promotion_before"][:], put["promotion_after"][:] = either[:, day - 1], either[:, day + 1]
        put["promotion_news"][:] = either[:, day] - self.share[:, None]
        put["uplift"][:] = np.log(up)
        put["holiday"][:], put["holiday_before"][:] = holiday, panel.holiday[:, day - 1]
        put["holiday_after"][:] = panel.holiday[:, day + 1]
        put["holiday_factor"][:] = np.where(holiday, np.log(holiday_factor + 0.05)[:, None], 0)
        put["school"][:], put["school_before"][:] = (
            panel.school_holiday[:, day],
            panel.school_holiday[:, day - 7],
        )
        put["closed_before"][:], put["closed_after"][:] = panel.closed[:, day - 1], panel.closed[:, day + 1]
        if (
            origin >= YEAR_DAYS + 28
        ):  # a season is claimed only where it was seen once: else the date is only noise
            for name, values in self.calendar.items():
                put[name][:] = values[day]
        put["ahead"][:], put["ahead_log"][:] = ahead / 28, np.log(ahead) / 3
        self._year(origin, day, put)
        return base, is_open, np.clip(out, -4, 4, out=out), factors

    def _year(self, origin: int, day: NDArray[np.int64], put: dict[str, Floats]) -> None:
        """The same weeks a year ago against the four weeks before them; nothing where the shop is younger."""
        then = origin - YEAR_DAYS
        if then < 28:
            return
        ago = np.minimum(day - YEAR_DAYS, origin - 3)
        first = self.cumulative[:, ago - 4]
        week = (self.cumulative[:, ago + 3] - first) / 7
        before = (self.cumulative[:, then] - self.cumulative[:, then - 28]) / 28
        old = (self.age > YEAR_DAYS + 28)[:, None]
        shop_week, shop_before = (week * old).sum(0), (before[:, None] * old).sum()
        shop = (shop_week + 0.1) / (shop_before + 0.1)
        prior = 1.0
        put["year_shop"][:] = np.log(shop)
        put["year_item"][:] = np.where(
            old, np.log((week + prior * shop) / (before[:, None] + prior)), np.log(shop)
        )
        # a calendar date repeats after 365 days (366 past a leap day), a weekday after 364
        date_ago = np.array([self._date_last_year(int(d)) for d in day])
        put["year_date"][:] = np.log(self.index[np.clip(date_ago, 0, origin)] + 0.05)
        put["year_weekday"][:] = np.log(self.index[ago] + 0.05)

    def _date_last_year(self, day: int) -> int:
        that = self.panel.day(day)
        last = date(that.year - 1, that.month, 28 if (that.month, that.day) == (2, 29) else that.day)
        return (last - self.panel.first_day).days

    def _sum(self, origin: int, days: int) -> Floats:
        start = self.cumulative[:, origin - days] if origin >= days else 0
        return self.cumulative[:, origin] - start

    def _ratios(self, origin: int) -> Floats:
        """(items, 3): quantiles .5 .9 .95 of demand over fit, last RATIO_DAYS days."""
        window = slice(max(0, origin + 1 - RATIO_DAYS), origin + 1)
        fit = self.fit[:, window]
        ratio = np.where(fit > 1e-4, self.y[:, window] / np.maximum(fit, 1e-4), np.nan)
        return sorted_quantiles(ratio.astype(np.float32), np.array([0.5, 0.9, 0.95], np.float32))


def demand_given_at_least(sold: Floats, expected: Floats) -> Floats:
    """E[D | D >= sold] of a sold-out day, about: the larger of both, and the mean excess of a count beyond it."""
    excess = CENSORED_EXCESS * np.minimum(expected, np.sqrt(np.maximum(expected, 0)))
    out: Floats = np.maximum(sold, expected) + excess
    return out


def sorted_quantiles(values: Floats, levels: Floats) -> Floats:
    """(rows, levels): linear quantiles of each row, NaN left out; 0 for an empty row. Faster than nanquantile."""
    ordered = np.sort(values, 1)
    count = np.isfinite(values).sum(1)
    place = levels * np.maximum(count - 1, 0)[:, None]
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0)[:, None])
    a, b = np.take_along_axis(ordered, low, 1), np.take_along_axis(ordered, high, 1)
    out: Floats = np.nan_to_num(a + (b - a) * (place - low)).astype(np.float32)
    return out


def _column(row: NDArray[Any], day: int) -> NDArray[Any]:
    column: NDArray[Any] = row[:, day]  # one value an item, or one for all
    return column


def _log_ratio(a: Floats, b: Floats) -> Floats:
    return np.log((a + 0.03 * b) / (1.03 * b))


def _calendar(first_day: date, days: int) -> dict[str, Floats]:
    """Seasons of the year and the month, and the one feast that shifts trade for weeks, per day index."""
    dates = [first_day + timedelta(days=index) for index in range(days)]
    year = 2 * np.pi * np.array([d.timetuple().tm_yday for d in dates]) / 365.25
    xmas = np.array([(d - date(d.year if d.month > 2 else d.year - 1, 12, 25)).days for d in dates])
    rows = {
        "year_s1": np.sin(year), "year_c1": np.cos(year),
        "xmas_before": np.where((xmas < 0) & (xmas >= -28), 1 + xmas / 28, 0),
        "xmas_after": np.where((xmas >= 0) & (xmas < 14), 1 - xmas / 14, 0),
        "xmas_eve": np.isin(xmas, (-1, 6)),
        "month_end": np.array([(d + timedelta(days=1)).day == 1 for d in dates]),
    }  # fmt: skip
    return {name: values.astype(np.float32) for name, values in rows.items()}
