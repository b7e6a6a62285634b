"""Questions to the ledger: one named function each, read-only, answers are dataclasses.

The only module besides `writer`, `feed` and `migrate` that holds SQL of ledger.db. Quantities are in the
item's base unit, money in minor units, `*_us` in microseconds UTC; *on hand* is the sum over real locations.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.ledger.reading import connect as connect
from gateway.ledger.reading import settings_below as settings_below
from gateway.stock.movements import VIRTUAL

_VIRTUAL = f"({', '.join(map(repr, sorted(VIRTUAL)))})"  # our own words, no one's input
_DELTA = f"m.qty * ((m.dst NOT IN {_VIRTUAL}) - (m.src NOT IN {_VIRTUAL}))"
_ON_HAND = f"coalesce((SELECT sum(qty) FROM balance WHERE sku = i.sku AND loc NOT IN {_VIRTUAL}), 0)"
_NEXT_EXPIRY = f"""(SELECT min(l.expiry) FROM balance b JOIN lot l ON l.sku = b.sku AND l.lot = b.lot
                    WHERE b.sku = i.sku AND b.qty > 0 AND b.loc NOT IN {_VIRTUAL})"""
QUARTER_HOUR_US = 900_000_000
GTIN_LENGTHS = (8, 12, 13, 14)


# Items and stock -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """What we know of an item, and how much of it is on hand."""

    sku: str
    name: str
    category: str
    unit: str  # piece, gram, millilitre
    price_minor: int | None
    cost_minor: int | None
    place: str
    stocked: bool
    low_units: int | None
    supplier: str
    pack_units: int
    on_hand: int
    next_expiry: str | None

    @property
    def short(self) -> bool:
        """Nothing left, or at or below the level at which the shop wants to know."""
        return self.stocked and (self.on_hand <= 0 or (self.low_units or 0) >= self.on_hand)


_ITEM = f"""SELECT i.sku, i.name, i.category, i.unit, i.price_minor, i.cost_minor, i.place, i.stocked,
                   i.low_units, i.supplier, i.pack_units, {_ON_HAND} AS on_hand, {_NEXT_EXPIRY}
            FROM item i"""
# for questions about all items: one walk along the balances instead of one search for each item
_HERE = f"(SELECT sku, sum(qty) AS units FROM balance WHERE loc NOT IN {_VIRTUAL} GROUP BY sku)"
_SHORT = f"""i.stocked AND i.sku IN (
    SELECT k.sku FROM item k LEFT JOIN {_HERE} here ON here.sku = k.sku
    WHERE coalesce(here.units, 0) <= coalesce(k.low_units, 0))"""


def item(ledger: sqlite3.Connection, sku: str) -> Item | None:
    """One item by its own key."""
    return next(_items(ledger.execute(f"{_ITEM} WHERE i.sku = ?", (sku,))), None)


def items(
    ledger: sqlite3.Connection, search: str = "", short: bool = False, limit: int = 100, offset: int = 0
) -> list[Item]:
    """Items by name; with `search`, those whose name, key, place or category contains it."""
    where, values = _item_filter(search, short)
    rows = ledger.execute(
        f"{_ITEM} WHERE {where} ORDER BY i.name COLLATE NOCASE, i.sku LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return list(_items(rows))


def item_count(ledger: sqlite3.Connection, search: str = "", short: bool = False) -> int:
    """How many `items` would give without a limit."""
    where, values = _item_filter(search, short)
    return int(ledger.execute(f"SELECT count(*) FROM item i WHERE {where}", values).fetchone()[0])


def _item_filter(search: str, short: bool) -> tuple[str, tuple[str, ...]]:
    wanted = search.strip()
    where = _SHORT if short else "1"
    if not wanted:
        return where, ()
    like = "%" + wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    columns = ("i.name", "i.sku", "i.place", "i.category", "i.supplier")
    anywhere = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
    by_code = "i.sku IN (SELECT sku FROM code WHERE code IN (?, ?))"
    return f"{where} AND ({anywhere} OR {by_code})", (*([like] * len(columns)), wanted, code_key(wanted))


def _items(rows: Iterable[tuple[Any, ...]]) -> Iterator[Item]:
    for row in rows:
        yield Item(*(*row[:7], bool(row[7]), *row[8:]))


def code_key(code: str) -> str:
    """The form in which a printed number stands in table `code`: GTIN-14, anything else as read."""
    return code.zfill(14) if code.isascii() and code.isdigit() and len(code) in GTIN_LENGTHS else code


def sku_of(ledger: sqlite3.Connection, code: str) -> str | None:
    """The item behind its own key or any code printed on it."""
    row = ledger.execute(
        "SELECT sku FROM item WHERE sku = ?1 UNION ALL SELECT sku FROM code WHERE code IN (?1, ?2) LIMIT 1",
        (code, code_key(code)),
    ).fetchone()
    return None if row is None else str(row[0])


@dataclass(frozen=True, slots=True)
class Code:
    """A code printed on an item; `units` base units go with one scan of it."""

    code: str
    units: int


def codes_of(ledger: sqlite3.Connection, sku: str) -> list[Code]:
    rows = ledger.execute("SELECT code, units FROM code WHERE sku = ? ORDER BY units, code", (sku,))
    return [Code(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Level:
    """How much of one lot is at one place of the shop."""

    loc: str
    lot: str
    expiry: str | None
    qty: int


def levels(ledger: sqlite3.Connection, sku: str) -> list[Level]:
    """Where an item is, the lot that expires first on top."""
    rows = ledger.execute(
        f"""SELECT b.loc, b.lot, l.expiry, b.qty FROM balance b
            LEFT JOIN lot l ON l.sku = b.sku AND l.lot = b.lot
            WHERE b.sku = ? AND b.qty <> 0 AND b.loc NOT IN {_VIRTUAL}
            ORDER BY l.expiry IS NULL, l.expiry, b.loc, b.lot""",
        (sku,),
    )
    return [Level(*row) for row in rows]


def on_hand(ledger: sqlite3.Connection, sku: str) -> int:
    return int(ledger.execute(f"SELECT {_ON_HAND} FROM (SELECT ? AS sku) i", (sku,)).fetchone()[0])


def left_at(ledger: sqlite3.Connection, sku: str, loc: str, through_seq: int | None = None) -> int:
    """How much of an item was at one place after movement `through_seq`; now, when that is None."""
    row = ledger.execute("SELECT coalesce(sum(qty), 0) FROM balance WHERE sku = ? AND loc = ?", (sku, loc))
    left = int(row.fetchone()[0])
    if through_seq is None:
        return left
    later = ledger.execute(
        """SELECT coalesce(sum(qty * ((dst = ?1) - (src = ?1))), 0) FROM movement
           WHERE sku = ?2 AND seq > ?3""",
        (loc, sku, through_seq),
    )
    return left - int(later.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Expiring:
    sku: str
    name: str
    unit: str
    place: str
    lot: str
    expiry: str
    qty: int


def expiring(ledger: sqlite3.Connection, until_day: str, limit: int = 100) -> list[Expiring]:
    """Lots still here that expire on or before `until_day` (YYYY-MM-DD), soonest first."""
    rows = ledger.execute(
        f"""SELECT i.sku, i.name, i.unit, i.place, l.lot, l.expiry, sum(b.qty) AS qty
            FROM lot l JOIN balance b ON b.sku = l.sku AND b.lot = l.lot JOIN item i ON i.sku = l.sku
            WHERE l.expiry <= ? AND b.loc NOT IN {_VIRTUAL}
            GROUP BY l.sku, l.lot HAVING sum(b.qty) > 0 ORDER BY l.expiry, i.name LIMIT ?""",
        (until_day, limit),
    )
    return [Expiring(*row) for row in rows]


def negative(ledger: sqlite3.Connection, limit: int = 100) -> list[Item]:
    """Items of which the ledger says less than nothing is here: their shelf wants a count."""
    below = f"SELECT sku FROM {_HERE} WHERE units < 0 ORDER BY units LIMIT ?"
    return list(_items(ledger.execute(f"{_ITEM} WHERE i.sku IN ({below}) ORDER BY on_hand", (limit,))))


@dataclass(frozen=True, slots=True)
class Shelf:
    """How full the shop is: items we keep, and how many of them are here at all."""

    kept: int
    here: int
    short: int


def shelf(ledger: sqlite3.Connection) -> Shelf:
    row = ledger.execute(
        f"""SELECT count(*), coalesce(sum(here.units > 0), 0),
                   coalesce(sum(coalesce(here.units, 0) <= coalesce(i.low_units, 0)), 0)
            FROM item i LEFT JOIN {_HERE} here ON here.sku = i.sku WHERE i.stocked"""
    ).fetchone()
    return Shelf(*row)


def places(ledger: sqlite3.Connection) -> list[str]:
    """Shelf names in use, for a person who names a new item."""
    return [row[0] for row in ledger.execute("SELECT DISTINCT place FROM item WHERE place <> '' ORDER BY 1")]


def categories(ledger: sqlite3.Connection) -> list[str]:
    rows = ledger.execute("SELECT DISTINCT category FROM item WHERE category <> '' ORDER BY 1")
    return [row[0] for row in rows]


# Movements -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of the journal. `delta` is the quantity with the sign that the shop's shelves see."""

    seq: int
    kind: str
    sku: str
    name: str
    unit: str
    qty: int
    delta: int
    src: str
    dst: str
    lot: str
    expiry: str | None
    reason: str | None
    doc: str | None
    device: str
    actor: str | None
    origin: str
    qty_src: str
    wall_us: int
    occurred_us: int | None
    value_minor: int | None
    reverses: int | None
    reversed_by: int | None
    reading: str  # which reading of which run of the device made it; one may make several movements

    @property
    def happened_us(self) -> int:
        """When it happened, as well as that is known."""
        return self.wall_us if self.occurred_us is None else self.occurred_us


