"""What decoders of asked scales share: bytes to readings by a search, and the question that goes on."""

from drivers.asking import Conversation
from drivers.contract import AnyReading, Garbled, Health
from drivers.matching import AnswerSearch, LineSearch


class PolledScale:
    """A decoder: `search` reads, `asking` (None: the scale talks by itself) asks."""

    def __init__(self, search: AnswerSearch | LineSearch, asking: Conversation | None, line: str) -> None:
        """`line` names the setting for people: "9600 baud"."""
        self._search = search
        self._asking = asking
        self._line = line

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        readings = self._search.feed(chunk, now_s)
        if self._asking and any(_makes_sense(reading) for reading in readings):
            self._asking.heard(now_s)
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        readings = self._search.idle(now_s)
        if self._asking and self._asking.falls_silent():
            why = f"asked at {self._line}, no answer: is it on, the cable right, baud and parity right?"
            readings.append(Health(status="silent", error=f"{why}  [SK-D04]"))
        return readings

    def pending_bytes(self, now_s: float) -> bytes:
        return self._asking.next_bytes(now_s) if self._asking else b""


def _makes_sense(reading: AnyReading) -> bool:
    return not isinstance(reading, Garbled) and not (
        isinstance(reading, Health) and reading.status.endswith("_suspect")
    )
