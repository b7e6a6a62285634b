"""The feed's questions to the ledger, read-only: what has not been acknowledged yet, what is asked for again,
what the stock is as of now.

The movement table is the queue of the ledger lane: what lies above the acknowledged cursor waits to be sent.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

COLUMNS = """seq, epoch, id, idem, kind, sku, qty, src, dst, lot, expiry, serial,
    reason, doc, reverses, actor, occurred_us, occurred_q, wall_us, clock_q, value_minor,
    basket, line, origin, qty_src, prev_hash, hash"""
NEXT = f"SELECT {COLUMNS} FROM movement WHERE seq > ? ORDER BY seq LIMIT ?"


class MovementRow(NamedTuple):
    """One movement as the ledger holds it."""

    seq: int
    epoch: int
    id: bytes
    idem: str
    kind: str
    sku: str
    qty: int  # in the item's base unit
    src: str
    dst: str
    lot: str
    expiry: str | None
    serial: str | None
    reason: str | None
    doc: str | None
    reverses: int | None
    actor: str | None
    occurred_us: int | None
    occurred_q: str | None
    wall_us: int
    clock_q: str
    value_minor: int | None
    basket: str | None
    line: int | None
    origin: str
    qty_src: str
    prev_hash: bytes
    hash: bytes


class OutboxRow(NamedTuple):
    """An alert, digest or reply that waits. `prev`: seq of the waiting row before it, 0 when none waits."""

    seq: int
    prev: int
    id: str
    type: str
    body: str  # JSON
    created_us: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """One unbroken life of a ledger. A restored ledger begins a new one at its parent's seq + 1."""

    id: int
    reason: str
    parent_epoch: int | None
    parent_seq: int


@dataclass(frozen=True, slots=True)
class LocationDigest:
    """What one location holds, as one hash that both ends can compute."""

    loc: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LaneState:
    """How far one lane is: `last_seq` committed here, `acked_seq` confirmed by the back office."""

    lane: str
    last_seq: int
    acked_seq: int
    waiting: int
    oldest_waiting_us: int | None  # wall clock of the oldest row that waits


def current_epoch(ledger: sqlite3.Connection) -> Epoch:
    row = ledger.execute("SELECT id, reason, parent_epoch, parent_seq FROM epoch ORDER BY id DESC").fetchone()
    return Epoch(*row) if row else Epoch(1, "first-start", None, 0)


def last_seq(ledger: sqlite3.Connection) -> int:
    """The newest committed movement, 0 in an empty ledger."""
    newest: int | None = ledger.execute("SELECT max(seq) FROM movement").fetchone()[0]
    return newest or 0


def acknowledged_seq(ledger: sqlite3.Connection, lane: str) -> int:
    """How far the back office has confirmed `lane`, as the ledger remembers it."""
    row = ledger.execute("SELECT seq FROM cursor WHERE name = ?", (lane,)).fetchone()
    return row[0] if row else 0


def next_movements(ledger: sqlite3.Connection, after_seq: int, limit: int) -> list[MovementRow]:
    """The movements after `after_seq`, oldest first."""
    return list(map(MovementRow._make, ledger.execute(NEXT, (after_seq, limit))))


def movements(ledger: sqlite3.Connection, seqs: Iterable[int]) -> dict[int, MovementRow]:
    """These movements by seq: the originals that reversals name."""
    rows = ledger.execute(
        f"SELECT {COLUMNS} FROM movement WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(list(seqs)),),
    )
    return {row[0]: MovementRow._make(row) for row in rows}


def unit_of(ledger: sqlite3.Connection, sku: str) -> str:
    """piece, gram or millilitre; what is not in the item master is counted in pieces."""
    row = ledger.execute("SELECT unit FROM item WHERE sku = ?", (sku,)).fetchone()
    return row[0] if row else "piece"


def names(ledger: sqlite3.Connection, skus: Iterable[str]) -> dict[str, str]:
    """What these items are called; those without a name are left out."""
    return dict(
        ledger.execute(
            "SELECT sku, name FROM item WHERE name <> '' AND sku IN (SELECT value FROM json_each(?))",
            (json.dumps(list(skus)),),
        ).fetchall()
    )


