"""Who is killed for being silent: real processes of a real nursery."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.ledger.telemetry import Telemetry
from gateway.nursery import Nursery, Spawn
from gateway.supervisor import Supervisor

SLEEPER = Spawn("scale", "time:sleep", [600])  # alive, and never heard of


class Watched:
    """The only driver of a shop, for which a second of silence is too long."""

    def __init__(self, folder: Path, listened_s: Callable[[], float]) -> None:
        self._stop = threading.Event()
        self._nursery = Nursery()
        supervisor = Supervisor(
            self._nursery,
            Telemetry(folder / "telemetry.db"),
            listened_s,
            silent_after_s=1.0,
            deaf_after_s=0.5,
            look_every_s=0.1,
        )
        supervisor.want(SLEEPER, "scale_nci")
        self._thread = threading.Thread(target=supervisor.run, args=[self._stop])
        self._thread.start()
        self.first: list[int] = []
        deadline_s = time.monotonic() + 120
        while not self.first and time.monotonic() < deadline_s:
            time.sleep(0.01)
            self.first = self.children()

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self._nursery.pid}/task/{self._nursery.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.waitpid(self._nursery.pid, 0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[[Callable[[], float]], Watched]]:
    made: list[Watched] = []

    def begin(listened_s: Callable[[], float]) -> Watched:
        made.append(Watched(tmp_path, listened_s))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def test_a_driver_that_says_nothing_is_killed_and_started_again(watched):
    shop = watched(time.monotonic)
    (before,) = shop.first
    deadline_s = time.monotonic() + 120
    while before in shop.children() and time.monotonic() < deadline_s:
        time.sleep(0.05)

    assert before not in shop.children()


def test_nobody_is_killed_while_the_core_hangs_on_its_disk(watched):
    hanging_since_s = time.monotonic()
    shop = watched(lambda: hanging_since_s)
    time.sleep(3.5)

    assert shop.first and shop.children() == shop.first
