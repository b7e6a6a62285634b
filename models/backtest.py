"""Rolling-origin forecasts of a folder of demand data, on the device's own code path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from models.learn import Forecast, Model, blend, learn, look_ahead
from models.network import GRAPHS, INPUTS, LEVELS, WINDOW_INPUTS, Graph
from models.panel import Panel


@dataclass(frozen=True, slots=True)
class Bench:
    name: str
    panel: Panel  # everything in the folder; `Panel.seen_at` hides the future
    origins: tuple[int, ...]  # day indexes: the last day the forecaster may see
    horizon_days: int


def read_bench(folder: Path) -> Bench:
    """The judge's file layout (series.parquet, items.csv, meta.json) as a panel."""
    import pandas  # extra `bench`: a gateway has neither pandas nor pyarrow

    meta = json.loads((folder / "meta.json").read_text())
    rows = pandas.read_parquet(folder / "series.parquet")
    rows["unique_id"] = rows["unique_id"].astype(str)
    items = pandas.read_csv(folder / "items.csv", dtype={"unique_id": str}).set_index("unique_id")
    keys = sorted(rows["unique_id"].unique())
    first, last = rows["ds"].min(), rows["ds"].max()
    item_index = rows["unique_id"].map({key: index for index, key in enumerate(keys)}).to_numpy()
    day_index = (rows["ds"] - first).dt.days.to_numpy()
    shape = (len(keys), (last - first).days + 1)

    def matrix(column: str, empty: float) -> np.ndarray:
        dense = np.full(shape, empty, np.float32)
        if column in rows:
            dense[item_index, day_index] = rows[column].to_numpy(np.float32)
        return dense

    price = matrix("price", np.nan) if "price" in rows else None
    known = set(meta["known_future"])
    panel = Panel(
        keys=tuple(keys),
        first_day=first.date(),
        units=matrix("y", np.nan),
        censored=np.zeros(shape, np.bool_),
        groups=np.unique(items[meta["group"]].reindex(keys).astype(str), return_inverse=True)[1].astype(
            np.int32
        ),
        closed=matrix("closed" if "closed" in known else "", 0).max(0, keepdims=True) > 0,
        holiday=matrix("is_holiday", 0).max(0, keepdims=True) > 0,
        school_holiday=matrix("is_schoolholiday", 0) > 0,
        promotion=matrix("promo" if "promo" in known else "mailer", 0),
        display=matrix("display", 0),
        price=price,
    )
    origins = tuple((date.fromisoformat(origin) - panel.first_day).days for origin in meta["origins"])
    return Bench(str(meta["name"]), panel, origins, int(meta["horizon"]))


def backtest(
    bench: Bench, shipped: Model, spans: tuple[int, ...], history_days: int | None = None, seed: int = 0
) -> Iterator[tuple[Panel, Forecast]]:
    """At each origin: learn as a gateway would have on that night, then forecast."""
    day_graph, sum_graph = Graph(GRAPHS / "demand.onnx", INPUTS), Graph(GRAPHS / "sums.onnx", WINDOW_INPUTS)
    for origin in bench.origins:
        panel = launched(
            bench.panel.seen_at(origin)
        )  # an item once sold is forecast, however short the memory
        panel = panel.seen_at(origin, history_days)
        model, calibration = learn(panel, shipped, seed)
        windows = [(start, span) for span in spans for start in range(0, bench.horizon_days - span + 1, span)]
        windows += [(0, span) for span in spans if span > bench.horizon_days]
        reach = max([bench.horizon_days, *spans])
        pieces = look_ahead(panel, model, reach, day_graph)
        yield panel, blend(pieces, calibration, model, windows, sum_graph)


def launched(panel: Panel) -> Panel:
    """Items that have sold at least once: before that there is nothing to scale by."""
    rows = np.flatnonzero(np.nansum(panel.units, 1) > 0)
    return panel if len(rows) == len(panel.keys) else panel.take(rows)


def write_predictions(bench: Bench, runs: Iterator[tuple[Panel, Forecast]], out: Path) -> None:
    """The judge's rows: one a day, and one with `cum` for each sum that ends within the horizon."""
    import pandas  # extra `bench`

    frames = []
    for panel, forecast in runs:
        last = panel.last_day
        tables = [
            (1, index + 1, forecast.mean[:, index], forecast.quantiles[:, index])
            for index in range(bench.horizon_days)
        ]
        tables += [(span, start + span, mean, q) for (start, span), (mean, q) in forecast.sums.items()]
        for cum, ahead, mean, quantiles in tables:
            columns = {f"q{level}": quantiles[:, column] for column, level in enumerate(LEVELS)}
            day = pandas.Timestamp(last + timedelta(days=ahead))
            frames.append(
                pandas.DataFrame(
                    {
                        "unique_id": panel.keys,
                        "origin": pandas.Timestamp(last),
                        "ds": day,
                        "cum": cum,
                        "mean": mean,
                    }
                    | columns
                )
            )
    rows = pandas.concat(frames)
    if out.suffix == ".parquet":
        rows.to_parquet(out, index=False)
    else:
        rows.to_csv(out, index=False)
