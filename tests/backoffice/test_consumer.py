"""The back office books exactly what the shop booked, whatever the way between them does."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.consumer import Consumer
from backoffice.store import Discrepancy
from backoffice.store_sqlite import SqliteStore
from gateway.stock.movements import Draft, reversal
from tests.backoffice.feeds import (
    SOURCE,
    alert_message,
    balances,
    birth,
    books,
    digest_message,
    hear,
    ledger_messages,
    said,
)
from tests.cloud.ledgers import SKUS, book, name_items, sale, sell, written


@pytest.fixture
def office(tmp_path):
    store = SqliteStore(tmp_path / "backoffice.db")
    yield Consumer(store), store
    store.close()


@pytest.fixture
def shop(tmp_path):
    with written(tmp_path / "shop") as writer:
        yield writer


def test_what_was_sold_there_is_missing_here_and_confirmed_with_its_hash(office, shop):
    consumer, store = office
    sell(shop, 7)

    answers = hear(consumer, "up/ledger", *ledger_messages(shop.connection, 3))

    assert said(answers, "down/ack") == [{"epoch": 1, "lane": "L", "seq": 7, "hash": shop.last_hash.hex()}]
    assert books(store) == [
        ("CUSTOMER", "05000000000012", "", 3),
        ("CUSTOMER", "05000000000029", "", 2),
        ("CUSTOMER", "tea-loose", "", 2),
        ("counter", "05000000000012", "", -3),
        ("counter", "05000000000029", "", -2),
        ("counter", "tea-loose", "", -2),
    ]


def test_the_same_message_again_is_confirmed_again_and_counts_once(office, shop):
    consumer, store = office
    sell(shop, 4)
    [message] = ledger_messages(shop.connection, 100)
    hear(consumer, "up/ledger", message)

    answers = hear(consumer, "up/ledger", message, message)

    assert [ack["seq"] for ack in said(answers, "down/ack")] == [4]
    assert books(store) == balances(shop.connection)


def test_a_gap_is_asked_for_and_what_came_after_it_is_kept(office, shop):
    consumer, store = office
    sell(shop, 9)
    first, lost, last = ledger_messages(shop.connection, 3)

    answers = hear(consumer, "up/ledger", first, last)
    assert said(answers, "down/replay") == [{"epoch": 1, "lane": "L", "from": 4, "to": 6}]
    assert [ack["seq"] for ack in said(answers, "down/ack")] == [3]

    answers = hear(consumer, "up/ledger", lost)
    assert [ack["seq"] for ack in said(answers, "down/ack")] == [9]
    assert books(store) == balances(shop.connection)


def test_a_message_that_is_cut_differently_the_second_time_is_booked_from_where_it_is_new(office, shop):
    consumer, store = office
    sell(shop, 10)
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 4)[:1])

    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 7))

    assert books(store) == balances(shop.connection)


def test_an_undone_sale_is_back_on_the_shelf_and_the_repeated_event_is_not_booked(office, shop):
    consumer, store = office
    book(shop, sale(SKUS[0], 2))
    book(shop, reversal(sale(SKUS[0], 2), 1, occurred_us=None, origin="person"))

    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))

    assert books(store) == []
    assert store.cursor(SOURCE, "L").seq == 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.6), per_message=st.integers(1, 9))
def test_lost_doubled_and_reordered_messages_change_nothing_in_the_end(
    tmp_path_factory, seed, loss, per_message
):
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("way")
    with written(folder / "shop") as shop:
        sell(shop, 40)
        store = SqliteStore(folder / "backoffice.db")
        consumer = Consumer(store)
        messages = ledger_messages(shop.connection, per_message)
        for _ in range(3):
            way = [message for message in messages * 2 if rng.random() > loss]
            rng.shuffle(way)
            hear(consumer, "up/ledger", *way)
        hear(consumer, "up/ledger", *messages)  # go-back-N: in the end all of it, in order

        assert books(store) == balances(shop.connection)
        assert store.cursor(SOURCE, "L").seq == 40
        assert store.barred(SOURCE) is None
        store.close()


def test_what_is_not_settled_is_not_there_after_a_crash_and_is_booked_when_it_comes_again(tmp_path, shop):
    sell(shop, 6)
    first, second = ledger_messages(shop.connection, 3)
    store = SqliteStore(tmp_path / "backoffice.db")
    consumer = Consumer(store)
    hear(consumer, "up/ledger", first)
    consumer.take("sk/v1/acme/corner/gw1/up/ledger", second)
    store._db.rollback()  # what SQLite does with an open transaction when the process dies

    again = SqliteStore(tmp_path / "backoffice.db")
    assert again.cursor(SOURCE, "L").seq == 3
    hear(Consumer(again), "up/ledger", first, second)

    assert books(again) == balances(shop.connection)


@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"{",
        b"null",
        b'{"sklane":"L"}',
        b"\xff" * 40,
        b"[" * 100_000,
        b'{"type":"storekeeper.ledger.events.v1","sequence":"no","skepoch":1,"sklane":"L","data":{}}',
    ],
    ids=["nothing", "cut off", "null", "half an envelope", "binary", "deep", "no number"],
)
def test_what_makes_no_sense_is_skipped_and_the_lane_goes_on(office, shop, noise):
    consumer, store = office
    sell(shop, 3)

    hear(consumer, "up/ledger", noise, *ledger_messages(shop.connection, 100))

    assert store.cursor(SOURCE, "L").seq == 3
    assert consumer.skipped == 1


def test_an_office_that_missed_something_while_it_was_away_asks_at_the_first_word_of_the_gateway(office):
    consumer, _ = office

    answers = hear(consumer, "state", birth(newest=500, acked=400), retained=True)

    assert said(answers, "down/replay") == [
        {"epoch": 1, "lane": "L", "from": 1},
        {"epoch": 1, "lane": "A", "from": 1},
        {"epoch": 1, "lane": "D"},
    ]


def test_an_office_that_missed_nothing_asks_for_nothing(office, shop):
    consumer, _ = office
    sell(shop, 3)
    hear(consumer, "state", birth(newest=3))
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))
    consumer.connected(session_present=True)

    answers = hear(consumer, "state", birth(newest=3, acked=3), retained=True)

    assert said(answers, "down/replay") == []


def test_an_alert_that_is_over_is_counted_no_more_and_the_others_are(office):
    consumer, store = office
    hear(consumer, "state", birth(newest=0))

    hear(consumer, "up/alert", alert_message(1, 0, "rice"), alert_message(2, 1, "beer"))
    assert store.gateways()[0].alerts == 2

    hear(consumer, "up/alert", alert_message(3, 2, "rice", is_now="closed"))
    assert store.gateways()[0].alerts == 1


def test_an_old_birth_that_the_broker_kept_bars_nobody(office, shop):
    consumer, store = office
    sell(shop, 3)
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))

    hear(consumer, "state", birth(newest=1, acked=1), retained=True)

    assert store.barred(SOURCE) is None


def test_a_gateway_that_knows_less_than_it_once_said_is_barred_until_a_person_has_looked(office, shop):
    consumer, store = office
    sell(shop, 3)
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))

    hear(consumer, "state", birth(newest=1, acked=1))

    assert store.gateways()[
        0
    ].problem == f"{SOURCE} holds 1 movements, 3 came from it: restored?".removeprefix(f"{SOURCE} ")
    assert store.release(SOURCE)
    assert store.barred(SOURCE) is None


def test_a_cloned_card_is_barred_by_its_machine_and_the_real_one_goes_on(office, tmp_path, shop):
    consumer, store = office
    sell(shop, 4)
    with written(tmp_path / "clone") as clone:
        book(clone, *[sale(SKUS[1])] * 4)
        hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100, boot="boot-a"))

        hear(consumer, "up/ledger", *ledger_messages(clone.connection, 100, boot="boot-b"))
        assert store.barred(SOURCE) == "boot-b"
        assert store.gateways()[0].problem == "movement 1 came again with other content"

        book(clone, sale(SKUS[1]))
        hear(consumer, "up/ledger", *ledger_messages(clone.connection, 1, boot="boot-b")[-1:])
    sell(shop, 1)
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 1, boot="boot-a")[-1:])

    assert books(store) == balances(shop.connection)


def test_two_machines_that_take_turns_under_one_name_are_noticed_by_the_second_turn(office):
    consumer, store = office
    for boot in ("boot-a", "boot-b"):
        hear(consumer, "state", birth(newest=3, boot=boot))
    assert store.barred(SOURCE) is None  # a restarted machine looks like this

    hear(consumer, "state", birth(newest=3, boot="boot-a"))

    assert store.barred(SOURCE) == "boot-b"


def test_a_row_that_does_not_follow_the_one_before_is_not_booked(office, tmp_path, shop):
    consumer, store = office
    sell(shop, 2)
    with written(tmp_path / "other") as other:
        book(other, *[sale(SKUS[1])] * 3)
        hear(consumer, "up/ledger", *ledger_messages(shop.connection, 2))

        hear(consumer, "up/ledger", ledger_messages(other.connection, 1)[2])

    assert store.gateways()[0].problem == "movement 3 does not follow the one that is held"
    assert store.cursor(SOURCE, "L").seq == 2


def test_equal_digests_are_noted(office, shop):
    consumer, store = office
    sell(shop, 5)
    hear(consumer, "state", birth(newest=5))
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))

    hear(consumer, "up/digest", digest_message(shop.connection))

    assert store.gateways()[0].digest_seq == 5


def test_a_digest_of_an_earlier_or_a_later_moment_is_compared_as_of_that_moment(office, shop):
    consumer, store = office
    sell(shop, 5)
    hear(consumer, "state", birth(newest=5))
    early = digest_message(shop.connection)
    sell(shop, 5)
    late = digest_message(shop.connection)
    first, second = ledger_messages(shop.connection, 8)
    hear(consumer, "up/ledger", first)

    hear(consumer, "up/digest", early)
    assert store.gateways()[0].digest_seq == 5
    hear(consumer, "up/digest", late)
    assert store.gateways()[0].digest_seq == 5
    hear(consumer, "up/ledger", second)
    assert store.gateways()[0].digest_seq == 10


def test_a_difference_is_found_item_by_item_and_is_gone_when_both_ends_agree_again(office, shop):
    consumer, store = office
    sell(shop, 5)
    hear(consumer, "state", birth(newest=5))
    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))
    store._db.execute("UPDATE balance SET qty = qty + 40 WHERE loc = 'counter' AND sku = ?", (SKUS[0],))

    asked = hear(consumer, "up/digest", digest_message(shop.connection))
    assert said(asked, "down/replay") == [{"epoch": 1, "lane": "D", "loc": "counter"}]
    hear(consumer, "up/digest", digest_message(shop.connection, loc="counter"))
    assert store._db.execute("SELECT loc, sku, lot, ours, theirs FROM discrepancy").fetchall() == [
        Discrepancy("counter", SKUS[0], "", 38, -2)
    ]
    assert store.gateways()[0].discrepancies == 1
    assert store.barred(SOURCE) is None  # the feed goes on: what is new is not less true

    store._db.execute("UPDATE balance SET qty = qty - 40 WHERE loc = 'counter' AND sku = ?", (SKUS[0],))
    hear(consumer, "up/digest", digest_message(shop.connection))
    assert store.gateways()[0].discrepancies == 0


def test_alerts_are_kept_once_each_and_a_gap_between_them_is_asked_for(office):
    consumer, store = office

    answers = hear(consumer, "up/alert", alert_message(1, 0, "oat drink"), alert_message(3, 2, "rye bread"))
    assert [(ack["lane"], ack["seq"]) for ack in said(answers, "down/ack")] == [("A", 1)]
    assert [(one["lane"], one["from"]) for one in said(answers, "down/replay")] == [("A", 2)]

    hear(
        consumer,
        "up/alert",
        alert_message(2, 1, "tea"),
        alert_message(3, 2, "rye bread"),
        alert_message(2, 1, "tea"),
    )
    assert store._db.execute("SELECT seq, subject FROM alert ORDER BY seq").fetchall() == [
        (1, "oat drink"),
        (2, "tea"),
        (3, "rye bread"),
    ]


def test_alerts_that_went_before_this_office_existed_are_not_waited_for(office):
    consumer, store = office

    hear(consumer, "up/alert", alert_message(18, 0, "oat drink"))

    assert store.cursor(SOURCE, "A").seq == 18


def test_stock_has_names_and_leaves_out_the_places_that_are_none(office, shop):
    consumer, store = office
    name_items(shop)
    delivery = Draft(kind="receipt", sku=SKUS[2], quantity=5000, source="SUPPLIER", destination="7", lot="L1")
    book(shop, delivery)

    hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))

    [tea] = store.stock()
    assert (tea.store, tea.gateway, tea.sku, tea.name, tea.location, tea.lot, tea.qty) == (
        "corner",
        "gw1",
        "tea-loose",
        "Tea <loose>",
        "7",
        "L1",
        5000,
    )
