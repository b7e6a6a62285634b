"""The figures of this machine as one JSON: what a person with a Raspberry Pi can send in.

Needs nothing but the installed package: a real daemon on ptys, its ledger in the folder that is named.
"""

import os
import platform
import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from gateway.measure.disk import bytes_per_lone_scan, bytes_per_scan_in_bursts
from gateway.measure.pace import FsyncProbe, paced
from gateway.measure.processes import percentile, used
from gateway.measure.rest import THREE, at_rest, memory_mib, start_s
from gateway.measure.stage import Stage, scans

CARD_FORM = 1
STARTS, PACED_SCANS, EVERY_S = 5, 500, 0.02
BURST, IDLE_S = 20_000, 30.0
MODEL = Path("/proc/device-tree/model")
NUL = "\0"


def machine(folder: Path) -> dict[str, Any]:
    """What it is: board or processor, kernel, storage under `folder`, versions."""
    return {
        "storekeeper": version("storekeeper"),
        "machine": _model(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "ram_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "storage": _storage(folder),
    }


def card(folder: Path) -> dict[str, Any]:
    """Measure in `folder`, which has to be on the storage that the ledger will use. Takes about two minutes."""
    figures: dict[str, float] = {}
    with closing(Stage(folder / "shop", THREE)) as stage:
        figures["first_start_s"] = start_s(stage)
        starts_s = []
        for _ in range(STARTS):
            stage.kill()
            starts_s.append(start_s(stage))
        figures["start_after_kill_s"] = median(starts_s)
        with closing(FsyncProbe(folder)) as probe:
            waits_s = paced(stage.lines[0], 0, PACED_SCANS, EVERY_S, stage.items).waits_s
        for name, values in (("scan_to_ack", waits_s), ("bare_flush", probe.took_s)):
            for share in (50, 99):
                figures[f"{name}_p{share}_ms"] = percentile(values, share / 100) * 1000
        figures["bytes_per_lone_scan"] = bytes_per_lone_scan(stage, 200)
        figures["bytes_per_scan_in_bursts"] = bytes_per_scan_in_bursts(stage, BURST)
        figures |= _burst(stage)
        rest = at_rest(stage, IDLE_S)
        figures["idle_cpu_percent"], figures["idle_written_bytes"] = rest.cpu_percent, rest.written_bytes
    figures["memory_mib"], figures["memory_with_page_mib"] = memory_mib(folder)
    rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
    return {"form": CARD_FORM, "load": os.getloadavg()[0], **machine(folder), "figures": rounded}


def _burst(stage: Stage) -> dict[str, float]:
    """Scans as fast as the ledger takes them."""
    data, seq, pids = scans(0, BURST, stage.items), stage.last_seq(), stage.pids()
    before = used(pids)
    stage.lines[0].swallow(data)
    stage.wait(lambda: stage.last_seq() >= seq + BURST, "the burst is in the ledger", 120.0)
    spent = used(pids).since(before)
    return {"burst_scans_a_s": BURST / spent.at_s, "burst_cpu_us_per_scan": spent.cpu_s / BURST * 1e6}


def _model() -> str:
    if MODEL.exists():
        return MODEL.read_text().rstrip(NUL)
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _storage(folder: Path) -> str:
    """Device, file system and the disk's own name, as far as the kernel tells."""
    best = ("", "", "")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, mount, kind, *_ = line.split()
        if folder.absolute().is_relative_to(mount) and len(mount) >= len(best[1]):
            best = (device, mount, kind)
    device, _, kind = best
    block = Path("/sys/class/block") / Path(device).name
    names = [block.resolve() / place for place in ("device/name", "device/model", "../device/name")]
    model = next((name.read_text().strip() for name in names if name.is_file()), "")
    free_gib = shutil.disk_usage(folder).free / 2**30
    return " ".join(part for part in (device, kind, model, f"{free_gib:.0f} GiB free") if part)
