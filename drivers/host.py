"""The main of a driver's process: open, read, decode, send, voice. Written once for all drivers.

Back-off, sequence numbers, heartbeats and health are here; a driver has none of them.
"""

import os
import queue
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.breath import Breath
from drivers.bus import NOT_UNDERSTOOD, Answered, Command, Late, Outlet, Status
from drivers.contract import (
    RAW_BYTES_MAX,
    AnyReading,
    Asks,
    ConfigError,
    Decoder,
    DeviceGone,
    Document,
    EventDriver,
    Garbled,
    Health,
    Outcome,
    Reading,
    Scan,
    Transport,
    Voices,
    Weight,
    garbled,
)
from drivers.discover import hardware_at
from drivers.feedback import Feedback
from drivers.forward import Forward, Till
from drivers.loading import load
from drivers.steady import Steady
from drivers.tap import SECONDS_MAX, Tap
from drivers.trust import FREE_CODE, Trust
from drivers.voiced import Voiced

IDLE_AFTER_S = 0.05  # `Decoder.idle` is called when nothing came for this long ...
IDLE_FOR_S = 2.0  # ... and again that often, until the line was quiet for this long
STEADY_AFTER_S = 1.0  # a device that is gone sooner is not tried again at once
QUIET_POLL_S = 1.0  # then the process sleeps
ASK_POLL_S = 0.1  # devices that must be asked
HEARTBEAT_S = 5.0  # the supervisor kills a driver that is silent for three of these
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.2, 2.0  # a replugged scanner is back within two seconds
SCAN_CHARS_MAX = 256  # no barcode that a shop meets is longer
LONG_AGO_S = 3600.0  # for `idle` at an unplug: whatever is half read is over
UNSAID_MAX = 1_024
SILENT = ("shown", "refused", "garbled")  # nobody misses these later
OF_A_PERSON = (Scan, Garbled, Document)
LEAVE_WITHIN_S = 0.5  # at a stop, wait that long for the last acknowledgements
ASIDE = "it is being tested: nothing that it reads is booked until that is over"
THIS_DEVICE = Outcome("mode", "this device")  # a rising pair, by which a person finds it


