"""A device that takes 5 to 100 ms for each flush and stalls for 500 ms once a minute: scan -> acknowledged.

The delay is a library that is compiled now and preloaded into the daemon (bench/slow_flush.c), not dm-delay: that
target delays every request by a fixed time and knows no stall.
"""

import subprocess
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench.world import GATEWAY_CPU
from gateway.measure.pace import paced
from gateway.measure.processes import percentile
from gateway.measure.stage import ITEMS, Stage

EVERY_S = 0.02


class Stalled(NamedTuple):
    p50_ms: float
    p99_ms: float
    p999_ms: float


def compiled(folder: Path) -> Path:
    """Raises FileNotFoundError when there is no C compiler."""
    library = folder / "slow_flush.so"
    source = Path(__file__).with_name("slow_flush.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


def stalled(folder: Path, ram: Path, seconds: float) -> Stalled:
    environment = {"LD_PRELOAD": str(compiled(ram)), "STALL_EVERY_S": "60"}
    with closing(Stage(folder, cpu=GATEWAY_CPU, environment=environment)) as stage:
        stage.open()
        waits_s = paced(stage.lines[0], stage.scanned, int(seconds / EVERY_S), EVERY_S, ITEMS).waits_s
        return Stalled(*(percentile(waits_s, share) * 1000 for share in (0.5, 0.99, 0.999)))
