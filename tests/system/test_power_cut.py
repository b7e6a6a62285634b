"""The plug is pulled while scans flow: after it, everything that was acknowledged is in the ledger.

The whole daemon, scans through a pty, its data on an ext4 in a file, loop-mounted. The cut stops the file system
between two bytes; the image is copied as the device had it, mounted again (the journal is replayed), opened as at
any start, audited and compared. The control does the same with a daemon that does not wait for the disk, and must
be seen to lose.

What counts was acknowledged before the cut began. An answer that comes while the file system is being shut down
is shown apart: with the power gone nobody hears it, and ext4 itself then says "flushed" now and then when it is
not so (`python -m bench.powercut` shows that with a bare write and fdatasync).

The third test records every write and flush on their way to the disk, and makes from them states that no single
plug would show: what was not flushed is there, gone or torn, sector by sector.
"""

import os
import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.ledger.audit import audit
from gateway.ledger.writer import Writer
from tests.system.disk import Disk, need_disks, need_fuse
from tests.system.logged_disk import Entry, LoggedDisk, after_a_cut
from tests.system.shop import Shop, open_shop
from tests.system.test_kills import BOOKED, ITEM

SOAK = os.environ.get("SOAK") == "1"
ROUNDS = 200 if SOAK else 10
CONTROL_ROUNDS, CONTROL_MUST_LOSE = 10, 3
CRASH_STATES = 1_000 if SOAK else 30
JUST_BEFORE_S = 0.010
AFTERWARDS_S = 0.15
ITEMS = 50
SHIPPED, WITHOUT_WAITING = "gateway", "tests.system.daemon_without_waiting"
SEED = 20261124

Answered = tuple[float, int]  # when, and the number of the item


@dataclass
class Round:
    acknowledged: Counter[int]  # items answered "it is booked", as often as that was said ...
    just_before: int  # ... and how many of these in the last 10 ms before the cut
    too_late: Counter[int] = field(default_factory=Counter)  # answered after it: nobody hears these
    booked: int = 0
    lost: int = 0
    lost_too_late: int = 0


def test_after_a_power_cut_everything_acknowledged_is_in_the_ledger(tmp_path, capsys):
    need_disks()
    rng = random.Random(SEED)
    rounds = [power_cut(tmp_path / f"round-{at}", SHIPPED, rng) for at in range(ROUNDS)]

    lost = sum(one.lost for one in rounds)
    with capsys.disabled():
        report(f"{ROUNDS} power cuts, synchronous=FULL", rounds)
    assert lost == 0
    assert sum(one.just_before for one in rounds) > 0, "no cut fell right behind an acknowledgement"


def test_the_same_cuts_find_what_a_ledger_loses_that_does_not_wait_for_the_disk(tmp_path, capsys):
    need_disks()
    rng = random.Random(SEED)
    rounds = [power_cut(tmp_path / f"round-{at}", WITHOUT_WAITING, rng) for at in range(CONTROL_ROUNDS)]

    with capsys.disabled():
        report(f"{CONTROL_ROUNDS} power cuts, synchronous=NORMAL (the control)", rounds)
    assert sum(one.lost > 0 for one in rounds) >= CONTROL_MUST_LOSE


def test_whatever_part_of_the_unflushed_writes_reached_the_disk_nothing_acknowledged_is_lost(
    tmp_path, capsys
):
    """Harder than a plug: a disk that had written, of what no flush covers, any sectors in any order."""
    need_disks()
    need_fuse()
    rounds, log = crash_states(tmp_path, SHIPPED, CRASH_STATES)

    with capsys.disabled():
        flushes = sum(entry.data is None for entry in log)
        what = f"{CRASH_STATES} crash states of a disk's log ({len(log) - flushes} writes, {flushes} flushes)"
        report(what, rounds)
    assert sum(one.lost for one in rounds) == 0
    assert sum(one.just_before for one in rounds) > 0


def test_the_same_states_find_what_is_lost_without_waiting_for_the_disk(tmp_path, capsys):
    need_disks()
    need_fuse()
    rounds, _ = crash_states(tmp_path, WITHOUT_WAITING, CONTROL_ROUNDS)

    with capsys.disabled():
        report(f"{CONTROL_ROUNDS} crash states, synchronous=NORMAL (the control)", rounds)
    assert sum(one.lost > 0 for one in rounds) >= CONTROL_MUST_LOSE


def crash_states(folder: Path, program: str, count: int) -> tuple[list[Round], list[Entry]]:
    """One run on a disk that remembers, `count` states that a power cut in it may leave.

    At any moment of the run; where the ledger waits for the disk, every other one right behind a flush.
    """
    rng = random.Random(SEED)
    base, log, heard = one_run_on_a_logged_disk(folder, program, rng)
    began_s, ended_s = heard[0][0], heard[-1][0]
    flushed = [at + 1 for at, one in enumerate(log) if one.data is None and began_s < one.at_s < ended_s]
    rounds = []
    for number in range(count):
        cut = bisect_left(log, (rng.uniform(began_s, ended_s),))
        if number % 2 and program == SHIPPED:
            cut = rng.choice(flushed)
        failed_s = log[cut].at_s  # the power fails just before this write or flush
        told = Round(
            acknowledged=Counter(item for at_s, item in heard if at_s < failed_s),
            just_before=sum(failed_s - JUST_BEFORE_S <= at_s < failed_s for at_s, _ in heard),
        )
        (folder / "state.img").write_bytes(after_a_cut(base, log, cut, rng))
        state = Disk(folder / "state.img", folder / "state").mount()
        try:
            look_what_is_there(state.folder, told)
        finally:
            state.unmount()
        rounds.append(told)
    return rounds, log


