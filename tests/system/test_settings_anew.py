"""Devices come, change and go while the shop is open: nobody starts the daemon again, and neighbours never notice."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.settings_file import add_device, change_device
from tests.system.shop import PtyScanner, Shop, open_shop


def state_of(shop: Shop, device: str) -> str:
    with closing(sqlite3.connect(f"file:{shop.data_dir}/telemetry.db?mode=ro", uri=True)) as file:
        row = file.execute("SELECT state FROM device_state WHERE device = ?", (device,)).fetchone()
    return row[0] if row else ""


def drivers(shop: Shop) -> dict[str, int]:
    """The process of each driver of this daemon."""
    assert shop.daemon is not None
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            parent = int(Path(f"/proc/{rest.split()[1]}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == shop.daemon.pid and name.startswith("sk:"):
            found[name[3:]] = int(stat.parent.name)
    return found


def test_a_device_that_is_added_counts_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        (code,) = shop.add_items(1)
        door = PtyScanner(tmp_path, "door")
        neighbour = drivers(shop)["counter"]

        change = add_device(
            shop.config,
            {"name": "door", "driver": "serial_scanner", "mode": "sell", "location": "shop", "port": door.port,
             "reply": "text"},
        )  # fmt: skip
        shop.say("settings", {})
        shop.wait_until(lambda: state_of(shop, "door") == "running", "the new scanner runs")
        door.scan(code)
        answer = door.hear()
        shop.ports["counter"].scan(code)
        other = shop.ports["counter"].hear()
        after = drivers(shop)["counter"]
        door.close()

    assert change.written
    assert answer is not None and answer.startswith("negative")
    assert other is not None
    assert after == neighbour


def test_a_scanner_gets_another_home_and_keeps_counting(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",), mode="look") as shop:
        shop.start()
        (code,) = shop.add_items(1)
        shop.ports["counter"].scan(code)
        shop.wait_until(lambda: shop.ports["counter"].hear(0.1) is not None, "looked up")
        driver = drivers(shop)["counter"]

        change_device(shop.config, "counter", {"mode": "receive"})
        shop.say("settings", {})
        shop.wait_until(lambda: shop.rows("SELECT mode FROM station") == [("receive",)], "the new home")
        shop.ports["counter"].scan(code)
        shop.wait_until(lambda: shop.on_hand(code.zfill(14)) == 1, "received")

        assert drivers(shop)["counter"] == driver  # what it is told did not change: it was not started again


def test_a_section_that_is_wrong_stops_nobody_else(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        neighbour = drivers(shop)["counter"]
        with shop.config.open("a") as file:
            file.write('\n[[device]]\nname = "door"\ndriver = "serial_scaner"\n')
        shop.daemon.send_signal(signal.SIGHUP)
        shop.wait_until(lambda: state_of(shop, "door") == "config_error", "the fault is said")

        assert drivers(shop)["counter"] == neighbour


def test_a_device_that_is_taken_out_of_the_settings_is_let_go(tmp_path: Path) -> None:
    with open_shop(tmp_path, scanners=("counter", "door")) as shop:
        shop.start()
        text = shop.config.read_text()
        at = text.index('[[device]]\nname = "door"')
        shop.config.write_text(text[:at])
        shop.daemon.send_signal(signal.SIGHUP)
        shop.wait_until(lambda: set(drivers(shop)) == {"counter"}, "its driver ends")

        assert state_of(shop, "counter") == "running"


@pytest.mark.parametrize("spoilt", ["[shop\n", "[shop]\nnmae = 1\n"])
def test_a_file_that_is_spoilt_changes_nothing(tmp_path: Path, spoilt: str) -> None:
    with open_shop(tmp_path, scanners=("counter",)) as shop:
        shop.start()
        before = drivers(shop)
        shop.config.write_text(spoilt)
        shop.daemon.send_signal(signal.SIGHUP)
        shop.wait_until(lambda: "keeps running" in (tmp_path / "daemon.log").read_text(), "the fault is said")

        assert drivers(shop) == before
        assert json.loads((tmp_path / "settings-in-use.json").read_text())["verdict"]["settings"]
