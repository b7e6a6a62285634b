"""Champion and challenger: who serves is decided on days that neither has learned from, and said in words."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from models.learn import HORIZON_DAYS, Calibration, Model, blend, look_ahead
from models.network import LEVELS
from models.panel import Floats, Panel

GATE_DAYS = 28
BETTER_BY = 0.998  # a challenger must lose at most this share of the rival's loss
SIGMAS = 1.0  # ... and by more than the luck of the items, in standard errors


@dataclass(frozen=True, slots=True)
class Trial:
    """Scaled pinball loss of the last days, forecast without them."""

    losses: Floats  # (items,)
    rule_losses: Floats  # (items,) the same of the simple rule

    @property
    def loss(self) -> float:
        return float(np.nanmean(self.losses)) if np.isfinite(self.losses).any() else float("inf")

    @property
    def rule_loss(self) -> float:
        return float(np.nanmean(self.rule_losses)) if np.isfinite(self.rule_losses).any() else float("inf")


def trial_of(panel: Panel, model: Model, calibration: Calibration, days: int = GATE_DAYS) -> Trial:
    """Forecast the last `days` from the day before them."""
    origin = panel.days - 1 - days
    pieces = look_ahead(panel.seen_at(origin), model, min(days, HORIZON_DAYS))
    forecast = blend(pieces, calibration, model, ())
    y = np.where(panel.censored[:, origin + 1 :], np.nan, panel.units[:, origin + 1 :])
    y = np.where(pieces.snapshot.known[:, None], y, np.nan)
    step = pieces.snapshot.step[:, None]
    return Trial(_loss(y, forecast.quantiles, step), _loss(y, forecast.rule_quantiles, step))


def _loss(y: Floats, quantiles: Floats, step: Floats) -> Floats:
    """(items,) mean pinball loss at .5 .9 .95 over the mean one-day step."""
    levels = np.asarray(LEVELS[1:4], np.float32)
    error = y[..., None] - quantiles[..., 1:4]
    pinball = np.maximum(levels * error, (levels - 1) * error).mean(2) / step
    count = np.isfinite(pinball).sum(1)
    return np.where(count > 0, np.nansum(pinball, 1) / np.maximum(count, 1), np.nan).astype(np.float32)


def better(challenger: Trial, rival: Trial, rival_name: str) -> tuple[bool, str]:
    """Whether the challenger takes over, and the sentence that is kept."""
    both = f"loss of the last {GATE_DAYS} days, unseen by both: challenger {challenger.loss:.4f}"
    both += f", {rival_name} {rival.loss:.4f}, simple rule {challenger.rule_loss:.4f}"
    if not np.isfinite(challenger.loss):
        return False, f"{both}; nothing was sold that could be compared"
    if challenger.loss > challenger.rule_loss:
        return False, f"{both}; not better than the simple rule"
    if challenger.loss > rival.loss * BETTER_BY:
        return False, f"{both}; not better by {100 * (1 - BETTER_BY):.1f} %"
    gain = rival.losses - challenger.losses
    gain = gain[np.isfinite(gain)]
    error = float(gain.std() / max(1.0, np.sqrt(len(gain))))
    if float(gain.mean()) < SIGMAS * error:
        return False, f"{both}; the difference is within the luck of {len(gain)} items"
    return True, f"{both}; better"


_FIELDS = ("mean_blend", "blend", "width", "sum_blend", "sum_width")


def pack_calibration(calibration: Calibration) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: getattr(calibration, name) for name in _FIELDS})
    return buffer.getvalue()


def unpack_calibration(blob: bytes) -> Calibration:
    """Raises ValueError when the bytes are not a calibration of this version."""
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
            found = Calibration(*(arrays[name].astype(np.float32) for name in _FIELDS))
    except Exception as error:  # zipfile, zlib and numpy each have their own way to say "not a file of mine"
        raise ValueError(f"not a calibration: {error}") from error
    if found.width.shape != Calibration.default().width.shape:
        raise ValueError("a calibration of another version")
    return found
