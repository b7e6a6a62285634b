"""A disk that remembers: every write and every flush that reached it, in order and with its time.

One file served over /dev/fuse (protocol 7, linux/fuse.h), as the backing file of a loop device. From its log
comes any state that a power cut may leave: all that was flushed, and of the rest any part, torn at sectors.

    python -m tests.system.logged_disk IMAGE MOUNT_FILE LOG
"""

import ctypes
import errno
import os
import pickle
import random
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.system.disk import unmounted
from tests.system.shop import REPOSITORY

SECTOR_BYTES = 512
WRITE_BYTES_MAX = 128 * 1024

IN_HEADER = struct.Struct("<IIQQIIIHH")  # len, opcode, unique, nodeid, uid, gid, pid, extensions, padding
OUT_HEADER = struct.Struct("<IiQ")  # len, error, unique
GETATTR, STATFS, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, INIT = 3, 17, 14, 15, 16, 18, 20, 25, 26
FORGET, INTERRUPT, DESTROY, BATCH_FORGET = 2, 36, 38, 42
DIRECT_IO = 1  # FOPEN_DIRECT_IO: no cache between the loop device and us


class Entry(NamedTuple):
    """`data` is None for a flush: everything before it is on the platter."""

    at_s: float  # CLOCK_MONOTONIC, when it was answered
    offset: int
    data: bytes | None


class LoggedDisk:
    """Serves `image` as the file `served` until `stop`; then `log` has every write and flush."""

    def __init__(self, image: Path, served: Path) -> None:
        self._log = served.with_suffix(".log")
        served.touch()
        command = [sys.executable, "-m", "tests.system.logged_disk", str(image), str(served), str(self._log)]
        self._server = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._served = served
        assert self._server.stdout is not None
        said = self._server.stdout.readline()
        if said != "ready\n":
            self._server.wait()
            raise OSError(said or "the FUSE server died")

    def stop(self) -> list[Entry]:
        unmounted(self._served)  # the server ends with its connection
        self._server.wait(120)
        return [Entry(*one) for one in pickle.loads(self._log.read_bytes())]


def after_a_cut(base: bytes, log: list[Entry], cut: int, rng: random.Random) -> bytearray:
    """The platter when the power fails after `log[:cut]`: of what no flush covers, any sectors."""
    flushed = max((at for at in range(cut) if log[at].data is None), default=-1)
    platter = bytearray(base)
    for at, (_, offset, data) in enumerate(log[:cut]):
        if data is None:
            continue
        if at < flushed:
            platter[offset : offset + len(data)] = data
            continue
        fate = rng.choice(("gone", "there", "torn"))
        for begin in range(0, len(data), SECTOR_BYTES):
            if fate == "there" or (fate == "torn" and rng.random() < 0.5):
                platter[offset + begin : offset + begin + SECTOR_BYTES] = data[begin : begin + SECTOR_BYTES]
    return platter


def serve(image: Path, served: Path, log: Path) -> None:
    """Until the file system is unmounted."""
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fuse},rootmode={stat.S_IFREG:o},user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"logged", str(served).encode(), b"fuse", 0, options):
        print(os.strerror(ctypes.get_errno()), flush=True)
        return
    print("ready", flush=True)
    platter = bytearray(image.read_bytes())
    entries: list[Entry] = []
    while True:
        try:
            request = os.read(fuse, WRITE_BYTES_MAX + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                break
            continue
        _, opcode, unique, *_ = IN_HEADER.unpack_from(request)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            continue
        code, reply = answer(opcode, memoryview(request)[IN_HEADER.size :], platter, entries)
        os.write(fuse, OUT_HEADER.pack(OUT_HEADER.size + len(reply), -code, unique) + reply)
    log.write_bytes(pickle.dumps([tuple(one) for one in entries]))


def answer(opcode: int, body: memoryview, platter: bytearray, entries: list[Entry]) -> tuple[int, bytes]:
    """(errno, reply)."""
    if opcode == INIT:
        _, minor = struct.unpack_from("<II", body)
        init = struct.pack("<IIIIHHIIHHI28x", 7, min(minor, 31), 0, 0, 16, 12, WRITE_BYTES_MAX, 1, 32, 0, 0)
        return 0, init
    if opcode == GETATTR:
        size = len(platter)
        times = (0, 0, 0, 0, 0, 0)
        attributes = (1, size, size // SECTOR_BYTES, *times, stat.S_IFREG | 0o600, 1, 0, 0, 0, 4096, 0)
        return 0, struct.pack("<QII", 3600, 0, 0) + struct.pack("<QQQQQQIIIIIIIIII", *attributes)
    if opcode == OPEN:
        return 0, struct.pack("<QII", 1, DIRECT_IO, 0)
    if opcode == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return 0, bytes(platter[offset : offset + size])
    if opcode == WRITE:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = bytes(body[40 : 40 + size])
        platter[offset : offset + size] = data
        entries.append(Entry(time.monotonic(), offset, data))
        return 0, struct.pack("<II", size, 0)
    if opcode == FSYNC:
        entries.append(Entry(time.monotonic(), 0, None))
        return 0, b""
    if opcode == STATFS:
        return 0, bytes(80)
    if opcode in (FLUSH, RELEASE, DESTROY):
        return 0, b""
    return errno.ENOSYS, b""


if __name__ == "__main__":
    serve(*map(Path, sys.argv[1:4]))
