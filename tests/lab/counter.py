"""What power cuts have in common: a counter that scans each item once, and a ledger that is looked at afterwards."""

import contextlib
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.ledger.audit import audit
from gateway.ledger.writer import Writer
from tests.lab.bench import settings, wait_for_devices
from tests.lab.guest import CONFIG, Guest, GuestFailed, wait_until
from tests.lab.scanners import SerialScanner, serial_device
from tests.system.disk import unmounted
from tests.system.shop import REPOSITORY, ean13

ITEMS = 3_000
PORT = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_CUT-if00-port0"
ITEM = re.compile(r"\bItem (\d+)\b")
BOOKED = ("ok", "low", "negative", "expired")
WINDOWS = (1, 4, 16)  # scans under way at a time
CONTROL = "/lab-control/daemon_without_waiting.py"
OVERRIDE = "/etc/systemd/system/storekeeper.service.d/control.conf"


def open_counter(guest: Guest) -> None:
    """Open the shop of one scanner (plugged in). Each item is scanned once, so no loss hides behind another."""
    guest.configure(settings(serial_device("counter", PORT)))
    for begin in range(1, ITEMS, 500):
        rows = [
            {"sku": code.zfill(14), "name": f"Item {at}", "codes": [[code.zfill(14), 1]]}
            for at in range(begin, begin + 500)
            for code in [ean13(at)]
        ]
        wait_until(lambda rows=rows: booked_items(guest, rows), "the daemon takes the items", 120, 1.0)  # type: ignore[misc]
    wait_for_devices(guest, "counter")


def plug_counter(guest: Guest) -> SerialScanner:
    scanner = SerialScanner(guest, "counter", 2, "CUT")
    scanner.plug()
    return scanner


def booked_items(guest: Guest, rows: list[dict[str, object]]) -> bool:
    with contextlib.suppress(GuestFailed):
        return bool(guest.call("shop.say", kind="items", body={"rows": rows}) == "ok")
    return False


def do_not_wait_for_the_disk(guest: Guest) -> None:
    """From its next start the service runs with synchronous=NORMAL; the product has no such switch."""
    program = REPOSITORY / "tests/system/daemon_without_waiting.py"
    guest.put(CONTROL, program.read_text())
    start = f"/opt/storekeeper/venv/bin/python {CONTROL} run -c {CONFIG}"
    guest.put(OVERRIDE, f"[Service]\nExecStart=\nExecStart={start}\n")
    guest.run("systemctl daemon-reload")


def wait_for_the_counter(scanner: SerialScanner) -> None:
    """The daemon of this boot answers: what its card says may be of the boot before."""

    def answers() -> bool:
        scanner.scan("SK/SELL")
        return scanner.line.hear(1.0) is not None

    wait_until(answers, "the scanner is answered", 120)
    while scanner.line.hear(0.5) is not None:
        pass


def scan(
    scanner: SerialScanner,
    items: Iterator[int],
    until: Callable[[], bool],
    window: int,
    heard: Callable[[list[int]], None],
) -> None:
    """Scan `items`, `window` at a time; `heard` is told at once which of them were answered as booked."""
    under_way = 0
    while not until():
        while under_way < window:
            scanner.scan(ean13(next(items)))
            under_way += 1
        answers = []
        line = scanner.line.hear(0.5)
        while line is not None:
            answers.append(line)
            line = scanner.line.hear(0.0)
        under_way = max(0, under_way - len(answers)) if answers else 0
        heard(items_in(answers))


def items_in(answers: list[str]) -> list[int]:
    return [
        int(found[1])
        for answer in answers
        if answer.split(" ", 1)[0] in BOOKED and (found := ITEM.search(answer))
    ]


def items_in_ledger(disk: Path, folder: Path) -> set[int]:
    """Opened as at every start: the file system's recovery, SQLite's, the audit of the chain; then what is sold.

    `disk` is an image of ext4, which this changes.
    """
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(disk), str(folder)], check=True)
    try:
        writer = Writer(folder, ballast_mb=1)
        try:
            found = audit(writer.connection)
            if found.findings:
                raise AssertionError(f"the ledger is not whole: {found.findings}")
            names = writer.connection.execute(
                "SELECT name FROM movement JOIN item USING (sku) WHERE device = 'counter' AND kind = 'sale'"
            )
            return {int(name.removeprefix("Item ")) for (name,) in names}
        finally:
            writer.close()
    finally:
        unmounted(folder)


def seconds_from_now(rng: random.Random, least: float, most: float) -> Callable[[], bool]:
    end_s = time.monotonic() + rng.uniform(least, most)
    return lambda: time.monotonic() >= end_s