def main(
    device: str,
    driver: str,
    options: dict[str, Any],
    bus_address: str,
    feedback: str = "",
    forward: dict[str, Any] | None = None,
    trust: list[str | None] | None = None,
) -> int:
    """Run one device until SIGTERM. Returns the exit code; DeviceGone never ends the process.

    `feedback` is what `drivers.feedback` reads, `forward` the fields of `drivers.forward.Forward`, `trust` what
    `drivers.trust.Trust` is made of.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the daemon's to handle
    boot = os.urandom(6).hex()
    outlet = Outlet(bus_address, device, boot)
    told, tells = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    outlet.watch(told)  # a quiet device would else leave a second later
    folder = _folder_of(bus_address)
    till = Till(Forward(**forward or {}), folder, device)
    host = Host(
        outlet, Voiced(folder, device, boot), Feedback(feedback), till, stop, Trust(*trust or ()), folder
    )
    try:
        chosen = load(driver)
        config = chosen.Config(**options)
        if isinstance(chosen, EventDriver):
            host.run_event_driver(chosen, config)
        else:
            host.run_byte_driver(chosen, config)
    except ConfigError as error:
        host.state("config_error", str(error))
        _linger(outlet)
        return 3
    except BadReading as error:
        host.state("waiting", str(error))
        _linger(outlet)
        raise
    except DeviceGone as error:  # an event driver lost its source: the supervisor starts it again
        host.state("waiting", str(error))
        _linger(outlet)
        return 4
    outlet.unwatch(told)
    host.leave()
    return 0


class Host:
    """One device: its place on the bus, its health, its state."""

    def __init__(
        self,
        outlet: Outlet,
        voiced: Voiced,
        feedback: Feedback,
        till: Till,
        stop: threading.Event,
        trust: Trust | None = None,
        folder: Path | None = None,
    ) -> None:
        self._outlet = outlet
        self._voiced = voiced
        self._feedback = feedback
        self._till = till
        self._stop = stop
        self._counts: Counter[str] = Counter()
        self._state = ("starting", "")
        self._reported = ("", "")
        self._heartbeat_s = 0.0
        self._trust = trust or Trust()
        self._folder = folder
        self._tap: Tap | None = None  # while somebody looks at what the device sends
        self._tones_wanted = 0  # by a person who wants to hear which device this is
        self._steady = Steady()
        self._announced = True  # until the core's answer to our hello comes
        self._owed: list[Outcome] = []  # of earlier runs: to be voiced as soon as the device is there
        self._unsaid: deque[Outcome] = deque(maxlen=UNSAID_MAX)  # of this run, to a device that was away
        outlet.hello(voiced.earlier)

    def state(self, state: str, text: str = "") -> None:
        """Say a change of state once, not at every heartbeat."""
        if (state, text) != self._state:
            self._state = (state, text)
            self._report()

    def run_byte_driver(self, driver: Any, config: Any) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._stop.is_set():
            try:
                transport = driver.open(config)
            except DeviceGone as error:
                self.state("waiting", str(error))
                self._wait(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
                continue
            opened_s = time.monotonic()
            self._trust.plugged(hardware_at(_device_file(config)))
            blocked = self._trust.is_blocked
            self.state(*(("blocked", self._trust.why_blocked()) if blocked else ("running",)))
            decoder = driver.decoder(config)
            self._steady = Steady()  # what a device says first after it was away is news
            try:
                self._serve(transport, decoder)
            except DeviceGone as error:
                self._counts["gone"] += 1
                self._take(decoder.idle(time.monotonic() + LONG_AGO_S), time.monotonic())
                self.state("waiting", str(error))
            finally:
                transport.close()
            backoff_s = BACKOFF_FIRST_S
            if time.monotonic() - opened_s < STEADY_AFTER_S:  # it opens, and then does not want us
                self._wait(backoff_s)

    def run_event_driver(self, driver: EventDriver[Any], config: Any) -> None:
        """The driver runs in a thread of its own; the socket stays in this one."""
        calls: queue.SimpleQueue[tuple[AnyReading, queue.SimpleQueue[Outcome]]] = queue.SimpleQueue()
        wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        failures: list[BaseException] = []

        def emit(reading: AnyReading) -> Outcome:
            reply: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
            calls.put((reading, reply))
            os.eventfd_write(wake, 1)
            return reply.get()

        def run() -> None:
            try:
                driver.run(config, emit, self._stop)
            except BaseException as error:
                failures.append(error)
            finally:
                os.eventfd_write(wake, 1)

        replies: dict[int, queue.SimpleQueue[Outcome]] = {}
        thread = threading.Thread(target=run, name="driver", daemon=True)
        thread.start()
        self._outlet.watch(wake)
        self.state("running")
        while thread.is_alive() and not self._stop.is_set():
            if wake in self._outlet.wait(QUIET_POLL_S):
                os.eventfd_read(wake)
            now_s = time.monotonic()
            while not self._outlet.full and not calls.empty():
                reading, reply = calls.get_nowait()
                if offered := self._take([reading], now_s):
                    replies[id(offered[0])] = reply
                else:
                    reply.put(Outcome("ok"))  # an unchanged value, or a muted device: nothing to book
            for answer in self._talk(now_s):
                replies.pop(id(answer.reading)).put(answer.outcome)
            self._voiced.through(self._outlet.settled_through)
            self._voice_what_is_owed(None)
        if failures and not self._stop.is_set():
            raise failures[0]

    def leave(self) -> None:
        """Wait a moment for the last acknowledgements."""
        deadline_s = time.monotonic() + LEAVE_WITHIN_S
        while self._outlet.waiting and time.monotonic() < deadline_s:
            self._outlet.wait(LEAVE_WITHIN_S / 10)
            self._talk(time.monotonic())
        self._till.leave()
        _linger(self._outlet)

    def _serve(self, transport: Transport, decoder: Decoder) -> None:
        """Until the device is gone or we are told to stop."""
        fd = transport.fileno()
        asks = decoder if isinstance(decoder, Asks) else None
        voices = decoder if isinstance(decoder, Voices) else None
        last_chunk_s = idle_s = time.monotonic()
        breath = Breath(getattr(transport, "is_kept", False))
        watched = has_asked = False

        def voice(outcome: Outcome) -> None:
            if voices and (beep := voices.voice(outcome)):
                transport.write(beep)

        self._say_what_was_not(voice)
        try:
            while not self._stop.is_set():
                now_s = time.monotonic()
                if asks and (request := asks.pending_bytes(now_s)):
                    breath.asked()
                    has_asked = True
                    transport.write(request)
                listens = not self._outlet.full and now_s >= breath.until_s
                if fd >= 0 and listens != watched:
                    watched = listens
                    self._outlet.watch(fd) if watched else self._outlet.unwatch(fd)
                quiet_s = now_s - last_chunk_s
                sleep_s = _sleep_s(quiet_s, asks is not None or fd < 0)
                if now_s < breath.until_s and not has_asked:
                    sleep_s = breath.until_s - now_s
                ready = self._outlet.wait(sleep_s)
                now_s = time.monotonic()
                chunk = transport.read(0) if listens and (fd < 0 or fd in ready) else b""
                if chunk and self._trust.is_blocked:
                    self._counts["blocked"] += 1  # kept from everybody else, and read by nobody
                elif chunk:
                    last_chunk_s = idle_s = now_s
                    readings = decoder.feed(chunk, now_s)
                    breath.took(readings, now_s)
                    self._take(readings, now_s, chunk)
                elif listens and now_s - idle_s >= IDLE_AFTER_S:
                    idle_s = now_s  # while nobody reads, silence is not that of the line
                    self._take(decoder.idle(now_s), now_s)
                if answers := self._talk(now_s):
                    if not self._outlet.waiting:
                        breath.answered()
                    heard = [one.outcome for one in answers if _is_of_a_person(one.reading)]
                    if voices and (beeps := b"".join(map(voices.voice, heard))):
                        self._say(transport, beeps, heard)
                    self._voiced.through(self._outlet.settled_through)
                self._voice_what_is_owed(voice)
        finally:
            if watched:
                self._outlet.unwatch(fd)

    def _take(self, readings: list[AnyReading], now_s: float, chunk: bytes = b"") -> list[AnyReading]:
        """Count, heed and offer them; what was offered, which may be less, or another reading in its place."""
        if self._tap:
            self._tap.saw(self._outlet.device, chunk, readings, now_s)
        if not readings:
            return []
        self._counts["readings"] += len(readings)
        if self._trust.hushed(now_s):
            readings = self._freed_by(readings)
        if self._tap and self._tap.aside:
            self._counts["aside"] += len(readings)
            return []
        if not readings:
            return []
        readings = [_bounded(reading) for reading in readings]
        for at, reading in enumerate(readings, 1):
            if isinstance(reading, Health):
                self._heed(reading, now_s)
                if self._trust.hushed(now_s):
                    del readings[at:]
            elif isinstance(reading, Garbled):
                self._counts["garbled"] += 1
            else:
                self._counts["good"] += 1
            if isinstance(reading, Scan):
                self._till.read(reading)
        if self._state[1] and isinstance(readings[-1], Scan | Weight):
            self.state("running")  # whatever was in doubt, it reads now
        offered = [reading for reading in readings if self._steady.passes(reading, now_s)]
        self._outlet.offer(offered, now_s)
        return offered

    def _freed_by(self, readings: list[AnyReading]) -> list[AnyReading]:
        """A muted scanner reads the code that ends it: from there on it counts. Nothing frees a blocked one."""
        codes = [reading.data if isinstance(reading, Scan) else "" for reading in readings]
        if self._trust.is_blocked or FREE_CODE not in codes:
            self._counts["muted"] += len(readings)
            return []
        self._trust.free()
        return readings[codes.index(FREE_CODE) :]

    def _heed(self, health: Health, now_s: float) -> None:
        """What a decoder says of its device becomes its state, with the remedy."""
        if health.status == "blocked_suspect":
            self.state(*self._trust.suspect(health.error or "", now_s))
        elif health.error:
            self.state("running", health.error)

    def _talk(self, now_s: float) -> list[Answered]:
        """Send, hear, give feedback, keep the heartbeat."""
        self._outlet.flush(now_s)
        answers, others = ([], []) if self._outlet.heard_all else self._outlet.receive(now_s)
        answers = [_with_subject(answer) for answer in answers]
        for answer in answers:
            if _is_of_a_person(answer.reading):
                self._feedback.give(answer.outcome)
            self._till.answered(answer)
        for news in self._till.news():
            self._feedback.give(news)
        for message in others:
            if isinstance(message, Late):
                self._owed += message.outcomes
                self._announced = False
            else:
                self._obey(message, now_s)
        if self._state[0] in ("muted", "blocked") and not self._trust.hushed(now_s):
            self.state("running")
        if self._tap and self._tap.is_over(now_s):
            self._untap()
        if now_s - self._heartbeat_s >= HEARTBEAT_S or self._told() != self._reported:
            self._report()
        return answers

    def _obey(self, command: Command, now_s: float) -> None:
        """A word from a person, or from the core."""
        body = command.body
        match command.name:
            case "identify":
                self._tones_wanted += 1
            case "free":
                self._trust.free()
            case "confirm":
                self._trust.confirm()
            case "tap":
                if self._tap:
                    self._tap.close()
                if self._folder:
                    until_s = now_s + min(float(body["seconds"]), SECONDS_MAX)
                    self._tap = Tap(self._folder, str(body["to"]), until_s, aside=bool(body["aside"]))
                    if self._tap.aside and not self._trust.hushed(now_s):
                        self.state("running", ASIDE)
            case "untap":
                self._untap()
            case _ if command.name == NOT_UNDERSTOOD:
                raise BadReading(f"the driver made something that is no reading: {body.get('why')}")

    def _untap(self) -> None:
        if self._tap:
            self._tap.close()
        self._tap = None
        if self._state[1] == ASIDE:
            self.state("running")

    def _say(self, transport: Transport, beeps: bytes, outcomes: list[Outcome]) -> None:
        try:
            transport.write(beeps)
        except DeviceGone:  # some of it may have been heard: better twice than never
            self._keep_for_later(outcomes)
            raise

    def _keep_for_later(self, outcomes: list[Outcome]) -> None:
        self._unsaid += [
            Outcome("late", f"booked while this was away: {one.text}", one.about)
            for one in outcomes
            if one.code not in SILENT
        ]

    def _say_what_was_not(self, voice: Callable[[Outcome], object]) -> None:
        while self._unsaid:
            voice(self._unsaid[0])
            self._unsaid.popleft()

    def _voice_what_is_owed(self, voice: Callable[[Outcome], object] | None) -> None:
        """Outcomes of earlier runs, once each; then the core and the record know that they were said."""
        while self._tones_wanted:
            self._tones_wanted -= 1
            self._feedback.give(THIS_DEVICE)
            if voice:
                voice(THIS_DEVICE)
        if self._announced:
            return
        owed_anything = bool(self._owed or self._voiced.earlier)
        for outcome in self._owed:
            self._feedback.give(outcome)
            if voice:
                voice(outcome)
        self._till.late(self._owed)
        self._owed = []
        self._announced = True
        self._voiced.announced()
        if owed_anything:
            self._outlet.hello([], announced=True)

    def _report(self) -> None:
        self._heartbeat_s = time.monotonic()
        state, text = self._reported = self._told()
        counts = {**self._counts, **self._till.counts}
        self._outlet.report(Status(self._outlet.device, state, text, counts, self._trust.hardware))

    def _told(self) -> tuple[str, str]:
        """State and text of the card: what the device says of itself goes before what is wrong at the till."""
        state, text = self._state
        return state, text or self._till.trouble

    def _wait(self, seconds: float) -> None:
        """Sleep, but go on hearing acknowledgements and sending heartbeats."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0 and not self._stop.is_set():
            self._outlet.wait(left_s)
            answers = self._talk(time.monotonic())
            self._keep_for_later([one.outcome for one in answers if _is_of_a_person(one.reading)])


