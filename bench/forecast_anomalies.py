"""Injected oddities, found or not: python bench/forecast_anomalies.py DATA_DIR [...]

Last four weeks of the days before the first origin; each kind is put into a tenth of the items at the stated size, the
rest stay as they were. Recall per kind, and false alarms per 1,000 item-days (one night judged = one item-day an item),
beside a plain rule: outside mean +- 3 standard deviations of the last 56 days (fortnights: of 14-day sums).
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.anomalies import Screening, candidates, season_shifts, trend_breaks
from models.backtest import launched, read_bench
from models.learn import HORIZON_DAYS, Calibration, blend, look_ahead
from models.worker import shipped_model

KINDS = ("spike", "double_booking", "stop", "level_up", "trend")
SIZES = {
    "spike": "x 5 and at least + 6 units",
    "double_booking": "x 2",
    "stop": "0 for 14 days",
    "level_up": "x 2 for 14 days",
    "trend": "x 0.25, 0.75, 1.5, 2.5 in four weeks",
}
NIGHTS = 5


def inject(units: np.ndarray, kind: str, rows: np.ndarray) -> None:
    """Change the last day, or the last fortnight, of these items in place."""
    if kind == "spike":
        units[rows, -1] = np.round(np.maximum(units[rows, -1] * 5, units[rows, -57:-1].mean(1) * 5 + 6))
    elif kind == "double_booking":
        units[rows, -1] *= 2
    elif kind == "trend":
        for week, factor in enumerate((0.25, 0.75, 1.5, 2.5)):
            days = slice(units.shape[1] - 28 + 7 * week, units.shape[1] - 21 + 7 * week)
            units[rows, days] = np.round(units[rows, days] * factor)
    else:
        units[rows, -14:] *= 0 if kind == "stop" else 2


def three_sigma(units: np.ndarray) -> np.ndarray:
    """(items,) the plain rule's alarms: the last day, or the last fortnight."""
    before = units[:, -70:-14]
    day = np.abs(units[:, -1] - before.mean(1)) > 3 * before.std(1)
    weeks = before.reshape(len(units), 4, 14).sum(2)
    fortnight = np.abs(units[:, -14:].sum(1) - weeks.mean(1)) > 3 * weeks.std(1) + 1
    return day | fortnight


def main() -> None:
    model, calibration = shipped_model(), Calibration.default()
    for folder in sys.argv[1:]:
        bench = read_bench(Path(folder))
        hits = {kind: [0, 0, 0] for kind in (*KINDS, "false")}  # ours, plain, all
        for night in range(NIGHTS):
            panel = launched(bench.panel.seen_at(bench.origins[0] - 7 * night))
            rng = np.random.default_rng(night)
            order = rng.permutation(np.flatnonzero(np.isfinite(panel.units[:, -100:]).all(1)))
            tenth = len(order) // 10
            units = panel.units.copy()
            groups = {kind: order[n * tenth : (n + 1) * tenth] for n, kind in enumerate(KINDS)}
            for kind, rows in groups.items():
                inject(units, kind, rows)
            groups["false"] = order[len(KINDS) * tenth :]
            panel = replace(panel, units=units)
            pieces = look_ahead(panel.seen_at(panel.days - 1 - HORIZON_DAYS), model, HORIZON_DAYS)
            forecast = blend(pieces, calibration, model, ())
            screening = Screening()
            screening.add(candidates(panel, pieces.snapshot, forecast.mean, forecast.quantiles))
            screening.add(trend_breaks(panel, pieces.snapshot, forecast.mean))
            screening.add(season_shifts(panel, pieces.snapshot))
            ours = {odd.sku for odd in screening.improbable()}
            plain = three_sigma(np.nan_to_num(units))
            for kind, rows in groups.items():
                counted = (sum(panel.keys[row] in ours for row in rows), int(plain[rows].sum()), len(rows))
                hits[kind] = [a + b for a, b in zip(hits[kind], counted, strict=True)]
        print(f"# {bench.name}, {NIGHTS} nights")
        for kind in KINDS:
            ours_n, plain_n, count = hits[kind]
            print(f"{kind:15} ({SIZES[kind]}): recall {ours_n / count:.2f}, plain rule {plain_n / count:.2f}")
        ours_n, plain_n, count = hits["false"]
        print(
            f"false alarms per 1,000 item-days: {1000 * ours_n / count:.0f}, plain rule {1000 * plain_n / count:.0f}"
        )


if __name__ == "__main__":
    main()
