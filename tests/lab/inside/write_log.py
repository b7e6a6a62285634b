"""The ledger's disk behind dm-log-writes, and marks in its log. Kernel: Documentation/admin-guide/device-mapper."""

import fcntl
import struct
import subprocess

DISK, NAME, FOLDER = "/dev/vdc", "ledger", "/var/lib/storekeeper"
DM_TARGET_MSG = 0xC138FD0E  # _IOWR(0xfd, 14, struct dm_ioctl), linux/dm-ioctl.h
DM_IOCTL = struct.Struct("<IIIIIIiIIIQ128s129s7x")  # version[3], data size and start, ..., name, uuid
DATA_AT = 312
SECTOR_BYTES = 512


def begin(log: str) -> None:
    """Everything that reaches the disk from now on is in `log`; the service's data lies on it."""
    with open(f"/sys/class/block/{DISK.removeprefix('/dev/')}/size") as file:  # noqa: PTH123, in sectors of 512
        sectors = int(file.read())
    shell(f"umount {FOLDER} && modprobe dm-log-writes")
    shell(f"dmsetup create {NAME} --table '0 {sectors} log-writes {DISK} {log}'")
    shell(f"mount /dev/mapper/{NAME} {FOLDER} && chown storekeeper: {FOLDER} && chmod 700 {FOLDER}")


def end() -> None:
    """The log is whole then: the target writes the rest of it when it goes."""
    shell(f"umount {FOLDER} && dmsetup remove {NAME} && sync && mount {FOLDER}")


def mark(text: str) -> None:
    """A line in the log behind all that is in it now."""
    message = struct.pack("<Q", 0) + f"mark {text}".encode() + b"\0"
    size = DATA_AT + len(message)
    head = DM_IOCTL.pack(4, 0, 0, size, DATA_AT, 0, 0, 0, 0, 0, 0, NAME.encode(), b"")
    request = bytearray(head.ljust(DATA_AT, b"\0") + message)
    with open("/dev/mapper/control", "rb") as control:  # noqa: PTH123, a device
        fcntl.ioctl(control, DM_TARGET_MSG, request)


def shell(command: str) -> None:
    subprocess.run(["/bin/bash", "-c", command], check=True, capture_output=True)
