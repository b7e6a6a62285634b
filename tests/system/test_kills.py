"""Nothing acknowledged is lost, nothing counts twice: SIGKILL at random while 300 scans a second flow."""

import contextlib
import os
import random
import re
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

from gateway.demo.processes import free_port
from tests.system.broker import BackOffice, Broker, Eavesdropper
from tests.system.shop import Shop, open_shop

SOAK = os.environ.get("SOAK") == "1"
KILLS = 1_000 if SOAK else 60
SCANS_PER_SECOND = 300
OUTLET_WINDOW = 1_024  # drivers.bus.UNACKNOWLEDGED_MAX: what may be under way at a kill
ITEM = re.compile(r"Item (\d+)\b")
BOOKED = ("ok", "low", "negative", "expired")
SEED = 20261124


class Clerk:
    """Scans at a steady pace whatever happens, and listens to every beep."""

    def __init__(self, shop: Shop, codes: list[str]) -> None:
        self._scanner = shop.ports["counter"]
        self._codes = codes
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._scan), threading.Thread(target=self._listen)]
        self.sent: Counter[int] = Counter()
        self.acknowledged: Counter[int] = Counter()
        self.late: Counter[int] = Counter()
        self.last_heard_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop_scanning(self) -> None:
        self._stop.set()
        self._threads[0].join()

    def leave(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def was_told(self, sales: Counter[int]) -> bool:
        return all(sold <= self.acknowledged[item] + self.late[item] for item, sold in sales.items())

    def _scan(self) -> None:
        number = 0
        due_s = time.monotonic()
        while not self._stop.is_set():
            item = number % len(self._codes) + 1
            self.sent[item] += self._scanner.scan(self._codes[item - 1])
            number += 1
            due_s = max(due_s + 1 / SCANS_PER_SECOND, time.monotonic() - 0.1)
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _listen(self) -> None:
        quiet_s = time.monotonic()
        while not self._stop.is_set() or time.monotonic() - quiet_s < 1.0:
            line = self._scanner.hear(0.05)
            if line is None:
                continue
            quiet_s = self.last_heard_s = time.monotonic()
            outcome, _, text = line.partition(" ")
            if found := ITEM.search(text):
                said = self.late if outcome == "late" else self.acknowledged
                said[int(found[1])] += outcome in (*BOOKED, "late")


VICTIMS = ("daemon", "counter", "web", "sync", "backoffice", "broker")
FEED_ARRIVES_WITHIN_S = 300.0  # the pump's back-off after many kills, and the broker's own


def test_whatever_is_killed_each_acknowledged_scan_counts_exactly_once_on_both_ends(tmp_path, capsys):
    rng = random.Random(SEED)
    broker = Broker(tmp_path / "broker").start()
    wire = Eavesdropper(broker)
    with open_shop(tmp_path / "shop", mqtt_port=broker.port, web=True, web_port=free_port(18_200)) as shop:
        office = BackOffice(shop).start()
        try:
            shop.start()
            clerk = Clerk(shop, shop.add_items(2_000))
            kills: Counter[str] = Counter()
            back_s: list[float] = []
            try:
                for number in range(KILLS):
                    time.sleep(rng.uniform(0.05, 0.6))
                    victim = VICTIMS[number % len(VICTIMS)]
                    kills[victim] += 1
                    kill(victim, shop, office, broker)
                    killed_s = time.monotonic() + 0.02  # what was in the line already does not count
                    shop.wait_until(lambda: clerk.last_heard_s > killed_s, "answers again")  # noqa: B023
                    back_s.append(time.monotonic() - killed_s)
                clerk.stop_scanning()
                shop.wait_until(lambda: not shop.ports["counter"].unread_bytes(), "each scan is read")
                shop.wait_until(
                    lambda: both_ends_agree(shop, office), "the back office holds all", FEED_ARRIVES_WITHIN_S
                )
                shop.wait_until(
                    lambda: clerk.was_told(sales_by_item(shop)), "each sale in the ledger is said"
                )
            finally:
                clerk.leave()
            ledger = sales_by_item(shop)
            assert shop.stop() == 0
            assert_ledger_is_whole(shop)
            assert_books_are_equal(shop, office)
        finally:
            wire.leave()
            office.kill()
            broker.kill()

    said = clerk.acknowledged + clerk.late
    back_s.sort()
    with capsys.disabled():
        print(
            f"\n  {KILLS} kills ({dict(kills)}): sent {clerk.sent.total()},"
            f" acknowledged {clerk.acknowledged.total()}, late {clerk.late.total()},"
            f" in the ledger and at the back office {ledger.total()}, said twice {(said - ledger).total()};"
            f" duplicates on the wire {wire.again} beside {wire.movements} movements heard in {wire.messages}"
            f" messages, counted twice {(ledger - clerk.sent).total()};"
            f" next answer after {back_s[len(back_s) // 2]:.2f} s (median), {back_s[-1]:.2f} s (worst)"
        )
    assert clerk.acknowledged - ledger == Counter(), "acknowledged, and not in the ledger"
    assert ledger - clerk.sent == Counter(), "in the ledger more often than scanned"
    assert ledger - said == Counter(), "in the ledger, and nobody was told"
    assert wire.again > 0, "no kill made the gateway repeat itself: the back office was not put to the test"
    assert clerk.late.total() <= OUTLET_WINDOW * KILLS


def kill(victim: str, shop: Shop, office: BackOffice, broker: Broker) -> None:
    """SIGKILL, and the start that systemd or the supervisor would make."""
    if victim == "daemon":
        shop.kill()
        shop.start(wait=False)
    elif victim == "backoffice":
        office.kill()
        office.start()
    elif victim == "broker":
        broker.kill()
        broker.start()
    else:
        kill_child(shop, victim)


def sales_by_item(shop: Shop) -> Counter[int]:
    rows = shop.rows(
        "SELECT name, count(*) FROM movement JOIN item USING (sku) WHERE kind = 'sale' GROUP BY sku"
    )
    return Counter({int(name.removeprefix("Item ")): readings for name, readings in rows})


def office_rows(office: BackOffice, question: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(f"file:{office.database}?mode=ro", uri=True)) as database:
        return database.execute(question).fetchall()


def both_ends_agree(shop: Shop, office: BackOffice) -> bool:
    """Everything is held there, confirmed here, and a digest of that moment was equal."""
    [(last_seq,)] = shop.rows("SELECT max(seq) FROM movement")
    confirmed = shop.rows("SELECT seq FROM cursor WHERE name = 'L'")
    held = office_rows(office, "SELECT seq FROM cursor WHERE lane = 'L'")
    return confirmed == held == [(last_seq,)]


def assert_books_are_equal(shop: Shop, office: BackOffice) -> None:
    columns = "seq, epoch, kind, sku, qty, src, dst, lot"
    ours = shop.rows(f"SELECT {columns}, lower(hex(hash)) FROM movement ORDER BY seq")
    theirs = office_rows(office, f"SELECT {columns}, hash FROM movement ORDER BY seq")
    assert ours == theirs
    assert office_rows(office, "SELECT problem FROM gateway") == [("",)]
    balances = "SELECT sku, loc, lot, qty FROM balance WHERE qty <> 0 ORDER BY sku, loc, lot"
    assert shop.rows(balances) == office_rows(office, balances)


def kill_child(shop: Shop, name: str) -> None:
    """SIGKILL the child process of that name; wait until it exists."""

    def find() -> int | None:
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and (folder / "comm").read_text() == f"sk:{name}\n":
                    pid = int(folder.name)
                    if is_below(pid, shop.daemon.pid):
                        return pid
        return None

    shop.wait_until(lambda: find() is not None, f"a process sk:{name}")
    with contextlib.suppress(ProcessLookupError):
        os.kill(find() or 0, signal.SIGKILL)


def is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False


def assert_ledger_is_whole(shop: Shop) -> None:
    from gateway.ledger.audit import audit
    from gateway.ledger.queries import connect

    with contextlib.closing(connect(shop.ledger_path)) as ledger:
        assert audit(ledger).findings == ()
