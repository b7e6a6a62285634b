"""The loop that turns readings into the ledger: receive, interpret, one transaction, acknowledge.

Group commit: what has arrived is taken without waiting, committed once and answered. Nothing is answered
before COMMIT has returned, so whoever hears the beep may rely on it.
"""

import contextlib
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import zmq
from msgspec.structs import replace

from drivers.bus import (
    NOT_UNDERSTOOD,
    Acks,
    Command,
    Delivery,
    Event,
    Hello,
    Hint,
    Inlet,
    Late,
    Progress,
    Status,
    encode,
)
from drivers.contract import AnyReading, Document, Garbled, Humidity, Outcome, Scan, Temperature, Weight
from gateway import care
from gateway.config import Device, Settings
from gateway.documents import NEGATIVE, TypedScan, understood
from gateway.interpret import Effect, Moment, interpret
from gateway.ledger.master import document_answered, parked_is
from gateway.ledger.runs import Run, Runs, forget_earlier
from gateway.ledger.shelves import LedgerShelves
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import UNDO_ROWS_MAX, AlertClosed, AlertRaised, Batch, NotRecording, Seen, Writer
from gateway.rounds import rounds
from gateway.stock.movements import Draft
from gateway.stock.stations import HOME_AFTER_S, MODES, Station

READINGS_PER_COMMIT_MAX = 256
QUIET_POLL_S = 1.0
CURSOR_ALONE_AFTER_S = 0.25  # the acknowledged cursor rides with the next movement, or goes alone after this
TRY_AGAIN_EVERY_S = 1.0  # while the ledger cannot commit
EVENTS_PER_HINT_MAX = 20
HINT_AFTER_S = 0.002  # the beep goes first: pump and pages, woken at once, would take its processor
OK = Outcome("ok")


