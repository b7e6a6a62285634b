"""The bench that compares two forecasts of the same days."""

import numpy as np
import pytest

pandas = pytest.importorskip("pandas", reason="extra `bench`")
from bench.forecast_compare import intervals  # noqa: E402  after the look for pandas


def scores(spl: float) -> "pandas.DataFrame":
    """Ten items at two origins, each with this loss."""
    rows = [
        {"unique_id": f"item-{i}", "origin": o, "spl": spl * (1 + i), "rmsse": 1.0}
        for i in range(10)
        for o in (1, 2)
    ]
    return pandas.DataFrame(rows).assign(left9=2.0, short9=1.0, left19=2.0, short19=1.0, sumy=10.0)


def test_half_the_loss_everywhere_is_a_ratio_of_a_half_without_doubt():
    found = intervals(scores(0.1), scores(0.2), 50, np.random.default_rng(1))

    assert found["spl"] == pytest.approx((0.5, 0.5, 0.5))
    assert found["inv9"] == pytest.approx((1.0, 1.0, 1.0))


def test_one_item_that_is_worse_widens_the_interval():
    ours = scores(0.1)
    ours.loc[ours["unique_id"] == "item-9", "spl"] *= 3

    ratio, low, high = intervals(ours, scores(0.1), 200, np.random.default_rng(1))["spl"]

    assert ratio == pytest.approx(75 / 55)
    assert low < 1.25 < 1.5 < high
