"""Stock over all stores: what there is of an item, and where."""

from backoffice.network import availability
from backoffice.store import StockView


def held(store: str, sku: str, qty: int, name: str = "", location: str = "shelf", lot: str = "") -> StockView:
    return StockView(store, "gw1", sku, name, location, lot, qty)


def test_an_item_is_summed_over_lots_and_places_and_told_store_by_store():
    [oat] = availability(
        [
            held("corner", "4711", 3, "Oat drink", lot="L1"),
            held("corner", "4711", 2, "Oat drink", lot="L2"),
            held("corner", "4711", 20, "Oat drink", location="stockroom"),
            held("station", "4711", -1, "Oat drink"),
        ]
    )

    assert (oat.total, oat.by_store) == (24, {"corner": 25, "station": -1})


def test_a_store_that_does_not_know_the_name_learns_it_from_one_that_does():
    [oat] = availability([held("corner", "4711", 3), held("station", "4711", 1, "Oat drink")])

    assert oat.name == "Oat drink"


def test_items_stand_by_name_whatever_their_case():
    names = [
        one.name
        for one in availability([held("a", "1", 1, "rye"), held("a", "2", 1, "Oat"), held("a", "3", 1)])
    ]

    assert names == ["3", "Oat", "rye"]
