"""A real mosquitto, the pump as a process of its own, and a core that only listens."""

import contextlib
import multiprocessing
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from drivers.bus import Delivery, Progress, decode_upward
from gateway.cloud import pump
from gateway.config import Ledger, Mqtt, Settings, Shop
from tests.system.broker import Broker


@pytest.fixture
def broker(tmp_path):
    started = Broker(tmp_path / "broker").start()
    yield started
    started.kill()


class Core:
    """Stands where the daemon's core stands: hears what the pump reports, hints at what is new."""

    def __init__(self, folder: Path) -> None:
        self.bus, self.hint = f"ipc://{folder}/bus", f"ipc://{folder}/hint"
        self._context = zmq.Context()
        self._stop = threading.Event()
        self.reports: list[Progress] = []
        self.deliveries: list[Delivery] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def acked(self, lane: str = "L") -> int:
        return max((one.seq for one in self.reports if one.lane == lane), default=0)

    def links(self) -> list[tuple[str, str]]:
        return [(one.link, one.note) for one in self.reports if one.link]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _listen(self) -> None:
        router = self._context.socket(zmq.ROUTER)
        router.bind(self.bus)
        hints = self._context.socket(zmq.PUB)
        hints.bind(self.hint)
        while not self._stop.is_set():
            if router.poll(50):
                message = decode_upward(router.recv_multipart()[1])
                if isinstance(message, Progress):
                    self.reports.append(message)
                elif isinstance(message, Delivery):
                    self.deliveries.append(message)
        router.close(0)
        hints.close(0)


class PumpProcess:
    """`gateway.cloud.pump.main`, as the supervisor starts it."""

    def __init__(self, folder: Path, port: int, core: Core, **mqtt) -> None:
        self._arguments = (
            Settings(
                path=folder / "config.toml",
                shop=Shop(tenant="test", store="corner"),
                ledger=Ledger(data_dir=folder),
                mqtt=replace(Mqtt(enabled=True, port=port), **mqtt),
            ),
            core.bus,
            core.hint,
        )
        self.process = None

    def start(self) -> "PumpProcess":
        self.process = multiprocessing.get_context("spawn").Process(target=pump.main, args=self._arguments)
        self.process.start()
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()

    def stop(self) -> float:
        """SIGTERM; how long it took, in seconds."""
        began_s = time.monotonic()
        self.process.terminate()
        self.process.join(60)
        assert self.process.exitcode == 0
        return time.monotonic() - began_s


@pytest.fixture
def core(tmp_path):
    listening = Core(tmp_path)
    yield listening
    listening.close()


@pytest.fixture
def pumps():
    """Starts pumps; none outlives its test."""
    with contextlib.ExitStack() as running:

        def start(folder: Path, port: int, core: Core, **mqtt) -> PumpProcess:
            one = PumpProcess(folder, port, core, **mqtt).start()
            running.callback(one.kill)
            return one

        yield start


def eventually(condition, what: str, timeout_s: float = 180.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
