"""A shop to be measured: a real daemon in a folder of its own, its scanners on ptys, its shelves full."""

import contextlib
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gateway.ledger.master import upsert_item
from gateway.ledger.writer import Writer
from gateway.measure.processes import Used, tree, used
from gateway.stock.codes import check_digit_of
from gateway.stock.movements import Draft

ITEMS = 1_000  # a running range; every scan takes another item, so that balances are random pages
OPENING_UNITS = 1_000_000  # nothing ever runs out: an alert a scan would be another measurement
BEEP = b"\x07"
WITHIN_S = 30.0
PROBE_EVERY_S = 0.005
ROWS_A_COMMIT = 2_000


def code_of(number: int) -> str:
    """The EAN-13 of item `number`, from a range that no in-store rule touches."""
    twelve = f"50{number:010d}"
    return twelve + check_digit_of(twelve)


def scans(first: int, count: int, items: int = ITEMS) -> bytes:
    """The lines that a scanner sends for scan `first` and those after it; item after item, in a scattered order."""
    return b"".join(
        b"%s\r\n" % code_of(number * 7919 % items).encode() for number in range(first, first + count)
    )


class Line:
    """The far end of a scanner's serial line."""

    def __init__(self, link: Path) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        self.port = str(link)

    def write(self, data: bytes) -> None:
        """All of it, as fast as it is taken."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.master, view[:1024]) :]

    def swallow(self, data: bytes) -> None:
        """Write all of it, and throw away the beeps that come meanwhile: a line that nobody hears fills up."""
        view = memoryview(data)
        while view:
            heard, takes, _ = select.select([self.master], [self.master], [])
            if heard:
                os.read(self.master, 65_536)
            if takes:
                view = view[os.write(self.master, view[:256]) :]

    def beeps(self, timeout_s: float) -> int:
        """How many acknowledgements came, waiting at most `timeout_s` for the first."""
        if not select.select([self.master], [], [], max(0.0, timeout_s))[0]:
            return 0
        return os.read(self.master, 65_536).count(BEEP)

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)


@dataclass
class Stage:
    """One shop. `reply`: what its scanners are told ("beep" or "none")."""

    folder: Path
    scanners: int = 1
    reply: str = "beep"
    mqtt_port: int = 0
    web_port: int = 0
    items: int = ITEMS
    cpu: int | None = None  # where the gateway has to run
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _made_tonight(self.folder / "forecast.db")
        self.lines = [Line(self.folder / f"scanner-{at}.tty") for at in range(self.scanners)]
        self.config = self.folder / "config.toml"
        self.config.write_text(self._toml())
        self.ledger = self.folder / "ledger.db"
        self.daemon: subprocess.Popen[bytes] | None = None
        self.scanned = 0
        if not self.ledger.exists():
            fill(self.folder, self.items)

    def start(self) -> None:
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_installed(), **self.environment},
                preexec_fn=self._pin,
            )

    def start_and_scan(self) -> float:
        """Seconds from the start to the first scan that is on disk and acknowledged on line 0."""
        started_s = time.monotonic()
        self.start()
        while (elapsed_s := time.monotonic() - started_s) < WITHIN_S:
            self.scan()
            if self.lines[0].beeps(PROBE_EVERY_S):
                return time.monotonic() - started_s
        raise TimeoutError(f"no scan acknowledged within {elapsed_s:.0f} s: see {self.folder}/daemon.log")

    def open(self) -> None:
        """Start, and wait until scans of every line come through and everything is settled."""
        before = self.last_seq()
        self.start()
        for line in self.lines:
            self.wait(partial(self._comes_through, line, before), "a first scan")
            before = self.last_seq()
        self.settle()

    def scan(self, line: int = 0) -> None:
        self.lines[line].write(scans(self.scanned, 1, self.items))
        self.scanned += 1

    def settle(self) -> None:
        """Until nothing is booked any more, and no beep is under way."""
        seq = -1
        while seq != (seq := self.last_seq()):
            time.sleep(0.3)
        for line in self.lines:
            while line.beeps(0.0):
                pass

    def _comes_through(self, line: Line, before: int) -> bool:
        line.write(scans(self.scanned, 1, self.items))
        self.scanned += 1
        return self.last_seq() > before

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = WITHIN_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert self.daemon is not None
            if self.daemon.poll() is not None:
                raise RuntimeError((self.folder / "daemon.log").read_text()[-2000:])
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not within {timeout_s:.0f} s: {what}; see {self.folder}/daemon.log")
            time.sleep(0.01)

    def last_seq(self) -> int:
        return self._ask("SELECT coalesce(max(seq), 0) FROM movement")

    def confirmed_seq(self) -> int:
        """How far the back office has confirmed, as the ledger remembers it."""
        return self._ask("SELECT coalesce(max(seq), 0) FROM cursor WHERE name = 'L'")

    def pids(self) -> list[int]:
        assert self.daemon is not None
        return tree(self.daemon.pid)

    def used(self) -> Used:
        return used(self.pids())

    def kill(self) -> None:
        """The power cut of a process: SIGKILL, and its children die with it."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()

    def stop(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        self.kill()
        for line in self.lines:
            line.close()

    def _ask(self, question: str) -> int:
        with contextlib.closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as ledger:
            return int(ledger.execute(question).fetchone()[0])

    def _pin(self) -> None:
        if self.cpu is not None:
            os.sched_setaffinity(0, {self.cpu})

    def _toml(self) -> str:
        devices = "".join(
            f"""
[[device]]
name = "scanner-{at}"
driver = "serial_scanner"
mode = "sell"
location = "shop"
bounce_ms = 0
port = "{line.port}"
reply = "{self.reply}"
beep_bad = "07"
"""
            for at, line in enumerate(self.lines)
        )
        return f"""
[shop]
tenant = "bench"
[ledger]
data_dir = "{self.folder}"
ballast_mb = 1
[web]
enabled = {str(bool(self.web_port)).lower()}
port = {self.web_port or 8080}
[mqtt]
enabled = {str(bool(self.mqtt_port)).lower()}
port = {self.mqtt_port or 1883}
[backoffice]
database = "{self.folder}/backoffice.db"
port = {(self.web_port or 8080) + 1}
[backoffice.broker]
port = {self.mqtt_port or 1883}
{devices}"""


def _made_tonight(forecast: Path) -> None:
    """The forecast is there: a model that learns meanwhile would be another measurement."""
    with contextlib.closing(sqlite3.connect(forecast)) as store, store:
        store.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value)")
        store.execute("INSERT OR REPLACE INTO state VALUES ('made_us', ?)", (time.time_ns() // 1000,))


def _installed() -> dict[str, str]:
    """The environment of an installed daemon: its modules are compiled once, not at every start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def fill(folder: Path, items: int, movements: int = 0, opening_units: int = OPENING_UNITS) -> None:
    """Write a ledger with `items` that are full, and with at least `movements`, by the daemon's own writer."""
    writer = Writer(folder, ballast_mb=1)
    writer.connection.execute("PRAGMA synchronous = OFF")  # nobody depends on it yet
    codes = [code_of(number).zfill(14) for number in range(items)]
    batch = writer.batch()
    for code in codes:
        row = {"sku": code, "name": f"Item {code}", "price_minor": 199, "codes": [[code, 1]]}
        batch.statements += upsert_item(row, batch.stamp.wall_us)
    writer.commit(batch)
    for begin in range(0, max(items, movements), ROWS_A_COMMIT):
        batch = writer.batch()
        for at in range(begin, min(begin + ROWS_A_COMMIT, max(items, movements))):
            opening = at < items
            draft = Draft(
                "opening" if opening else "sale",
                codes[at % items] if opening else codes[at * 7919 % items],
                opening_units if opening else 1,
                "ADJUST" if opening else "shop",
                "shop" if opening else "CUSTOMER",
            )
            batch.book(draft, "fill", f"fill/0/{at}/0")
        batch.cursors["L"] = (writer.epoch, batch.last_seq)  # the back office is up to date
        writer.commit(batch)
    writer.close()
