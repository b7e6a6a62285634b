"""Two pairs of equal scanners, same serial number even, keep their stations over a reboot and a swap."""

from collections.abc import Iterator

from tests.lab.bench import CODES, Bench, Result, open_shop, wait_for_devices
from tests.lab.guest import Guest, wait_until
from tests.lab.scanners import SerialScanner, Wedge, serial_device, wedge_device

PORT = "/dev/serial/by-path/{}-usb-0:{}:1.0-port0"
KEYBOARD = "/dev/input/by-path/{}-usb-0:{}:1.0-event-kbd"
SERIAL_NUMBER = "SAME"
STATIONS = {"till": "sale", "goods-in": "receipt", "till-keys": "sale", "goods-in-keys": "receipt"}


def run(bench: Bench) -> Iterator[Result]:
    guest = bench.guest
    controller = guest.run("basename $(dirname $(readlink -f /sys/bus/usb/devices/usb1))").strip()
    bus = f"pci-{controller}"
    open_shop(
        guest,
        serial_device("till", PORT.format(bus, 3), "sell"),
        serial_device("goods-in", PORT.format(bus, 4), "receive"),
        wedge_device("till-keys", KEYBOARD.format(bus, 1), "sell"),
        wedge_device("goods-in-keys", KEYBOARD.format(bus, 2), "receive"),
    )
    scanners = {
        "till": SerialScanner(guest, "till", 3, SERIAL_NUMBER),
        "goods-in": SerialScanner(guest, "goods-in", 4, SERIAL_NUMBER),
        "till-keys": Wedge(guest, "till-keys", "seat-a", 1, SERIAL_NUMBER),
        "goods-in-keys": Wedge(guest, "goods-in-keys", "seat-b", 2, SERIAL_NUMBER),
    }
    for scanner in scanners.values():
        scanner.plug()
    scan_at_each(guest, scanners, CODES[0:4])
    nodes = names_of(guest, bus)

    guest.run("systemctl reboot --no-block")
    guest.wait_for_boot()
    scan_at_each(guest, scanners, CODES[4:8])
    yield Result(
        "two pairs of equal scanners over a reboot",
        "each scan at its station",
        booked_at(guest) == expected(CODES[:8]),
    )

    for scanner in scanners.values():
        scanner.unplug()
    for name in STATIONS:
        wait_for_devices(guest, name, state="waiting")
    for name in ("goods-in", "till", "goods-in-keys", "till-keys"):
        scanners[name].plug()
        wait_for_devices(guest, name)  # or the hub asks its lower port first, and the kernel's names stay
    scan_at_each(guest, scanners, CODES[8:12])
    swapped = names_of(guest, bus)
    yield Result(
        "the same, plugged in the other way round",
        f"each scan at its station; the kernel's names were {nodes}, now {swapped}",
        booked_at(guest) == expected(CODES[:12]) and nodes != swapped,
    )
    for scanner in scanners.values():
        scanner.unplug()


def scan_at_each(guest: Guest, scanners: dict[str, SerialScanner | Wedge], codes: list[str]) -> None:
    wait_for_devices(guest, *scanners)
    before = len(booked_at(guest))
    for scanner, code in zip(scanners.values(), codes, strict=True):
        scanner.scan(code)
    wait_until(lambda: len(booked_at(guest)) >= before + len(codes), f"{len(codes)} scans booked", 60)


def booked_at(guest: Guest) -> set[tuple[str, str, str]]:
    rows = guest.rows("SELECT device, kind, sku FROM movement WHERE device IN (?, ?, ?, ?)", *STATIONS)
    return {(device, kind, sku[1:]) for device, kind, sku in rows}


def expected(codes: list[str]) -> set[tuple[str, str, str]]:
    stations = list(STATIONS.items())
    return {(*stations[at % 4], code) for at, code in enumerate(codes)}


def names_of(guest: Guest, bus: str) -> str:
    """What the kernel calls the two serial ones now."""
    return guest.run(
        f"readlink {PORT.format(bus, 3)} {PORT.format(bus, 4)} | xargs -n1 basename | xargs"
    ).strip()
