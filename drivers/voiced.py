"""How far a driver has voiced its outcomes, in a file that outlives SIGKILL.

Written by memory map after each beep: no system call, no wear. The next run of the driver tells the core,
which announces as late what was booked above it. After a power cut the file is old or gone; then the core
announces all that it cannot rule out.
"""

import mmap
import os
import struct
from pathlib import Path

RUNS_MAX = 8  # a driver that is killed again and again before it could announce anything
RECORD = struct.Struct("<12sQ")  # boot id, sequence number
SIZE = RUNS_MAX * RECORD.size
EMPTY = bytes(12)


class Voiced:
    """The record of one device. Without a folder (a bus that is no file) nothing is kept."""

    def __init__(self, folder: Path | None, device: str, boot: str) -> None:
        self._boot = boot.encode()
        self._map = mapped(folder / f"{device}.voiced", SIZE) if folder is not None else bytearray(SIZE)
        records = [RECORD.unpack_from(self._map, at * RECORD.size) for at in range(RUNS_MAX)]
        self._earlier = [record for record in records if record[0] != EMPTY][: RUNS_MAX - 1]
        self._write()

    @property
    def earlier(self) -> list[tuple[str, int]]:
        """(boot, sequence number) of runs whose last outcomes were not announced yet."""
        return [(boot.decode(errors="replace"), through) for boot, through in self._earlier]

    def through(self, seq: int) -> None:
        """Everything up to `seq` was voiced."""
        RECORD.pack_into(self._map, 0, self._boot, seq)

    def announced(self) -> None:
        """What the earlier runs owed was said now."""
        self._earlier = []
        self._write(keep_first=True)

    def _write(self, *, keep_first: bool = False) -> None:
        if not keep_first:
            RECORD.pack_into(self._map, 0, self._boot, 0)
        for at in range(1, RUNS_MAX):
            record = self._earlier[at - 1] if at <= len(self._earlier) else (EMPTY, 0)
            RECORD.pack_into(self._map, at * RECORD.size, *record)


def mapped(path: Path, size: int) -> mmap.mmap | bytearray:
    """`size` bytes of the file in memory; on a full or read-only disk, what is kept no longer than we live.

    Allocated whole: writing into a hole of a mapped file on a full disk would end the process (SIGBUS).
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return bytearray(size)
    try:
        os.posix_fallocate(fd, 0, size)
        return mmap.mmap(fd, size)
    except OSError:
        return bytearray(size)
    finally:
        os.close(fd)
