"""Questions to forecast.db: what the models worker expects. Written by it alone; may be deleted and made again."""

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ForecastDay:
    """The demand expected on one day: the mean, and the range that 8 of 10 such days fall into."""

    day: str
    mean: float
    low: float
    high: float


def forecast(store: sqlite3.Connection, sku: str, from_day: str, days: int = 14) -> list[ForecastDay]:
    """The days from `from_day` (YYYY-MM-DD) on, as far as there is a forecast."""
    rows = store.execute(
        "SELECT day, mean, q10, q90 FROM forecast WHERE sku = ? AND day >= ? ORDER BY day LIMIT ?",
        (sku, from_day, days),
    )
    return [ForecastDay(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class ForecastNote:
    """How far an item's forecast can be trusted."""

    model: str
    last_day: str
    error_units: float | None  # mean absolute error a day over the last 28 days, forecast without them
    rule_error_units: float | None  # the same of the simple rule
    simple_rule: bool  # the model is no better than the simple rule, which therefore serves
    pieces: dict[str, float]  # units a day of next week: they add up to its mean


def forecast_note(store: sqlite3.Connection, sku: str) -> ForecastNote | None:
    row = store.execute(
        "SELECT model, last_day, error_units, rule_error_units, simple_rule, pieces FROM item WHERE sku = ?",
        (sku,),
    ).fetchone()
    return None if row is None else ForecastNote(*(*row[:4], bool(row[4]), json.loads(row[5])))


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Days that were outside what had been expected of them, with the evidence."""

    sku: str
    day: str  # the last of them
    kind: str  # spike, double_booking, stop, level_up, level_down, trend, season, sensor
    units: float
    expected: float
    low: float
    high: float
    evidence: str


def anomalies(store: sqlite3.Connection, from_day: str, sku: str = "", limit: int = 50) -> list[Anomaly]:
    """The surest first; with `sku` only that item's."""
    rows = store.execute(
        """SELECT sku, day, kind, units, expected, low, high, evidence FROM anomaly
           WHERE day >= ? AND (? = '' OR sku = ?) ORDER BY day DESC, p, sku LIMIT ?""",
        (from_day, sku, sku, limit),
    )
    return [Anomaly(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How the last four weeks, forecast without them, compare with the simple rule's."""

    items: int
    better: (
        float  # how much smaller the error is on the mean of the items: 0.12 is 12 %; negative when larger
    )
    new_items: int  # that have no error yet


def accuracy(store: sqlite3.Connection) -> Accuracy:
    """Item by item: grams and pieces cannot be added up."""
    row = store.execute(
        """SELECT count(*), 1 - avg(error_units / rule_error_units) FILTER (WHERE rule_error_units > 0),
                  count(*) FILTER (WHERE error_units IS NULL) FROM item"""
    ).fetchone()
    return Accuracy(row[0], row[1] or 0.0, row[2])


def hardest(store: sqlite3.Connection, limit: int = 8) -> list[tuple[str, float, float]]:
    """(item, error a day, mean expected of next week) where the error is largest for what is sold."""
    rows = store.execute(
        """SELECT i.sku, i.error_units, avg(f.mean) FROM item i JOIN forecast f USING (sku)
           WHERE i.error_units IS NOT NULL AND f.day <= date(i.last_day, '+7 days') GROUP BY i.sku
           HAVING avg(f.mean) >= 1 ORDER BY i.error_units / avg(f.mean) DESC, i.sku LIMIT ?""",
        (limit,),
    )
    return [(str(sku), float(error), float(mean)) for sku, error, mean in rows]


@dataclass(frozen=True, slots=True)
class Effect:
    """A daily factor: whether it helps the forecast, and how much demand moves on an unusual day."""

    name: str
    on: bool
    share: float


def effects(store: sqlite3.Connection) -> list[Effect]:
    row = store.execute("SELECT value FROM state WHERE name = 'effects'").fetchone()
    found = json.loads(row[0]) if row else []
    return [Effect(str(one["name"]), bool(one["on"]), float(one["shop"])) for one in found]


@dataclass(frozen=True, slots=True)
class NightProgress:
    stage: str  # catch_up, learn, forecast
    percent: int
    items: int


def progress(data_dir: Path) -> NightProgress | None:
    """How far the worker is; None while none is at work."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads((data_dir / "forecast.progress").read_text())
        if Path(f"/proc/{int(told['pid'])}").exists():  # one that was killed left its file behind
            return NightProgress(str(told["stage"]), int(told["percent"]), int(told["items"]))
    return None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    version: str
    role: str  # champion, challenger, retired, rejected
    made_on: str
    loss: float | None
    rule_loss: float | None


@dataclass(frozen=True, slots=True)
class ModelDecision:
    day: str
    action: str
    version: str
    why: str  # in English, as the worker said it
    reason: dict[str, Any]  # the same as a code with its figures, where the worker gave them


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Who forecasts, how good it is, and the last decisions in words; `state` is the worker's own notes."""

    state: dict[str, str]
    versions: tuple[ModelVersion, ...]
    decisions: tuple[ModelDecision, ...]
    items: int
    simple_rule_items: int


def model_status(store: sqlite3.Connection, decisions: int = 20) -> ModelStatus:
    versions = store.execute("SELECT version, role, made_on, loss, rule_loss FROM model ORDER BY rowid DESC")
    said = store.execute("SELECT * FROM decision ORDER BY id DESC LIMIT ?", (decisions,))
    items, simple = store.execute("SELECT count(*), coalesce(sum(simple_rule), 0) FROM item").fetchone()
    return ModelStatus(
        dict(store.execute("SELECT name, value FROM state").fetchall()),
        tuple(ModelVersion(*row) for row in versions),
        tuple(map(_decision, said)),
        items,
        simple,
    )


def _decision(row: tuple[Any, ...]) -> ModelDecision:
    _, day, action, version, why, *reason = row  # an earlier worker kept no reason
    return ModelDecision(day, action, version, why, json.loads(reason[0] or "{}") if reason else {})
