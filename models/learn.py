"""Learning at night on the shop's own rows, with numpy alone: fine-tune, early stop, blend, calibrate.

The last HOLDOUT_DAYS are first kept back: on them the number of training passes, the blend with the plain rules, the
item bias and the width of the quantiles are chosen. Then the same passes run again on every day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.baselines import RuleForecast, dow_emp_q
from models.features import ITEM_FEATURES, RATIO_DAYS, Snapshot, snapshots, sorted_quantiles
from models.network import LEVELS, Adam, Weights, forward, loss_and_gradients, read_out
from models.panel import Floats, Panel

HORIZON_DAYS = 28
SUM_SPANS = (7, 14, 28, 49)
HOLDOUT_DAYS = 56
LEARN_DAYS_MIN = 112  # younger shops forecast with the shipped weights and the plain rules
WARM_DAYS = 35  # the first days of a series only fill the states
ROWS_MAX = 110_000
VISITS_PER_NIGHT = 1_200_000
BATCH_ROWS = 1024
NOISE = 0.7  # in standard deviations of each input: without it the network learns single days by heart
RATE = 1.5e-3
CLASS_UNITS = (0.5, 3.0)  # volume classes: items below, between, above (units a day)
CLASSES = len(CLASS_UNITS) + 1
DEFAULT_BLEND = (0.55, 0.35, 0.10)  # network, structural rule, DowEmpQ
BLENDS = tuple(
    (round(a / 4, 2), round(b / 4, 2), round((4 - a - b) / 4, 2)) for a in range(5) for b in range(5 - a)
)
WINDOW_FEATURES = ("mean", "span", "start", "spread", "closed", "promotion", "steady")


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows in units of scale."""

    x: Floats
    base: Floats
    y: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Model:
    """Everything a forecast needs beside the shop's days."""

    day: Weights
    window: Weights
    version: str = "shipped"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Chosen on days the weights had not seen. Rows are volume classes."""

    mean_blend: Floats  # (CLASSES, 3): network, structural rule, DowEmpQ
    blend: Floats  # (CLASSES, 3): the same for quantiles
    width: Floats  # (CLASSES, LEVELS): factor on each quantile
    sum_blend: Floats  # (CLASSES, 2): window network, empirical sums
    sum_width: Floats  # (CLASSES, LEVELS)
    bias: Floats  # (items,): factor on the mean and the quantiles
    notes: tuple[str, ...] = ()

    @classmethod
    def default(cls, items: int) -> Calibration:
        blend = np.tile(np.float32(DEFAULT_BLEND), (CLASSES, 1))
        ones = np.ones((CLASSES, len(LEVELS)), np.float32)
        return cls(blend, blend, ones, np.tile(np.float32([0.6, 0.4]), (CLASSES, 1)), ones, np.ones(items, np.float32))


@dataclass(frozen=True, slots=True)
class Pieces:
    """The three forecasts of one look ahead before they are blended; units, not scaled."""

    snapshot: Snapshot
    means: Floats  # (3, items, days)
    quantiles: Floats  # (3, items, days, LEVELS)
    rule: RuleForecast
    sum_spread: Floats  # (items, LEVELS): structural rule, rolling 7-day sums over their fit
    volume_class: NDArray[np.int64]  # (items,)


@dataclass(frozen=True, slots=True)
class Forecast:
    mean: Floats  # (items, days) units
    quantiles: Floats  # (items, days, LEVELS)
    rule_mean: Floats  # (items, days) DowEmpQ
    rule_quantiles: Floats
    sums: dict[tuple[int, int], tuple[Floats, Floats]] = field(default_factory=dict)  # (start, span) -> mean, quantiles


def training_rows(
    panel: Panel, origins: Sequence[int], per_origin: int, rng: np.random.Generator, last: int, reach_days: int = 56
) -> Rows:
    """Rows whose target day is at most `last`; each origin looks at a few random days ahead."""
    aheads = []
    for origin in origins:
        near = rng.choice(np.arange(1, min(HORIZON_DAYS, last - origin) + 1), per_origin)
        far = rng.integers(1, min(reach_days, last - origin) + 1, 1)
        aheads.append(np.unique(np.concatenate([near, far])))
    parts = [_rows_of(panel, snapshot) for snapshot in snapshots(panel, origins, aheads)]
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))


def _rows_of(panel: Panel, snapshot: Snapshot) -> Rows:
    day = snapshot.origin + snapshot.ahead
    y = panel.units[:, day]
    old = snapshot.item[:, ITEM_FEATURES.index("age")] * 84 >= 14
    fit = np.isfinite(y) & snapshot.open & (snapshot.known & old)[:, None] & ~panel.censored[:, day]
    scale = snapshot.scale[:, None]
    weight = np.broadcast_to(np.minimum(scale / snapshot.step[:, None], 5), y.shape)
    return Rows(day_inputs(snapshot)[fit], snapshot.base[fit], np.minimum(y / scale, 60)[fit], weight[fit])


def day_inputs(snapshot: Snapshot) -> Floats:
    """(items, days, features): item features repeated beside those of the target day."""
    items, days, _ = snapshot.target.shape
    item = np.broadcast_to(snapshot.item[:, None], (items, days, snapshot.item.shape[1]))
    return np.concatenate([item, snapshot.target], 2)


def standardise(weights: Weights, x: Floats) -> Weights:
    """An input that never varied is switched off: nothing is known about it."""
    spread = x.std(0)
    stretch = np.where(spread < 0.01, 0, 1 / (spread + 0.1)).astype(np.float32)
    return weights | {"shift": x.mean(0, dtype=np.float64).astype(np.float32), "stretch": stretch}


def fine_tune(
    weights: Weights, rows: Rows, visits: int, rate: float, rng: np.random.Generator, noise: float = NOISE
) -> Weights:
    """Adam with a cosine rate; each visit sees its row through a little noise."""
    adam, count = Adam.start(weights), len(rows.y)
    batch = min(BATCH_ROWS, count)
    steps = max(1, visits // batch)
    blur = noise / np.maximum(weights["stretch"], 0.1)
    order, place = rng.permutation(count), 0
    for step in range(steps):
        if place + batch > count:
            order, place = rng.permutation(count), 0
        pick = order[place : place + batch]
        place += batch
        x = rows.x[pick]
        x = x + blur * rng.standard_normal(x.shape, dtype=np.float32)
        _, gradients = loss_and_gradients(adam.weights, x, rows.base[pick], rows.y[pick], rows.weight[pick])
        warm = min(1.0, (step + 1) / (0.05 * steps + 1))
        adam.update(gradients, rate * warm * 0.5 * (1 + np.cos(np.pi * step / steps)), average_rate=0.01)
    return adam.average


def look_ahead(panel: Panel, model: Model, days: int) -> Pieces:
    """The three forecasts at the close of the last day of the panel."""
    ahead = np.arange(1, days + 1)
    snapshot, spreads = _snapshot_and_spreads(panel, ahead)
    network_mean, network_quantiles = network_forecast(model.day, snapshot)
    structural = snapshot.base * snapshot.scale[:, None]
    rule = dow_emp_q(panel, ahead)
    return Pieces(
        snapshot=snapshot,
        means=np.stack([network_mean, structural, rule.mean]),
        quantiles=np.stack([network_quantiles, structural[..., None] * spreads[0][:, None], rule.quantiles]),
        rule=rule,
        sum_spread=spreads[1],
        volume_class=np.searchsorted(CLASS_UNITS, snapshot.scale),
    )


def network_forecast(weights: Weights, snapshot: Snapshot) -> tuple[Floats, Floats]:
    raw = forward(weights, day_inputs(snapshot))
    mean, quantiles = read_out(raw, snapshot.base)
    scale = np.where(snapshot.open, snapshot.scale[:, None], 0)
    return mean * scale, quantiles * scale[..., None]


def _snapshot_and_spreads(panel: Panel, ahead: NDArray[np.int64]) -> tuple[Snapshot, tuple[Floats, Floats]]:
    from models.features import replay

    state = replay(panel, panel.days - 1 + int(ahead.max()) + 2)
    levels = np.asarray(LEVELS, np.float32)
    window = slice(max(0, panel.days - RATIO_DAYS), panel.days)
    fit, y = state.fit[:, window], np.where(state.fit[:, window] > 0, state.y[:, window], 0)
    daily = sorted_quantiles(_ratio(y, fit), levels)
    weekly = sorted_quantiles(_ratio(_rolling(y, 7), _rolling(fit, 7)), levels)
    return state.look(panel.days - 1, ahead), (daily, weekly)


def _ratio(y: Floats, fit: Floats) -> Floats:
    return np.where(fit > 1e-4, y / np.maximum(fit, 1e-4), np.nan).astype(np.float32)


def _rolling(values: Floats, span: int) -> Floats:
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), 1)
    span = min(span, values.shape[1])
    return total[:, span:] - total[:, :-span]


def blend(pieces: Pieces, calibration: Calibration, model: Model, spans: Sequence[tuple[int, int]]) -> Forecast:
    """Blend, correct and order; sums last, from the blended daily means."""
    kind = pieces.volume_class
    bias = calibration.bias[:, None]
    mean = np.einsum("mid,im->id", pieces.means, calibration.mean_blend[kind]) * bias
    quantiles = np.einsum("midq,im->idq", pieces.quantiles, calibration.blend[kind])
    quantiles = np.maximum.accumulate(quantiles * calibration.width[kind][:, None] * bias[..., None], -1)
    sums = {}
    for start, span in spans:
        network, empirical = sum_pieces(pieces, mean, model.window, start, span)
        weights = calibration.sum_blend[kind]
        mixed = network * weights[:, :1] + empirical * weights[:, 1:]
        mixed = np.maximum.accumulate(mixed * calibration.sum_width[kind], -1)
        sums[start, span] = mean[:, start : start + span].sum(1), mixed
    return Forecast(mean, quantiles, pieces.rule.mean, pieces.rule.quantiles, sums)


def window_inputs(snapshot: Snapshot, mean: Floats, start: int, span: int) -> tuple[Floats, Floats]:
    """Inputs (items, ITEM + WINDOW) and base (items,) in units of scale a day, of the days start .. start + span - 1."""
    days = slice(start, start + span)
    daily = mean[:, days] / snapshot.scale[:, None]
    base = daily.mean(1)
    out = np.empty((len(base), len(WINDOW_FEATURES)), np.float32)
    put = dict(zip(WINDOW_FEATURES, out.T, strict=True))
    put["mean"][:] = np.log(base + 0.02)
    put["span"][:] = np.log(span)
    put["start"][:] = start / 28
    put["spread"][:] = np.log(base * span * snapshot.scale + 0.1) / 2
    put["closed"][:] = 1 - snapshot.open[:, days].mean(1)
    put["promotion"][:] = snapshot.target[:, days, 10].mean(1)
    put["steady"][:] = np.sqrt((daily**2).mean(1)) / (base + 0.02)
    return np.concatenate([snapshot.item, np.clip(out, -4, 6)], 1), base


def sum_pieces(pieces: Pieces, mean: Floats, weights: Weights, start: int, span: int) -> tuple[Floats, Floats]:
    """(items, LEVELS) of the window network and of the empirical rule, in units."""
    x, base = window_inputs(pieces.snapshot, mean, start, span)
    _, quantiles = read_out(forward(weights, x), base)
    network = quantiles * (pieces.snapshot.scale * span)[:, None]
    total = mean[:, start : start + span].sum(1)[:, None]
    spread = pieces.sum_spread
    if span > 7:  # a longer sum is relatively narrower: errors of weeks are half shared
        middle = spread[:, 1:2]
        spread = middle + (spread - middle) * np.float32((7 / span) ** 0.3)
    elif span < 7:
        spread = spread * np.float32((7 / span) ** 0.3)
    return network, total * np.maximum(spread, 0)


def window_rows(panel: Panel, weights: Weights, origins: Sequence[int], last: int, rng: np.random.Generator) -> Rows:
    """Sums of 2 to 56 days as training rows; the daily means come from the day network."""
    parts = []
    reach = [np.arange(1, min(56, last - origin) + 1) for origin in origins]
    for snapshot, ahead in zip(snapshots(panel, origins, reach), reach, strict=True):
        mean, _ = network_forecast(weights, snapshot)
        structural = snapshot.base * snapshot.scale[:, None]
        mean = 0.6 * mean + 0.4 * structural
        y = np.where(snapshot.open, panel.units[:, snapshot.origin + ahead], 0)
        for span in (7, int(rng.integers(2, 8)), int(rng.integers(8, 57)), 14, 28):
            if span > len(ahead):
                continue
            start = int(rng.integers(0, min(28, len(ahead) - span) + 1))
            x, base = window_inputs(snapshot, mean, start, span)
            total = y[:, start : start + span].sum(1) / (snapshot.scale * span)
            fit = np.isfinite(total) & snapshot.known & (base > 0.01) & (snapshot.item[:, 10] * 84 >= 14)
            weight = np.minimum(snapshot.scale / snapshot.step, 5) * np.float32(np.sqrt(span / 7))
            parts.append(Rows(x[fit], base[fit], np.minimum(total, 40)[fit].astype(np.float32), weight[fit]))
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))


def learning_origins(panel: Panel, last: int, items_per_origin: float, rows_max: int = ROWS_MAX) -> list[int]:
    """Evenly spaced origins, so many that the rows fit the memory of a small machine."""
    first, stop = WARM_DAYS, last - 7
    wanted = max(1, int(rows_max / max(1.0, len(panel.keys) * items_per_origin)))
    step = max(1, -(-(stop - first) // wanted))
    return list(range(stop, first, -step))[::-1]


def learn(panel: Panel, shipped: Model, seed: int = 0, visits: int = VISITS_PER_NIGHT) -> tuple[Model, Calibration]:
    """One night: choose on the held-back days, then learn from all days."""
    items = len(panel.keys)
    if panel.days < LEARN_DAYS_MIN:
        return shipped, Calibration.default(items)
    cut = panel.days - 1 - HOLDOUT_DAYS
    trial, _ = _train(panel.seen_at(cut), shipped, visits, np.random.default_rng(seed))
    calibration = calibrate(panel, trial, shipped)
    final, _ = _train(panel, shipped, visits, np.random.default_rng(seed))
    return final, calibration


def _train(panel: Panel, start: Model, visits: int, rng: np.random.Generator) -> tuple[Model, int]:
    last, per_origin = panel.days - 1, 4
    origins = learning_origins(panel, last, per_origin)
    rows = training_rows(panel, origins, per_origin - 1, rng, last)
    day = fine_tune(start.day, rows, visits, RATE, rng)
    count = len(rows.y)
    del rows
    origins = learning_origins(panel, last, 5, ROWS_MAX // 2)
    window = fine_tune(start.window, window_rows(panel, day, origins, last, rng), visits // 4, RATE, rng, 0.3)
    return Model(day, window, "learned"), count


def calibrate(panel: Panel, trial: Model, shipped: Model) -> Calibration:
    """Choose blends, widths and item bias on windows after the trial's last training day."""
    last = panel.days - 1
    items = len(panel.keys)
    looks = []
    for origin in (last - 56, last - 42, last - 28):
        seen = panel.seen_at(origin)
        pieces = look_ahead(seen, trial, HORIZON_DAYS)
        days = slice(origin + 1, origin + 1 + HORIZON_DAYS)
        y = np.where(panel.censored[:, days], np.nan, panel.units[:, days])
        y = np.where(pieces.snapshot.known[:, None], y, np.nan)
        looks.append((pieces, y))
    default = Calibration.default(items)
    mean_blend, quantile_blend = default.mean_blend.copy(), default.blend.copy()
    kinds = looks[-1][0].volume_class
    for kind in range(CLASSES):
        inside = [(pieces, y, np.flatnonzero(pieces.volume_class == kind)) for pieces, y in looks]
        inside = [(pieces, y, rows) for pieces, y, rows in inside if len(rows)]
        if not inside:
            continue
        mean_blend[kind] = _best_blend(DEFAULT_BLEND, lambda b, inside=inside: _square_loss(inside, b))
        quantile_blend[kind] = _best_blend(DEFAULT_BLEND, lambda b, inside=inside: _pinball_loss(inside, b))
    plain = Calibration(mean_blend, quantile_blend, default.width, default.sum_blend, default.sum_width, default.bias)
    forecasts = [blend(pieces, plain, trial, ()) for pieces, _ in looks]
    bias = _item_bias(forecasts, [y for _, y in looks])
    plain = Calibration(mean_blend, quantile_blend, default.width, default.sum_blend, default.sum_width, bias)
    forecasts = [blend(pieces, plain, trial, [(0, 7), (7, 7), (14, 7), (21, 7), (0, 14), (14, 14)]) for pieces, _ in looks]
    width = _widths([(f.quantiles, y) for f, (_, y) in zip(forecasts, looks, strict=True)], kinds)
    sums = [
        (f.sums[key][1], y[:, key[0] : sum(key)].sum(1)) for f, (_, y) in zip(forecasts, looks, strict=True) for key in f.sums
    ]
    sum_width = _widths([(q[:, None], y[:, None]) for q, y in sums], kinds)
    return Calibration(mean_blend, quantile_blend, width, default.sum_blend, sum_width, bias)


