"""A keyboard in a scanner's port types what no scanner types: blocked, alerted, freed by one tap. The real daemon."""

import fcntl
import os
import signal
import termios
import time
from pathlib import Path

from drivers.typed_keys import Stroke, input_records, strokes
from tests.system.shop import open_shop
from tests.system.test_settings_anew import drivers, state_of

WINDOWS_KEY, R = 125, 19
WEDGE = """
[[device]]
name = "wedge"
driver = "hid_scanner"
mode = "sell"
location = "shop"
path = "{path}"
grab = false
"""


def is_read(keys: int) -> bool:
    """The driver has taken all that was typed."""
    return fcntl.ioctl(keys, termios.FIONREAD, bytes(4)) == bytes(4)


def alerts(shop) -> list[tuple]:
    return shop.rows("SELECT kind, subject, severity, state FROM alert WHERE kind LIKE 'device%' ORDER BY id")


def test_a_keyboard_that_nobody_confirmed_is_blocked_until_a_person_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "event9"
    os.mkfifo(path)
    keys = os.open(path, os.O_RDWR)

    def types(code: str) -> None:
        os.write(keys, b"".join(input_records(strokes(code, "us", "enter"))))

    with open_shop(tmp_path, scanners=("counter",), extra=WEDGE.format(path=path)) as shop:
        shop.start()
        code, other = shop.add_items(2)
        sku, other_sku = code.zfill(14), other.zfill(14)
        types(code)
        shop.wait_until(lambda: shop.on_hand(sku) == -1, "the scan counts")
        os.write(keys, b"".join(input_records([Stroke(R, WINDOWS_KEY)])))
        shop.wait_until(lambda: state_of(shop, "wedge") == "blocked", "it is blocked")
        types(other)
        shop.wait_until(lambda: alerts(shop), "the alert")
        raised = alerts(shop)

        shop.stop()
        shop.start()  # a block outlives the daemon
        shop.wait_until(lambda: state_of(shop, "wedge") == "blocked", "it is still blocked")
        types(other)
        shop.wait_until(lambda: is_read(keys), "what is typed is read")
        time.sleep(0.5)
        blocked_sales = shop.on_hand(other_sku)

        shop.say("device", {"name": "wedge", "do": "confirm", "hardware": ""})
        shop.wait_until(lambda: state_of(shop, "wedge") == "running", "one tap frees it")
        types(other)
        shop.wait_until(lambda: shop.on_hand(other_sku) == -1, "it counts again")
        os.write(keys, b"".join(input_records([Stroke(R, WINDOWS_KEY)])))
        shop.wait_until(lambda: state_of(shop, "wedge") == "muted", "now it is only muted")
        types("SK/FREE")
        shop.wait_until(lambda: state_of(shop, "wedge") == "running", "one code frees it")

        assert raised == [("device_blocked", "wedge", "critical", "open")]
        assert blocked_sales == 0
        assert ("device_blocked", "wedge", "critical", "closed") in alerts(shop)
    os.close(keys)


def test_what_a_person_said_of_a_device_holds_when_its_driver_crashes(tmp_path: Path) -> None:
    path = tmp_path / "event9"
    os.mkfifo(path)
    keys = os.open(path, os.O_RDWR)

    def types(code: str) -> None:
        os.write(keys, b"".join(input_records(strokes(code, "us", "enter"))))

    def crashes(shop) -> None:
        pid = drivers(shop)["wedge"]
        os.kill(pid, signal.SIGKILL)
        shop.wait_until(lambda: drivers(shop).get("wedge", pid) != pid, "another driver")

    with open_shop(tmp_path, scanners=("counter",), extra=WEDGE.format(path=path)) as shop:
        shop.start()
        code, other = shop.add_items(2)
        os.write(keys, b"".join(input_records([Stroke(R, WINDOWS_KEY)])))
        shop.wait_until(lambda: state_of(shop, "wedge") == "blocked", "it is blocked")
        crashes(shop)
        shop.wait_until(
            lambda: state_of(shop, "wedge") == "blocked", "the next driver is blocked from its start"
        )
        types(code)
        shop.wait_until(lambda: is_read(keys), "what is typed is read")
        time.sleep(0.5)
        while_blocked = shop.on_hand(code.zfill(14))
        shop.kill()  # and so is the one after a power cut
        shop.start()
        shop.wait_until(lambda: state_of(shop, "wedge") == "blocked", "it is still blocked")

        shop.say("device", {"name": "wedge", "do": "free"})
        shop.wait_until(lambda: state_of(shop, "wedge") == "running", "a person frees it")
        crashes(shop)
        shop.wait_until(lambda: state_of(shop, "wedge") == "running", "it stays free")
        types(other)
        shop.wait_until(lambda: shop.on_hand(other.zfill(14)) == -1, "and counts")

        assert while_blocked == 0
    os.close(keys)
