"""Pure: a device that is asked over a line and answers in frames: frames, noise, doubt about the line, silence."""

from collections.abc import Callable

from drivers.asking import Conversation
from drivers.contract import AnyReading, Health, garbled
from drivers.framing import Frame, FrameSearch, Noise
from drivers.line_doubt import LineDoubt

FrameReader = Callable[[bytes, float], list[AnyReading] | None]


class Dialogue:
    """The part of a decoder that all such devices share.

    `read` is given each whole frame and the time, and answers with its readings, or None when the frame is no
    answer of the device (an echo of ours). `silence` is said once when nothing answers any more.
    """

    def __init__(
        self, frames: FrameSearch, talk: Conversation, baud: int, read: FrameReader, silence: str
    ) -> None:
        self._frames = frames
        self._talk = talk
        self._doubt = LineDoubt(baud)
        self._read_frame = read
        self._silence = silence

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        return self._read(self._frames.feed(chunk, now_s), now_s)

    def idle(self, now_s: float) -> list[AnyReading]:
        readings = self._read(self._frames.idle(now_s), now_s)
        if self._talk.falls_silent():
            readings.append(Health(status="silent", error=self._silence))
        return readings

    def pending_bytes(self, now_s: float) -> bytes:
        return self._talk.next_bytes(now_s)

    def _read(self, found: list[Frame | Noise], now_s: float) -> list[AnyReading]:
        readings: list[AnyReading] = []
        for piece in found:
            if isinstance(piece, Noise):
                readings += [garbled("noise between frames", piece.data), *self._doubt.bad(piece.data)]
                continue
            self._doubt.good()
            answer = self._read_frame(piece.data, now_s)
            if answer is not None:
                self._talk.heard(now_s)
                readings += answer
        return readings
