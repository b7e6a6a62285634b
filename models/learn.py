"""Learning at night on the shop's own rows, with numpy alone: fine-tune, early stop, blend, calibrate.

The last HOLDOUT_DAYS are first kept back: on them are chosen how far to move from the shipped weights, the blend with
the plain rules and the width of the quantiles. Then the same passes run again on every day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.baselines import RuleForecast, dow_emp_q
from models.features import ITEM_FEATURES, RATIO_DAYS, Replay, Snapshot, snapshots, sorted_quantiles
from models.network import (
    LEVELS,
    WINDOW_FEATURES,
    Adam,
    Graph,
    Weights,
    forward,
    loss_and_gradients,
    read_out,
)
from models.panel import Floats, Panel

HORIZON_DAYS = 28
SUM_SPANS = (7, 14, 28, 49)
HOLDOUT_DAYS = 56
LEARN_DAYS_MIN = 112  # younger shops keep the shipped weights
CALIBRATE_DAYS_MIN = 56  # still younger ones keep the default blend and widths too
WARM_DAYS = 35  # the first days of a series only fill the states
ROWS_MAX = 110_000
VISITS_PER_NIGHT = 1_200_000
BATCH_ROWS = 1024
NOISE = 0.7  # in standard deviations of each input: without it the network learns single days by heart
RATE = 1.5e-3
WIDTH_POWER = 0.5
CLASS_UNITS = (0.5, 3.0)  # volume classes: items below, between, above (units a day)
CLASSES = len(CLASS_UNITS) + 1
CHUNK_ITEMS = 64  # some 3,600 rows: their layers stay in the cache
DEFAULT_BLENDS = (
    (0.85, 0.15, 0.0),
    (0.85, 0.15, 0.0),
    (0.45, 0.55, 0.0),
)  # network, structural rule, DowEmpQ
BLENDS = (
    (1.0, 0.0, 0.0),
    (0.85, 0.15, 0.0),
    (0.6, 0.4, 0.0),
    (0.3, 0.7, 0.0),
    (0.5, 0.2, 0.3),
    (0.0, 0.0, 1.0),
)
BLEND_TRUST = 0.5  # how far from the default a month of evidence may move a blend
SUM_BLEND = (0.5, 0.15, 0.35)  # window network, empirical sums, days as if independent
SUM_BLENDS = ((1.0, 0.0, 0.0), (0.5, 0.15, 0.35), (0.2, 0.0, 0.8), (0.4, 0.6, 0.0), (0.0, 0.0, 1.0))
SUM_NARROWING = (
    0.25  # errors of days are partly shared: a sum of n days is (n / 7) ** this wider than independent ones
)
NORMAL_SCORES = (-1.2816, 0.0, 1.2816, 1.6449, 2.3263)  # of LEVELS
MIXES = (0.25, 0.6, 1.0)  # how far from the shipped weights towards the learned ones
WIDTH_WINDOWS = ((0, 7), (7, 7), (14, 7), (21, 7), (0, 14), (14, 14))
WIDTH_ROWS_MIN = 300


Tell = Callable[[float], None]


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
    sum_blend: Floats  # (CLASSES, 3): window network, empirical sums, days as if independent
    sum_width: Floats  # (CLASSES, LEVELS)

    @classmethod
    def default(cls) -> Calibration:
        blend = np.asarray(DEFAULT_BLENDS, np.float32)
        ones = np.ones((CLASSES, len(LEVELS)), np.float32)
        return cls(blend, blend, ones, np.tile(np.asarray(SUM_BLEND, np.float32), (CLASSES, 1)), ones)


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
    sums: dict[tuple[int, int], tuple[Floats, Floats]] = field(
        default_factory=dict
    )  # (start, span) -> mean, quantiles


def training_rows(
    panel: Panel,
    origins: Sequence[int],
    per_origin: int,
    rng: np.random.Generator,
    last: int,
    reach_days: int = 56,
) -> Rows:
    """Rows whose target day is at most `last`; each origin looks at a few random days ahead."""
    aheads = []
    for origin in origins:
        near = rng.choice(np.arange(1, min(HORIZON_DAYS, last - origin) + 1), per_origin)
        far = rng.integers(1, min(reach_days, last - origin) + 1, 1)
        aheads.append(np.unique(np.concatenate([near, far])))
    rows_max = len(panel.keys) * sum(len(ahead) for ahead in aheads)
    return gather((_rows_of(panel, snapshot) for snapshot in snapshots(panel, origins, aheads)), rows_max)


def gather(parts: Iterable[Rows], rows_max: int) -> Rows:
    """The parts one below the other, each held only once: they are most of a night's memory."""
    x = np.empty((0, 0), np.float32)
    base, y, weight = np.empty((3, rows_max), np.float32)
    end = 0
    for part in parts:
        if not end:
            x = np.empty((rows_max, part.x.shape[1]), np.float32)  # pages that stay unused cost nothing
        start, end = end, end + len(part.y)
        for whole, piece in ((x, part.x), (base, part.base), (y, part.y), (weight, part.weight)):
            whole[start:end] = piece
    return Rows(x[:end], base[:end], y[:end], weight[:end])


