"""Make the shipped weights: python -m models.training.pretrain ../shared/data [--leave-out NAME] [--out FILE].

Learns from the data sets whose licence allows it, on days up to 56 before each set's first origin, so that the last
weeks before it stay fresh for the calibration on the device.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from models.backtest import read_bench
from models.learn import HOLDOUT_DAYS, Model, Rows, fine_tune, standardise, training_rows, window_rows
from models.network import INPUTS, WINDOW_INPUTS, fresh_weights, save_model
from models.panel import Panel

POOL = ("bakery", "pasta", "online_retail")
ROWS_PER_SET = 240_000
VISITS = 14_000_000
SEED = 20261124


def pretrain(data: Path, leave_out: str, extra_days: int = 0, visits: int = VISITS) -> Model:
    """The shipped model; `extra_days` moves every cut back, for choosing settings without touching the origins."""
    rng = np.random.default_rng(SEED)
    shops = []
    for name in POOL:
        if name == leave_out:
            continue
        bench = read_bench(data / name)
        back = extra_days if name != "online_retail" else min(extra_days, 56)
        shops.append(bench.panel.seen_at(bench.origins[0] - HOLDOUT_DAYS - back))
    day_rows = _join([_sample(panel, rng) for panel in shops])
    day = standardise(fresh_weights(rng, INPUTS), day_rows.x)
    day = fine_tune(day, day_rows, visits, 3e-3, rng)
    rows = _join([window_rows(p, _origins(p, 5, ROWS_PER_SET // 2), p.days - 1, rng) for p in shops])
    window = fine_tune(
        standardise(fresh_weights(rng, WINDOW_INPUTS), rows.x), rows, visits // 3, 3e-3, rng, 0.3
    )
    return Model(day, window)


def _origins(panel: Panel, rows_per_origin: int, rows_max: int) -> list[int]:
    step = max(1, (panel.days - 42) * len(panel.keys) * rows_per_origin // rows_max)
    return list(range(35, panel.days - 7, step))


def _sample(panel: Panel, rng: np.random.Generator) -> Rows:
    per_origin = 5
    return training_rows(
        panel, _origins(panel, per_origin, ROWS_PER_SET), per_origin - 1, rng, panel.days - 1
    )


def _join(parts: list[Rows]) -> Rows:
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--leave-out", default="")
    parser.add_argument("--extra-days", type=int, default=0)
    parser.add_argument("--visits", type=int, default=VISITS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "graphs" / "shipped.npz")
    arguments = parser.parse_args()
    started = time.process_time()
    model = pretrain(arguments.data, arguments.leave_out, arguments.extra_days, arguments.visits)
    save_model(arguments.out, {"day": model.day, "window": model.window})
    print(f"{arguments.out.name}: {time.process_time() - started:.0f} CPU seconds")


if __name__ == "__main__":
    main()
