"""Sustained: scans as fast as the line takes them, until the last one is at the broker. Beside the floor, in turn."""

import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.world import (
    FLOOR_MARK,
    FLOOR_TOPIC,
    GATEWAY_CPU,
    OUR_ACK,
    OUR_MARK,
    OUR_TOPIC,
    BackOffice,
    Broker,
    Counter,
    ended,
    started,
)
from gateway.measure.processes import named, used
from gateway.measure.stage import ITEMS, Line, Stage, scans

WITHIN_S = 60.0


class Stream(NamedTuple):
    events_a_s: float
    cpu_us: float  # per event, over all processes of the gateway
    parts_us: dict[str, float]  # the same by process


def floor(folder: Path, ram: Path, events: int) -> Stream:
    with ExitStack() as world:
        broker = world.enter_context(closing(Broker(ram / "broker")))
        counter = world.enter_context(closing(Counter(ram / "count", broker.port, FLOOR_TOPIC, FLOOR_MARK)))
        folder.mkdir(parents=True, exist_ok=True)
        line = world.enter_context(closing(Line(folder / "floor.tty")))
        command = [sys.executable, "-m", "bench.wire_floor", line.port, str(folder / "floor.db")]
        process = started([*command, str(broker.port)], GATEWAY_CPU)
        world.callback(ended, process)
        while not counter.events:  # the line counts from when the floor has opened it
            line.write(scans(0, 1))
            time.sleep(0.05)
        time.sleep(0.5)
        data, already = scans(0, events, ITEMS), counter.events
        before = used([process.pid])
        line.write(data)
        done_s = counter.wait(already + events, WITHIN_S)
        spent = used([process.pid]).since(before)
        return Stream(events / (done_s - before.at_s), spent.cpu_s / events * 1e6, {})


def ours(folder: Path, ram: Path, events: int, *, real_back_office: bool = False) -> Stream:
    """With the light subscriber confirming, or with the back office itself doing so."""
    with ExitStack() as world:
        broker = world.enter_context(closing(Broker(ram / "broker")))
        ack = "" if real_back_office else OUR_ACK
        counter = world.enter_context(closing(Counter(ram / "count", broker.port, OUR_TOPIC, OUR_MARK, ack)))
        stage = Stage(folder, reply="none", mqtt_port=broker.port, cpu=GATEWAY_CPU)
        world.enter_context(closing(stage))
        if real_back_office:
            world.enter_context(closing(BackOffice(stage.config)))
        stage.open()
        stage.wait(lambda: stage.confirmed_seq() == stage.last_seq(), "the back office has confirmed")
        time.sleep(0.5)
        data, already, seq = scans(0, events), counter.events, stage.last_seq()
        pids = stage.pids()
        parts = {name: used([pid]) for name, pid in named(pids).items()}
        before = used(pids)
        stage.lines[0].write(data)
        done_s = counter.wait(already + events, WITHIN_S)
        if real_back_office:
            stage.wait(lambda: stage.confirmed_seq() == seq + events, "the back office has confirmed")
            done_s = time.monotonic()
        spent = used(pids).since(before)
        each = {
            name: (used([pid]).cpu_s - parts[name].cpu_s) / events * 1e6 for name, pid in named(pids).items()
        }
        return Stream(events / (done_s - before.at_s), spent.cpu_s / events * 1e6, each)


def middle(streams: list[Stream]) -> Stream:
    parts = {name: median(one.parts_us.get(name, 0.0) for one in streams) for name in streams[0].parts_us}
    return Stream(median(one.events_a_s for one in streams), median(one.cpu_us for one in streams), parts)


if __name__ == "__main__":
    from bench.world import take_the_stage

    print(take_the_stage())
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as ram, tempfile.TemporaryDirectory() as folder:
            print("floor", floor(Path(folder) / "f", Path(ram), 30_000))
            print("ours", ours(Path(folder) / "o", Path(ram), 30_000))
            print("with back office", ours(Path(folder) / "b", Path(ram), 30_000, real_back_office=True))
