"""Sixteen devices at a hundred readings a second each: all is counted, at little cost, whatever one of them does."""

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from bench.sixteen import SCALES, Load, Peer, World, bare_percent, peers, scale, watched
from gateway.measure.processes import named
from gateway.measure.stage import ITEMS
from gateway.supervisor import RSS_BYTES_MAX

CPU_PERCENT_MAX = 15.0  # of one core, all processes together
BUSY_MACHINE = 2.0  # in `make test` other tests, caches and clocks have their say ...
BARE_LOOPS_MAX = 15.0  # ... and on a slow machine the bare loop, 6 times less, is slow as well
GROWTH_MIB_MAX = 3.0
REPLACED_WITHIN_S = 300.0  # of itself 30: who hangs misses three heartbeats; then comes the next look
WARM_UP_S, BARE_S = 5.0, 2.0
WORDS = ("crash", "hang", "eat")  # what three of the scales are told to do
MOODY = f"""
import os
from drivers.scale_header_line import HeaderLineConfig, HeaderLineDriver

class Driver(HeaderLineDriver):
    Config = HeaderLineConfig
    def decoder(self, config):
        return Decoder(super().decoder(config))

class Decoder:
    def __init__(self, scale):
        self._scale = scale
    def feed(self, chunk, now_s):
        if b"crash" in chunk:
            os.abort()
        while b"hang" in chunk:
            pass
        if b"eat" in chunk:
            self._eaten = bytearray(os.urandom(4096) * ({RSS_BYTES_MAX} // 4096))
        return self._scale.feed(chunk, now_s)
    def idle(self, now_s):
        return self._scale.idle(now_s)
"""


def shop(folder: Path, cpu: int) -> World:
    """Three of the scales have a foreign driver that does what a line tells it."""
    info = folder / "packages" / "moody_scale-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody-scale\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[storekeeper.drivers]\nmoody = moody_scale:Driver\n")
    (info.parent / "moody_scale.py").write_text(MOODY)
    steady = [peer for peer in peers() if not peer.name.startswith("scale-")]
    moody = [Peer(word, 'driver = "moody"', scale(at).message) for at, word in enumerate(WORDS)]
    rest = [scale(at) for at in range(len(WORDS), SCALES)]
    environment = {"PYTHONPATH": str(info.parent)}
    return World(folder / "shop", peers=[*steady, *moody, *rest], cpu=cpu, environment=environment)


def sixteen(folder: Path, seconds: float) -> tuple[Load, float, str]:
    """Fed for `seconds`; then three drivers go wrong. What it cost, what a bare loop costs, and all figures."""
    with closing(shop(folder, min(os.sched_getaffinity(0)))) as world:
        world.start()
        world.wait(world.all_run, "all devices run")
        world.feed(WARM_UP_S)
        load = watched(world, seconds)

        old = named(world.pids())
        began_s = time.monotonic()
        replaced_s: dict[str, float] = {}

        def all_are_replaced() -> bool:
            now = named(world.pids())
            for word in WORDS:
                if now.get(word, old[word]) != old[word]:
                    replaced_s.setdefault(word, time.monotonic() - began_s)
            return len(replaced_s) == len(WORDS)

        for peer, line in zip(world.peers, world.lines, strict=True):
            if peer.name in WORDS:
                line.write(f"{peer.name}\r\n".encode())
        world.feed(REPLACED_WITHIN_S, until=all_are_replaced)
        world.feed(2.0)
        unharmed = [peer for peer in world.peers if peer.name not in WORDS]
        said = {peer.name: peer.said * peer.readings for peer in unharmed}
        world.wait(lambda: said.items() <= world.counted().items(), "the last counts")
        world.wait(lambda: all(world.counted()[word] for word in WORDS), "the replaced count")
        counted, now = world.counted(), named(world.pids())
        booked = world.last_seq() - ITEMS
        world.stop()
        scans = sum(peer.said for peer in world.peers if peer.is_scanner)
        bare = bare_percent(world, BARE_S)

    assert {name: counted[name] for name in said} == said
    assert booked == scans
    assert sum(peer.beeps for peer in world.peers) == scans
    assert {name: pid for name, pid in now.items() if name not in WORDS} == {
        name: pid for name, pid in old.items() if name not in WORDS
    }
    assert set(replaced_s) == set(WORDS)
    assert all(counted[word] > 0 for word in WORDS)
    others = sum(said.values()) - scans
    replaced = ", ".join(f"{word} {after_s:.1f} s" for word, after_s in replaced_s.items())
    figures = (
        f"{load.cpu_percent:.1f} % of one core in {seconds:.0f} s (a bare loop on the same ptys: {bare:.1f} %);"
        f" memory {load.mib_last - load.mib_first:+.1f} MiB;\n  {scans} scans booked and acknowledged,"
        f" {others} other readings counted, none missing; another driver after: {replaced}"
    )
    return load, bare, figures


def test_sixteen_devices_are_counted_whatever_three_of_them_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load, bare, figures = sixteen(tmp_path, 10.0)

    with capsys.disabled():
        print(f"\n  16 devices x 100 readings/s: {figures}")
    assert load.cpu_percent <= max(BUSY_MACHINE * CPU_PERCENT_MAX, BARE_LOOPS_MAX * bare)
    assert load.mib_last - load.mib_first <= GROWTH_MIB_MAX


@pytest.mark.soak
def test_sixteen_devices_for_ten_minutes_cost_little_and_nothing_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load, _, figures = sixteen(tmp_path, 600.0)

    with capsys.disabled():
        print(f"\n  16 devices x 100 readings/s: {figures}")
    assert load.cpu_percent <= CPU_PERCENT_MAX
    assert load.mib_last - load.mib_first <= GROWTH_MIB_MAX
