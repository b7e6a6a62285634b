"""What a tree of processes costs, as the kernel counts it: processor time, memory, bytes sent to the disk."""

import os
import time
from pathlib import Path
from typing import NamedTuple

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """What a tree of processes has used since it was started."""

    at_s: float  # monotonic
    cpu_s: float
    written_bytes: (
        int  # towards the disk, by write_bytes of /proc/PID/io: pages, before the file system's own
    )

    def since(self, before: "Used") -> "Used":
        return Used(
            self.at_s - before.at_s, self.cpu_s - before.cpu_s, self.written_bytes - before.written_bytes
        )


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    pids = [pid]
    for one in pids:  # grows while it is walked
        for task in _listed(Path(f"/proc/{one}/task")):
            pids += [int(child) for child in _read(task / "children").split()]
    return pids


def used(pids: list[int]) -> Used:
    return Used(time.monotonic(), sum(map(_cpu_s, pids)), sum(map(_written_bytes, pids)))


def pss_mib(pids: list[int]) -> float:
    """Memory with shared pages split among those that share them, so that a sum over processes is true."""
    return sum(_pss_kib(pid) for pid in pids) / 1024


def named(pids: list[int]) -> dict[str, int]:
    """The processes of a daemon: core, nursery, and its children as `ps` calls them."""
    core, nursery, *children = pids
    names = {_read(Path(f"/proc/{pid}/comm")).strip().removeprefix("sk:"): pid for pid in children}
    return {"core": core, "nursery": nursery, **names}


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed; nan of nothing."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _cpu_s(pid: int) -> float:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND if fields else 0.0


def _written_bytes(pid: int) -> int:
    return _labelled(Path(f"/proc/{pid}/io"), "write_bytes:")


def _pss_kib(pid: int) -> int:
    return _labelled(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def _labelled(path: Path, label: str) -> int:
    for line in _read(path).splitlines():
        if line.startswith(label):
            return int(line.split()[1])
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended while we looked
        return ""


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
