"""What the ledger never does, whoever asks: rows change, numbers repeat, answers differ, clocks decide."""

import contextlib
import sqlite3
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bus import Hello
from drivers.contract import Document, Outcome, Scan
from gateway.clock import BUILD_US, Clock
from gateway.errors import LedgerUnusable
from gateway.ledger.audit import audit
from gateway.ledger.chain import COLUMNS, FIRST_HASH
from gateway.ledger.writer import AlertClosed, AlertRaised, NotRecording, Writer
from gateway.stock.movements import Draft, reversal
from tests.ledger.counter import Counter, as_after_a_kill, delivery, outcomes
from tests.strategies import drafts

SALE = Draft("sale", "milk", 2, "shop", "CUSTOMER", lot="L1", expires_on="2026-12-01")


@pytest.fixture
def writer(tmp_path):
    writer = Writer(tmp_path, ballast_mb=0)
    yield writer
    writer.close()


@pytest.fixture
def counter(tmp_path):
    counter = Counter(tmp_path / "shop")
    yield counter
    counter.close()


def book(writer: Writer, *booked: Draft, idem: str = "scanner/b1/1") -> int:
    """All of them as one reading; the last seq."""
    batch = writer.batch()
    for part, draft in enumerate(booked):
        batch.book(draft, "scanner", f"{idem}/{part}")
    writer.commit(batch)
    return writer.last_seq


# I1: a row is never changed


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE movement SET qty = 3",
        "UPDATE movement SET hash = zeroblob(32)",
        "DELETE FROM movement",
        "INSERT OR REPLACE INTO movement SELECT * FROM movement",
        f"INSERT OR REPLACE INTO movement SELECT 2, {', '.join(COLUMNS[1:])}, prev_hash, hash FROM movement",
    ],
)
def test_a_movement_cannot_be_changed_or_deleted_even_by_hand(writer, statement):
    book(writer, SALE)

    with pytest.raises(sqlite3.DatabaseError):
        writer.connection.execute(statement)

    assert writer.connection.execute("SELECT count(*), sum(qty) FROM movement").fetchone() == (1, 2)


def test_a_movement_is_reversed_once_and_a_reversal_never(writer):
    book(writer, SALE)
    book(writer, reversal(SALE, 1, occurred_us=None, origin="scan"), idem="scanner/b1/2")

    for of in (1, 2):
        with pytest.raises(sqlite3.IntegrityError):
            book(writer, reversal(SALE, of, occurred_us=None, origin="scan"), idem=f"scanner/b1/{of + 2}")
    assert writer.connection.execute("SELECT sum(qty) FROM balance WHERE loc = 'shop'").fetchone() == (0,)


# I2, I3, I4: numbers without gaps, balances that are the sum of the movements


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(drafts(), max_size=6), max_size=6))
def test_balances_are_the_sum_of_the_movements_however_they_were_grouped(tmp_path_factory, groups):
    writer = Writer(tmp_path_factory.mktemp("ledger"), ballast_mb=0)
    for number, group in enumerate(groups, 1):
        book(writer, *group, idem=f"scanner/b1/{number}")

    found = audit(writer.connection)
    writer.close()

    assert found.findings == ()
    assert found.last_seq == found.movements == sum(map(len, groups))


def test_a_failed_commit_leaves_no_gap(writer):
    book(writer, SALE)
    with pytest.raises(sqlite3.IntegrityError):
        book(writer, SALE, SALE, idem="scanner/b1/1")

    book(writer, SALE, idem="scanner/b1/2")

    assert writer.connection.execute("SELECT group_concat(seq) FROM movement").fetchone() == ("1,2",)
    assert audit(writer.connection).findings == ()


def test_a_batch_that_was_overtaken_is_refused(writer):
    """Two batches from the same end of the ledger: the second would take the first one's numbers."""
    overtaken = writer.batch()
    overtaken.book(SALE, "scanner", "scanner/b1/9/0")
    book(writer, SALE)

    with pytest.raises(NotRecording):
        writer.commit(overtaken)


