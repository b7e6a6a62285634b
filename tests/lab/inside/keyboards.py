"""What the guest's kernel knows of a keyboard."""

import contextlib
import fcntl
import os
from pathlib import Path

EVIOCGRAB = 0x40044590  # _IOW('E', 0x90, int)


def is_grabbed(path: str) -> bool:
    """Whether another process alone hears it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, EVIOCGRAB, 1)
        fcntl.ioctl(fd, EVIOCGRAB, 0)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def readers(path: str) -> list[str]:
    """Command lines of the processes that hold this node open."""
    lines = (Path(f"/proc/{pid}/cmdline").read_bytes() for pid in holders(path))
    return [line.replace(b"\0", b" ").decode().strip() for line in lines]


def holders(path: str) -> list[int]:
    node = Path(path).resolve()
    found = set()
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if fd.readlink() == node:
                found.add(int(fd.parts[2]))
    return sorted(found)
