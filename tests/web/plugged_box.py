"""A machine with things plugged in that nobody has set up: ptys and pipes under a root of /dev and /sys."""

import os
import pty
import tty
from pathlib import Path

from drivers.typed_keys import Stroke, input_records, strokes

WINDOWS_KEY, R = 125, 19


class Box:
    """Two equal scanners, a scale, a keyboard that calls itself a scanner, and one that may be the owner's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left, self.right = (self._line(name, port) for name, port in (("left", "1.2"), ("right", "1.3")))
        self.scale = self._line("scale", "1.4", "FTDI", "FT232R USB UART")
        self.wedge, self.keyboard = self._keys(3, "Datalogic QuickScan QD2430"), self._keys(4, "USB Keyboard")

    def _line(self, name: str, port: str, maker: str = "Honeywell", product: str = "Voyager 1452g") -> int:
        ours, far_end = pty.openpty()
        tty.setraw(ours)
        tty.setraw(far_end)
        node = self._node(f"dev/{name}")
        node.symlink_to(os.ttyname(far_end))
        facts = (("idVendor", "0c2e"), ("idProduct", "0b6a"), ("manufacturer", maker), ("product", product))
        for fact, text in facts:
            self._node(f"sys/bus/usb/1-{port}/{fact}").write_text(f"{text}\n")
        device = self._node(f"sys/class/tty/{Path(os.ttyname(far_end)).name}/device")
        device.symlink_to(self.root / f"sys/bus/usb/1-{port}")
        self._node(f"dev/serial/by-path/platform-usb-0:{port}:1.0").symlink_to(node)
        return ours

    def _keys(self, number: int, name: str) -> int:
        node = self._node(f"dev/input/event{number}")
        os.mkfifo(node)
        self._node(f"dev/input/by-path/platform-usb-0:2.{number}:1.0-event-kbd").symlink_to(node)
        self._node(f"sys/class/input/event{number}/device/name").write_text(f"{name}\n")
        return os.open(node, os.O_RDWR)

    def _node(self, path: str) -> Path:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        return self.root / path

    def sends(self, line: int, code: str) -> None:
        os.write(line, code.encode() + b"\r")

    def types(self, keys: int, code: str) -> None:
        os.write(keys, b"".join(input_records(strokes(code, "us", "enter"))))

    def attacks(self, keys: int) -> None:
        """Windows+R: the first thing that a programmed stick does."""
        os.write(keys, b"".join(input_records([Stroke(R, WINDOWS_KEY)])))

    def close(self) -> None:
        for fd in (self.left, self.right, self.scale, self.wedge, self.keyboard):
            os.close(fd)
