"""What a gateway's ledger comes to on the feed, message by message, without a broker."""

import json
import sqlite3

from backoffice.consumer import Answer, Consumer
from backoffice.store_sqlite import SqliteStore
from gateway.cloud import topics
from gateway.cloud.epcis import Translator, ledger_message
from gateway.cloud.topics import Address, Digest, DigestLocation, State
from gateway.ledger import feed

SHOP = Address("acme", "corner", "gw1")
SOURCE = "acme/corner/gw1"


def ledger_messages(ledger: sqlite3.Connection, per_message: int, boot: str = "boot-a") -> list[bytes]:
    """All movements, `per_message` in each."""
    translator = Translator(SHOP, lambda sku: feed.unit_of(ledger, sku))
    messages, after = [], 0
    while rows := feed.next_movements(ledger, after, per_message):
        originals = feed.movements(ledger, [row.reverses for row in rows if row.reverses])
        called = feed.names(ledger, {row.sku for row in rows})
        names = {translator.product(sku, ""): name for sku, name in called.items()}
        messages.append(ledger_message(translator, SHOP, rows, originals, names, boot))
        after = rows[-1].seq
    return messages


def digest_message(ledger: sqlite3.Connection, loc: str = "") -> bytes:
    epoch, seq, found = feed.digests(ledger)
    locations = [
        DigestLocation(
            one.loc, one.rows, one.sha256, feed.location_rows(ledger, loc) if one.loc == loc else None
        )
        for one in found
    ]
    data = topics.encode(Digest(epoch, seq, locations))
    return sealed("D", seq, topics.DIGEST_TYPE, data)


def alert_message(seq: int, prev: int, subject: str, *, is_now: str = "raised") -> bytes:
    body = {
        "kind": "low",
        "subject": subject,
        "severity": "warning",
        "text": f"{subject}: 2 left",
        "first_us": 1,
    }
    return sealed("A", seq, f"storekeeper.alert.{is_now}.v1", json.dumps(body).encode(), prev)


def sealed(lane: str, seq: int, kind: str, data: bytes, prev: int | None = None) -> bytes:
    return topics.sealed(
        SHOP, id=f"{lane}{seq}", type=kind, at_us=0, lane=lane, epoch=1, seq=seq, data=data, prev=prev
    )


def birth(newest: int, acked: int = 0, boot: str = "boot-a") -> bytes:
    state = State(
        online=True, epoch=1, boot_id=boot, sw="0.1", schema=1, seq={"L": newest}, acked={"L": acked}
    )
    return topics.encode(state)


def hear(consumer: Consumer, leaf: str, *payloads: bytes, retained: bool = False) -> list[Answer]:
    for payload in payloads:
        consumer.take(SHOP.topic(leaf), payload, retained=retained)
    return consumer.settle()


def said(answers: list[Answer], leaf: str) -> list[dict]:
    return [json.loads(one.payload) for one in answers if one.topic == SHOP.topic(leaf)]


def books(store: SqliteStore) -> list[tuple[str, str, str, int]]:
    """(location, sku, lot, quantity), sorted."""
    return sorted(store.held(SOURCE, 2**62))


def balances(ledger: sqlite3.Connection) -> list[tuple[str, str, str, int]]:
    return sorted(ledger.execute("SELECT loc, sku, lot, qty FROM balance WHERE qty <> 0").fetchall())
