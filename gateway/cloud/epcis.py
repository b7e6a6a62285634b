"""Movements as EPCIS 2.0 events (GS1, JSON-LD form): pure, and quick, for it runs once per movement.

An event is a movement: our own facts ride along under one namespace prefix, `sk:`, and the back office books
by `sk:seq` only. `docs/feed.md` has the mapping table and an example.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from gateway.cloud.topics import EPOCH_START, LEDGER, LEDGER_TYPE, Address, encode, moment, sealed
from gateway.ledger.feed import MovementRow
from gateway.stock.codes import check_digit_is_right

VIRTUAL = frozenset({"SUPPLIER", "CUSTOMER", "SCRAP", "ADJUST", "TRANSIT", "TRANSFORM"})
CONTEXT = [
    "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    {"sk": "urn:storekeeper:epcis:"},
]
NAME_ATTRIBUTE = "https://gs1.org/voc/productName"
QUARTER_HOUR_US = 900_000_000  # no zone has changed its offset between two quarters of an hour
REMEMBERED = 4_096  # products and routes that are kept in their EPCIS form

UNITS = {"piece": (None, 1), "gram": ("KGM", 1000), "millilitre": ("LTR", 1000)}  # uom, base units in it
STEPS = {  # kind -> bizStep, disposition (GS1 Core Business Vocabulary 2.0)
    "receipt": ("receiving", "in_progress"),
    "sale": ("retail_selling", "retail_sold"),
    "dispatch": ("shipping", "in_transit"),
    "customer_return": ("accepting", "returned"),
    "supplier_return": ("shipping", "returned"),
    "transfer": ("stocking", "sellable_accessible"),
    "waste": ("destroying", "disposed"),
    "count_correction": ("cycle_counting", None),
    "opening": ("storing", "sellable_accessible"),
    "make_in": ("commissioning", None),
    "make_out": ("commissioning", None),
}
WASTE = {
    "expired": ("destroying", "expired"),
    "damaged": ("destroying", "damaged"),
    "stolen": ("removing", "stolen"),
}
DOCUMENT_TYPE = {"receipt": "desadv", "transfer": "desadv", "dispatch": "po", "supplier_return": "rma"}


class Named(msgspec.Struct, frozen=True, gc=False):
    id: str


class QuantityElement(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    epcClass: str
    quantity: int | float
    uom: str | None = None  # UN/ECE Recommendation 20; none for pieces


class BizTransaction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    bizTransaction: str
    type: str | None = None


class Source(msgspec.Struct, frozen=True, gc=False):
    type: str
    source: str


class Destination(msgspec.Struct, frozen=True, gc=False):
    type: str
    destination: str


class ErrorDeclaration(msgspec.Struct, frozen=True, gc=False):
    declarationTime: datetime
    reason: str
    correctiveEventIDs: list[str]


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An ObjectEvent or a TransformationEvent. The order of fields is that of `Translator.event`."""

    type: str
    eventID: str
    eventTime: datetime
    recordTime: datetime
    eventTimeZoneOffset: str
    bizStep: str
    seq: int = msgspec.field(name="sk:seq")
    epoch: int = msgspec.field(name="sk:epoch")
    kind: str = msgspec.field(name="sk:kind")
    sku: str = msgspec.field(name="sk:sku")
    delta: int = msgspec.field(
        name="sk:delta"
    )  # signed as the event's own place sees it; its size is the quantity
    src: str = msgspec.field(name="sk:src")
    dst: str = msgspec.field(name="sk:dst")
    hash: str = msgspec.field(name="sk:hash")
    idem: str = msgspec.field(name="sk:idem")
    clockq: str = msgspec.field(name="sk:clockq")
    origin: str = msgspec.field(name="sk:origin")
    qtysrc: str = msgspec.field(name="sk:qtysrc")
    action: str | None = None
    disposition: str | None = None
    readPoint: Named | None = None
    bizLocation: Named | None = None
    sourceList: list[Source] | None = None
    destinationList: list[Destination] | None = None
    epcList: list[str] | None = None
    quantityList: list[QuantityElement] | None = None
    bizTransactionList: list[BizTransaction] | None = None
    lot: str = msgspec.field(name="sk:lot", default="")
    expiry: str | None = msgspec.field(name="sk:expiry", default=None)
    serial: str | None = msgspec.field(name="sk:serial", default=None)
    reason: str | None = msgspec.field(name="sk:reason", default=None)
    doc: str | None = msgspec.field(name="sk:doc", default=None)
    reverses: int | None = msgspec.field(name="sk:reverses", default=None)
    actor: str | None = msgspec.field(name="sk:actor", default=None)
    value: int | None = msgspec.field(name="sk:value", default=None)  # minor units of the shop's currency
    basket: str | None = msgspec.field(name="sk:basket", default=None)
    line: int | None = msgspec.field(name="sk:line", default=None)
    occurredq: str | None = msgspec.field(name="sk:occurredq", default=None)
    repeats: int | None = msgspec.field(name="sk:repeats", default=None)
    errorDeclaration: ErrorDeclaration | None = None
    transformationID: str | None = None
    inputQuantityList: list[QuantityElement] | None = None
    outputQuantityList: list[QuantityElement] | None = None