def _best_blend(default: tuple[float, ...], loss) -> Floats:
    """The best of a few blends, half way from the default: a month is not much evidence."""
    best = min(BLENDS, key=loss)
    return (0.5 * np.float32(best) + 0.5 * np.float32(default)).astype(np.float32)


def _square_loss(inside: list[tuple[Pieces, Floats, NDArray[np.int64]]], weights: tuple[float, ...]) -> float:
    total = 0.0
    for pieces, y, rows in inside:
        mean = np.einsum("mid,m->id", pieces.means[:, rows], np.float32(weights))
        error = (y[rows] - mean) / pieces.snapshot.step[rows, None]
        total += float(np.nanmean(error**2))
    return total


def _pinball_loss(inside: list[tuple[Pieces, Floats, NDArray[np.int64]]], weights: tuple[float, ...]) -> float:
    total = 0.0
    for pieces, y, rows in inside:
        q = np.einsum("midq,m->idq", pieces.quantiles[:, rows][..., 1:4], np.float32(weights))
        error = y[rows][..., None] - q
        levels = np.asarray(LEVELS[1:4], np.float32)
        total += float(np.nanmean(np.maximum(levels * error, (levels - 1) * error) / pieces.snapshot.step[rows, None, None]))
    return total


def _item_bias(forecasts: list[Forecast], actual: list[Floats]) -> Floats:
    """Sold over forecast of the held-back days, pulled to 1 by four weeks of the item's own demand and 20 units."""
    sold = sum(np.nansum(y, 1) for y in actual)
    said = sum(np.where(np.isfinite(y), f.mean, 0).sum(1) for f, y in zip(forecasts, actual, strict=True))
    prior = said * 0.75 + 20
    return np.clip((sold + prior) / (said + prior), 0.7, 1.4).astype(np.float32)


def _widths(pairs: list[tuple[Floats, Floats]], kinds: NDArray[np.int64]) -> Floats:
    """(CLASSES, LEVELS) factors that would have made the coverage right, three quarters of the way."""
    out = np.ones((CLASSES, len(LEVELS)), np.float32)
    for kind in range(CLASSES):
        inside = kinds == kind
        q = np.concatenate([quantiles[inside].reshape(-1, len(LEVELS)) for quantiles, _ in pairs])
        y = np.concatenate([actual[inside].reshape(-1) for _, actual in pairs])
        for column, level in enumerate(LEVELS):
            fine = np.isfinite(y) & (q[:, column] > 1e-6)
            if level < 0.5 or fine.sum() < 300:
                continue
            factor = np.quantile(y[fine] / q[fine, column], level)
            out[kind, column] = np.clip(max(factor, 0.05) ** 0.75, 0.75, 1.5)
    out[:, 1] = 1  # the median of slow items is 0: a factor on it says nothing
    return out
