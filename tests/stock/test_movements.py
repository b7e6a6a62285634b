"""Taking back: the same movement the other way round."""

from hypothesis import given

from gateway.stock.movements import VIRTUAL, Draft, reversal
from tests.strategies import drafts


def test_taking_back_a_sale_brings_the_same_lot_back_to_the_same_shelf():
    sale = Draft("sale", "milk", 2, "shop", "CUSTOMER", lot="L1", expires_on="2026-12-01", value_minor=398)

    back = reversal(sale, 7, occurred_us=1_000_000, origin="person")

    assert back == Draft(
        "sale",
        "milk",
        2,
        "CUSTOMER",
        "shop",
        lot="L1",
        expires_on="2026-12-01",
        reverses=7,
        occurred_us=1_000_000,
        value_minor=398,
        origin="person",
    )


@given(drafts())
def test_a_movement_and_its_reversal_come_to_nothing_everywhere(draft):
    back = reversal(draft, 1, occurred_us=None, origin="scan")

    change = {draft.source: 0, draft.destination: 0}
    for movement in (draft, back):
        change[movement.source] -= movement.quantity
        change[movement.destination] += movement.quantity
    assert set(change.values()) == {0}
    assert (back.kind, back.sku, back.lot, back.serial) == (draft.kind, draft.sku, draft.lot, draft.serial)


@given(drafts())
def test_one_end_of_a_shop_s_movement_is_a_place_and_the_other_the_outside(draft):
    assert (draft.source in VIRTUAL) != (draft.destination in VIRTUAL)
