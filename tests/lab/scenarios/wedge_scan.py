"""A wedge scanner: keys through usb-kbd, usbhid and evdev become movements in the guest's ledger."""

import time
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.guest import wait_until
from tests.lab.scanners import Wedge, wedge_device

NODE = "/dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_WEDGE1-event-kbd"
SCANS = 50
PAUSE_S = 5.0  # long enough for a keyboard that may sleep to fall asleep: udev's own list lets this one


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    scanner = Wedge(guest, "wedge", "seat-a", 1, "WEDGE1")
    scanner.plug()
    open_shop(guest, wedge_device("wedge", NODE))
    wait_for_devices(guest, "wedge")

    time.sleep(PAUSE_S)
    for code in CODES[:SCANS]:
        scanner.scan(code)
    wait_until(lambda: len(sold(guest, "wedge")) >= SCANS, f"{SCANS} sales", 60)
    booked = sold(guest, "wedge")
    yield Result(
        "wedge scan: usb-kbd, usbhid, evdev",
        f"{len(booked)} of {SCANS} booked, in order",
        booked == CODES[:SCANS],
    )

    held = guest.call("keyboards.is_grabbed", path=NODE)
    yield Result("the scanner's keys reach nobody else", "grabbed" if held else "not grabbed", held)
    scanner.unplug()