_MOVEMENT = f"""SELECT m.seq, m.kind, m.sku, coalesce(i.name, m.sku), coalesce(i.unit, 'piece'),
                       m.qty, {_DELTA}, m.src, m.dst, m.lot, m.expiry, m.reason, m.doc,
                       m.device, m.actor, m.origin, m.qty_src, m.wall_us, m.occurred_us,
                       m.value_minor, m.reverses,
                       (SELECT r.seq FROM movement r WHERE r.reverses = m.seq),
                       rtrim(rtrim(m.idem, '0123456789'), '/')
                FROM movement m LEFT JOIN item i ON i.sku = m.sku"""


def movements(
    ledger: sqlite3.Connection,
    *,
    sku: str = "",
    device: str = "",
    kind: str = "",
    before_seq: int | None = None,
    after_seq: int = 0,
    limit: int = 50,
) -> list[Movement]:
    """The newest movements first, narrowed by what is given."""
    where, wanted = ["m.seq > ?"], [after_seq]  # type: tuple[list[str], list[Any]]
    for column, value in (("m.sku", sku), ("m.device", device), ("m.kind", kind)):
        if value:
            where.append(f"{column} = ?")
            wanted.append(value)
    if before_seq is not None:
        where.append("m.seq < ?")
        wanted.append(before_seq)
    rows = ledger.execute(
        f"{_MOVEMENT} WHERE {' AND '.join(where)} ORDER BY m.seq DESC LIMIT ?", (*wanted, limit)
    )
    return [Movement(*row) for row in rows]


