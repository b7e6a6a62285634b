"""A serial scanner and a scale: our peers on the far ends of two FTDI adapters."""

import threading
from collections.abc import Iterator

from tests.drivers.test_scale_peers import Toledo8217Peer
from tests.lab.bench import CODES, Bench, Result, open_shop, sold, wait_for_devices
from tests.lab.guest import Line, wait_until
from tests.lab.scanners import SerialScanner, serial_device

SERIAL = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{}-if00-port0"
SCANS = 50
GRAMS = (125, 1500, 14995)


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    scanner = SerialScanner(guest, "scanner", 2, "SCAN1")
    scanner.plug()
    scale, line = Toledo8217Peer(), Line(guest, "scale")
    serve(line, scale)
    guest.plug("usb-serial", "scale-usb", chardev="scale", port="3", serial="SCALE1")
    scale_device = (
        f'name = "scale"\ndriver = "scale_toledo8217"\nunit = "kg"\nport = "{SERIAL.format("SCALE1")}"'
    )
    open_shop(guest, serial_device("counter", SERIAL.format("SCAN1")), scale_device)
    wait_for_devices(guest, "counter", "scale")

    answers = scanner.scan_all(CODES[:SCANS])
    good = sum(answer.startswith("ok ") or answer.startswith("negative ") for answer in answers)
    yield Result(
        "serial scan: FTDI, ftdi_sio",
        f"{good} of {SCANS} answered as booked, {len(sold(guest, 'counter'))} in the ledger in order",
        good == SCANS and sold(guest, "counter") == CODES[:SCANS],
    )

    seen = []
    for grams in GRAMS:
        scale.grams = grams
        wait_until(lambda grams=grams: grams in weights(guest), f"{grams} g in the samples", 60)
        seen.append(grams)
    yield Result(
        "scale: Toledo 8217 over FTDI", f"weights seen: {', '.join(map(str, seen))} g", tuple(seen) == GRAMS
    )
    scanner.unplug()
    guest.unplug("scale-usb")


def serve(line: Line, scale: Toledo8217Peer) -> None:
    """Answers what the driver asks, until the guest is gone."""

    def talk() -> None:
        try:
            while True:
                if asked := line.read(0.5):
                    line.send(scale(asked))
        except OSError:
            return

    threading.Thread(target=talk, daemon=True).start()


def weights(guest) -> list[int]:
    rows = guest.call(
        "ledger.rows",
        file="telemetry",
        question="SELECT value FROM sample WHERE device = 'scale' AND sensor = 'kg'",
    )
    return [round(1000 * kg) for (kg,) in rows]