def test_quantities_are_positive_whole_numbers(writer):
    for quantity in (0, -1, 1.5):
        with pytest.raises(sqlite3.IntegrityError):
            book(writer, Draft("sale", "milk", quantity, "shop", "CUSTOMER"))


# I6: the same reading twice


def test_the_same_reading_twice_is_one_movement_and_the_same_answer(counter):
    (code,) = counter.add_items(1)
    first = counter.scan(code, first_seq=1)

    again = counter.scan(code, first_seq=1)

    assert first == again == [Outcome("negative", "Item 1: -1, please count shelf (no place)", code)]
    assert counter.rows("SELECT count(*) FROM movement") == [(1,)]


def test_the_same_answer_is_given_after_a_crash_too(tmp_path):
    before = Counter(tmp_path / "before")
    (code,) = before.add_items(1)
    first = before.scan(code)
    after = Counter(as_after_a_kill(tmp_path / "before", tmp_path / "after"))

    assert after.scan(code) == first
    assert after.rows("SELECT count(*) FROM movement") == [(1,)]
    before.close()
    after.close()


def test_the_same_number_on_another_code_is_refused_and_says_why(counter):
    one, two = counter.add_items(2)
    counter.scan(one, first_seq=1)

    (refused,) = counter.scan(two, first_seq=1)

    assert refused == Outcome("refused", f"reading 1 was {one!r} before: the driver counts wrong")
    assert counter.rows("SELECT sku FROM movement") == [("S1",)]


def test_a_number_used_again_after_its_answer_was_voiced_books_nothing_and_stops_nothing(counter):
    """A foreign driver that counts wrong: its neighbours must not notice."""
    one, two = counter.add_items(2)
    counter.tell(delivery("counter", "b1", 1, Scan(one)))
    counter.tell(delivery("counter", "b1", 2, Scan(one), acked_through=1))  # the first answer is forgotten

    (again,) = outcomes(counter.tell(delivery("counter", "b1", 1, Scan(two), acked_through=1)))

    assert again == Outcome("refused", "reading 1 was booked and voiced before: the driver counts wrong")
    assert counter.rows("SELECT sku FROM movement") == [("S1",), ("S1",)]
    assert counter.scan(two, boot="b2")[0].code == "negative"
    assert audit(counter.writer.connection).findings == ()


def test_after_a_slow_flush_a_reading_and_its_resend_arrive_together_and_count_once(counter):
    (code,) = counter.add_items(1)
    sent = delivery("counter", "b1", 1, Scan(code), Scan(code))
    with_one_more = delivery("counter", "b1", 1, Scan(code), Scan(code), Scan(code))

    answers = outcomes(counter.tell(sent, sent, with_one_more))

    assert [one.text.split(",")[0] for one in answers] == [
        *("Item 1: -1", "Item 1: -2"),
        *("Item 1: -1", "Item 1: -2"),
        *("Item 1: -1", "Item 1: -2", "Item 1: -3"),
    ]
    assert counter.rows("SELECT count(*) FROM movement") == [(3,)]
    (late,) = counter.tell(Hello("counter", "b2", [("b1", 1)]))
    assert [one.text.split(": ", 1)[1][:10] for one in late.outcomes] == ["Item 1: -2", "Item 1: -3"]


@pytest.mark.parametrize(
    "document",
    [
        Document("alert", "x1", {"id": 10**30, "do": "ack"}),
        Document("alert", "x2", {"id": "first", "do": "ack"}),
        Document("items", "x3", {"rows": [{"sku": "S9", "name": "Nine", "unit": "barrel"}]}),
        Document("name_code", "x4", {"code": "4006381333931", "sku": "nobody"}),
        Document("undo", "x5", {"seq": 77}),
        Document("scan", "x6", {"code": "4006381333931", "mode": "borrow"}),
        Document("dance", "x7", {}),
    ],
    ids=lambda document: document.external_id,
)
def test_a_document_that_makes_no_sense_is_refused_and_stops_nothing(counter, document):
    (code,) = counter.add_items(1)

    (answer,) = outcomes(counter.tell(delivery("web", "w2", 1, document)))

    assert answer.code == "refused"
    assert counter.scan(code)[0].code == "negative"