def _rows_of(panel: Panel, snapshot: Snapshot) -> Rows:
    day = snapshot.origin + snapshot.ahead
    y = panel.units[:, day]
    old = snapshot.item[:, ITEM_FEATURES.index("age")] * 84 >= 14
    fit = np.isfinite(y) & snapshot.open & (snapshot.known & old)[:, None] & ~panel.censored[:, day]
    scale = snapshot.scale[:, None]
    weight = np.broadcast_to(np.minimum(scale / snapshot.step[:, None], 5), y.shape)
    return Rows(day_inputs(snapshot)[fit], snapshot.base[fit], np.minimum(y / scale, 60)[fit], weight[fit])


def day_inputs(snapshot: Snapshot, rows: slice = slice(None)) -> Floats:
    """(items, days, features): item features repeated beside those of the target day."""
    target, item = snapshot.target[rows], snapshot.item[rows]
    wide = np.broadcast_to(item[:, None], (*target.shape[:2], item.shape[1]))
    return np.concatenate([wide, target], 2)


def standardise(weights: Weights, x: Floats) -> Weights:
    """An input that never varied is switched off: nothing is known about it."""
    spread = x.std(0)
    stretch = np.where(spread < 0.01, 0, 1 / (spread + 0.1)).astype(np.float32)
    return weights | {"shift": x.mean(0, dtype=np.float64).astype(np.float32), "stretch": stretch}


def _in_silence(share: float) -> None:
    """Nobody waits for it."""


