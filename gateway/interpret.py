"""What a reading means for the shop: movements, a change of mode, or a question for a person. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec.structs import replace

from drivers.contract import Outcome, OutcomeCode, Scan
from gateway.stock import stations
from gateway.stock.codes import Coded, read
from gateway.stock.items import Item, Known
from gateway.stock.lots import LotStock, fefo, is_expired
from gateway.stock.movements import Draft, Kind, QuantitySource, reversal
from gateway.stock.stations import COMMAND_PREFIX, HOME_AFTER_S, NotACommand, Station


class Shelves(Protocol):
    """What has to be known about the shop to understand a reading. Answers include what this batch booked."""

    def known(self, code: str) -> Known | None:
        """The item behind a GTIN-14 or shop code."""

    def lots(self, sku: str, location: str) -> list[LotStock]:
        """All lots with a balance at that location, the unknown lot "" included."""

    def last_booking(self, device: str) -> list[tuple[int, Draft]]:
        """(seq, movement) of what this scanner booked last and nobody took back yet; [] when too old."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When a reading happened, and what the shop has decided about such moments."""

    now_s: float  # monotonic, of the reading
    idle_s: float  # since the station's last reading
    occurred_us: int
    quality: str
    today: str | None  # YYYY-MM-DD in the shop; None while the clock is not trusted
    block_expired: bool = False
    rcn_region: str = ""
    rcn_template: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """A code that nobody knows yet, with all that is needed to book it once somebody names it."""

    code: str
    data: str
    aim: str | None
    mode: str
    location: str
    quantity: int
    argument: str = ""  # of the mode: why it is waste, where it moves to


class Effect(msgspec.Struct, frozen=True):
    """What one reading comes to. Nothing has happened yet: the ledger carries it out, whole or not at all."""

    outcome: Outcome
    station: Station
    drafts: tuple[Draft, ...] = ()
    parked: Parked | None = None
    sku: str = ""
    change: int = 0  # signed, as the shelf sees it
    left: int | None = None


# mode -> kind; the station's location is the shelf's end of the movement, the other end is given here
SOURCE_IS_SHELF: dict[str, tuple[Kind, str]] = {
    "sell": ("sale", "CUSTOMER"),
    "waste": ("waste", "SCRAP"),
    "to_supplier": ("supplier_return", "SUPPLIER"),
}
DESTINATION_IS_SHELF: dict[str, tuple[Kind, str]] = {
    "receive": ("receipt", "SUPPLIER"),
    "return": ("customer_return", "CUSTOMER"),
}


def interpret(scan: Scan, station: Station, shelves: Shelves, moment: Moment) -> Effect:
    """One scan at one station."""
    if moment.idle_s > HOME_AFTER_S:
        station = station.home()
    if scan.data.startswith(COMMAND_PREFIX):
        return _command(scan.data, station, shelves, moment)
    coded = read(scan.data, scan.aim, moment.rcn_region, moment.rcn_template)
    return _item(scan, coded, station, shelves, moment)


def _command(code: str, station: Station, shelves: Shelves, moment: Moment) -> Effect:
    if code == "SK/UNDO":
        return _undo(station, shelves, moment)
    try:
        station, text = stations.obey(station, code, moment.now_s)
    except NotACommand as error:
        return Effect(Outcome("refused", str(error)), station)
    return Effect(Outcome("mode", text), station)


def _undo(station: Station, shelves: Shelves, moment: Moment) -> Effect:
    booked = shelves.last_booking(station.device)
    if not booked:
        return Effect(Outcome("refused", "nothing to undo on this scanner"), station)
    drafts = tuple(
        reversal(movement, seq, occurred_us=moment.occurred_us, origin="scan") for seq, movement in booked
    )
    _, last = booked[-1]
    change = sum(movement.quantity for _, movement in booked)
    sign = 1 if last.source == station.location else -1
    return Effect(
        Outcome("undo", f"taken back: {last.kind} of {change}"),
        station,
        drafts,
        sku=last.sku,
        change=sign * change,
    )


