"""What each command code does to the scanner it was read by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stock.stations import NotACommand, Station, obey

COUNTER = Station.at_home("counter", "sell", "shop")


def after(*codes: str, station: Station = COUNTER, now_s: float = 100.0) -> Station:
    for code in codes:
        station, _ = obey(station, code, now_s)
    return station


@pytest.mark.parametrize(
    ("code", "mode", "said"),
    [
        ("SK/LOOK", "look", "look"),
        ("SK/SELL", "sell", "sell"),
        ("SK/RECEIVE", "receive", "receive"),
        ("SK/WASTE/expired", "waste", "waste (expired)"),
        ("SK/WASTE/own-use", "waste", "waste (own-use)"),
        ("SK/MOVE", "move", "move: scan the place to take from"),
        ("SK/RETURN", "return", "return"),
        ("SK/TOSUPPLIER", "to_supplier", "to_supplier"),
    ],
)
def test_a_mode_code_changes_the_mode_and_says_so(code, mode, said):
    station, text = obey(COUNTER, code, 100.0)

    assert (station.mode, text) == (mode, said)


def test_waste_keeps_its_reason_until_another_mode_is_chosen():
    assert after("SK/WASTE/damaged").reason == "damaged"
    assert after("SK/WASTE/damaged", "SK/SELL").reason == ""


def test_done_goes_home():
    assert after("SK/RECEIVE", "SK/LOC/stockroom", "SK/DONE") == COUNTER


@pytest.mark.parametrize(
    ("codes", "quantity"),
    [
        (["SK/QTY/6"], 6),
        (["SK/QTY/100000"], 100_000),
        (["SK/1", "SK/2"], 12),
        (["SK/0", "SK/6"], 6),
        (["SK/1", "SK/0", "SK/0"], 100),
        (["SK/QTY/6", "SK/CANCEL"], 0),
        (["SK/QTY/6", "SK/RECEIVE"], 0),
    ],
)
def test_a_quantity_waits_for_the_next_item(codes, quantity):
    assert after(*codes).quantity_waiting(100.0) == quantity


@pytest.mark.parametrize(("later_s", "quantity"), [(0.0, 6), (30.0, 6), (30.1, 0)])
def test_a_quantity_waits_for_thirty_seconds(later_s, quantity):
    assert after("SK/QTY/6").quantity_waiting(100.0 + later_s) == quantity


def test_a_digit_after_thirty_seconds_begins_a_new_number():
    station, _ = obey(after("SK/1"), "SK/2", 131.0)

    assert station.quantity_waiting(131.0) == 2


def test_a_place_is_the_scanner_s_until_its_mode_ends():
    assert after("SK/LOC/shelf 3").location == "shelf 3"
    assert after("SK/LOC/shelf 3", "SK/RECEIVE").location == "shop"


@pytest.mark.parametrize(
    "first", ["stockroom", "shop"], ids=["from elsewhere", "from the scanner's own place"]
)
def test_in_a_move_the_first_place_is_from_and_the_second_to(first):
    station = after("SK/MOVE", f"SK/LOC/{first}", "SK/LOC/shelf 3")

    assert (station.location, station.destination) == (first, "shelf 3")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("SK/WASTE", "use one of: expired, damaged, stolen, tasting, own-use, donated"),
        ("SK/WASTE/tired", "use one of: expired, damaged, stolen, tasting, own-use, donated"),
        ("SK/QTY/", "use 1 to 100000"),
        ("SK/QTY/0", "use 1 to 100000"),
        ("SK/QTY/100001", "use 1 to 100000"),
        ("SK/QTY/-1", "use 1 to 100000"),
        ("SK/QTY/\u00b2", "use 1 to 100000"),  # a digit to Unicode, no number to anybody
        ("SK/\u00b2", "is not a command"),
        ("SK/LOC/", "cannot be a place"),
        ("SK/LOC/CUSTOMER", "cannot be a place"),
        ("SK/LOC/a\x07b", "cannot be a place"),
        ("SK/FLY", "is not a command"),
        ("SK/", "is not a command"),
    ],
)
def test_a_code_that_is_no_command_changes_nothing_and_says_what_would(code, why):
    with pytest.raises(NotACommand, match=why):
        obey(COUNTER, code, 100.0)


@given(st.text(max_size=40), st.floats(0, 1e9))
def test_whatever_is_printed_behind_our_prefix_is_obeyed_or_refused(text, now_s):
    try:
        station, said = obey(COUNTER, f"SK/{text}", now_s)
    except NotACommand as error:
        assert str(error)
    else:
        assert said and 0 <= station.next_quantity <= 100_000
