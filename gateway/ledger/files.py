"""The two files beside the ledger: the lock that keeps a second daemon out, and the ballast."""

import contextlib
import fcntl
import os
from pathlib import Path

from gateway.errors import LedgerUnusable


class Ballast:
    """Allocated space, to be given up when the disk is full: then not even a checkpoint is possible."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._unfinished = path.with_suffix(".new")
        self._size_bytes = size_bytes

    @property
    def missing(self) -> bool:
        return self._size_bytes > 0 and self._there_bytes() != self._size_bytes

    def put_back(self) -> None:
        """Only while there is room for it three times over; otherwise silently later."""
        if not self.missing:
            return
        free = os.statvfs(self._path.parent)
        if free.f_bavail * free.f_frsize < 3 * self._size_bytes:
            return
        try:
            with self._unfinished.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
            self._unfinished.replace(self._path)
        except OSError:  # somebody else took the room meanwhile, or the disk is read-only
            with contextlib.suppress(OSError):
                self._unfinished.unlink(missing_ok=True)

    def release(self) -> bool:
        """Whether there was something to give up."""
        there = self._there_bytes() > 0
        self._path.unlink(missing_ok=True)
        self._unfinished.unlink(missing_ok=True)
        return there

    def _there_bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


def take_lock(path: Path) -> int:
    """Hold the ledger for this process; the open lock file. Raises LedgerUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerUnusable(
            f"{path.parent} cannot be written ({error.strerror}): mount the disk writable, or give the"
            " directory to the user that storekeeper runs as",
            "SK-L02",
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(fd, 20).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise LedgerUnusable(
            f"{path.parent} is used by another storekeeper (pid {holder}): stop that one first", "SK-L04"
        ) from error
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd
