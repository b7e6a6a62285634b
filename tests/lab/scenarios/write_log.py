"""Crash states of the ledger's disk: its write log, recorded in the guest by dm-log-writes, is replayed on the host.

At flush boundaries, and with random parts of the writes behind them, torn at 512 bytes. Each state is mounted,
opened and audited; what had been answered by then, which marks in the log say, must be there.
"""

import random
import struct
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lab.bench import Bench, Result, ledger_disk
from tests.lab.counter import (
    do_not_wait_for_the_disk,
    items_in_ledger,
    open_counter,
    plug_counter,
    scan,
    wait_for_the_counter,
)
from tests.lab.guest import Guest
from tests.lab.scanners import SerialScanner

DISK_MB, LOG_MB = 64, 2048
SCANS, CONTROL_SCANS, CONTROL_STATES = 600, 300, 20
SECTOR_BYTES = 512
SEED = 20261124

MAGIC = 0x6A736677736872  # drivers/md/dm-log-writes.c: on disk all is little-endian
SUPER, ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


class Write(NamedTuple):
    """An entry of the log: a write, a flush (both at once when it carries data), or a mark."""

    offset: int
    data: bytes
    flush: bool = False  # all entries before it are on the platter when it is done ...
    fua: bool = False  # ... and its own data too
    mark: str = ""


class Recording(NamedTuple):
    base: bytes  # the disk when it began
    log: list[Write]


def run(bench: Bench) -> Iterator[Result]:
    bench.drop_guest()
    shipped, control = recorded(bench)
    what, lost, sharp = replayed(bench, shipped, bench.states)
    yield Result(
        f"{len(lost)} crash states of the write log (dm-log-writes)",
        f"{what}; {sharp} states right behind an answer; {sum(lost)} scans lost",
        not any(lost) and sharp > 0,
    )
    what, lost, _ = replayed(bench, control, CONTROL_STATES)
    losing = sum(one > 0 for one in lost)
    yield Result(
        f"{len(lost)} states of a log with synchronous=NORMAL (the control)",
        f"{what}; {sum(lost)} scans lost in {losing} states",
        losing > 0,
    )


def replayed(bench: Bench, recording: Recording, count: int) -> tuple[str, list[int], int]:
    """What was recorded, in words; how many scans each state lacks; how many states lie right behind an answer."""
    base, log = recording
    marks = [(at, list(map(int, one.mark.split(",")))) for at, one in enumerate(log) if one.mark]
    flushes = [at for at, one in enumerate(log) if one.flush and marks[0][0] < at < marks[-1][0]]
    answered = sum(len(items) for _, items in marks)
    writes = sum(bool(one.data) for one in log)
    what = f"{writes} writes, {len(flushes)} flushes, {answered} scans answered"
    bench.say(f"recorded {what}; making {count} states")
    rng = random.Random(SEED)
    lost, sharp = [], 0
    with tempfile.TemporaryDirectory(prefix="states-", dir=bench.folder) as folder:
        state = Path(folder) / "state.img"
        for cut, platter in crash_states(base, log, cuts(log, flushes, count, rng), rng):
            told = {item for at, items in marks if at < cut for item in items}
            state.write_bytes(platter)
            lost.append(len(told - items_in_ledger(state, Path(folder) / "state")))
            sharp += bool(log[cut - 1].mark)
            if len(lost) % 100 == 0:
                bench.say(f"{len(lost)} states, {sum(lost)} scans lost")
    return what, lost, sharp


