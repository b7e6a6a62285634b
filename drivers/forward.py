"""Pass-through: a grabbed scanner no longer reaches the till, so each scan is typed on to it.

Through the USB device port of this box (a HID gadget), a serial line, or uinput for a till program on the same
box. It lives in the driver's process and never in the way of counting: a thread of its own does the typing.
What a kill can double or drop, and how it is said, is in docs/pass-through.md.
"""

import contextlib
import fcntl
import os
import queue
import select
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from drivers.bus import Answered
from drivers.contract import ConfigError, DeviceGone, Outcome, Scan
from drivers.transports import FdTransport, SerialTransport
from drivers.voiced import mapped

WAITING_SCANS_MAX = 1_024
STALE_AFTER_S = 2.0  # a scan that could not be typed by then is not typed: the customer is gone
FINISH_WITHIN_S = 10.0  # half a code waits in the till's line: its other half may come later than a new scan
REOPEN_FIRST_S, REOPEN_MAX_S = 0.1, 1.0
LOOK_S = 1.0  # how often an idle line is looked at: is the till still there?
SHOWN_FOR_S = 600.0  # how long the device's card speaks of scans that the till did not get
LEAVE_WITHIN_S = 0.5
BAUD = 9600
CUT_OFF = "a code was cut off there: clear its line before the next scan"
BOOKED = ("ok", "low", "negative", "unknown", "expired")  # outcomes after which the till gets the scan
SERIAL_ENDS = {"enter": "\r", "tab": "\t", "none": "", "crlf": "\r\n", "lf": "\n"}

# Linux uinput.h, 64-bit
UI_SET_EVBIT, UI_SET_KEYBIT = 0x40045564, 0x40045565
UI_DEV_SETUP, UI_DEV_CREATE = 0x405C5503, 0x5501
SETUP = struct.Struct("<HHHH80sI")  # bus, vendor, product, version, name, force feedback
BUS_VIRTUAL, KEYS_MAX = 0x06, 128


class Forward(Struct, frozen=True):
    """What the settings of one device say about the till."""

    when: Literal["off", "at-once", "after-commit"] = "off"
    to: str = ""  # serial:/dev/ttyX@9600, hidg:/dev/hidg0 or uinput
    layout: str = "us"  # of the till, when a keyboard is typed on
    terminator: str = "enter"
    never: str = "SK/"  # a code that begins like this is meant for us
    booked: tuple[str, ...] = BOOKED


class Till:
    """What the host tells about scans and acknowledgements, and what it can ask about the till."""

    def __init__(self, forward: Forward, folder: Path | None, device: str) -> None:
        """`folder` holds the record that outlives SIGKILL; None: nothing is kept. Raises ConfigError."""
        self._forward = forward
        self._at_once = forward.when == "at-once"
        self._after_commit = forward.when == "after-commit"
        self._typist: Typist | None = None
        self._record = Record(folder / f"{device}.typed" if folder and forward.when != "off" else None)
        self._uncounted = self._record.uncounted
        cut = self._record.cut if forward.to.startswith("hidg:") else None
        self._untyped = self._record.untyped - (cut is not None)
        self._news: list[Outcome] = []
        if forward.when == "off":
            return
        self._typist = Typist(encoder(forward), opener(forward), self._record, cut)

    def read(self, scan: Scan) -> None:
        """A code was read: nobody knows yet what will become of it."""
        if self._at_once:
            self._give(scan.data)

    def answered(self, answer: Answered) -> None:
        """It is on disk, or refused."""
        if not (self._at_once or self._after_commit):
            return
        if not isinstance(answer.reading, Scan) or answer.reading.data.startswith(self._forward.never):
            return
        if self._at_once:
            self._record.answered()
        elif self._after_commit and answer.outcome.code in self._forward.booked:
            self._give_booked(answer.reading.data)

    def late(self, outcomes: list[Outcome]) -> None:
        """Booked in an earlier run, and the acknowledgement was lost on the way."""
        scans = [one.about for one in outcomes if one.about and not one.about.startswith(self._forward.never)]
        if self._after_commit:
            for scan in scans:
                self._give_booked(scan)
        uncounted = self._uncounted - len(scans)
        if self._at_once and uncounted > 0:
            text = f"{_scans(uncounted)} may have gone to the till without being counted here; check the last"
            self._news.append(Outcome("refused", text))
        self._record.answered(self._uncounted)
        self._uncounted = 0

    def news(self) -> list[Outcome]:
        """What has to be said aloud since the last call."""
        if self._typist is not None and (lost := self._typist.take_lost() + self._untyped):
            text = f"{_scans(lost)} may not have reached the till; check the last"
            self._news.append(Outcome("refused", text))
            self._record.typed(self._untyped)
            self._untyped = 0
        news, self._news = self._news, []
        return news

    @property
    def trouble(self) -> str:
        """For the device's card; empty when the till gets its scans."""
        return self._typist.trouble if self._typist else ""

    @property
    def counts(self) -> dict[str, int]:
        return self._typist.counts if self._typist else {}

    def leave(self) -> None:
        """Wait a moment for what is under way to the till."""
        deadline_s = time.monotonic() + LEAVE_WITHIN_S
        while self._record.untyped and time.monotonic() < deadline_s:
            time.sleep(0.01)

    def _give_booked(self, text: str) -> None:
        self._record.answered()
        self._give(text)

    def _give(self, text: str) -> None:
        if self._typist is not None and not text.startswith(self._forward.never):
            self._typist.give(text)