# I8: below zero


def test_a_shelf_below_zero_is_one_notice_until_it_is_back(counter):
    (code,) = counter.add_items(1)
    counter.scan(code, code, code)

    def notices():
        return counter.rows("SELECT subject, count, state FROM alert")

    assert notices() == [("S1@shop", 1, "open")]
    counter.scan("SK/UNDO", "SK/UNDO", "SK/UNDO", first_seq=4)
    assert notices() == [("S1@shop", 1, "closed")]


def test_a_notice_raised_and_closed_in_one_commit_is_as_the_last_word_says(writer):
    raised = AlertRaised("negative_stock", "S1@shop", "warning", "count it")
    closed = AlertClosed("negative_stock", "S1@shop")

    for words, state in (([raised, closed], "closed"), ([raised, closed, raised], "open")):
        batch = writer.batch()
        batch.alerts += words
        writer.commit(batch)
        newest = writer.connection.execute("SELECT state FROM alert ORDER BY id DESC LIMIT 1").fetchone()
        assert newest == (state,)


def test_the_back_office_hears_of_a_notice_once_and_once_more_when_it_is_over(counter):
    (code,) = counter.add_items(1)

    counter.scan(code, code, code, "SK/UNDO", "SK/UNDO", "SK/UNDO")

    said = counter.rows("SELECT seq, type, json_extract(body, '$.state') FROM outbox WHERE lane = 'A'")
    assert said == [
        (1, "storekeeper.alert.raised.v1", "open"),
        (2, "storekeeper.alert.closed.v1", "closed"),
    ]


def test_goods_moved_to_a_place_and_sold_there_in_one_breath_are_counted_there(counter):
    """The place was not looked at before: what this batch brought is not on disk yet."""
    (code,) = counter.add_items(1)

    answers = counter.scan("SK/MOVE", "SK/LOC/back", "SK/LOC/front", code, "SK/SELL", "SK/LOC/front", code)

    assert [one.code for one in answers[3::3]] == ["negative", "ok"]
    assert answers[-1].text == "Item 1: 0 left"


# I13: clocks


def test_clock_jumps_change_neither_order_nor_identity(writer):
    walls_us = iter([BUILD_US + 9 * 10**12, 0, BUILD_US + 10**12, BUILD_US + 9 * 10**13, 5, 6])
    writer.clock = Clock(0, 0, wall_ns=lambda: next(walls_us) * 1000)

    for number in range(6):
        book(writer, SALE, SALE, idem=f"scanner/b1/{number}")

    rows = writer.connection.execute("SELECT wall_us, hlc, id FROM movement ORDER BY seq").fetchall()
    assert [wall_us - BUILD_US for wall_us, _, _ in rows[::2]] == [9 * 10**12] * 3 + [9 * 10**13] * 3
    assert [hlc for _, hlc, _ in rows] == sorted({hlc for _, hlc, _ in rows})
    assert len({number for _, _, number in rows}) == 12


def test_a_clock_behind_the_ledger_is_not_believed_and_expires_nothing(tmp_path):
    """A Pi that woke up in 1970: no lot is called expired until somebody knows the date."""
    counter = Counter(tmp_path)
    (code,) = counter.add_items(1)
    counter.scan(code)
    counter.writer.clock = Clock(
        int(datetime(2026, 12, 24, tzinfo=UTC).timestamp()) * 10**6, 0, wall_ns=lambda: 0
    )

    lot_of_2020 = Scan(f"01{code.zfill(14)}1720010110L9", aim="]C1")
    (answer,) = outcomes(counter.tell(delivery("counter", "b1", 2, lot_of_2020)))

    assert answer.code == "negative"
    assert counter.rows("SELECT clock_q, expiry FROM movement WHERE seq = 2") == [("none", "2020-01-01")]
    counter.close()


# Starting


DAY_US = 86_400 * 10**6


