"""What comes twice counts once, and what was left over from yesterday is not used today."""

from drivers.bus import Progress
from drivers.contract import Document, Scan
from gateway.config import Device
from tests.ledger.counter import Counter, delivery, outcomes
from tests.system.shop import ean13

UNKNOWN = ean13(77)
LONG_AGO_US = 20 * 60 * 1_000_000


def sale(external_id: str, code: str) -> Document:
    return Document("scan", external_id, {"code": code, "mode": "sell"})


def test_the_same_document_sent_after_a_restart_of_its_sender_is_booked_once(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)

    first = outcomes(counter.tell(delivery("till", "b1", 1, sale("receipt-4711", code))))
    again = outcomes(counter.tell(delivery("till", "b2", 1, sale("receipt-4711", code))))

    assert [(one.code, one.text) for one in first] == [(one.code, one.text) for one in again]
    assert counter.rows("SELECT count(*) FROM movement") == [(1,)]


def test_a_quantity_that_is_resent_with_its_item_is_not_used_for_the_next_one(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)
    counter.scan("SK/QTY/6")
    counter.scan(code, first_seq=2)

    counter.scan("SK/QTY/6", code, first_seq=1)  # both answers were lost
    counter.scan(code, first_seq=3)

    assert counter.rows("SELECT qty FROM movement ORDER BY seq") == [(6,), (1,)]


def test_an_undo_after_an_unknown_code_forgets_the_code_and_leaves_the_sale_before_it(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)

    counter.scan(code)
    counter.scan(UNKNOWN, first_seq=2)

    (answer,) = counter.scan("SK/UNDO", first_seq=3)

    assert answer.text == f"{UNKNOWN}: no longer parked"
    assert counter.rows("SELECT count(*) FROM movement WHERE reverses IS NOT NULL") == [(0,)]
    assert counter.rows("SELECT state FROM parked") == [("dismissed",)]


def test_a_mode_left_on_overnight_is_gone_in_the_morning(tmp_path):
    counter = Counter(tmp_path)
    counter.scan("SK/WASTE/expired")
    counter.writer.connection.execute("UPDATE station SET since_us = since_us - ?", (LONG_AGO_US,))
    counter.close()

    morning = Counter(tmp_path)
    (code,) = morning.add_items(1)
    morning.scan(code, boot="b2")

    assert morning.rows("SELECT kind FROM movement") == [("sale",)]


def test_a_mode_survives_a_power_cut(tmp_path):
    counter = Counter(tmp_path)
    counter.scan("SK/RECEIVE")
    counter.close()

    afterwards = Counter(tmp_path)
    (code,) = afterwards.add_items(1)
    afterwards.scan(code, boot="b2")

    assert afterwards.rows("SELECT kind FROM movement") == [("receipt",)]


def test_a_peer_that_counts_beyond_all_numbers_spoils_nobody_elses_scans(tmp_path):
    devices = [Device(name, "serial_scanner", "sell", "shop", bounce_ms=0) for name in ("a", "b")]
    counter = Counter(tmp_path, *devices)
    (code,) = counter.add_items(1)

    counter.tell(Progress("L", 1, 2**52))
    answers = outcomes(
        counter.tell(delivery("a", "b1", 2**52, Scan(code)), delivery("b", "b1", 1, Scan(code)))
    )

    assert [answer.code for answer in answers] == ["negative", "negative"]
