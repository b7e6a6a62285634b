"""Movements as EPCIS events: the mapping table, one event by hand, and the official schemas as judges."""

import json
import re
from zoneinfo import ZoneInfo

import pytest

from gateway.cloud import topics
from gateway.cloud.epcis import Translator, document, is_gtin14
from gateway.cloud.topics import Address
from gateway.ledger.feed import MovementRow
from tests.cloud.standards import validator

SHOP = Address("acme", "corner", "gw1")
TEN_PAST_NINE_US = 1_795_511_400_000_000  # 2026-11-24 09:10:00 UTC
UNITS = {"tea-loose": "gram", "oil": "millilitre"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def row(**columns) -> MovementRow:
    values = {
        "seq": 7,
        "epoch": 1,
        "id": bytes(range(16)),
        "idem": "counter/0123456789ab/7/0",
        "kind": "sale",
        "sku": "05000000000012",
        "qty": 1,
        "src": "counter",
        "dst": "CUSTOMER",
        "lot": "",
        "expiry": None,
        "serial": None,
        "reason": None,
        "doc": None,
        "reverses": None,
        "actor": None,
        "occurred_us": None,
        "occurred_q": None,
        "wall_us": TEN_PAST_NINE_US,
        "clock_q": "ntp",
        "value_minor": None,
        "basket": None,
        "line": None,
        "origin": "scan",
        "qty_src": "scanned",
        "prev_hash": bytes(32),
        "hash": b"\xab" * 32,
    }
    return MovementRow(**{**values, **columns})


def events(*rows: MovementRow, originals: dict[int, MovementRow] | None = None) -> list[dict]:
    translator = Translator(SHOP, lambda sku: UNITS.get(sku, "piece"), ZoneInfo("Europe/Berlin"))
    return [
        json.loads(topics.encode(event)) for one in rows for event in translator.events(one, originals or {})
    ]


def test_a_sale_is_one_event_with_everything_that_the_back_office_needs():
    assert events(row(value_minor=299, basket="4711", line=2)) == [
        {
            "type": "ObjectEvent",
            "eventID": "urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f",
            "eventTime": "2026-11-24T09:10:00Z",
            "recordTime": "2026-11-24T09:10:00Z",
            "eventTimeZoneOffset": "+01:00",
            "action": "OBSERVE",
            "bizStep": "retail_selling",
            "disposition": "retail_sold",
            "readPoint": {"id": "urn:storekeeper:acme:corner:loc:counter"},
            "quantityList": [{"epcClass": "https://id.gs1.org/01/05000000000012", "quantity": 1}],
            "bizTransactionList": [{"bizTransaction": "urn:storekeeper:acme:corner:basket:4711"}],
            "sk:seq": 7,
            "sk:epoch": 1,
            "sk:kind": "sale",
            "sk:sku": "05000000000012",
            "sk:delta": -1,
            "sk:src": "counter",
            "sk:dst": "CUSTOMER",
            "sk:hash": "ab" * 32,
            "sk:idem": "counter/0123456789ab/7/0",
            "sk:clockq": "ntp",
            "sk:origin": "scan",
            "sk:qtysrc": "scanned",
            "sk:value": 299,
            "sk:basket": "4711",
            "sk:line": 2,
        }
    ]


@pytest.mark.parametrize(
    ("kind", "src", "dst", "reason", "biz_step", "disposition", "delta"),
    [
        ("receipt", "SUPPLIER", "stockroom", None, "receiving", "in_progress", 3),
        ("sale", "counter", "CUSTOMER", None, "retail_selling", "retail_sold", -3),
        ("dispatch", "stockroom", "CUSTOMER", None, "shipping", "in_transit", -3),
        ("customer_return", "CUSTOMER", "counter", None, "accepting", "returned", 3),
        ("supplier_return", "stockroom", "SUPPLIER", None, "shipping", "returned", -3),
        ("waste", "counter", "SCRAP", "expired", "destroying", "expired", -3),
        ("waste", "counter", "SCRAP", "damaged", "destroying", "damaged", -3),
        ("waste", "counter", "SCRAP", "stolen", "removing", "stolen", -3),
        ("waste", "counter", "SCRAP", None, "destroying", "disposed", -3),
        ("transfer", "stockroom", "counter", None, "stocking", "sellable_accessible", -3),
        ("transfer", "stockroom", "TRANSIT", None, "shipping", "in_transit", -3),
        ("transfer", "TRANSIT", "stockroom", None, "receiving", "in_progress", 3),
        ("count_correction", "ADJUST", "counter", None, "cycle_counting", None, 3),
        ("count_correction", "counter", "ADJUST", None, "cycle_counting", None, -3),
        ("opening", "ADJUST", "counter", None, "storing", "sellable_accessible", 3),
    ],
)
def test_each_kind_of_movement_has_its_step_and_its_sign(
    kind, src, dst, reason, biz_step, disposition, delta
):
    [event] = events(row(kind=kind, src=src, dst=dst, reason=reason, qty=3))

    assert (event["bizStep"], event.get("disposition"), event["sk:delta"]) == (biz_step, disposition, delta)
    assert event["quantityList"][0]["quantity"] == 3


@pytest.mark.parametrize(
    ("sku", "lot", "serial", "uri"),
    [
        ("05000000000012", "", None, "https://id.gs1.org/01/05000000000012"),
        ("05000000000012", "L/7 a", None, "https://id.gs1.org/01/05000000000012/10/L%2F7%20a"),
        ("05000000000012", "L7", "S1", "https://id.gs1.org/01/05000000000012/10/L7/21/S1"),
        ("05000000000013", "", None, "urn:storekeeper:acme:sku:05000000000013"),  # its check digit would be 2
        ("bag_small", "", None, "urn:storekeeper:acme:sku:bag_small"),
        ("bag_small", "L7", None, "urn:storekeeper:acme:sku:bag_small:L7"),
    ],
)
def test_a_product_is_named_by_its_gtin_when_it_has_one(sku, lot, serial, uri):
    assert Translator(SHOP).product(sku, lot, serial) == uri


def test_a_check_digit_is_checked():
    assert is_gtin14("04006381333931")
    assert not is_gtin14("04006381333932")
    assert not is_gtin14("4006381333931")


def test_grams_leave_as_kilograms_and_millilitres_as_litres():
    tea, oil = events(row(sku="tea-loose", qty=1250), row(sku="oil", qty=500))

    assert tea["quantityList"][0] == {
        "epcClass": "urn:storekeeper:acme:sku:tea-loose",
        "quantity": 1.25,
        "uom": "KGM",
    }
    assert oil["quantityList"][0]["quantity"] == 0.5
    assert (tea["sk:delta"], oil["sk:delta"]) == (-1250, -500)  # what is booked stays in whole base units


def test_a_thing_with_a_serial_number_is_named_itself_and_leaves_for_good_as_waste():
    [event] = events(row(kind="waste", dst="SCRAP", serial="S1"))

    assert event["epcList"] == ["https://id.gs1.org/01/05000000000012/21/S1"]
    assert "quantityList" not in event
    assert event["action"] == "DELETE"


def test_a_delivery_names_its_note_and_who_had_the_goods():
    [event] = events(row(kind="receipt", src="SUPPLIER", dst="stockroom", doc="LS 88/1"))

    assert event["bizTransactionList"] == [
        {"type": "desadv", "bizTransaction": "urn:storekeeper:acme:corner:doc:LS%2088%2F1"}
    ]
    assert event["sourceList"] == [
        {"type": "possessing_party", "source": "urn:storekeeper:acme:party:supplier"}
    ]
    assert event["bizLocation"] == {"id": "urn:storekeeper:acme:corner:loc:stockroom"}


def test_an_undone_sale_is_a_new_event_and_the_old_one_declared_an_error():
    sold = row()
    undone = row(seq=9, id=bytes(16), src="CUSTOMER", dst="counter", reverses=7)

    new, repeated = events(undone, originals={7: sold})

    assert (new["sk:seq"], new["sk:reverses"], new["sk:delta"]) == (9, 7, 1)
    assert (repeated["sk:seq"], repeated["sk:repeats"]) == (9, 7)
    assert repeated["eventID"] == "urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert repeated["errorDeclaration"] == {
        "declarationTime": "2026-11-24T09:10:00Z",
        "reason": "did_not_occur",
        "correctiveEventIDs": ["urn:uuid:00000000-0000-0000-0000-000000000000"],
    }


