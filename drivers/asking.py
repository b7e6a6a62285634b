"""Pure: when to ask a device that speaks only when spoken to; when its silence is worth a word."""

from collections import deque
from collections.abc import Sequence
from itertools import cycle

SILENCES_BEFORE_DOUBT = 3


class Conversation:
    """Start-up commands, each after the answer to the one before; then the requests, in turn and for ever.

    The next request is made `period_s` after whatever was heard last.

    An answer that does not come within `answer_within_s` is a silence: the next thing is asked, since a
    device may miss one command and still work. Time is the host's, passed in.
    """

    def __init__(
        self,
        opening: Sequence[bytes],
        requests: Sequence[bytes],
        period_s: float,
        answer_within_s: float = 1.0,
    ) -> None:
        self._opening = deque(opening)
        self._requests = cycle(requests)
        self._period_s = period_s
        self._answer_within_s = answer_within_s
        self._asked_s: float | None = None  # when a question is open
        self._heard_s: float | None = None
        self._requested = False  # the first request follows the opening at once
        self._silences = 0
        self._was_said = False

    def next_bytes(self, now_s: float) -> bytes:
        """What to send now, if anything."""
        if self._asked_s is not None:
            if now_s - self._asked_s < self._answer_within_s:
                return b""
            self._silences += 1
        elif self._requested and self._heard_s is not None and now_s - self._heard_s < self._period_s:
            return b""
        self._asked_s = now_s
        if self._opening:
            return self._opening.popleft()
        self._requested = True
        return next(self._requests)

    def heard(self, now_s: float) -> None:
        """The device said something that makes sense."""
        self._asked_s, self._heard_s = None, now_s
        self._silences, self._was_said = 0, False

    def falls_silent(self) -> bool:
        """True once after three questions without an answer, and again only after it was heard."""
        if self._silences < SILENCES_BEFORE_DOUBT or self._was_said:
            return False
        self._was_said = True
        return True