class Route(NamedTuple):
    """What all movements of one kind between two places have in common."""

    biz_step: str
    disposition: str | None
    sign: int  # -1: goods left the place where this happened
    read_point: Named
    biz_location: Named | None
    source_list: list[Source] | None
    destination_list: list[Destination] | None


class Translator:
    """The events of one gateway. Keeps the EPCIS form of places and products that come again and again."""

    def __init__(
        self, address: Address, unit_of: Callable[[str], str] = lambda _: "piece", timezone: tzinfo = UTC
    ) -> None:
        """`unit_of`: the base unit of a sku, which never changes: piece, gram or millilitre."""
        self._unit_of = unit_of
        self._tenant = f"urn:storekeeper:{address.tenant}"
        self._shop = f"{self._tenant}:{address.store}"
        self._timezone = timezone
        self._route = lru_cache(REMEMBERED)(self._find_route)
        self._quantity = lru_cache(REMEMBERED)(self._find_quantity)
        self._offset = lru_cache(REMEMBERED)(self._find_offset)

    def events(self, row: MovementRow, originals: Mapping[int, MovementRow]) -> list[Event]:
        """The event of a movement. A reversal repeats the event that it takes back, declared an error."""
        event = self.event(row)
        original = originals.get(row.reverses) if row.reverses is not None else None
        if original is None:
            return [event]
        error = ErrorDeclaration(event.recordTime, "did_not_occur", [event.eventID])
        repeated = msgspec.structs.replace(
            self.event(original), seq=row.seq, repeats=original.seq, errorDeclaration=error
        )
        return [event, repeated]

    def event(self, row: MovementRow) -> Event:
        (seq, epoch, id_, idem, kind, sku, qty, src, dst, lot, expiry, serial, reason, doc, reverses, actor,
         occurred_us, occurred_q, wall_us, clock_q, value_minor, basket, line, origin, qty_src, _,
         hash_) = row  # fmt: skip
        if kind in ("make_in", "make_out"):
            return self._transformation(row)
        route = self._route(kind, src, dst, reason)
        happened_us = occurred_us or wall_us
        return Event(
            "ObjectEvent",
            event_id(id_),
            moment(happened_us),
            moment(wall_us),
            self._offset(happened_us // QUARTER_HOUR_US),
            route.biz_step,
            seq,
            epoch,
            kind,
            sku,
            route.sign * qty,
            src,
            dst,
            hash_.hex(),
            idem,
            clock_q,
            origin,
            qty_src,
            "DELETE" if serial and kind == "waste" else "OBSERVE",
            route.disposition,
            route.read_point,
            route.biz_location,
            route.source_list,
            route.destination_list,
            [self.product(sku, lot, serial)] if serial else None,
            None if serial else self._quantity(sku, lot, qty),
            self._documents(kind, doc, basket) if doc or basket else None,
            lot,
            expiry,
            serial,
            reason,
            doc,
            reverses,
            actor,
            value_minor,
            basket,
            line,
            occurred_q,
        )

    def _transformation(self, row: MovementRow) -> Event:
        """One movement of a kit or a repacking: all of them share the transformation's id."""
        happened_us = row.occurred_us or row.wall_us
        goods = self._quantity(row.sku, row.lot, row.qty)
        made = row.src == "TRANSFORM"
        return Event(
            type="TransformationEvent",
            eventID=event_id(row.id),
            eventTime=moment(happened_us),
            recordTime=moment(row.wall_us),
            eventTimeZoneOffset=self._offset(happened_us // QUARTER_HOUR_US),
            bizStep=STEPS[row.kind][0],
            seq=row.seq,
            epoch=row.epoch,
            kind=row.kind,
            sku=row.sku,
            delta=row.qty if made else -row.qty,
            src=row.src,
            dst=row.dst,
            hash=row.hash.hex(),
            idem=row.idem,
            clockq=row.clock_q,
            origin=row.origin,
            qtysrc=row.qty_src,
            readPoint=self._place(row.dst if made else row.src),
            lot=row.lot,
            expiry=row.expiry,
            reason=row.reason,
            doc=row.doc,
            reverses=row.reverses,
            actor=row.actor,
            value=row.value_minor,
            occurredq=row.occurred_q,
            transformationID=f"{self._shop}:make:{quote(row.idem.rpartition('/')[0], safe='')}",
            inputQuantityList=None if made else goods,
            outputQuantityList=goods if made else None,
        )

    def product(self, sku: str, lot: str, serial: str | None = None) -> str:
        """GS1 Digital Link for a GTIN, our own URN for a shop's code."""
        if is_gtin14(sku):
            batch = f"/10/{quote(lot, safe='')}" if lot else ""
            return f"https://id.gs1.org/01/{sku}{batch}" + (f"/21/{quote(serial, safe='')}" if serial else "")
        own = ":".join(quote(part, safe="") for part in (sku, lot, serial) if part)
        return f"{self._tenant}:sku:{own}"

    def _find_quantity(self, sku: str, lot: str, qty: int) -> list[QuantityElement]:
        uom, base_units = UNITS[self._unit_of(sku)]
        return [QuantityElement(self.product(sku, lot), qty if base_units == 1 else qty / base_units, uom)]

    def _find_route(self, kind: str, src: str, dst: str, reason: str | None) -> Route:
        """Where it happened is the real place; between two real places, the one that goods left."""
        biz_step, disposition = STEPS[kind]
        if kind == "waste":
            biz_step, disposition = WASTE.get(reason or "", STEPS[kind])
        if kind == "transfer" and dst == "TRANSIT":
            biz_step, disposition = "shipping", "in_transit"
        if kind == "transfer" and src == "TRANSIT":
            biz_step, disposition = "receiving", "in_progress"
        left = src not in VIRTUAL
        return Route(
            biz_step,
            disposition,
            sign=-1 if left else 1,
            read_point=self._place(src if left else dst),
            biz_location=None if dst in VIRTUAL else self._place(dst),
            source_list=[Source("possessing_party", self._party(src))] if src == "SUPPLIER" else None,
            destination_list=[Destination("possessing_party", self._party(dst))]
            if dst == "SUPPLIER"
            else None,
        )

    def _find_offset(self, quarter_hour: int) -> str:
        local = (EPOCH_START + quarter_hour * QUARTER_HOUR).astimezone(self._timezone)
        return local.isoformat()[-6:]

    def _place(self, loc: str) -> Named:
        return Named(f"{self._shop}:loc:{quote(loc, safe='')}")

    def _party(self, virtual: str) -> str:
        return f"{self._tenant}:party:{virtual.lower()}"

    def _documents(self, kind: str, doc: str | None, basket: str | None) -> list[BizTransaction]:
        documents = []
        if doc:
            documents.append(
                BizTransaction(f"{self._shop}:doc:{quote(doc, safe='')}", DOCUMENT_TYPE.get(kind))
            )
        if basket:
            documents.append(BizTransaction(f"{self._shop}:basket:{quote(basket, safe='')}"))
        return documents


QUARTER_HOUR = moment(QUARTER_HOUR_US) - EPOCH_START


def ledger_message(
    translator: Translator,
    address: Address,
    rows: list[MovementRow],
    originals: Mapping[int, MovementRow],
    names: Mapping[str, str],
    boot_id: str,
) -> bytes:
    """The body of one `up/ledger` message: `rows` of one epoch, in order, with no hole between them."""
    first, last = rows[0], rows[-1]
    events = [encode(event) for row in rows for event in translator.events(row, originals)]
    return sealed(
        address,
        id=event_id(first.id).removeprefix("urn:uuid:"),
        type=LEDGER_TYPE,
        at_us=last.wall_us,
        lane=LEDGER,
        epoch=first.epoch,
        seq=first.seq,
        last=last.seq,
        prev_hash=first.prev_hash,
        boot=boot_id,
        data=document(events, last.wall_us, names),
    )


def event_id(id_: bytes) -> str:
    text = id_.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@lru_cache(REMEMBERED)
def is_gtin14(sku: str) -> bool:
    """14 digits with a right check digit (GS1 General Specifications 7.9)."""
    return len(sku) == 14 and sku.isascii() and sku.isdigit() and check_digit_is_right(sku)


def document(events: Iterable[bytes], created_us: int, names: Mapping[str, str] | None = None) -> bytes:
    """An EPCISDocument around encoded events. `names`: what products (EPC class URIs) are called."""
    header = b""
    if names:
        header = (
            b'"epcisHeader":' + encode({"epcisMasterData": {"vocabularyList": [_vocabulary(names)]}}) + b","
        )
    return (
        HEAD
        + b'"creationDate":'
        + encode(moment(created_us))
        + b","
        + header
        + b'"epcisBody":{"eventList":['
        + b",".join(events)
        + b"]}}"
    )


HEAD = encode({"@context": CONTEXT, "type": "EPCISDocument", "schemaVersion": "2.0"})[:-1] + b","


def _vocabulary(names: Mapping[str, str]) -> dict[str, object]:
    return {
        "type": "urn:epcglobal:epcis:vtype:EPCClass",
        "vocabularyElementList": [
            {"id": product, "attributes": [{"id": NAME_ATTRIBUTE, "attribute": name}]}
            for product, name in names.items()
        ],
    }
