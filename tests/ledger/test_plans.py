"""What people know of the shop's days goes into the ledger by the door of master data, or is refused in words."""

import pytest

from gateway.ledger import plans, queries
from gateway.ledger.master import upsert_item
from gateway.ledger.writer import Writer

PROMOTION = {"sku": "tea", "starts_on": "2026-12-01", "ends_on": "2026-12-06", "kind": "promotion"}


def tell(writer: Writer, *rows: dict) -> None:
    batch = writer.batch()
    for row in rows:
        batch.statements += upsert_item(row, 1)
    writer.commit(batch)


@pytest.fixture
def writer(tmp_path):
    writer = Writer(tmp_path, ballast_mb=0)
    yield writer
    writer.close()


def test_the_same_plan_twice_is_one_plan(writer):
    tell(writer, {"plan": PROMOTION}, {"plan": PROMOTION | {"strength": 0.5}})

    with queries.connect(writer.path) as ledger:
        assert plans.plans(ledger) == [plans.Plan("tea", "2026-12-01", "2026-12-06", "promotion", 0.5, None)]


def test_a_plan_is_taken_back(writer):
    tell(writer, {"plan": PROMOTION}, {"plan": PROMOTION | {"drop": True}})

    with queries.connect(writer.path) as ledger:
        assert plans.plans(ledger) == []


def test_a_factor_grows_by_its_days(writer):
    for days in ([["2026-11-23", 310]], [["2026-11-24", 290.5], ["2026-11-23", 311]]):
        tell(writer, {"factor": {"name": "footfall", "known_ahead": False, "days": days}})

    with queries.connect(writer.path) as ledger:
        assert plans.factors(ledger) == [plans.Factor("footfall", False, 2, "2026-11-23", "2026-11-24")]


def test_a_new_item_has_one_sister_at_a_time(writer):
    for share in (1, 0.5):
        tell(writer, {"like": {"sku": "new-tea", "like_sku": "tea", "share": share}})

    with queries.connect(writer.path) as ledger:
        assert plans.sister(ledger, "new-tea") == ("tea", 0.5)
        assert plans.sister(ledger, "tea") is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"plan": PROMOTION | {"kind": "promo"}}, "kind is 'promo'; use promotion"),
        ({"plan": PROMOTION | {"ends_on": "2026-11-30"}}, "before it starts on 2026-12-01"),
        ({"plan": PROMOTION | {"starts_on": "01.12.2026"}}, "Invalid isoformat"),
        ({"plan": PROMOTION | {"strength": float("nan")}}, "nan is no number from 0 to 1"),
        ({"plan": PROMOTION | {"kind": "closed"}}, "closed is of the whole shop, not of tea"),
        ({"plan": PROMOTION | {"kind": "price"}}, "a plan of kind price has a price"),
        ({"factor": {"name": "weather", "days": [["2026-11-24", float("nan")]]}}, "nan is no number"),
        ({"factor": {"name": "Wetter!", "days": []}}, "not 'Wetter!'"),
        ({"like": {"sku": "tea", "like_sku": "tea"}}, "tea is like itself"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(row, said):
    with pytest.raises(ValueError) as refused:
        plans.statements_of(row, 1)

    assert said in str(refused.value)
