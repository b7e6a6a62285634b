"""Pure: when a line need not be looked at, so that one look finds more.

Nobody waits for the beep of a weight: a line that says nothing but values is read five times a second, however
often it speaks. And while a scan is not answered, the next one may wait for that answer: a scanner that is
faster than a person wakes its process once for both. The first scan after an answer is read at once.
"""

from drivers.contract import AnyReading, Garbled
from drivers.steady import WATCHED

BREATH_S = 0.2  # at 115,200 baud 2,304 bytes: half of what the kernel keeps
ANSWER_S = 0.015  # an answer that takes longer is not waited for
ANSWERED_TOGETHER_MAX = 32  # readings; with more than that on the way the line is read as fast as it speaks


class Breath:
    """One per open device."""

    def __init__(self, is_kept: bool) -> None:
        """`is_kept`: what the device says is kept for us, in kilobytes, until we look."""
        self.until_s = 0.0  # monotonic; before that nobody looks at the line
        self._is_kept = is_kept
        self._says_values = False
        self._says_more = False

    def took(self, readings: list[AnyReading], now_s: float) -> None:
        """What was read just now decides when to read again."""
        if not (self._is_kept and readings):
            return
        for reading in readings:
            if isinstance(reading, WATCHED):
                self._says_values = True
            elif not isinstance(reading, Garbled):
                self._says_more = True
        if self._says_more:
            self.until_s = now_s + ANSWER_S if len(readings) <= ANSWERED_TOGETHER_MAX else 0.0
        elif self._says_values:
            self.until_s = now_s + BREATH_S

    def answered(self) -> None:
        """Nothing is on the way any more."""
        if self._says_more:
            self.until_s = 0.0

    def asked(self) -> None:
        """The device has to say something now."""
        self.until_s = 0.0
