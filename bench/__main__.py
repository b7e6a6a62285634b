"""`make bench`: the figures of must-show 5, each beside its target; medians, floor and gateway in turn in one run.

python -m bench [--quick] [--only stream,lone,drain,rest,idle,disk,stall,growth] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import drain, growth, lone, stall, stream
from bench.world import GATEWAY_CPU, Broker, take_the_stage
from gateway.measure.card import machine
from gateway.measure.disk import bytes_per_lone_scan, bytes_per_scan_in_bursts
from gateway.measure.rest import THREE, at_rest, memory_mib, start_s
from gateway.measure.stage import Stage, fill

FLOOR_HEAD = f"{'what':<58} {'target':>12} {'measured':>12} {'floor':>10} {'ratio':>7}  met"


class Row(NamedTuple):
    """One line of the table. `limit`: of the ratio when there is a floor, else of the figure itself."""

    what: str
    measured: float
    unit: str
    limit: float | None = None
    floor: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        return self.measured / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        judged = self.measured if self.ratio is None else self.ratio
        if self.limit is None:
            return None
        return judged >= self.limit if self.at_least else judged <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        times = " x" if self.floor is not None else ""
        target = f"{sign} {self.limit:g}{times}" if self.limit is not None else ""
        floor = f"{self.floor:.4g}" if self.floor is not None else ""
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else ""
        met = {True: "yes", False: "NO", None: ""}[self.met]
        return f"{f'{self.what}, {self.unit}':<58} {target:>12} {self.measured:>12.4g} {floor:>10} {ratio:>7}  {met}"


class Work(NamedTuple):
    """Where to measure, and how thoroughly."""

    disk: Path  # a folder on the storage that is judged
    ram: Path  # for what must not be judged
    quick: bool


def streams(work: Work) -> Iterator[Row]:
    rounds, events = (2, 15_000) if work.quick else (4, 30_000)
    floors, ours, offices = [], [], []
    for at in range(rounds):
        folder = work.disk / f"stream-{at}"
        floors.append(stream.floor(folder / "floor", work.ram, events))
        ours.append(stream.ours(folder / "ours", work.ram, events))
        offices.append(stream.ours(folder / "office", work.ram, events, real_back_office=True))
    floor, our, office = stream.middle(floors), stream.middle(ours), stream.middle(offices)
    yield Row("sustained, pty to broker", our.events_a_s, "events/s", 0.4, floor.events_a_s, at_least=True)
    yield Row("its processor time", our.cpu_us, "us/event", 3.5, floor.cpu_us)
    for name, cpu_us in our.parts_us.items():
        yield Row(f"  of it {name}", cpu_us, "us/event")
    yield Row("the same, confirmed by the back office", office.events_a_s, "events/s", None, floor.events_a_s)
    yield Row("its processor time", office.cpu_us, "us/event", None, floor.cpu_us)


def lone_scans(work: Work) -> Iterator[Row]:
    rounds, count = (2, 250) if work.quick else (4, 750)
    floors, ours = [], []
    for at in range(rounds):
        folder = work.disk / f"lone-{at}"
        floors.append(lone.floor(folder / "floor", count))
        ours.append(lone.ours(folder / "ours", work.ram, count))
    floor, our = lone.middle(floors), lone.middle(ours)
    yield Row("a scan each 4 ms: to acknowledged, p50", our.ack_p50, "ms", 1.5, floor.ack_p50)
    yield Row("  p99", our.ack_p99, "ms", 2.0, floor.ack_p99)
    yield Row("  a bare flush just then, p50", our.fsync_p50, "ms", None, floor.fsync_p50)
    yield Row("  a bare flush just then, p99", our.fsync_p99, "ms", None, floor.fsync_p99)
    yield Row("  to the broker, p50", our.broker_p50, "ms", 5.0)
    yield Row("  to the broker, p99", our.broker_p99, "ms")


def drains(work: Work) -> Iterator[Row]:
    rounds, backlog = (1, 20_000) if work.quick else (2, 100_000)
    each = [drain.drain(work.disk / f"drain-{at}", work.ram, backlog) for at in range(rounds)]
    one = drain.middle(each)
    yield Row(f"broker back: {backlog:,} events delivered", one.delivered_s, "s", 3.0)
    yield Row("  from the first one that flows", one.flowing_s, "s")
    yield Row("  confirmed by the back office", one.confirmed_s, "s", 5.0)
    yield Row("  memory grown", one.grown_mib, "MiB", 2.0)
    limit_ms = max(2.5 * one.idle_p99_ms, 10.0)
    yield Row("  200 scans/s meanwhile, acknowledged p99", one.drain_p99_ms, "ms", limit_ms)
    yield Row("  the same before, broker away, p99", one.idle_p99_ms, "ms")
    yield Row("  a bare flush just then, p99", one.fsync_p99_ms, "ms")


def rests(work: Work) -> Iterator[Row]:
    rounds, watch_s = (3, 12.0) if work.quick else (7, 60.0)
    folder = work.disk / "rest"
    with closing(Broker(work.ram / "broker")) as broker:
        folder.mkdir(parents=True)
        fill(folder, 1_000, 30_000)
        with closing(Stage(folder, THREE, mqtt_port=broker.port)) as stage:
            first_s = start_s(stage)
            again_s = []
            for _ in range(rounds):
                stage.kill()
                again_s.append(start_s(stage))
            yield Row("start to first durable scan, after SIGKILL", median(again_s), "s", 0.25)
            yield Row("  the very first start, settings checked", first_s, "s")
            rest = at_rest(stage, watch_s)
            yield Row(f"idle {rest.watched_s:.0f} s, three drivers: processor", rest.cpu_percent, "%", 0.3)
            yield Row("  written to disk", rest.written_bytes, "bytes", 0)
        bare, web = memory_mib(work.disk / "memory", broker.port)
    yield Row("memory (PSS), three drivers, no pages", bare, "MiB", 48.0)
    yield Row("  with the pages and one open", web, "MiB", 88.0)


def idles(work: Work) -> Iterator[Row]:
    """Five minutes in which nobody scans: a card that is never written to lasts."""
    folder = work.disk / "idle"
    with (
        closing(Broker(work.ram / "broker")) as broker,
        closing(Stage(folder, THREE, mqtt_port=broker.port)) as stage,
    ):
        stage.open()
        rest = at_rest(stage, 60.0 if work.quick else 300.0)
        yield Row(
            f"idle {rest.watched_s:.0f} s, three drivers: written to disk", rest.written_bytes, "bytes", 0
        )
        yield Row("  processor", rest.cpu_percent, "%", 0.3)


def disks(work: Work) -> Iterator[Row]:
    lone_count, burst = (200, 10_000) if work.quick else (600, 40_000)
    with closing(Stage(work.disk / "disk", cpu=GATEWAY_CPU)) as stage:
        stage.open()
        yield Row("written per lone scan", bytes_per_lone_scan(stage, lone_count) / 1000, "kB", 40.0)
        yield Row("  per scan in bursts", bytes_per_scan_in_bursts(stage, burst) / 1000, "kB", 2.0)


def stalls(work: Work) -> Iterator[Row]:
    seconds = 8.0 if work.quick else 70.0
    one = stall.stalled(work.disk / "stall", work.ram, seconds)
    yield Row("flushes of 5-100 ms, a 500 ms stall a minute: p50", one.p50_ms, "ms")
    yield Row("  p99", one.p99_ms, "ms")
    yield Row("  p99.9", one.p999_ms, "ms")


def growths(work: Work) -> Iterator[Row]:
    movements, items = (100_000, 20_000) if work.quick else (1_000_000, 20_000)
    small = growth.ledger(work.disk / "small", 10_000, 2_000)
    large = growth.ledger(work.disk / "large", movements, items)
    before, after = [], []
    for _ in range(2 if work.quick else 3):
        before.append(growth.costs(small, 2_000))
        after.append(growth.costs(large, items))
    few, many = (growth.Costs(*map(median, zip(*one, strict=True))) for one in (before, after))
    what = f"10,000 -> {movements:,} movements, 2,000 -> {items:,} items"
    yield Row(f"{what}:", float("nan"), "floor = before")
    yield Row("  balance query", many.balance_us, "us", 1.2, few.balance_us)
    yield Row("  next batch", many.batch_us, "us", 1.2, few.batch_us)
    yield Row("  scan to acknowledged p50", many.ack_p50_ms, "ms", 1.2, few.ack_p50_ms)
    yield Row("  memory", many.memory_mib, "MiB", 1.2, few.memory_mib)


SECTIONS = {
    "stream": streams,
    "lone": lone_scans,
    "drain": drains,
    "rest": rests,
    "idle": idles,
    "disk": disks,
    "stall": stalls,
    "growth": growths,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="under two minutes: fewer rounds, smaller backlog"
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    asked = parser.parse_args()
    print("  ".join(f"{name}: {value}" for name, value in machine(Path(tempfile.gettempdir())).items()))
    print(take_the_stage(), f"load {os.getloadavg()[0]:.1f}", sep="; ")
    print(FLOOR_HEAD, flush=True)
    rows: list[Row] = []
    unmeasured: list[str] = []
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as disk, tempfile.TemporaryDirectory(dir="/dev/shm") as ram:
        for name in asked.only.split(","):
            try:
                for row in SECTIONS[name](Work(Path(disk), Path(ram), asked.quick)):
                    print(row, flush=True)
                    rows.append(row)
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                unmeasured.append(name)
                print(f"{name}: not measured: {error}", flush=True)
    missed = sum(row.met is False for row in rows)
    took_s, load = time.monotonic() - began_s, os.getloadavg()[0]
    print(f"{missed} not met, {len(unmeasured)} sections not measured; {took_s:.0f} s, load now {load:.1f}")
    if asked.json:
        asked.json.write_text(json.dumps([{**row._asdict(), "met": row.met} for row in rows], indent=1))


if __name__ == "__main__":
    main()
