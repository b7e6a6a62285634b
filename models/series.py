"""From ledger to series: daily demand per item, kept incrementally in forecast.db, and the calendar around it.

Demand of a day = sales and dispatches less their cancellations, booked to the day of the original. A customer's return
is not negative demand: somebody did want the item on the day it was sold. A day that closes with nothing on the shelf
is censored (demand was at least what was sold) once the item has ever been counted in.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from models.panel import Floats, Panel

HISTORY_DAYS_MAX = 1200
PLAN_DAYS = 90  # calendar rows reach this far past the last day
FIRST_DAY_MIN = date(2000, 1, 1)  # an older stamp is a clock that did not know the date
DAY_US = 86_400_000_000
REVERSAL_DAYS_MAX = 400  # a cancellation changes days at most so long ago
WEEK_DAYS = 7
_REAL = "NOT IN ('SUPPLIER', 'CUSTOMER', 'SCRAP', 'ADJUST', 'TRANSIT', 'TRANSFORM')"
_DAYS = f"""
SELECT m.sku, (coalesce(o.occurred_us, o.wall_us, m.occurred_us, m.wall_us) + :offset_us) / 86400000000 AS day,
       sum(CASE WHEN m.kind NOT IN ('sale', 'dispatch') THEN 0 WHEN m.reverses IS NULL THEN m.qty ELSE -m.qty END),
       sum(m.qty * ((m.dst {_REAL}) - (m.src {_REAL})))
FROM movement m LEFT JOIN movement o ON o.seq = m.reverses
WHERE m.seq > :after AND m.seq <= :through
  AND coalesce(o.occurred_us, o.wall_us, m.occurred_us, m.wall_us) >= :from_us
  AND coalesce(o.occurred_us, o.wall_us, m.occurred_us, m.wall_us) < :until_us
GROUP BY m.sku, day ORDER BY m.sku, day"""


_PRICES = """
SELECT sku, coalesce(occurred_us, wall_us) / 86400000000 AS day, 1.0 * sum(value_minor) / sum(qty)
FROM movement WHERE seq > ? AND seq <= ? AND kind = 'sale' AND reverses IS NULL AND value_minor > 0
GROUP BY sku, day ORDER BY sku, day"""
SAME_PRICE = 0.01  # a smaller difference is a till's rounding
_SENSOR_DAYS = """
SELECT CASE WHEN sensor = '' THEN device ELSE device || '/' || sensor END, wall_us, value FROM sample
WHERE quantity = 'celsius' AND wall_us >= ? ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class DayRow:
    """What the ledger says of one item and one local day."""

    sku: str
    day: int  # proleptic ordinal
    demand_units: int
    change_units: int  # of the stock on hand


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the calendar: a plan, or a person's answer about a day. `sku` '' is the whole shop."""

    sku: str
    starts_on: date
    ends_on: date
    kind: str  # those of gateway.ledger.plans
    strength: float = 1.0
    price_minor: int | None = None  # of a planned price


def read_only(ledger_path: Path) -> sqlite3.Connection:
    ledger = sqlite3.connect(f"file:{ledger_path}?mode=ro", uri=True, isolation_level=None, timeout=5)
    ledger.execute("PRAGMA query_only = ON")
    return ledger


def sold_days(
    ledger: sqlite3.Connection, after_seq: int, through_seq: int, zone: ZoneInfo
) -> Iterable[DayRow]:
    """Demand and stock change per item and local day of the movements after_seq < seq <= through_seq."""
    stamp = "coalesce(occurred_us, wall_us)"
    query = f"SELECT min({stamp}), max({stamp}) FROM movement WHERE seq > ? AND seq <= ?"
    first_us, last_us = ledger.execute(query, (after_seq, through_seq)).fetchone()
    if first_us is None:
        return
    # a cancellation is booked to its original's day, which may lie before every new movement
    oldest_us = _midnight_us(FIRST_DAY_MIN)
    bounds = {"after": after_seq, "through": through_seq}
    first_us = max(oldest_us, first_us - REVERSAL_DAYS_MAX * DAY_US)
    pieces = []
    for from_us, until_us, offset_us in _offsets(first_us, last_us, zone):
        span = {"from_us": from_us, "until_us": until_us, "offset_us": offset_us}
        pieces.append(ledger.execute(_DAYS, bounds | span))
    epoch = date(1970, 1, 1).toordinal()
    for sku, day, demand, change in heapq.merge(*pieces):  # each is sorted already: nothing is held in memory
        yield DayRow(sku, int(day) + epoch, int(demand), int(change))


