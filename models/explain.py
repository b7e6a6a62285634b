"""Why the forecast is what it is, in units a day over the next week, and how wrong it was lately."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from models.factors import Lift
from models.features import ITEM_FEATURES, TARGET_FEATURES, Snapshot
from models.learn import Forecast, Model, Pieces, day_inputs
from models.network import Graph, forward, read_out
from models.panel import Floats, Panel
from models.store import ItemNote

WEEK_DAYS = 7
NEAR = 0.02  # errors closer than this share are called equal, and then the simple rule is said to do
SEASON = tuple(
    len(ITEM_FEATURES) + TARGET_FEATURES.index(n) for n in TARGET_FEATURES if n.startswith(("year_", "xmas_"))
)
PRICE = (ITEM_FEATURES.index("price_ratio"),)


@dataclass(frozen=True, slots=True)
class RecentError:
    """Mean absolute error a day over the last four weeks, forecast without them; NaN where there are no such days."""

    model_units: Floats  # (items,)
    rule_units: Floats


def pieces_of(
    pieces: Pieces,
    forecast: Forecast,
    model: Model | None,
    graph: Graph | None,
    errors: RecentError,
    panel: Panel,
    version: str,
    lift: Lift | None = None,
) -> Iterator[ItemNote]:
    """One note per item. The pieces add up to the forecast: what no rule explains is called trend.

    `forecast` is the one before the factors; what they add stands beside it, a named factor under its own name.
    """
    names: tuple[str, ...] = (
        "level",
        "weekday",
        "promotion",
        "holiday",
        "season",
        "price",
        "weather",
        "trend",
    )
    snapshot = pieces.snapshot
    week = slice(0, WEEK_DAYS)
    level = snapshot.level
    parts = np.zeros((len(names), len(panel.keys)), np.float64)
    steps = snapshot.factors[:, week]  # (items, 7, 3): weekday, promotion, holiday
    running = level[:, None] * snapshot.open[:, week]
    parts[0] = level
    grown = running * steps[..., 0]
    parts[1] = (grown - level[:, None]).mean(1)
    for row, column in ((2, 1), (3, 2)):
        more = grown * steps[..., column]
        parts[row] = (more - grown).mean(1)
        grown = more
    if model is not None:
        near = replace(
            snapshot,
            target=snapshot.target[:, week],
            base=snapshot.base[:, week],
            open=snapshot.open[:, week],
        )
        for row, columns in ((4, SEASON), (5, PRICE)):
            parts[row] = _counterfactual(model, near, columns, graph)
    parts[-1] = forecast.mean[:, week].mean(1) - parts[:-1].sum(0)
    if lift is not None:
        week_mean = forecast.mean[:, week]
        for name, share in lift.parts.items():
            added = (week_mean * share[:, week]).mean(1)
            if name in names:
                parts[names.index(name)] += added
            else:
                names, parts = (*names, name), np.vstack([parts, added])
    shown = parts.T.round(3).tolist()
    for row, sku in enumerate(panel.keys):
        mine, rule = float(errors.model_units[row]), float(errors.rule_units[row])
        simple = model is None or (np.isfinite(mine) and mine > rule * (1 - NEAR))
        known = np.isfinite(mine)
        note = dict(zip(names, shown[row], strict=True))
        yield ItemNote(
            sku, version, panel.last_day, mine if known else None, rule if known else None, bool(simple), note
        )


def _counterfactual(
    model: Model, snapshot: Snapshot, columns: tuple[int, ...], graph: Graph | None
) -> Floats:
    """(items,) units a day that the network adds because of these inputs: with them less without them."""
    x = day_inputs(snapshot)
    flat = x.reshape(-1, x.shape[2])
    if not (np.abs(flat[:, columns]) > 1e-6).any():
        return np.zeros(len(x), np.float32)
    plain = flat.copy()
    plain[:, columns] = 0
    run = graph.raw if graph else forward
    means = [
        read_out(run(model.day, rows).reshape(*x.shape[:2], -1), snapshot.base)[0] for rows in (flat, plain)
    ]
    out: Floats = ((means[0] - means[1]) * snapshot.open).mean(1) * snapshot.scale
    return out
