"""A scale under a shelf beside the ledger: what left unscanned is named, and nothing is booked."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.care import heed
from gateway.config import Device
from gateway.ledger import queries
from gateway.ledger.writer import Writer
from gateway.shelf_evidence import ShelfEvidence, evidence
from gateway.shelf_notices import of_shelf
from gateway.stock.movements import Draft
from gateway.watch import Notice

SCHEMA = Path(__file__).parents[2] / "gateway" / "ledger" / "schema" / "telemetry.sql"
HOUR_US, MINUTE_US, SECOND_US = 3_600_000_000, 60_000_000, 1_000_000
NOON_US = 1_790_000_000_000_000
SHELF = Device("jars", "scale_mtsics", location="shop", sku="jam", container_grams=200.0)
JAR_KG = 0.450


class Shelf:
    """Jars of 450 g in a tray of 200 g: 20 of them at noon."""

    def __init__(self, folder: Path) -> None:
        self.writer = Writer(folder, ballast_mb=0)
        batch = self.writer.batch()
        batch.statements.append(
            (
                "INSERT INTO item (sku, name, unit, stocked, changed_us) VALUES ('jam', 'Jam', 'piece', 1, 0)",
                (),
            )
        )
        self.writer.commit(batch)
        self.telemetry = sqlite3.connect(folder / "telemetry.db")
        self.telemetry.executescript(SCHEMA.read_text())
        self.jars = 20
        self.book(NOON_US - 5 * HOUR_US, Draft("receipt", "jam", 20, "SUPPLIER", "shop"))
        self.weigh(NOON_US)

    def weigh(self, at_us: int) -> None:
        row = ("jars", "kg", at_us, "weight", 0.2 + self.jars * JAR_KG)
        self.telemetry.execute("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", row)

    def take(self, at_us: int, jars: int) -> None:
        """Somebody takes jars off the shelf; the scale says the new weight, and again when it has settled."""
        self.jars -= jars
        self.weigh(at_us)
        self.weigh(at_us + 8 * SECOND_US)

    def book(self, at_us: int, draft: Draft) -> None:
        batch = self.writer.batch()
        batch.stamp = replace(batch.stamp, wall_us=at_us)
        batch.book(draft, "till", f"till/b/{at_us}/0")
        self.writer.commit(batch)

    def sell(self, at_us: int, jars: int) -> None:
        self.take(at_us, jars)
        self.book(at_us + MINUTE_US, Draft("sale", "jam", jars, "shop", "CUSTOMER"))

    def looked_at(self, at_us: int) -> ShelfEvidence:
        with closing(queries.connect(self.writer.path)) as ledger:
            return evidence(ledger, self.telemetry, SHELF, at_us)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    for hour in (1, 2, 3):
        shelf.sell(NOON_US + hour * HOUR_US, 2)
    yield shelf
    shelf.telemetry.close()
    shelf.writer.close()


def test_the_shelf_agrees_with_the_ledger_when_all_was_scanned(shelf: Shelf) -> None:
    found = shelf.looked_at(NOON_US + 4 * HOUR_US)

    assert found.by_weight is not None
    assert (found.by_weight.units, found.by_ledger_units, found.removals) == (14, 14, ())
    assert round(found.unit.grams) == 450


def test_a_jar_that_nobody_scanned_is_named_and_not_booked(shelf: Shelf) -> None:
    shelf.take(NOON_US + 4 * HOUR_US, 1)

    found = shelf.looked_at(NOON_US + 5 * HOUR_US)

    assert found.by_weight is not None
    assert (found.by_weight.units, found.by_ledger_units) == (13, 14)
    (removal,) = found.removals
    assert (removal.units, removal.at_s) == (1, (NOON_US + 4 * HOUR_US) / 1e6)
    assert removal.reason.startswith(
        "the shelf became 450 g lighter, 1 piece of 450 g, and nothing was scanned"
    )


def test_a_customer_who_is_still_in_the_shop_is_no_thief(shelf: Shelf) -> None:
    shelf.take(NOON_US + 4 * HOUR_US, 1)

    assert shelf.looked_at(NOON_US + 4 * HOUR_US + 5 * MINUTE_US).removals == ()


def test_a_shelf_whose_item_never_moved_is_not_counted(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    assert shelf.looked_at(NOON_US + HOUR_US).by_weight is None
    shelf.telemetry.close()
    shelf.writer.close()


def raised(shelf: Shelf, at_us: int) -> list[Notice]:
    """What the watch says at that time, and the alert that becomes of it."""
    with closing(queries.connect(shelf.writer.path)) as ledger:
        said = queries.alerts(ledger, ("open", "ack", "closed"))
    notices = of_shelf(shelf.looked_at(at_us), said)
    batch = shelf.writer.batch()
    for one in notices:
        body = {"kind": one.kind, "subject": one.subject, "severity": one.severity, "text": one.text}
        heed("notice", {**body, "data": one.data, "over": not one.text}, batch)
    shelf.writer.commit(batch)
    return notices


def alerts(shelf: Shelf, *states: str) -> list[queries.Alert]:
    with closing(queries.connect(shelf.writer.path)) as ledger:
        return queries.alerts(ledger, states or ("open",))


def test_a_removal_becomes_one_alert_with_its_evidence_and_the_ledger_stays_as_it_is(shelf: Shelf) -> None:
    shelf.take(NOON_US + 4 * HOUR_US, 1)
    raised(shelf, NOON_US + 5 * HOUR_US)
    again = raised(shelf, NOON_US + 6 * HOUR_US)
    (alert,) = alerts(shelf)

    assert again == []
    assert (alert.kind, alert.subject, alert.count) == ("unscanned_removal", "jam@shop", 1)
    assert (alert.data["units"], alert.data["by_weight_units"], alert.data["by_ledger_units"]) == (1, 13, 14)
    assert round(alert.data["grams"]) == -450
    assert shelf.looked_at(NOON_US + 6 * HOUR_US).by_ledger_units == 14


def test_a_second_removal_is_the_same_alert_once_more(shelf: Shelf) -> None:
    shelf.take(NOON_US + 4 * HOUR_US, 1)
    raised(shelf, NOON_US + 5 * HOUR_US)
    shelf.take(NOON_US + 6 * HOUR_US, 2)
    raised(shelf, NOON_US + 7 * HOUR_US)
    (alert,) = alerts(shelf)

    assert (alert.count, alert.data["units"]) == (2, 2)


def test_once_somebody_counted_the_shelf_the_alert_is_over_and_stays_over(shelf: Shelf) -> None:
    shelf.take(NOON_US + 4 * HOUR_US, 1)
    raised(shelf, NOON_US + 5 * HOUR_US)
    shelf.book(NOON_US + 6 * HOUR_US, Draft("count_correction", "jam", 1, "shop", "ADJUST"))
    raised(shelf, NOON_US + 7 * HOUR_US)
    later = raised(shelf, NOON_US + 8 * HOUR_US)

    assert alerts(shelf) == []
    assert [one.state for one in alerts(shelf, "closed")] == ["closed"]
    assert later == []
