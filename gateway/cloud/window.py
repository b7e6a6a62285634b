"""The two windows of the feed, pure: what the broker has not taken yet, what the back office has not confirmed.

A broker's PUBACK is no receipt (a killed mosquitto lost 200 of 200 messages that it had PUBACKed), so it only
frees room on the line. What the back office has confirmed is gone for good; all else may be sent again.
"""

from dataclasses import dataclass
from random import Random

MESSAGES_IN_FLIGHT_MAX = 32  # W; a broker's Receive Maximum may lower it
BYTES_IN_FLIGHT_MAX = 512 * 1024  # bounds memory, and how much an alert can be stuck behind
BYTES_IN_FLIGHT_FIRST = 16 * 1024  # before anything is known of the line
BYTES_IN_FLIGHT_MIN = 8 * 1024
SWIFT_S, SLOW_S = 0.25, 1.0  # a PUBACK that swift opens the window, one that slow narrows it
STUCK_S = 120.0  # longer than 8 kB take on the slowest line worth the name
UNCONFIRMED_EVENTS_MAX = 20_000  # U
RESEND_S, RESEND_MAX_S = 30.0, 900.0  # T: no confirmation for so long, then everything unconfirmed again
RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 300.0


class LineWindow:
    """Messages on their way to the broker. On a slow line it narrows, so that an alert waits seconds at most."""

    def __init__(self, messages_max: int = MESSAGES_IN_FLIGHT_MAX) -> None:
        self._messages_max = max(1, min(messages_max, MESSAGES_IN_FLIGHT_MAX))
        self._bytes_max = BYTES_IN_FLIGHT_FIRST
        self._bytes = 0
        self._in_flight: dict[int, tuple[int, float]] = {}  # message id -> size, when

    @property
    def empty(self) -> bool:
        return not self._in_flight

    @property
    def open(self) -> bool:
        return len(self._in_flight) < self._messages_max and self._bytes < self._bytes_max

    @property
    def message_bytes_max(self) -> int:
        """How large the next message should be at most."""
        return self._bytes_max

    def sent(self, message_id: int, size: int, now_s: float) -> None:
        self._in_flight[message_id] = (size, now_s)
        self._bytes += size

    def stuck(self, now_s: float) -> bool:
        """The broker keeps the connection and takes nothing: better a new one."""
        oldest_s = next((sent_s for _, sent_s in self._in_flight.values()), now_s)
        return now_s - oldest_s > STUCK_S

    def taken(self, message_id: int, now_s: float) -> None:
        """The broker has it."""
        size, sent_s = self._in_flight.pop(message_id, (0, now_s))
        self._bytes -= size
        if now_s - sent_s <= SWIFT_S:
            self._bytes_max = min(self._bytes_max * 2, BYTES_IN_FLIGHT_MAX)
        elif now_s - sent_s >= SLOW_S:
            self._bytes_max = max(self._bytes_max // 2, BYTES_IN_FLIGHT_MIN)


@dataclass(slots=True)
class Flow:
    """One lane from here to the back office and its acknowledgement: go-back-N over the rows of the ledger."""

    rng: Random
    acked: int = 0  # the back office holds everything up to here
    sent: int = 0
    newest: int = 0  # committed here
    resend_wait_s: float = RESEND_S
    resend_at_s: float = 0.0

    @property
    def waiting(self) -> bool:
        return self.sent < self.newest

    @property
    def room(self) -> int:
        """How many more rows may be sent before the back office confirms some."""
        return max(0, UNCONFIRMED_EVENTS_MAX - (self.sent - self.acked))

    def on_sent(self, through_seq: int, now_s: float) -> None:
        if self.sent == self.acked:
            self._wait_anew(now_s)
        self.sent = through_seq

    def on_ack(self, seq: int, now_s: float) -> bool:
        """True when this confirms something new. A confirmation of what was never sent is not ours to judge."""
        if seq <= self.acked:
            return False
        self.acked = seq
        self.sent = max(self.sent, seq)
        self.resend_wait_s = RESEND_S
        self._wait_anew(now_s)
        return True

    def go_back(self, to_seq: int | None = None) -> None:
        """Send again everything after `to_seq`, or after what is confirmed. The back office may know less than
        it had confirmed (a lost database): then `to_seq` is below `acked`, and the truth is what it says."""
        if to_seq is not None:
            self.acked = min(self.acked, to_seq)
        self.sent = min(self.sent, self.acked if to_seq is None else to_seq)

    def overdue(self, now_s: float) -> bool:
        """Nothing was confirmed for T: goes back, and waits longer next time."""
        if self.sent == self.acked or now_s < self.resend_at_s:
            return False
        self.resend_wait_s = min(self.resend_wait_s * 2, RESEND_MAX_S)
        self.go_back()
        return True

    def _wait_anew(self, now_s: float) -> None:
        self.resend_at_s = now_s + self.resend_wait_s * self.rng.uniform(0.8, 1.2)


class Backoff:
    """Pauses between attempts: exponential with full jitter, for 10,000 shops must not return in one second."""

    def __init__(self, rng: Random, longest_s: float = RECONNECT_MAX_S) -> None:
        self._rng = rng
        self._longest_s = longest_s
        self._ceiling_s = RECONNECT_MIN_S

    def next_s(self) -> float:
        pause_s = self._rng.uniform(0.1, min(self._ceiling_s, self._longest_s))
        self._ceiling_s = min(self._ceiling_s * 2, self._longest_s)
        return pause_s

    def reset(self) -> None:
        self._ceiling_s = RECONNECT_MIN_S
