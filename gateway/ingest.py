"""The loop that turns readings into the ledger: receive, one transaction, acknowledge.

What becomes of each reading is the clerk's (`gateway.clerk`). Group commit: what has arrived is taken without
waiting, committed once and answered. Nothing is answered before COMMIT has returned, so whoever hears the beep
may rely on it.
"""

import contextlib
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

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
from drivers.contract import Outcome
from gateway import care
from gateway.clerk import Clerk, Round
from gateway.config import Device, Settings
from gateway.ledger.runs import Runs, forget_earlier
from gateway.ledger.shelves import LedgerShelves
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import Batch, NotRecording, Seen, Writer
from gateway.rounds import rounds

READINGS_PER_COMMIT_MAX = 256
QUIET_POLL_S = 1.0
CURSOR_ALONE_AFTER_S = 0.25  # the acknowledged cursor rides with the next movement, or goes alone after this
TRY_AGAIN_EVERY_S = 1.0  # while the ledger cannot commit
EVENTS_PER_HINT_MAX = 20
HINT_AFTER_S = 0.002  # the beep goes first: pump and pages, woken at once, would take its processor


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
        self._zone = ZoneInfo(settings.shop.timezone)
        self._settled: tuple[Device, ...] | None = None  # settings that were read again, not taken up yet
        self._peers: dict[str, bytes] = {}  # where each driver is on the bus
        self._writer = writer
        self._telemetry = telemetry
        self._inlet = inlet
        self._hints = hints
        self._heartbeat = heartbeat
        self._shelves = LedgerShelves(writer.connection)
        self._clerk = Clerk(settings, writer, telemetry, self._shelves, self._peers)
        self._runs = Runs()
        self._blocks: dict[str, str] = {}  # device -> hardware, not yet in the ledger
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
                self._close(self._clerk.begin())
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
        round_ = self._clerk.begin()
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
                again, kept = self._clerk.enter(round_, delivery, at, reading)
                durable = durable or kept
            outcomes.append(again)
        last_seq = delivery.first_seq + len(outcomes) - 1
        if durable:
            round_.marks.append((run, run.high_seq))
            run.high_seq = max(run.high_seq, last_seq)
            seen = Seen(device, boot, delivery.first_seq, last_seq, delivery.acked_through, outcomes)
            round_.batch.seen.append(seen)
        round_.replies.append((peer, Acks(boot, delivery.first_seq, outcomes)))

    def _book_what_was_named(self) -> int:
        """Parked scans whose code has a name: how many were booked.

        At the start, too: a kill, or a disk that failed, may have come between a name and the scans that waited.
        """
        booked = 0
        with contextlib.suppress(sqlite3.Error):  # of the disk: whoever scans next hears of it
            for round_, scans in self._clerk.rounds_of_parked():
                self._close(round_)
                booked += scans
        return 0 if self._problem else booked

    def _close(self, round_: Round, problem: Outcome | None = None) -> None:
        """Commit; then, and only then, answer."""
        if problem := problem or self._commit(round_.batch):
            self._clerk.stations.put_back(round_.stations)
            for run, high_seq in reversed(round_.marks):
                run.high_seq = high_seq
            round_.replies = [
                (peer, Acks(acks.boot, acks.first_seq, [problem] * len(acks.outcomes)))
                for peer, acks in round_.replies
            ]
            round_.events = [Event("ledger", problem.code, problem.text, "", round_.batch.stamp.wall_us)]
        else:
            if round_.items_changed:
                self._answer_with_what_was_parked(round_)
            for peer, word in round_.words:
                self._inlet.send(peer, word)
        for peer, acks in round_.replies:
            self._inlet.send(peer, acks)
        if round_.events or round_.batch.rows:
            self._publish(round_.events)

    def _answer_with_what_was_parked(self, round_: Round) -> None:
        """Items are there that were not: what waited for them is booked before their sender has his answer."""
        self._shelves.forget(self._writer.connection)
        if booked := self._book_what_was_named():
            for _, acks in round_.replies:
                last = acks.outcomes[-1]
                acks.outcomes[-1] = replace(last, text=f"{last.text}; {booked} parked scans booked")

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
        round_ = self._clerk.begin()
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
            round_ = self._clerk.begin()
            round_.batch.statements += forget_earlier(device, boot)
            self._close(round_)
            return
        try:
            owed = self._runs.never_voiced(ledger, device, boot, hello.earlier)
        except sqlite3.Error as error:  # the driver keeps its record, and asks again
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
        if status.state != "blocked":
            self._blocks.pop(status.device, None)
        elif self._telemetry.state_of(status.device) != "blocked":
            self._blocks[status.device] = status.hardware
        if self._blocks:
            self._keep_blocks()
        known = self._clerk.stations.devices.get(status.device)
        self._telemetry.device(status.device, known.driver if known else "", status.state, status.text)
        self._telemetry.counted(status.device, status.counts)
        self._heartbeat(status.device)

    def _keep_blocks(self) -> None:
        """Each once, when it is news: a heartbeat that was under way while a person freed it blocks nothing again."""
        round_ = self._clerk.begin()
        round_.batch.statements += [care.keep_block(*block) for block in self._blocks.items()]
        self._close(round_)
        if not self._problem:  # else with the next heartbeat
            self._blocks.clear()

    def _heard_progress(self, progress: Progress) -> None:
        if progress.link:
            self._telemetry.link("back office", progress.link, progress.note)
        if progress.seq:
            if not self._cursors:
                self._cursor_since_s = time.monotonic()
            self._cursors[progress.lane] = (progress.epoch, progress.seq)

    def settle(self, devices: tuple[Device, ...]) -> None:
        """From another thread: what the settings say of the devices by now. Taken up between two rounds."""
        self._settled = devices

    def _take_up_settled(self) -> None:
        settled, self._settled = self._settled, None
        round_ = self._clerk.begin()
        self._clerk.stations.take_up(settled or (), round_.batch)
        self._close(round_)

    def _clock_text(self, wall_us: int) -> str:
        return datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone(self._zone).strftime("%H:%M:%S")

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
