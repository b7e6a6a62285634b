"""The ledger's answers for pages and commands, on a shop whose numbers can be counted by hand."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.bus import Event
from gateway.ledger import queries
from gateway.ledger.writer import Writer
from gateway.stock.movements import Draft, reversal
from gateway.web.counter import view

Command = Callable[..., subprocess.CompletedProcess[str]]
MINUTE_US = 60_000_000
NOW_US = time.time_ns() // 1000
ITEM = """INSERT INTO item (sku, name, unit, price_minor, place, low_units, stocked, changed_us)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0)"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """Milk: 10 received, 3 sold, one of those taken back. Eggs: sold before they were received."""
    writer = Writer(tmp_path, ballast_mb=0)
    batch = writer.batch()
    batch.statements += [
        (ITEM, ("milk", "Milk 1 L", "piece", 149, "Fridge", 8, 1)),
        (ITEM, ("eggs", "Eggs 100%_ fresh", "piece", None, "A1", None, 1)),
        (ITEM, ("bag", "Paper bag", "piece", 20, "", None, 0)),
        ("INSERT INTO code VALUES ('04000417025005', 'milk', 1)", ()),
        ("INSERT INTO code VALUES ('14000417025002', 'milk', 12)", ()),
    ]
    writer.commit(batch)
    sale = Draft("sale", "milk", 1, "shop", "CUSTOMER", lot="L1", value_minor=149)
    delivery = Draft("receipt", "milk", 10, "SUPPLIER", "shop", lot="L1", expires_on="2026-12-01")
    book(writer, 60, delivery, "till/b/1")
    seqs = [book(writer, 10 - number, sale, f"till/b/{2 + number}") for number in range(3)]
    book(writer, 1, reversal(sale, seqs[-1], occurred_us=None, origin="scan"), "till/b/9")
    book(writer, 5, Draft("sale", "eggs", 2, "shop", "CUSTOMER"), "till/b/10")
    yield writer
    writer.close()


def book(writer: Writer, minutes_ago: int, draft: Draft, reading: str) -> int:
    batch = writer.batch()
    batch.stamp = replace(batch.stamp, wall_us=NOW_US - minutes_ago * MINUTE_US)
    seq = batch.book(draft, "till", f"{reading}/0")
    writer.commit(batch)
    return seq


@pytest.fixture
def ledger(writer: Writer) -> Iterator[sqlite3.Connection]:
    reader = queries.connect(writer.path)
    yield reader
    reader.close()


def test_a_number_on_hand_is_explained_by_its_movements_and_what_was_left_after_each(
    ledger: sqlite3.Connection,
) -> None:
    steps = queries.why(ledger, "milk")

    assert [(step.movement.kind, step.movement.delta, step.left) for step in steps] == [
        ("sale", 1, 8),  # taken back
        ("sale", -1, 7),
        ("sale", -1, 8),
        ("sale", -1, 9),
        ("receipt", 10, 10),
    ]


def test_the_next_page_of_reasons_goes_on_with_the_number_of_the_first(ledger: sqlite3.Connection) -> None:
    older = queries.why(ledger, "milk", before_seq=3)

    assert [(step.movement.seq, step.left) for step in older] == [(2, 9), (1, 10)]


def test_an_item_is_found_by_its_key_and_by_any_code_printed_on_it(ledger: sqlite3.Connection) -> None:
    found = [queries.sku_of(ledger, code) for code in ("milk", "4000417025005", "14000417025002", "4000417")]

    assert found == ["milk", "milk", "milk", None]


def test_a_percent_sign_in_a_search_is_a_percent_sign(ledger: sqlite3.Connection) -> None:
    assert [one.sku for one in queries.items(ledger, "100%_")] == ["eggs"]
    assert queries.items(ledger, "%ilk") == []


def test_what_is_below_zero_or_at_its_limit_is_short_and_a_bag_never_is(ledger: sqlite3.Connection) -> None:
    assert [one.sku for one in queries.items(ledger, short=True)] == ["eggs", "milk"]
    assert [(one.sku, one.on_hand) for one in queries.negative(ledger)] == [("eggs", -2)]
    assert queries.shelf(ledger) == queries.Shelf(kept=2, here=1, short=2)


def test_a_sale_that_was_taken_back_is_neither_a_sale_nor_takings(ledger: sqlite3.Connection) -> None:
    parts = queries.sold(ledger, NOW_US - 3600 * 1_000_000, "milk")

    assert (sum(p.units for p in parts), sum(p.sales for p in parts), sum(p.value_minor for p in parts)) == (
        2,
        2,
        298,
    )


def test_what_the_back_office_has_not_confirmed_waits_with_the_age_of_its_oldest(
    writer: Writer, ledger: sqlite3.Connection
) -> None:
    batch = writer.batch()
    batch.cursors["L"] = (1, 4)
    writer.commit(batch)

    waiting = queries.waiting(ledger)

    assert (waiting.count, waiting.oldest_us) == (2, NOW_US - MINUTE_US)


def test_the_page_of_questions_cannot_write(ledger: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        ledger.execute("DELETE FROM parked")


def test_the_counter_list_strikes_out_what_was_taken_back_and_adds_up_what_was_scanned_twice(
    ledger: sqlite3.Connection,
) -> None:
    shown = view(ledger, [], "till", ("sell", "shop"), NOW_US, "2026-12-31")

    lines = [(one.name, one.times, one.change, one.left, one.undone) for one in shown.lines]
    assert lines == [
        ("Eggs 100%_ fresh", 1, -2, -2, False),
        ("Milk 1 L", 1, -1, 7, True),
        ("Milk 1 L", 1, -1, 8, False),
        ("Milk 1 L", 1, -1, 9, False),
        ("Milk 1 L", 1, 10, 10, False),
    ]


def test_the_card_says_what_was_heard_last_and_which_lot_goes_first(ledger: sqlite3.Connection) -> None:
    heard = [Event("till", "low", "", "4000417025005", NOW_US, 5, "milk", -1, 8, "sell")]

    card = view(ledger, heard, "till", ("sell", "shop"), NOW_US, "2026-12-31").card

    assert (card.code, card.name, card.left, card.expires_on, card.printed) == (
        "low",
        "Milk 1 L",
        8,
        "2026-12-01",
        "4000417025005",
    )


def test_what_another_scanner_did_is_not_on_this_ones_card(ledger: sqlite3.Connection) -> None:
    heard = [Event("stockroom", "ok", "", "4000417025005", NOW_US, 5, "milk", 12, 20, "receive")]

    card = view(ledger, heard, "till", ("sell", "shop"), NOW_US, "2026-12-31").card

    assert card.name == "Eggs 100%_ fresh"


@pytest.fixture
def command(writer: Writer, tmp_path: Path) -> Command:
    (tmp_path / "config.toml").write_text('[shop]\ntimezone = "Europe/Berlin"\n')

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "gateway", *words, "-c", str(tmp_path / "config.toml")]
        return subprocess.run(line, capture_output=True, text=True, timeout=120)

    return run


def test_stock_show_gives_programs_every_item_with_its_codes_and_lots(command: Command) -> None:
    shown = {one["sku"]: one for one in json.loads(command("stock", "show", "--json").stdout)}

    assert (shown["milk"]["on_hand"], shown["eggs"]["on_hand"], shown["bag"]["on_hand"]) == (8, -2, 0)
    assert shown["milk"]["codes"] == [["04000417025005", 1], ["14000417025002", 12]]
    assert shown["milk"]["levels"] == [
        {"location": "shop", "lot": "L1", "expiry": "2026-12-01", "quantity": 8}
    ]


def test_stock_why_explains_by_any_code_and_fails_for_one_that_nobody_knows(command: Command) -> None:
    known, unknown = command("stock", "why", "4000417025005", "--json"), command("stock", "why", "nope")

    assert [one["left"] for one in json.loads(known.stdout)["movements"]] == [8, 7, 8, 9, 10]
    assert (unknown.returncode, "no item has the code 'nope'" in unknown.stderr) == (1, True)


def test_the_journal_is_narrowed_by_item_and_kind(command: Command) -> None:
    rows = json.loads(command("journal", "--item", "milk", "--kind", "sale", "--limit", "2", "--json").stdout)

    assert [(row["seq"], row["reverses"], row["reversed_by"]) for row in rows] == [(5, 4, None), (4, None, 5)]


def test_a_command_without_a_ledger_says_what_makes_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    line = [sys.executable, "-m", "gateway", "stock", "show", "-c", str(tmp_path / "config.toml")]

    told = subprocess.run(line, capture_output=True, text=True, timeout=120)

    assert told.returncode == 6
    assert "storekeeper run" in told.stderr
