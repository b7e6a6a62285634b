"""Coverage of the quantiles of sums: python bench/sums.py DATA_DIR PREDICTIONS [...] (rows with `cum` > 1).

Share of non-overlapping windows whose true sum is at most the quantile, per span.
"""

import sys
from pathlib import Path

import numpy as np
import pandas


def coverage(data: Path, predictions: Path) -> pandas.DataFrame:
    truth = pandas.read_parquet(data / "series.parquet", columns=["unique_id", "ds", "y"])
    truth = truth.assign(unique_id=truth["unique_id"].astype(str)).pivot(
        index="unique_id", columns="ds", values="y"
    )
    total = np.cumsum(np.nan_to_num(truth.to_numpy()), 1)
    rows = (
        pandas.read_parquet(predictions) if predictions.suffix == ".parquet" else pandas.read_csv(predictions)
    )
    rows = rows[(rows["cum"] > 1) & rows["ds"].between(truth.columns[0], truth.columns[-1])]
    item = truth.index.get_indexer(rows["unique_id"].astype(str))
    day = truth.columns.get_indexer(pandas.to_datetime(rows["ds"]))
    sums = total[item, day] - total[item, day - rows["cum"].to_numpy()]
    hits = {f"cov{level}": sums <= rows[f"q{level}"] + 1e-9 for level in (0.5, 0.9, 0.95)}
    return (
        pandas.DataFrame({"span": rows["cum"], "windows": 1} | hits)
        .groupby("span")
        .agg({"windows": "sum", "cov0.5": "mean", "cov0.9": "mean", "cov0.95": "mean"})
    )


if __name__ == "__main__":
    for path in sys.argv[2:]:
        print(
            f"# {Path(sys.argv[1]).name} {Path(path).name}",
            coverage(Path(sys.argv[1]), Path(path)).round(3),
            sep="\n",
        )
