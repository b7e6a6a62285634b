"""BadUSB: an unknown keyboard is never read; one in the settings that types no scanner's keys is blocked with an alert
until a person says that it is the shop's, and then only muted."""

import time
from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.guest import wait_until
from tests.lab.scanners import Wedge, wedge_device

KNOWN = "/dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_KNOWN-event-kbd"
UNKNOWN = "/dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_STRANGER-event-kbd"
ALERTS = "SELECT text FROM alert WHERE kind = 'device_blocked' AND subject = 'till' AND state = 'open'"


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    known = Wedge(guest, "known", "seat-a", 1, "KNOWN")
    stranger = Wedge(guest, "stranger", "seat-b", 2, "STRANGER")
    known.plug()
    open_shop(guest, wedge_device("till", KNOWN))
    wait_for_devices(guest, "till")
    before = guest.rows("SELECT max(seq) FROM movement")
    stranger.plug()
    wait_until(lambda: guest.try_run(f"test -e {UNKNOWN}")[0] == 0, "the kernel has the stranger", 30)

    stranger.press("meta_l", "r")
    stranger.press("ctrl", "alt", "t")
    for code in CODES[:5]:
        stranger.scan(code)
    time.sleep(3.0)
    after = guest.rows("SELECT max(seq) FROM movement")
    readers = [reader for reader in guest.call("keyboards.readers", path=UNKNOWN) if "storekeeper" in reader]
    yield Result(
        "BadUSB: keys of an unknown keyboard",
        f"{len(CODES[:5])} codes typed, nothing booked, {len(readers)} of our processes read it",
        before == after and not readers,
    )

    known.press("meta_l", "r")
    wait_for_devices(guest, "till", state="blocked", timeout_s=60)
    known.scan(CODES[5])
    alerts = wait_until(lambda: guest.rows(ALERTS), "an alert", 30)
    yield Result(
        "BadUSB: a scanner nobody confirmed presses the Windows key",
        f"blocked, {len(alerts)} alert",
        len(alerts) == 1,
    )

    guest.storekeeper("devices confirm till")
    wait_for_devices(guest, "till", timeout_s=60)
    known.scan(CODES[6])
    wait_until(lambda: CODES[6] in sold(guest, "till"), "its next scan", 60)
    yield Result(
        "BadUSB: its owner confirms it",
        "the next scan counts, that of the blocked time does not",
        CODES[5] not in sold(guest, "till"),
    )
    known.unplug()
    stranger.unplug()