def fine_tune(
    weights: Weights,
    rows: Rows,
    visits: int,
    rate: float,
    rng: np.random.Generator,
    noise: float = NOISE,
    tell: Tell = _in_silence,
) -> Weights:
    """Adam with a cosine rate; each visit sees its row through a little noise. `tell` hears the share done, 0 to 1."""
    adam, count = Adam.start(weights), len(rows.y)
    batch = min(BATCH_ROWS, count)
    steps = max(1, visits // batch)
    blur = noise / np.maximum(weights["stretch"], 0.1)
    order, place = rng.permutation(count), 0
    for step in range(steps):
        tell(step / steps)
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


def look_ahead(panel: Panel, model: Model | None, days: int, graph: Graph | None = None) -> Pieces:
    """The three forecasts at the close of the last day of the panel."""
    return next(looks(panel, model, [(panel.days - 1, days)], graph))


def looks(
    panel: Panel, model: Model | None, views: Sequence[tuple[int, int]], graph: Graph | None = None
) -> Iterator[Pieces]:
    """The three forecasts from each (day index, days ahead), ascending; the days are replayed once for all."""
    reach = max(origin + days for origin, days in views) + 2
    state = Replay(panel, reach)
    for origin, days in views:
        state.advance_to(origin)
        ahead = np.arange(1, days + 1)
        snapshot = state.look(origin, ahead)
        daily, weekly = _spreads(state, origin)
        structural = snapshot.base * snapshot.scale[:, None]
        rule = dow_emp_q(panel.seen_at(origin), ahead)
        network = (
            (rule.mean, rule.quantiles) if model is None else network_forecast(model.day, snapshot, graph)
        )
        yield Pieces(
            snapshot=snapshot,
            means=np.stack([network[0], structural, rule.mean]),
            quantiles=np.stack([network[1], structural[..., None] * daily[:, None], rule.quantiles]),
            rule=rule,
            sum_spread=weekly,
            volume_class=np.searchsorted(CLASS_UNITS, snapshot.scale),
        )


def _spreads(state: Replay, origin: int) -> tuple[Floats, Floats]:
    """(items, LEVELS) twice: quantiles of demand over the structural fit, of days and of rolling weeks."""
    levels = np.asarray(LEVELS, np.float32)
    window = slice(max(0, origin + 1 - RATIO_DAYS), origin + 1)
    fit = state.fit[window].T
    y = np.where(fit > 0, state.y[window].T, 0)
    weeks = _ratio(_rolling(y, 7), _rolling(fit, 7))
    return sorted_quantiles(_ratio(y, fit), levels), sorted_quantiles(weeks, levels)


def network_forecast(
    weights: Weights, snapshot: Snapshot, graph: Graph | None = None
) -> tuple[Floats, Floats]:
    """Mean (items, days) and quantiles (items, days, LEVELS) in units; the graph in onnxruntime where it is given."""
    items, days = snapshot.base.shape
    means = np.empty((items, days), np.float32)
    quantiles = np.empty((items, days, len(LEVELS)), np.float32)
    for first in range(
        0, items, CHUNK_ITEMS
    ):  # the inputs of many items at once would be the largest array of all
        rows = slice(first, first + CHUNK_ITEMS)
        x = day_inputs(snapshot, rows)
        flat = x.reshape(-1, x.shape[2])
        raw = graph.raw(weights, flat) if graph else forward(weights, flat)
        scale = np.where(snapshot.open[rows], snapshot.scale[rows, None], 0)
        mean, spread = read_out(raw.reshape(*x.shape[:2], -1), snapshot.base[rows])
        means[rows], quantiles[rows] = mean * scale, spread * scale[..., None]
    return means, quantiles


def _ratio(y: Floats, fit: Floats) -> Floats:
    return np.where(fit > 1e-4, y / np.maximum(fit, 1e-4), np.nan).astype(np.float32)


def _rolling(values: Floats, span: int) -> Floats:
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), 1)
    span = min(span, values.shape[1])
    out: Floats = total[:, span:] - total[:, :-span]
    return out


def blend(
    pieces: Pieces,
    calibration: Calibration,
    model: Model | None,
    spans: Sequence[tuple[int, int]],
    graph: Graph | None = None,
) -> Forecast:
    """Blend, correct and order; sums last, around the blended daily means. Without a model the simple rule serves."""
    kind = pieces.volume_class
    if model is None:
        mean, quantiles = pieces.rule.mean, pieces.rule.quantiles
    else:
        mean = np.einsum("mid,im->id", pieces.means, calibration.mean_blend[kind])
        mixed_quantiles = np.einsum("midq,im->idq", pieces.quantiles, calibration.blend[kind])
        quantiles = np.maximum.accumulate(mixed_quantiles * calibration.width[kind][:, None], -1)
    sums = {}
    for start, span in spans:
        total = mean[:, start : start + span].sum(1)
        if model is None:
            spread = empirical_sum(pieces, total, span)
        else:
            three = sum_pieces(pieces, mean, quantiles, model.window, start, span, graph)
            spread = np.einsum("miq,im->iq", three, calibration.sum_blend[kind]) * calibration.sum_width[kind]
        sums[start, span] = total, np.maximum.accumulate(spread, -1)
    return Forecast(mean, quantiles, pieces.rule.mean, pieces.rule.quantiles, sums)