def test_what_goes_into_a_kit_and_what_comes_out_share_the_transformation():
    used, made = events(
        row(kind="make_out", src="stockroom", dst="TRANSFORM", qty=2, idem="counter/ab/7/0"),
        row(kind="make_in", src="TRANSFORM", dst="counter", sku="gift-box", idem="counter/ab/7/1"),
    )

    assert (
        used["transformationID"]
        == made["transformationID"]
        == "urn:storekeeper:acme:corner:make:counter%2Fab%2F7"
    )
    assert used["inputQuantityList"][0]["quantity"] == 2
    assert made["outputQuantityList"][0]["epcClass"] == "urn:storekeeper:acme:sku:gift-box"


EVERY_SHAPE = [
    row(),
    row(lot="L7", expiry="2027-01-31", value_minor=299, basket="4711", line=1, actor="mia"),
    row(kind="receipt", src="SUPPLIER", dst="stockroom", doc="LS 88/1", qty=24),
    row(kind="supplier_return", src="stockroom", dst="SUPPLIER", doc="R1"),
    row(kind="waste", dst="SCRAP", reason="expired", serial="S1"),
    row(kind="transfer", src="stockroom", dst="shelf 3 <left>"),
    row(kind="count_correction", src="ADJUST", dst="counter"),
    row(kind="opening", src="ADJUST", dst="counter", sku="tea-loose", qty=1),
    row(kind="make_out", src="stockroom", dst="TRANSFORM"),
    row(kind="make_in", src="TRANSFORM", dst="counter"),
    row(seq=9, src="CUSTOMER", dst="counter", reverses=7, occurred_us=1, occurred_q="device"),
]


