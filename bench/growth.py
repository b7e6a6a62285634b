"""A small ledger and one a hundred times as large: what may not grow."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.world import GATEWAY_CPU
from gateway.ledger.feed import next_movements
from gateway.ledger.queries import connect
from gateway.ledger.shelves import LedgerShelves
from gateway.measure.pace import paced
from gateway.measure.processes import percentile, pss_mib
from gateway.measure.stage import Stage, code_of, fill

QUERIES, ROUNDS = 300, 9
SCANS, EVERY_S = 300, 0.005
BATCH = 100


class Costs(NamedTuple):
    balance_us: float  # processor time of one balance query
    batch_us: float  # of the next 100 movements for the back office
    ack_p50_ms: float
    memory_mib: float


def ledger(folder: Path, movements: int, items: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    fill(folder, items, movements)
    return folder


def costs(folder: Path, items: int) -> Costs:
    with closing(connect(folder / "ledger.db")) as opened:
        balance_us = _micros(
            lambda at: LedgerShelves(opened).on_hand(code_of(at * 31 % items).zfill(14), "shop")
        )
        (last,) = opened.execute("SELECT max(seq) FROM movement").fetchone()
        batch_us = _micros(lambda _: next_movements(opened, last - BATCH, BATCH))
    with closing(Stage(folder, items=items, cpu=GATEWAY_CPU)) as stage:
        stage.open()
        run = paced(stage.lines[0], stage.scanned, SCANS, EVERY_S, items)
        return Costs(balance_us, batch_us, percentile(run.waits_s, 0.5) * 1000, pss_mib(stage.pids()))


def _micros(ask: Callable[[int], object]) -> float:
    """Processor microseconds of one question, the middle of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begin_s = time.process_time()
        for at in range(QUERIES):
            ask(at)
        rounds.append((time.process_time() - begin_s) / QUERIES * 1e6)
    return median(rounds)
