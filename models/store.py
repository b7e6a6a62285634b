"""forecast.db: the only module that writes it. Everything in it can be rebuilt from ledger.db.

Readers (the web page, the command line) open it read-only and need no code from here. Quantities are real numbers in
the item's base unit; days are ISO text; BLOBs of series are little-endian float32, one value a day.

forecast      one row per (sku, day): mean, q10, q50, q90, q95, q99 of that day's demand; the fan chart is q10 .. q90
forecast_sum  one row per (sku, start, span): the demand of `span` days from `start` days after tomorrow (0 = tomorrow
              first): mean, q50, q90, q95, q99. Quantiles of a sum are not sums of quantiles: use these for orders.
item          one row per sku: `model` (version that served), `last_day` (last day seen), `error_units` (mean absolute
              error a day over the last 28 days, forecast without them), `rule_error_units` (the same of the simple
              rule), `simple_rule` 1 when the model is no better than the rule on this item, `pieces` (JSON object
              of units a day: level, weekday, season, trend, promotion, holiday, price, weather)
demand        one row per sku: `first_day`, `units` BLOB (demand), `change` BLOB (stock change), for the past weeks
model         one row per version: role (champion, challenger, retired, rejected), loss, rule_loss, made_on, weights
decision      what was decided about models and why, newest last: day, action, version, why
sensor_day    one row per (sensor, day): the mean of the shop's own sensor, kept longer than telemetry keeps samples
price         one row per (sku, day) on which the price at the till became another: minor units per base unit
anomaly       one row per (sku, day, kind): units, expected, low, high, p, evidence (a sentence)
state         name -> value: last_seq, epoch, forecast_day, served_by ('model' or 'simple rule: why')
next_*        the night under way (staging.py); they become forecast, forecast_sum and item when it is whole
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from models.anomalies import Anomaly
from models.panel import Floats
from models.series import SAME_PRICE, Series

TABLES = {
    "state": "(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "demand": """(sku TEXT PRIMARY KEY, first_day TEXT NOT NULL, units BLOB NOT NULL,
        change BLOB NOT NULL) STRICT""",
    "forecast": """(sku TEXT NOT NULL, day TEXT NOT NULL, mean REAL NOT NULL, q10 REAL NOT NULL,
        q50 REAL NOT NULL, q90 REAL NOT NULL, q95 REAL NOT NULL, q99 REAL NOT NULL,
        PRIMARY KEY (sku, day)) STRICT, WITHOUT ROWID""",
    "forecast_sum": """(sku TEXT NOT NULL, start INTEGER NOT NULL, span INTEGER NOT NULL,
        mean REAL NOT NULL, q50 REAL NOT NULL, q90 REAL NOT NULL, q95 REAL NOT NULL, q99 REAL NOT NULL,
        PRIMARY KEY (sku, start, span)) STRICT, WITHOUT ROWID""",
    "item": """(sku TEXT PRIMARY KEY, model TEXT NOT NULL, last_day TEXT NOT NULL, error_units REAL,
        rule_error_units REAL, simple_rule INTEGER NOT NULL, pieces TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    "model": """(version TEXT PRIMARY KEY, role TEXT NOT NULL, made_on TEXT NOT NULL, loss REAL,
        rule_loss REAL, weights BLOB NOT NULL, trial BLOB NOT NULL, calibration BLOB NOT NULL) STRICT""",
    "decision": """(id INTEGER PRIMARY KEY, day TEXT NOT NULL, action TEXT NOT NULL,
        version TEXT NOT NULL, why TEXT NOT NULL) STRICT""",
    "anomaly": """(sku TEXT NOT NULL, day TEXT NOT NULL, kind TEXT NOT NULL, units REAL NOT NULL,
        expected REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, p REAL NOT NULL, evidence TEXT NOT NULL,
        PRIMARY KEY (sku, day, kind)) STRICT, WITHOUT ROWID""",
    "sensor_day": """(sensor TEXT NOT NULL, day TEXT NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (sensor, day)) STRICT, WITHOUT ROWID""",
    "price": """(sku TEXT NOT NULL, day INTEGER NOT NULL, minor REAL NOT NULL,
        PRIMARY KEY (sku, day)) STRICT, WITHOUT ROWID""",
}
SCHEMA = "".join(f"CREATE TABLE IF NOT EXISTS {name} {columns};\n" for name, columns in TABLES.items())
VERSIONS_KEPT = 8  # weights are some 100 kB each
ANOMALY_DAYS_KEPT = 400


