"""The broker was away and is back: how soon the backlog is delivered and confirmed, and how scans fare meanwhile."""

import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.world import GATEWAY_CPU, OUR_MARK, OUR_TOPIC, BackOffice, Broker, Counter
from gateway.measure.pace import FsyncProbe, paced
from gateway.measure.processes import percentile, pss_mib
from gateway.measure.stage import ITEMS, Stage, scans

SCAN_EVERY_S = 0.005
IDLE_SCANS = 400
SCANNING_S = 4.0  # while the backlog drains
WITHIN_S = 90.0


class Drain(NamedTuple):
    delivered_s: float  # all of it at a subscriber, from when the broker was there again
    flowing_s: float  # the same from the first event that arrived
    confirmed_s: float  # all of it confirmed by the back office and remembered in the ledger
    grown_mib: float
    idle_p99_ms: float  # scan -> acknowledged with the broker away
    drain_p99_ms: float  # and while it drains
    fsync_p99_ms: float  # a bare flush in the same seconds


def drain(folder: Path, ram: Path, backlog: int) -> Drain:
    with ExitStack() as world:
        broker = world.enter_context(closing(Broker(ram / "broker")))
        counter = world.enter_context(closing(Counter(ram / "count", broker.port, OUR_TOPIC, OUR_MARK)))
        stage = world.enter_context(closing(Stage(folder, mqtt_port=broker.port, cpu=GATEWAY_CPU)))
        # the back office's own files on tmpfs: its flushes must not look like ours
        office_config = ram / "office.toml"
        for left in ram.glob("office.db*"):  # of the round before
            left.unlink()
        office_config.write_text(
            stage.config.read_text().replace(f"{folder}/backoffice.db", f"{ram}/office.db")
        )
        world.enter_context(closing(BackOffice(office_config)))
        stage.open()
        stage.wait(lambda: stage.confirmed_seq() == stage.last_seq(), "everything is confirmed")
        time.sleep(0.5)
        broker.stop()
        already, seq = counter.events, stage.last_seq()
        stage.lines[0].swallow(scans(stage.scanned, backlog))
        stage.wait(lambda: stage.last_seq() == seq + backlog, "the backlog is in the ledger", WITHIN_S)
        stage.settle()
        idle = paced(stage.lines[0], 0, IDLE_SCANS, SCAN_EVERY_S, ITEMS)
        before_mib = pss_mib(stage.pids())
        back_s = broker.start()
        probe = world.enter_context(closing(FsyncProbe(folder)))
        run = paced(stage.lines[0], 0, int(SCANNING_S / SCAN_EVERY_S), SCAN_EVERY_S, ITEMS)
        target = already + backlog
        counter.wait(target, WITHIN_S)
        first_s = next(at_s for events, at_s in counter.arrivals() if events > already)
        delivered_s = next(at_s for events, at_s in counter.arrivals() if events >= target)
        stage.wait(lambda: stage.confirmed_seq() >= seq + backlog, "the backlog is confirmed", WITHIN_S)
        confirmed_s = time.monotonic()
        stage.settle()
        meanwhile = [
            wait_s
            for sent_s, wait_s in zip(run.sent_s, run.waits_s, strict=True)
            if first_s <= sent_s <= delivered_s
        ]
        return Drain(
            delivered_s - back_s,
            delivered_s - first_s,
            confirmed_s - back_s,
            pss_mib(stage.pids()) - before_mib,
            percentile(idle.waits_s, 0.99) * 1000,
            percentile(meanwhile, 0.99) * 1000,
            percentile(probe.took_s, 0.99) * 1000,
        )


def middle(rounds: list[Drain]) -> Drain:
    return Drain(*map(median, zip(*rounds, strict=True)))


if __name__ == "__main__":
    from bench.world import take_the_stage

    print(take_the_stage())
    with tempfile.TemporaryDirectory(dir="/dev/shm") as ram, tempfile.TemporaryDirectory() as folder:
        print(drain(Path(folder) / "d", Path(ram), int(sys.argv[1])))
