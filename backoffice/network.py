"""Stock over all stores, pure: what there is of an item, and where."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from backoffice.store import StockView


@dataclass(slots=True)
class Availability:
    """One item over all stores; lots and locations summed. Quantities in base units, may be negative."""

    sku: str
    name: str
    total: int = 0
    by_store: dict[str, int] = field(default_factory=dict)


def availability(stock: Iterable[StockView]) -> list[Availability]:
    """Every item that any store holds, by name. Its name is the one that a store with a name for it says."""
    items: dict[str, Availability] = {}
    for one in stock:
        item = items.setdefault(one.sku, Availability(one.sku, one.sku))
        if one.name and item.name == item.sku:
            item.name = one.name
        item.total += one.qty
        item.by_store[one.store] = item.by_store.get(one.store, 0) + one.qty
    return sorted(items.values(), key=lambda item: (item.name.casefold(), item.sku))