def test_runs_of_pages_and_commands_are_forgotten_after_a_week(tmp_path):
    """They never say hello. What is still owed to a driver stays, however long the box was off."""
    writer = Writer(tmp_path, ballast_mb=0)
    begun_us = BUILD_US + 10**12
    for device, boot, started_day, said_day in [
        ("cli", "a", 0, None),
        ("web", "b", 1, 1),
        ("counter", "c", 0, 9),  # a driver that ran for nine days
        ("cli", "d", 3, None),
        ("counter", "e", 10, 10),
    ]:
        writer.connection.execute(
            "INSERT INTO device_boot (device, boot, high_seq, acked_through, started_us)"
            " VALUES (?, ?, 1, 0, ?)",
            (device, boot, begun_us + started_day * DAY_US),
        )
        if said_day is not None:
            row = (device, boot, 1, 1, begun_us + said_day * DAY_US, b"\x90")
            writer.connection.execute("INSERT INTO reading_seen VALUES (?, ?, ?, ?, ?, ?)", row)
    writer.close()

    writer = Writer(tmp_path, ballast_mb=0)
    runs = writer.connection.execute("SELECT boot FROM device_boot ORDER BY boot").fetchall()
    seen = writer.connection.execute("SELECT boot FROM reading_seen ORDER BY boot").fetchall()
    writer.close()

    assert runs == [("c",), ("d",), ("e",)]
    assert seen == [("c",), ("e",)]


def test_a_second_daemon_on_the_same_ledger_is_told_who_has_it(writer, tmp_path):
    import os

    with pytest.raises(LedgerUnusable) as refused:
        Writer(tmp_path, ballast_mb=0)

    assert str(refused.value) == (
        f"{tmp_path} is used by another storekeeper (pid {os.getpid()}): stop that one first  [SK-L04]"
    )
    assert refused.value.exit_status == 6


def damaged(writer: Writer, statement: str) -> None:
    """What a card that lies, or a person with a database tool, does to the file."""
    for trigger in ("movement_is_never_changed", "movement_is_never_deleted"):
        writer.connection.execute(f"DROP TRIGGER {trigger}")
    writer.connection.execute(statement)
    writer.close()


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE movement SET qty = 200 WHERE seq = 3", 3),
        ("DELETE FROM movement WHERE seq = 3", 4),
        ("UPDATE movement SET prev_hash = zeroblob(32) WHERE seq = 4", 4),
    ],
)
def test_a_damaged_chain_is_refused_at_the_start_with_the_remedy(writer, tmp_path, statement, seq):
    for number in range(5):
        book(writer, SALE, idem=f"scanner/b1/{number}")
    damaged(writer, statement)

    with pytest.raises(LedgerUnusable) as refused:
        Writer(tmp_path, ballast_mb=0)

    assert f"movement {seq} is not what was written" in str(refused.value)
    assert "storekeeper ledger verify, then put the newest copy back" in str(refused.value)


def test_a_file_that_is_no_ledger_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to look like one" * 100)

    with pytest.raises(LedgerUnusable, match=r"cannot be opened.*newest copy"):
        Writer(tmp_path, ballast_mb=0)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE balance SET qty = qty + 1 WHERE loc = 'shop'", "I3"),
        ("DELETE FROM balance WHERE loc = 'CUSTOMER'", "I4"),
        ("DROP TRIGGER movement_is_never_changed", "I1"),
    ],
)
def test_the_audit_finds_what_was_changed_by_hand(writer, statement, rule):
    book(writer, SALE)

    writer.connection.execute(statement)

    assert rule in {finding.rule for finding in audit(writer.connection).findings}


def test_the_audit_tells_a_forked_ledger_by_its_chain(writer, tmp_path):
    book(writer, SALE, SALE)
    fork = Writer(as_after_a_kill(tmp_path, tmp_path / "fork"), ballast_mb=0)

    book(writer, SALE, idem="scanner/b1/2")
    book(fork, SALE, idem="scanner/b1/2")

    with contextlib.closing(fork):
        assert audit(fork.connection).last_seq == audit(writer.connection).last_seq == 3
        assert audit(fork.connection).last_hash != audit(writer.connection).last_hash
    assert writer.connection.execute("SELECT prev_hash FROM movement WHERE seq = 1").fetchone() == (
        FIRST_HASH,
    )
