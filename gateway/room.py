"""How full the ledger's disk is: what a person is told at 80, 90 and 95 %, and what is thrown away for it.

When there is hardly any room left, what can be measured or made again goes: first old samples of sensors, then
all backups but the newest. The ballast is the ledger's own last resort (`gateway.ledger.files`).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.ledger import backups

LEVELS = ((80, "info"), (90, "warning"), (95, "critical"))  # percent used, and how serious that is
STEADY_PERCENT = 2.0  # a disk at the border is one notice, not one an hour
TIGHT_BYTES = 64 * 1024 * 1024  # less than this and less than TIGHT_SHARE of the disk: something must go
TIGHT_SHARE = 0.05
KIND = "disk"  # of the alert; its subject is the level


@dataclass(frozen=True, slots=True)
class Room:
    """What the file system of a folder has."""

    used_percent: float
    free_bytes: int
    size_bytes: int

    @property
    def tight(self) -> bool:
        return self.free_bytes < min(TIGHT_BYTES, TIGHT_SHARE * self.size_bytes)


def room(folder: Path) -> Room:
    """As `df` counts: what only root may use is not free."""
    state = os.statvfs(folder)
    used, free = state.f_blocks - state.f_bfree, state.f_bavail
    percent = 100 * used / max(1, used + free)
    return Room(percent, free * state.f_frsize, state.f_blocks * state.f_frsize)


def level_of(used_percent: float, before: int = 0) -> int:
    """The highest level reached, 0 for none; the one from `before` stays until the disk is well below it."""
    reached = max((level for level, _ in LEVELS if used_percent >= level), default=0)
    return before if reached < before and used_percent > before - STEADY_PERCENT else reached


def notices(found: Room, already: set[int]) -> list[dict[str, Any]]:
    """Documents of kind "notice": what is new, and what is over. `already`: what was `told`."""
    level = level_of(found.used_percent, max(already, default=0))
    said = [{"kind": KIND, "subject": str(old), "over": True} for old in sorted(already - {level})]
    if level and level not in already:
        text = (
            f"the disk is {found.used_percent:.0f} % full, {found.free_bytes / 1e6:,.0f} MB are left:"
            " delete what is not needed, or storekeeper backup prune --keep 1"
        )
        severity = dict(LEVELS)[level]
        said.append({"kind": KIND, "subject": str(level), "severity": severity, "text": text, "data": {}})
    return said


def told(open_alerts: Iterable[tuple[str, str]]) -> set[int]:
    """Levels of which a notice is open, among all (kind, subject) that are."""
    return {int(subject) for kind, subject in open_alerts if kind == KIND}


def let_backups_go(folder: Path, data_dir: Path) -> int:
    """All but the newest, when they are on the ledger's own disk; how many went."""
    if not folder.exists() or folder.stat().st_dev != data_dir.stat().st_dev:
        return 0
    return len(backups.prune(folder, 1))
