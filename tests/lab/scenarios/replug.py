"""Twenty unplug and replug: each time the scanner is back by itself, and half a code is never booked."""

import time
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.guest import wait_until
from tests.lab.scanners import SerialScanner, Wedge, serial_device, wedge_device

SERIAL = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_SCAN2-if00-port0"
KEYBOARD = "/dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_WEDGE2-event-kbd"
TIMES = 20


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    serial = SerialScanner(guest, "serial", 2, "SCAN2")
    wedge = Wedge(guest, "keys", "seat-a", 1, "WEDGE2")
    serial.plug()
    wedge.plug()
    open_shop(guest, serial_device("serial", SERIAL), wedge_device("keys", KEYBOARD))
    wait_for_devices(guest, "serial", "keys")

    back_s = []
    for number, code in enumerate(CODES[:TIMES]):
        scanner = (serial, wedge)[number % 2]
        half_a_code(scanner, CODES[-1])
        scanner.unplug()
        wait_for_devices(guest, scanner.name, state="waiting")
        scanner.plug()
        plugged_s = time.monotonic()
        wait_for_devices(guest, scanner.name)
        back_s.append(time.monotonic() - plugged_s)
        scanner.scan(code)
        wait_until(lambda: sold(guest, scanner.name)[-1:] == [code], f"{code} after replug {number + 1}", 30)  # noqa: B023
    back_s.sort()
    booked = {name: sold(guest, name) for name in ("serial", "keys")}
    yield Result(
        f"{TIMES} unplug/replug in the middle of a code, a scan after each",
        f"{sum(map(len, booked.values()))} booked, no half code;"
        f" back after {back_s[TIMES // 2]:.1f} s (median), {back_s[-1]:.1f} s (worst)",
        booked == {"serial": CODES[:TIMES:2], "keys": CODES[1:TIMES:2]},
    )
    serial.unplug()
    wedge.unplug()


def half_a_code(scanner: SerialScanner | Wedge, code: str) -> None:
    if isinstance(scanner, Wedge):
        scanner.scan(code[:7], end="")
    else:
        scanner.line.send(code[:7].encode())
