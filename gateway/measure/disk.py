"""What reaches the disk, as the kernel counts it for the processes: log, book and telemetry, checkpoints included."""

import time

from gateway.measure.pace import paced
from gateway.measure.processes import used
from gateway.measure.stage import Stage, scans

LONE_EVERY_S = 0.02


def bytes_per_lone_scan(stage: Stage, count: int) -> float:
    """Scans that come one by one. Enough of them, and checkpoints are among them."""
    pids = stage.pids()
    before = used(pids)
    paced(stage.lines[0], stage.scanned, count, LONE_EVERY_S, stage.items)
    stage.scanned += count
    time.sleep(1.5)  # telemetry writes once a second
    return used(pids).since(before).written_bytes / count


def bytes_per_scan_in_bursts(stage: Stage, count: int) -> float:
    pids, seq = stage.pids(), stage.last_seq()
    before = used(pids)
    stage.lines[0].swallow(scans(stage.scanned, count, stage.items))
    stage.scanned += count
    stage.wait(lambda: stage.last_seq() >= seq + count, "the burst is in the ledger", 60.0)
    stage.settle()
    time.sleep(1.5)
    return used(pids).since(before).written_bytes / count
