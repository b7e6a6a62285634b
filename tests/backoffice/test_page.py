"""The page: stores, stock, freshness; served by the real server, true without JavaScript."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from backoffice.consumer import Consumer
from backoffice.store import Cursor, Discrepancy
from backoffice.store_sqlite import SqliteStore
from gateway.demo.processes import free_port
from gateway.stock.movements import Draft
from tests.backoffice.feeds import SOURCE, birth, digest_message, hear, ledger_messages
from tests.cloud.conftest import eventually
from tests.cloud.ledgers import SKUS, book, name_items, written

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path):
    """One store with oat drink on the shelf, one item oversold, and markup in a name."""
    path = tmp_path / "backoffice.db"
    store = SqliteStore(path)
    consumer = Consumer(store)
    with written(tmp_path / "shop") as shop:
        name_items(shop)
        received = Draft(kind="receipt", sku=SKUS[0], quantity=24, source="SUPPLIER", destination="shelf")
        sold = Draft(kind="sale", sku=SKUS[2], quantity=500, source="shelf", destination="CUSTOMER")
        book(shop, received, sold)
        hear(consumer, "state", birth(newest=2))
        hear(consumer, "up/ledger", *ledger_messages(shop.connection, 100))
        hear(consumer, "up/digest", digest_message(shop.connection))
    yield path
    store.close()


@pytest.fixture
def page(tmp_path, database):
    """`python -m backoffice` with nobody at the broker's port; its address."""
    port = free_port(18_950)
    config = tmp_path / "office.toml"
    config.write_text(
        f'[backoffice]\ndatabase = "{database}"\nport = {port}\n[backoffice.broker]\nport = {free_port(19_900)}\n'
    )
    server = subprocess.Popen([sys.executable, "-m", "backoffice", "-c", str(config)], cwd=REPOSITORY)

    def answers() -> bool:
        try:
            return bool(get(f"http://127.0.0.1:{port}/"))
        except OSError:
            return False

    try:
        eventually(answers, "the page answers")
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        assert server.wait(120) == 0
    finally:
        server.kill()
        server.wait()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read().decode()


def test_the_page_shows_stores_and_stock_with_a_broker_or_without(page):
    text = get(page)

    assert "up to date" in text
    assert "Stock last compared, and equal, at movement 2" in text
    assert "Oat drink" in text
    assert 'class="number below">-500<' in text
    assert "SUPPLIER" not in text
    assert "Tea &lt;loose&gt;" in text
    assert json.loads(get(f"{page}/api/stock"))[0] == {
        "store": "corner",
        "gateway": "gw1",
        "sku": "05000000000012",
        "name": "Oat drink",
        "location": "shelf",
        "lot": "",
        "qty": 24,
    }


def test_the_stock_is_printed_for_people_and_for_programs(tmp_path, database):
    config = tmp_path / "office.toml"
    config.write_text(f'[backoffice]\ndatabase = "{database}"\n')
    command = [sys.executable, "-m", "gateway", "backoffice", "stock", "-c", str(config)]

    people = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    programs = subprocess.run(
        [*command, "--json"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert people.stdout.splitlines()[0].split() == ["corner", "24", "Oat", "drink", "shelf"]
    assert [(row["sku"], row["qty"]) for row in json.loads(programs.stdout)] == [
        ("05000000000012", 24),
        ("tea-loose", -500),
    ]


def test_a_store_that_counts_differently_is_shown_as_a_problem(tmp_path, database):
    from backoffice.app import _card

    store = SqliteStore(database)
    store.disagreed(SOURCE, [Discrepancy("shelf", SKUS[0], "", 24, 23)])
    store.move_cursor(SOURCE, "A", Cursor(1, 3))
    store.commit()
    [one] = store.gateways()
    store.close()

    assert _card(one)["words"] == "1 item counted differently there and here"
    assert (_card(one)["state"], one.held) == ("problem", 2)


def test_a_gateway_in_quarantine_is_released_by_name(tmp_path, database):
    store = SqliteStore(database)
    store.bar(SOURCE, "boot-b", "movement 1 came again with other content", 0)
    store.commit()
    config = tmp_path / "office.toml"
    config.write_text(f'[backoffice]\ndatabase = "{database}"\n')
    command = [sys.executable, "-m", "gateway", "backoffice", "release", "corner/gw1", "-c", str(config)]

    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    again = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "acme/corner/gw1 is heard again\n")
    assert (again.returncode, again.stderr) == (1, 'no gateway "corner/gw1" is in quarantine\n')
    assert store.barred(SOURCE) is None
    store.close()
