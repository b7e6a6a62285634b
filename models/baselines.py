"""The plain rule every model must beat, and what serves when there is no model (numpy only).

DowEmpQ of the bench's BASELINES.md: level x weekday factor, and the item's own quantiles of demand over fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.features import sorted_quantiles
from models.network import LEVELS
from models.panel import Floats, Panel

HISTORY_DAYS = 112
RATIO_DAYS = 84
DECAY = 0.97
PRIOR_DAYS = 5.0


@dataclass(frozen=True, slots=True)
class RuleForecast:
    mean: Floats  # (items, days)
    quantiles: Floats  # (items, days, LEVELS)
    spread: Floats  # (items, LEVELS): quantiles of demand over fit
    sum_spreads: dict[int, Floats]  # span in days -> (items, LEVELS): the same for rolling sums


def dow_emp_q(panel: Panel, ahead: np.ndarray, spans: tuple[int, ...] = (7,)) -> RuleForecast:
    """Forecast the days `ahead` (1 is tomorrow) of the last day of the panel."""
    days, last = panel.days, panel.days - 1
    panel = panel.planned_until(days + int(ahead.max()))
    past = slice(max(0, days - HISTORY_DAYS), days)
    y = panel.units[:, past]
    index = np.arange(past.start, days)
    weekday = (panel.first_day.weekday() + index) % 7
    usable = np.isfinite(y) & ~panel.closed[:, past] & ~panel.censored[:, past]
    y = np.where(usable, y, 0)
    age_weight = np.where(usable, DECAY ** (last - index), 0)
    level = (age_weight * y).sum(1) / np.maximum(age_weight.sum(1), 1e-6)
    is_day = (weekday[:, None] == np.arange(7)).astype(np.float32)  # (days, 7)
    sums, counts = y @ is_day, usable.astype(np.float32) @ is_day
    shop = sums.sum(0) / np.maximum((level[:, None] * counts).sum(0), 1e-6)
    prior = PRIOR_DAYS * np.minimum(level, 1)[:, None]
    factor = (sums + shop * prior) / np.maximum(level[:, None] * counts + prior, 1e-6)
    fit = np.where(usable, level[:, None] * factor[:, weekday], 0)
    recent = slice(max(0, y.shape[1] - RATIO_DAYS), None)
    spread = _ratio_quantiles(y[:, recent], fit[:, recent])
    target = days - 1 + ahead
    is_open = ~panel.closed[:, target]
    mean = level[:, None] * factor[:, (panel.first_day.weekday() + target) % 7] * is_open
    sum_spreads = {
        span: _ratio_quantiles(_rolling(y, span)[:, recent], _rolling(fit, span)[:, recent]) for span in spans
    }
    quantiles = mean[..., None] * spread[:, None]
    return RuleForecast(mean.astype(np.float32), quantiles.astype(np.float32), spread, sum_spreads)


def _rolling(values: Floats, span: int) -> Floats:
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), 1)
    span = min(span, values.shape[1])
    out: Floats = total[:, span:] - total[:, :-span]
    return out


def _ratio_quantiles(y: Floats, fit: Floats) -> Floats:
    ratio = np.where(fit > 1e-6, y / np.maximum(fit, 1e-6), np.nan).astype(np.float32)
    return sorted_quantiles(ratio, np.asarray(LEVELS, np.float32))
