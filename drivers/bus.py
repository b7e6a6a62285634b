"""The bus between drivers and the core: DEALER -> ROUTER over ipc, msgpack, no socket identities.

A reading is kept by its `Outlet` until the core says that it is on disk. The device's name, the driver's
boot id and a sequence number travel in every message, so a resend changes nothing (ledger invariant I6).
"""

import math
import os
import select
import time
from collections import deque
from typing import Annotated, Any, NamedTuple

import msgspec
import zmq

from drivers.contract import AnyReading, Outcome, Scan

READINGS_PER_MESSAGE_MAX = 256
UNACKNOWLEDGED_MAX = 1_024  # then the driver stops reading, and the kernel's buffer holds the line
RESEND_AFTER_S = 1.0
CROWD_SCANS, CROWD_S = 5, 0.05  # so many deliveries from more than one device within this time ...
COMPANY_S = 0.015  # ... and the core looks for more no sooner than this after the last look ...
COMPANY_ENOUGH = 64  # ... unless that look found so many readings
NOT_UNDERSTOOD = "not_understood"  # a command: what you sent is no bus message


Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # what a peer may say: SQLite and JSON hold it exactly


class Delivery(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Driver -> core: readings `first_seq`, `first_seq` + 1, ..."""

    device: str
    boot: str  # one run of the driver; sequence numbers start at 1 in each
    acked_through: Count  # the driver has voiced every outcome up to here
    first_seq: Count
    ages_ms: list[Count]  # how long ago each was read, by the driver's monotonic clock
    readings: list[AnyReading]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """Driver -> core: a run begins. Answered by `Late`, even when there is nothing to announce."""

    device: str
    boot: str
    earlier: list[tuple[str, Count]]  # (boot, voiced through) of runs that may owe an announcement
    announced: bool = False  # said again with True once the `Late` was voiced


class Status(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Driver -> core: how the device is. Nothing here needs an acknowledgement."""

    device: str
    state: str  # running, waiting, config_error, load_error, muted, blocked
    text: str
    counts: dict[str, int]  # readings, garbled, reconnects, ...
    hardware: str = ""  # of a device that is blocked: what is plugged in, "" when the kernel does not say


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Sync pump -> core: the back office has confirmed `lane` up to `seq`; or how the line is."""

    lane: str
    epoch: Count
    seq: Count
    link: str = ""  # "online", "offline", or the reason
    note: str = ""


class Acks(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Core -> driver: readings `first_seq`, ... are on disk, and this became of them."""

    boot: str
    first_seq: int
    outcomes: list[Outcome]


class Late(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """Core -> driver: booked in an earlier run of the driver, and its outcome was never voiced."""

    outcomes: list[Outcome]


class Command(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Core -> driver: a word from a person (unmute, identify)."""

    name: str
    body: dict[str, Any] = {}


Upward = Delivery | Hello | Status | Progress
Downward = Acks | Late | Command


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the counter page: what a reading became."""

    device: str
    code: str  # an OutcomeCode
    text: str
    about: str
    wall_us: int
    seq: int = 0  # of the movement, when there is one
    sku: str = ""
    qty: int = 0  # signed, as the shelf sees it
    left: int | None = None
    mode: str = ""


class Hint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Core -> whoever listens (PUB): something was committed. It may be lost; the ledger is the truth."""

    last_seq: int
    events: list[Event] = []
    devices_changed: bool = False


encode = msgspec.msgpack.Encoder(decimal_format="string").encode
decode_upward = msgspec.msgpack.Decoder(Upward).decode
decode_downward = msgspec.msgpack.Decoder(Downward).decode
decode_hint = msgspec.msgpack.Decoder(Hint).decode


class Answered(NamedTuple):
    """A reading and what became of it."""

    reading: AnyReading
    outcome: Outcome


class Outlet:
    """The driver's end: keeps each reading until the core answered for it; after silence it sends again.

    Not for threads: one outlet belongs to one loop. The socket has no identity; a name that died and is back
    within milliseconds was sometimes ignored by the ROUTER for good.
    """

    def __init__(self, address: str, device: str, boot: str) -> None:
        self.device = device
        self.boot = boot
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self.socket.setsockopt(zmq.SNDHWM, 4 * UNACKNOWLEDGED_MAX)
        self.socket.connect(address)
        self._pending: deque[tuple[float, AnyReading]] = deque()  # read at (monotonic), reading
        self._first_seq = 1  # of the oldest pending reading
        self._unsent = 0  # how many at the end of `_pending` were not sent yet
        self._heard_s = time.monotonic()
        self.heard_all = False  # nothing came since `receive`
        self._news = int(self.socket.getsockopt(zmq.FD))
        self._poll = select.poll()
        self._poll.register(self._news, select.POLLIN)

    def watch(self, fd: int) -> None:
        """From now on `wait` looks at this descriptor, too."""
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        self._poll.unregister(fd)

    def wait(self, timeout_s: float) -> list[int]:
        """Until the core says something or a watched descriptor is ready: those that are. A system call.

        zmq's own poller takes five. Its descriptor tells of an arrival once, not as long as something is
        there, and sending may take note of one; `heard_all` remembers that.
        """
        timeout_ms = math.ceil(timeout_s * 1000) if self.heard_all else 0
        ready = [fd for fd, _ in self._poll.poll(timeout_ms)]
        if self._news in ready:
            ready.remove(self._news)
            self.heard_all = False
        return ready

    @property
    def full(self) -> bool:
        return len(self._pending) >= UNACKNOWLEDGED_MAX

    @property
    def waiting(self) -> int:
        return len(self._pending)

    @property
    def settled_through(self) -> int:
        """The newest reading that was answered, and all before it."""
        return self._first_seq - 1

    def hello(self, earlier: list[tuple[str, int]], *, announced: bool = False) -> None:
        """Tell the core that this run has begun, so that it can announce what was never voiced."""
        self._send(Hello(self.device, self.boot, earlier, announced))

    def offer(self, readings: list[AnyReading], now_s: float) -> None:
        """Take over responsibility for `readings`. The caller looks at `full` before it reads more."""
        self._pending.extend((now_s, reading) for reading in readings)
        self._unsent += len(readings)

    def flush(self, now_s: float) -> None:
        """Send what was not sent; after `RESEND_AFTER_S` of silence, all that was not answered."""
        if self._pending and now_s - self._heard_s > RESEND_AFTER_S:
            self._unsent = len(self._pending)
            self._heard_s = now_s
        while self._unsent:
            skip = len(self._pending) - self._unsent
            batch = [
                self._pending[at]
                for at in range(skip, min(skip + READINGS_PER_MESSAGE_MAX, len(self._pending)))
            ]
            if len(batch) == len(self._pending):
                self._heard_s = now_s  # nothing was under way: silence begins now
            message = Delivery(
                self.device,
                self.boot,
                self._first_seq - 1,
                self._first_seq + skip,
                [int((now_s - read_s) * 1000) for read_s, _ in batch],
                [reading for _, reading in batch],
            )
            if not self._send(message):
                return
            self._unsent -= len(batch)

    def report(self, status: Status) -> None:
        self._send(status)

    def send(self, message: Upward) -> bool:
        """Anything that needs no answer."""
        return self._send(message)

    def receive(self, now_s: float) -> tuple[list[Answered], list[Late | Command]]:
        """All that the core has said since the last call; never blocks."""
        answered: list[Answered] = []
        others: list[Late | Command] = []
        while _something_came(self.socket):
            message = decode_downward(self.socket.recv(zmq.NOBLOCK))
            self._heard_s = now_s
            if isinstance(message, Acks):
                answered += self._settle(message)
            else:
                others.append(message)
        self.heard_all = True
        return answered, others

    def ask(self, reading: AnyReading, timeout_s: float = 5.0) -> Outcome:
        """Send one reading and wait for its outcome: for pages, commands and tools. Raises TimeoutError."""
        now_s = time.monotonic()
        deadline_s = now_s + timeout_s
        self.offer([reading], now_s)
        while now_s < deadline_s:
            self.flush(now_s)
            self.wait(min(deadline_s - now_s, RESEND_AFTER_S))
            now_s = time.monotonic()
            for answer in self.receive(now_s)[0]:
                if answer.reading is reading:
                    return answer.outcome
        self._first_seq += len(self._pending)  # given up: a later resend would book behind the caller's back
        self._pending.clear()
        self._unsent = 0
        raise TimeoutError("the daemon did not answer")

    def close(self, linger_ms: int = 0) -> None:
        """What was sent just before may take `linger_ms` to leave."""
        self.socket.close(linger_ms)

    def _settle(self, acks: Acks) -> list[Answered]:
        """Acknowledgements come in order; one for what was already settled is an echo of a resend."""
        if acks.boot != self.boot or acks.first_seq > self._first_seq:
            return []
        fresh = acks.outcomes[self._first_seq - acks.first_seq :]
        answered = []
        for outcome in fresh[: len(self._pending)]:
            _, reading = self._pending.popleft()
            self._first_seq += 1
            answered.append(Answered(reading, outcome))
        self._unsent = min(self._unsent, len(self._pending))
        return answered

    def _send(self, message: Upward) -> bool:
        self.heard_all = False  # sending may take note of an arrival
        try:
            self.socket.send(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True


class Inlet:
    """The core's end: a ROUTER that all drivers, the pump and the pages talk to."""

    def __init__(self, address: str) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.MAXMSGSIZE, 4 * 1024 * 1024)
        self.socket.bind(address)
        self._hurry = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = zmq.Poller()
        self._poller.register(self.socket, zmq.POLLIN)
        self._poller.register(self._hurry, zmq.POLLIN)
        self._recent: deque[tuple[float, str]] = deque([(0.0, "")] * CROWD_SCANS, CROWD_SCANS)
        self._looked_s = 0.0
        self._taken = 0  # readings since then
        self.listened_s = time.monotonic()  # when the core last looked for messages; read by other threads
        self.quiet = True  # whether it found none

    def wait(self, timeout_s: float) -> bool:
        self.listened_s = time.monotonic()
        there = self.socket in dict(self._poller.poll(int(timeout_s * 1000)))
        self.quiet = not there
        now_s = time.monotonic()
        if there and self._is_crowded(now_s):
            time.sleep(max(0.0, self._looked_s + COMPANY_S - now_s))
        if there:
            self._looked_s, self._taken = time.monotonic(), 0
        return there

    def _is_crowded(self, now_s: float) -> bool:
        """Whether several devices scan at once, faster than people: then one commit serves them all.

        A scanner by itself, however fast, and people who scan side by side are answered at once.
        """
        if now_s - self._recent[0][0] > CROWD_S or self._taken >= COMPANY_ENOUGH:
            return False
        return len({device for _, device in self._recent}) > 1

    def hurry(self) -> None:
        """From another thread: from now on `wait` looks, and does not wait."""
        os.eventfd_write(self._hurry, 1)

    def receive(self) -> tuple[bytes, Upward | msgspec.DecodeError] | None:
        """The next message and who sent it; a message that makes no sense comes as its error."""
        if not _something_came(self.socket):
            return None
        try:
            peer, body = self.socket.recv_multipart(zmq.NOBLOCK)
        except ValueError:  # not two frames: not one of ours
            return b"", msgspec.DecodeError("not a bus message")
        try:
            message = decode_upward(body)
        except msgspec.DecodeError as error:
            return peer, error
        except RecursionError:
            return peer, msgspec.DecodeError("nested too deep")
        if isinstance(message, Delivery) and len(message.ages_ms) != len(message.readings):
            return peer, msgspec.DecodeError("a delivery whose readings and ages do not match")
        if isinstance(message, Delivery):
            self._taken += len(message.readings)
            if message.readings and isinstance(message.readings[0], Scan):
                self._recent.append((time.monotonic(), message.device))
        return peer, message

    def send(self, peer: bytes, message: Downward) -> None:
        """To a peer that may be gone: then nobody needs it."""
        try:
            self.socket.send_multipart((peer, encode(message)), zmq.NOBLOCK)
        except zmq.ZMQError:
            return

    def close(self) -> None:
        self.socket.close()
        os.close(self._hurry)


def _something_came(socket: "zmq.Socket[bytes]") -> bool:
    """Asked before each receive: an exception for "nothing" costs ten times as much."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
