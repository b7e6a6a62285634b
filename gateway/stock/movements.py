"""What a reading meant: a positive quantity of one item and lot that went from one location to another."""

from typing import Literal

import msgspec

Kind = Literal[
    "receipt",
    "sale",
    "dispatch",
    "customer_return",
    "supplier_return",
    "transfer",
    "waste",
    "count_correction",
    "opening",
    "make_in",
    "make_out",
]
Origin = Literal["scan", "till", "file", "count", "rule", "person"]
QuantitySource = Literal["scanned", "typed", "weighed", "label", "derived"]

VIRTUAL = frozenset({"SUPPLIER", "CUSTOMER", "SCRAP", "ADJUST", "TRANSIT", "TRANSFORM"})


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A movement before the ledger has given it a place in its order. Quantity in base units, always > 0.

    A Struct, as are its neighbours on the way of a scan: made ten times as fast as a frozen dataclass.
    """

    kind: Kind
    sku: str
    quantity: int
    source: str
    destination: str
    lot: str = ""
    expires_on: str | None = None  # YYYY-MM-DD
    serial: str | None = None
    reason: str | None = None
    document: str | None = None
    reverses: int | None = None  # seq of the movement that this one takes back
    actor: str | None = None
    occurred_us: int | None = None
    occurred_quality: str | None = None
    value_minor: int | None = None
    basket: str | None = None
    line: int | None = None
    origin: Origin = "scan"
    quantity_source: QuantitySource = "scanned"


def reversal(movement: Draft, seq: int, *, occurred_us: int | None, origin: Origin) -> Draft:
    """The inverse of a booked movement: the same kind, its ends swapped."""
    return Draft(
        kind=movement.kind,
        sku=movement.sku,
        quantity=movement.quantity,
        source=movement.destination,
        destination=movement.source,
        lot=movement.lot,
        expires_on=movement.expires_on,
        serial=movement.serial,
        reason=movement.reason,
        document=movement.document,
        reverses=seq,
        occurred_us=occurred_us,
        value_minor=movement.value_minor,
        origin=origin,
        quantity_source=movement.quantity_source,
    )
