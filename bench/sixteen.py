"""Sixteen devices, a hundred readings a second each: what all processes of a daemon need, beside a bare loop.

python -m bench.sixteen [SECONDS]

Scanners, scales and thermometers on ptys, each reading written when it is due and not in bunches. The bare loop
is `select` and `os.read` on the same ptys: what the kernel and one Python process need when nobody decodes,
books or keeps anything.
"""

import json
import os
import select
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.world import GATEWAY_CPU, ended, started, take_the_stage
from drivers.thermometer_modbus import crc16_modbus
from gateway.measure.processes import Used, named, pss_mib, used
from gateway.measure.stage import ITEMS, Line, Stage, scans

A_SECOND = 100
SCANNERS, SCALES, BALANCES, THERMOMETERS = 4, 4, 4, 4
RESTLESS_OF, RESTLESS = 200, 40  # a scale is being loaded for 0.4 of each 2 s
WARM_UP_S, SETTLED_AFTER_S = 3.0, 7.0  # the last heartbeat after the last reading brings the counts
BARE_S = 5.0
BARE = """
import os, select, sys
fds = [os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for port in sys.argv[1:]]
while True:
    for fd in select.select(fds, [], [])[0]:
        os.read(fd, 65536)
"""


@dataclass
class Peer:
    """The far end of one device: `message(n)` is the n-th thing it says, `readings` how many readings that is."""

    name: str
    toml: str
    message: Callable[[int], bytes]
    readings: int = 1
    is_scanner: bool = False
    said: int = 0
    beeps: int = 0


class Sixteen(NamedTuple):
    """A run: processor time in percent of one core, memory in MiB, counts."""

    seconds: float
    cpu_percent: float
    parts_percent: dict[str, float]
    bare_percent: float
    scans_sent: int
    scans_booked: int
    beeps: int
    others_sent: int
    others_counted: int
    memory_first: float
    memory_last: float

    @property
    def cpu_us_a_reading(self) -> float:
        return self.cpu_percent / 100 * self.seconds / (self.scans_sent + self.others_sent) * 1e6


def scanner(at: int) -> Peer:
    """Its own part of the range, so that no two scanners say the same code at a time."""
    toml = 'driver = "serial_scanner"\nmode = "sell"\nlocation = "shop"\nbounce_ms = 0\nreply = "beep"\nbeep_bad = "07"'
    return Peer(f"scanner-{at}", toml, lambda n: scans(n * SCANNERS + at, 1, ITEMS), is_scanner=True)


def scale(at: int) -> Peer:
    """A line a weighing, with its flag; now and then somebody loads it."""

    def message(n: int) -> bytes:
        beat, place = divmod(n, RESTLESS_OF)
        grams = 1000 + 10 * at + beat % 7 * 100 + (place if place < RESTLESS else RESTLESS)
        return b"%s,GS,+%07.3fkg\r\n" % (b"US" if place < RESTLESS else b"ST", grams / 1000)

    return Peer(f"scale-{at}", 'driver = "scale_header_line"', message)