def _item(
    scan: Scan, candidates: Sequence[Coded], station: Station, shelves: Shelves, moment: Moment
) -> Effect:
    found = [
        (coded, known)
        for coded in candidates
        if coded.code and (known := shelves.known(coded.code)) is not None
    ]
    if len(found) > 1 and len({known.item.sku for _, known in found}) > 1:
        names = ", ".join(known.item.name for _, known in found)
        return Effect(Outcome("refused", f"this code may be several items: {names}; choose one"), station)
    if station.mode == "move" and not (station.location and station.destination):
        return Effect(
            Outcome("refused", "scan the place to take from, then the place to move to: SK/LOC/<name>"),
            station,
        )
    if not found:
        return _unknown(scan, candidates, station, moment)
    coded, known = found[0]
    if station.mode == "look":
        return _look(known.item, station, shelves, moment)
    if known.item.blocked and station.mode == "sell":
        text = f"{known.item.name} is blocked: {known.item.blocked}. Take it off the shelf"
        return Effect(Outcome("refused", text), _without_quantity(station), sku=known.item.sku)
    if not known.item.stocked:
        text = f"{known.item.name}: not kept in stock"
        return Effect(Outcome("shown", text), _without_quantity(station), sku=known.item.sku)
    if _lacks_its_price(coded, known.item):
        waits = _unknown(scan, [coded], station, moment)
        text = f"{known.item.name}: parked until its price per kilogram is known"
        return replace(waits, outcome=Outcome("unknown", text), sku=known.item.sku)
    quantity, origin = _quantity(coded, known, station, moment)
    if quantity == 0:
        text = f"{known.item.name} is sold by weight: scan SK/QTY/<grams> first"
        return Effect(Outcome("refused", text), station)
    return _book(coded, known.item, quantity, origin, _without_quantity(station), shelves, moment)


def _unknown(scan: Scan, candidates: Sequence[Coded], station: Station, moment: Moment) -> Effect:
    wrong = next((coded.error for coded in candidates if coded.error), "")
    if not any(coded.code for coded in candidates):
        return Effect(Outcome("garbled", wrong or "not a code"), station)
    if station.mode == "look":
        return Effect(Outcome("unknown", f"{scan.data}: nobody has named this code yet"), station)
    parked = Parked(
        code=next(coded.code for coded in candidates if coded.code),
        data=scan.data,
        aim=scan.aim,
        mode=station.mode,
        location=station.location,
        quantity=station.quantity_waiting(moment.now_s) or 1,
        argument=station.reason or station.destination,
    )
    station = _without_quantity(station)
    return Effect(Outcome("unknown", f"{scan.data}: unknown, parked"), station, parked=parked)


def _look(item: Item, station: Station, shelves: Shelves, moment: Moment) -> Effect:
    lots = shelves.lots(item.sku, station.location)
    left = sum(lot.quantity for lot in lots)
    dates = sorted(lot.expires_on for lot in lots if lot.expires_on and lot.quantity > 0)
    parts = [f"BLOCKED: {item.blocked}"] if item.blocked else []
    parts.append(f"{left} here")
    if item.place:
        parts.append(f"shelf {item.place}")
    if item.price_minor is not None:
        parts.append(f"price {item.price_minor / 100:.2f}")
    if dates:
        parts.append(f"first expires {dates[0]}")
    return Effect(Outcome("shown", f"{item.name}: {', '.join(parts)}"), station, sku=item.sku, left=left)


def _without_quantity(station: Station) -> Station:
    """The typed quantity was for one item."""
    return replace(station, next_quantity=0) if station.next_quantity else station


