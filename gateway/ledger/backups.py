"""The copies of the ledger that there are: which, how old, and how many stay. `recovery` makes and uses them.

A name tells epoch and newest movement, so that the order never depends on a clock.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

KEPT = 7
NAME = re.compile(r"ledger-(\d{3,})-(\d{12})-(\d{8}T\d{4})\.db")


@dataclass(frozen=True, slots=True)
class Backup:
    """One finished copy. `made_at` is what the machine's clock said; the order is that of epoch and seq."""

    path: Path
    epoch: int
    last_seq: int
    made_at: str  # YYYYMMDDTHHMM, the shop's time
    bytes: int


def name_of(epoch: int, last_seq: int, now: datetime) -> str:
    return f"ledger-{epoch:03}-{last_seq:012}-{now:%Y%m%dT%H%M}.db"


def backups(folder: Path) -> list[Backup]:
    """Every finished copy, the newest first."""
    found = [
        Backup(path, int(name[1]), int(name[2]), name[3], path.stat().st_size)
        for path in folder.glob("ledger-*.db")
        if (name := NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda one: (one.epoch, one.last_seq, one.made_at), reverse=True)


def prune(folder: Path, kept: int) -> list[Backup]:
    """Let all but the newest `kept` go; which those were.

    Of several copies with the same newest movement the last one made counts alone: a shop that is closed for a
    week keeps its history of copies, not seven times the same.
    """
    found = backups(folder)
    twins = [later for one, later in pairwise(found) if _same(one, later)]
    gone = twins + [one for one in found if one not in twins][kept:]
    for one in gone:
        one.path.unlink()
    return gone


def _same(one: Backup, other: Backup) -> bool:
    return (one.epoch, one.last_seq) == (other.epoch, other.last_seq)
