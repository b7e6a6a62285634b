"""Answers out of a stream of bytes that are known by their form, and the noise between them.

Where none begins, one byte is dropped and the search goes on, so a good answer behind a bad one survives.
However the bytes are cut, the readings are the same. (`framing` is for frames with a length and a check
value.)
"""

from collections.abc import Callable, Sequence

from drivers.contract import RAW_BYTES_MAX, AnyReading, garbled
from drivers.line_doubt import LineDoubt

FRAME_BYTES_MAX = 64  # nothing that a scale says is longer
HALF_FRAME_S = 0.3  # the rest of a frame comes at once or never
LINE_BYTES_MAX = 64

Match = tuple[int, Sequence[AnyReading]]  # bytes taken, what they mean
LineMeaning = Callable[[bytes, float], Sequence[AnyReading] | None]  # (line, now_s); None: makes no sense
NOT_HERE: Match = (0, ())
MORE: Match = (-1, ())
Matcher = Callable[[bytes, int, bool], Match]  # (data, where, no more will come)
WITHOUT_BIT_7 = bytes(range(128)) * 2  # a translation: 7 data bits and parity, read as 8 bits


class AnswerSearch:
    """Feeds `matcher` and bounds what it does not recognise."""

    def __init__(self, matcher: Matcher, doubt: LineDoubt, *, seven_bits: bool = False) -> None:
        """`seven_bits`: bit 7 is parity, or nothing, and is taken off."""
        self._matcher = matcher
        self._seven_bits = seven_bits
        self._doubt = doubt
        self._pending = b""
        self._noise = b""
        self._last_s = 0.0

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        self._last_s = now_s
        self._pending += chunk.translate(WITHOUT_BIT_7) if self._seven_bits else chunk
        return self._search(False)

    def idle(self, now_s: float) -> list[AnyReading]:
        """What is half after a silence is noise."""
        if not (self._pending or self._noise) or now_s - self._last_s < HALF_FRAME_S:
            return []
        readings = self._search(True)
        self._flush(readings)
        return readings

    def _search(self, is_last: bool) -> list[AnyReading]:
        readings: list[AnyReading] = []
        data, at = self._pending, 0
        while at < len(data):
            taken, found = self._matcher(data, at, is_last)
            if taken == MORE[0] and not is_last and len(data) - at < FRAME_BYTES_MAX:
                break
            if taken <= 0:
                self._noise += data[at : at + 1]
                at += 1
                if len(self._noise) == RAW_BYTES_MAX:
                    self._flush(readings)
                continue
            self._flush(readings)
            if found:
                self._doubt.good()
                readings += found
            at += taken
        self._pending = data[at:]
        return readings

    def _flush(self, readings: list[AnyReading]) -> None:
        if self._noise:
            readings.append(garbled("no frame of this protocol", self._noise))
            readings += self._doubt.bad(self._noise)
            self._noise = b""


class LineSearch:
    """Lines that end with CR, LF or both, each handed to `meaning`; too long or half a line is noise."""

    def __init__(self, meaning: LineMeaning, doubt: LineDoubt) -> None:
        self._meaning = meaning
        self._doubt = doubt
        self._pending = b""
        self._last_s = 0.0

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        self._last_s = now_s
        *lines, rest = (self._pending + chunk).replace(b"\r", b"\n").split(b"\n")
        self._pending = rest[: RAW_BYTES_MAX + 1]  # its head: the same reading however the bytes were cut
        readings: list[AnyReading] = []
        for line in lines:
            if line:
                readings += self._read(line, now_s)
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        if not self._pending or now_s - self._last_s < HALF_FRAME_S:
            return []
        half, self._pending = self._pending, b""
        return [garbled("half a line: no end came", half), *self._doubt.bad(half)]

    def _read(self, line: bytes, now_s: float) -> Sequence[AnyReading]:
        found = self._meaning(line, now_s) if len(line) <= LINE_BYTES_MAX else None
        if found is None:
            return [garbled("no line of this protocol", line), *self._doubt.bad(line)]
        self._doubt.good()
        return found
