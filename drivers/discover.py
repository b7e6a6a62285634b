"""What is plugged in, from what the kernel shows of it: names and ports only. No device is opened.

An unknown keyboard is never read; it is named, so that its owner can say what it is. The identity of a device is
its driver, the port it is plugged into and, when it has a true one, its serial number: two equal scanners
stay apart over a reboot.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from drivers.hid_descriptor import KEYBOARD_PAGE, SCALE_PAGE, SCANNER_PAGE, usage_pages

SCANNER_WORDS = re.compile(
    r"scan|barcode|symbol|honeywell|metrologic|datalogic|zebra|newland|opticon|netum|inateck|code reader",
    re.I,
)
SCALE_WORDS = re.compile(r"scale|balance|weigh|mettler|dymo|ohaus|sartorius|kern\b", re.I)
READER_WORDS = re.compile(r"rfid|uhf|thingmagic|chafon|impinj", re.I)
USB_SERIAL_CHIPS = re.compile(r"ft232|ftdi|cp210|ch34\d|pl2303|usb.?serial|uart", re.I)
PORT = re.compile(r"usb-\d+:([\d.]+)|usbv\d-\d+:([\d.]+)")
FIRST_PORT_OF_BUS = re.compile(r"^\d+-([\d.]+)$")


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that may be a device. `settings` is what its `[[device]]` needs besides a name."""

    kind: str  # keyboard, serial, hid, 1-wire, i2c
    name: str  # what it calls itself: "Datalogic QuickScan"
    what: str  # in plain words: "Barcode scanner (keyboard type), USB port 1.3"
    identity: str  # driver @ port (# serial number): the same after a reboot
    path: str  # its lasting name
    node: str  # what the kernel calls it just now
    driver: str = ""  # the likely one; empty when only a person can know
    settings: dict[str, str] = field(default_factory=dict)
    port: str = ""  # where it is plugged in
    serial: str = ""  # its serial number, when it is a true one
    hardware: str = ""  # maker, model and serial number; "" for what is no USB device


def discover(root: Path = Path("/")) -> list[Found]:
    """Everything that is seen, in the order keyboards, HID, serial, 1-wire, I2C. `root`: of /dev and /sys."""
    return [*_keyboards(root), *_hid(root), *_serial_lines(root), *_probes(root), *_buses(root)]


def true_serial(text: str) -> str:
    """The serial number, or "" for what factories print into every unit: 0000, 0123456789, one digit repeated."""
    bare = re.sub(r"[^0-9A-Za-z]", "", text)
    if len(bare) < 4 or len(set(bare.strip("0"))) < 2 or bare.upper() in "0123456789ABCDEF":
        return ""
    return text.strip()


def hardware_at(path: str, root: Path = Path("/")) -> str:
    """What is plugged in behind a device file: maker, model and true serial number, "0c2e:0b61#18012B0F2A".

    "" for what is no USB device: the kernel does not say what is at the other end of such a line.
    """
    if not path:
        return ""
    node = Path(os.path.realpath(root / path.lstrip("/"))).name
    for kind in ("input", "tty", "hidraw"):
        device = root / "sys/class" / kind / node / "device"
        if device.exists():
            return _usb_facts(device).hardware
    return ""


def _keyboards(root: Path) -> list[Found]:
    """Input devices that type. Scanners in keyboard mode are among them, and so is the owner's keyboard."""
    found = []
    for node, links in _links(root, "dev/input", "*-event-kbd").items():
        facts = _usb_facts(root / "sys/class/input" / node / "device")
        name = _text(root / "sys/class/input" / node / "device" / "name") or facts.name
        is_scanner = bool(SCANNER_WORDS.search(f"{name} {facts.name}"))
        what = f"Barcode scanner (keyboard type): {name}" if is_scanner else f"Keyboard, or a scanner: {name}"
        driver = "hid_scanner" if is_scanner else ""
        found.append(_found("keyboard", name, what, driver, "path", links, node, facts))
    return found


def _hid(root: Path) -> list[Found]:
    """HID devices that are no keyboard: their report descriptor says what they are."""
    found = []
    for folder in sorted((root / "sys/class/hidraw").glob("hidraw*")):
        try:
            pages = usage_pages((folder / "device/report_descriptor").read_bytes())
        except OSError:
            continue
        if KEYBOARD_PAGE in pages and not pages & {SCALE_PAGE, SCANNER_PAGE}:
            continue  # listed as a keyboard
        facts = _usb_facts(folder / "device")
        name = _uevent(folder / "device").get("HID_NAME", facts.name) or "no name"
        kind, driver = ("USB HID device", "")
        if SCANNER_PAGE in pages:
            kind, driver = ("Barcode scanner (HID-POS)", "hid_pos")
        elif SCALE_PAGE in pages:
            kind, driver = ("Scale (HID)", "scale_hid")
        path = f"/dev/{folder.name}"
        found.append(_found("hid", name, f"{kind}: {name}", driver, "path", [path], folder.name, facts))
    return found