def movement(ledger: sqlite3.Connection, seq: int) -> Movement | None:
    row = ledger.execute(f"{_MOVEMENT} WHERE m.seq = ?", (seq,)).fetchone()
    return None if row is None else Movement(*row)


@dataclass(frozen=True, slots=True)
class Step:
    """A movement, and what was left after it: the reason behind a number on a shelf."""

    movement: Movement
    left: int


def why(ledger: sqlite3.Connection, sku: str, limit: int = 50, before_seq: int | None = None) -> list[Step]:
    """The movements that made the number on hand, newest first, each with what was left after it."""
    listed = movements(ledger, sku=sku, before_seq=before_seq, limit=limit)
    left = on_hand(ledger, sku)
    if before_seq is not None:
        left -= moved_since(ledger, sku, before_seq - 1)
    steps = []
    for one in listed:
        steps.append(Step(one, left))
        left -= one.delta
    return steps


def moved_since(ledger: sqlite3.Connection, sku: str, after_seq: int) -> int:
    """By how much an item's number on hand changed after movement `after_seq`."""
    row = ledger.execute(
        f"SELECT coalesce(sum({_DELTA}), 0) FROM movement m WHERE m.sku = ? AND m.seq > ?", (sku, after_seq)
    ).fetchone()
    return int(row[0])