def whole_message(names: dict[str, str] | None = None) -> bytes:
    translator = Translator(SHOP, lambda sku: UNITS.get(sku, "piece"))
    encoded = [topics.encode(event) for one in EVERY_SHAPE for event in translator.events(one, {7: row()})]
    return topics.sealed(
        SHOP,
        id="00010203-0405-0607-0809-0a0b0c0d0e0f",
        type=topics.LEDGER_TYPE,
        at_us=TEN_PAST_NINE_US,
        lane="L",
        epoch=1,
        seq=7,
        last=9,
        prev_hash=bytes(32),
        boot="b",
        data=document(encoded, TEN_PAST_NINE_US, names),
    )


def test_every_shape_of_message_is_a_valid_cloudevent_around_a_valid_epcis_document():
    epcis, cloudevents = (
        validator("gs1-epcis/EPCIS-JSON-Schema.json"),
        validator("cloudevents/cloudevents.schema.json"),
    )
    for names in (None, {"https://id.gs1.org/01/05000000000012": "Oat drink"}):
        message = json.loads(whole_message(names))

        assert [error.message for error in cloudevents.iter_errors(message)] == []
        assert [error.message for error in epcis.iter_errors(message["data"])] == []


def test_every_time_in_a_message_is_rfc_3339():
    """The schema's own check of times is optional and usually off."""
    message = json.loads(whole_message())
    times = [message["time"], message["data"]["creationDate"]]
    for event in message["data"]["epcisBody"]["eventList"]:
        times += [event["eventTime"], event["recordTime"]]

    assert len(times) == 26
    assert [time for time in times if not RFC3339.fullmatch(time)] == []


def test_extension_attributes_have_names_that_cloudevents_allows():
    message = json.loads(whole_message())

    assert [name for name in message if not re.fullmatch("[a-z0-9]{1,20}", name)] == []
    assert (message["sequence"], message["sklast"], message["sklane"]) == ("000000000007", 9, "L")
