"""The demo's own arithmetic: what it claims after a pulled plug, and where its clock hangs."""

from collections import Counter

from gateway.demo.catalogue import ARTICLES
from gateway.demo.play import by_item
from gateway.demo.shop import zone_of_the_machine

OAT, MILK = ARTICLES[:2]


def test_the_same_code_scanned_three_times_and_its_case_are_four_scans_of_the_item():
    acknowledged = Counter({OAT.gtin13: 3, OAT.case_code: 1, MILK.gtin13: 2})

    assert by_item(acknowledged) == Counter({OAT.sku: 4, MILK.sku: 2})


def test_a_code_that_the_visitor_named_is_not_compared():
    assert by_item(Counter({"9529999999993": 2})) == Counter()


def test_the_shop_is_where_the_machine_is(tmp_path):
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/America/New_York")

    assert zone_of_the_machine(tmp_path / "localtime") == "America/New_York"


def test_a_machine_that_keeps_utc_says_nothing_about_the_shop(tmp_path):
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")

    assert zone_of_the_machine(tmp_path / "localtime") == "Europe/Berlin"


def test_a_machine_without_a_zone_says_nothing_about_the_shop(tmp_path):
    assert zone_of_the_machine(tmp_path / "localtime") == "Europe/Berlin"


def test_a_zone_that_nobody_knows_says_nothing_about_the_shop(tmp_path):
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Atlantis/Capital")

    assert zone_of_the_machine(tmp_path / "localtime") == "Europe/Berlin"