def window_inputs(snapshot: Snapshot, mean: Floats, start: int, span: int) -> tuple[Floats, Floats]:
    """Inputs (items, ITEM + WINDOW) and base (items,), in units of scale a day, of `span` days from `start`."""
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


def network_sum(
    pieces: Pieces, mean: Floats, weights: Weights, start: int, span: int, graph: Graph | None = None
) -> Floats:
    """(items, LEVELS) units: the window network's quantiles of the sum of days start .. start + span - 1."""
    x, base = window_inputs(pieces.snapshot, mean, start, span)
    _, quantiles = read_out(graph.raw(weights, x) if graph else forward(weights, x), base)
    out: Floats = quantiles * (pieces.snapshot.scale * span)[:, None]
    return out


def sum_pieces(
    pieces: Pieces,
    mean: Floats,
    quantiles: Floats,
    weights: Weights,
    start: int,
    span: int,
    graph: Graph | None = None,
) -> Floats:
    """(3, items, LEVELS) units: the three estimates that are blended."""
    days = slice(start, start + span)
    total = mean[:, days].sum(1)
    network = network_sum(pieces, mean, weights, start, span, graph)
    deviation = np.maximum(quantiles[:, days, 2] - quantiles[:, days, 1], 0) / NORMAL_SCORES[2]
    deviation = np.sqrt((deviation**2).sum(1)) * max(span / 7, 1.0) ** SUM_NARROWING
    normal = total[:, None] + deviation[:, None] * np.asarray(NORMAL_SCORES, np.float32)
    return np.stack([network, empirical_sum(pieces, total, span), np.maximum(normal, 0)])


def empirical_sum(pieces: Pieces, total: Floats, span: int) -> Floats:
    """(items, LEVELS) units: the item's own weekly sums over their fit, narrower for longer spans."""
    spread = pieces.sum_spread
    middle = spread[:, 1:2]  # errors of weeks are half shared, so they shrink slower than 1 / sqrt(span)
    spread = middle + (spread - middle) * np.float32((7 / span) ** 0.3)
    return total[:, None] * np.maximum(spread, 0)


def window_rows(panel: Panel, origins: Sequence[int], last: int, rng: np.random.Generator) -> Rows:
    """Sums of 2 to 56 days as training rows around the structural mean."""
    parts = []
    reach = [np.arange(1, min(56, last - origin) + 1) for origin in origins]
    for snapshot, ahead in zip(snapshots(panel, origins, reach), reach, strict=True):
        mean = (
            snapshot.base * snapshot.scale[:, None]
        )  # the network has seen these days: its errors would look small
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


def learn(panel: Panel, shipped: Model, seed: int = 0) -> tuple[Model, Calibration]:
    """One night: choose on the held-back days, then learn from all days."""
    if panel.days < CALIBRATE_DAYS_MIN:
        return shipped, Calibration.default()
    if panel.days < LEARN_DAYS_MIN:
        return shipped, calibrate(panel, shipped)
    _, final, calibration = learn_with_trial(panel, shipped, seed)
    return final, calibration


def learn_with_trial(
    panel: Panel, shipped: Model, seed: int = 0, tell: Tell = _in_silence
) -> tuple[Model, Model, Calibration]:
    """The model without the held-back days, the model with them, and what was chosen on them."""
    cut = panel.days - 1 - HOLDOUT_DAYS
    rng = np.random.default_rng(seed)
    learned = _train(panel.seen_at(cut), shipped, VISITS_PER_NIGHT, rng, lambda share: tell(0.45 * share))
    trials = [mixed(shipped, learned, share) for share in MIXES]
    share, trial = min(zip(MIXES, trials, strict=True), key=lambda pair: _holdout_loss(panel, pair[1]))
    calibration = calibrate(panel, trial)
    rng = np.random.default_rng(seed)
    again = _train(panel, shipped, VISITS_PER_NIGHT, rng, lambda share: tell(0.5 + 0.45 * share))
    return trial, mixed(shipped, again, share), calibration


