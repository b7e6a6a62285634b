"""What sold-out days cost a forecast: python bench/forecast_censoring.py DATA_DIR [...]

A base-stock rule (each morning up to k x the mean of the last 28 days, rounded up, k set for about 90 % fill) hides
a part of the true demand. Three forecasts from the shipped weights, no learning, scored against the true demand of
the next 28 days: told the truth, told sales as if they were demand (naive), told which days sold out (product).
Origins lie before the first scoring origin. Recovered = (naive - product) / (naive - truth).
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.backtest import launched, read_bench
from models.gate import trial_of
from models.learn import Calibration, Model
from models.panel import Panel
from models.worker import shipped_model

ORIGINS = 6
FILL = 0.90


def base_stock(units: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Sales and sold-out flags; the rule orders by what it sold, as a shop does."""
    sold, out = units.copy(), np.zeros(units.shape, np.bool_)
    for day in range(28, units.shape[1]):
        recent = np.nanmean(sold[:, day - 28 : day], 1)
        target = np.ceil(np.maximum(recent, np.nanmean(units[:, :28], 1) * 0.5) * factor)
        demand = np.nan_to_num(units[:, day])
        sold[:, day] = np.minimum(demand, target)
        out[:, day] = demand >= np.maximum(target, 1)
    return sold, out


def main() -> None:
    model, calibration = shipped_model(), Calibration.default()
    for folder in sys.argv[1:]:
        bench = read_bench(Path(folder))
        panel = launched(bench.panel.seen_at(bench.origins[0]))
        panel = panel.seen_at(panel.days - 1, 600)
        factors = (1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0, 5.0, 6.0)
        fills = [np.nansum(base_stock(panel.units, k)[0]) / np.nansum(panel.units) for k in factors]
        factor = factors[int(np.argmin(np.abs(np.array(fills) - FILL)))]
        sold, out = base_stock(panel.units, factor)
        losses: dict[str, list[float]] = {}
        for step in range(ORIGINS):
            last = panel.days - 1 - 28 * step
            for name, units, flags in (
                ("truth", panel.units, None),
                ("naive", sold, None),
                ("product", sold, out),
            ):
                losses.setdefault(name, []).append(_loss(panel, units, flags, last, model, calibration))
        truth, naive, product = (float(np.mean(losses[name])) for name in ("truth", "naive", "product"))
        print(
            f"# {bench.name}: fill {np.nansum(sold) / np.nansum(panel.units):.3f}, sold out {out.mean():.3f} of days"
        )
        print(f"spl: truth {truth:.4f}, naive {naive:.4f}, product {product:.4f}", end="; ")
        print(f"recovered {(naive - product) / (naive - truth):.2f}")


def _loss(
    panel: Panel, units: np.ndarray, out: np.ndarray | None, last: int, model: Model, calibration: Calibration
) -> float:
    """Loss on the true demand of the 28 days up to `last`, forecast from what the shop saw before them."""
    seen = np.concatenate([units[:, : last - 27], panel.units[:, last - 27 : last + 1]], 1)
    flags = np.zeros(seen.shape, np.bool_)
    if out is not None:
        flags[:, : last - 27] = out[:, : last - 27]
    return trial_of(replace(panel.seen_at(last), units=seen, censored=flags), model, calibration).loss


if __name__ == "__main__":
    main()
