"""The back office asks: a daily series goes to the shop's gateway over a real broker, into its ledger, once."""

import subprocess
import sys

import pytest

from gateway.demo.processes import free_port
from tests.system.broker import BackOffice, Broker
from tests.system.shop import REPOSITORY, Shop, open_shop


@pytest.fixture
def shop(tmp_path):
    broker = Broker(tmp_path / "broker").start()
    with open_shop(tmp_path / "shop", mqtt_port=broker.port, web_port=free_port(18_300)) as opened:
        opened.office = BackOffice(opened).start()
        yield opened
        opened.office.kill()
    broker.kill()


def send(shop: Shop, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "backoffice", "-c", shop.config, "factor", *words]
    return subprocess.run(list(map(str, command)), cwd=REPOSITORY, capture_output=True, text=True)


def series(shop: Shop, days: int, value: float = 20.5) -> str:
    file = shop.folder / "footfall.csv"
    file.write_text(
        "day,value\n" + "".join(f"{2020 + at // 28}-02-{at % 28 + 1:02},{value}\n" for at in range(days))
    )
    return str(file)


def count(shop: Shop) -> tuple:
    [counted] = shop.rows(
        "SELECT count(*), min(day), max(day), sum(value) FROM factor_day WHERE name = 'footfall'"
    )
    return counted


def known(shop: Shop) -> bool:
    """Whether the back office has heard of the gateway."""
    return send(shop, series(shop, 1), "--dry-run").returncode == 0


def test_a_series_in_several_messages_is_in_the_ledger_when_the_gateway_says_so(shop):
    shop.start()
    shop.wait_until(lambda: known(shop), "the back office has heard of the gateway")

    told = send(shop, series(shop, 1100, 2.0), "--wait-s", 120, "--ahead")

    assert (told.returncode, told.stdout) == (
        0,
        "factor footfall: 1100 days in 3 commands, 0 left out\ntest/corner/gw1: done\n",
    )
    assert count(shop) == (1100, "2020-02-01", "2059-02-08", 2200.0)
    assert shop.rows("SELECT known_ahead FROM factor") == [(1,)]
    assert shop.rows("SELECT issuer, result FROM command_seen ORDER BY cmd_seq") == [
        ("backoffice", "footfall: 2020-02-01 to 2037-02-24"),
        ("backoffice", "footfall: 2037-02-25 to 2055-02-20"),
        ("backoffice", "footfall: 2055-02-21 to 2059-02-08"),
    ]


def test_a_gateway_that_is_away_gets_its_days_when_it_is_back_and_a_killed_back_office_gives_them_once(shop):
    shop.start()
    shop.wait_until(lambda: known(shop), "the back office has heard of the gateway")
    shop.kill()
    shop.office.kill()

    told = send(shop, series(shop, 600), "--wait-s", 0)
    shop.office.start()
    shop.start()

    assert "test/corner/gw1: no answer yet; it gets the days when it and the back office are" in told.stdout
    shop.wait_until(lambda: count(shop)[0] == 600, "the days are in the ledger")
    assert shop.rows("SELECT count(*) FROM command_seen") == [(2,)]


def test_what_is_no_series_is_said_before_anything_is_sent(shop):
    file = shop.folder / "foot fall.csv"
    file.write_text("day,value\n2026-11-23,nan\n1970-01-01,5\n23.11.2026,5\n2026-11-24,7\n")
    shop.start()
    shop.wait_until(lambda: known(shop), "the back office has heard of the gateway")

    named_badly = send(shop, file)
    half = send(shop, file, "--name", "footfall", "--dry-run")
    stranger = send(shop, series(shop, 1), "--to", "corner/gw9")

    assert (named_badly.returncode, named_badly.stderr) == (
        2,
        "a factor's name is 1 to 40 of a-z, 0-9, _ . and -, not 'foot fall'\n",
    )
    assert (half.returncode, half.stdout) == (1, "factor footfall: 1 days in 1 commands, 3 left out\n")
    assert half.stderr.splitlines() == [
        "foot fall.csv row 2: 'nan' is no number from -1e+12 to 1e+12. Row left out",
        "foot fall.csv row 3: 1970-01-01 is no day of a shop: use 2000-01-01 to 2099-12-31. Row left out",
        "foot fall.csv row 4: Invalid isoformat string: '23.11.2026'. Row left out",
    ]
    assert (stranger.returncode, stranger.stderr) == (2, "no gateway corner/gw9; heard of: test/corner/gw1\n")
    assert shop.rows("SELECT count(*) FROM factor_day") == [(0,)]