def recorded(bench: Bench) -> tuple[Recording, Recording]:
    """Of the service as it is shipped, and of the control: all that reached the disk while the counter scanned."""
    folder = bench.folder / "write-log"
    folder.mkdir()
    disk = ledger_disk(folder / "disk.img", DISK_MB, "logged")
    logs = [folder / "shipped.log", folder / "control.log"]
    for log in logs:
        with log.open("wb") as file:
            file.truncate(LOG_MB * 1024**2)
    drives = [f"if=virtio,format=raw,file={path},cache=writeback" for path in (disk, *logs)]
    guest = bench.new_guest(*(word for drive in drives for word in ("-drive", drive)))
    items = iter(range(1, 1_000_000))
    try:
        guest.start()
        guest.run("systemctl stop storekeeper", 120)
        shipped = disk.read_bytes()
        scanner = plug_counter(guest)
        record(guest, scanner, "/dev/vdd", items, SCANS)
        do_not_wait_for_the_disk(guest)
        control = disk.read_bytes()
        record(guest, scanner, "/dev/vde", items, CONTROL_SCANS)
        guest.power_off()
    finally:
        guest.kill()
    return Recording(shipped, read_log(logs[0])), Recording(control, read_log(logs[1]))


def record(guest: Guest, scanner: SerialScanner, log: str, items: Iterator[int], scans: int) -> None:
    """Scan so many; what was answered is marked in the log. The service is stopped before and after."""
    answered: list[int] = []

    def heard(these: list[int]) -> None:
        if these:
            guest.call("write_log.mark", text=",".join(map(str, these)))
            answered.extend(these)

    guest.call("write_log.begin", log=log)
    open_counter(guest)
    wait_for_the_counter(scanner)
    scan(scanner, items, lambda: len(answered) >= scans, 4, heard)
    guest.run("systemctl stop storekeeper", 120)
    guest.call("write_log.end")


def read_log(path: Path) -> list[Write]:
    entries = []
    with path.open("rb") as file:
        magic, version, count, sector_bytes = SUPER.unpack_from(file.read(SECTOR_BYTES))
        if magic != MAGIC or version != 1:
            raise AssertionError(f"{path} is no log of dm-log-writes")
        file.seek(sector_bytes)
        for _ in range(count):
            head = file.read(sector_bytes)
            sector, sectors, flags, data_bytes = ENTRY.unpack_from(head)
            if flags & MARK:  # the target itself adds one at its end, which is no number
                text = head[ENTRY.size : ENTRY.size + data_bytes].rstrip(b"\0").decode()
                entries.append(Write(0, b"", mark=text if text[:1].isdigit() else ""))
                continue
            data = b"" if flags & DISCARD else file.read(sectors * sector_bytes)
            entries.append(Write(sector * sector_bytes, data, bool(flags & FLUSH), bool(flags & FUA)))
    return entries


def cuts(log: list[Write], flushes: list[int], count: int, rng: random.Random) -> list[int]:
    """Where the power fails: by thirds behind a flush, behind an answer, and anywhere between."""
    answers = [at for at, one in enumerate(log) if one.mark and flushes[0] < at < flushes[-1]]
    behind = [at + 1 for events in (flushes, answers) for at in spread(events, count // 3)]
    return sorted(behind + [rng.randrange(flushes[0] + 1, flushes[-1]) for _ in range(count - len(behind))])


def spread(events: list[int], count: int) -> list[int]:
    """`count` of them, evenly; each as often as the other when there are fewer."""
    return [events[at * len(events) // count % len(events)] for at in range(count)]


def crash_states(
    base: bytes, log: list[Write], chosen: list[int], rng: random.Random
) -> Iterator[tuple[int, bytearray]]:
    """For each cut in `chosen` (sorted) the platter when the power fails before entry `log[cut]`."""
    flushes = [at for at, one in enumerate(log) if one.flush]
    platter, done = bytearray(base), 0
    for cut in chosen:
        before = bisect_right(flushes, cut - 1)
        sure = flushes[before - 1] if before else 0
        for one in log[done:sure]:
            platter[one.offset : one.offset + len(one.data)] = one.data
        done = max(done, sure)
        state = bytearray(platter)
        for one in log[done:cut]:
            fate = "there" if one.fua else rng.choice(("gone", "there", "torn"))
            for begin in range(0, len(one.data), SECTOR_BYTES):
                if fate == "there" or (fate == "torn" and rng.random() < 0.5):
                    at = one.offset + begin
                    state[at : at + SECTOR_BYTES] = one.data[begin : begin + SECTOR_BYTES]
        yield cut, state
