"""How devices and lines are, and what sensors saw: a second file that may be deleted at any time.

Loops report here; one thread writes at most once a second, and only when something changed.
"""

import contextlib
import json
import math
import sqlite3
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

SCHEMA = Path(__file__).parent / "schema" / "telemetry.sql"
FLUSH_EVERY_S = 1.0
SAMPLE_DAYS = 30
TRIM_EVERY_S = 86_400.0
SAMPLES_PENDING_MAX = 10_000
DROP_OLDER_US = 86_400_000_000  # when the disk is nearly full, a day of samples stays


@dataclass(slots=True)
class DeviceState:
    driver: str
    state: str = "starting"
    text: str = ""
    since_us: int = 0  # for people
    since_s: float = 0.0  # monotonic, for decisions: dates jump
    last_reading_us: int | None = None
    counts: dict[str, int] = field(default_factory=dict)


class Telemetry:
    """Thread-safe. What is here is lost without harm."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._devices: dict[str, DeviceState] = {}
        self._links: dict[str, tuple[str, str, int]] = {}
        self._samples: list[tuple[str, str, int, str, float]] = []
        self._changed: set[str] = set()
        self._drop_samples = False
        self.changed = False  # for the page's hint: a device or a line is in another state
        self._ledger = self._open()

    def device(self, name: str, driver: str, state: str, text: str = "") -> None:
        """A device is in another state, in words with the remedy."""
        with self._lock:
            known = self._devices.setdefault(name, DeviceState(driver))
            if (known.state, known.text) != (state, text):
                known.state, known.text = state, text
                known.since_us, known.since_s = time.time_ns() // 1000, time.monotonic()
                self._changed.add(name)
                self.changed = True

    def devices(self) -> dict[str, DeviceState]:
        """How all devices are just now: copies."""
        with self._lock:
            return {name: replace(one) for name, one in self._devices.items()}

    def state_of(self, name: str) -> str:
        """In a word; "" when it was never heard of."""
        with self._lock:
            known = self._devices.get(name)
            return known.state if known else ""

    def counted(self, name: str, counts: dict[str, int]) -> None:
        with self._lock:
            known = self._devices.get(name)
            if known and known.counts != counts:
                known.counts = counts
                self._changed.add(name)

    def heard(self, name: str, wall_us: int) -> None:
        """A reading came."""
        with self._lock:
            known = self._devices.get(name)
            if known:
                known.last_reading_us = wall_us
                self._changed.add(name)

    def link(self, name: str, state: str, text: str) -> None:
        with self._lock:
            before = self._links.get(name)
            if before is None or before[:2] != (state, text):
                self._links[name] = (state, text, time.time_ns() // 1000)
                self._changed.add(f"link {name}")
                self.changed = True

    def sample(self, device: str, sensor: str, wall_us: int, quantity: str, value: float) -> None:
        """A value of a sensor; not a number is none. When nobody writes any more, the oldest are lost."""
        if not math.isfinite(value):
            return
        with self._lock:
            self._samples.append((device, sensor, wall_us, quantity, value))
            del self._samples[:-SAMPLES_PENDING_MAX]
            self._changed.add("samples")

    def flush(self) -> None:
        """Write what changed. A disk that is full or gone loses telemetry, never the ledger.

        For one thread. What is written is copied first: who reports never waits for the disk.
        """
        with self._lock:
            changed, self._changed = self._changed, set()
            samples, self._samples = self._samples, []
            devices = [
                (
                    name,
                    one.driver,
                    one.state,
                    one.text,
                    one.since_us,
                    one.last_reading_us,
                    json.dumps(one.counts),
                )
                for name, one in self._devices.items()
                if name in changed
            ]
            links = [(name, *one) for name, one in self._links.items() if f"link {name}" in changed]
        if not changed:
            return
        try:
            with self._ledger:
                self._ledger.executemany(
                    "INSERT OR REPLACE INTO device_state VALUES (?, ?, ?, ?, ?, ?, ?)", devices
                )
                self._ledger.executemany("INSERT OR REPLACE INTO link_state VALUES (?, ?, ?, ?)", links)
                self._ledger.executemany("INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?, ?)", samples)
        except sqlite3.Error:  # it stays changed: said again when there is room again
            with self._lock:
                self._changed |= changed
                self._samples = (samples + self._samples)[-SAMPLES_PENDING_MAX:]

    def trim(self) -> None:
        """Forget samples older than SAMPLE_DAYS."""
        with contextlib.suppress(sqlite3.Error):
            _trim(self._ledger)

    def drop_samples(self) -> None:
        """From any thread: the disk is nearly full. What is older than a day goes, with the next write."""
        self._drop_samples = True

    def _make_room(self) -> None:
        """The oldest first, and a row that says how many went: a gap is no quiet time."""
        self._drop_samples = False
        oldest_us = (time.time_ns() // 1000) - DROP_OLDER_US
        with contextlib.suppress(sqlite3.Error):
            with self._ledger:
                gone = self._ledger.execute(
                    "DELETE FROM sample WHERE wall_us < ? AND quantity <> 'gap'", (oldest_us,)
                ).rowcount
                if gone:
                    self._ledger.execute(
                        "INSERT OR REPLACE INTO sample VALUES ('', '', ?, 'gap', ?)", (oldest_us, gone)
                    )
            if gone:
                self._ledger.execute("VACUUM")
                self._ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def run(self, stop: threading.Event) -> None:
        """The loop of the thread `telemetry`."""
        trim_s = time.monotonic() + TRIM_EVERY_S
        while not stop.wait(FLUSH_EVERY_S):
            self.flush()
            if self._drop_samples:
                self._make_room()
            if time.monotonic() >= trim_s:
                trim_s += TRIM_EVERY_S
                self.trim()
        self.flush()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened(str(self._path))
        except sqlite3.Error:  # damaged, or of another version: it may be deleted at any time
            for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
                (self._path.parent / name).unlink(missing_ok=True)
        try:
            return self._opened(str(self._path))
        except sqlite3.Error:  # a full disk: the pages learn less, and counting goes on
            return self._opened(":memory:")

    def _opened(self, where: str) -> sqlite3.Connection:
        connection = sqlite3.connect(where, timeout=5, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(SCHEMA.read_text())
        _trim(connection)
        return connection


def _trim(connection: sqlite3.Connection) -> None:
    oldest_us = (time.time_ns() // 1000) - SAMPLE_DAYS * 86_400_000_000
    with connection:
        connection.execute("DELETE FROM sample WHERE wall_us < ?", (oldest_us,))
