"""Ledgers for the feed's tests, written by the real writer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gateway.ledger.writer import AlertRaised, Writer
from gateway.stock.movements import Draft

SKUS = ("05000000000012", "05000000000029", "tea-loose")


@contextlib.contextmanager
def written(folder: Path) -> Iterator[Writer]:
    writer = Writer(folder, ballast_mb=0)
    try:
        yield writer
    finally:
        writer.close()


def book(writer: Writer, *drafts: Draft) -> None:
    batch = writer.batch()
    for draft in drafts:
        seq = batch.last_seq + 1
        batch.book(draft, "counter", f"counter/0123456789ab/{seq}/0")
    writer.commit(batch)


def sell(writer: Writer, count: int) -> None:
    """`count` sales, round the items, in batches as the counter makes them."""
    for begin in range(0, count, 256):
        book(writer, *(sale(SKUS[at % len(SKUS)]) for at in range(begin, min(begin + 256, count))))


def sale(sku: str = SKUS[0], quantity: int = 1) -> Draft:
    return Draft(kind="sale", sku=sku, quantity=quantity, source="counter", destination="CUSTOMER")


def alert(writer: Writer, subject: str) -> None:
    batch = writer.batch()
    batch.alerts.append(AlertRaised("low", subject, "warning", f"{subject}: 2 left"))
    writer.commit(batch)


def name_items(writer: Writer) -> None:
    with writer.connection:
        writer.connection.executemany(
            "INSERT INTO item (sku, name, unit, changed_us) VALUES (?, ?, ?, 0)",
            [
                (SKUS[0], "Oat drink", "piece"),
                (SKUS[1], "Rye bread", "piece"),
                (SKUS[2], "Tea <loose>", "gram"),
            ],
        )
