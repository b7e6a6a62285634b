"""The demo shop at work: customers at the counter, deliveries at the back door, and the strip's buttons."""

import contextlib
import random
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.demo.catalogue import ARTICLES, Article
from gateway.demo.devices import ProbeFile, PtyScanner
from gateway.demo.processes import Processes

CUSTOMER_EVERY_S = 4.0
DELIVERY_EVERY_S = 45.0
PROBE_EVERY_S = 5.0
SCAN_PAUSE_S = 0.9  # between two items of one customer
SHORT_POWER_CUT_SCANS = 40  # sent in one go when the plug is pulled, so that some are under way
BACK_WITHIN_S = 20.0
UNKNOWN_CODE = "9529999999993"  # valid, and nobody has named it
SKU_OF = {one.name: one.sku for one in ARTICLES}
SKUS = frozenset(SKU_OF.values())


@dataclass(frozen=True, slots=True)
class PulledPlug:
    """What the last pulled plug came to. `lost`: acknowledged, and not in the ledger."""

    number: int
    acknowledged_before: int
    in_ledger_after: int
    lost: int
    announced_late: int
    seconds_to_next_scan: float | None


class Play:
    """Everything that happens in the demo, in a few threads; the shop itself is other processes."""

    def __init__(self, folder: Path, processes: Processes, seed: int, speed: float) -> None:
        self._processes = processes
        self._ledger_path = folder / "ledger.db"
        self._rng = random.Random(seed)
        self._speed = speed
        self.counter = PtyScanner(folder, "counter")
        self.back_door = PtyScanner(folder, "back-door")
        self.fridge = ProbeFile(folder)
        self._plug = PulledPlug(0, 0, 0, 0, 0, None)
        self._pulling = threading.Lock()
        self._first_seq = self._last_seq()

    def run(self, stop: threading.Event) -> None:
        """Start all threads; returns at once."""
        loops = (self._customers, self._deliveries, self._weather, self.counter.hear, self.back_door.hear)
        for loop in loops:
            threading.Thread(target=loop, args=(stop,), daemon=True).start()

    def state(self) -> dict[str, object]:
        """For the strip: which buttons are down, and what the last pulled plug came to."""
        return {
            "unplug_on": not self.counter.plugged,
            "internet_on": not self._processes.internet,
            "broker": self._processes.has_broker,
            "fridge_celsius": self.fridge.celsius,
            "plug": asdict(self._plug),
        }

    def press(self, button: str) -> dict[str, object]:
        """One button of the strip; the state afterwards. Raises KeyError for one that does not exist."""
        {
            "scan": self._scan_something,
            "unplug": self._unplug,
            "internet": self._processes.cut_the_internet,
            "warm": self._warm,
            "plug": self._pull_the_plug_soon,
        }[button]()
        return self.state()

    def _scan_something(self) -> None:
        self.counter.scan(self._rng.choice((UNKNOWN_CODE, *(one.gtin13 for one in ARTICLES[:9]))))

    def _unplug(self) -> None:
        if self.counter.plugged:
            self.counter.unplug()
        else:
            self.counter.plug_in()

    def _warm(self) -> None:
        self.fridge.celsius = 11.5 if self.fridge.celsius < 8 else 4.2
        self.fridge.write()

    def _pull_the_plug_soon(self) -> None:
        """In a thread: the page that asked is about to be killed and still wants its answer."""
        threading.Timer(0.3, self._pull_the_plug).start()

    def _pull_the_plug(self) -> None:
        if not self._pulling.acquire(blocking=False):
            return
        try:
            for article in self._rng.choices(ARTICLES, k=SHORT_POWER_CUT_SCANS):
                self.counter.scan(article.gtin13)
            time.sleep(0.02)
            self._processes.pull_the_plug()
            time.sleep(0.3)  # the last answers are still in the line
            acknowledged = by_item(self.counter.acknowledged + self.back_door.acknowledged)
            began_s = time.monotonic()
            self._processes.start()
            heard = self.counter.answers + self.back_door.answers
            answered = self._wait_for_the_next_scan(heard)
            took_s = round(time.monotonic() - began_s, 2)
            in_ledger = self._booked()
            self._plug = PulledPlug(
                number=self._plug.number + 1,
                acknowledged_before=acknowledged.total(),
                in_ledger_after=in_ledger.total(),
                lost=(acknowledged - in_ledger).total(),
                announced_late=self.counter.late + self.back_door.late,
                seconds_to_next_scan=took_s if answered else None,
            )
        finally:
            self._pulling.release()

    def _wait_for_the_next_scan(self, heard: int) -> bool:
        """A clerk who scans again and again until it beeps."""
        deadline_s = time.monotonic() + BACK_WITHIN_S
        while time.monotonic() < deadline_s:
            if self.counter.answers + self.back_door.answers > heard:
                return True
            if self._processes.alive():
                self.back_door.scan("SK/RECEIVE")
            time.sleep(0.05)
        return False

    def _customers(self, stop: threading.Event) -> None:
        while not stop.wait(self._rng.expovariate(1 / CUSTOMER_EVERY_S) / self._speed):
            for article in self._basket():
                if stop.wait(SCAN_PAUSE_S / self._speed):
                    return
                self.counter.scan(article.gtin13)

    def _basket(self) -> list[Article]:
        count = min(6, 1 + int(self._rng.expovariate(0.7)))
        return self._rng.choices(ARTICLES, weights=[one.daily for one in ARTICLES], k=count)

    def _deliveries(self, stop: threading.Event) -> None:
        while not stop.wait(DELIVERY_EVERY_S / self._speed):
            for article in self._rng.choices(ARTICLES, weights=[one.daily for one in ARTICLES], k=3):
                self.back_door.scan(article.case_code)
                if stop.wait(SCAN_PAUSE_S / self._speed):
                    return

    def _weather(self, stop: threading.Event) -> None:
        """A fridge's ordinary day: it swings by a few tenths."""
        while not stop.wait(PROBE_EVERY_S):
            target = 4.2 if self.fridge.celsius < 8 else 11.5
            self.fridge.celsius = round(target + self._rng.uniform(-0.4, 0.4), 2)
            self.fridge.write()

    def _booked(self) -> Counter[str]:
        """Item -> scans of it that were booked since the demo began, in whatever mode, undone or not."""
        with contextlib.closing(sqlite3.connect(f"file:{self._ledger_path}?mode=ro", uri=True)) as ledger:
            rows = ledger.execute(
                """SELECT sku, count(DISTINCT rtrim(idem, '0123456789')) FROM movement
                   WHERE seq > ? AND device IN ('counter', 'back-door') AND reverses IS NULL GROUP BY sku""",
                (self._first_seq,),
            ).fetchall()
        return Counter({sku: readings for sku, readings in rows if sku in SKUS})

    def _last_seq(self) -> int:
        with contextlib.closing(sqlite3.connect(f"file:{self._ledger_path}?mode=ro", uri=True)) as ledger:
            return int(ledger.execute("SELECT coalesce(max(seq), 0) FROM movement").fetchone()[0])


def by_item(names: Counter[str]) -> Counter[str]:
    """Item -> how often "booked" was said of it. A burst may hold the same one many times."""
    return Counter({SKU_OF[name]: times for name, times in names.items() if name in SKU_OF})
