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
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.world import GATEWAY_CPU, ended, started, take_the_stage
from drivers.host import HEARTBEAT_S
from drivers.thermometer_modbus import crc16_modbus
from gateway.measure.processes import Used, named, used
from gateway.measure.stage import ITEMS, Line, Stage, scans

A_SECOND = 100
SCANNERS, SCALES, BALANCES, THERMOMETERS = 4, 4, 4, 4
RESTLESS_OF, RESTLESS = 200, 40  # a scale is being loaded for 0.4 of each 2 s
WARM_UP_S, BARE_S, LAST_BEEP_S = 3.0, 5.0, 2.0
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
    beeps: int = 0  # heard


class Load(NamedTuple):
    """What all processes of a daemon needed while it was fed: percent of one core, MiB that are in no file."""

    seconds: float
    cpu_percent: float
    parts_percent: dict[str, float]
    mib_first: float
    mib_last: float

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {share:.2f}" for name, share in self.parts_percent.items())
        grown = self.mib_last - self.mib_first
        return (
            f"processor {self.cpu_percent:.1f} % of one core: {parts}; memory {grown:+.1f} MiB in"
            f" {self.seconds:.0f} s"
        )


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

    def feed(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Each reading when it is due, for `seconds`, or `until` it is enough; beeps are heard meanwhile."""
        by_fd = {
            line.master: peer for peer, line in zip(self.peers, self.lines, strict=True) if peer.is_scanner
        }
        stride_s = 1 / A_SECOND / len(self.peers)
        begin_s = time.monotonic()
        for turn in range(round(seconds * A_SECOND)):
            for at, (peer, line) in enumerate(zip(self.peers, self.lines, strict=True)):
                due_s = begin_s + (turn * len(self.peers) + at) * stride_s
                self._hear(by_fd, due_s - time.monotonic())
                if turn % peer.readings == 0:
                    line.write(peer.message(peer.said))
                    peer.said += 1
            if turn % A_SECOND == 0 and until():
                break
        while any(
            peer.is_scanner and peer.beeps < peer.said for peer in self.peers
        ) and due_s + LAST_BEEP_S > (time.monotonic()):
            self._hear(by_fd, 0.01)

    def _hear(self, by_fd: dict[int, Peer], wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            for fd in select.select(list(by_fd), [], [], left_s)[0]:
                by_fd[fd].beeps += len(os.read(fd, 65_536))

    def counted(self) -> dict[str, int]:
        """How many readings each device has counted, as its last heartbeat said."""
        return {name: counts.get("readings", 0) for name, (_, counts) in self.states().items()}


def watched(world: World, seconds: float) -> Load:
    """Feed a daemon that runs."""
    pids = world.pids()
    mib, before, parts = written_mib(pids), used(pids), _parts(pids)
    world.feed(seconds)
    spent, now = used(pids).since(before), _parts(pids)
    shares = {name: 100 * one.since(parts[name]).cpu_s / seconds for name, one in now.items()}
    return Load(seconds, 100 * spent.cpu_s / seconds, shares, mib, written_mib(pids))


def written_mib(pids: list[int]) -> float:
    """What the processes hold that is in no file. For growth: PSS falls and rises with other programs' sharing."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


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
    return {name: used([pid]) for name, pid in named(pids).items()}


def main(seconds: float) -> None:
    print(take_the_stage())
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(World(Path(folder) / "sixteen", cpu=GATEWAY_CPU)) as world,
    ):
        world.start()
        world.wait(world.all_run, "all devices run")
        world.feed(WARM_UP_S)
        print(watched(world, seconds))
        time.sleep(HEARTBEAT_S + 2.0)  # the last counts
        counted, booked = world.counted(), world.last_seq() - ITEMS
        world.stop()
        scans_said = sum(peer.said for peer in world.peers if peer.is_scanner)
        others = {peer.name: peer.said * peer.readings for peer in world.peers if not peer.is_scanner}
        print(f"{scans_said} scans: {booked} booked, {sum(peer.beeps for peer in world.peers)} beeps heard")
        print(f"{sum(others.values())} other readings: {sum(counted[name] for name in others)} counted")
        print(f"a bare loop on the same ptys: {bare_percent(world, min(seconds, BARE_S)):.1f} %")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
