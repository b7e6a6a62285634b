"""Which lot leaves the shelf: first expired, first out, among what may still be sold."""

import msgspec


class LotStock(msgspec.Struct, frozen=True, gc=False):
    """A lot at one location. `lot` is "" when nobody knows it; `expires_on` is YYYY-MM-DD."""

    lot: str
    quantity: int
    expires_on: str | None = None


def is_expired(expires_on: str | None, today: str | None) -> bool:
    """A lot may be sold on its last day. With an untrusted clock (`today` is None) nothing is expired."""
    return today is not None and expires_on is not None and expires_on < today


def fefo(lots: list[LotStock], quantity: int, today: str | None) -> list[tuple[LotStock, int]]:
    """Take `quantity` from the lots that expire first; what no lot covers goes to the unknown lot "".

    Expired lots are left alone: what the customer carries away was probably not one of them.
    """
    if len(lots) == 1 and lots[0].lot == "" and lots[0].expires_on is None:  # most shelves
        return [(lots[0], quantity)]
    sellable = [stock for stock in lots if stock.quantity > 0 and not is_expired(stock.expires_on, today)]
    sellable.sort(key=lambda stock: (stock.expires_on or "9999", stock.lot == "", stock.lot))
    taken: dict[str, tuple[LotStock, int]] = {}
    for stock in sellable:
        if quantity == 0:
            break
        part = min(quantity, stock.quantity)
        taken[stock.lot] = (stock, part)
        quantity -= part
    if quantity:
        stock, part = taken.get("", (LotStock("", 0), 0))
        taken[""] = (stock, part + quantity)
    return list(taken.values())