def _serial_lines(root: Path) -> list[Found]:
    found = []
    for node, links in _links(root, "dev/serial", "*").items():
        facts = _usb_facts(root / "sys/class/tty" / node / "device")
        what, driver = f"Serial line: {facts.name or node}", ""
        if READER_WORDS.search(facts.name):
            what = f"RFID reader (serial): {facts.name}"
        elif SCALE_WORDS.search(facts.name):
            what = f"Scale (serial): {facts.name}"
        elif SCANNER_WORDS.search(facts.name):
            what, driver = f"Barcode scanner (serial): {facts.name}", "serial_scanner"
        elif USB_SERIAL_CHIPS.search(facts.name):
            what = f"USB-serial cable, anything may be behind it: {facts.name}"
        found.append(_found("serial", facts.name or node, what, driver, "port", links, node, facts))
    return found


def _probes(root: Path) -> list[Found]:
    """1-wire thermometers; their number is burnt in, so it is all the identity they need."""
    return [
        Found(
            "1-wire",
            folder.name,
            f"Thermometer (DS18B20) {folder.name}",
            f"thermometer_ds18b20#{folder.name}",
            path := f"/sys/bus/w1/devices/{folder.name}",
            folder.name,
            "thermometer_ds18b20",
            {"port": path},
            "1-wire",
            folder.name,
        )
        for folder in sorted((root / "sys/bus/w1/devices").glob("28-*"))
    ]


def _buses(root: Path) -> list[Found]:
    """I2C buses; asking who is on one could disturb somebody, so only the bus is named."""
    found = []
    for node in sorted((root / "dev").glob("i2c-*")):
        name = _text(root / "sys/class/i2c-dev" / node.name / "name") or "no name"
        what = f"I2C bus ({name}): a load cell (scale_nau7802) or thermometer_sht3x may be on it"
        path = f"/dev/{node.name}"
        found.append(Found("i2c", name, what, path, path, node.name, "", {"port": path}, node.name))
    return found


@dataclass(frozen=True, slots=True)
class UsbFacts:
    name: str = ""  # manufacturer and product
    port: str = ""  # "1.3": the way through the hubs, the same after a reboot
    serial: str = ""
    hardware: str = ""  # "0c2e:0b61#18012B0F2A"


def _usb_facts(device: Path) -> UsbFacts:
    """Walk up from a sysfs device to the USB device that it belongs to."""
    here = device.resolve()
    for folder in (here, *here.parents):
        if (folder / "idVendor").exists():
            words = [_text(folder / "manufacturer"), _text(folder / "product")]
            port = FIRST_PORT_OF_BUS.match(folder.name)
            serial = true_serial(_text(folder / "serial"))
            model = f"{_text(folder / 'idVendor')}:{_text(folder / 'idProduct')}"
            return UsbFacts(
                " ".join(word for word in words if word),
                port[1] if port else folder.name,
                serial,
                f"{model}#{serial}" if serial else model,
            )
    return UsbFacts()


def _links(root: Path, folder: str, pattern: str) -> dict[str, list[str]]:
    """Kernel name -> its lasting names, by-path first. Of two equal devices only one has the by-id name."""
    found: dict[str, list[str]] = {}
    for way in ("by-path", "by-id"):
        for link in sorted((root / folder / way).glob(pattern)):
            found.setdefault(Path(os.path.realpath(link)).name, []).append(f"/{folder}/{way}/{link.name}")
    return found


def _found(
    kind: str, name: str, what: str, driver: str, way: str, links: list[str], node: str, facts: UsbFacts
) -> Found:
    """`way` is the driver's option for where it is. by-id is lasting only with a true serial number."""
    by_id = next((link for link in links if "/by-id/" in link), "")
    path = by_id if by_id and facts.serial else links[0]
    port = facts.port or _port_of(links[0])
    where = f", USB port {port}" if port else ""
    identity = f"{driver or kind}@{port or node}" + (f"#{facts.serial}" if facts.serial else "")
    return Found(
        kind,
        name,
        what + where,
        identity,
        path,
        f"/dev/{_node(node)}",
        driver,
        {way: path},
        port,
        facts.serial,
        facts.hardware,
    )


def _node(node: str) -> str:
    return f"input/{node}" if node.startswith("event") else node


def _port_of(link: str) -> str:
    """From a by-path name: platform-xhci-hcd.0-usb-0:1.3:1.0-event-kbd."""
    found = PORT.search(link)
    return (found[1] or found[2] or "") if found else ""


def _uevent(folder: Path) -> dict[str, str]:
    lines = _text(folder / "uevent").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
