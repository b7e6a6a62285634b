"""The only reader of clocks. A Raspberry Pi may boot without knowing the date, and dates may jump."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

Quality = Literal["none", "rtc", "ntp", "operator"]
BUILD_US = 1_795_000_000_000_000  # 2026-11-18: no wall time before it can be true
STA_UNSYNC = 0x40  # linux/timex.h
JUMPED_BACK_US = 300_000_000  # a clock this far behind the ledger is not believed
QUALITY_AGE_S = 60.0  # how long an answer about the clock's quality is believed


@dataclass(frozen=True, slots=True)
class Stamp:
    """One moment, told by every clock that we have."""

    wall_us: int
    mono_ns: int  # CLOCK_BOOTTIME: goes on while suspended, never jumps
    hlc: int
    quality: Quality


class Clock:
    """Wall time that never goes below what was already written, and a logical clock that always grows."""

    def __init__(
        self, last_wall_us: int = 0, last_hlc: int = 0, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._wall_ns = wall_ns
        self.boot_id = bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", ""))
        self._floor_us = max(last_wall_us, BUILD_US)
        self._hlc = last_hlc
        self._quality: Quality = "none"
        self._quality_until_s = 0.0

    def now(self) -> Stamp:
        mono_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        told_us = self._wall_ns() // 1000
        wall_us = self._floor_us = max(told_us, self._floor_us)
        self._hlc = max(self._hlc + 1, wall_us)
        if mono_ns / 1e9 >= self._quality_until_s:
            self._quality = _quality()
            self._quality_until_s = mono_ns / 1e9 + QUALITY_AGE_S
        quality = "none" if wall_us - told_us > JUMPED_BACK_US else self._quality
        return Stamp(wall_us, mono_ns, self._hlc, quality)

    def take_hlc(self, ticks: int) -> int:
        """Reserve `ticks`; the first of them."""
        first = self._hlc + 1
        self._hlc += ticks
        return first


def _quality() -> Quality:
    """What the kernel says of its own clock: disciplined by NTP, set from a hardware clock, or neither."""
    buffer = ctypes.create_string_buffer(
        256
    )  # struct timex is 208 bytes on 64-bit Linux; modes = 0 only asks
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    status = int.from_bytes(buffer.raw[40:44], "little")
    if state >= 0 and not status & STA_UNSYNC:
        return "ntp"
    return "rtc" if keeps_the_date(Path("/")) else "none"


def keeps_the_date(root: Path) -> bool:
    """Whether the machine knows the date after it was without power.

    With a hardware clock that itself tells a date that can be, yes; a Raspberry Pi 5 without its battery has
    one that begins in 1970. A board without one goes on from the last date on its card, which looks like a
    date and is none; boards (every Raspberry Pi) are those that describe themselves by a device tree. What
    has neither is no board but a container or a sandbox on a PC, whose kernel hides the hardware: its date is
    that of its host, and every PC has a hardware clock. A container on a Pi sees that there is a device tree
    (only its content is hidden), so that it claims nothing.
    """
    try:
        return int((root / "sys/class/rtc/rtc0/since_epoch").read_text()) > BUILD_US // 1_000_000
    except (OSError, ValueError):
        return not os.path.lexists(root / "proc/device-tree")


UUID7_RANDOM = 0x0FFF_3FFF_FFFF_FFFF_FFFF  # what chance may set of the low 80 bits ...
UUID7_GUARD = 1 << 61
UUID7_FIXED = 0x7000_8000_0000_0000_0000  # ... and what says version 7, variant 2


def uuid7(wall_us: int, random_10: bytes) -> bytes:
    """RFC 9562 UUID version 7: 48 bits of milliseconds, then `random_10` with version and variant set."""
    low = int.from_bytes(random_10, "big") & UUID7_RANDOM | UUID7_FIXED
    return (wall_us // 1000 << 80 | low).to_bytes(16, "big")


def uuid7s(wall_us: int) -> Iterator[bytes]:
    """As many as are asked for, ascending, so that they go to the end of an index (RFC 9562 6.2, method 2).

    The first one is drawn with the top bit of its last 62 clear: counting up does not reach the variant.
    """
    first = int.from_bytes(uuid7(wall_us, os.urandom(10)), "big") & ~UUID7_GUARD
    for number in count(first):
        yield number.to_bytes(16, "big")
