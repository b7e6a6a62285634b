"""What an item has sold and is expected to sell: the days of its chart, and how far they can be trusted."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from gateway.ledger import forecasts, queries
from gateway.ledger.forecasts import ForecastNote
from gateway.ledger.queries import Item
from gateway.web.face import Reader
from gateway.web.today import sold_by_day

HISTORY_DAYS = 42
EXPECTED_DAYS = 14
PACE_DAYS = 28
DAY_S = 86_400
NEW = "new"  # what the worker calls the model of an item without days of its own


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one day: the mean, and the range that 8 of 10 such days fall into."""

    day: date
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """`history`: (day, units sold), today last. `fan` is empty while no forecast has been made."""

    history: list[tuple[date, int]]
    fan: list[Expected]
    note: ForecastNote | None
    days_of_cover: float | None
    like: str = ""  # the name of the item that a new one is compared with

    @property
    def is_new(self) -> bool:
        """Without days of its own yet: it is expected to sell like others of its kind."""
        return self.note is not None and self.note.model.startswith(NEW)

    @property
    def a_week(self) -> float:
        """The mean expected demand of a day of the next week; 0 without a forecast."""
        week = self.fan[:7]
        return sum(one.mean for one in week) / len(week) if week else 0.0


def of_item(reader: Reader, item: Item) -> Outlook:
    """The item's last six weeks and next two."""
    days = sold_by_day(reader.face, reader, HISTORY_DAYS, item.sku)
    history = [(one.day, one.units) for one in days]
    tomorrow = date.fromordinal(history[-1][0].toordinal() + 1)
    fan, note = expected(reader, item.sku, tomorrow)
    like = note.model.removeprefix(f"{NEW}, like ") if note and note.model.startswith(f"{NEW}, like ") else ""
    sister = queries.item(reader.face.ledger, like) if like else None
    cover = days_of_cover(item.on_hand, history, fan)
    return Outlook(history, fan, note, cover, sister.name if sister else like)


def expected(reader: Reader, sku: str, from_day: date) -> tuple[list[Expected], ForecastNote | None]:
    """The forecast from `from_day` on; nothing while there is none, or its file is being made."""
    store = reader.face.forecast
    if store is None:
        return [], None
    try:
        rows = forecasts.forecast(store, sku, from_day.isoformat(), EXPECTED_DAYS)
        note = forecasts.forecast_note(store, sku)
    except sqlite3.Error:
        reader.face.forget()
        return [], None
    return [Expected(date.fromisoformat(row.day), row.mean, row.low, row.high) for row in rows], note


def days_of_cover(on_hand: int, history: list[tuple[date, int]], fan: list[Expected]) -> float | None:
    """How long the stock lasts at the expected pace; without a forecast, at that of the last four weeks."""
    paces = [one.mean for one in fan] or [units for _, units in history[-PACE_DAYS - 1 : -1]]
    if not paces or sum(paces) <= 0 or on_hand <= 0:
        return None
    return on_hand / (sum(paces) / len(paces))


def chart(reader: Reader, outlook: Outlook) -> dict[str, list[object] | int]:
    """What the chart's script draws: one entry a day in each list, None where a line has nothing to say."""
    history, fan = outlook.history, outlook.fan
    nothing: list[object] = [None] * len(history)
    days = [day for day, _ in history] + [one.day for one in fan]
    first_s = int(datetime.combine(days[0], time(), UTC).timestamp())
    stamps: list[object] = [first_s + DAY_S * (day - days[0]).days for day in days]
    return {
        "days": stamps,
        "labels": [reader.words.date(day, history[-1][0]) for day in days],
        "today": first_s + DAY_S * (len(history) - 1),
        "sold": [units for _, units in history] + [None] * len(fan),
        "low": [*nothing, *(one.low for one in fan)],
        "middle": [*nothing, *(one.mean for one in fan)],
        "high": [*nothing, *(one.high for one in fan)],
    }