def hash_at(ledger: sqlite3.Connection, seq: int) -> bytes | None:
    """The chain's hash at `seq`; None when there is no such movement."""
    row = ledger.execute("SELECT hash FROM movement WHERE seq = ?", (seq,)).fetchone()
    return row[0] if row else None


def waiting_outbox(ledger: sqlite3.Connection, lane: str, after_seq: int, limit: int) -> list[OutboxRow]:
    """The rows of an outbox lane after `after_seq`, oldest first."""
    rows = ledger.execute(
        """SELECT seq, coalesce((SELECT max(b.seq) FROM outbox b WHERE b.lane = a.lane AND b.seq < a.seq), 0),
                  id, type, body, created_us
           FROM outbox a WHERE lane = ? AND seq > ? ORDER BY seq LIMIT ?""",
        (lane, after_seq, limit),
    )
    return list(map(OutboxRow._make, rows))


def newest_outbox(ledger: sqlite3.Connection) -> dict[str, int]:
    """The newest seq that waits in each outbox lane."""
    return dict(ledger.execute("SELECT lane, max(seq) FROM outbox GROUP BY lane").fetchall())


def highest_commands(ledger: sqlite3.Connection) -> dict[str, int]:
    """The number of the newest command that was carried out, by issuer."""
    return dict(ledger.execute("SELECT issuer, max(cmd_seq) FROM command_seen GROUP BY issuer").fetchall())


def command_result(ledger: sqlite3.Connection, command_id: str) -> dict[str, str]:
    """What became of this command: {id: result}, empty when it was not carried out."""
    return dict(
        ledger.execute("SELECT cmd_id, result FROM command_seen WHERE cmd_id = ?", (command_id,)).fetchall()
    )


def digests(ledger: sqlite3.Connection) -> tuple[int, int, list[LocationDigest]]:
    """(epoch, seq, digest of every location that holds something), all of one moment."""
    ledger.execute("BEGIN")
    try:
        epoch, seq = current_epoch(ledger).id, last_seq(ledger)
        rows = ledger.execute("SELECT loc, sku, lot, qty FROM balance WHERE qty <> 0 ORDER BY sku, loc, lot")
        return epoch, seq, digest_of(rows)
    finally:
        ledger.execute("COMMIT")


def digest_of(rows: Iterable[tuple[str, str, str, int]]) -> list[LocationDigest]:
    """Balances (loc, sku, lot, qty), within a location by sku and lot, to its digest: SHA-256 over the JSON
    array of [sku, lot, qty]. Row by row, for a shop may hold more than we want in memory."""
    hashes: dict[str, tuple[int, Any]] = {}
    for loc, *held in rows:
        count, hashing = hashes.get(loc) or (0, sha256(b"["))
        row = json.dumps(held, separators=(",", ":"), ensure_ascii=False)
        hashing.update((f",{row}" if count else row).encode())
        hashes[loc] = (count + 1, hashing)
    for _, hashing in hashes.values():
        hashing.update(b"]")
    return [
        LocationDigest(loc, count, hashing.hexdigest()) for loc, (count, hashing) in sorted(hashes.items())
    ]


def location_rows(ledger: sqlite3.Connection, loc: str) -> list[tuple[str, str, int]]:
    """What one location holds, sorted: (sku, lot, qty)."""
    return ledger.execute(
        "SELECT sku, lot, qty FROM balance WHERE loc = ? AND qty <> 0 ORDER BY sku, lot", (loc,)
    ).fetchall()


def lane_states(ledger: sqlite3.Connection) -> list[LaneState]:
    """Every lane, for `sync status`."""
    last, acked = last_seq(ledger), acknowledged_seq(ledger, "L")
    oldest = ledger.execute(
        "SELECT wall_us FROM movement WHERE seq > ? ORDER BY seq LIMIT 1", (acked,)
    ).fetchone()
    states = [LaneState("L", last, acked, max(0, last - acked), oldest[0] if oldest else None)]
    for lane in ("A", "D", "R"):
        newest, waiting, since_us = ledger.execute(
            "SELECT max(seq), count(*), min(created_us) FROM outbox WHERE lane = ?", (lane,)
        ).fetchone()
        confirmed = acknowledged_seq(ledger, lane)
        states.append(LaneState(lane, max(newest or 0, confirmed), confirmed, waiting, since_us))
    return states