def balance(at: int) -> Peer:
    """MT-SICS, told to send by itself; its load changes every five seconds."""

    def message(n: int) -> bytes:
        return b"S S %10.2f g\r\n" % (at + n // 500 % 9)

    return Peer(f"balance-{at}", 'driver = "scale_mtsics"\ncommand = "none"', message)


def thermometer(at: int) -> Peer:
    """Temperature and humidity in one frame; another master on the wire asks."""

    def message(n: int) -> bytes:
        body = bytes([1, 4, 4]) + (41 + n // 500 % 10).to_bytes(2, "big") + (553).to_bytes(2, "big")
        return body + crc16_modbus(body).to_bytes(2, "little")

    return Peer(f"probe-{at}", 'driver = "thermometer_modbus"\nperiod_s = 3600.0', message, readings=2)


def peers() -> list[Peer]:
    kinds = ((scanner, SCANNERS), (scale, SCALES), (balance, BALANCES), (thermometer, THERMOMETERS))
    return [kind(at) for kind, count in kinds for at in range(count)]


@dataclass
class World(Stage):
    """A shop with these devices and no scanner besides."""

    scanners: int = 0
    peers: list[Peer] = field(default_factory=peers)

    def _toml(self) -> str:
        self.lines = [Line(self.folder / f"{peer.name}.tty") for peer in self.peers]
        devices = "".join(
            f'\n[[device]]\nname = "{peer.name}"\nport = "{line.port}"\n{peer.toml}\n'
            for peer, line in zip(self.peers, self.lines, strict=True)
        )
        return super()._toml().partition("[[device]]")[0] + devices

    def states(self) -> dict[str, tuple[str, dict[str, int]]]:
        """State and counts of each device, as the pages see them."""
        with closing(sqlite3.connect(f"file:{self.folder}/telemetry.db?mode=ro", uri=True)) as telemetry:
            rows = telemetry.execute("SELECT device, state, counts FROM device_state").fetchall()
        return {device: (state, json.loads(counts)) for device, state, counts in rows}

    def all_run(self) -> bool:
        try:
            states = self.states()
        except sqlite3.Error:
            return False
        return all(states.get(peer.name, ("", {}))[0] == "running" for peer in self.peers)

    def feed(self, seconds: float) -> None:
        """Each reading when it is due, for `seconds`; beeps are heard meanwhile."""
        by_fd = {
            line.master: peer for peer, line in zip(self.peers, self.lines, strict=True) if peer.is_scanner
        }
        stride_s = 1 / A_SECOND / len(self.peers)
        begin_s = time.monotonic()
        for tick, (peer, line) in enumerate(self._turns(round(seconds * A_SECOND))):
            wait_s = begin_s + tick * stride_s - time.monotonic()
            if wait_s > 0:
                self._hear(by_fd, wait_s)
            if tick % (len(self.peers) * peer.readings) < len(self.peers):
                os.write(line.master, peer.message(peer.said))
                peer.said += 1
        deadline_s = time.monotonic() + 2.0
        while time.monotonic() < deadline_s:
            self._hear(by_fd, 0.1)

    def _turns(self, rounds: int) -> Iterator[tuple[Peer, Line]]:
        for _ in range(rounds):
            yield from zip(self.peers, self.lines, strict=True)

    def _hear(self, by_fd: dict[int, Peer], wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            for fd in select.select(list(by_fd), [], [], left_s)[0]:
                by_fd[fd].beeps += len(os.read(fd, 65_536))


def measured(folder: Path, seconds: float) -> Sixteen:
    """Feed a daemon for `seconds`; then the bare loop on the same ptys."""
    with closing(World(folder, cpu=GATEWAY_CPU)) as world:
        world.start()
        world.wait(world.all_run, "all devices run")
        world.feed(WARM_UP_S)
        time.sleep(SETTLED_AFTER_S)
        seq, counts, pids = world.last_seq(), _counted(world), world.pids()
        said = {peer.name: peer.said for peer in world.peers}
        beeps = sum(peer.beeps for peer in world.peers)
        memory_first = pss_mib(pids)
        before, parts_before = used(pids), _parts(pids)
        world.feed(seconds)
        spent, parts = used(pids).since(before), _parts(pids)
        memory_last = pss_mib(pids)
        time.sleep(SETTLED_AFTER_S)
        now = _counted(world)
        sent = {peer.name: (peer.said - said[peer.name]) * peer.readings for peer in world.peers}
        scanners = {peer.name for peer in world.peers if peer.is_scanner}
        booked = world.last_seq() - seq
        beeps = sum(peer.beeps for peer in world.peers) - beeps
        world.stop()
        return Sixteen(
            seconds,
            100 * spent.cpu_s / seconds,
            {name: 100 * one.since(parts_before[name]).cpu_s / seconds for name, one in parts.items()},
            bare_percent(world, min(seconds, BARE_S)),
            sum(sent[name] for name in scanners),
            booked,
            beeps,
            sum(count for name, count in sent.items() if name not in scanners),
            sum(now[name] - counts[name] for name in now if name not in scanners),
            memory_first,
            memory_last,
        )


def bare_percent(world: World, seconds: float) -> float:
    """Processor time of `select` and `os.read` on the ptys of `world`, whose daemon has ended."""
    command = [sys.executable, "-c", BARE, *(line.port for line in world.lines)]
    bare = started(command, GATEWAY_CPU)
    try:
        time.sleep(0.5)
        before = used([bare.pid])
        world.feed(seconds)
        return 100 * used([bare.pid]).since(before).cpu_s / seconds
    finally:
        ended(bare)


def _parts(pids: list[int]) -> dict[str, Used]:
    """By kind of process: the core, the nursery, and all drivers of a kind together."""
    return {name: used([pid]) for name, pid in named(pids).items()}


def _counted(world: World) -> dict[str, int]:
    return {name: counts.get("readings", 0) for name, (_, counts) in world.states().items()}


def main(seconds: float) -> None:
    print(take_the_stage())
    with tempfile.TemporaryDirectory() as folder:
        one = measured(Path(folder) / "sixteen", seconds)
    print(f"{one.scans_sent} scans sent, {one.scans_booked} booked, {one.beeps} beeps heard")
    print(f"{one.others_sent} other readings sent, {one.others_counted} counted")
    print(
        f"processor {one.cpu_percent:.1f} % of one core ({one.cpu_us_a_reading:.0f} us a reading),"
        f" bare loop {one.bare_percent:.1f} %"
    )
    print("  " + ", ".join(f"{name} {share:.2f}" for name, share in one.parts_percent.items()))
    print(f"memory {one.memory_first:.1f} -> {one.memory_last:.1f} MiB")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
