"""Questions to forecast.db: what the models worker expects. Written by it alone; may be deleted and made again."""

import sqlite3
from dataclasses import dataclass


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


def forecast_note(store: sqlite3.Connection, sku: str) -> ForecastNote | None:
    row = store.execute(
        "SELECT model, last_day, error_units, rule_error_units, simple_rule FROM item WHERE sku = ?", (sku,)
    ).fetchone()
    return None if row is None else ForecastNote(*(*row[:4], bool(row[4])))


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
    why: str


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
    said = store.execute(
        "SELECT day, action, version, why FROM decision ORDER BY id DESC LIMIT ?", (decisions,)
    )
    items, simple = store.execute("SELECT count(*), coalesce(sum(simple_rule), 0) FROM item").fetchone()
    return ModelStatus(
        dict(store.execute("SELECT name, value FROM state").fetchall()),
        tuple(ModelVersion(*row) for row in versions),
        tuple(ModelDecision(*row) for row in said),
        items,
        simple,
    )
