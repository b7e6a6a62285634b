"""What the back office commands and what pages say, on a real ledger: once, whole, or refused with the reason."""

from typing import Any

import pytest

from drivers.contract import Document
from gateway.ledger.master import upsert_item
from tests.ledger.counter import Counter, delivery, outcomes

ID = "01935c2e-0000-7000-8000-00000000000"


def command(counter: Counter, number: int, kind: str, **body: Any) -> tuple[str, str]:
    """The outcome of a command as the pump passes it on."""
    said = {"issuer": "backoffice", "cmd_seq": number, "type": kind, "body": body}
    document = Document("back_office_command", f"{ID}{number}", said)
    [outcome] = outcomes(counter.tell(delivery("sync", "p1", number, document)))
    return outcome.code, outcome.text


def test_the_back_office_sets_a_price_and_the_next_sale_has_it(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1, price_minor=199)

    assert command(counter, 1, "price", sku="S1", price_minor=249) == ("ok", "Item 1: price 2.49")

    counter.scan(code)
    assert counter.rows("SELECT value_minor FROM movement") == [(249,)]
    assert counter.rows("SELECT issuer, cmd_seq, result FROM command_seen") == [
        ("backoffice", 1, "Item 1: price 2.49")
    ]
    counter.close()


def test_a_recalled_item_is_not_sold_until_the_back_office_allows_it_again(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)

    command(counter, 1, "block-sku", sku="S1", reason="recalled: glass in the jar")
    [outcome] = counter.scan(code, first_seq=1)
    assert (outcome.code, outcome.text) == (
        "refused",
        "Item 1 is blocked: recalled: glass in the jar. Take it off the shelf",
    )
    [shown] = counter.scan("SK/LOOK", code, first_seq=2)[1:]
    assert shown.text.startswith("Item 1: BLOCKED: recalled: glass in the jar, 0 here")
    [wasted] = counter.scan("SK/WASTE/damaged", code, first_seq=4)[1:]  # taking it off the shelf is booked
    assert wasted.code == "negative"
    assert counter.rows("SELECT kind, state FROM alert WHERE kind = 'sku_blocked'") == [
        ("sku_blocked", "open")
    ]

    command(counter, 2, "block-sku", sku="S1", blocked=False)
    assert counter.scan("SK/SELL", code, first_seq=6)[1].code == "negative"
    assert counter.rows("SELECT state FROM alert WHERE kind = 'sku_blocked'") == [("closed",)]
    counter.close()


def test_a_count_that_the_back_office_asked_for_stands_among_the_alerts_until_somebody_has_counted(tmp_path):
    counter = Counter(tmp_path)
    counter.add_items(1)

    assert command(counter, 1, "count-request", sku="S1", location="shop")[0] == "ok"
    question = "SELECT text, state FROM alert WHERE kind = 'count_request'"
    text = "the back office asks: please count Item 1 at shop"
    assert counter.rows(question) == [(text, "open")]

    counter.say("count", sku="S1", location="shop", quantity=7)

    assert counter.rows(question) == [(text, "closed")]
    assert counter.rows("SELECT qty FROM balance WHERE loc = 'shop'") == [(7,)]
    counter.close()


def test_a_command_is_carried_out_once_however_often_it_comes(tmp_path):
    counter = Counter(tmp_path)
    counter.add_items(1)
    said = {"issuer": "backoffice", "cmd_seq": 1, "type": "price", "body": {"sku": "S1", "price_minor": 5}}
    document = Document("back_office_command", f"{ID}1", said)

    for run in ("p1", "p2"):  # the pump was killed, and is given the command again
        [outcome] = outcomes(counter.tell(delivery("sync", run, 1, document)))
        assert (outcome.code, outcome.text) == ("ok", "Item 1: price 0.05")

    assert counter.rows("SELECT count(*) FROM command_seen") == [(1,)]
    counter.close()


