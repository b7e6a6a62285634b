"""A real shop for tests: the daemon is a process, scanners are ptys, the ledger is read from outside."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def ean13(number: int) -> str:
    """A valid EAN-13 in the 500-range, so that no in-store rule applies."""
    twelve = f"50{number:010d}"
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(twelve))
    return f"{twelve}{-total % 10}"


class PtyScanner:
    """The far end of a serial line: writes scans, hears what the driver says back."""

    def __init__(self, folder: Path, name: str) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(slave)
        link = folder / f"{name}.tty"
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        self.port = str(link)
        self._slave = slave  # held open: a pty whose last slave closes forgets what was under way
        self._heard = b""

    def scan(self, data: str) -> bool:
        """Whether the line took it: when nobody reads, a full line must not hold up the test."""
        if not select.select([], [self.master], [], 1.0)[1]:
            return False
        os.write(self.master, data.encode() + b"\r\n")
        return True

    def unread_bytes(self) -> int:
        """What no driver has read yet."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)

    def drain_unread(self) -> int:
        """Throw away what no driver has read yet; how many whole lines that were."""
        unread = b""
        while select.select([self._slave], [], [], 0)[0]:
            unread += os.read(self._slave, 65_536)
        return unread.count(b"\r\n")

    def hear(self, timeout_s: float = 60.0) -> str | None:
        """The next line that the driver voiced, or None."""
        deadline_s = time.monotonic() + timeout_s
        while b"\r\n" not in self._heard:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self.master], [], [], left_s)[0]:
                return None
            self._heard += os.read(self.master, 65536)
        line, self._heard = self._heard.split(b"\r\n", 1)
        return line.decode()

    def hear_all(self, timeout_s: float = 0.0) -> list[str]:
        lines = []
        while (line := self.hear(timeout_s)) is not None:
            lines.append(line)
        return lines

    def close(self) -> None:
        for fd in (self.master, self._slave):
            with contextlib.suppress(OSError):
                os.close(fd)


@dataclass
class Shop:
    """One data folder and the daemon that may be running on it."""

    folder: Path
    data: Path | None = None  # where the ledger is, when it is on a disk of its own
    program: str = "gateway"
    mode: str = "sell"
    scanners: tuple[str, ...] = ("counter",)
    mqtt_port: int = 0
    web: bool = False
    web_port: int = 8080
    extra: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    daemon: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = {name: PtyScanner(self.folder, name) for name in self.scanners}
        self.config = self.folder / "config.toml"
        self.config.write_text(self._toml())

    def _toml(self) -> str:
        devices = "".join(
            f"""
[[device]]
name = "{name}"
driver = "serial_scanner"
mode = "{self.mode}"
location = "shop"
bounce_ms = 0
port = "{scanner.port}"
reply = "text"
"""
            for name, scanner in self.ports.items()
        )
        return f"""
[shop]
name = "Test shop"
tenant = "test"
store = "corner"
gateway = "gw1"
[ledger]
data_dir = "{self.data_dir}"
ballast_mb = 1
[web]
enabled = {str(self.web).lower()}
port = {self.web_port}
[mqtt]
enabled = {str(bool(self.mqtt_port)).lower()}
port = {self.mqtt_port or 1883}
{self._back_office_toml() if self.mqtt_port else ""}
{devices}
{self.extra}
"""

    def _back_office_toml(self) -> str:
        return f"""
[backoffice]
database = "{self.folder}/backoffice.db"
port = {self.web_port + 1}
[backoffice.broker]
port = {self.mqtt_port}
"""

    @property
    def data_dir(self) -> Path:
        return self.data or self.folder

    @property
    def ledger_path(self) -> Path:
        return self.data_dir / "ledger.db"

    def start(self, wait: bool = True) -> "Shop":
        log = (self.folder / "daemon.log").open("ab")
        self._started_us = time.time_ns() // 1000
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", self.program, "run", "-c", str(self.config)],
            cwd=REPOSITORY,
            stdout=log,
            stderr=log,
            env={**os.environ, **self.environment},
        )
        log.close()
        if wait:
            self.wait_until(self._devices_run, f"devices running; see {self.folder}/daemon.log")
        return self

    def _devices_run(self) -> bool:
        assert self.daemon is not None
        if self.daemon.poll() is not None:
            raise AssertionError((self.folder / "daemon.log").read_text())
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(
                sqlite3.connect(f"file:{self.data_dir}/telemetry.db?mode=ro", uri=True)
            ) as telemetry:
                rows = telemetry.execute("SELECT device, state, since_us FROM device_state").fetchall()
            states = {device: state for device, state, since_us in rows if since_us > self._started_us}
            return all(states.get(name) == "running" for name in self.ports)
        return False

    def wait_until(self, condition, what: str, timeout_s: float = 120.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.02)

    def kill(self) -> None:
        """The power cut of a process: SIGKILL, and its children die with it."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def stop(self) -> int:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(120)

    def close(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.kill()
        for scanner in self.ports.values():
            scanner.close()

    def rows(self, question: str, *values: object) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(f"file:{self.ledger_path}?mode=ro", uri=True)) as ledger:
            return ledger.execute(question, values).fetchall()

    def on_hand(self, sku: str) -> int:
        rows = self.rows("SELECT sum(qty) FROM balance WHERE sku = ? AND loc = 'shop'", sku)
        return rows[0][0] or 0

    def add_items(self, count: int = 10) -> list[str]:
        """`count` items, their codes; through the same door as an import."""
        codes = [ean13(number) for number in range(1, count + 1)]
        rows = [
            {
                "sku": code.zfill(14),
                "name": f"Item {at}",
                "price_minor": 100 + at,
                "codes": [[code.zfill(14), 1]],
            }
            for at, code in enumerate(codes, 1)
        ]
        for begin in range(0, count, 500):
            self.say("items", {"rows": rows[begin : begin + 500]})
        return codes

    def say(self, kind: str, body: dict) -> "object":
        """A document on the bus, as a page or a command sends it."""
        from drivers.bus import Outlet
        from drivers.contract import Document
        from gateway.addresses import bus_address
        from gateway.config import load

        outlet = Outlet(bus_address(load(self.config).settings), "test", os.urandom(6).hex())
        try:
            return outlet.ask(Document(kind, os.urandom(6).hex(), body))
        finally:
            outlet.close()


@contextlib.contextmanager
def open_shop(folder: Path, **options) -> Iterator[Shop]:
    shop = Shop(folder, **options)
    try:
        yield shop
    finally:
        shop.close()
