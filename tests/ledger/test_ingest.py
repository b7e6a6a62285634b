"""From messages to transactions: what goes together, what goes alone, what is parked and booked later."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import AnyReading, Document, Garbled, Scan
from gateway.config import Device
from gateway.rounds import rounds
from tests.ledger.counter import Counter, delivery, outcomes
from tests.system.shop import ean13

SCAN, UNDO, PAGE = Scan("4006381333931"), Scan("SK/UNDO"), Document("undo", "page-1", {"seq": 1})
READINGS = st.lists(st.sampled_from([SCAN, UNDO, PAGE, Garbled("noise")]), max_size=8)
UNKNOWN = ean13(77)


def flat(groups) -> list[tuple[str, int, AnyReading]]:
    return [
        (one.device, one.first_seq + at, reading)
        for group in groups
        for _, one in group
        for at, reading in enumerate(one.readings)
    ]


def alone(reading: AnyReading) -> bool:
    return reading in (UNDO, PAGE)


@given(st.lists(READINGS, max_size=5))
def test_rounds_keep_every_reading_once_and_in_order(messages):
    sent = [(b"", delivery(f"d{at}", "b1", 1, *readings)) for at, readings in enumerate(messages)]

    assert flat(rounds(sent)) == flat([sent])


@given(st.lists(READINGS, max_size=5))
def test_what_must_see_the_ledger_as_committed_goes_alone(messages):
    sent = [(b"", delivery(f"d{at}", "b1", 1, *readings)) for at, readings in enumerate(messages)]

    for group in rounds(sent):
        readings = [reading for _, one in group for reading in one.readings]
        assert len(readings) == 1 or not any(map(alone, readings))


@given(st.lists(READINGS.filter(bool), min_size=1, max_size=5), st.data())
def test_however_a_run_of_readings_is_cut_into_messages_the_same_readings_go_alone(messages, data):
    run = [reading for readings in messages for reading in readings]
    cut = data.draw(st.integers(0, len(run)))
    whole = [(b"", delivery("d", "b1", 1, *run))]
    parts = [(b"", delivery("d", "b1", 1, *run[:cut])), (b"", delivery("d", "b1", 1 + cut, *run[cut:]))]

    assert flat(rounds(whole)) == flat(rounds(parts))


def test_an_unknown_code_is_parked_and_booked_with_its_own_time_when_somebody_names_it(tmp_path):
    counter = Counter(tmp_path)
    answers = counter.scan(UNKNOWN, "SK/QTY/3", UNKNOWN)
    ((parked_us,),) = counter.rows("SELECT DISTINCT wall_us FROM parked")

    assert [one.code for one in answers] == ["unknown", "mode", "unknown"]
    assert counter.rows("SELECT count(*) FROM movement") == [(0,)]
    named = counter.say("name_code", code=UNKNOWN.zfill(14), name="Honey", sku="honey")
    assert (named.code, named.text) == ("ok", f"{UNKNOWN.zfill(14)} has a name; 2 parked scans booked")
    assert counter.rows("SELECT kind, sku, qty, device, occurred_us FROM movement ORDER BY seq") == [
        ("sale", "honey", 1, "counter", parked_us),
        ("sale", "honey", 3, "counter", parked_us),
    ]
    assert counter.rows("SELECT DISTINCT state FROM parked") == [("booked",)]
    counter.close()


def test_a_parked_scan_is_booked_in_the_mode_it_was_made_in_not_in_today_s(tmp_path):
    counter = Counter(tmp_path)
    counter.scan("SK/WASTE/damaged", UNKNOWN, "SK/MOVE", "SK/LOC/back", "SK/LOC/front", UNKNOWN, "SK/SELL")

    counter.say("name_code", code=UNKNOWN.zfill(14), name="Honey", sku="honey")

    assert counter.rows("SELECT kind, src, dst, reason FROM movement ORDER BY seq") == [
        ("waste", "shop", "SCRAP", "damaged"),
        ("transfer", "back", "front", None),
    ]
    assert counter.rows("SELECT mode, loc FROM station") == [("sell", "shop")]
    counter.close()


def test_naming_twice_books_once(tmp_path):
    counter = Counter(tmp_path)
    counter.scan(UNKNOWN)

    for _ in range(2):
        counter.say("name_code", code=UNKNOWN.zfill(14), name="Honey", sku="honey")

    assert counter.rows("SELECT count(*) FROM movement") == [(1,)]
    counter.close()


def test_a_trigger_that_bounces_is_one_sale_and_both_hear_a_good_beep(tmp_path):
    counter = Counter(tmp_path, Device("counter", "serial_scanner", "sell", "shop", bounce_ms=120))
    (code,) = counter.add_items(1)

    answers = counter.scan(code, code)

    assert [one.code for one in answers] == ["negative", "ok"]
    assert counter.rows("SELECT count(*) FROM movement") == [(1,)]
    counter.close()


def test_a_mode_survives_a_restart_and_a_bad_read_books_nothing(tmp_path):
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)
    counter.scan("SK/RECEIVE")
    counter.close()

    counter = Counter(tmp_path)
    (bad,) = outcomes(counter.tell(delivery("counter", "b2", 1, Garbled("noise"))))
    (good,) = counter.scan(code, boot="b2", first_seq=2)

    assert (bad.code, good.text) == ("garbled", "Item 1: 1 left")
    assert counter.rows("SELECT kind FROM movement") == [("receipt",)]
    counter.close()
