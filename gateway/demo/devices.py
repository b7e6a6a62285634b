"""The demo's devices: the far ends of serial lines and files that the real drivers have open."""

import contextlib
import os
import pty
import select
import threading
import time
import tty
from collections import Counter
from pathlib import Path

HEAR_EVERY_S = 0.2


class PtyScanner:
    """A scanner on a pty. Types codes, hears what the driver voices, and remembers what was acknowledged."""

    def __init__(self, folder: Path, name: str) -> None:
        self._link = folder / f"{name}.tty"
        self._lock = threading.Lock()
        self._heard = b""
        self.acknowledged: Counter[str] = Counter()  # name of the item -> answers that said "booked"
        self.late = 0
        self.answers = 0  # to scans of this run; late ones are apart
        self.plug_in()

    def plug_in(self) -> None:
        master, slave = pty.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        with self._lock:
            self._master, self._slave = master, slave
            self._heard = b""
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(slave))

    def unplug(self) -> None:
        self._link.unlink(missing_ok=True)
        with self._lock:
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    @property
    def plugged(self) -> bool:
        return self._master >= 0

    @property
    def port(self) -> str:
        return str(self._link)

    def scan(self, code: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._master >= 0:
                os.write(self._master, code.encode() + b"\r\n")

    def hear(self, stop: threading.Event) -> None:
        """Read answers until told to stop: the loop of a thread."""
        while not stop.is_set():
            master = self._master
            if master < 0:
                time.sleep(HEAR_EVERY_S)
                continue
            try:
                if not select.select([master], [], [], HEAR_EVERY_S)[0]:
                    continue
                with self._lock:
                    self._heard += os.read(master, 65_536)
                    self._settle()
            except OSError:
                time.sleep(HEAR_EVERY_S)  # unplugged just now

    def _settle(self) -> None:
        *lines, self._heard = self._heard.split(b"\r\n")
        for line in lines:
            outcome, _, text = line.decode().partition(" ")
            if outcome == "late":
                self.late += 1
                continue
            self.answers += 1
            if outcome in ("ok", "low", "negative", "expired"):
                self.acknowledged[text.partition(": ")[0]] += 1


class ProbeFile:
    """A DS18B20 as the kernel shows it: a text file that is replaced whole."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fridge" / "w1_slave"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.celsius = 4.2
        self.write()

    @property
    def path(self) -> str:
        return str(self._path)

    def write(self) -> None:
        raw = round(self.celsius * 16)
        scratch = raw.to_bytes(2, "little", signed=True) + bytes.fromhex("4b467fff0c10")
        crc = _crc8(scratch)
        line = " ".join(f"{byte:02x}" for byte in (*scratch, crc))
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{line} : crc={crc:02x} YES\n{line} t={int(raw * 62.5)}\n")
        fresh.replace(self._path)


def _crc8(data: bytes) -> int:
    """Dallas/Maxim CRC-8, polynomial 0x8C reflected."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc
