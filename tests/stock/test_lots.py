"""Which lot leaves the shelf. Today is 2026-11-24."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stock.lots import LotStock, fefo, is_expired
from tests.strategies import TODAY, shelves

NOVEMBER = LotStock("N", 3, "2026-11-30")
DECEMBER = LotStock("D", 5, "2026-12-31")
OVER = LotStock("O", 4, "2026-11-23")
UNKNOWN = LotStock("", 2)
UNDATED = LotStock("U", 6)


@pytest.mark.parametrize(
    ("expires_on", "today", "expired"),
    [
        ("2026-11-23", "2026-11-24", True),
        ("2026-11-24", "2026-11-24", False),  # may be sold on its last day
        ("2026-11-25", "2026-11-24", False),
        (None, "2026-11-24", False),
        ("2026-11-23", None, False),  # nobody knows what day it is
    ],
)
def test_a_lot_is_expired_the_day_after_its_last_day(expires_on, today, expired):
    assert is_expired(expires_on, today) is expired


@pytest.mark.parametrize(
    ("lots", "quantity", "taken"),
    [
        ([DECEMBER, NOVEMBER], 2, [("N", 2)]),
        ([DECEMBER, NOVEMBER], 4, [("N", 3), ("D", 1)]),
        ([DECEMBER, NOVEMBER], 9, [("N", 3), ("D", 5), ("", 1)]),  # the ledger knows too few
        ([OVER, DECEMBER], 1, [("D", 1)]),  # nobody sells what is over while there is good stock
        ([OVER], 1, [("", 1)]),
        ([UNKNOWN, DECEMBER], 6, [("D", 5), ("", 1)]),  # a date goes before no date
        ([UNDATED, UNKNOWN], 7, [("U", 6), ("", 1)]),
        ([UNKNOWN], 5, [("", 5)]),  # both from what was there and below zero: one movement
        ([LotStock("", -3)], 1, [("", 1)]),
        ([], 1, [("", 1)]),
    ],
)
def test_what_expires_first_goes_first(lots, quantity, taken):
    assert [(stock.lot, part) for stock, part in fefo(lots, quantity, TODAY)] == taken


def test_while_the_date_is_unknown_dates_still_give_the_order():
    assert [(stock.lot, part) for stock, part in fefo([DECEMBER, OVER], 5, None)] == [("O", 4), ("D", 1)]


@given(shelves(), st.integers(1, 100))
def test_whatever_is_on_the_shelf_exactly_what_was_asked_for_is_taken(lots, quantity):
    taken = fefo(lots, quantity, TODAY)

    assert sum(part for _, part in taken) == quantity
    assert all(part > 0 for _, part in taken)
    assert len({stock.lot for stock, _ in taken}) == len(taken)


@given(shelves(), st.integers(1, 100))
def test_no_dated_lot_is_taken_below_zero_or_after_its_last_day(lots, quantity):
    for stock, part in fefo(lots, quantity, TODAY):
        if stock.lot:
            assert part <= stock.quantity
            assert not is_expired(stock.expires_on, TODAY)
