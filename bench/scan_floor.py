"""The floor of one scan: serial bytes -> line -> checksum -> one commit (WAL, FULL) -> acknowledgement on the line.

python -m bench.scan_floor TTY DATABASE
"""

import os
import select
import sqlite3
import sys
import termios
import time
import tty
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS movement (id INTEGER PRIMARY KEY, item TEXT NOT NULL, qty INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL, device TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS movement_once ON movement (device, seq);
CREATE INDEX IF NOT EXISTS movement_item ON movement (item, ts_ms);
CREATE TABLE IF NOT EXISTS balance (item TEXT PRIMARY KEY, qty INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


def is_ean13(code: bytes) -> bool:
    if len(code) != 13 or not code.isdigit():
        return False
    return (sum(code[-1::-2]) + 3 * sum(code[-2::-2]) - 48 * 25) % 10 == 0


def main(line: str, database: Path) -> None:
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("PRAGMA journal_mode = wal")
    db.execute("PRAGMA synchronous = full")
    db.executescript(SCHEMA)
    (seq,) = db.execute("SELECT coalesce(max(seq), 0) FROM movement").fetchone()
    fd = os.open(line, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd, termios.TCSANOW)
    rest = b""
    while True:
        select.select([fd], [], [])
        *codes, rest = (rest + os.read(fd, 4096)).split(b"\n")
        for code in codes:
            code = code.strip()
            if not is_ean13(code):
                os.write(fd, b"\x07\x07")
                continue
            seq, ts_ms, item = seq + 1, time.time_ns() // 1_000_000, code.decode()
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "INSERT INTO movement (item, qty, ts_ms, device, seq, kind) VALUES (?, -1, ?, 'c1', ?, 'sale')",
                (item, ts_ms, seq),
            )
            db.execute(
                "INSERT INTO balance VALUES (?, -1) ON CONFLICT (item) DO UPDATE SET qty = qty - 1", (item,)
            )
            db.execute("INSERT INTO outbox (body) VALUES (?)", (b'{"item":"%s","qty":-1}' % code,))
            db.execute("COMMIT")
            os.write(fd, b"\x07")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
