"""A ledger that was restored from a copy, and the back office that holds more than it: nothing is merged silently."""

import subprocess
import sys

from gateway.demo.processes import free_port
from tests.system.broker import BackOffice, Broker
from tests.system.shop import REPOSITORY, Shop, open_shop
from tests.system.test_kills import assert_books_are_equal, both_ends_agree, office_rows

STORE = "test/corner/gw1"


def storekeeper(shop: Shop, *words: str) -> str:
    command = [sys.executable, "-m", "gateway", *words, "-c", str(shop.config)]
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


def sell(shop: Shop, code: str, pieces: int) -> None:
    for _ in range(pieces):
        shop.ports["counter"].scan(code)
        assert shop.ports["counter"].hear(60)


def test_a_restored_gateway_is_heard_again_when_a_person_says_from_where_on(tmp_path):
    broker = Broker(tmp_path / "broker").start()
    with open_shop(tmp_path / "shop", mqtt_port=broker.port, web_port=free_port(18_250)) as shop:
        office = BackOffice(shop).start()
        try:
            milk, bread = shop.start().add_items(2)
            sell(shop, milk, 10)
            storekeeper(shop, "backup", "create")
            sell(shop, milk, 7)
            shop.wait_until(lambda: both_ends_agree(shop, office), "17 sales at the back office")
            assert shop.stop() == 0

            said = storekeeper(shop, "backup", "restore", "newest", "--yes")
            shop.start()
            sell(shop, bread, 3)
            shop.wait_until(
                lambda: office_rows(office, "SELECT problem FROM gateway") != [("",)], "quarantine"
            )
            held = office_rows(office, "SELECT count(*) FROM movement")
            told = storekeeper(shop, "backoffice", "release", "corner/gw1", "--restored-to", "10")
            sell(shop, bread, 2)
            shop.wait_until(lambda: both_ends_agree(shop, office), "what was sold since")

            assert "storekeeper backoffice release corner/gw1 --restored-to 10\n" in said
            assert held == [(17,)], "nothing was merged before somebody looked"
            assert told.startswith("7 movements after 10 are set aside")
            assert_books_are_equal(shop, office)
            assert office_rows(office, "SELECT epoch, count(*) FROM movement GROUP BY epoch") == [
                (1, 10),
                (2, 5),
            ]
            assert office_rows(office, "SELECT count(*), min(seq) FROM superseded") == [(7, 11)]
        finally:
            office.kill()
            broker.kill()
