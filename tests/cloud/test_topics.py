"""Topics: whose they are, and that nothing foreign gets in."""

import pytest

from gateway.cloud.topics import Address, parse

SHOP = Address("acme", "corner", "gw1")


def test_every_topic_begins_with_whose_it_is():
    assert SHOP.topic("up/ledger") == "sk/v1/acme/corner/gw1/up/ledger"
    assert SHOP.below == "sk/v1/acme/corner/gw1/down/#"
    assert SHOP.source == "urn:storekeeper:acme:corner:gw1"


def test_two_shops_with_a_gateway_of_the_same_name_are_two_clients_of_the_broker():
    assert Address("acme", "corner", "gw1").client_id != Address("acme", "station", "gw1").client_id


def test_a_topic_says_whose_it_is_and_what():
    assert parse("sk/v1/acme/corner/gw1/up/ledger") == (SHOP, "up/ledger")
    assert parse("sk/v1/acme/corner/gw1/state") == (SHOP, "state")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "sk/v1/acme/corner/gw1",
        "sk/v2/acme/corner/gw1/state",
        "sk/v1/ACME/corner/gw1/state",
        "sk/v1/acme//gw1/state",
        "sk/v1/acme/corner/" + "g" * 33 + "/state",
        "homeassistant/status",
    ],
)
def test_a_foreign_topic_is_nobodys(topic):
    assert parse(topic) is None


def test_a_name_that_would_open_other_topics_is_refused_with_what_would_be_right():
    with pytest.raises(ValueError, match=r"\[shop\] store is '#'; use 1 to 32 of a-z, 0-9 and '-'"):
        Address("acme", "#", "gw1")
