"""Real disks for tests: an ext4 in a file whose power can be cut, a tmpfs that can be filled. Root only."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), linux/ext4.h
NO_LOG_FLUSH = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH: from now on not one byte reaches the device
DISK_MB = 32
LET_GO_WITHIN_S = 120.0


class Disk:
    """ext4 on a loop device over `image`, direct I/O: the file holds what was sent to the device, no more."""

    def __init__(self, image: Path, mount_point: Path) -> None:
        self.image = image
        self.folder = mount_point
        self.device = ""

    @classmethod
    def formatted(cls, image: Path, mount_point: Path) -> "Disk":
        with image.open("wb") as file:
            file.truncate(DISK_MB * 1024 * 1024)
        run("mkfs.ext4", "-q", "-F", str(image))
        return cls(image, mount_point)

    def mount(self) -> "Disk":
        self.folder.mkdir(exist_ok=True)
        self.device = run("losetup", "--find", "--show", "--direct-io=on", str(self.image)).strip()
        try:
            run("mount", "-t", "ext4", self.device, str(self.folder))
        except BaseException:
            run("losetup", "-d", self.device)
            raise
        return self

    def cut_power(self) -> None:
        """The file system may send nothing more: neither data nor its own journal. Running fsyncs fail."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, bytearray(struct.pack("I", NO_LOG_FLUSH)))
        finally:
            os.close(fd)

    def copy(self, image: Path, mount_point: Path) -> "Disk":
        """The device as it is now, holes kept."""
        run("cp", "--sparse=always", str(self.image), str(image))
        return Disk(image, mount_point)

    def unmount(self) -> None:
        if self.device:
            unmounted(self.folder)
            run("losetup", "-d", self.device)
            self.device = ""


@contextlib.contextmanager
def small_tmpfs(folder: Path, size_mb: float) -> Iterator[Path]:
    """A file system in memory with so much room; skips where it may not be mounted."""
    folder.mkdir(parents=True)
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={int(size_mb * 1024)}k,mode=700", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs may be mounted here: {reason_of(error)}")
    try:
        yield folder
    finally:
        run("umount", "--lazy", str(folder))


def unmounted(folder: Path) -> None:
    """As soon as nobody holds it: the children of a killed daemon die a moment after it."""
    deadline_s = time.monotonic() + LET_GO_WITHIN_S
    while True:
        done = subprocess.run(("umount", str(folder)), capture_output=True, text=True)
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline_s, f"{folder}: {done.stderr.strip()}"
        time.sleep(0.05)


def need_disks() -> None:
    """Skips, saying why, where no loop device or mount is allowed; once that works, everything must."""
    if os.geteuid() != 0:
        pytest.skip("needs root for loop devices and mounts")
    for tool in ("mkfs.ext4", "losetup", "mount", "umount"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk.formatted(Path(folder) / "image", Path(folder) / "mounted")
        try:
            disk.mount()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no loop device may be mounted here: {reason_of(error)}")
        disk.unmount()


def need_fuse() -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/fuse")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def reason_of(error: BaseException) -> str:
    return (getattr(error, "stderr", "") or str(error)).strip()
