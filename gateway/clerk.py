"""What becomes of each reading: at which station, what it means, what of it goes into the round under way.

Nothing is committed and nobody is answered here: that is `gateway.ingest`'s.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from drivers.bus import Acks, Command, Delivery, Event
from drivers.contract import AnyReading, Document, Garbled, Humidity, Outcome, Scan, Temperature, Weight
from gateway import care
from gateway.config import Settings
from gateway.documents import NEGATIVE, TypedScan, understood
from gateway.interpret import Effect, Moment, interpret
from gateway.ledger.master import document_answered, parked_is
from gateway.ledger.runs import Run
from gateway.ledger.shelves import LedgerShelves, ParkedScan
from gateway.ledger.stations import Stations
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import AlertClosed, AlertRaised, Batch, Writer
from gateway.stock.movements import Draft
from gateway.stock.stations import MODES, Station

ROWS_PER_ROUND_MAX = 256  # of parked scans that are booked together
OK = Outcome("ok")


@dataclass(slots=True)
class Round:
    """One transaction under way: what it books, and what may be said once it is on disk."""

    batch: Batch
    today: str | None  # in the shop; None while the clock is not trusted
    replies: list[tuple[bytes, Acks]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    words: list[tuple[bytes, Command]] = field(default_factory=list)  # to drivers
    marks: list[tuple[Run, int]] = field(default_factory=list)  # high-water marks as they were
    stations: dict[str, Station] = field(default_factory=dict)  # stations as they were
    items_changed: bool = False  # what was parked under their codes may be booked after this


class Clerk:
    """`shelves` answer from the writer's own connection; `peers`: where each driver is on the bus."""

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        telemetry: Telemetry,
        shelves: LedgerShelves,
        peers: Mapping[str, bytes],
    ) -> None:
        self._shop = settings.shop
        self._zone = ZoneInfo(settings.shop.timezone)
        self._block_expired = settings.shop.expired == "block"
        self._writer = writer
        self._telemetry = telemetry
        self._shelves = shelves
        self._peers = peers
        self.stations = Stations(settings.devices, writer.connection, writer.clock.now().wall_us)

    def begin(self) -> Round:
        batch = self._writer.batch()
        if batch.stamp.quality == "none":
            return Round(batch, None)
        return Round(batch, datetime.fromtimestamp(batch.stamp.wall_us / 1e6, self._zone).date().isoformat())

    def enter(self, round_: Round, delivery: Delivery, at: int, reading: AnyReading) -> tuple[Outcome, bool]:
        """What became of one reading, and whether that has to be remembered on disk."""
        idem = f"{delivery.device}/{delivery.boot}/{delivery.first_seq + at}"
        if isinstance(reading, Scan):
            moment = self._moment(round_, delivery.device, delivery.ages_ms[at])
            if self.stations.is_bounce(delivery.device, reading, moment.now_s):
                return OK, True
            station = self.stations.of(delivery.device)
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

    def rounds_of_parked(self) -> Iterator[tuple[Round, int]]:
        """Every parked scan whose code has a name by now: rounds to be closed, and how many are in each."""
        waiting = self._shelves.parked_that_have_a_name()
        while waiting:
            round_, booked = self.begin(), 0
            while waiting and len(round_.batch.rows) < ROWS_PER_ROUND_MAX:
                booked += self._book_parked(round_, waiting.popleft())
            yield round_, booked

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
        self.stations.change(station, batch, round_.stations)
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
        if answered := self._shelves.document_answer(device, external_id):
            return answered, False
        try:
            if document.kind == "scan":
                body = msgspec.convert(document.body, TypedScan, strict=False)
                outcome, kept = self._scan_for(round_, body, device, delivery.ages_ms[at], idem)
            elif document.kind in care.KINDS:
                outcome, kept = self._word(round_, document)
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

    def _scan_for(
        self, round_: Round, typed: TypedScan, device: str, age_ms: int, idem: str
    ) -> tuple[Outcome, bool]:
        """A code typed on a page or a command line, as if the station `device` had scanned it."""
        station = self.stations.of(typed.device or device)
        if typed.mode:
            if typed.mode not in MODES.values():
                text = f"{typed.mode!r} is no mode; use one of: {', '.join(MODES.values())}"
                return Outcome("refused", text), False
            station = replace(station.home(), mode=typed.mode)
        moment = self._moment(round_, station.device, age_ms)
        if typed.qty:
            station = replace(station, next_quantity=typed.qty, next_quantity_s=moment.now_s)
        scan = Scan(typed.code, typed.aim or None)
        self.stations.typed(station.device, moment.now_s)
        if scan.data == "SK/UNDO" and (parked := self._shelves.last_parked(station.device)):
            return self._forget_parked(round_, station, parked)
        effect = interpret(scan, station, self._shelves, moment)
        if typed.mode:  # for this one scan only
            effect = replace(effect, station=self.stations.of(station.device))
        return self._carry_out(round_, effect, scan, device, idem)

    def _word(self, round_: Round, document: Document) -> tuple[Outcome, bool]:
        """To a device, or about one."""
        peer = self._peers.get(str(document.body.get("name", "")))
        if document.kind == "device" and document.body["do"] != "confirm" and peer is None:
            return Outcome("refused", f"{document.body['name']} is not running"), False
        outcome, word = care.heed(document.kind, document.body, round_.batch)
        if word and peer:
            round_.words.append((peer, word))
        return outcome, outcome.code == "ok"

    def _carry_out_document(
        self, round_: Round, document: Document, device: str, idem: str
    ) -> tuple[Outcome, bool]:
        batch = round_.batch
        meaning = understood(
            document.kind, document.external_id, document.body, self._shelves, batch.stamp.wall_us
        )
        outcome = meaning.outcome
        if outcome.code == "refused":
            return outcome, False
        batch.statements += meaning.statements
        batch.alerts += meaning.alerts
        round_.items_changed = meaning.items_changed
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

    def _book_parked(self, round_: Round, parked: ParkedScan) -> bool:
        """As it would have been booked when it was scanned, had its code had a name."""
        device, boot, seq, what, wall_us, quality = parked
        moment = replace(self._moment(round_, device, 0), idle_s=0.0, occurred_us=wall_us, quality=quality)
        station = replace(
            Station.at_home(device, what.mode, what.location),
            reason=what.argument if what.mode == "waste" else "",
            destination=what.argument if what.mode == "move" else "",
            next_quantity=what.quantity if what.quantity > 1 else 0,
            next_quantity_s=moment.now_s,
        )
        scan = Scan(what.data, what.aim)
        effect = interpret(scan, station, self._shelves, moment)
        if not effect.drafts:
            return False
        effect = replace(effect, station=self.stations.of(device))
        self._carry_out(round_, effect, scan, device, f"{device}/{boot}/{seq}")
        round_.batch.statements.append(parked_is("booked", device, boot, seq))
        return True

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

    def _moment(self, round_: Round, station: str, age_ms: int) -> Moment:
        stamp = round_.batch.stamp
        now_s = stamp.mono_ns / 1e9 - age_ms / 1000
        return Moment(
            now_s=now_s,
            idle_s=self.stations.idle_s(station, now_s),
            occurred_us=stamp.wall_us - age_ms * 1000,
            quality=stamp.quality,
            today=round_.today,
            block_expired=self._block_expired,
            rcn_region=self._shop.rcn_region,
            rcn_template=self._shop.rcn_template,
        )
