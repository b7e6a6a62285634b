"""What the shop sells, and the codes that name it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One article in its base unit (piece, gram, millilitre). Prices in minor units per piece, kg or l."""

    sku: str
    name: str
    unit: str = "piece"
    price_minor: int | None = None
    cost_minor: int | None = None
    place: str = ""
    stocked: bool = True  # False: bag, fee, voucher
    low_units: int | None = None
    blocked: str = ""  # why it may not be sold: the back office's word


@dataclass(frozen=True, slots=True)
class Known:
    """A code that somebody has named: one scan of it means `units` base units of `item`."""

    item: Item
    units: int = 1
