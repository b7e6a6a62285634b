"""Builders of small shops for the forecaster's tests: a panel of days, or a real ledger file."""

import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from gateway.ledger.migrate import SCHEMA
from models.panel import Panel

MONDAY = date(2024, 1, 1)


def panel(units: np.ndarray, first_day: date = MONDAY, **rows: np.ndarray) -> Panel:
    """A shop of `units` (items, days) with an empty calendar 90 days ahead."""
    units = np.atleast_2d(np.asarray(units, np.float32))
    items, days = units.shape
    reach = days + 90
    calendar = {
        "closed": np.zeros((1, reach), np.bool_),
        "holiday": np.zeros((1, reach), np.bool_),
        "school_holiday": np.zeros((1, reach), np.bool_),
        "promotion": np.zeros((1, reach), np.float32),
        "display": np.zeros((1, reach), np.float32),
        "censored": np.zeros((items, days), np.bool_),
        "price": None,
    }
    return Panel(
        keys=tuple(f"item-{row}" for row in range(items)),
        first_day=first_day,
        units=units,
        groups=np.zeros(items, np.int32),
        **(calendar | rows),
    )


class Ledger:
    """A ledger file with the real schema, written the short way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        for name in ("0001_ledger.sql", "0005_plans.sql"):
            self._db.executescript((SCHEMA / name).read_text())
        self._db.execute("INSERT OR IGNORE INTO epoch (id, reason, started_us) VALUES (1, 'first-start', 0)")
        self._seq = 0

    def item(self, sku: str, category: str = "") -> None:
        row = {"sku": sku, "name": sku, "category": category, "changed_us": 0}
        self._insert("item", row)

    def plan(self, kind: str, first: date, last: date, sku: str = "") -> None:
        dates = {"starts_on": first.isoformat(), "ends_on": last.isoformat()}
        self._insert("plan", {"sku": sku, "kind": kind, "said_us": 0} | dates)

    def like(self, sku: str, like_sku: str, share: float) -> None:
        self._insert("item_like", {"sku": sku, "like_sku": like_sku, "share": share})

    def factor(self, name: str, values: dict[date, float], known_ahead: bool = True) -> None:
        self._insert("factor", {"name": name, "known_ahead": int(known_ahead)})
        for day, value in values.items():
            self._insert("factor_day", {"name": name, "day": day.isoformat(), "value": value})

    def move(
        self,
        sku: str,
        kind: str,
        qty: int,
        day: date,
        *,
        reverses: int | None = None,
        hour: int = 10,
        value_minor: int | None = None,
    ) -> int:
        """Book a movement at `hour` UTC and return its seq."""
        self._seq += 1
        ends = {
            "sale": ("SHELF", "CUSTOMER"),
            "receipt": ("SUPPLIER", "SHELF"),
            "customer_return": ("CUSTOMER", "SHELF"),
        }
        src, dst = ends[kind] if reverses is None else ends[kind][::-1]
        at_us = int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) * 1_000_000
        row = {
            "seq": self._seq, "epoch": 1, "id": self._seq.to_bytes(16, "big"), "idem": f"test/{self._seq}",
            "kind": kind, "sku": sku, "qty": qty, "src": src, "dst": dst, "reverses": reverses, "device": "test",
            "occurred_us": at_us, "wall_us": at_us, "mono_ns": 0, "boot_id": b"", "clock_q": "ntp", "hlc": 0,
            "origin": "scan", "qty_src": "scanned", "form": 1, "prev_hash": bytes(32), "hash": bytes(32),
            "value_minor": value_minor,
        }  # fmt: skip
        self._insert("movement", row)
        return self._seq

    def sell(self, sku: str, units: list[int], first_day: date = MONDAY) -> None:
        self._db.execute("BEGIN")
        for index, qty in enumerate(units):
            if qty:
                self.move(sku, "sale", int(qty), first_day + timedelta(days=index))
        self._db.execute("COMMIT")

    def _insert(self, table: str, row: dict[str, object]) -> None:
        marks = ", ".join("?" for _ in row)
        self._db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

    def close(self) -> None:
        self._db.close()
