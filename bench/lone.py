"""A scan 4 ms after the last was acknowledged: to its acknowledgement, beside the floor; to the broker."""

import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.world import GATEWAY_CPU, OUR_ACK, OUR_MARK, OUR_TOPIC, Broker, Counter, ended, started
from gateway.measure.pace import FsyncProbe, paced
from gateway.measure.processes import percentile
from gateway.measure.stage import ITEMS, Line, Stage, scans

EVERY_S = 0.004


class Lone(NamedTuple):
    """Milliseconds. `broker_*`: nan where none was there; `fsync_*`: a bare flush in the same seconds."""

    ack_p50: float
    ack_p99: float
    broker_p50: float
    broker_p99: float
    fsync_p50: float
    fsync_p99: float


def floor(folder: Path, count: int) -> Lone:
    with ExitStack() as world:
        folder.mkdir(parents=True, exist_ok=True)
        line = world.enter_context(closing(Line(folder / "floor.tty")))
        process = started(
            [sys.executable, "-m", "bench.scan_floor", line.port, str(folder / "floor.db")], GATEWAY_CPU
        )
        world.callback(ended, process)
        line.write(scans(0, 1))
        while not line.beeps(0.1):
            pass
        probe = world.enter_context(closing(FsyncProbe(folder)))
        waits_s = paced(line, 1, count, EVERY_S, ITEMS, patient=True).waits_s
        return lone(waits_s, [], probe.took_s)


def ours(folder: Path, ram: Path, count: int) -> Lone:
    with ExitStack() as world:
        broker = world.enter_context(closing(Broker(ram / "broker")))
        counter = world.enter_context(
            closing(Counter(ram / "count", broker.port, OUR_TOPIC, OUR_MARK, OUR_ACK))
        )
        stage = world.enter_context(closing(Stage(folder, mqtt_port=broker.port, cpu=GATEWAY_CPU)))
        stage.open()
        stage.wait(lambda: stage.confirmed_seq() == stage.last_seq(), "everything is confirmed")
        time.sleep(1.0)
        already = counter.events
        probe = world.enter_context(closing(FsyncProbe(folder)))
        run = paced(stage.lines[0], stage.scanned, count, EVERY_S, ITEMS, patient=True)
        counter.wait(already + count, 10)
        arrived = arrival_times(counter.arrivals(), already, count)
        to_broker_s = [at_s - sent_s for at_s, sent_s in zip(arrived, run.sent_s, strict=True)]
        return lone(run.waits_s, to_broker_s, probe.took_s)


def arrival_times(arrivals: list[tuple[int, float]], already: int, count: int) -> list[float]:
    """When each of `count` events after the first `already` arrived: all of a bunch at the bunch's time."""
    times: list[float] = []
    for events, at_s in arrivals:
        times += [at_s] * (min(events - already, count) - len(times))
    return times


def lone(waits_s: list[float], to_broker_s: list[float], fsync_s: list[float]) -> Lone:
    figures = [
        percentile(values, share) * 1000
        for values in (waits_s, to_broker_s, fsync_s)
        for share in (0.5, 0.99)
    ]
    return Lone(*figures)


def middle(rounds: list[Lone]) -> Lone:
    return Lone(*map(median, zip(*rounds, strict=True)))


if __name__ == "__main__":
    from bench.world import take_the_stage

    print(take_the_stage())
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as ram, tempfile.TemporaryDirectory() as folder:
            print("floor", floor(Path(folder) / "f", 500))
            print("ours", ours(Path(folder) / "o", Path(ram), 500))
