"""What the counter page shows: the last thing that happened, large; the lines before it; the mode.

Everything that changed stock is read from the ledger each time. Only what the ledger does not keep (a mode
that changed, a code that was not read, a look-up) comes from the core's hints, and may be missing.
"""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from drivers.bus import Event
from gateway.ledger import queries
from gateway.ledger.queries import Item, Movement, ParkedScan
from gateway.stock.stations import WASTE_REASONS

LINES_SHOWN = 12
ROWS_READ = 60  # movements that become at most LINES_SHOWN lines
LOOK_BACK_ROWS = 5_000  # a scanner that did nothing for so long starts with an empty list
SAME_LINE_US = 60_000_000  # the same item again within a minute is "x2" on its line
SPEAKS_US = 15 * 60_000_000  # a hint older than this is no longer "just now"
EXPIRY_NOTICE_DAYS = 7

MODES = ("look", "sell", "receive", "waste", "move", "return", "to_supplier")
# mode -> (its key, the code that its button sends). Waste wants a reason, so its button opens a list of them;
# move wants places, return and to_supplier are rare: those are scanned from the sheet or typed.
BUTTONS = {"sell": ("F2", "SK/SELL"), "receive": ("F3", "SK/RECEIVE"), "look": ("F4", "SK/LOOK")}
WASTE_KEY, UNDO_KEY = "F6", "F9"
KIND_MODES = {
    "sale": "sell",
    "dispatch": "sell",
    "receipt": "receive",
    "opening": "receive",
    "customer_return": "return",
    "supplier_return": "to_supplier",
    "transfer": "move",
    "waste": "waste",
    "count_correction": "count",
    "make_in": "move",
    "make_out": "move",
}
NOTES = ("garbled", "refused", "late")  # hints that become lines of their own
NEXT_QUANTITY = re.compile(r"x(\d+) next")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list. `mode` is a word of MODES or "count": colour, icon and verb follow from it."""

    at_us: int
    code: str  # an outcome code
    mode: str
    name: str
    unit: str = "piece"
    sku: str = ""
    change: int = 0
    left: int | None = None
    times: int = 1
    undone: bool = False
    about: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    """The large panel. `code` "ready" means that nothing happened yet."""

    code: str
    mode: str
    at_us: int = 0
    item: Item | None = None
    name: str = ""
    about: str = ""
    change: int = 0
    left: int | None = None
    text: str = ""
    parked: int = 0
    next_quantity: int = 0
    expiring_units: int = 0
    expires_on: str = ""
    printed: str = ""  # the code that people can read on the thing
    reason: str = ""  # of waste


@dataclass(frozen=True, slots=True)
class View:
    """All that the page needs, of one moment."""

    device: str
    mode: str
    loc: str
    card: Card
    lines: tuple[Line, ...]
    trouble: str  # why nothing is being counted, or ""


def view(
    ledger: sqlite3.Connection,
    events: Sequence[Event],
    device: str,
    home: tuple[str, str],
    now_us: int,
    soon_day: str,
    trouble: str = "",
) -> View:
    """The page of one station; `home` is the mode and place it has when nothing else is known.

    `soon_day` (YYYY-MM-DD): lots that expire by then are worth a word. `trouble`: why nothing is booked.
    """
    standing = next((one for one in queries.stations(ledger) if one.device == device), None)
    mode, loc = (standing.mode, standing.loc) if standing else home
    own = [event for event in events if event.device in (device, "")]
    newest_event = next((one for one in reversed(own) if now_us - one.wall_us < SPEAKS_US), None)
    booked = movement_lines(ledger, device, loc)
    parked = parked_lines(queries.parked_scans(ledger, LINES_SHOWN, device))
    noted = [note_line(event) for event in own if event.code in NOTES]
    lines = sorted([*booked, *parked, *noted], key=lambda line: line.at_us, reverse=True)[:LINES_SHOWN]
    card = card_of_event(ledger, newest_event, mode) if newest_event else card_of_line(ledger, lines, mode)
    card = enrich(ledger, card, loc, soon_day)
    return View(device, mode, loc, card, tuple(lines), trouble)


def movement_lines(ledger: sqlite3.Connection, device: str, loc: str) -> list[Line]:
    """The newest bookings of a station: one line for a reading, one for the same item again and again."""
    after_seq = max(0, queries.last_seq(ledger) - LOOK_BACK_ROWS)
    rows = queries.movements(ledger, device=device, after_seq=after_seq, limit=ROWS_READ)
    lines: list[Line] = []
    for rows_of_reading in by_reading(rows):
        line = movement_line(rows_of_reading)
        if line is None:
            continue
        if lines and same_line(lines[-1], line):
            above = lines[-1]
            lines[-1] = replace(above, times=above.times + 1, change=above.change + line.change)
        elif len(lines) == LINES_SHOWN:
            break
        else:
            left = queries.left_at(ledger, line.sku, loc, line.seq)
            lines.append(replace(line, left=left))
    return lines


def by_reading(rows: Iterable[Movement]) -> list[list[Movement]]:
    """Rows that one reading made (a quantity taken from two lots) belong together."""
    groups: list[list[Movement]] = []
    for row in rows:
        if groups and groups[-1][0].reading == row.reading:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def movement_line(rows: list[Movement]) -> Line | None:
    """A reversal has no line of its own: the line that it took back is struck through."""
    newest = rows[0]
    if newest.reverses is not None:
        return None
    return Line(
        at_us=newest.happened_us,
        code="ok",
        mode=KIND_MODES[newest.kind],
        name=newest.name,
        unit=newest.unit,
        sku=newest.sku,
        change=sum(row.delta if row.delta else row.qty for row in rows),
        undone=newest.reversed_by is not None,
        seq=newest.seq,
    )


def same_line(above: Line, below: Line) -> bool:
    return (
        above.sku == below.sku
        and above.mode == below.mode
        and above.undone == below.undone
        and above.at_us - below.at_us < SAME_LINE_US
    )


def parked_lines(scans: Iterable[ParkedScan]) -> list[Line]:
    """One line for an unknown code, however often it was scanned in a row; newest first."""
    lines: list[Line] = []
    for scan in scans:
        if lines and lines[-1].about == scan.code:
            lines[-1] = replace(lines[-1], times=lines[-1].times + 1)
        else:
            lines.append(Line(scan.wall_us, "unknown", scan.mode, scan.data, about=scan.code))
    return lines


def note_line(event: Event) -> Line:
    """What happened without changing stock; a late acknowledgement is told by its text alone."""
    name = event.text if event.code == "late" else event.about
    return Line(event.wall_us, event.code, event.mode, name, sku=event.sku)


def card_of_event(ledger: sqlite3.Connection, event: Event, mode: str) -> Card:
    wanted = NEXT_QUANTITY.fullmatch(event.text)
    return Card(
        code=event.code,
        mode=event.mode or mode,
        at_us=event.wall_us,
        item=queries.item(ledger, event.sku) if event.sku else None,
        about=event.about,
        change=event.qty,
        left=event.left,
        text=event.text,
        next_quantity=int(wanted[1]) if wanted else 0,
        reason=next((one for one in WASTE_REASONS if event.text == f"waste ({one})"), ""),
    )


def card_of_line(ledger: sqlite3.Connection, lines: Sequence[Line], mode: str) -> Card:
    """Nothing was said since this process started: the newest line of the ledger stands in."""
    line = next((line for line in lines if not line.undone), None)
    if line is None:
        return Card("ready", mode)
    item = queries.item(ledger, line.sku) if line.sku else None
    return Card(line.code, line.mode, line.at_us, item, line.name, line.about, line.change, line.left)


def enrich(ledger: sqlite3.Connection, card: Card, loc: str, soon_day: str) -> Card:
    """What the ledger adds: the item, how much is here now, which lot should leave first."""
    if card.code == "unknown":
        of_code = queries.parked(ledger, queries.code_key(card.about))
        return replace(card, parked=sum(one.scans for one in of_code))
    item = card.item
    if item is None:
        return card
    here = [level for level in queries.levels(ledger, item.sku) if level.loc == loc]
    soon = [level for level in here if level.expiry and level.expiry <= soon_day and level.qty > 0]
    codes = queries.codes_of(ledger, item.sku)
    return replace(
        card,
        item=item,
        name=item.name,
        left=card.left if card.left is not None else sum(level.qty for level in here),
        expiring_units=sum(level.qty for level in soon if level.expiry == soon[0].expiry),
        expires_on=(soon[0].expiry or "") if soon else "",
        printed=codes[0].code.lstrip("0") if codes else item.sku,
    )
