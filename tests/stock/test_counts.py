"""A counted shelf: the ledger comes to agree with it, by movements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stock.counts import corrections
from gateway.stock.lots import LotStock

OLD, NEW, UNKNOWN = LotStock("A", 4, "2026-12-01"), LotStock("B", 6, "2027-01-01"), LotStock("", 2)


@pytest.mark.parametrize(
    ("lots", "counted", "moves"),
    [
        ([OLD, NEW], 10, []),
        ([], 0, []),
        ([OLD, NEW], 9, [("A", -1)]),
        ([OLD, NEW, UNKNOWN], 9, [("", -2), ("A", -1)]),
        ([OLD, NEW], 13, [("", 3)]),
        ([LotStock("", -3)], 0, [("", 3)]),
        ([LotStock("", -3)], 5, [("", 8)]),
        ([LotStock("", -3), NEW], 6, [("", 3)]),
        ([OLD, NEW], 0, [("A", -4), ("B", -6)]),
    ],
)
def test_a_count_books_the_difference_lot_by_lot(
    lots: list[LotStock], counted: int, moves: list[tuple[str, int]]
) -> None:
    drafts = corrections("sku", "shop", lots, counted, occurred_us=1)

    signed = [(one.lot, one.quantity if one.destination == "shop" else -one.quantity) for one in drafts]
    assert sorted(signed) == sorted(moves)


@given(
    quantities=st.lists(st.integers(-50, 50), max_size=6),
    counted=st.integers(0, 400),
)
def test_after_the_corrections_the_shelf_holds_what_was_counted_and_no_lot_is_below_zero(
    quantities: list[int], counted: int
) -> None:
    lots = [LotStock("" if n == 0 else f"L{n}", units) for n, units in enumerate(quantities)]

    drafts = corrections("sku", "shop", lots, counted, occurred_us=1)

    after = {stock.lot: stock.quantity for stock in lots}
    for draft in drafts:
        change = draft.quantity if draft.destination == "shop" else -draft.quantity
        after[draft.lot] = after.get(draft.lot, 0) + change
    assert sum(after.values()) == counted
    assert all(units >= 0 for units in after.values())