def one_run_on_a_logged_disk(
    folder: Path, program: str, rng: random.Random
) -> tuple[bytes, list[Entry], list[Answered]]:
    """The disk as it was formatted, what was written to it, and what was acknowledged when."""
    disk = Disk.formatted(folder / "disk.img", folder / "disk")
    base = disk.image.read_bytes()
    logged = LoggedDisk(disk.image, folder / "served")
    disk.image = folder / "served"
    try:
        disk.mount()
        try:
            with open_shop(folder / "shop", data=disk.folder, program=program) as shop:
                codes = opened(shop)
                heard, _ = scan_for(shop, codes, 1.2, rng, lambda: None)
        finally:
            disk.unmount()
    finally:
        log = logged.stop()
    return base, log, heard


def report(what: str, rounds: list[Round]) -> None:
    acknowledged = sum(one.acknowledged.total() for one in rounds)
    lost, just_before = sum(one.lost for one in rounds), sum(one.just_before for one in rounds)
    losing = sum(one.lost > 0 for one in rounds)
    bound = ""
    if not lost:
        bound = (
            f" (0 of {len(rounds)} cuts proves at most {3 / len(rounds):.1%} at 95 %;"
            f" 0 of {just_before} rows acknowledged within 10 ms before the cut: at most {3 / max(just_before, 1):.2%})"
        )
    late, late_lost = sum(one.too_late.total() for one in rounds), sum(one.lost_too_late for one in rounds)
    afterwards = (
        f"; of {late} answered while the file system was being shut down, lost {late_lost}" if late else ""
    )
    print(
        f"\n  {what}: {acknowledged} rows acknowledged, {just_before} of them within 10 ms before the cut,"
        f" {sum(one.booked for one in rounds)} booked; lost {lost} in {losing} rounds{bound}{afterwards}"
    )


def power_cut(folder: Path, program: str, rng: random.Random) -> Round:
    folder.mkdir()
    disk = Disk.formatted(folder / "disk.img", folder / "disk").mount()
    try:
        with open_shop(folder / "shop", data=disk.folder, program=program) as shop:
            codes = opened(shop)
            heard, cut_s = scan_for(shop, codes, rng.uniform(0.15, 0.6), rng, disk.cut_power)
    finally:
        after = disk.copy(folder / "after.img", folder / "after")
        disk.unmount()
    told = Round(
        acknowledged=Counter(item for at_s, item in heard if at_s <= cut_s),
        just_before=sum(cut_s - JUST_BEFORE_S <= at_s <= cut_s for at_s, _ in heard),
        too_late=Counter(item for at_s, item in heard if at_s > cut_s),
    )
    after.mount()
    try:
        look_what_is_there(after.folder, told)
    finally:
        after.unmount()
        for image in (disk.image, after.image):
            image.unlink()
    return told


def opened(shop: Shop) -> list[str]:
    """The codes of the items that it sells, once the scanner is answered."""
    shop.start(wait=False)
    scanner = shop.ports["counter"]
    shop.wait_until(lambda: scanner.scan("SK/SELL") and scanner.hear(0.1), "the scanner is answered")
    codes = shop.add_items(ITEMS)
    scanner.hear_all(0.2)
    return codes


def scan_for(
    shop: Shop, codes: list[str], seconds: float, rng: random.Random, cut: Callable[[], None]
) -> tuple[list[Answered], float]:
    """As fast as answers come, a few under way at a time: what was booked and when; when it was cut."""
    scanner = shop.ports["counter"]
    heard: list[Answered] = []
    under_way, window = 0, rng.choice([1, 4, 16, 64])
    cut_at_s = time.monotonic() + seconds
    cut_s = 0.0
    while not cut_s or time.monotonic() < cut_s + AFTERWARDS_S:
        while under_way < window and not cut_s:
            under_way += scanner.scan(rng.choice(codes))
        if not cut_s and time.monotonic() >= cut_at_s:
            cut_s = time.monotonic()
            cut()
        for line in scanner.hear_all(0.001):
            under_way -= 1
            if line.split(" ", 1)[0] in BOOKED:
                heard.append((time.monotonic(), int(ITEM.search(line)[1])))
    return heard, cut_s


def look_what_is_there(folder: Path, told: Round) -> None:
    """Opened as at every start: recovery of the log, audit of the chain; then every row recomputed."""
    writer = Writer(folder, ballast_mb=1)
    try:
        assert audit(writer.connection).findings == ()
        sold = writer.connection.execute(
            "SELECT name, count(*) FROM movement JOIN item USING (sku) WHERE device = 'counter' GROUP BY sku"
        )
        there = Counter({int(name.removeprefix("Item ")): scans for name, scans in sold})
    finally:
        writer.close()
    told.booked = there.total()
    told.lost = (told.acknowledged - there).total()
    told.lost_too_late = (told.acknowledged + told.too_late - there).total() - told.lost
