"""A tuned rival: python bench/forecast_rival.py DATA_DIR --out predictions.parquet [--trials 20] (extra: rival).

One global LightGBM per shop on the forecaster's own inputs: the mean by Tweedie, three quantiles, as a multiple of the
item's level. The trials are judged by the pinball loss of the last 28 days before the first origin, learned without
the 28 days before those; the best one is fitted once on every day up to the first origin.
"""

import argparse
from pathlib import Path

import lightgbm
import numpy as np
import pandas

from models.backtest import launched, read_bench
from models.features import ITEM_FEATURES, TARGET_FEATURES, snapshots
from models.learn import WARM_DAYS, Rows, day_inputs, training_rows
from models.panel import Floats, Panel

LEVELS = (0.5, 0.9, 0.95)
HORIZON_DAYS = 28
ROWS_MAX = 110_000
PER_ORIGIN = 4
UNTUNED = {"num_iterations": 250, "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 40}
FIXED = {"verbosity": -1, "num_threads": 1, "seed": 7, "deterministic": True, "bagging_freq": 1}
# what calendar a shop has seen once is no season: the same inputs are off as for the network
NAMES = [*ITEM_FEATURES, *TARGET_FEATURES]


def settings(trials: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """The untuned settings first, then random ones around them."""
    drawn = [
        {
            "num_iterations": int(rng.choice([150, 250, 400, 600])),
            "learning_rate": float(rng.choice([0.02, 0.03, 0.05, 0.08])),
            "num_leaves": int(rng.choice([7, 15, 31, 63])),
            "min_data_in_leaf": int(rng.choice([20, 40, 100, 250])),
            "feature_fraction": float(rng.choice([0.4, 0.6, 0.8, 1.0])),
            "bagging_fraction": float(rng.choice([0.5, 0.75, 1.0])),
            "lambda_l2": float(rng.choice([0.0, 1.0, 10.0])),
        }
        for _ in range(trials - 1)
    ]
    return [UNTUNED, *drawn]


def rows_until(panel: Panel, last: int, rows_max: int, rng: np.random.Generator) -> Rows:
    """Training rows from evenly spaced days; every target day is at most `last`."""
    wanted = max(1, rows_max // (len(panel.keys) * (PER_ORIGIN + 1)))
    step = max(1, (last - 7 - WARM_DAYS) // wanted)
    origins = list(range(last - 7, WARM_DAYS, -step))[::-1]
    return training_rows(panel, origins, PER_ORIGIN, rng, last, HORIZON_DAYS)


def fit(rows: Rows, chosen: dict[str, float], weighted: bool = True) -> list[lightgbm.Booster]:
    """Mean and quantiles of demand over the item's level."""
    data = lightgbm.Dataset(rows.x, rows.y, weight=rows.weight if weighted else None, feature_name=NAMES)
    data.construct()
    goals = [{"objective": "tweedie", "tweedie_variance_power": 1.2}]
    goals += [{"objective": "quantile", "alpha": level} for level in LEVELS]
    return [lightgbm.train(FIXED | chosen | goal, data) for goal in goals]


def predict(boosters: list[lightgbm.Booster], panel: Panel, origin: int) -> Floats:
    """(items, days, 4) units: mean and quantiles, not negative and not crossing."""
    snapshot = next(snapshots(panel.seen_at(origin), [origin], [np.arange(1, HORIZON_DAYS + 1)]))
    x = day_inputs(snapshot)
    flat = x.reshape(-1, x.shape[2])
    out = np.stack([booster.predict(flat, num_threads=1) for booster in boosters], 1)
    out = (
        np.maximum(out.reshape(*x.shape[:2], -1), 0)
        * np.where(snapshot.open, snapshot.scale[:, None], 0)[..., None]
    )
    out[..., 1:] = np.maximum.accumulate(out[..., 1:], 2)
    return out.astype(np.float32)


def pinball(panel: Panel, forecast: Floats, origin: int) -> float:
    """Mean scaled pinball loss at the three levels."""
    y = panel.units[:, origin + 1 : origin + 1 + HORIZON_DAYS]
    step = np.maximum(np.nanmean(np.abs(np.diff(panel.units[:, : origin + 1], axis=1)), 1), 0.01)
    levels = np.asarray(LEVELS, np.float32)
    error = y[..., None] - forecast[..., 1:]
    return float(np.nanmean(np.maximum(levels * error, (levels - 1) * error) / step[:, None, None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20, help="1: untuned")
    parser.add_argument("--trial-rows", type=int, default=30_000)
    arguments = parser.parse_args()
    bench, rng = read_bench(arguments.data), np.random.default_rng(7)
    known = launched(bench.panel.seen_at(bench.origins[0]))
    chosen = UNTUNED
    if arguments.trials > 1:
        cut = bench.origins[0] - HORIZON_DAYS
        rows = rows_until(known, cut, arguments.trial_rows, rng)
        losses = []
        for trial in settings(arguments.trials, rng):
            losses.append((pinball(known, predict(fit(rows, trial), known, cut), cut), trial))
            print(f"{losses[-1][0]:.4f} {trial}", flush=True)
        chosen = min(losses, key=lambda pair: pair[0])[1]
    print(f"# {bench.name}: {chosen}", flush=True)
    boosters = fit(rows_until(known, bench.origins[0], ROWS_MAX, rng), chosen)
    frames = []
    for origin in bench.origins:
        panel = launched(bench.panel.seen_at(origin))
        forecast = predict(boosters, panel, origin)
        for day in range(HORIZON_DAYS):
            columns = {f"q{level}": forecast[:, day, 1 + column] for column, level in enumerate(LEVELS)}
            keys = {"unique_id": panel.keys, "origin": pandas.Timestamp(panel.last_day), "cum": 1}
            target = pandas.Timestamp(panel.day(origin + 1 + day))
            frames.append(pandas.DataFrame(keys | {"ds": target, "mean": forecast[:, day, 0]} | columns))
    pandas.concat(frames).to_parquet(arguments.out, index=False)


if __name__ == "__main__":
    main()
