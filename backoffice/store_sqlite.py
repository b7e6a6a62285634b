"""The network-wide picture in one SQLite file: the default."""

import contextlib
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from backoffice.store import (
    AlertHeard,
    Asked,
    Booked,
    Cursor,
    Discrepancy,
    GatewayView,
    StockView,
    StoreRefused,
)
from gateway.clock import uuid7s
from gateway.stock.movements import VIRTUAL

SCHEMA = Path(__file__).parent / "schema.sql"
DAY_US = 86_400_000_000
COMMAND_DAYS = 30  # a gateway that is away for longer refuses it as expired
ANSWERED_DAYS_KEPT = 90


class SqliteStore:
    """`backoffice.store.Store`. One connection; a second one, read-only, may serve the page."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if read_only:
            self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level="IMMEDIATE")  # begins by itself with the first write
        self._db.execute("PRAGMA journal_mode = wal")
        self._db.execute("PRAGMA synchronous = FULL")  # what is acknowledged must survive here too
        self._db.executescript(SCHEMA.read_text())
        self._cursors: dict[tuple[str, str], Cursor] = {}
        barred = self._db.execute("SELECT source FROM gateway WHERE barred IS NOT NULL")
        self._watched = {source for (source,) in barred}  # another process may release these, and say how far

    def cursor(self, source: str, lane: str) -> Cursor:
        known = self._cursors.get((source, lane))
        if known is None or source in self._watched:
            row = self._db.execute(
                "SELECT epoch, seq, hash FROM cursor WHERE source = ? AND lane = ?", (source, lane)
            ).fetchone()
            known = self._cursors[source, lane] = Cursor(*row) if row else Cursor()
        return known

    def hashes(self, source: str, first_seq: int, last_seq: int) -> dict[int, str]:
        return dict(
            self._db.execute(
                "SELECT seq, hash FROM movement WHERE source = ? AND seq BETWEEN ? AND ?",
                (source, first_seq, last_seq),
            ).fetchall()
        )

    def book(self, source: str, movements: list[Booked]) -> None:
        self._db.executemany(
            f"INSERT INTO movement VALUES (?{', ?' * len(Booked._fields)})",
            [(source, *movement) for movement in movements],
        )
        changes: Counter[tuple[str, str, str]] = Counter()
        for one in movements:
            changes[one.sku, one.src, one.lot] -= one.qty
            changes[one.sku, one.dst, one.lot] += one.qty
        self._db.executemany(
            "INSERT INTO balance VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET qty = qty + excluded.qty",
            [(source, sku, loc, lot, change) for (sku, loc, lot), change in changes.items()],
        )

    def raise_alert(self, source: str, alert: AlertHeard) -> None:
        self._db.execute("INSERT OR IGNORE INTO alert VALUES (?, ?, ?, ?, ?, ?, ?)", (source, *alert))

    def close_alert(self, source: str, kind: str, subject: str) -> None:
        self._db.execute(
            "DELETE FROM alert WHERE source = ? AND kind = ? AND subject = ?", (source, kind, subject)
        )

    def replied(self, source: str, command: str, result: str, reason: str) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO reply VALUES (?, ?, ?, ?)", (source, command, result, reason)
        )
        self._db.execute(
            "UPDATE command SET answered = 1, body = '' WHERE id = ? AND source = ?", (command, source)
        )

    def ask(self, source: str, type: str, bodies: Iterable[str], now_us: int) -> list[str]:
        """Commands for one gateway, in this order; their ids. Whoever runs the back office gives them."""
        self._db.execute(
            "DELETE FROM command WHERE answered AND issued_us < ?", (now_us - ANSWERED_DAYS_KEPT * DAY_US,)
        )
        newest = "SELECT coalesce(max(cmd_seq), 0) FROM command WHERE source = ?"
        first = max(self._db.execute(newest, (source,)).fetchone()[0] + 1, now_us // 1000)
        ids = (str(uuid.UUID(bytes=one)) for one in uuid7s(now_us))
        rows = [
            (next(ids), source, first + at, type, body, now_us, now_us + COMMAND_DAYS * DAY_US)
            for at, body in enumerate(bodies)
        ]
        self._db.executemany("INSERT INTO command VALUES (?, ?, ?, ?, ?, ?, ?, 0)", rows)
        self.commit()
        return [row[0] for row in rows]

    def waiting(self) -> list[Asked]:
        rows = self._db.execute(
            """SELECT id, source, min(cmd_seq), type, body, issued_us, expires_us
               FROM command JOIN gateway USING (source)
               WHERE answered = 0 AND online AND barred IS NULL GROUP BY source"""
        )
        return [Asked(*row) for row in rows]

    def replies(self, commands: Iterable[str]) -> dict[str, tuple[str, str]]:
        """id -> (result, reason) of those commands that have their reply."""
        query = "SELECT result, reason FROM reply WHERE command = ?"
        found = {one: self._db.execute(query, (one,)).fetchone() for one in commands}
        return {one: reply for one, reply in found.items() if reply is not None}

    def name(self, source: str, names: Iterable[tuple[str, str]]) -> None:
        self._db.executemany(
            "INSERT INTO product VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET name = excluded.name",
            [(source, sku, name) for sku, name in names],
        )

    def move_cursor(self, source: str, lane: str, cursor: Cursor) -> None:
        self._cursors[source, lane] = cursor
        self._db.execute(
            "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?, ?)",
            (source, lane, cursor.epoch, cursor.seq, cursor.hash),
        )

    def heard(self, source: str, now_us: int) -> None:
        self._db.execute(
            """INSERT INTO gateway (source, heard_us) VALUES (?, ?)
               ON CONFLICT DO UPDATE SET heard_us = excluded.heard_us""",
            (source, now_us),
        )

    def heard_state(self, source: str, *, online: bool, boot_id: str, sw: str, newest: int) -> None:
        self._db.execute(
            """INSERT INTO gateway (source, online, boot_id, sw, newest, heard_us) VALUES (?, ?, ?, ?, ?, 0)
               ON CONFLICT DO UPDATE SET online = excluded.online, boot_id = excluded.boot_id,
               sw = excluded.sw, newest = excluded.newest""",
            (source, int(online), boot_id, sw, newest),
        )

    def bar(self, source: str, boot_id: str, problem: str, now_us: int) -> None:
        self._watched.add(source)
        self._db.execute(
            """INSERT INTO gateway (source, heard_us, problem, barred) VALUES (?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET problem = excluded.problem, barred = excluded.barred""",
            (source, now_us, problem, boot_id),
        )

    def barred(self, source: str) -> str | None:
        row = self._db.execute("SELECT barred FROM gateway WHERE source = ?", (source,)).fetchone()
        boot_id = row[0] if row else None
        if boot_id is None and source in self._watched:  # released meanwhile
            self._watched.discard(source)
            self._cursors.clear()
        return boot_id

    def release(self, source: str) -> bool:
        """A person has looked: the gateway is heard again. False when it was not in quarantine."""
        done = self._db.execute(
            "UPDATE gateway SET problem = '', barred = NULL WHERE source = ? AND problem <> ''", (source,)
        )
        self.commit()
        return done.rowcount > 0

    def leave_history(self, source: str, restored_to: int) -> int:
        """The gateway goes on from movement `restored_to`: what came after it is set aside; how many those were.

        Its alerts are forgotten: it gives their numbers anew. Raises StoreRefused when that movement is not held.
        """
        with self.message():
            row = self._db.execute(
                "SELECT epoch, hash FROM movement WHERE source = ? AND seq = ?", (source, restored_to)
            ).fetchone()
            if row is None:
                raise StoreRefused(f"movement {restored_to} of {source} is not held here")
            later = (source, restored_to)
            self._db.execute(
                "INSERT OR REPLACE INTO superseded SELECT * FROM movement WHERE source = ? AND seq > ?", later
            )
            for end, sign in (("src", 1), ("dst", -1)):
                self._db.execute(
                    f"""INSERT INTO balance SELECT source, sku, {end}, lot, {sign} * sum(qty) FROM movement
                        WHERE source = ? AND seq > ? GROUP BY sku, {end}, lot
                        ON CONFLICT DO UPDATE SET qty = qty + excluded.qty""",
                    later,
                )
            gone = self._db.execute("DELETE FROM movement WHERE source = ? AND seq > ?", later).rowcount
            for table in ("cursor", "alert", "discrepancy"):
                self._db.execute(f"DELETE FROM {table} WHERE source = ?", (source,))
            self.move_cursor(source, "L", Cursor(row[0], restored_to, row[1]))
        self.commit()
        return gone

    def agreed(self, source: str, seq: int, now_us: int) -> None:
        self._db.execute("DELETE FROM discrepancy WHERE source = ?", (source,))
        self._db.execute(
            "UPDATE gateway SET digest_seq = ?, digest_us = ? WHERE source = ?", (seq, now_us, source)
        )

    def disagreed(self, source: str, found: Iterable[Discrepancy]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO discrepancy VALUES (?, ?, ?, ?, ?, ?)", [(source, *one) for one in found]
        )

    def held(self, source: str, as_of_seq: int) -> list[tuple[str, str, str, int]]:
        since = (source, as_of_seq)
        return self._db.execute(
            """SELECT loc, sku, lot, sum(qty) FROM (
                   SELECT loc, sku, lot, qty FROM balance WHERE source = ?
                   UNION ALL SELECT src, sku, lot, qty FROM movement WHERE source = ? AND seq > ?
                   UNION ALL SELECT dst, sku, lot, -qty FROM movement WHERE source = ? AND seq > ?)
               GROUP BY sku, loc, lot HAVING sum(qty) <> 0 ORDER BY sku, loc, lot""",
            (source, *since, *since),
        ).fetchall()

    @contextlib.contextmanager
    def message(self) -> Iterator[None]:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")  # else the savepoint's release would be a commit
        self._db.execute("SAVEPOINT message")
        try:
            yield
        except BaseException as error:
            self._db.execute("ROLLBACK TO message")
            self._cursors.clear()
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
                raise StoreRefused(str(error)) from error
            raise
        finally:
            self._db.execute("RELEASE message")

    def commit(self) -> None:
        self._db.commit()

    def gateways(self) -> list[GatewayView]:
        rows = self._db.execute(
            """SELECT source, online, sw, newest, coalesce(seq, 0), heard_us, problem, digest_seq,
                      (SELECT count(*) FROM discrepancy d WHERE d.source = g.source),
                      (SELECT count(*) FROM alert a WHERE a.source = g.source)
               FROM gateway g LEFT JOIN (SELECT source, seq FROM cursor WHERE lane = 'L') USING (source)
               ORDER BY source"""
        )
        return [GatewayView(source, bool(online), *rest) for source, online, *rest in rows]

    def stock(self) -> list[StockView]:
        rows = self._db.execute(
            f"""SELECT source, sku, coalesce(name, ''), loc, lot, qty
                FROM balance LEFT JOIN product USING (source, sku)
                WHERE qty <> 0 AND loc NOT IN ({", ".join("?" * len(VIRTUAL))})
                ORDER BY source, name, sku, loc, lot""",
            tuple(VIRTUAL),
        )
        return [
            StockView(source.split("/")[1], source.split("/")[2], sku, name, loc, lot, qty)
            for source, sku, name, loc, lot, qty in rows
        ]

    def close(self) -> None:
        """What was not committed was not acknowledged either: it comes again."""
        self._db.rollback()
        self._db.close()