def _scans(count: int) -> str:
    return f"{count} scan{'' if count == 1 else 's'}"


class Typist:
    """A thread that types one code after the other. The line may be slow, or gone: nobody waits for it."""

    def __init__(
        self,
        encode: Callable[[str], list[bytes]],
        open_line: Callable[[bool], FdTransport],
        record: "Record",
        cut: "Cut | None" = None,
    ) -> None:
        """`open_line` is told whether a code goes on where a kill cut it; `cut` is that code."""
        self._encode = encode
        self._open_line = open_line
        self._record = record
        self._cut = cut
        self._waiting: queue.Queue[tuple[str, float]] = queue.Queue(WAITING_SCANS_MAX)
        self._line: FdTransport | None = None
        self._reopen_s = REOPEN_FIRST_S
        self._gone = ""  # why there is no line
        self._lost = ("", 0.0)  # why a scan did not arrive, and when
        self._lost_to_say = 0
        self.counts = {"forwarded": 0, "not_forwarded": 0}
        threading.Thread(target=self._run, name="till", daemon=True).start()

    def give(self, text: str) -> None:
        """Never blocks."""
        self._record.handed()
        try:
            self._waiting.put_nowait((text, time.monotonic()))
        except queue.Full:
            self._lose("it does not take them as fast as they come")

    @property
    def trouble(self) -> str:
        if self._gone:
            return f"the till gets no scans ({self._gone}); they count here"
        why, lost_s = self._lost
        if why and time.monotonic() - lost_s < SHOWN_FOR_S:
            return f"{_scans(self.counts['not_forwarded'])} did not reach the till: {why}; counted here"
        return ""

    def take_lost(self) -> int:
        """How many scans were given up since the last call."""
        lost = self._lost_to_say
        self._lost_to_say -= lost
        return lost

    def _run(self) -> None:
        if self._cut is not None:
            self._finish(self._cut)
        while True:
            try:
                text, given_s = self._waiting.get(timeout=LOOK_S if self._line else self._reopen_s)
            except queue.Empty:
                self._look()
                continue
            self._type_by(given_s + STALE_AFTER_S, text)

    def _finish(self, cut: "Cut") -> None:
        until_s = cut.begun_s + FINISH_WITHIN_S
        if time.monotonic() < until_s:
            self._type_by(until_s, cut.text, cut)
        else:
            self._record.ended()
            self._lose(CUT_OFF)

    def _type_by(self, until_s: float, text: str, cut: "Cut | None" = None) -> None:
        """Try until then, and give up aloud. `cut`: an earlier run was killed in the middle of it."""
        while not self._typed(text, cut):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                self._record.ended()
                self._lose(CUT_OFF if cut else self._gone)
                return
            time.sleep(min(left_s, self._reopen_s))

    def _typed(self, text: str, cut: "Cut | None") -> bool:
        """Type it, or find out that it can never be typed; False: try again."""
        try:
            parts = self._encode(text)
        except ValueError as error:
            self._lose(str(error))
            return True
        line = self._line or self._opened(goes_on=cut is not None)
        if line is None:
            return False
        first = at = cut.part if cut else 0
        if cut is None:
            self._record.begin(text)
        try:
            for at in range(first, len(parts)):
                self._record.at(at)
                line.write(parts[at])
        except DeviceGone as error:
            self._close(str(error))
            if at > first:
                self._record.ended()
                self._lose(CUT_OFF)
            return at > first
        self._record.ended()
        self._record.typed()
        self.counts["forwarded"] += 1
        return True

    def _look(self) -> None:
        if self._line is None:
            self._opened()
            return
        poll = select.poll()
        poll.register(self._line.fileno(), 0)  # hang-up and errors are always told
        if poll.poll(0):
            self._close("unplugged")

    def _opened(self, goes_on: bool = False) -> FdTransport | None:
        try:
            self._line = self._open_line(goes_on)
        except (DeviceGone, ConfigError) as error:
            self._gone = str(error)
            self._reopen_s = min(2 * self._reopen_s, REOPEN_MAX_S)
            return None
        self._gone = ""
        self._reopen_s = REOPEN_FIRST_S
        return self._line

    def _close(self, why: str) -> None:
        self._gone = why
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.close()
        self._line = None

    def _lose(self, why: str) -> None:
        """Given up, and said."""
        self._record.typed()
        self._lost = (why, time.monotonic())
        self._lost_to_say += 1
        self.counts["not_forwarded"] += 1


class Cut(NamedTuple):
    """A code in whose middle a run was killed. `part` of it may have been written, those before it were."""

    text: str
    part: int
    begun_s: float  # time.monotonic(), which is the same for the life of the box