def _quantity(coded: Coded, known: Known, station: Station, moment: Moment) -> tuple[int, QuantitySource]:
    """Base units and where the number comes from; 0 when an item by weight came without one."""
    typed = station.quantity_waiting(moment.now_s)
    if known.item.unit == "gram":
        if coded.grams is not None:
            return coded.grams * max(typed, 1), "label"
        if coded.price_minor is not None:
            return _grams_for(coded.price_minor, known.item) * max(typed, 1), "derived"
        return typed, "typed"
    if typed:
        return typed * known.units, "typed"
    if coded.count is not None:
        return coded.count * known.units, "label"
    return known.units, "scanned"


def _grams_for(price_minor: int, item: Item) -> int:
    """What a price on a label buys at the price per kilogram that holds now; rounded half up."""
    assert item.price_minor, "parked before"
    return (2000 * price_minor + item.price_minor) // (2 * item.price_minor)


def _lacks_its_price(coded: Coded, item: Item) -> bool:
    """Its weight is to be had from the price on the label, and nobody has said what a kilogram costs."""
    by_price = coded.grams is None and coded.price_minor is not None
    return item.unit == "gram" and by_price and not item.price_minor


def _book(
    coded: Coded,
    item: Item,
    quantity: int,
    quantity_source: QuantitySource,
    station: Station,
    shelves: Shelves,
    moment: Moment,
) -> Effect:
    lots = shelves.lots(item.sku, station.location)
    left, expires_on = 0, coded.expires_on
    for lot in lots:
        left += lot.quantity
        if lot.lot == coded.lot:
            expires_on = expires_on or lot.expires_on
    expired = bool(coded.lot or coded.expires_on) and is_expired(expires_on, moment.today)
    if expired and moment.block_expired and station.mode in ("sell", "receive"):
        text = f"{item.name}: expired {expires_on}, not booked; take it off the shelf (SK/WASTE/expired)"
        return Effect(Outcome("expired", text), station, sku=item.sku)
    if station.mode in DESTINATION_IS_SHELF:
        kind, source = DESTINATION_IS_SHELF[station.mode]
        ends, sign = (source, station.location), 1
    else:
        if station.mode == "move":
            kind, destination = "transfer", station.destination
            if destination == station.location:
                return Effect(Outcome("refused", f"it is already at {destination}"), station)
        else:
            kind, destination = SOURCE_IS_SHELF[station.mode]
        ends, sign = (station.location, destination), -1
    parts = [(LotStock(coded.lot, 0, expires_on), quantity)]
    if sign < 0 and not coded.lot:
        parts = fefo(lots, quantity, moment.today)
    drafts = [
        Draft(
            kind=kind,
            sku=item.sku,
            quantity=part,
            source=ends[0],
            destination=ends[1],
            lot=lot.lot,
            expires_on=lot.expires_on,
            serial=coded.serial,
            reason=station.reason or None,
            occurred_us=moment.occurred_us,
            occurred_quality=moment.quality,
            value_minor=_value_minor(item, kind, part),
            quantity_source=quantity_source,
        )
        for lot, part in parts
    ]
    left += sign * quantity
    code, text = _verdict(item, left, sign, expired, expires_on)
    return Effect(
        Outcome(code, text),
        station,
        tuple(drafts),
        sku=item.sku,
        change=sign * quantity,
        left=left,
    )


def _value_minor(item: Item, kind: Kind, quantity: int) -> int | None:
    """The whole movement's value: price at a sale or return, else cost; prices are per piece, kg or l."""
    each = item.price_minor if kind in ("sale", "customer_return") else item.cost_minor
    if each is None:
        return None
    return each * quantity if item.unit == "piece" else (each * quantity + 500) // 1000


def _verdict(
    item: Item, left: int, sign: int, expired: bool, expires_on: str | None
) -> tuple[OutcomeCode, str]:
    if expired:
        return "expired", f"{item.name}: this lot expired {expires_on}"
    if left < 0:
        return "negative", f"{item.name}: {left}, please count shelf {item.place or '(no place)'}"
    if sign < 0 and item.low_units is not None and left <= item.low_units:
        return "low", f"{item.name}: only {left} left"
    return "ok", f"{item.name}: {left} left"
