"""Frames out of a stream of bytes, by length and check value; never by an end byte, which occurs inside too.

On a bad check value one byte is dropped and the search goes on behind it, so that a good frame behind a bad
one survives. What was dropped comes out as noise, in order. The memory is one frame and NOISE_BYTES_MAX.
"""

from collections.abc import Callable
from typing import NamedTuple

NOISE_BYTES_MAX = 256
HALF_FRAME_S = 0.5  # a frame that is still not whole after this is none


class Frame(NamedTuple):
    data: bytes


class Noise(NamedTuple):
    data: bytes


Measure = Callable[[bytes], int]  # head -> bytes of the whole frame, 0: none starts here
Check = Callable[[bytes], bool]


class FrameSearch:
    """`measure` sees exactly `head_bytes` bytes; a frame may not be shorter than that."""

    def __init__(
        self, head_bytes: int, measure: Measure, is_good: Check, half_frame_s: float = HALF_FRAME_S
    ) -> None:
        self._head_bytes = head_bytes
        self._measure = measure
        self._is_good = is_good
        self._pending = bytearray()
        self._noise = bytearray()
        self._half_frame_s = half_frame_s
        self._last_s = 0.0

    def feed(self, chunk: bytes, now_s: float) -> list[Frame | Noise]:
        self._last_s = now_s
        self._pending += chunk
        return self._search(self._pending, is_over=False)

    def idle(self, now_s: float) -> list[Frame | Noise]:
        """After some silence nothing unfinished will be finished any more."""
        if not (self._pending or self._noise) or now_s - self._last_s < self._half_frame_s:
            return []
        found = self._search(self._pending, is_over=True)
        return found + self._flushed()

    def _search(self, pending: bytearray, is_over: bool) -> list[Frame | Noise]:
        found: list[Frame | Noise] = []
        at, size = 0, len(pending)
        while at < size:
            if size - at < self._head_bytes:
                if not is_over:
                    break
                length = 0
            else:
                length = self._measure(bytes(pending[at : at + self._head_bytes]))
            if length > size - at:
                if not is_over:
                    break
                length = 0
            if length and self._is_good(frame := bytes(pending[at : at + length])):
                found += self._flushed()
                found.append(Frame(frame))
                at += length
                continue
            self._noise.append(pending[at])
            at += 1
            if len(self._noise) == NOISE_BYTES_MAX:
                found += self._flushed()
        del pending[:at]
        return found

    def _flushed(self) -> list[Frame | Noise]:
        if not self._noise:
            return []
        noise = Noise(bytes(self._noise))
        self._noise.clear()
        return [noise]
