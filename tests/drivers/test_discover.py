"""What is plugged in, on trees of /dev and /sys as a Raspberry Pi shows them (made by hand from such listings)."""

import os
from pathlib import Path

import pytest

from drivers.discover import discover, true_serial

USB = "sys/devices/platform/axi/1000120000.pcie/1f00200000.usb/xhci-hcd.0/usb1"
SCALE_DESCRIPTOR = bytes.fromhex("058d0920a1018503750895069102c0")  # usage page 8D: weighing
SCANNER_DESCRIPTOR = bytes.fromhex("058c0902a10185027508953f8102c0")  # usage page 8C: bar code scanner
KEYBOARD_DESCRIPTOR = bytes.fromhex("05010906a1010507750895088102c0")


def write(path: Path, content: str | bytes = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


class Pi:
    """A root with what udev and sysfs would show."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def usb(self, port: str, maker: str, product: str, serial: str = "") -> Path:
        folder = self.root / USB / f"1-{port}"
        for name, text in (
            ("idVendor", "0c2e"),
            ("manufacturer", maker),
            ("product", product),
            ("serial", serial),
        ):
            write(folder / name, f"{text}\n")
        return folder

    def keyboard(self, event: str, port: str, name: str, serial: str = "") -> None:
        device = self.usb(port, "", name, serial) / f"1-{port}:1.0" / "input" / f"input{event}"
        write(device / "name", f"{name}\n")
        link(self.root / "sys/class/input" / f"event{event}" / "device", device)
        node = self.root / "dev/input" / f"event{event}"
        write(node)
        link(self.root / "dev/input/by-path" / f"platform-xhci-hcd.0-usb-0:{port}:1.0-event-kbd", node)
        by_id = self.root / "dev/input/by-id" / f"usb-{name.replace(' ', '_')}-event-kbd"
        if not by_id.is_symlink():  # of two equal names udev keeps one
            link(by_id, node)

    def serial_line(self, node: str, port: str, maker: str, product: str, serial: str) -> None:
        link(self.root / "sys/class/tty" / node / "device", self.usb(port, maker, product, serial))
        write(self.root / "dev" / node)
        name = f"{maker}_{product}_{serial}".replace(" ", "_")
        link(self.root / "dev/serial/by-id" / f"usb-{name}-if00", self.root / "dev" / node)
        link(
            self.root / "dev/serial/by-path" / f"platform-xhci-hcd.0-usb-0:{port}:1.0",
            self.root / "dev" / node,
        )

    def hid(self, node: str, port: str, name: str, descriptor: bytes) -> None:
        device = self.usb(port, "", name) / f"1-{port}:1.0" / "0003:0922:8003.0001"
        write(device / "report_descriptor", descriptor)
        write(device / "uevent", f"DRIVER=hid-generic\nHID_NAME={name}\n")
        link(self.root / "sys/class/hidraw" / node / "device", device)


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


def test_two_equal_scanners_are_told_apart_by_their_ports(pi: Pi) -> None:
    pi.keyboard("3", "1.2", "Datalogic QuickScan")
    pi.keyboard("4", "1.3", "Datalogic QuickScan")

    left, right = discover(pi.root)

    assert left.what == "Barcode scanner (keyboard type): Datalogic QuickScan, USB port 1.2"
    assert left.identity == "hid_scanner@1.2"
    assert right.identity == "hid_scanner@1.3"
    assert left.settings == {"path": "/dev/input/by-path/platform-xhci-hcd.0-usb-0:1.2:1.0-event-kbd"}


def test_a_true_serial_number_lets_a_device_change_its_port(pi: Pi) -> None:
    pi.serial_line("ttyACM0", "1.4", "Honeywell", "Voyager 1450 Scanner", "18012B0F2A")

    (found,) = discover(pi.root)

    assert (found.driver, found.serial, found.port, found.node) == (
        "serial_scanner",
        "18012B0F2A",
        "1.4",
        "/dev/ttyACM0",
    )
    assert found.settings == {"port": "/dev/serial/by-id/usb-Honeywell_Voyager_1450_Scanner_18012B0F2A-if00"}
    assert found.identity == "serial_scanner@1.4#18012B0F2A"


@pytest.mark.parametrize(
    ("printed", "serial"),
    [
        ("18012B0F2A", "18012B0F2A"),
        ("A5XK3RJT", "A5XK3RJT"),
        ("00000000", ""),
        ("0123456789", ""),
        ("0123456789ABCDEF", ""),
        ("1111", ""),
        ("00000001", ""),
        ("", ""),
    ],
)
def test_a_number_that_every_unit_has_is_no_serial_number(printed: str, serial: str) -> None:
    assert true_serial(printed) == serial


def test_a_number_that_is_none_leaves_the_port_as_the_name(pi: Pi) -> None:
    pi.serial_line("ttyUSB0", "2", "Acme", "Barcode Scanner", "00000000")

    (found,) = discover(pi.root)

    assert found.path == "/dev/serial/by-path/platform-xhci-hcd.0-usb-0:2:1.0"


def test_a_keyboard_is_named_and_never_taken_for_a_scanner(pi: Pi) -> None:
    pi.keyboard("0", "1.1", "Logitech K120")

    (found,) = discover(pi.root)

    assert (found.driver, found.what) == ("", "Keyboard, or a scanner: Logitech K120, USB port 1.1")


def test_no_device_is_opened(pi: Pi) -> None:
    pi.keyboard("0", "1.1", "Logitech K120")
    (pi.root / "dev/input/event0").chmod(0)
    pi.serial_line("ttyUSB0", "1.2", "FTDI", "FT232R USB UART", "A5XK3RJT")
    tty = pi.root / "dev/ttyUSB0"
    tty.unlink()
    os.mkfifo(tty)  # who opens it hangs

    assert [found.kind for found in discover(pi.root)] == ["keyboard", "serial"]


def test_a_hid_device_is_what_its_descriptor_says(pi: Pi) -> None:
    pi.hid("hidraw0", "1.1", "DYMO S50", SCALE_DESCRIPTOR)
    pi.hid("hidraw1", "1.2", "Zebra DS9308", SCANNER_DESCRIPTOR)
    pi.hid("hidraw2", "1.3", "Logitech K120", KEYBOARD_DESCRIPTOR)

    assert [(found.driver, found.what) for found in discover(pi.root)] == [
        ("scale_hid", "Scale (HID): DYMO S50, USB port 1.1"),
        ("hid_pos", "Barcode scanner (HID-POS): Zebra DS9308, USB port 1.2"),
    ]


def test_probes_and_buses_are_listed(pi: Pi) -> None:
    write(pi.root / "sys/bus/w1/devices/28-0316a27934ff/w1_slave")
    write(pi.root / "dev/i2c-1")
    write(pi.root / "sys/class/i2c-dev/i2c-1/name", "bcm2835 (i2c@7e804000)\n")

    probe, bus = discover(pi.root)

    assert (probe.driver, probe.settings) == (
        "thermometer_ds18b20",
        {"port": "/sys/bus/w1/devices/28-0316a27934ff"},
    )
    assert bus.what.startswith("I2C bus (bcm2835 (i2c@7e804000))")


def test_a_box_without_devices_is_no_mistake(tmp_path: Path) -> None:
    assert discover(tmp_path) == []
