"""Two forecasts of the same days: python bench/forecast_compare.py JUDGE.py DATA_DIR OURS RIVAL [--draws 1000]

The ratio ours / rival of the judge's figures with 90 % intervals of a paired bootstrap over items and over origins:
all, by volume (units a day before the first origin) and by the judge's class of demand.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas

VOLUMES = (0.5, 3.0)
VOLUME_NAMES = np.array(["below 0.5 a day", "0.5 to 3", "above 3"])
ITEMS_MIN = 10


def parts(rows: pandas.DataFrame) -> dict[str, tuple[pandas.Series, pandas.Series]]:
    """Each figure as the ratio of two sums: over items and origins they can be drawn again."""
    one = rows["spl"].notna().astype(float)
    figures = {"spl": (rows["spl"].fillna(0), one), "rmsse": (rows["rmsse"].fillna(0), one)}
    for short in (9, 19):
        figures[f"inv{short}"] = (rows[f"left{short}"] + short * rows[f"short{short}"], rows["sumy"])
    return figures


def intervals(
    ours: pandas.DataFrame, rival: pandas.DataFrame, draws: int, rng: np.random.Generator
) -> dict[str, tuple[float, float, float]]:
    """Ratio, 5 % and 95 % of each figure; the same draw of items and origins for both."""
    items, origins = ours["unique_id"].unique(), ours["origin"].unique()
    row, column = (
        pandas.Index(items).get_indexer(ours["unique_id"]),
        pandas.Index(origins).get_indexer(ours["origin"]),
    )

    def grid(values: pandas.Series) -> np.ndarray:
        dense = np.zeros((len(items), len(origins)))
        dense[row, column] = values
        return dense

    drawn_items = rng.multinomial(len(items), np.full(len(items), 1 / len(items)), draws)
    drawn_origins = rng.multinomial(len(origins), np.full(len(origins), 1 / len(origins)), draws)
    drawn_items[0], drawn_origins[0] = 1, 1  # the figure itself
    found = {}
    for name, (mine, weight) in parts(ours).items():
        theirs, their_weight = parts(rival)[name]
        a, b, c, d = (
            ((drawn_items @ grid(values)) * drawn_origins).sum(1)
            for values in (mine, weight, theirs, their_weight)
        )
        ratio = (a / b) / (c / d)
        found[name] = (float(ratio[0]), *(float(np.quantile(ratio[1:], edge)) for edge in (0.05, 0.95)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("judge", "data", "ours", "rival"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("judge", arguments.judge)
    assert spec is not None and spec.loader is not None
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    data = judge.Data(str(arguments.data))
    ours, rival = (
        judge.evaluate(data, judge.load(str(path)))[0]
        .sort_values(["origin", "unique_id"])
        .reset_index(drop=True)
        for path in (arguments.ours, arguments.rival)
    )
    if not ours[["origin", "unique_id"]].equals(rival[["origin", "unique_id"]]):
        raise SystemExit("the two files forecast different items or origins; make both from the same folder")
    before = (
        data.Y.loc[:, : data.meta["origins"][0]].mean(axis=1).fillna(0)
    )  # by what came it would be hindsight
    volume = VOLUME_NAMES[np.searchsorted(VOLUMES, before.loc[ours["unique_id"]])]
    groups = [("all", np.ones(len(ours), bool))]
    groups += [(name, volume == name) for name in VOLUME_NAMES]
    groups += [(name, (ours["cls"] == name).to_numpy()) for name in sorted(ours["cls"].unique())]
    print(f"# {data.meta['name']}: {arguments.ours.stem} / {arguments.rival.stem}, ratio [5 %, 95 %]")
    for name, rows in groups:
        if ours[rows]["unique_id"].nunique() < ITEMS_MIN:
            continue
        found = intervals(ours[rows], rival[rows], arguments.draws, np.random.default_rng(7))
        texts = [f"{key} {a:.3f} [{b:.3f}, {c:.3f}]" for key, (a, b, c) in found.items()]
        print(f"{name:16s} n={int(rows.sum()):5d}  {'  '.join(texts)}")


if __name__ == "__main__":
    main()
