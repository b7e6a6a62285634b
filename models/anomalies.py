"""Days and fortnights outside the forecast's own distribution, with the false alarms of the whole shop controlled.

Each item gets a few probabilities (yesterday too high, a run without sales, a fortnight too high or too low, four weeks
that rise or fall against the forecast made before them, a season other than a year ago), each thermometer one;
Benjamini-Hochberg at 5 % over all of them decides which are said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from models.features import Snapshot
from models.panel import Floats, Panel

FALSE_SHARE = 0.05
FORTNIGHT_DAYS = 14
EXPECTED_UNITS_MIN = 0.02
LEVEL_UNITS_MIN = 5.0  # expected in a fortnight: less has a score of its own, beside no others
ITEMS_MIN = 8  # that a usual score is taken from
ODD_SCORE_MIN = 1.9  # of a normal score: nothing below has a p of FALSE_SHARE
WEEKS = 4  # that a trend is judged by
SLOPE = np.array([-1.5, -0.5, 0.5, 1.5], np.float32)  # of a week's number
TREND_UNITS_MIN = 8.0  # expected in those weeks: less has no trend
YEAR_DAYS = 364
SEASON_DAYS = 28
SEASON_UNITS_MIN = 20.0  # in each of the four months that are compared
SENSOR_CALM = 0.7  # daily means have long tails: a deviation of 4 counts as 2.8
DOUBLE_UNITS_MIN = 4.0  # below this, twice the usual is an ordinary day


@dataclass(frozen=True, slots=True)
class Anomaly:
    sku: str
    day: date
    kind: str  # spike, double_booking, stop, level_up, level_down, trend, season, sensor
    units: float
    expected: float
    low: float
    high: float
    p: float
    evidence: str


@dataclass(frozen=True, slots=True)
class Judged:
    """How many were made, and those of them that could be improbable enough."""

    count: int
    odd: list[Anomaly]


def candidates(panel: Panel, snapshot: Snapshot, mean: Floats, quantiles: Floats) -> Judged:
    """Every test of every item, improbable or not; `Screening` chooses. The look was made before `mean`'s days.

    mean (items, days), quantiles (items, days, LEVELS): the forecast of the last days of the panel.
    """
    days = mean.shape[1]
    y = np.where(panel.censored[:, -days:], np.nan, panel.units[:, -days:])
    y = np.where(snapshot.open, y, np.nan)
    found: list[Anomaly] = []
    last_day = panel.last_day
    phi = snapshot.dispersion
    yesterday, expected = y[:, -1], mean[:, -1]
    low, high = quantiles[:, -1, 0], quantiles[:, -1, -1]
    p_high = upper_tail(yesterday, quantiles[:, -1])
    fortnight = slice(max(0, days - FORTNIGHT_DAYS), days)
    total, wanted = np.nansum(y[:, fortnight], 1), np.where(np.isfinite(y), mean, 0)[:, fortnight].sum(1)
    # errors of one item's days go together: a fortnight varies more than 14 independent days
    z = beside_the_others(count_z(total, wanted, phi * 1.5), wanted >= LEVEL_UNITS_MIN)
    run, run_mean = _zero_run(y, mean)
    z_run = count_z(np.zeros_like(run_mean), run_mean, phi * 1.5)

    def add(
        row: int, kind: str, units: float, mean_units: float, bounds: tuple[float, float], p: float, text: str
    ) -> None:
        found.append(Anomaly(panel.keys[row], last_day, kind, units, mean_units, *bounds, p, text))

    judged = snapshot.known & (np.maximum(expected, wanted) >= EXPECTED_UNITS_MIN)
    odd = (p_high <= FALSE_SHARE) | (np.abs(z) > ODD_SCORE_MIN) | (z_run < -ODD_SCORE_MIN / 2)
    for row in np.flatnonzero(judged & odd).tolist():
        mean_day, mean_fortnight = float(expected[row]), float(wanted[row])
        if np.isfinite(yesterday[row]):
            units, bounds = float(yesterday[row]), (float(low[row]), float(high[row]))
            double = abs(units - 2 * mean_day) <= 0.15 * mean_day and mean_day >= DOUBLE_UNITS_MIN
            text = f"sold {units:.0f}; {bounds[0]:.1f} to {bounds[1]:.1f} were likely"
            add(
                row,
                "double_booking" if double else "spike",
                units,
                mean_day,
                bounds,
                float(p_high[row]),
                text,
            )
        half = 2.6 * float(np.sqrt(phi[row] * 1.5 * max(mean_fortnight, 0.1)))
        bounds = (max(0.0, mean_fortnight - half), mean_fortnight + half)
        text = f"{total[row]:.0f} in {FORTNIGHT_DAYS} days; {bounds[0]:.0f} to {bounds[1]:.0f} were likely"
        p = 2 * normal_tail(abs(float(z[row])))
        add(
            row,
            "level_up" if z[row] > 0 else "level_down",
            float(total[row]),
            mean_fortnight,
            bounds,
            p,
            text,
        )
        if run[row] >= 2:
            missed = float(run_mean[row])
            text = f"nothing sold on {int(run[row])} open days; about {missed:.1f} were expected"
            add(row, "stop", 0.0, missed, (0.0, missed), normal_tail(-float(z_run[row])), text)
    count = int(judged.sum() + (judged & np.isfinite(yesterday)).sum() + (judged & (run >= 2)).sum())
    return Judged(count, found)


def trend_breaks(panel: Panel, snapshot: Snapshot, mean: Floats) -> Judged:
    """Week by week further from the forecast that was made before: the trend has turned since."""
    days = WEEKS * 7
    if mean.shape[1] < days:
        return Judged(0, [])
    y = np.where(panel.censored[:, -days:], np.nan, panel.units[:, -days:])
    y = np.where(snapshot.open[:, -days:], y, np.nan)
    wanted = np.where(np.isfinite(y), mean[:, -days:], 0).reshape(len(y), WEEKS, 7).sum(2)
    sold = np.nan_to_num(y).reshape(len(y), WEEKS, 7).sum(2)
    scores = count_z(sold, wanted, snapshot.dispersion[:, None] * 1.5)
    slope = scores @ SLOPE / np.sqrt((SLOPE**2).sum())
    fit = np.asarray(snapshot.known & (wanted.sum(1) >= TREND_UNITS_MIN) & (wanted > 0).all(1))
    slope = beside_the_others(slope, fit)
    found = []
    for row in np.flatnonzero(fit & (np.abs(slope) > ODD_SCORE_MIN)):
        last, expected = float(sold[row, -1]), float(wanted[row, -1])
        half = 2.6 * float(np.sqrt(snapshot.dispersion[row] * 1.5 * expected))
        weeks = ", ".join(f"{units:.0f}" for units in sold[row])
        text = f"week by week {weeks}; about {wanted[row].mean():.0f} each were expected"
        bounds = (max(0.0, expected - half), expected + half)
        p = 2 * normal_tail(abs(float(slope[row])))
        found.append(Anomaly(panel.keys[row], panel.last_day, "trend", last, expected, *bounds, p, text))
    return Judged(int(fit.sum()), found)


def season_shifts(panel: Panel, snapshot: Snapshot) -> Judged:
    """The last four weeks over the four before them, beside the same of a year ago."""
    days = panel.days
    if days < YEAR_DAYS + 2 * SEASON_DAYS:
        return Judged(0, [])
    y = np.where(panel.censored, np.nan, panel.units)

    def month(ends: int) -> Floats:
        span = y[:, ends - SEASON_DAYS : ends]
        known = np.isfinite(span).sum(1)
        out: Floats = np.nansum(span, 1) * SEASON_DAYS / np.maximum(known, 1)
        return out

    def promoted(ends: int) -> Floats:
        span = slice(ends - 2 * SEASON_DAYS, ends)
        out: Floats = np.maximum(panel.promotion, panel.display)[:, span].max(1)
        return out

    now, before = month(days), month(days - SEASON_DAYS)
    then, ahead_of = month(days - YEAR_DAYS), month(days - YEAR_DAYS - SEASON_DAYS)
    four = np.stack([now, before, then, ahead_of])
    noise = np.sqrt(snapshot.dispersion * 1.5 * (1 / np.maximum(four, 1)).sum(0))
    quiet = np.maximum(promoted(days), promoted(days - YEAR_DAYS)) <= 0  # a promotion is no season
    fit = (four[1:].min(0) >= SEASON_UNITS_MIN) & snapshot.known & quiet
    change = np.log(np.maximum(now, 0.5) / np.maximum(before, 0.5))
    usual = np.log(np.maximum(then, 0.5) / np.maximum(ahead_of, 0.5))
    found = []
    z = beside_the_others((change - usual) / noise, fit)
    for row in np.flatnonzero(fit & (np.abs(z) > ODD_SCORE_MIN)):
        expected = float(before[row] * np.exp(usual[row]))
        half = expected * (np.exp(2.6 * float(noise[row])) - 1)
        grown, was = (100 * (np.exp(float(one[row])) - 1) for one in (change, usual))
        text = f"four weeks {grown:+.0f} % on those before; a year ago {was:+.0f} %"
        p = 2 * normal_tail(abs(float(z[row])))
        bounds = (max(0.0, expected - half), expected + half)
        found.append(
            Anomaly(panel.keys[row], panel.last_day, "season", float(now[row]), expected, *bounds, p, text)
        )
    return Judged(int(fit.sum()), found)


def odd_sensor(name: str, last_day: date, value: float, deviation: float, spread: float) -> Anomaly:
    """A thermometer's day, `deviation` standard deviations (of `spread` degrees each) from what is usual for it."""
    usual, half = value - deviation * spread, 3 * spread
    text = f"{value:.1f} degrees on the mean of the day; {usual - half:.1f} to {usual + half:.1f} are usual"
    p = 2 * normal_tail(abs(deviation) * SENSOR_CALM)
    return Anomaly(name, last_day, "sensor", value, usual, usual - half, usual + half, p, text)


