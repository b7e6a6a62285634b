"""A shelf that somebody counted: the movements that make the ledger agree with it. Pure."""

from gateway.stock.lots import LotStock
from gateway.stock.movements import Draft


def corrections(
    sku: str, location: str, lots: list[LotStock], counted: int, *, occurred_us: int
) -> tuple[Draft, ...]:
    """From what the ledger says is at `location` to `counted` base units; () when it says so already.

    More than expected is of an unknown lot. Less is taken from the unknown lot first, then from the lots that
    expire first: those are gone most likely. A lot below zero is brought back to zero, whatever was counted.
    """
    wanted = {stock.lot: max(stock.quantity, 0) for stock in lots}
    surplus = sum(wanted.values()) - counted
    for stock in sorted(lots, key=lambda one: (one.lot != "", one.expires_on or "9999", one.lot)):
        part = min(surplus, wanted[stock.lot])
        if part > 0:
            wanted[stock.lot] -= part
            surplus -= part
    if surplus < 0:
        wanted[""] = wanted.get("", 0) - surplus
    have = {stock.lot: stock for stock in lots}
    drafts = []
    for lot, units in wanted.items():
        stock = have.get(lot, LotStock(lot, 0))
        missing = units - stock.quantity
        if missing:
            ends = ("ADJUST", location) if missing > 0 else (location, "ADJUST")
            drafts.append(
                Draft(
                    kind="count_correction",
                    sku=sku,
                    quantity=abs(missing),
                    source=ends[0],
                    destination=ends[1],
                    lot=lot,
                    expires_on=stock.expires_on,
                    occurred_us=occurred_us,
                    origin="count",
                    quantity_source="typed",
                )
            )
    return tuple(drafts)
