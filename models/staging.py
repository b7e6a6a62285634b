"""A night under way: its rows wait beside last night's, block by block, until all of them are there.

A block of items is one transaction; the last step puts the whole night in place of the former one at once. A worker
that was killed goes on after the last block on disk; when the day, the model, the ledger or a plan is another by then,
it begins again. Nobody ever reads half a night.
"""

from __future__ import annotations

import sqlite3
from datetime import date

from models import store as db
from models.anomalies import Anomaly, Screening

TABLES = ("forecast", "forecast_sum", "item")
UNDER_WAY = ("night", "night_sku", "night_items", "night_tests")  # names in `state`


class Night:
    """What is on disk of the night `key`."""

    def __init__(self, store: sqlite3.Connection, key: str) -> None:
        self._store = store
        self.screening = Screening()
        if db.get_state(store, "night") != key:
            self._begin(key)
        self.last_sku = db.get_state(store, "night_sku")
        self.items = int(db.get_state(store, "night_items", "0"))
        self.screening.count = int(db.get_state(store, "night_tests", "0"))
        self.screening.odd = [
            Anomaly(sku, date.fromisoformat(day), *rest)
            for sku, day, *rest in store.execute("SELECT * FROM next_anomaly ORDER BY p, sku, kind")
        ]
        self._kept_odd = len(self.screening.odd)

    @property
    def resumed(self) -> bool:
        return self.items > 0

    def _begin(self, key: str) -> None:
        with db.transaction(self._store):
            for table in (*TABLES, "anomaly"):
                self._store.execute(f"DROP TABLE IF EXISTS next_{table}")
                self._store.execute(f"CREATE TABLE next_{table} {db.TABLES[table]}")
            self._forget()
            db.put_state(self._store, "night", key)

    def _forget(self) -> None:
        marks = ", ".join("?" for _ in UNDER_WAY)
        self._store.execute(f"DELETE FROM state WHERE name IN ({marks})", UNDER_WAY)

    def block_done(self, last_sku: str, items: int) -> None:
        """Inside the block's transaction: everything up to `last_sku` is there."""
        self.last_sku, self.items = last_sku, self.items + items
        db.insert_anomalies(self._store, self.screening.odd[self._kept_odd :], "next_anomaly")
        self._kept_odd = len(self.screening.odd)
        for name, value in (
            ("night_sku", last_sku),
            ("night_items", self.items),
            ("night_tests", self.screening.count),
        ):
            db.put_state(self._store, name, value)

    def finish(self) -> None:
        """Inside a transaction: this night takes the place of the former one."""
        for table in TABLES:
            self._store.execute(f"DROP TABLE {table}")
            self._store.execute(f"ALTER TABLE next_{table} RENAME TO {table}")
        self._store.execute("DROP TABLE next_anomaly")
        self._forget()