def mixed(a: Model, b: Model, share: float) -> Model:
    """Weights between two models that started from the same ones: steadier than either."""

    def between(x: Weights, y: Weights) -> Weights:
        return {name: ((1 - share) * x[name] + share * y[name]).astype(np.float32) for name in x}

    return Model(between(a.day, b.day), between(a.window, b.window), b.version)


def _holdout_loss(panel: Panel, model: Model) -> float:
    inside = [(pieces, y, np.arange(len(y))) for pieces, y in _looks(panel, model)]
    return _pinball_loss(inside, DEFAULT_BLENDS[0])


def _looks(panel: Panel, model: Model) -> list[tuple[Pieces, Floats]]:
    """Forecasts of the held-back days, and what came."""
    far = (panel.days - 1 - HOLDOUT_DAYS,) if panel.days >= LEARN_DAYS_MIN else ()
    origins = (*far, panel.days - 1 - HORIZON_DAYS)
    found = []
    for origin, pieces in zip(
        origins, looks(panel, model, [(o, HORIZON_DAYS) for o in origins]), strict=True
    ):
        days = slice(origin + 1, origin + 1 + HORIZON_DAYS)
        y = np.where(panel.censored[:, days], np.nan, panel.units[:, days])
        found.append((pieces, np.where(pieces.snapshot.known[:, None], y, np.nan)))
    return found