class Record:
    """Three counts and the code under way, in a memory map for the life of the box: what the next run must know."""

    HANDED, TYPED, ANSWERED = 0, 8, 16  # to the typist; or given up; by the core
    PART, BEGUN_US, LENGTH, TEXT = 24, 32, 40, 48  # of the code that is being typed; no length: none
    TEXT_BYTES_MAX = 512  # of a longer one only the counts are kept
    BYTES = TEXT + TEXT_BYTES_MAX

    def __init__(self, path: Path | None) -> None:
        self._map = mapped(path, self.BYTES) if path is not None else bytearray(self.BYTES)
        self._typed = threading.Lock()  # the typist counts, and who gives up for it

    @property
    def cut(self) -> Cut | None:
        """The code that was under way when the last run was killed, if it was kept."""
        length = self._get(self.LENGTH)
        if not 0 < length <= self.TEXT_BYTES_MAX or not self.untyped:
            return None
        text = bytes(self._map[self.TEXT : self.TEXT + length]).decode(errors="replace")
        return Cut(text, self._get(self.PART), self._get(self.BEGUN_US) / 1e6)

    def begin(self, text: str) -> None:
        """The length is written last: until then there is none under way."""
        kept = text.encode()
        self._put(self.LENGTH, 0)
        self._put(self.BEGUN_US, int(time.monotonic() * 1e6))
        if len(kept) <= self.TEXT_BYTES_MAX:
            self._map[self.TEXT : self.TEXT + len(kept)] = kept
            self._put(self.PART, 0)
            self._put(self.LENGTH, len(kept))

    def at(self, part: int) -> None:
        self._put(self.PART, part)

    def ended(self) -> None:
        self._put(self.LENGTH, 0)

    @property
    def untyped(self) -> int:
        """Handed to the typist and not typed, the one that was cut among them."""
        return max(0, self._get(self.HANDED) - self._get(self.TYPED))

    @property
    def uncounted(self) -> int:
        """At once: went to the till, and the core had not answered."""
        return max(0, self._get(self.HANDED) - self._get(self.ANSWERED))

    def handed(self) -> None:
        self._put(self.HANDED, self._get(self.HANDED) + 1)

    def typed(self, count: int = 1) -> None:
        with self._typed:
            self._put(self.TYPED, self._get(self.TYPED) + count)

    def answered(self, count: int = 1) -> None:
        self._put(self.ANSWERED, self._get(self.ANSWERED) + count)

    def _get(self, at: int) -> int:
        return int.from_bytes(self._map[at : at + 8], "little")

    def _put(self, at: int, value: int) -> None:
        self._map[at : at + 8] = value.to_bytes(8, "little")


def encoder(forward: Forward) -> Callable[[str], list[bytes]]:
    """How a code becomes what is written, one write each. It raises ValueError for what cannot be typed."""
    kind = forward.to.partition(":")[0]
    if kind == "serial":
        end = SERIAL_ENDS[forward.terminator]
        return lambda text: [f"{text}{end}".encode("ascii")]
    from drivers.typed_keys import boot_reports, input_records, strokes

    written = boot_reports if kind == "hidg" else input_records
    return lambda text: list(written(strokes(text, forward.layout, forward.terminator)))


def opener(forward: Forward) -> Callable[[bool], FdTransport]:
    """How the line to the till is opened, again and again. It raises DeviceGone."""
    kind, _, where = forward.to.partition(":")
    if kind == "serial":
        port, _, baud = where.partition("@")
        return lambda _: SerialTransport(port, int(baud or BAUD))
    if kind == "hidg":
        return lambda goes_on: Gadget(where, goes_on)
    return lambda _: Uinput()


class Gadget(FdTransport):
    """The USB device port as a keyboard. Without a host behind it, opening or writing fails.

    `goes_on`: where a kill cut a code. The key that was going down then is written once more, and the till sees it
    once: a report says which keys are down, not which went down. So nothing may be let go of before.
    """

    def __init__(self, path: str, goes_on: bool = False) -> None:
        super().__init__(_opened(path), path)
        if goes_on:
            return
        try:
            self.write(bytes(8))  # a key that a killed run left down would repeat for ever
        except DeviceGone:
            self.close()
            raise


class Uinput(FdTransport):
    """A keyboard of this box that nobody touches. The kernel lets go of its keys when we die."""

    def __init__(self) -> None:
        fd = _opened("/dev/uinput")
        try:
            fcntl.ioctl(fd, UI_SET_EVBIT, 1)  # EV_KEY
            for key in range(1, KEYS_MAX):
                fcntl.ioctl(fd, UI_SET_KEYBIT, key)
            fcntl.ioctl(fd, UI_DEV_SETUP, SETUP.pack(BUS_VIRTUAL, 0, 0, 1, b"storekeeper pass-through", 0))
            fcntl.ioctl(fd, UI_DEV_CREATE)
        except OSError as error:
            os.close(fd)
            raise DeviceGone(f"/dev/uinput: {os.strerror(error.errno or 0)}") from error
        super().__init__(fd, "/dev/uinput")


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceGone(f"{path}: {os.strerror(error.errno or 0)}") from error