def sold_prices(
    ledger: sqlite3.Connection, after_seq: int, through_seq: int
) -> Iterable[tuple[str, int, float]]:
    """(sku, ordinal, mean price at the till per base unit in minor units) of each day with a priced sale."""
    epoch = date(1970, 1, 1).toordinal()
    for sku, day, minor in ledger.execute(_PRICES, (after_seq, through_seq)):
        yield sku, int(day) + epoch, float(minor)


def sensor_days(
    telemetry: sqlite3.Connection, from_day: date, through: date, zone: ZoneInfo
) -> dict[tuple[str, str], float]:
    """(sensor, day) -> mean degrees Celsius of the shop's own thermometers, whole days only."""
    from_us = _midnight_us(from_day) - DAY_US
    sums: dict[tuple[str, str], tuple[float, int]] = {}
    for sensor, wall_us, value in telemetry.execute(_SENSOR_DAYS, (from_us,)):
        day = datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone(zone).date()
        if from_day <= day <= through and -90 <= value <= 150:
            total, count = sums.get((sensor, day.isoformat()), (0.0, 0))
            sums[sensor, day.isoformat()] = total + value, count + 1
    return {key: total / count for key, (total, count) in sums.items()}


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def _offsets(first_us: int, last_us: int, zone: ZoneInfo) -> list[tuple[int, int, int]]:
    """(from, until, offset) pieces of constant UTC offset: two a year where the clocks change."""
    hour_us = 3_600_000_000
    pieces: list[tuple[int, int, int]] = []
    start_us = first_us - first_us % hour_us
    for at_us in range(start_us, last_us + hour_us, hour_us):
        moment = datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(zone)
        offset = moment.utcoffset()
        offset_us = 0 if offset is None else int(offset.total_seconds()) * 1_000_000
        if pieces and pieces[-1][2] == offset_us:
            pieces[-1] = (pieces[-1][0], at_us + hour_us, offset_us)
        else:
            pieces.append((at_us, at_us + hour_us, offset_us))
    return pieces


@dataclass(frozen=True, slots=True)
class Series:
    """One item as kept in forecast.db: a value a day from `first_day` on, zero where nothing was booked."""

    sku: str
    first_day: int  # ordinal
    demand: Floats
    change: Floats

    def with_days(self, rows: list[DayRow]) -> Series:
        """The same item with more movements booked; an earlier day moves the start."""
        first = min(self.first_day, rows[0].day) if len(self.demand) else rows[0].day
        last = max(rows[-1].day, self.first_day + len(self.demand) - 1) if len(self.demand) else rows[-1].day
        demand, change = np.zeros((2, last - first + 1), np.float32)
        if len(self.demand):
            old = slice(self.first_day - first, self.first_day - first + len(self.demand))
            demand[old], change[old] = self.demand, self.change
        for row in rows:
            demand[row.day - first] += row.demand_units
            change[row.day - first] += row.change_units
        return Series(self.sku, first, demand, change)


def panel_of(
    series: list[Series],
    categories: dict[str, str],
    events: list[Event],
    through: date,
    country: str | None,
    subdivision: str | None = None,
) -> Panel:
    """The shop at the close of `through`. Days after it are ignored: a clock that ran ahead wrote them."""
    series = [item for item in series if item.first_day <= through.toordinal() and item.demand.any()]
    first = max(
        min((item.first_day for item in series), default=through.toordinal()),
        through.toordinal() - HISTORY_DAYS_MAX + 1,
    )
    days = through.toordinal() - first + 1
    units, censored = _booked(series, first, days)
    calendar = _Calendar.of(series, first, days + PLAN_DAYS)
    for event in sorted(
        events, key=lambda event: event.kind != "closed"
    ):  # a week's sum goes to its open days
        calendar.enter(event, units)
    names = sorted({categories.get(item.sku, "") for item in series})
    first_day = date.fromordinal(first)
    return Panel(
        keys=tuple(item.sku for item in series),
        first_day=first_day,
        units=units,
        censored=censored,
        groups=np.array([names.index(categories.get(item.sku, "")) for item in series], np.int32),
        closed=calendar.closed,
        holiday=holiday_row(first_day, days + PLAN_DAYS, country, subdivision),
        school_holiday=calendar.school_holiday,
        promotion=calendar.promotion,
        display=calendar.display,
    )


