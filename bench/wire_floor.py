"""The floor of the whole path: the least that an honest gateway in Python does between a serial line and a broker.

One thread, one poll. What one read returned is one transaction (WAL, synchronous=FULL): a movement, its balance
and its outbox row for each code. Up to 100 outbox rows travel as one MQTT 3.1.1 message at QoS 1, packets built
by hand, within a window; rows that the broker has taken are deleted with the next transaction. It checks
nothing, knows no duplicates, no second device, no shop: a floor, not a design.

python -m bench.wire_floor TTY DATABASE PORT
"""

import contextlib
import os
import select
import socket
import sqlite3
import sys
import termios
import time
import tty
from collections import deque
from pathlib import Path

ROWS_PER_MESSAGE = 100
ROWS_UNTAKEN_MAX = 4_000
RETRY_S = 0.5
TOPIC = b"floor/movement"
SCHEMA = """
CREATE TABLE IF NOT EXISTS movement (id INTEGER PRIMARY KEY, item TEXT NOT NULL, qty INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL, device TEXT NOT NULL, kind TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS movement_item ON movement (item, ts_ms);
CREATE TABLE IF NOT EXISTS balance (item TEXT PRIMARY KEY, qty INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""


class Ledger:
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = wal")
        self._db.execute("PRAGMA synchronous = full")
        self._db.executescript(SCHEMA)
        self.newest: int = self._db.execute("SELECT coalesce(max(id), 0) FROM outbox").fetchone()[0]

    def write(self, items: list[bytes], taken: list[tuple[int, int]]) -> None:
        """One transaction; `taken`: ranges of outbox rows that the broker has."""
        execute, ts_ms = self._db.execute, time.time_ns() // 1_000_000
        execute("BEGIN IMMEDIATE")
        if taken:
            self._db.executemany("DELETE FROM outbox WHERE id BETWEEN ? AND ?", taken)
        for item in items:
            name = item.decode()
            execute(
                "INSERT INTO movement (item, qty, ts_ms, device, kind) VALUES (?, -1, ?, 'c1', 'sale')",
                (name, ts_ms),
            )
            execute(
                "INSERT INTO balance VALUES (?, -1) ON CONFLICT (item) DO UPDATE SET qty = qty - 1", (name,)
            )
            body = b'{"v":1,"dev":"counter-1","kind":"sale","item":"%s","qty":-1,"ts":%d}' % (item, ts_ms)
            self.newest = execute("INSERT INTO outbox (body) VALUES (?)", (body,)).lastrowid or 0
        execute("COMMIT")

    def next_rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        return self._db.execute(
            "SELECT id, body FROM outbox WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        ).fetchall()


class Wire:
    """A connection to the broker that remembers which rows are on their way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        name = b"floor-%d" % os.getpid()
        self._out = bytearray(packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + text(name)))
        self._in = b""
        self._message_id = 0
        self.accepted = False
        self.untaken: dict[int, tuple[int, int]] = {}  # message id -> first and last row

    def publish(self, rows: list[tuple[int, bytes]]) -> None:
        self._message_id = self._message_id % 65_535 + 1
        self.untaken[self._message_id] = rows[0][0], rows[-1][0]
        body = b"[" + b",".join([body for _, body in rows]) + b"]"
        self._out += packet(0x32, text(TOPIC) + self._message_id.to_bytes(2, "big") + body)

    def send(self) -> bool:
        """Whether something is left to be sent."""
        if self._out:
            with contextlib.suppress(BlockingIOError):
                del self._out[: self.socket.send(self._out)]
        return bool(self._out)

    def hear(self) -> list[tuple[int, int]]:
        """Rows that the broker has taken. CONNACK and PUBACK are both 4 bytes long."""
        chunk = self.socket.recv(65_536)
        if not chunk:
            raise ConnectionError
        self._in += chunk
        taken = []
        whole = len(self._in) // 4 * 4
        for at in range(0, whole, 4):
            kind, _, high, low = self._in[at : at + 4]
            if kind == 0x20:
                self.accepted = True
            elif kind == 0x40 and (rows := self.untaken.pop(high << 8 | low, None)):
                taken.append(rows)
        self._in = self._in[whole:]
        return taken


def packet(head: int, body: bytes) -> bytes:
    """An MQTT packet: its length in groups of 7 bits, the lowest first."""
    length, left = bytearray(), len(body)
    while True:
        left, group = divmod(left, 128)
        length.append(group | (0x80 if left else 0))
        if not left:
            return bytes([head]) + length + body


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def main(line: str, database: Path, port: int) -> None:
    ledger = Ledger(database)
    fd = os.open(line, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    tty.setraw(fd, termios.TCSANOW)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    wire: Wire | None = None
    retry_s, sent, rest = 0.0, 0, b""
    taken: deque[tuple[int, int]] = deque()
    while True:
        if wire is None and time.monotonic() >= retry_s:
            retry_s = time.monotonic() + RETRY_S
            try:
                wire = Wire(port)
                poller.register(wire.socket, select.POLLIN)
                sent = 0  # what was not taken goes again
            except OSError:
                pass
        try:
            if wire and wire.accepted:
                room = ROWS_UNTAKEN_MAX - len(wire.untaken) * ROWS_PER_MESSAGE
                if room >= ROWS_UNTAKEN_MAX // 2 and sent < ledger.newest:
                    rows = ledger.next_rows(sent, room)
                    for at in range(0, len(rows), ROWS_PER_MESSAGE):
                        wire.publish(rows[at : at + ROWS_PER_MESSAGE])
                    sent = rows[-1][0] if rows else ledger.newest
            if wire:
                left = wire.send()
                poller.modify(wire.socket, select.POLLIN | (select.POLLOUT if left else 0))
            items: list[bytes] = []
            ready = poller.poll(20 if taken else 200)
            for ready_fd, events in ready:
                if ready_fd == fd and events & select.POLLIN:
                    *lines, rest = (rest + os.read(fd, 65_536)).split(b"\n")
                    items = [one.strip() for one in lines if one.strip()]
                elif wire and ready_fd == wire.socket.fileno() and events & ~select.POLLOUT:
                    taken.extend(wire.hear())
        except OSError:
            assert wire is not None
            poller.unregister(wire.socket)
            wire.socket.close()
            wire = None
            continue
        if items or len(taken) * ROWS_PER_MESSAGE >= 200 or (taken and not ready):
            ledger.write(items, list(taken))
            taken.clear()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
