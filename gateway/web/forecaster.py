"""What the pages say about the forecast: how good it is, why an item's is what it is, what it wants to know."""

import sqlite3
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.ledger import forecasts, plans, queries
from gateway.ledger.forecasts import Accuracy, Anomaly, Effect, ForecastNote, ModelStatus, NightProgress
from gateway.web.face import Reader

PIECES = ("level", "weekday", "season", "trend", "promotion", "holiday", "price", "weather")
PIECE_MIN = 0.05  # units a day: less is not worth a line
ASKED_DAYS = 21  # older days are not asked about
QUESTIONS_MAX = 6
ANSWERS = ("promotion", "one_off", "ordinary")
ACTS = ("promoted", "kept", "rolled back", "factor on", "factor off")


@dataclass(frozen=True, slots=True)
class Piece:
    """One reason of a forecast, in units a day of next week; `width` is its bar, in hundredths of the largest."""

    name: str
    units: float
    width: int

    @property
    def known(self) -> bool:
        """A factor that the shop named has no word of ours."""
        return self.name in PIECES


def pieces(note: ForecastNote | None) -> list[Piece]:
    """The level first, then the largest; what is next to nothing is left out."""
    if note is None or not note.pieces:
        return []
    largest = max(abs(units) for units in note.pieces.values()) or 1.0
    rest = [
        (name, units) for name, units in note.pieces.items() if name != "level" and abs(units) >= PIECE_MIN
    ]
    rest.sort(key=lambda one: -abs(one[1]))
    told = [("level", note.pieces.get("level", 0.0)), *rest]
    return [Piece(name, units, round(100 * abs(units) / largest)) for name, units in told]


@dataclass(frozen=True, slots=True)
class Question:
    """A day that was out of the ordinary: what was it? `answer` is "" until somebody said."""

    sku: str
    name: str
    unit: str
    day: date
    odd: Anomaly
    answer: str


def questions(reader: Reader, sku: str = "") -> list[Question]:
    """Of the last three weeks, those without an answer first."""
    store, ledger = reader.face.forecast, reader.face.ledger
    today = reader.words.local(reader.now_us).date()
    from_day = (today - timedelta(days=ASKED_DAYS)).isoformat()
    if store is None:
        return []
    try:
        odd = [one for one in forecasts.anomalies(store, from_day, sku) if one.kind != "sensor"]
    except sqlite3.Error:
        reader.face.forget()
        return []
    answers = {
        (one.sku, one.starts_on): one.kind
        for one in plans.plans(ledger, sku or None, from_day)
        if one.kind in ANSWERS
    }
    found: dict[tuple[str, str], Question] = {}
    for one in odd:
        item = queries.item(ledger, one.sku)
        if item is not None:
            answer = answers.get((one.sku, one.day), "")
            found.setdefault(
                (one.sku, one.day),
                Question(one.sku, item.name, item.unit, date.fromisoformat(one.day), one, answer),
            )
    return sorted(found.values(), key=lambda question: question.answer != "")[:QUESTIONS_MAX]


def odd_sensors(reader: Reader) -> list[Anomaly]:
    """Thermometers that were out of the ordinary last night."""
    store = reader.face.forecast
    if store is None:
        return []
    from_day = (reader.words.local(reader.now_us).date() - timedelta(days=2)).isoformat()
    try:
        return [one for one in forecasts.anomalies(store, from_day) if one.kind == "sensor"]
    except sqlite3.Error:
        reader.face.forget()
        return []


@dataclass(frozen=True, slots=True)
class Report:
    """All that the model's page shows."""

    status: ModelStatus
    accuracy: Accuracy
    effects: list[Effect]
    hardest: list[tuple[queries.Item, float, float]]

    @property
    def served_by_rule(self) -> bool:
        return self.status.state.get("served_by", "").startswith("simple rule")

    @property
    def trouble(self) -> str:
        """What the worker had to work around last night, in its words; "" when nothing."""
        served = self.status.state.get("served_by", "")
        return served if self.served_by_rule else served.partition("; ")[2]


def report(reader: Reader) -> Report | None:
    """None while there is no whole night yet."""
    store, ledger = reader.face.forecast, reader.face.ledger
    if store is None:
        return None
    try:
        status, found = forecasts.model_status(store), forecasts.accuracy(store)
        hard = [(queries.item(ledger, sku), error, mean) for sku, error, mean in forecasts.hardest(store)]
        effects = forecasts.effects(store)
    except sqlite3.Error:
        reader.face.forget()
        return None
    if not found.items:
        return None
    return Report(
        status, found, effects, [(item, error, mean) for item, error, mean in hard if item is not None]
    )


def under_way(reader: Reader) -> NightProgress | None:
    return forecasts.progress(reader.face.settings.ledger.data_dir)