def last_seq(ledger: sqlite3.Connection) -> int:
    return int(ledger.execute("SELECT coalesce(max(seq), 0) FROM movement").fetchone()[0])


def seq_before(ledger: sqlite3.Connection, wall_us: int) -> int:
    """The newest movement written before `wall_us`; found by halving, for `seq` follows the clock."""
    low, high = 0, last_seq(ledger)
    while low < high:
        middle = (low + high + 1) // 2
        row = ledger.execute("SELECT wall_us FROM movement WHERE seq >= ? LIMIT 1", (middle,)).fetchone()
        if row[0] < wall_us:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, slots=True)
class Sold:
    """Sales of a quarter of an hour, less what was taken back; returns of customers are not sales."""

    from_us: int
    units: int
    sales: int
    value_minor: int


def sold(ledger: sqlite3.Connection, since_us: int, sku: str = "") -> list[Sold]:
    """What was sold since then, by the quarter of an hour, so that any time zone can fold it into days."""
    happened = "coalesce(m.occurred_us, m.wall_us)"
    bound = "m.sku = ?" if sku else "m.seq > ?"
    first = sku or seq_before(ledger, since_us)
    rows = ledger.execute(
        f"""SELECT {happened} / {QUARTER_HOUR_US} * {QUARTER_HOUR_US} AS from_us, -sum({_DELTA}),
                   sum(iif(m.reverses IS NULL, 1, -1)),
                   coalesce(sum(iif(m.reverses IS NULL, 1, -1) * m.value_minor), 0)
            FROM movement m WHERE {bound} AND m.kind = 'sale' AND {happened} >= ?
            GROUP BY from_us HAVING -sum({_DELTA}) <> 0 ORDER BY from_us""",
        (first, since_us),
    )
    return [Sold(*row) for row in rows]


# What waits for a person ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParkedCode:
    """A code that nobody knows yet, and the scans that wait for its name."""

    code: str
    data: str
    scans: int
    first_us: int
    last_us: int
    devices: tuple[str, ...]
    modes: tuple[str, ...]


def parked(ledger: sqlite3.Connection, code: str = "", limit: int = 100) -> list[ParkedCode]:
    """Unknown codes, the newest first."""
    rows = ledger.execute(
        """SELECT code, max(data), count(*), min(wall_us), max(wall_us),
                  json_group_array(DISTINCT device), json_group_array(DISTINCT mode)
           FROM parked WHERE state = 'parked' AND (?1 = '' OR code = ?1)
           GROUP BY code ORDER BY max(wall_us) DESC LIMIT ?2""",
        (code, limit),
    )
    return [ParkedCode(*(*row[:5], *(tuple(json.loads(names)) for names in row[5:]))) for row in rows]


@dataclass(frozen=True, slots=True)
class ParkedScan:
    """One scan that waits for its code's name."""

    code: str
    data: str
    device: str
    mode: str
    qty: int
    wall_us: int