def test_the_back_office_tells_days_of_a_series_and_corrects_one_of_them(tmp_path):
    counter = Counter(tmp_path)

    first = command(counter, 1, "factor", name="footfall", days=[["2026-11-23", 310], ["2026-11-24", 290.5]])
    command(counter, 2, "factor", name="footfall", days=[["2026-11-24", 12]], known_ahead=True)

    assert first == ("ok", "footfall: 2026-11-23 to 2026-11-24")
    assert counter.rows("SELECT * FROM factor_day") == [
        ("footfall", "2026-11-23", 310.0),
        ("footfall", "2026-11-24", 12.0),
    ]
    assert counter.rows("SELECT * FROM factor") == [("footfall", 1)]
    assert counter.rows("SELECT cmd_seq, result FROM command_seen") == [
        (1, "footfall: 2026-11-23 to 2026-11-24"),
        (2, "footfall: 2026-11-24 to 2026-11-24"),
    ]
    counter.close()


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("price", {"sku": "S9", "price_minor": 5}, "S9 is no item of this shop"),
        ("price", {"sku": "S1", "price_minor": -5}, "Expected `int` >= 0 - at `$.price_minor`"),
        ("price", {"sku": "S1"}, "Object missing required field `price_minor`"),
        ("block-sku", {"sku": "S9"}, "S9 is no item of this shop"),
        ("factor", {"name": "foot fall", "days": [["2026-11-24", 1]]}, "0-9, _ . and -, not 'foot fall'"),
        ("factor", {"name": "f", "days": [["1970-01-01", 1]]}, "1970-01-01 is no day of a shop: use 2000"),
        ("factor", {"name": "f", "days": [["24.11.2026", 1]]}, "Invalid isoformat string: '24.11.2026'"),
        ("factor", {"name": "f", "days": [["2026-11-24", float("nan")]]}, "nan is no number from"),
        ("factor", {"name": "f", "days": [["2026-11-24", "NaN"]]}, "got `str` - at `$.days[0][1]`"),
        ("factor", {"name": "f", "days": [["2026-11-24", 1]] * 1001}, "1001 days of f at once; at most 1000"),
        ("factor", {"name": "f", "days": []}, "length >= 1 - at `$.days`"),
        ("count-request", {"sku": "S1", "location": "SUPPLIER"}, "S1 at SUPPLIER is nothing"),
        ("explode", {}, '"explode" is not carried out here; known: price, block-sku, count-request, factor,'),
    ],
)
def test_a_command_that_makes_no_sense_changes_nothing_and_says_why(tmp_path, kind, body, text):
    counter = Counter(tmp_path)
    counter.add_items(1)

    code, why = command(counter, 1, kind, **body)

    assert code == "refused"
    assert text in why
    assert counter.rows("SELECT count(*) FROM command_seen") == [(0,)]
    counter.close()


def test_a_quantity_typed_for_a_recalled_item_is_not_kept_for_the_next_one(tmp_path):
    counter = Counter(tmp_path)
    recalled, other = counter.add_items(2, stocked=True)
    command(counter, 1, "block-sku", sku="S1")

    counter.scan("SK/QTY/6", recalled, other)

    assert counter.rows("SELECT sku, qty FROM movement") == [("S2", 1)]
    counter.close()


def test_what_was_parked_is_booked_at_the_next_start_when_a_kill_came_after_the_name(tmp_path):
    counter = Counter(tmp_path)
    counter.scan("4006381333931")
    batch = counter.writer.batch()
    batch.statements += upsert_item({"sku": "pen", "name": "Pen", "codes": [("04006381333931", 1)]}, 1)
    counter.writer.commit(batch)  # and here the kill came
    counter.close()

    again = Counter(tmp_path)
    again.tell()

    assert again.rows("SELECT kind, sku, qty FROM movement") == [("sale", "pen", 1)]
    assert again.rows("SELECT state FROM parked") == [("booked",)]
    again.close()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (
            "items",
            {
                "rows": [
                    {"plan": {"sku": "S1", "starts_on": "2026-12-01", "kind": "price", "price_minor": {}}}
                ]
            },
        ),
        ("notice", {"kind": "x", "subject": "y", "severity": "info", "text": "z", "data": {"x": b"\xff"}}),
    ],
)
def test_what_the_ledger_cannot_hold_is_refused_and_counting_goes_on(tmp_path, kind, body):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)

    assert counter.say(kind, **body).code == "refused"

    assert counter.scan(code)[0].code == "negative"
    assert counter.rows("SELECT count(*) FROM movement") == [(1,)]
    counter.close()


def test_a_code_as_long_as_a_scan_may_be_can_be_ignored_and_named(tmp_path):
    counter = Counter(tmp_path)
    first, second = "W" * 256, "V" * 223
    counter.scan(first, second)

    assert counter.say("dismiss_parked", code=first).code == "ok"
    assert counter.say("name_code", code=second, name="Guest network", sku="wifi").code == "ok"
    counter.close()


def test_a_notice_that_a_person_has_dealt_with_is_closed_once(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)
    counter.scan(code)

    assert counter.say("alert", id=1, do="ack").code == "ok"
    assert counter.rows("SELECT state FROM alert") == [("ack",)]
    assert counter.say("alert", id=1, do="close").code == "ok"
    assert counter.rows("SELECT state FROM alert") == [("closed",)]
    assert counter.say("alert", id=1, do="close").text == "alert 1 is not there or was closed already"
    counter.close()


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("undo", {"seq": "seven"}, "Expected `int`, got `str` - at `$.seq`"),
        ("undo", {"seq": 7}, "movement 7 is not there or was taken back already"),
        ("count", {"sku": "S1", "location": "shop", "quantity": -1}, "Expected `int` >= 0 - at `$.quantity`"),
        ("alert", {"id": 1, "do": "burn"}, "Invalid enum value 'burn' - at `$.do`"),
        ("scan", {"code": "1", "mode": "steal"}, "'steal' is no mode; use one of: look, sell"),
        ("riddle", {}, 'nobody here understands a document of kind "riddle"'),
    ],
)
def test_a_page_that_says_nonsense_is_told_which_field(tmp_path, kind, body, text):
    counter = Counter(tmp_path)
    counter.add_items(1)

    outcome = counter.say(kind, **body)

    assert outcome.code == "refused"
    assert text in outcome.text
    counter.close()
