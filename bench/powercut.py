"""Does ext4 keep its own word while it is being shut down? A bare loop of write and fdatasync, no database.

    python -m bench.powercut [ROUNDS]        (root: loop devices and mounts)

The power cut of tests/system stops the file system by its shutdown call. This shows what the kernel itself does
at that moment: how often an fdatasync that ran just then said "done" for data that is not on the device. Such an
answer comes after the cut, so with the power really gone nobody hears it; the tests count it apart.
"""

import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.system.disk import Disk

RECORD_BYTES = 28_672  # about what one commit of the ledger writes
WRITER = f"""
import mmap, os, struct, sys
file, said = (os.open(path, os.O_RDWR | os.O_CREAT) for path in sys.argv[1:3])
os.ftruncate(said, 8)
done = mmap.mmap(said, 8)
number = 0
while True:
    number += 1
    try:
        os.pwrite(file, struct.pack("<Q", number) * ({RECORD_BYTES} // 8), (number - 1) * {RECORD_BYTES})
        os.fdatasync(file)
    except OSError:
        break
    done[:8] = struct.pack("<Q", number)
"""


def one_cut(folder: Path, rng: random.Random) -> tuple[int, int, int]:
    """Records that fdatasync had confirmed when the cut began, in all, and how many are on the device."""
    disk = Disk.formatted(folder / "disk.img", folder / "disk").mount()
    said = folder / "said"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(disk.folder / "file"), str(said)])
    while not said.exists() or said.stat().st_size < 8:
        time.sleep(0.01)
    time.sleep(rng.uniform(0.1, 0.5))
    before = confirmed(said)
    disk.cut_power()
    writer.wait(10)
    after = disk.copy(folder / "after.img", folder / "after")
    disk.unmount()
    after.mount()
    data = (after.folder / "file").read_bytes()
    after.unmount()
    there = 0
    while data[there * RECORD_BYTES :][:8] == struct.pack("<Q", there + 1):
        there += 1
    return before, confirmed(said), there


def confirmed(said: Path) -> int:
    (number,) = struct.unpack("<Q", said.read_bytes())
    return int(number)


def main(rounds: int) -> None:
    rng = random.Random(20261124)
    lost_before = lost_during = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            before, in_all, there = one_cut(Path(folder), rng)
        lost_before += there < before
        lost_during += there < in_all
    print(
        f"{rounds} cuts of a bare write and fdatasync: {lost_before} lost what was confirmed before the cut,"
        f" {lost_during} what was confirmed while the file system was being shut down"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