@dataclass(frozen=True, slots=True)
class ModelRow:
    version: str
    role: str
    made_on: str
    loss: float | None
    rule_loss: float | None
    weights: bytes
    trial: bytes  # the same learning without the held-back days: what later candidates are compared with
    calibration: bytes


@dataclass(frozen=True, slots=True)
class ItemNote:
    sku: str
    model: str
    last_day: date
    error_units: float | None
    rule_error_units: float | None
    simple_rule: bool
    pieces: dict[str, float]


def open_store(path: Path) -> sqlite3.Connection:
    """The writing connection. A file that is not a database is put aside: it can be rebuilt."""
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked, full or forbidden: not a damaged file
        path.replace(path.with_name(path.name + ".damaged"))
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("PRAGMA synchronous = NORMAL")
        store.execute("PRAGMA cache_size = -8000")
        store.executescript(SCHEMA)
    except sqlite3.Error:
        store.close()
        raise
    return store


@contextmanager
def transaction(store: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, whatever kills the worker."""
    store.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        store.execute("ROLLBACK")
        raise
    store.execute("COMMIT")


def get_state(store: sqlite3.Connection, name: str, default: str = "") -> str:
    row = store.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else default


def put_state(store: sqlite3.Connection, name: str, value: object) -> None:
    store.execute(
        "INSERT INTO state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, str(value))
    )


def read_series(store: sqlite3.Connection) -> Iterator[Series]:
    for sku, first_day, units, change in store.execute("SELECT * FROM demand ORDER BY sku"):
        yield Series(
            sku,
            date.fromisoformat(first_day).toordinal(),
            np.frombuffer(units, "<f4"),
            np.frombuffer(change, "<f4"),
        )


def read_one_series(store: sqlite3.Connection, sku: str) -> Series:
    row = store.execute("SELECT first_day, units, change FROM demand WHERE sku = ?", (sku,)).fetchone()
    if row is None:
        return Series(sku, 0, np.zeros(0, np.float32), np.zeros(0, np.float32))
    return Series(
        sku,
        date.fromisoformat(row[0]).toordinal(),
        np.frombuffer(row[1], "<f4"),
        np.frombuffer(row[2], "<f4"),
    )


def put_series(store: sqlite3.Connection, series: Series) -> None:
    row = (
        series.sku,
        date.fromordinal(series.first_day).isoformat(),
        _blob(series.demand),
        _blob(series.change),
    )
    store.execute("INSERT OR REPLACE INTO demand VALUES (?, ?, ?, ?)", row)


def _blob(values: Floats) -> bytes:
    return values.astype("<f4").tobytes()


def put_prices(store: sqlite3.Connection, sold: Iterable[tuple[str, int, float]]) -> None:
    """Keep the days on which a price became another; `sold` goes by item and day."""
    query = "SELECT sku, minor FROM price p WHERE day = (SELECT max(day) FROM price WHERE sku = p.sku)"
    last: dict[str, float] = dict(store.execute(query).fetchall())
    for sku, day, minor in sold:
        if sku not in last or abs(minor - last[sku]) > SAME_PRICE * last[sku]:
            last[sku] = minor
            store.execute("INSERT OR REPLACE INTO price VALUES (?, ?, ?)", (sku, day, minor))


def put_forecast(
    store: sqlite3.Connection,
    skus: tuple[str, ...],
    last_day: date,
    days: int,
    mean: Floats,
    quantiles: Floats,
) -> None:
    """One block of items of the coming night: mean (items, days), quantiles (items, days, 5) at .1 .5 .9 .95 .99."""
    names = [(last_day + timedelta(days=index + 1)).isoformat() for index in range(days)]
    table = np.concatenate([mean[:, :days, None], quantiles[:, :days]], 2)
    _put_many(store, "next_forecast", skus, [f"'{name}'" for name in names], table)


def put_sums(
    store: sqlite3.Connection, skus: tuple[str, ...], sums: dict[tuple[int, int], tuple[Floats, Floats]]
) -> None:
    keys = sorted(sums)
    table = np.stack([np.concatenate([sums[key][0][:, None], sums[key][1][:, 1:]], 1) for key in keys], 1)
    _put_many(store, "next_forecast_sum", skus, [f"{start}, {span}" for start, span in keys], table)


def _put_many(
    store: sqlite3.Connection, into: str, skus: tuple[str, ...], labels: list[str], table: Floats
) -> None:
    """One statement an item, half the time of one a row: (items, rows, values), `labels` the key of each row in SQL."""
    width = table.shape[2]
    rows = []
    for row, label in enumerate(labels):
        marks = ", ".join(f"?{2 + row * width + column}" for column in range(width))
        rows.append(f"(?1, {label}, {marks})")
    values = table.reshape(len(skus), len(labels) * width).astype(np.float64).round(4).tolist()
    store.executemany(
        f"INSERT INTO {into} VALUES {', '.join(rows)}",
        ([sku, *numbers] for sku, numbers in zip(skus, values, strict=True)),
    )


def put_notes(store: sqlite3.Connection, notes: Iterable[ItemNote]) -> None:
    rows = (
        (
            n.sku,
            n.model,
            n.last_day.isoformat(),
            n.error_units,
            n.rule_error_units,
            int(n.simple_rule),
            json.dumps(n.pieces),
        )
        for n in notes
    )
    store.executemany("INSERT OR REPLACE INTO next_item VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def put_anomalies(store: sqlite3.Connection, found: Iterable[Anomaly], through: date) -> None:
    oldest = (through - timedelta(days=ANOMALY_DAYS_KEPT)).isoformat()
    store.execute("DELETE FROM anomaly WHERE day < ? OR day = ?", (oldest, through.isoformat()))
    insert_anomalies(store, found, "anomaly")


def insert_anomalies(store: sqlite3.Connection, found: Iterable[Anomaly], table: str) -> None:
    rows = (
        (a.sku, a.day.isoformat(), a.kind, a.units, a.expected, a.low, a.high, a.p, a.evidence) for a in found
    )
    store.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def put_model(store: sqlite3.Connection, row: ModelRow) -> None:
    """Keep the newest versions; the champion is never the one that goes."""
    values = (
        row.version,
        row.role,
        row.made_on,
        row.loss,
        row.rule_loss,
        row.weights,
        row.trial,
        row.calibration,
    )
    store.execute("INSERT OR REPLACE INTO model VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    store.execute(
        "DELETE FROM model WHERE role <> 'champion' AND version NOT IN "
        "(SELECT version FROM model ORDER BY rowid DESC LIMIT ?)",
        (VERSIONS_KEPT,),
    )


def set_role(store: sqlite3.Connection, version: str, role: str) -> None:
    if role == "champion":
        store.execute("UPDATE model SET role = 'retired' WHERE role = 'champion'")
    store.execute("UPDATE model SET role = ? WHERE version = ?", (role, version))


def models(store: sqlite3.Connection, role: str | None = None) -> list[ModelRow]:
    """Newest first."""
    where = "" if role is None else "WHERE role = ?"
    rows = store.execute(f"SELECT * FROM model {where} ORDER BY rowid DESC", () if role is None else (role,))
    return [ModelRow(*row) for row in rows]


def decide(store: sqlite3.Connection, day: date, action: str, version: str, why: str) -> None:
    store.execute(
        "INSERT INTO decision (day, action, version, why) VALUES (?, ?, ?, ?)",
        (day.isoformat(), action, version, why),
    )


def status(path: Path) -> dict[str, object]:
    """What `model status` shows: who serves, how good, and the last decisions in words."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        state = dict(store.execute("SELECT name, value FROM state").fetchall())
        versions = store.execute(
            "SELECT version, role, made_on, loss, rule_loss FROM model ORDER BY rowid DESC"
        ).fetchall()
        decisions = store.execute(
            "SELECT day, action, version, why FROM decision ORDER BY id DESC LIMIT 20"
        ).fetchall()
        simple, items = store.execute("SELECT coalesce(sum(simple_rule), 0), count(*) FROM item").fetchone()
    return {
        "state": state,
        "models": [
            dict(zip(("version", "role", "made_on", "loss", "rule_loss"), row, strict=True))
            for row in versions
        ],
        "decisions": [dict(zip(("day", "action", "version", "why"), row, strict=True)) for row in decisions],
        "items": items,
        "simple_rule_items": simple,
    }


def forecast_item(path: Path, sku: str) -> dict[str, Any] | None:
    """What `forecast ITEM` shows."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        store.row_factory = sqlite3.Row
        note = store.execute("SELECT * FROM item WHERE sku = ?", (sku,)).fetchone()
        if note is None:
            return None
        days = store.execute("SELECT * FROM forecast WHERE sku = ? ORDER BY day", (sku,)).fetchall()
        sums = store.execute(
            "SELECT * FROM forecast_sum WHERE sku = ? ORDER BY start, span", (sku,)
        ).fetchall()
    rows = {"days": [dict(row) for row in days], "sums": [dict(row) for row in sums]}
    return (
        dict(note) | {"pieces": json.loads(note["pieces"]), "simple_rule": bool(note["simple_rule"])} | rows
    )
