"""Scanners that the host plays: keys through QEMU's USB keyboard, lines through its FTDI adapter."""

import time
from collections.abc import Iterable

from tests.lab.guest import Guest, Line

BETWEEN_KEYS_S = 0.025  # QEMU keeps sixteen events and drops the rest; a real scanner waits until it is asked
QCODES = {"\n": "ret", "-": "minus", "/": "slash", " ": "spc"}


class Wedge:
    """A scanner in keyboard mode. Its seat is a screen of the guest: so each of two equal ones types for itself."""

    def __init__(self, guest: Guest, name: str, seat: str, port: int, serial: str) -> None:
        self._guest = guest
        self.name = name
        self._seat = seat
        self._port = port
        self._serial = serial

    def plug(self) -> None:
        self._guest.plug("usb-kbd", self.name, display=self._seat, port=str(self._port), serial=self._serial)

    def unplug(self) -> None:
        self._guest.unplug(self.name)

    def scan(self, code: str, end: str = "\n") -> None:
        for char in code + end:
            self.press(QCODES.get(char, char))

    def press(self, *keys: str) -> None:
        """Keys held together; names as QEMU's monitor has them."""
        for down in (True, False):
            for key in keys if down else reversed(keys):
                event = {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": key}}}
                self._guest.monitor("input-send-event", device=self._seat, events=[event])
        time.sleep(BETWEEN_KEYS_S)


class SerialScanner:
    """A scanner behind an FTDI adapter; it hears what became of its scans."""

    def __init__(self, guest: Guest, name: str, port: int, serial: str) -> None:
        self._guest = guest
        self.name = name
        self._port = port
        self._serial = serial
        self.line = Line(guest, name)

    def plug(self) -> None:
        self._guest.plug(
            "usb-serial", f"{self.name}-usb", chardev=self.name, port=str(self._port), serial=self._serial
        )

    def unplug(self) -> None:
        self._guest.unplug(f"{self.name}-usb")

    def scan(self, code: str) -> None:
        self.line.send(code.encode() + b"\r\n")

    def scan_all(self, codes: Iterable[str], timeout_s: float = 30) -> list[str]:
        """One after the other, each answered before the next; the answers."""
        answers = []
        for code in codes:
            self.scan(code)
            answers.append(self.line.hear(timeout_s) or "nothing")
        return answers

    def rest(self) -> list[str]:
        """Answers that were on their way when the guest ended."""
        answers = []
        while (answer := self.line.hear(0.2)) is not None:
            answers.append(answer)
        return answers


def wedge_device(name: str, path: str, mode: str = "sell") -> str:
    """A silence of 150 ms ends a code; an emulated processor on a shared machine may be silent that long itself."""
    return f'{station(name, "hid_scanner", mode)}path = "{path}"\nidle_ms = 2000\n'


def serial_device(name: str, port: str, mode: str = "sell", more: str = "") -> str:
    return f'{station(name, "serial_scanner", mode)}port = "{port}"\nreply = "text"\n{more}'


def station(name: str, driver: str, mode: str) -> str:
    return f'name = "{name}"\ndriver = "{driver}"\nmode = "{mode}"\nlocation = "shop"\nbounce_ms = 0\n'
