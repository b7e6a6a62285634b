"""The only writer of ledger.db. A batch of readings becomes one transaction: all of it is on disk, or none.

`Batch` collects in memory what a group of readings comes to; `Writer.commit` makes it durable. Invariants I1
to I7 of the ledger are kept here and by the triggers of the schema.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from drivers.contract import Outcome
from gateway.clock import Clock, Stamp, uuid7, uuid7s
from gateway.errors import LedgerUnusable
from gateway.interpret import Parked
from gateway.ledger.chain import BOOT_ID, COLUMNS, FIRST_HASH, FORM, ID, hash_of, row_hash
from gateway.ledger.files import Ballast, take_lock
from gateway.ledger.migrate import migrate
from gateway.stock.movements import Draft
from gateway.stock.stations import Station

AUDIT_ROWS = 1_000  # of the chain, checked at every start; the rest is `ledger verify`'s
FULL_BELOW_BYTES = 64 * 1024
RUN_KEPT_US = 7 * 86_400_000_000  # what a driver, a page or a command said earlier than that, nobody repeats
UNDO_ROWS_MAX = 200  # how far back an undo looks for this scanner's last booking

PRAGMAS: dict[str, int | str] = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: a commit that returned survives a power cut
    "foreign_keys": 1,
    "recursive_triggers": 1,  # else INSERT OR REPLACE takes rows away without asking the triggers
    "trusted_schema": 0,
    "busy_timeout": 5000,
    "cell_size_check": 1,
    "wal_autocheckpoint": 2000,  # pages: fewer, larger check points write hot index pages less often
    "mmap_size": 0,
    "temp_store": 2,  # MEMORY
}


ROWS_PER_STATEMENT = 32  # more bring nothing, and make the statement larger


class Insert:
    """One INSERT, for one row or for `ROWS_PER_STATEMENT` at once: a fifth less time than row by row."""

    def __init__(self, table: str, columns: Sequence[str], then: str = "") -> None:
        row = f"({', '.join('?' * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        self.one = f"{head}{row} {then}"
        self.many = f"{head}{', '.join([row] * ROWS_PER_STATEMENT)} {then}"

    def into(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
        """In their order. Inside a transaction: a failure may leave the first of them."""
        together = len(rows) - len(rows) % ROWS_PER_STATEMENT
        for at in range(0, together, ROWS_PER_STATEMENT):
            values = list(chain.from_iterable(rows[at : at + ROWS_PER_STATEMENT]))
            connection.execute(self.many, values)
        connection.executemany(self.one, rows[together:])


_SELDOM = ("expiry", "serial", "reason", "doc", "reverses", "actor", "basket", "line")
_USUAL = tuple(name for name in COLUMNS if name not in _SELDOM)
_seldom = itemgetter(*map(COLUMNS.index, _SELDOM))
_usual = itemgetter(*map(COLUMNS.index, _USUAL))
_NOTHING = (None,) * len(_SELDOM)
MOVEMENTS = Insert("movement", (*_USUAL, "prev_hash", "hash", *_SELDOM))
USUAL_MOVEMENTS = Insert("movement", (*_USUAL, "prev_hash", "hash"))  # binding a None is slow: eight are 3 us
BALANCES = Insert(
    "balance",
    ("sku", "loc", "lot", "qty", "last_seq"),
    "ON CONFLICT DO UPDATE SET qty = qty + excluded.qty, last_seq = excluded.last_seq",
)
UPSERT_LOT = """INSERT INTO lot (sku, lot, expiry) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET expiry = coalesce(excluded.expiry, expiry)"""
UPSERT_SERIAL = """INSERT INTO serial_state (epc, loc, last_seq) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET loc = excluded.loc, last_seq = excluded.last_seq"""
INSERT_SEEN = "INSERT OR REPLACE INTO reading_seen VALUES (?, ?, ?, ?, ?, ?)"
TRIM_SEEN = "DELETE FROM reading_seen WHERE device = ? AND boot = ? AND last_seq <= ?"
FORGET_SEEN = "DELETE FROM reading_seen WHERE wall_us < (SELECT max(wall_us) - ? FROM reading_seen)"
FORGET_BOOTS = """DELETE FROM device_boot WHERE started_us < (SELECT max(started_us) - ? FROM device_boot)
    AND NOT EXISTS (SELECT 1 FROM reading_seen AS seen
        WHERE seen.device = device_boot.device AND seen.boot = device_boot.boot)"""
UPSERT_BOOT = """INSERT INTO device_boot (device, boot, high_seq, acked_through, started_us)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET high_seq = max(high_seq, excluded.high_seq), acked_through = excluded.acked_through"""
INSERT_PARKED = """INSERT OR IGNORE INTO parked
    (device, boot, seq, code, data, aim, mode, loc, qty, argument, wall_us, clock_q)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