def _sleep_s(quiet_s: float, is_asked: bool) -> float:
    """How long the process may sleep when the device says nothing."""
    if quiet_s < IDLE_FOR_S:
        return IDLE_AFTER_S
    return ASK_POLL_S if is_asked else QUIET_POLL_S


def _is_of_a_person(reading: AnyReading) -> bool:
    """Somebody waits for the beep. A device's word about itself, or a weight that came by, is silent."""
    return isinstance(reading, OF_A_PERSON)


def _with_subject(answer: Answered) -> Answered:
    """The core answers briefly; what was read is known here."""
    if answer.outcome.about or not isinstance(answer.reading, Scan):
        return answer
    outcome = answer.outcome
    return Answered(answer.reading, Outcome(outcome.code, outcome.text, answer.reading.data))


class BadReading(Exception):
    """A bug in the driver: it made something that the contract does not know. The process ends and says so."""


def _bounded(reading: AnyReading) -> AnyReading:
    """A code longer than any barcode is noise. Raises BadReading for what is no reading at all."""
    if isinstance(reading, Scan) and isinstance(reading.data, str):
        if len(reading.data) <= SCAN_CHARS_MAX:
            return reading
        return garbled(f"longer than {SCAN_CHARS_MAX} characters", reading.data[:RAW_BYTES_MAX].encode())
    if not isinstance(reading, Reading) or isinstance(reading, Scan):
        raise BadReading(f"the driver made something that is no reading: {reading!r:.200}")
    return reading


def _device_file(config: Any) -> str:
    """Where the device is, by its settings; "" for one on the network, whose port is a number."""
    ways = (getattr(config, name, "") for name in ("path", "port"))
    return next((way for way in ways if isinstance(way, str) and way), "")


def _folder_of(bus_address: str) -> Path | None:
    """Where the bus lives, when it is a unix socket."""
    return Path(bus_address.removeprefix("ipc://")).parent if bus_address.startswith("ipc://") else None


def _linger(outlet: Outlet) -> None:
    """Let the last message reach the core before the process ends."""
    outlet.close(linger_ms=200)
