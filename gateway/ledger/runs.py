"""Which readings are in the ledger already, what was answered to them, and what was never voiced."""

import sqlite3
from dataclasses import dataclass

from drivers.contract import AnyReading, Outcome, Scan
from gateway.ledger.master import Statement
from gateway.ledger.writer import Seen, outcomes_seen

RUNS_MAX = 256
BOOTS_KEPT = 8  # of each device, against a reading that was under way for a very long time
LATE_WITHIN_US = 60_000_000  # what was booked longer ago than this before the break is not announced
SILENT = ("shown", "refused", "garbled")  # outcomes that nobody misses


@dataclass(slots=True)
class Run:
    """One run of a driver: its readings up to `high_seq` are in the ledger."""

    device: str
    boot: str
    high_seq: int


class Runs:
    """The high-water mark of every run that we hear of; the unique index on `idem` stays the judge."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Run] = {}

    def of(self, ledger: sqlite3.Connection, device: str, boot: str) -> Run:
        run = self._known.get((device, boot))
        if run is None:
            row = ledger.execute(
                "SELECT high_seq FROM device_boot WHERE device = ? AND boot = ?", (device, boot)
            ).fetchone()
            run = self._known[device, boot] = Run(device, boot, row[0] if row else 0)
            if len(self._known) > RUNS_MAX:
                del self._known[next(iter(self._known))]
        return run

    def answered(
        self, ledger: sqlite3.Connection, under_way: list[Seen], run: Run, seq: int, reading: AnyReading
    ) -> Outcome | None:
        """The outcome that this reading was given; None when it is not in the ledger after all.

        `under_way`: what the transaction just being made answers; after a slow flush a reading and its resend
        arrive together. The same number with other content is refused: somebody's driver counts wrong (I6).
        """
        outcome = _of_this_batch(under_way, run, seq) or _of_the_ledger(ledger, run, seq)
        if outcome and isinstance(reading, Scan) and outcome.about and outcome.about != reading.data:
            text = f"reading {seq} was {outcome.about!r} before: the driver counts wrong"
            return Outcome("refused", text)
        if outcome is None and _is_booked(ledger, run, seq):
            return Outcome("refused", f"reading {seq} was booked and voiced before: the driver counts wrong")
        return outcome

    def never_voiced(
        self, ledger: sqlite3.Connection, device: str, boot: str, earlier: list[tuple[str, int]]
    ) -> list[tuple[int, Outcome]]:
        """(wall_us, outcome) of what earlier runs of this driver booked and may never have said.

        `earlier` is the driver's own record. Without one (a power cut took it) all that is still kept of its
        newest earlier run is announced: better twice than never.
        """
        found = [
            (wall_us, outcome)
            for old, through in earlier or _newest_before(ledger, device, boot)
            for _, wall_us, outcome in outcomes_seen(ledger, device, old, through)
            if outcome.code not in SILENT
        ]
        newest_us = max((wall_us for wall_us, _ in found), default=0)
        return [(wall_us, outcome) for wall_us, outcome in found if wall_us >= newest_us - LATE_WITHIN_US]


def forget_earlier(device: str, boot: str) -> list[Statement]:
    """What earlier runs owed was said: their answers go, and all but the mark of the newest runs."""
    return [
        ("DELETE FROM reading_seen WHERE device = ? AND boot <> ?", (device, boot)),
        (
            "DELETE FROM device_boot WHERE device = ?1 AND boot <> ?2 AND started_us <"
            " (SELECT min(started_us) FROM (SELECT started_us FROM device_boot WHERE device = ?1"
            f" ORDER BY started_us DESC LIMIT {BOOTS_KEPT}))",
            (device, boot),
        ),
    ]


def _of_this_batch(under_way: list[Seen], run: Run, seq: int) -> Outcome | None:
    for seen in under_way:
        if (seen.device, seen.boot) == (run.device, run.boot) and seen.first_seq <= seq <= seen.last_seq:
            return seen.outcomes[seq - seen.first_seq]
    return None


def _of_the_ledger(ledger: sqlite3.Connection, run: Run, seq: int) -> Outcome | None:
    for known_seq, _, outcome in outcomes_seen(ledger, run.device, run.boot, seq - 1):
        if known_seq == seq:
            return outcome
    return None


def _is_booked(ledger: sqlite3.Connection, run: Run, seq: int) -> bool:
    key = f"{run.device}/{run.boot}/{seq}/0"
    return ledger.execute("SELECT 1 FROM movement WHERE idem = ?", (key,)).fetchone() is not None


def _newest_before(ledger: sqlite3.Connection, device: str, boot: str) -> list[tuple[str, int]]:
    return ledger.execute(
        "SELECT boot, acked_through FROM device_boot WHERE device = ? AND boot <> ?"
        " ORDER BY started_us DESC LIMIT 1",
        (device, boot),
    ).fetchall()
