"""Scans at a steady pace, each with the time until it was acknowledged; and what the disk alone needs."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.measure.stage import Line, scans

LAST_ACK_S = 10.0


class Paced(NamedTuple):
    """`sent_s`: when each scan was written, monotonic; `waits_s`: until its acknowledgement came."""

    sent_s: list[float]
    waits_s: list[float]


def paced(line: Line, first: int, count: int, every_s: float, items: int, *, patient: bool = False) -> Paced:
    """One scan each `every_s`, whether or not the one before was acknowledged: a wait is never hidden.

    `patient`: as a person scans; the next one comes `every_s` after the acknowledgement. For comparing with a
    program that commits each scan alone: on a slow disk it falls behind any other pace for good.
    """
    codes = [scans(number, 1, items) for number in range(first, first + count)]
    sent: list[float] = []
    waits: list[float] = []
    unanswered: deque[float] = deque()
    due_s = begin_s = time.monotonic() + every_s
    while len(waits) < count:
        now_s = time.monotonic()
        may_send = len(sent) < count and not (patient and unanswered)
        if may_send and now_s >= due_s:
            line.write(codes[len(sent)])
            sent.append(now_s)
            unanswered.append(now_s)
            due_s += every_s
            continue
        if now_s - (sent[-1] if sent else begin_s) > LAST_ACK_S:
            raise TimeoutError(f"{len(waits)} of {count} scans acknowledged")
        beeps = line.beeps(max(0.0, due_s - now_s) if may_send else 1.0)
        now_s = time.monotonic()
        waits += [now_s - unanswered.popleft() for _ in range(min(beeps, len(unanswered)))]
        if beeps and patient:
            due_s = now_s + every_s
    return Paced(sent, waits)


class FsyncProbe:
    """A thread that appends 4 KiB and flushes it, again and again: what the device itself takes just then."""

    def __init__(self, folder: Path, every_s: float = 0.02) -> None:
        self._file = folder / "fsync-probe"
        self._every_s = every_s
        self._stop = threading.Event()
        self.took_s: list[float] = []
        self._thread = threading.Thread(target=self._run, name="fsync probe")
        self._thread.start()

    def _run(self) -> None:
        with self._file.open("wb") as file:
            while not self._stop.wait(self._every_s):
                file.write(bytes(4096))
                file.flush()
                self.took_s.append(timed(lambda: os.fdatasync(file.fileno())))
        self._file.unlink()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` took."""
    begin_s = time.monotonic()
    work()
    return time.monotonic() - begin_s
