"""What an item has sold and is expected to sell: days for the chart, read from ledger.db and forecast.db."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from gateway.ledger.queries import Item
from gateway.web.face import Reader
from gateway.web.today import sold_by_day

HISTORY_DAYS = 42
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Fan:
    """What is expected of one day: the middle, and the range that 8 of 10 such days fall into."""

    day: date
    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """`history`: (day, units sold), today last. `fan` is empty while no forecast has been made."""

    history: list[tuple[date, int]]
    fan: list[Fan]
    days_of_cover: float | None


def of_item(reader: Reader, item: Item) -> Outlook:
    days = sold_by_day(reader.face, reader, HISTORY_DAYS, item.sku)
    fan: list[Fan] = []
    history = [(one.day, one.units) for one in days]
    return Outlook(history, fan, days_of_cover(item.on_hand, history, fan))


def days_of_cover(on_hand: int, history: list[tuple[date, int]], fan: list[Fan]) -> float | None:
    """How long the stock lasts at the expected pace; at that of the last four weeks without a forecast."""
    paces = [one.middle for one in fan] or [units for _, units in history[-29:-1]]
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
        "middle": [*nothing, *(one.middle for one in fan)],
        "high": [*nothing, *(one.high for one in fan)],
    }
