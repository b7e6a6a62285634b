"""Ten power cuts: QEMU is killed while scans flow; after each nothing that was answered is missing.

Each cut begins at the same saved moment of a booted guest, at most minutes before, and ends at a random one. The
ledger's disk has cache=writeback, so what the guest's kernel had handed to the disk is in the host's cache and
stays, flushed or not. What a kill takes is what was in the guest's memory only: all that a ledger wrote without
fsync. The control, synchronous=NORMAL, shows that it does. A disk that forgets what no flush covers is in write_log.
"""

import random
import subprocess
from collections.abc import Iterator

from tests.lab.bench import Bench, Result
from tests.lab.counter import (
    WINDOWS,
    do_not_wait_for_the_disk,
    items_in,
    items_in_ledger,
    open_counter,
    plug_counter,
    scan,
    seconds_from_now,
    wait_for_the_counter,
)
from tests.lab.guest import Guest

CUTS = 10
SCAN_S = (2.0, 5.0)
SEED = 20261124


def run(bench: Bench) -> Iterator[Result]:
    bench.drop_guest()  # one guest at a time
    guest = bench.new_guest()
    try:
        guest.start()
        scanner = plug_counter(guest)
        open_counter(guest)
        scanner.unplug()
        guest.save("shipped")
        do_not_wait_for_the_disk(guest)
        guest.run("systemctl restart storekeeper", 240)
        guest.save("control")
        guest.kill()

        answered, lost = cut_ten_times(bench, guest, "shipped")
        guest.start()  # after the last of them, as a shop does
        wait_for_the_counter(plug_counter(guest))
        guest.storekeeper("ledger verify")
        guest.kill()
        yield Result(
            f"{CUTS} power cuts (QEMU killed), synchronous=FULL",
            f"{sum(answered)} scans answered, {sum(lost)} lost; the ledger whole each time",
            sum(lost) == 0 and min(answered) > 0,
        )

        answered, lost = cut_ten_times(bench, guest, "control")
        losing = sum(one > 0 for one in lost)
        yield Result(
            f"{CUTS} power cuts, synchronous=NORMAL (the control)",
            f"{sum(answered)} scans answered, {sum(lost)} lost in {losing} of {CUTS}",
            losing >= 1,
        )
    finally:
        guest.kill()


def cut_ten_times(bench: Bench, guest: Guest, moment: str) -> tuple[list[int], list[int]]:
    """For each cut: how many scans had been answered, how many of these are missing."""
    rng = random.Random(SEED)
    answered, lost = [], []
    for number in range(1, CUTS + 1):
        guest.restore(moment)
        scanner = plug_counter(guest)
        wait_for_the_counter(scanner)
        heard: list[int] = []
        scan(
            scanner,
            iter(range(1, 1_000_000)),
            seconds_from_now(rng, *SCAN_S),
            rng.choice(WINDOWS),
            heard.extend,
        )
        guest.kill()
        heard += items_in(scanner.rest())
        after = guest.folder / "after.img"
        subprocess.run(["cp", "--sparse=always", str(guest.ledger_disk), str(after)], check=True)
        answered.append(len(heard))
        lost.append(len(set(heard) - items_in_ledger(after, guest.folder / "after")))
        bench.say(f"{moment}, cut {number}: {answered[-1]} answered, {lost[-1]} lost")
    return answered, lost