class Screening:
    """All tests of one night: the number of all of them counts, only the improbable ones are remembered."""

    def __init__(self, share: float = FALSE_SHARE) -> None:
        self.share = share
        self.count = 0
        self.odd: list[Anomaly] = []  # those that might be said

    def add(self, tests: Judged) -> None:
        self.count += tests.count
        self.odd += [test for test in tests.odd if test.p <= self.share]

    def improbable(self) -> list[Anomaly]:
        """Benjamini-Hochberg: of those said, about `share` are false at most."""
        ordered = sorted(self.odd, key=lambda test: (test.p, test.sku, test.kind))
        kept = max(
            (n for n, test in enumerate(ordered, 1) if test.p <= self.share * n / self.count), default=0
        )
        return ordered[:kept]


def upper_tail(y: Floats, quantiles: Floats) -> Floats:
    """(items,) P(D >= y): exponential beyond .95, at the pace from .95 to .99; nothing is claimed inside."""
    q95, q99 = quantiles[:, -2], quantiles[:, -1]
    pace = np.maximum((q99 - q95) / np.log(5), 0.3)  # 5 % to 1 %; counts have a grain
    return np.where(y > q95, 0.05 * np.exp(-np.maximum(y - 0.5 - q95, 0) / pace), 1.0)


def count_z(units: Floats, expected: Floats, dispersion: Floats) -> Floats:
    """Standard score of an overdispersed count (Anscombe's root)."""
    return 2 * (np.sqrt(units + 0.375) - np.sqrt(expected + 0.375)) / np.sqrt(np.maximum(dispersion, 1))


def beside_the_others(z: Floats, fit: np.ndarray) -> Floats:
    """Scores over how far the shop's items usually are from what is expected: when all move, none is odd by that."""
    if fit.sum() < ITEMS_MIN:
        return z
    usual = 1.4826 * float(np.median(np.abs(z[fit])))  # of a normal score 1
    out: Floats = z / max(1.0, usual)
    return out


def normal_tail(z: float) -> float:
    """P(Z > z)"""
    from math import erfc, sqrt

    return 0.5 * erfc(z / sqrt(2))


def _zero_run(y: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """(items,) open days without a sale up to the last day, and the demand that was expected on them."""
    quiet = np.where(np.isfinite(y), y == 0, True)[:, ::-1]
    in_run = np.logical_and.accumulate(quiet, 1)[:, ::-1] & np.isfinite(y)
    return in_run.sum(1).astype(np.float32), np.where(in_run, mean, 0).sum(1)
