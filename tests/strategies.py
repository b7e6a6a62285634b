"""Hypothesis builders of a legal shop: its items, its stations, its movements."""

from hypothesis import strategies as st

from gateway.stock.lots import LotStock
from gateway.stock.movements import Draft, Kind

SKUS = ("milk", "bread", "salt")
LOCATIONS = ("shop", "stockroom", "shelf a")
LOTS = ("", "L1", "L2", "L3")
DAYS = ("2026-11-20", "2026-11-24", "2026-12-01", None)  # with TODAY: over, its last day, fine, not known
TODAY = "2026-11-24"

ENDS: dict[Kind, tuple[str, str]] = {
    "receipt": ("SUPPLIER", "here"),
    "sale": ("here", "CUSTOMER"),
    "dispatch": ("here", "CUSTOMER"),
    "customer_return": ("CUSTOMER", "here"),
    "supplier_return": ("here", "SUPPLIER"),
    "waste": ("here", "SCRAP"),
    "opening": ("ADJUST", "here"),
    "make_in": ("TRANSFORM", "here"),
    "make_out": ("here", "TRANSFORM"),
}


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """A movement that a shop can make."""
    kind: Kind = draw(st.sampled_from(sorted(ENDS)))
    here = draw(st.sampled_from(LOCATIONS))
    source, destination = (here if end == "here" else end for end in ENDS[kind])
    return Draft(
        kind=kind,
        sku=draw(st.sampled_from(SKUS)),
        quantity=draw(st.integers(1, 10_000)),
        source=source,
        destination=destination,
        lot=draw(st.sampled_from(LOTS)),
        expires_on=draw(st.sampled_from(DAYS)),
        serial=draw(st.none() | st.text(max_size=8)),
        reason=draw(st.none() | st.text(max_size=8)),
        value_minor=draw(st.none() | st.integers(0, 10**9)),
    )


@st.composite
def shelves(draw: st.DrawFn) -> list[LotStock]:
    """The lots of one item at one place, each lot once."""
    lots = draw(st.lists(st.sampled_from(LOTS), unique=True))
    return [
        LotStock(lot, draw(st.integers(-20, 50)), draw(st.sampled_from(DAYS)) if lot else None)
        for lot in lots
    ]
