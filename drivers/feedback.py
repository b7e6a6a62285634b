"""Outcomes made audible or visible, besides the scanner's own beeper. Only after the commit.

A sound card or a lamp may be slow: each plays in a thread of its own, and what it cannot keep up with is
skipped. Counting never waits for a tone.
"""

import contextlib
import fcntl
import functools
import json
import math
import os
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from drivers.contract import Outcome, OutcomeCode

WAITING_MAX = 4  # tones; a fifth is skipped
PLAYER_SECONDS_MAX = 5.0
RATE_HZ, LOUDNESS, RAMP_MS, GAP_MS = 22_050, 0.5, 4, 60
LOW, MEDIUM, HIGH = 440, 1_100, 2_200  # Hz
PLAYERS = (  # the first that is installed; raw samples on stdin
    ("aplay", "-q", "-t", "raw", "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1"),
    ("paplay", "--raw", "--format=s16le", f"--rate={RATE_HZ}", "--channels=1"),
)

# Linux gpio.h, version 2 of the interface
GPIO_V2_GET_LINE, GPIO_V2_SET_VALUES = 0xC250B407, 0xC010B40F
GPIO_V2_OUTPUT = 1 << 3
LINE_REQUEST = struct.Struct("<I252x32sQ264xI24xi")  # offset, consumer, flags, lines, the line's descriptor
LINE_VALUES = struct.Struct("<QQ")  # bits, mask


class Tone(NamedTuple):
    hz: int
    ms: int


TONES: dict[OutcomeCode, tuple[Tone, ...]] = {
    "ok": (Tone(HIGH, 80),),
    "low": (Tone(HIGH, 80),),
    "expired": (Tone(LOW, 400),),
    "negative": (Tone(HIGH, 80), Tone(MEDIUM, 200)),
    "unknown": (Tone(MEDIUM, 150), Tone(MEDIUM, 150)),
    "garbled": (Tone(LOW, 150), Tone(LOW, 150)),
    "mode": (Tone(MEDIUM, 80), Tone(HIGH, 80)),
    "undo": (Tone(HIGH, 80), Tone(MEDIUM, 80)),
    "shown": (Tone(HIGH, 15),),
    "refused": (Tone(LOW, 150), Tone(LOW, 300)),
    "late": (Tone(MEDIUM, 80), Tone(MEDIUM, 80), Tone(HIGH, 80)),
    "not_recording": (Tone(LOW, 1_500),),
}


class Output(Protocol):
    def give(self, outcome: Outcome) -> None:
        """Never blocks."""


class Feedback:
    """All outputs of one device."""

    def __init__(self, spec: str) -> None:
        """`spec`: nothing, or some of "record:FILE", "sound", "gpio:17@/dev/gpiochip0", commas between them."""
        self._outputs = [_output(part.strip()) for part in spec.split(",") if part.strip()]

    def give(self, outcome: Outcome) -> None:
        for output in self._outputs:
            output.give(outcome)


def _output(spec: str) -> Output:
    kind, _, where = spec.partition(":")
    if kind == "record":
        return Recorder(Path(where))
    if kind == "sound":
        return Player(play_sound)
    if kind == "gpio":
        pin, _, chip = where.partition("@")
        return Player(Lamp(chip or "/dev/gpiochip0", int(pin)).play)
    raise ValueError(f'feedback "{spec}"; use record:FILE, sound or gpio:17')


class Recorder:
    """One JSON line an outcome, for tests and for who wants to know."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def give(self, outcome: Outcome) -> None:
        line = {"code": outcome.code, "text": outcome.text, "about": outcome.about}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


class Player:
    """Plays the tones of outcomes one after the other, in its own time."""

    def __init__(self, play: Callable[[tuple[Tone, ...]], None]) -> None:
        self._play = play
        self._waiting: queue.Queue[tuple[Tone, ...]] = queue.Queue(WAITING_MAX)
        threading.Thread(target=self._run, name="feedback", daemon=True).start()

    def give(self, outcome: Outcome) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(TONES[outcome.code])

    def _run(self) -> None:
        """A sound that cannot be played is said once, and tried again at the next outcome."""
        import subprocess  # half a megabyte that silent devices do without

        said = ""
        while True:
            tones = self._waiting.get()
            try:
                self._play(tones)
                said = ""
            except (OSError, subprocess.SubprocessError) as error:
                if str(error) != said:
                    said = str(error)
                    print(f"feedback: {said}", file=sys.stderr, flush=True)


def play_sound(tones: tuple[Tone, ...]) -> None:
    """Through the sound card's own program. Raises OSError when there is none."""
    import subprocess

    command = _player()
    subprocess.run(command, input=samples(tones), check=True, capture_output=True, timeout=PLAYER_SECONDS_MAX)


def _player() -> list[str]:
    from shutil import which

    for name, *options in PLAYERS:
        if found := which(name):
            return [found, *options]
    raise OSError("no sound: neither aplay nor paplay is installed; run: sudo apt install alsa-utils")


@functools.cache
def samples(tones: tuple[Tone, ...]) -> bytes:
    """16-bit little-endian mono: sines with soft edges, `GAP_MS` of silence between them."""
    gap = bytes(2 * RATE_HZ * GAP_MS // 1000)
    return gap.join(_sine(tone) for tone in tones)


def _sine(tone: Tone) -> bytes:
    count = RATE_HZ * tone.ms // 1000
    ramp = max(1, RATE_HZ * RAMP_MS // 1000)
    peak = 32_767 * LOUDNESS
    values = (
        int(peak * min(1.0, at / ramp, (count - at) / ramp) * math.sin(2 * math.pi * tone.hz * at / RATE_HZ))
        for at in range(count)
    )
    return struct.pack(f"<{count}h", *values)


def pulses(tones: tuple[Tone, ...]) -> list[tuple[bool, float]]:
    """(on, seconds): the rhythm of the tones, for a piezo with its own pitch or a lamp."""
    parts: list[tuple[bool, float]] = []
    for tone, following in pairwise([*tones, None]):
        assert tone is not None
        parts.append((True, tone.ms / 1000))
        if following is not None:
            parts.append((False, GAP_MS / 1000))
    return [*parts, (False, 0.0)]


class Lamp:
    """A piezo or LED on a GPIO line, by the kernel's character device. Opened at the first outcome."""

    def __init__(self, chip: str, pin: int) -> None:
        self._chip, self._pin = chip, pin
        self._fd = -1

    def play(self, tones: tuple[Tone, ...]) -> None:
        if self._fd < 0:
            self._fd = self._line()
        for on, seconds in pulses(tones):
            fcntl.ioctl(self._fd, GPIO_V2_SET_VALUES, LINE_VALUES.pack(on, 1))
            time.sleep(seconds)

    def _line(self) -> int:
        """Ask the kernel for the line as an output; it is off, and off again when we die."""
        chip = os.open(self._chip, os.O_RDONLY | os.O_CLOEXEC)
        try:
            request = bytearray(LINE_REQUEST.pack(self._pin, b"storekeeper", GPIO_V2_OUTPUT, 1, 0))
            fcntl.ioctl(chip, GPIO_V2_GET_LINE, request)
        finally:
            os.close(chip)
        return int(LINE_REQUEST.unpack(request)[-1])
