"""What a scan means: the rows of the counter's table, as far as they are built. Today is 2026-11-24."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.contract import Scan
from gateway.interpret import Moment, interpret
from gateway.stock.items import Item, Known
from gateway.stock.lots import LotStock
from gateway.stock.movements import Draft
from gateway.stock.stations import Station

MILK, CASE = "4006381333931", "5012345678900"  # one piece; twelve of the same
FLOUR, BAG, GHOST = "9002490100070", "4012345000009", "4005900123459"
MILK_GTIN = f"0{MILK}"


TWO_LOTS_AND_FOUR_THAT_NOBODY_KNEW_OF = [
    ("sale", "milk", 2, "shop", "CUSTOMER", "N"),
    ("sale", "milk", 6, "shop", "CUSTOMER", "D"),
    ("sale", "milk", 4, "shop", "CUSTOMER", ""),
]


@dataclass
class Shelf:
    """A shop with three items, whose milk stands in two lots."""

    milk: list[LotStock] = field(
        default_factory=lambda: [LotStock("D", 6, "2026-12-01"), LotStock("N", 2, "2026-11-24")]
    )
    booked: list[tuple[int, Draft]] = field(default_factory=list)

    def known(self, code: str) -> Known | None:
        milk = Item("milk", "Milk", price_minor=129, cost_minor=80, place="A3", low_units=3)
        flour = Item("flour", "Flour", unit="gram", price_minor=250, cost_minor=100)
        return {
            MILK_GTIN: Known(milk),
            f"0{CASE}": Known(milk, 12),
            f"0{FLOUR}": Known(flour),
            f"0{BAG}": Known(Item("bag", "Paper bag", stocked=False)),
        }.get(code)

    def lots(self, sku: str, location: str) -> list[LotStock]:
        return self.milk if (sku, location) == ("milk", "shop") else []

    def last_booking(self, device: str) -> list[tuple[int, Draft]]:
        return self.booked


PRICED = "2135040039753"  # a Danish in-store label: item 13504, 39.75 to pay


@dataclass
class Cheese(Shelf):
    """The same shop, with a cheese that is sold by weight."""

    def __init__(self, per_kg_minor: int | None) -> None:
        super().__init__()
        self._cheese = Known(Item("cheese", "Cheese", unit="gram", price_minor=per_kg_minor))

    def known(self, code: str) -> Known | None:
        return self._cheese if code == "02135040000005" else None


MOMENT = Moment(now_s=1000.0, idle_s=1.0, occurred_us=5_000_000, quality="ntp", today="2026-11-24")


def at(mode: str, **more: object) -> Station:
    return replace(Station.at_home("scanner", mode, "shop"), **more)


def drafted(effect) -> list[tuple]:
    return [(one.kind, one.sku, one.quantity, one.source, one.destination, one.lot) for one in effect.drafts]


def scan(
    code: str, station: Station, *, aim: str | None = None, shelf: Shelf | None = None, **moment: object
):
    return interpret(Scan(code, aim), station, shelf or Shelf(), replace(MOMENT, **moment))


@pytest.mark.parametrize(
    ("station", "code", "booked", "outcome"),
    [
        (at("sell"), MILK, [("sale", "milk", 1, "shop", "CUSTOMER", "N")], "ok"),
        (at("sell"), CASE, TWO_LOTS_AND_FOUR_THAT_NOBODY_KNEW_OF, "negative"),
        (at("receive"), CASE, [("receipt", "milk", 12, "SUPPLIER", "shop", "")], "ok"),
        (at("return"), MILK, [("customer_return", "milk", 1, "CUSTOMER", "shop", "")], "ok"),
        (at("waste", reason="expired"), MILK, [("waste", "milk", 1, "shop", "SCRAP", "N")], "ok"),
        (at("to_supplier"), MILK, [("supplier_return", "milk", 1, "shop", "SUPPLIER", "N")], "ok"),
        (at("move", destination="fridge"), MILK, [("transfer", "milk", 1, "shop", "fridge", "N")], "ok"),
        (at("look"), MILK, [], "shown"),
        (at("sell"), BAG, [], "shown"),
        (at("sell"), GHOST, [], "unknown"),
        (at("look"), GHOST, [], "unknown"),
        (at("sell"), "4006381333932", [], "garbled"),  # a wrong check digit
        (at("move"), MILK, [], "refused"),  # where to?
        (at("move", destination="fridge", location=""), MILK, [], "refused"),  # where from?
        (at("sell"), "SK/FLY", [], "refused"),
        (at("sell"), "SK/UNDO", [], "refused"),  # nothing to take back
    ],
)  # fmt: skip
def test_what_a_scan_books_in_each_mode(station, code, booked, outcome):
    effect = scan(code, station)

    assert (drafted(effect), effect.outcome.code) == (booked, outcome)


@pytest.mark.parametrize(
    ("milk", "code", "said"),
    [
        ([LotStock("", 9)], "ok", "Milk: 8 left"),
        ([LotStock("", 4)], "low", "Milk: only 3 left"),
        ([LotStock("", 1)], "low", "Milk: only 0 left"),
        ([LotStock("", 0)], "negative", "Milk: -1, please count shelf A3"),
        ([], "negative", "Milk: -1, please count shelf A3"),
    ],
)
def test_a_sale_is_never_refused_and_says_what_is_left(milk, code, said):
    effect = scan(MILK, at("sell"), shelf=Shelf(milk))

    assert (effect.outcome.code, effect.outcome.text, len(effect.drafts)) == (code, said, 1)


def test_a_movement_carries_price_at_a_sale_and_cost_at_a_receipt():
    assert scan(CASE, at("receive")).drafts[0].value_minor == 960
    assert [
        one.value_minor for one in scan(MILK, at("sell", next_quantity=3, next_quantity_s=990.0)).drafts
    ] == [258, 129]


def test_a_movement_says_when_it_happened_and_how_the_quantity_is_known():
    scanned = scan(MILK, at("receive")).drafts[0]
    typed = scan(MILK, at("receive", next_quantity=7, next_quantity_s=990.0)).drafts[0]

    assert (scanned.quantity, scanned.quantity_source, scanned.occurred_us, scanned.occurred_quality) == (
        1,
        "scanned",
        5_000_000,
        "ntp",
    )
    assert (typed.quantity, typed.quantity_source, typed.origin) == (7, "typed", "scan")


def test_a_typed_quantity_is_used_up_by_the_item_and_forgotten_after_thirty_seconds():
    used = scan(CASE, at("receive", next_quantity=2, next_quantity_s=990.0))
    late = scan(CASE, at("receive", next_quantity=2, next_quantity_s=969.0))

    assert (used.drafts[0].quantity, used.station.next_quantity) == (24, 0)
    assert (late.drafts[0].quantity, late.station.next_quantity) == (12, 0)


def test_what_is_sold_by_weight_needs_a_weight():
    bare = scan(FLOUR, at("sell"))
    typed = scan(FLOUR, at("sell", next_quantity=750, next_quantity_s=999.0))

    assert (bare.outcome.code, bare.outcome.text, bare.drafts) == (
        "refused",
        "Flour is sold by weight: scan SK/QTY/<grams> first",
        (),
    )
    assert [(one.quantity, one.value_minor) for one in typed.drafts] == [(750, 188)]  # 2.50 a kilogram


@pytest.mark.parametrize(("per_kg_minor", "grams"), [(1_590, 2_500), (3_000, 1_325), (7_999, 497)])
def test_a_price_on_the_label_counts_as_the_grams_that_it_buys(per_kg_minor, grams):
    """39.75 on the label; the number that is booked says that it was derived."""
    effect = scan(PRICED, at("sell"), shelf=Cheese(per_kg_minor), rcn_region="denmark")

    assert [(one.quantity, one.quantity_source) for one in effect.drafts] == [(grams, "derived")]


@pytest.mark.parametrize("per_kg_minor", [None, 0])
def test_a_price_on_the_label_waits_until_somebody_says_what_a_kilogram_costs(per_kg_minor):
    effect = scan(PRICED, at("sell"), shelf=Cheese(per_kg_minor), rcn_region="denmark")

    assert (effect.outcome.code, effect.outcome.text, effect.drafts) == (
        "unknown",
        "Cheese: parked until its price per kilogram is known",
        (),
    )
    assert effect.parked.data == PRICED


def test_a_weight_on_the_label_counts_in_grams():
    effect = scan(f"010{FLOUR}3103000750", at("sell"), aim="]C1")

    assert [(one.quantity, one.quantity_source) for one in effect.drafts] == [(750, "label")]


@pytest.mark.parametrize(
    ("block_expired", "mode", "booked", "said"),
    [
        (False, "sell", 1, "Milk: this lot expired 2026-11-23"),
        (True, "sell", 0, "Milk: expired 2026-11-23, not booked; take it off the shelf (SK/WASTE/expired)"),
        (
            True,
            "receive",
            0,
            "Milk: expired 2026-11-23, not booked; take it off the shelf (SK/WASTE/expired)",
        ),
        (True, "waste", 1, "Milk: this lot expired 2026-11-23"),
    ],
)
def test_an_expired_lot_is_said_and_blocked_only_if_the_shop_wants_so(block_expired, mode, booked, said):
    effect = scan(
        f"010{MILK}1726112310X9", at(mode, reason="expired"), aim="]C1", block_expired=block_expired
    )

    assert (effect.outcome.code, effect.outcome.text, len(effect.drafts)) == ("expired", said, booked)


def test_while_nobody_knows_the_date_nothing_is_expired():
    effect = scan(f"010{MILK}1726112310X9", at("sell"), aim="]C1", today=None, block_expired=True)

    assert (effect.outcome.code, effect.drafts[0].lot, effect.drafts[0].expires_on) == (
        "ok",
        "X9",
        "2026-11-23",
    )


def test_lot_expiry_and_serial_of_the_code_go_into_the_movement():
    effect = scan(f"010{MILK}1727013110B7\x1d21S5", at("receive"), aim="]d2")

    (draft,) = effect.drafts
    assert (draft.lot, draft.expires_on, draft.serial) == ("B7", "2027-01-31", "S5")


def test_an_unknown_code_is_parked_with_all_that_is_needed_to_book_it_later():
    effect = scan(GHOST, at("waste", reason="damaged", next_quantity=4, next_quantity_s=999.0))

    parked = effect.parked
    assert parked is not None
    assert (parked.code, parked.data, parked.mode, parked.argument, parked.location, parked.quantity) == (
        f"0{GHOST}",
        GHOST,
        "waste",
        "damaged",
        "shop",
        4,
    )
    assert (effect.drafts, effect.station.next_quantity) == ((), 0)


def test_a_look_says_stock_place_price_and_the_first_date():
    effect = scan(MILK, at("look"))

    assert effect.outcome.text == "Milk: 8 here, shelf A3, price 1.29, first expires 2026-11-24"
    assert (effect.left, effect.drafts) == (8, ())


def test_undo_takes_back_all_that_one_reading_booked():
    sold = [
        (7, Draft("sale", "milk", 2, "shop", "CUSTOMER", lot="N")),
        (8, Draft("sale", "milk", 1, "shop", "CUSTOMER", lot="D")),
    ]

    effect = scan("SK/UNDO", at("sell"), shelf=Shelf(booked=sold))

    assert (effect.outcome.code, effect.outcome.text, effect.change) == ("undo", "taken back: sale of 3", 3)
    assert [(one.reverses, one.source, one.destination, one.quantity) for one in effect.drafts] == [
        (7, "CUSTOMER", "shop", 2),
        (8, "CUSTOMER", "shop", 1),
    ]


@pytest.mark.parametrize(("idle_s", "kind"), [(900.0, "receipt"), (901.0, "sale")])
def test_a_scanner_left_alone_for_fifteen_minutes_goes_home(idle_s, kind):
    visiting = replace(at("sell"), mode="receive", location="stockroom")

    effect = scan(MILK, visiting, idle_s=idle_s)

    assert effect.drafts[0].kind == kind
    assert effect.station.location == ("stockroom" if kind == "receipt" else "shop")


def test_a_code_that_may_be_two_items_books_neither():
    class Twins(Shelf):
        def known(self, code: str) -> Known | None:
            return Known(Item(code, f"Item {code}"))  # both readings of an eight-digit code are known

    effect = scan("01234565", at("sell"), shelf=Twins())

    assert (effect.outcome.code, effect.drafts) == ("refused", ())
    assert effect.outcome.text.endswith("choose one")


STATIONS = st.builds(
    at,
    st.sampled_from(["sell", "receive", "waste", "move", "return", "to_supplier", "look"]),
    destination=st.sampled_from(["", "fridge", "shop"]),
    next_quantity=st.integers(0, 50),
    next_quantity_s=st.sampled_from([0.0, 999.0]),
)
CODES = st.sampled_from([MILK, CASE, FLOUR, BAG, GHOST, "SK/UNDO", "SK/QTY/3", "SK/MOVE"]) | st.text(
    max_size=30
)


@given(STATIONS, CODES, st.sampled_from([None, "]E0", "]C1", "]d2"]), st.booleans())
def test_any_code_in_any_mode_is_booked_parked_shown_or_refused_but_never_half(station, code, aim, block):
    effect = scan(code, station, aim=aim, block_expired=block)

    assert effect.outcome.code and effect.outcome.text
    assert not (effect.drafts and effect.parked)
    assert all(one.quantity > 0 and one.source != one.destination for one in effect.drafts)
    if effect.outcome.code in ("garbled", "refused", "shown", "unknown", "mode"):
        assert effect.drafts == ()