@dataclass(slots=True)
class Round:
    """One transaction under way: what it books, and what may be said once it is on disk."""

    batch: Batch
    today: str | None  # in the shop; None while the clock is not trusted
    replies: list[tuple[bytes, Acks]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    marks: list[tuple[Run, int]] = field(default_factory=list)  # high-water marks as they were
    stations: dict[str, Station] = field(default_factory=dict)  # stations as they were


class Ingest:
    """The thread that alone receives from the bus and alone writes the ledger."""

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        telemetry: Telemetry,
        inlet: Inlet,
        hints: "zmq.Socket[bytes]",
        heartbeat: Callable[[str], None],
    ) -> None:
        self._shop = settings.shop
        self._zone = ZoneInfo(settings.shop.timezone)
        self._block_expired = settings.shop.expired == "block"
        self._devices = {device.name: device for device in settings.devices}
        self._settled: tuple[Device, ...] | None = None  # settings that were read again, not taken up yet
        self._peers: dict[str, bytes] = {}  # where each driver is on the bus
        self._writer = writer
        self._telemetry = telemetry
        self._inlet = inlet
        self._hints = hints
        self._heartbeat = heartbeat
        self._shelves = LedgerShelves(writer.connection)
        self._runs = Runs()
        self._stations = self._kept_stations()
        self._last_scan: dict[str, tuple[str, float]] = {}
        self._cursors: dict[str, tuple[int, int]] = {}
        self._cursor_since_s = 0.0
        self._news: list[Event] = []  # of the next hint
        self._devices_changed = False
        self._hint_due_s = math.inf
        self._problem = ""  # why nothing can be written just now
        self._try_again_s = 0.0

    def run(self, stop: threading.Event) -> None:
        self._book_what_was_named()
        while not stop.is_set():
            if self._settled is not None:
                self._take_up_settled()
            if self._inlet.wait(self._patience_s()):
                self._take_what_is_there()
            if self._cursors and time.monotonic() - self._cursor_since_s >= CURSOR_ALONE_AFTER_S:
                self._close(self._begin())
            if self._problem and time.monotonic() >= self._try_again_s:
                self._try_again_s = time.monotonic() + TRY_AGAIN_EVERY_S
                self._try_again()
            if self._telemetry.changed:
                self._telemetry.changed = False
                self._publish([], devices_changed=True)
            if time.monotonic() >= self._hint_due_s:
                self._send_hint()
        self._send_hint()

    def _patience_s(self) -> float:
        if self._hint_due_s < math.inf:
            return HINT_AFTER_S
        return CURSOR_ALONE_AFTER_S if self._cursors else QUIET_POLL_S

    def _take_what_is_there(self) -> None:
        deliveries: list[tuple[bytes, Delivery]] = []
        count = 0
        while count < READINGS_PER_COMMIT_MAX and (received := self._inlet.receive()) is not None:
            peer, message = received
            if isinstance(message, Delivery):
                deliveries.append((peer, message))
                count += len(message.readings)
            elif isinstance(message, Hello):
                self._heard_hello(peer, message)
            elif isinstance(message, Status):
                self._peers[message.device] = peer
                self._heard_status(message)
            elif isinstance(message, Progress):
                self._heard_progress(message)
            else:
                self._telemetry.device("bus", "", "noise", f"a message that makes no sense: {message}")
                self._inlet.send(peer, Command(NOT_UNDERSTOOD, {"why": str(message)}))
        for group in rounds(deliveries):
            self._book_group(group)

    def _book_group(self, group: list[tuple[bytes, Delivery]]) -> None:
        """One transaction. A disk that cannot even be read refuses its readings and stops nothing else."""
        problem = None
        try:
            self._mend()
        except NotRecording as error:
            problem = self._not_recording(str(error))
        round_ = self._begin()
        try:
            for peer, delivery in group if problem is None else ():
                self._deliver(round_, peer, delivery)
        except sqlite3.OperationalError as error:
            self._writer.distrust()
            problem = self._not_recording(f"the ledger cannot be read ({error}): scans are NOT counted")
        if problem:
            round_.replies = [
                (peer, Acks(delivery.boot, delivery.first_seq, [problem] * len(delivery.readings)))
                for peer, delivery in group
            ]
        self._close(round_, problem)

    def _deliver(self, round_: Round, peer: bytes, delivery: Delivery) -> None:
        device, boot = delivery.device, delivery.boot
        run = self._runs.of(self._writer.connection, device, boot)
        self._telemetry.heard(device, round_.batch.stamp.wall_us)
        outcomes: list[Outcome] = []
        durable = False
        for at, reading in enumerate(delivery.readings):
            seq = delivery.first_seq + at
            again = None
            if seq <= run.high_seq:
                again = self._runs.answered(self._writer.connection, round_.batch.seen, run, seq, reading)
            if again is None:
                again, kept = self._one(round_, delivery, at, reading)
                durable = durable or kept
            outcomes.append(again)
        last_seq = delivery.first_seq + len(outcomes) - 1
        if durable:
            round_.marks.append((run, run.high_seq))
            run.high_seq = max(run.high_seq, last_seq)
            seen = Seen(device, boot, delivery.first_seq, last_seq, delivery.acked_through, outcomes)
            round_.batch.seen.append(seen)
        round_.replies.append((peer, Acks(boot, delivery.first_seq, outcomes)))

    def _one(self, round_: Round, delivery: Delivery, at: int, reading: AnyReading) -> tuple[Outcome, bool]:
        """What became of one reading, and whether that has to be remembered on disk."""
        idem = f"{delivery.device}/{delivery.boot}/{delivery.first_seq + at}"
        if isinstance(reading, Scan):
            moment = self._moment(round_, delivery.device, delivery.ages_ms[at])
            if self._is_bounce(delivery.device, reading, moment):
                return OK, True
            station = self._station(delivery.device)
            if reading.data == "SK/UNDO" and (parked := self._shelves.last_parked(station.device)):
                return self._forget_parked(round_, station, parked)
            effect = interpret(reading, station, self._shelves, moment)
            return self._carry_out(round_, effect, reading, delivery.device, idem)
        if isinstance(reading, Document):
            return self._document_once(round_, reading, delivery, at, idem)
        wall_us = round_.batch.stamp.wall_us
        if isinstance(reading, Garbled):
            round_.events.append(Event(delivery.device, "garbled", reading.error, "", wall_us))
            return Outcome("garbled", "not read: scan again"), False
        self._sample(delivery.device, reading, wall_us)
        return OK, False

    def _forget_parked(
        self, round_: Round, station: Station, parked: tuple[str, int, str]
    ) -> tuple[Outcome, bool]:
        """An undo right after a code that nobody knows: that code was what the clerk meant."""
        boot, seq, data = parked
        round_.batch.statements.append(parked_is("dismissed", station.device, boot, seq))
        outcome = Outcome("undo", f"{data}: no longer parked", "SK/UNDO")
        wall_us = round_.batch.stamp.wall_us
        round_.events.append(Event(station.device, "undo", outcome.text, data, wall_us, mode=station.mode))
        return outcome, True

    def _carry_out(
        self, round_: Round, effect: Effect, scan: Scan, device: str, idem: str
    ) -> tuple[Outcome, bool]:
        batch, station = round_.batch, effect.station
        before = self._stations.get(station.device)
        if before is not station and before != station:
            self._stations[station.device] = station
            if before is not None:
                round_.stations.setdefault(station.device, before)
            if before is None or _kept(before) != _kept(station):
                batch.stations[station.device] = station
        seq = 0
        for part, draft in enumerate(effect.drafts):
            seq = self._book(batch, draft, station.device, f"{idem}/{part}", effect.outcome)
        if effect.parked:
            _, boot, reading_seq = idem.rsplit("/", 2)  # whose scan it is, not which page it was typed on
            batch.park(effect.parked, station.device, boot, int(reading_seq))
        left, sku, text = effect.left, effect.sku, effect.outcome.text
        if effect.outcome.code == "undo" and sku:
            left = self._shelves.on_hand(sku, station.location)
            text = f"{self._shelves.name(sku)}: {text}"
        event = Event(
            station.device,
            effect.outcome.code,
            text,
            scan.data,
            batch.stamp.wall_us,
            seq,
            sku,
            effect.change,
            left,
            station.mode,
        )
        round_.events.append(event)
        outcome = Outcome(effect.outcome.code, text, scan.data)
        # A quantity typed for the next item is remembered too: executed again, it would count twice.
        remember = (
            effect.drafts or effect.parked or outcome.code == "mode" or station.device in batch.stations
        )
        return outcome, bool(remember)

    def _book(self, batch: Batch, draft: Draft, device: str, idem: str, outcome: Outcome) -> int:
        """One movement: its seq. A shelf that goes below zero by it, or is back, is one notice."""
        seq = batch.book(draft, device, idem)
        for location, was, now in self._shelves.booked(draft):
            if now >= 0 <= was:
                continue
            subject = f"{draft.sku}@{location}"
            if now < 0 <= was:
                text = f"{self._shelves.name(draft.sku)}: {now} at {location}, please count"
                text = outcome.text if outcome.code == "negative" else text
                batch.alerts.append(AlertRaised(NEGATIVE, subject, "warning", text))
            elif was < 0 <= now:
                batch.alerts.append(AlertClosed(NEGATIVE, subject))
        return seq

    def _document_once(
        self, round_: Round, document: Document, delivery: Delivery, at: int, idem: str
    ) -> tuple[Outcome, bool]:
        """The same external id twice is the same document, whoever sends it again and after whatever restart."""
        device, external_id = delivery.device, document.external_id
        row = self._writer.connection.execute(
            "SELECT code, text FROM document_seen WHERE device = ? AND external_id = ?", (device, external_id)
        ).fetchone()
        if row:
            return Outcome(*row), False
        try:
            if document.kind == "scan":
                body = msgspec.convert(document.body, TypedScan, strict=False)
                outcome, kept = self._scan_for(round_, body, device, delivery.ages_ms[at], idem)
            elif document.kind in care.KINDS:
                outcome, kept = self._word(document, round_.batch)
            else:
                outcome, kept = self._carry_out_document(round_, document, device, idem)
        except sqlite3.OperationalError:
            raise  # the disk
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, sqlite3.Error) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else error  # a peer's bytes
            text = f'this document of kind "{document.kind}" makes no sense: {why}'
            return Outcome("refused", text), False
        if kept:
            round_.batch.statements += document_answered(
                device, external_id, round_.batch.stamp.wall_us, outcome
            )
        return outcome, kept

    def _carry_out_document(
        self, round_: Round, document: Document, device: str, idem: str
    ) -> tuple[Outcome, bool]:
        """Alone in its round, so it may commit on its way: what was parked is booked once its items are there."""
        batch = round_.batch
        meaning = understood(
            document.kind, document.external_id, document.body, self._shelves, batch.stamp.wall_us
        )
        outcome = meaning.outcome
        if outcome.code == "refused":
            return outcome, False
        batch.statements += meaning.statements
        batch.alerts += meaning.alerts
        if meaning.items_changed:
            batch.statements += document_answered(device, document.external_id, batch.stamp.wall_us, outcome)
            if problem := self._commit(batch):
                round_.batch = self._writer.batch()  # what failed is not tried once more behind the answer
                return problem, False
            self._shelves.forget(self._writer.connection)
            booked = self._book_parked()
            round_.batch = self._writer.batch()
            return replace(
                outcome, text=f"{outcome.text}; {booked} parked scans booked"
            ) if booked else outcome, False
        seq = 0
        for part, draft in enumerate(meaning.drafts):
            seq = self._book(batch, draft, device, f"{idem}/{part}", outcome)
        if meaning.sku:
            event = Event(
                device,
                "ok",
                outcome.text,
                meaning.sku,
                batch.stamp.wall_us,
                seq,
                meaning.sku,
                meaning.change,
                meaning.left,
                document.kind,
            )
            round_.events.append(event)
        return outcome, True

    def _word(self, document: Document, batch: Batch) -> tuple[Outcome, bool]:
        """To a device, or about one."""
        peer = self._peers.get(str(document.body.get("name", "")))
        if document.kind == "device" and document.body["do"] != "confirm" and peer is None:
            return Outcome("refused", f"{document.body['name']} is not running"), False
        outcome, word = care.heed(document.kind, document.body, batch)
        if word and peer:
            self._inlet.send(peer, word)
        return outcome, outcome.code == "ok"

    def _scan_for(
        self, round_: Round, typed: TypedScan, device: str, age_ms: int, idem: str
    ) -> tuple[Outcome, bool]:
        """A code typed on a page or a command line, as if the station `device` had scanned it."""
        station = self._station(typed.device or device)
        if typed.mode:
            if typed.mode not in MODES.values():
                text = f"{typed.mode!r} is no mode; use one of: {', '.join(MODES.values())}"
                return Outcome("refused", text), False
            station = replace(station.home(), mode=typed.mode)
        moment = self._moment(round_, station.device, age_ms)
        if typed.qty:
            station = replace(station, next_quantity=typed.qty, next_quantity_s=moment.now_s)
        scan = Scan(typed.code, typed.aim or None)
        self._last_scan[station.device] = ("", moment.now_s)  # it is in use; a typed code never bounces
        if scan.data == "SK/UNDO" and (parked := self._shelves.last_parked(station.device)):
            return self._forget_parked(round_, station, parked)
        effect = interpret(scan, station, self._shelves, moment)
        if typed.mode:  # for this one scan only
            effect = replace(effect, station=self._station(station.device))
        return self._carry_out(round_, effect, scan, device, idem)

    def _book_what_was_named(self) -> None:
        """A kill, or a disk that failed, may have come between a name and the scans that waited for it."""
        with contextlib.suppress(sqlite3.Error):  # of the disk: whoever scans next hears of it
            self._book_parked()

    def _book_parked(self) -> int:
        """Every parked scan whose code has a name by now."""
        rows = self._writer.connection.execute(
            """SELECT device, boot, seq, data, aim, mode, loc, qty, argument, wall_us, clock_q
               FROM parked JOIN code USING (code) WHERE state = 'parked' ORDER BY wall_us"""
        ).fetchall()
        round_, booked = self._begin(), 0
        for device, boot, seq, data, aim, mode, location, quantity, argument, wall_us, quality in rows:
            moment = replace(
                self._moment(round_, device, 0), idle_s=0.0, occurred_us=wall_us, quality=quality
            )
            station = replace(
                Station.at_home(device, mode, location),
                reason=argument if mode == "waste" else "",
                destination=argument if mode == "move" else "",
                next_quantity=quantity if quantity > 1 else 0,
                next_quantity_s=moment.now_s,
            )
            effect = interpret(Scan(data, aim), station, self._shelves, moment)
            effect = replace(effect, station=self._station(device))
            if effect.drafts:
                self._carry_out(round_, effect, Scan(data, aim), device, f"{device}/{boot}/{seq}")
                round_.batch.statements.append(parked_is("booked", device, boot, seq))
                booked += 1
            if len(round_.batch.rows) >= READINGS_PER_COMMIT_MAX:
                self._close(round_)
                round_ = self._begin()
        self._close(round_)
        return 0 if self._problem else booked

    def _close(self, round_: Round, problem: Outcome | None = None) -> None:
        """Commit; then, and only then, answer."""
        if problem := problem or self._commit(round_.batch):
            self._stations.update(round_.stations)
            for run, high_seq in reversed(round_.marks):
                run.high_seq = high_seq
            round_.replies = [
                (peer, Acks(acks.boot, acks.first_seq, [problem] * len(acks.outcomes)))
                for peer, acks in round_.replies
            ]
            round_.events = [Event("ledger", problem.code, problem.text, "", round_.batch.stamp.wall_us)]
        for peer, acks in round_.replies:
            self._inlet.send(peer, acks)
        if round_.events or round_.batch.rows:
            self._publish(round_.events)

    def _commit(self, batch: Batch) -> Outcome | None:
        """Make `batch` durable; None, or why it is not. Acknowledged cursors ride along."""
        batch.cursors.update(self._cursors)
        if batch.empty:
            return None
        try:
            self._writer.commit(batch)
        except NotRecording as error:
            return self._not_recording(str(error))
        except (sqlite3.Error, OverflowError, TypeError, ValueError) as error:
            self._cursors.clear()  # they come again
            # What a peer sent goes against the ledger's rules: a number used twice, a value that is none.
            self._writer.distrust()
            self._shelves.forget(self._writer.connection)
            return Outcome("refused", f"the ledger does not take this: {error}")
        self._cursors.clear()
        self._ask_the_new_connection()
        if self._problem:
            self._problem = ""
            self._telemetry.link("ledger", "online", "counting again")
        return None

    def _mend(self) -> None:
        """After a failure, a new connection. Raises NotRecording while there is none."""
        self._writer.mend()
        self._ask_the_new_connection()

    def _ask_the_new_connection(self) -> None:
        if self._shelves.ledger is not self._writer.connection:
            self._shelves.forget(self._writer.connection)

    def _not_recording(self, why: str) -> Outcome:
        """From here on the pages say so, until a commit succeeds."""
        self._problem = why
        self._try_again_s = time.monotonic() + TRY_AGAIN_EVERY_S
        self._shelves.forget(self._writer.connection)
        self._telemetry.link("ledger", "not_recording", why)
        return Outcome("not_recording", why)

    def _try_again(self) -> None:
        """While nothing can be written: has room been made? Nobody has to scan to find out."""
        with contextlib.suppress(NotRecording):
            self._mend()
        round_ = self._begin()
        wall_us = round_.batch.stamp.wall_us
        if not self._writer.has_room:  # the one row below may still fit where a sale does not
            self._close(round_, self._not_recording(self._problem))
            return
        round_.batch.statements.append(
            ("INSERT OR REPLACE INTO setting VALUES ('counting_since_us', ?)", (str(wall_us),))
        )
        round_.events.append(Event("ledger", "ok", "counting again", "", wall_us))
        self._close(round_)
        if not self._problem:
            self._book_what_was_named()

    def _heard_hello(self, peer: bytes, hello: Hello) -> None:
        """A driver is back: say what its earlier runs booked and may never have voiced."""
        device, boot, ledger = hello.device, hello.boot, self._writer.connection
        if hello.announced:
            round_ = self._begin()
            round_.batch.statements += forget_earlier(device, boot)
            self._close(round_)
            return
        try:
            owed = self._runs.never_voiced(ledger, device, boot, hello.earlier)
        except (
            sqlite3.Error
        ) as error:  # the disk cannot even be read: the driver keeps its record, and asks again
            self._not_recording(f"the ledger cannot be read: {error}")
            return
        late = [
            (wall_us, Outcome("late", f"booked {self._clock_text(wall_us)}: {outcome.text}", outcome.about))
            for wall_us, outcome in owed
        ]
        self._inlet.send(peer, Late([outcome for _, outcome in late]))
        if late:
            self._publish([Event(device, "late", one.text, one.about, wall_us) for wall_us, one in late])

    def _heard_status(self, status: Status) -> None:
        driver = self._devices[status.device].driver if status.device in self._devices else ""
        self._telemetry.device(status.device, driver, status.state, status.text)
        self._telemetry.counted(status.device, status.counts)
        self._heartbeat(status.device)

    def _heard_progress(self, progress: Progress) -> None:
        if progress.link:
            self._telemetry.link("back office", progress.link, progress.note)
        if progress.seq:
            if not self._cursors:
                self._cursor_since_s = time.monotonic()
            self._cursors[progress.lane] = (progress.epoch, progress.seq)

    def _sample(self, device: str, reading: AnyReading, wall_us: int) -> None:
        if getattr(reading, "quality", None):
            return  # a power-on default, a retained message: shown nowhere, believed nowhere
        if isinstance(reading, Temperature) and reading.celsius is not None:
            self._telemetry.sample(device, reading.sensor or "", wall_us, "celsius", reading.celsius)
        elif isinstance(reading, Humidity):
            self._telemetry.sample(device, reading.sensor or "", wall_us, "humidity", reading.humidity)
        elif isinstance(reading, Weight) and reading.value is not None and reading.stable:
            if not reading.value.is_finite():
                return
            self._telemetry.sample(device, reading.unit or "", wall_us, "weight", float(reading.value))

    def settle(self, devices: tuple[Device, ...]) -> None:
        """From another thread: what the settings say of the devices by now. Taken up between two rounds."""
        self._settled = devices

    def _take_up_settled(self) -> None:
        """A scanner whose home is another begins there; the others stay in the mode they are in."""
        settled, self._settled = self._settled, None
        self._devices = {device.name: device for device in settled or ()}
        round_ = self._begin()
        for name, station in list(self._stations.items()):
            device = self._devices.get(name)
            if device and (device.mode, device.location) != (station.home_mode, station.home_location):
                fresh = Station.at_home(name, device.mode, device.location)
                self._stations[name] = round_.batch.stations[name] = fresh
        self._close(round_)

    def _begin(self) -> Round:
        batch = self._writer.batch()
        if batch.stamp.quality == "none":
            return Round(batch, None)
        return Round(batch, datetime.fromtimestamp(batch.stamp.wall_us / 1e6, self._zone).date().isoformat())

    def _moment(self, round_: Round, station: str, age_ms: int) -> Moment:
        stamp = round_.batch.stamp
        now_s = stamp.mono_ns / 1e9 - age_ms / 1000
        _, last_s = self._last_scan.get(station, ("", now_s))
        return Moment(
            now_s=now_s,
            idle_s=now_s - last_s,
            occurred_us=stamp.wall_us - age_ms * 1000,
            quality=stamp.quality,
            today=round_.today,
            block_expired=self._block_expired,
            rcn_region=self._shop.rcn_region,
            rcn_template=self._shop.rcn_template,
        )

    def _clock_text(self, wall_us: int) -> str:
        return datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone(self._zone).strftime("%H:%M:%S")

    def _station(self, name: str) -> Station:
        """A device that nobody configured (a page, a tool) is a station in look-up mode."""
        if name not in self._stations:
            device = self._devices.get(name)
            mode, location = (device.mode, device.location) if device else ("look", "shop")
            self._stations[name] = Station.at_home(name, mode, location)
        return self._stations[name]

    def _is_bounce(self, device: str, scan: Scan, moment: Moment) -> bool:
        """The very previous reading was the same code, milliseconds ago: the trigger bounced."""
        known = self._devices.get(device)
        data, _ = self._last_scan.get(device, ("", 0.0))
        self._last_scan[device] = (scan.data, moment.now_s)
        return known is not None and data == scan.data and moment.idle_s < known.bounce_ms / 1000

    def _publish(self, events: list[Event], *, devices_changed: bool = False) -> None:
        """Tell whoever listens, in a moment."""
        self._news = [*self._news, *events][-EVENTS_PER_HINT_MAX:]
        self._devices_changed |= devices_changed
        self._hint_due_s = min(self._hint_due_s, time.monotonic() + HINT_AFTER_S)

    def _send_hint(self) -> None:
        hint = Hint(self._writer.last_seq, self._news, self._devices_changed)
        self._news, self._devices_changed, self._hint_due_s = [], False, math.inf
        with contextlib.suppress(zmq.Again):  # nobody listens fast enough: the ledger is the truth
            self._hints.send(encode(hint), zmq.NOBLOCK)

    def _kept_stations(self) -> dict[str, Station]:
        """Modes survive a power cut, but not a night: who was away for longer begins at home."""
        stations = {}
        oldest_us = self._writer.clock.now().wall_us - int(HOME_AFTER_S * 1_000_000)
        for name, mode, location, state, used_us in self._writer.connection.execute(
            """SELECT device, mode, loc, state, max(since_us, coalesce((SELECT max(wall_us) FROM movement
                 WHERE seq > (SELECT max(seq) FROM movement) - ? AND movement.device = station.device), 0))
               FROM station""",
            (UNDO_ROWS_MAX,),
        ):
            if (device := self._devices.get(name)) and used_us >= oldest_us:
                home = Station.at_home(name, device.mode, device.location)
                kept = msgspec.json.decode(state, type=dict[str, str])
                stations[name] = replace(
                    home, mode=mode, location=location, reason=kept["reason"], destination=kept["destination"]
                )
        return stations


def _kept(station: Station) -> tuple[str, str, str, str]:
    """What of a station is on disk."""
    return station.mode, station.location, station.reason, station.destination