def _booked(series: list[Series], first: int, days: int) -> tuple[Floats, np.ndarray]:
    """(items, days) demand, NaN before an item's first day; and whether the day closed with nothing on the shelf."""
    units = np.full((len(series), days), np.nan, np.float32)
    censored = np.zeros((len(series), days), np.bool_)
    for row, item in enumerate(series):
        start, skipped = max(item.first_day - first, 0), max(first - item.first_day, 0)
        demand = np.zeros(days - start, np.float32)
        kept = item.demand[skipped:][: len(demand)]
        demand[: len(kept)] = np.maximum(kept, 0)
        units[row, start:] = demand
        stock = np.cumsum(item.change, dtype=np.float64)
        closing = np.full(len(demand), stock[-1] if len(stock) else 0)
        closing[: len(kept)] = stock[skipped:][: len(demand)]
        censored[row, start:] = (closing <= 0) & bool((item.change > 0).any())  # counted in at least once
    return units, censored


@dataclass(frozen=True, slots=True)
class _Calendar:
    """What people planned, day by day from `first` (an ordinal) on; (1, days) of the shop or (items, days)."""

    first: int
    rows: dict[str, int]  # sku -> row
    closed: np.ndarray
    school_holiday: np.ndarray
    promotion: Floats
    display: Floats

    @classmethod
    def of(cls, series: list[Series], first: int, days: int) -> _Calendar:
        rows = {item.sku: row for row, item in enumerate(series)}
        closed, school_holiday = np.zeros((2, 1, days), np.bool_)
        promotion, display = np.zeros((2, len(series), days), np.float32)
        return cls(first, rows, closed, school_holiday, promotion, display)

    def enter(self, event: Event, units: Floats) -> None:
        """One line of the calendar; what it says of past days goes into `units` (items, days)."""
        starts, ends = event.starts_on.toordinal() - self.first, event.ends_on.toordinal() - self.first
        span = slice(max(0, starts), max(0, ends + 1))
        if event.kind in ("closed", "school_holiday"):
            (self.closed if event.kind == "closed" else self.school_holiday)[0, span] = True
            return
        which = slice(None) if event.sku == "" else self.rows.get(event.sku)
        if which is None:
            return
        if event.kind == "one_off":
            units[which, span] = np.nan  # a person said that this day says nothing about the others
        elif event.kind == "launch":
            units[which, : span.start] = np.nan
        elif event.kind == "weekly_sums":
            spread_weeks(units[which].reshape(-1, units.shape[1]), self.closed[0], span)
        elif event.kind in ("promotion", "display"):
            (self.display if event.kind == "display" else self.promotion)[which, span] = event.strength


def spread_weeks(units: Floats, closed: np.ndarray, span: slice) -> None:
    """In place: what was booked on a day of `span` is the sum of the seven days up to it; open days share it evenly."""
    for day in range(span.start, min(span.stop, units.shape[1])):
        week = np.arange(max(0, day - WEEK_DAYS + 1), day + 1)
        week = week[~closed[week]] if (~closed[week]).any() else week
        total = np.nan_to_num(units[:, day])
        booked = total > 0
        units[booked, day] = 0
        units[np.ix_(booked, week)] = (
            np.nan_to_num(units[np.ix_(booked, week)]) + (total / len(week))[booked, None]
        )


def holiday_row(first_day: date, days: int, country: str | None, subdivision: str | None) -> np.ndarray:
    """(1, days) public holidays; none where the shop has not said its country, or one that nobody knows.

    A forecast without holidays is better than none; `storekeeper doctor` names the setting.
    """
    row = np.zeros((1, days), np.bool_)
    if country:
        import holidays  # 50 ms: only where a country is set

        try:
            known = holidays.country_holidays(country, subdiv=subdivision)
        except NotImplementedError:
            return row
        row[0] = [first_day + timedelta(days=index) in known for index in range(days)]
    return row


def ledger_events(ledger: sqlite3.Connection) -> list[Event]:
    """What people planned and answered; an older ledger has no such table."""
    if not has_table(ledger, "plan"):
        return []
    rows = ledger.execute(
        "SELECT sku, starts_on, ends_on, kind, strength, price_minor FROM plan ORDER BY sku, starts_on, kind"
    )
    return [
        Event(sku, date.fromisoformat(starts_on), date.fromisoformat(ends_on), kind, strength, price)
        for sku, starts_on, ends_on, kind, strength, price in rows
    ]


def has_table(file: sqlite3.Connection, name: str) -> bool:
    row = file.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
    return row is not None
