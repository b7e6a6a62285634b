"""Which alerts are open, for a thread that looks again and again: the ledger is read when it was written since.

Whoever opens a ledger in WAL mode writes to its folder (as root SQLite gives the log the owner of the database),
so a shop at rest would never let its disk sleep.
"""

import sqlite3
import threading
from pathlib import Path

from gateway.ledger.reading import connect


class OpenAlerts:
    """For all threads: they ask one after the other."""

    def __init__(self, ledger_path: Path) -> None:
        self._path = ledger_path
        self._one_at_a_time = threading.Lock()
        self._ledger: sqlite3.Connection | None = None
        self._version: int | None = None  # of the ledger, as this connection counts
        self._known: frozenset[tuple[str, str]] = frozenset()

    def __call__(self) -> frozenset[tuple[str, str]]:
        """(kind, subject) of what was raised, by this run or an earlier one, and nobody has closed.

        Raises sqlite3.Error; the next call opens the ledger anew.
        """
        with self._one_at_a_time:
            try:
                if self._ledger is None:
                    self._ledger, self._version = connect(self._path, any_thread=True), None
                (version,) = self._ledger.execute("PRAGMA data_version").fetchone()
                if version != self._version:
                    rows = self._ledger.execute("SELECT kind, subject FROM alert WHERE state <> 'closed'")
                    self._known, self._version = frozenset(rows.fetchall()), version
            except sqlite3.Error:
                self.close()
                raise
            return self._known

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = None
