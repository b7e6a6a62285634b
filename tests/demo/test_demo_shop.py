"""The demo's own arithmetic: what it claims after a pulled plug, and where its clock hangs."""

import threading
import time
from collections import Counter
from pathlib import Path

from gateway.demo.catalogue import ARTICLES
from gateway.demo.devices import PtyScanner
from gateway.demo.play import by_item
from gateway.demo.shop import zone_of_the_machine

OAT, MILK = ARTICLES[:2]


def test_the_same_item_acknowledged_three_times_is_compared_three_times():
    acknowledged = Counter({OAT.name: 3, MILK.name: 2})

    assert by_item(acknowledged) == Counter({OAT.sku: 3, MILK.sku: 2})


def test_an_item_that_the_visitor_named_is_not_compared():
    assert by_item(Counter({"Ginger beer": 2})) == Counter()


def test_an_answer_is_of_the_item_that_it_names_whatever_was_scanned_before(tmp_path):
    """After a pulled plug some scans are never answered: who counts them off in order is wrong from then on."""
    scanner = PtyScanner(tmp_path, "counter")
    scanner.scan(MILK.gtin13)  # under way when the driver died
    scanner.scan(OAT.gtin13)

    with Path(scanner.port).open("wb", buffering=0) as driver:
        driver.write(b"late booked 14:32:07: Butter 250 g: 3 left\r\nok Oat drink 1 L: 20 left\r\n")
        hear_once(scanner)

    assert scanner.acknowledged == Counter({"Oat drink 1 L": 1})
    assert (scanner.late, scanner.answers) == (1, 1)
    scanner.unplug()


def hear_once(scanner):
    stop = threading.Event()
    ear = threading.Thread(target=scanner.hear, args=(stop,))
    ear.start()
    deadline_s = time.monotonic() + 120
    while not scanner.answers and time.monotonic() < deadline_s:
        time.sleep(0.01)
    stop.set()
    ear.join()


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