UPSERT_STATION = """INSERT INTO station (device, mode, loc, state, since_us) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET mode = excluded.mode, loc = excluded.loc, state = excluded.state,
    since_us = excluded.since_us"""
UPSERT_CURSOR = """INSERT INTO cursor (name, epoch, seq) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq WHERE excluded.seq > seq"""
TRIM_OUTBOX = "DELETE FROM outbox WHERE lane = ? AND seq <= ?"
RAISE_ALERT = """INSERT INTO alert (kind, subject, severity, text, data, first_us, last_us)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, subject) WHERE state <> 'closed'
    DO UPDATE SET last_us = excluded.last_us, text = excluded.text, data = excluded.data, count = count + 1
    RETURNING id, count"""
CLOSE_ALERT = """UPDATE alert SET state = 'closed', last_us = ?
    WHERE kind = ? AND subject = ? AND state <> 'closed' RETURNING id, severity, text, first_us"""
OFFER = """INSERT INTO outbox (lane, seq, id, type, body, created_us) VALUES (:lane, (
        SELECT 1 + max(coalesce((SELECT max(seq) FROM outbox WHERE lane = :lane), 0),
                       coalesce((SELECT seq FROM cursor WHERE name = :lane), 0))),
    :id, :type, :body, :created)"""

_pack = msgspec.msgpack.Encoder().encode
_unpack_outcomes = msgspec.msgpack.Decoder(list[Outcome]).decode