def parked_scans(ledger: sqlite3.Connection, limit: int = 50, device: str = "") -> list[ParkedScan]:
    """The newest scans of unknown codes."""
    rows = ledger.execute(
        """SELECT code, data, device, mode, qty, wall_us FROM parked
           WHERE state = 'parked' AND (?1 = '' OR device = ?1) ORDER BY wall_us DESC LIMIT ?2""",
        (device, limit),
    )
    return [ParkedScan(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Alert:
    id: int
    kind: str
    subject: str
    severity: str
    text: str
    data: dict[str, Any]
    first_us: int
    last_us: int
    count: int
    state: str


def alerts(ledger: sqlite3.Connection, states: tuple[str, ...] = ("open",), limit: int = 100) -> list[Alert]:
    """Alerts in these states, the most severe and newest first."""
    marks = ", ".join("?" * len(states))
    rows = ledger.execute(
        f"""SELECT id, kind, subject, severity, text, data, first_us, last_us, count, state FROM alert
            WHERE state IN ({marks})
            ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 WHEN 'info' THEN 2 ELSE 3 END,
                     last_us DESC LIMIT ?""",
        (*states, limit),
    )
    return [Alert(*(*row[:5], json.loads(row[5]), *row[6:])) for row in rows]


def alert_count(ledger: sqlite3.Connection) -> int:
    return int(ledger.execute("SELECT count(*) FROM alert WHERE state = 'open'").fetchone()[0])


# Stations, devices, the line to the back office ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Station:
    """What a scanner is doing just now."""

    device: str
    mode: str
    loc: str
    state: dict[str, Any]
    since_us: int


def stations(ledger: sqlite3.Connection) -> list[Station]:
    rows = ledger.execute("SELECT device, mode, loc, state, since_us FROM station ORDER BY device")
    return [Station(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Movements that the back office has not confirmed."""

    count: int
    oldest_us: int | None


def waiting(ledger: sqlite3.Connection) -> Waiting:
    """How much of the ledger the back office does not have yet."""
    confirmed = "coalesce((SELECT seq FROM cursor WHERE name = 'L'), 0)"
    oldest = ledger.execute(
        f"SELECT wall_us FROM movement WHERE seq > {confirmed} ORDER BY seq LIMIT 1"
    ).fetchone()
    count = ledger.execute(f"SELECT coalesce(max(seq), 0) - {confirmed} FROM movement").fetchone()[0]
    return Waiting(max(0, count), None if oldest is None else int(oldest[0]))


@dataclass(frozen=True, slots=True)
class DeviceState:
    """How a device is, in the words of its driver's host."""

    device: str
    driver: str
    state: str
    text: str
    since_us: int
    last_reading_us: int | None
    counts: dict[str, int]


def weights(telemetry: sqlite3.Connection, device: str, since_us: int) -> list[tuple[int, float, str]]:
    """(wall_us, value, unit) of the stable weights of a scale, oldest first."""
    return telemetry.execute(
        """SELECT wall_us, value, sensor FROM sample
           WHERE device = ? AND quantity = 'weight' AND wall_us >= ? ORDER BY wall_us""",
        (device, since_us),
    ).fetchall()


def moved_at(ledger: sqlite3.Connection, sku: str, loc: str, since_us: int) -> list[tuple[int, int]]:
    """(wall_us, units) of what came to a place (+) or left it (-), oldest first; by when it happened."""
    return ledger.execute(
        """SELECT coalesce(occurred_us, wall_us) AS at_us, iif(dst = ?2, qty, -qty) FROM movement
           WHERE sku = ?1 AND (src = ?2 OR dst = ?2) AND wall_us >= ?3 ORDER BY at_us""",
        (sku, loc, since_us),
    ).fetchall()


def units_at(ledger: sqlite3.Connection, sku: str, loc: str) -> int:
    """On hand of one item at one place, all lots."""
    [(units,)] = ledger.execute("SELECT sum(qty) FROM balance WHERE sku = ? AND loc = ?", (sku, loc))
    return units or 0


def device_states(telemetry: sqlite3.Connection) -> list[DeviceState]:
    rows = telemetry.execute(
        """SELECT device, driver, state, text, since_us, last_reading_us, counts
           FROM device_state ORDER BY device"""
    )
    return [DeviceState(*(*row[:6], json.loads(row[6]))) for row in rows]


@dataclass(frozen=True, slots=True)
class LinkState:
    name: str
    state: str
    text: str
    since_us: int


def link_states(telemetry: sqlite3.Connection) -> list[LinkState]:
    rows = telemetry.execute("SELECT name, state, text, since_us FROM link_state ORDER BY name")
    return [LinkState(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest value of one quantity of one probe."""

    device: str
    sensor: str
    quantity: str
    value: float
    wall_us: int


def latest_samples(telemetry: sqlite3.Connection) -> list[Sample]:
    rows = telemetry.execute(
        """SELECT device, sensor, quantity, value, max(wall_us) FROM sample
           GROUP BY device, sensor, quantity ORDER BY device, sensor, quantity"""
    )
    return [Sample(*row) for row in rows]