def _train(panel: Panel, start: Model, visits: int, rng: np.random.Generator, tell: Tell) -> Model:
    last, per_origin = panel.days - 1, 4
    origins = learning_origins(panel, last, per_origin)
    rows = training_rows(panel, origins, per_origin - 1, rng, last)
    day = fine_tune(start.day, rows, visits, RATE, rng, tell=lambda share: tell(0.8 * share))
    del rows
    origins = learning_origins(panel, last, 5, ROWS_MAX // 2)
    rows = window_rows(panel, origins, last, rng)
    window = fine_tune(start.window, rows, visits // 4, RATE, rng, 0.3, lambda share: tell(0.8 + 0.2 * share))
    return Model(day, window, "learned")


def calibrate(panel: Panel, trial: Model) -> Calibration:
    """Choose blends and widths on windows after the trial's last training day."""
    held = _looks(panel, trial)
    default = Calibration.default()
    mean_blend, quantile_blend = default.mean_blend.copy(), default.blend.copy()
    for kind in range(CLASSES):
        inside = [(pieces, y, np.flatnonzero(pieces.volume_class == kind)) for pieces, y in held]
        inside = [(pieces, y, rows) for pieces, y, rows in inside if len(rows)]
        if inside:
            mean_blend[kind] = _best_blend(inside, DEFAULT_BLENDS[kind], _square_loss)
            quantile_blend[kind] = _best_blend(inside, DEFAULT_BLENDS[kind], _pinball_loss)
    plain = replace(default, mean_blend=mean_blend, blend=quantile_blend)
    plain = replace(plain, sum_blend=_sum_blend(held, plain, trial))
    forecasts = [blend(pieces, plain, trial, WIDTH_WINDOWS) for pieces, _ in held]
    days = [(p.volume_class, f.quantiles, y) for f, (p, y) in zip(forecasts, held, strict=True)]
    sums = [
        (p.volume_class, f.sums[key][1][:, None], y[:, key[0] : sum(key)].sum(1)[:, None])
        for f, (p, y) in zip(forecasts, held, strict=True)
        for key in f.sums
    ]
    return replace(plain, width=_widths(days), sum_width=_widths(sums))


Inside = list[tuple[Pieces, Floats, NDArray[np.int64]]]


def _best_blend(
    inside: Inside, default: Sequence[float], loss: Callable[[Inside, Sequence[float]], float]
) -> Floats:
    """The best of a few blends, half way from the default: a month is not much evidence."""
    best = np.asarray(min(BLENDS, key=lambda weights: loss(inside, weights)), np.float32)
    out: Floats = BLEND_TRUST * best + (1 - BLEND_TRUST) * np.asarray(default, np.float32)
    return out


def _sum_blend(looks: list[tuple[Pieces, Floats]], plain: Calibration, model: Model) -> Floats:
    """(CLASSES, 3) by the pinball loss of weekly sums in units: what an order pays for."""
    levels = np.asarray(LEVELS[2:4], np.float32)
    losses = np.zeros((CLASSES, len(SUM_BLENDS)))
    for pieces, y in looks:
        forecast = blend(pieces, plain, model, ())
        for start in range(0, HORIZON_DAYS, 7):
            three = sum_pieces(pieces, forecast.mean, forecast.quantiles, model.window, start, 7)[..., 2:4]
            total = y[:, start : start + 7].sum(1)[:, None]
            for column, weights in enumerate(SUM_BLENDS):
                error = total - np.einsum("miq,m->iq", three, np.asarray(weights, np.float32))
                loss = np.nansum(np.maximum(levels * error, (levels - 1) * error), 1)
                losses[:, column] += np.bincount(pieces.volume_class, loss, CLASSES)
    best = np.asarray(SUM_BLENDS, np.float32)[losses.argmin(1)]
    out: Floats = BLEND_TRUST * best + (1 - BLEND_TRUST) * np.asarray(SUM_BLEND, np.float32)
    return out


def _square_loss(inside: Inside, weights: Sequence[float]) -> float:
    total = 0.0
    for pieces, y, rows in inside:
        mean = np.einsum("mid,m->id", pieces.means[:, rows], np.asarray(weights, np.float32))
        error = (y[rows] - mean) / pieces.snapshot.step[rows, None]
        total += float(np.nanmean(error**2))
    return total


def _pinball_loss(inside: Inside, weights: Sequence[float]) -> float:
    total = 0.0
    for pieces, y, rows in inside:
        q = np.einsum("midq,m->idq", pieces.quantiles[:, rows][..., 1:4], np.asarray(weights, np.float32))
        error = y[rows][..., None] - q
        levels = np.asarray(LEVELS[1:4], np.float32)
        total += float(
            np.nanmean(
                np.maximum(levels * error, (levels - 1) * error) / pieces.snapshot.step[rows, None, None]
            )
        )
    return total


def _widths(looks: list[tuple[NDArray[np.int64], Floats, Floats]]) -> Floats:
    """(CLASSES, LEVELS) factors that would have made the coverage right, part of the way.

    Each look is (volume class per item, quantiles (items, days, LEVELS), demand (items, days)).
    """
    out = np.ones((CLASSES, len(LEVELS)), np.float32)
    for kind in range(CLASSES):
        q = np.concatenate([quantiles[of == kind].reshape(-1, len(LEVELS)) for of, quantiles, _ in looks])
        y = np.concatenate([actual[of == kind].reshape(-1) for of, _, actual in looks])
        for column, level in enumerate(LEVELS):
            fine = np.isfinite(y) & (q[:, column] > 1e-6)
            if (
                level <= 0.5 or fine.sum() < WIDTH_ROWS_MIN
            ):  # the median of a slow item is 0: no factor helps it
                continue
            factor = np.quantile(y[fine] / q[fine, column], level)
            out[kind, column] = np.clip(max(float(factor), 0.05) ** WIDTH_POWER, 0.8, 1.4)
    return out