class NotRecording(Exception):
    """The ledger cannot commit just now. The text says why and what to do; the batch is not on disk."""


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """Something a person should know. One open alert for each (kind, subject), however often it is raised."""

    kind: str
    subject: str
    severity: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertClosed:
    """It is no longer so."""

    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was answered to readings `first_seq` to `last_seq` of one run of a driver."""

    device: str
    boot: str
    first_seq: int
    last_seq: int
    acked_through: int
    outcomes: list[Outcome]


class Batch:
    """What a group of readings comes to. Movements get seq, id and hash here; nothing is durable yet."""

    def __init__(self, stamp: Stamp, clock: Clock, epoch: int, last_seq: int, last_hash: bytes) -> None:
        self.stamp = stamp
        self.follows = last_seq, last_hash
        self.last_seq = last_seq
        self.last_hash = last_hash
        self._epoch = epoch
        self._clock = clock
        self._boot_id_hex = clock.boot_id.hex()
        self._ids = uuid7s(stamp.wall_us)
        self.rows: list[
            tuple[object, ...]
        ] = []  # as MOVEMENTS has them: the columns that are seldom used last
        self.usual = True  # no row fills one of those
        self.balances: dict[tuple[str, str, str], tuple[int, int]] = {}  # -> (change, last seq)
        self.lots: dict[tuple[str, str], str | None] = {}
        self.serials: dict[str, tuple[str, int]] = {}
        self.parked: list[tuple[object, ...]] = []
        self.stations: dict[str, Station] = {}
        self.seen: list[Seen] = []
        self.alerts: list[AlertRaised | AlertClosed] = []  # in the order in which they came about
        self.cursors: dict[str, tuple[int, int]] = {}  # lane -> (epoch, seq)
        self.statements: list[tuple[str, Sequence[object]]] = []  # what is too rare for a list of its own

    @property
    def empty(self) -> bool:
        return not (
            self.rows
            or self.parked
            or self.stations
            or self.seen
            or self.alerts
            or self.cursors
            or self.statements
        )

    def book(self, draft: Draft, device: str, idem: str) -> int:
        """Put one movement at the end of the ledger: its seq. `idem` is device/boot/seq/part."""
        seq, prev_hash, id_ = self.last_seq + 1, self.last_hash, next(self._ids)
        stamp, clock = self.stamp, self._clock
        values = [
            seq,
            self._epoch,
            id_.hex(),
            idem,
            draft.kind,
            draft.sku,
            draft.quantity,
            draft.source,
            draft.destination,
            draft.lot,
            draft.expires_on,
            draft.serial,
            draft.reason,
            draft.document,
            draft.reverses,
            device,
            draft.actor,
            draft.occurred_us,
            draft.occurred_quality,
            stamp.wall_us,
            stamp.mono_ns,
            self._boot_id_hex,
            stamp.quality,
            clock.take_hlc(1),
            draft.value_minor,
            draft.basket,
            draft.line,
            draft.origin,
            draft.quantity_source,
            FORM,
        ]
        digest = hash_of(prev_hash, values)
        values[ID], values[BOOT_ID] = id_, clock.boot_id
        seldom = _seldom(values)
        if seldom != _NOTHING:
            self.usual = False
        self.rows.append((*_usual(values), prev_hash, digest, *seldom))
        self.last_seq, self.last_hash = seq, digest
        self._balance(draft.sku, draft.source, draft.lot, -draft.quantity, seq)
        self._balance(draft.sku, draft.destination, draft.lot, draft.quantity, seq)
        if draft.lot:
            self.lots[draft.sku, draft.lot] = draft.expires_on or self.lots.get((draft.sku, draft.lot))
        if draft.serial:
            self.serials[draft.serial] = (draft.destination, seq)
        return seq

    def _balance(self, sku: str, location: str, lot: str, change: int, seq: int) -> None:
        key = sku, location, lot
        if before := self.balances.get(key):
            change += before[0]
        self.balances[key] = change, seq

    def park(self, parked: Parked, device: str, boot: str, reading_seq: int) -> None:
        self.parked.append(
            (
                device,
                boot,
                reading_seq,
                parked.code,
                parked.data,
                parked.aim,
                parked.mode,
                parked.location,
                parked.quantity,
                parked.argument,
                self.stamp.wall_us,
                self.stamp.quality,
            )
        )


class Writer:
    """One connection, one process, all commits and all checkpoints."""

    def __init__(self, data_dir: Path, ballast_mb: int = 16) -> None:
        """Open, bring to the newest schema, check the end of the chain. Raises LedgerUnusable."""
        self.path = data_dir / "ledger.db"
        self._ballast = Ballast(data_dir / "ballast", ballast_mb * 1024 * 1024)
        self._lock = take_lock(data_dir / "ledger.lock")
        self._ballast.put_back()
        self._broken = False
        try:
            self._open()
        except LedgerUnusable:
            if not (self._disk_is_full() and self._ballast.release()):
                raise
            self._open()
        self._forget_old_runs()

    def _open(self) -> None:
        try:
            self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            for name, value in PRAGMAS.items():
                self.connection.execute(f"PRAGMA {name} = {value}")
                (is_now,) = self.connection.execute(f"PRAGMA {name}").fetchone()
                if is_now != value:
                    raise LedgerUnusable(f"{self.path}: {name} is {is_now}, must be {value}")
            migrate(self.connection)
            self._load()
        except sqlite3.DatabaseError as error:
            raise LedgerUnusable(
                f"{self.path} cannot be opened: {error}. Free space or mount the disk writable; if it is"
                " damaged, put the newest copy of it back and start again",
                "SK-L02",
            ) from error

    def _load(self) -> None:
        row = self.connection.execute(
            "SELECT seq, hash, wall_us, hlc FROM movement ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        self.last_seq: int
        self.last_hash: bytes
        self.last_seq, self.last_hash, wall_us, hlc = row or (0, FIRST_HASH, 0, 0)
        self.clock = Clock(wall_us, hlc)
        epoch = self.connection.execute("SELECT max(id) FROM epoch").fetchone()[0]
        if epoch is None:
            epoch = 1
            self.connection.execute(
                "INSERT INTO epoch (id, reason, started_us, parent_seq) VALUES (1, 'first-start', ?, 0)",
                (self.clock.now().wall_us,),
            )
        self.epoch = epoch
        self._audit()

    def _forget_old_runs(self) -> None:
        """A command and the pages never say hello, so that nothing else takes their runs away.

        Age is counted back from the newest, not from now: a box that was off for weeks still announces what
        it owes.
        """
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk: at another start, then
            self.connection.execute(FORGET_SEEN, (RUN_KEPT_US,))
            self.connection.execute(FORGET_BOOTS, (RUN_KEPT_US,))

    def _audit(self) -> None:
        """The last rows of the chain, recomputed: has the card lied, or somebody edited?"""
        rows = self.connection.execute(
            f"SELECT {', '.join(COLUMNS)}, prev_hash, hash FROM movement WHERE seq > ? ORDER BY seq",
            (self.last_seq - AUDIT_ROWS,),
        )
        before = None
        for row in rows:  # not all at once: two megabytes that would never be given back
            whole = row_hash(row[-2], row[:-2]) == row[-1]
            follows = before is None or (row[-2] == before[-1] and row[0] == before[0] + 1)
            if not (whole and follows):
                raise LedgerUnusable(
                    f"{self.path}: movement {row[0]} is not what was written. Counting stops here rather than"
                    " going on from a damaged ledger: storekeeper ledger verify, then put the newest copy back",
                    "SK-L03",
                )
            before = row

    def batch(self) -> Batch:
        return Batch(self.clock.now(), self.clock, self.epoch, self.last_seq, self.last_hash)

    def commit(self, batch: Batch) -> None:
        """Make the batch durable. When this returns it survives a power cut.

        Raises NotRecording when it is not on disk. After a failed write the connection is not trusted again.
        """
        self.mend()
        if (self.last_seq, self.last_hash) != batch.follows:
            raise NotRecording("the ledger was opened again; the reading was not booked")
        try:
            self._write(batch)
        except sqlite3.OperationalError as error:
            self._recover(batch, error)
        self.last_seq, self.last_hash = batch.last_seq, batch.last_hash

    def mend(self) -> None:
        """Open the ledger again after a failure. Raises NotRecording while that cannot be done."""
        if not self._broken:
            return
        try:
            self._reopen()
        except LedgerUnusable as error:
            raise NotRecording(f"{error}. Scans are NOT counted") from error

    @property
    def has_room(self) -> bool:
        return not self._disk_is_full()

    def distrust(self) -> None:
        """A read failed: before anything else is asked or written, the ledger is opened again."""
        self._broken = True

    def _write(self, batch: Batch) -> None:
        execute, executemany = self.connection.execute, self.connection.executemany
        execute("BEGIN IMMEDIATE")
        try:
            if batch.rows:
                if batch.usual:
                    USUAL_MOVEMENTS.into(self.connection, [row[: -len(_SELDOM)] for row in batch.rows])
                else:
                    MOVEMENTS.into(self.connection, batch.rows)
                balances = [(*key, change, seq) for key, (change, seq) in batch.balances.items()]
                BALANCES.into(self.connection, sorted(balances))  # neighbours share pages
            if batch.lots:
                executemany(UPSERT_LOT, [(*key, expiry) for key, expiry in batch.lots.items()])
            if batch.serials:
                executemany(UPSERT_SERIAL, [(epc, *where) for epc, where in batch.serials.items()])
            if batch.parked:
                executemany(INSERT_PARKED, batch.parked)
            wall_us = batch.stamp.wall_us
            for seen in batch.seen:
                execute(TRIM_SEEN, (seen.device, seen.boot, seen.acked_through))
                if seen.outcomes:
                    blob = _pack(seen.outcomes)
                    execute(
                        INSERT_SEEN, (seen.device, seen.boot, seen.first_seq, seen.last_seq, wall_us, blob)
                    )
                execute(UPSERT_BOOT, (seen.device, seen.boot, seen.last_seq, seen.acked_through, wall_us))
            for station in batch.stations.values():
                state = {"reason": station.reason, "destination": station.destination}
                row = (station.device, station.mode, station.location, json.dumps(state), wall_us)
                execute(UPSERT_STATION, row)
            for statement, values in batch.statements:
                execute(statement, values)
            for alert in batch.alerts:
                if isinstance(alert, AlertRaised):
                    self._raise_alert(alert, wall_us)
                else:
                    self._close_alert(alert, wall_us)
            for lane, (epoch, seq) in batch.cursors.items():
                execute(UPSERT_CURSOR, (lane, epoch, seq))
                execute(TRIM_OUTBOX, (lane, seq))
            execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                execute("ROLLBACK")
            raise

    def _raise_alert(self, alert: AlertRaised, wall_us: int) -> None:
        data = json.dumps(alert.data, ensure_ascii=False)
        row = (alert.kind, alert.subject, alert.severity, alert.text, data, wall_us, wall_us)
        number, count = self.connection.execute(RAISE_ALERT, row).fetchone()
        if count == 1:  # the back office hears of it once; how often it came stands in the row
            body = {"id": number, "kind": alert.kind, "subject": alert.subject, "severity": alert.severity}
            body |= {"text": alert.text, "data": alert.data, "first_us": wall_us, "state": "open"}
            self.connection.execute(*offer("A", "storekeeper.alert.raised.v1", body, wall_us))

    def _close_alert(self, alert: AlertClosed, wall_us: int) -> None:
        closed = self.connection.execute(CLOSE_ALERT, (wall_us, alert.kind, alert.subject)).fetchall()
        for number, severity, text, first_us in closed:
            body = {"id": number, "kind": alert.kind, "subject": alert.subject, "severity": severity}
            body |= {"text": text, "data": {}, "first_us": first_us, "state": "closed"}
            self.connection.execute(*offer("A", "storekeeper.alert.closed.v1", body, wall_us))

    def _recover(self, batch: Batch, error: sqlite3.OperationalError) -> None:
        """After a failed write: give up the ballast if the disk is full, open anew, see what is there."""
        self._broken = True
        full = getattr(error, "sqlite_errorname", "") == "SQLITE_FULL" or self._disk_is_full()
        if full:
            self._ballast.release()
        self.mend()
        if batch.rows and (self.last_seq, self.last_hash) == (batch.last_seq, batch.last_hash):
            if self._log_is_in_the_book():  # what can be read after a failed flush may never reach the disk
                return  # the commit had come through after all
        elif full:
            self._log_is_in_the_book()  # makes room, too
            try:
                self._write(batch)
                return
            except sqlite3.OperationalError:
                pass
        self._broken = True
        if full:
            raise NotRecording(
                "the disk is full: scans are NOT counted."
                " Delete files that are not needed from its disk; counting goes on by itself  [SK-L01]"
            ) from error
        raise NotRecording(
            f"the ledger cannot be written ({error}): scans are NOT counted  [SK-L02]"
        ) from error

    def _log_is_in_the_book(self) -> bool:
        """Write every page of the log into the database file, flush that, and empty the log."""
        try:
            (busy, _, _) = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:
            return False
        return not busy

    def _disk_is_full(self) -> bool:
        """SQLite does not always say so: an index of the log that cannot grow is an I/O error to it."""
        try:
            free = os.statvfs(self.path.parent)
        except OSError:  # the disk is gone, not full
            return False
        return free.f_bavail * free.f_frsize < FULL_BELOW_BYTES

    def _reopen(self) -> None:
        self.connection.close()
        self._open()
        self._broken = False

    @property
    def ballast_missing(self) -> bool:
        return self._ballast.missing

    def put_ballast_back(self) -> None:
        self._ballast.put_back()

    def close(self) -> None:
        self.connection.close()
        os.close(self._lock)


def offer(lane: str, kind: str, body: dict[str, Any], wall_us: int) -> tuple[str, dict[str, object]]:
    """The statement that puts a message into the outbox at the lane's next seq."""
    values = {
        "lane": lane,
        "id": str(UUID(bytes=uuid7(wall_us, os.urandom(10)))),
        "type": kind,
        "body": json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        "created": wall_us,
    }
    return OFFER, values


def outcomes_seen(
    ledger: sqlite3.Connection, device: str, boot: str, above_seq: int
) -> Iterable[tuple[int, int, Outcome]]:
    """(seq, wall_us, outcome) of what was answered above `above_seq` in that run of a driver."""
    rows = ledger.execute(
        "SELECT first_seq, wall_us, outcomes FROM reading_seen"
        " WHERE device = ? AND boot = ? AND last_seq > ? ORDER BY last_seq",
        (device, boot, above_seq),
    )
    for first_seq, wall_us, blob in rows:
        for seq, outcome in enumerate(_unpack_outcomes(blob), start=first_seq):
            if seq > above_seq:  # a resend that brought more with it has the first ones once more
                above_seq = seq
                yield seq, wall_us, outcome
