"""How wide the quantiles are made by what the held-back days said."""

import numpy as np
import pytest

from models.learn import CLASSES, LEVELS, _widths

ITEMS, DAYS = 20, 20  # more than WIDTH_ROWS_MIN days
SLOW_CLASS = np.zeros(ITEMS, np.int64)


def widths(sold: float) -> np.ndarray:
    """A month in which every day sold `sold` where every quantile said 1."""
    quantiles = np.ones((ITEMS, DAYS, len(LEVELS)), np.float32)
    return _widths([(SLOW_CLASS, quantiles, np.full((ITEMS, DAYS), sold, np.float32))])


@pytest.mark.parametrize(
    ("sold", "width"),
    [(1.21, 1.1), (0.81, 0.9), (9.0, 1.4), (0.01, 0.8)],
    ids=["a busy month", "a quiet month", "at most", "at least"],
)
def test_quantiles_go_half_way_to_what_was_sold(sold, width):
    found = widths(sold)

    assert found[0, 2:] == pytest.approx([width] * 3, rel=1e-3)


def test_the_median_and_classes_without_items_are_left_alone():
    found = widths(1.21)

    assert found[0, 1] == 1
    assert (found[1:] == 1).all() and len(found) == CLASSES
