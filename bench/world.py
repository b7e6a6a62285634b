"""What stands around a measured gateway: a broker, a back office, a counting subscriber; all on the other CPU."""

import os
import subprocess
import sys
import time
from pathlib import Path

from gateway.demo.processes import answers, find_mosquitto, free_port
from gateway.measure.processes import used

GATEWAY_CPU, WORLD_CPU = (min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0)))
PRIORITY = -10  # of all that is measured and all around it, where we may: other work on the machine waits
OUR_TOPIC, OUR_MARK, OUR_ACK = "sk/v1/+/+/+/up/ledger", '"sk:seq":', "sk/v1/bench/main/gw1/down/ack"
FLOOR_TOPIC, FLOOR_MARK = "floor/movement", '"item":'


def take_the_stage() -> str:
    """Pin this process to the world's CPU and raise its priority; in words, what was possible."""
    os.sched_setaffinity(0, {WORLD_CPU})
    pinned = f"gateway on CPU {GATEWAY_CPU}, all else on CPU {WORLD_CPU}"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError:
        return f"{pinned}; priority as usual"
    return f"{pinned}; priority {PRIORITY}"


class Broker:
    """mosquitto on a free loopback port; its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        program = find_mosquitto()
        if program is None:
            raise FileNotFoundError("mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mosquitto.db").unlink(missing_ok=True)  # it would remember the shop of the round before
        self._program, self.port = program, free_port(19_500)
        self._conf = folder / "mosquitto.conf"
        self._conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nautosave_interval 0\nmax_queued_messages 0\n"
            "max_inflight_messages 0\nset_tcp_nodelay true\n" + ("user root\n" if os.getuid() == 0 else "")
        )
        self.start()

    def start(self) -> float:
        """When it was there."""
        self._process = started([self._program, "-c", str(self._conf)])
        assert answers(self.port, 10)
        return time.monotonic()

    def stop(self) -> None:
        ended(self._process)

    close = stop


class Counter:
    """`bench.counter` beside us."""

    def __init__(self, file: Path, port: int, topic: str, mark: str, ack_topic: str = "") -> None:
        self._file = file
        self._file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.counter", str(port), str(file), topic, mark]
        self._process = started([*command, ack_topic] if ack_topic else command)
        while not self.arrivals():
            time.sleep(0.01)

    @property
    def events(self) -> int:
        return self.last()[0]

    def last(self) -> tuple[int, float]:
        """Events so far, and when the newest came. Reads the file's tail only."""
        with self._file.open("rb") as file:
            file.seek(max(0, self._file.stat().st_size - 256))
            *_, newest, _ = file.read().rsplit(b"\n", 2)
        events, at_s = newest.split()
        return int(events), float(at_s)

    def arrivals(self) -> list[tuple[int, float]]:
        """(events so far, time) for each bunch."""
        if not self._file.exists():
            return []
        lines = self._file.read_text().splitlines()
        return [(int(events), float(at_s)) for events, at_s in (line.split() for line in lines)]

    def wait(self, events: int, within_s: float) -> float:
        """When event number `events` was there. Raises TimeoutError."""
        deadline_s = time.monotonic() + within_s
        while self.events < events:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self.events} of {events} events reached the broker in {within_s} s")
            time.sleep(0.005)
        return self.last()[1]

    def close(self) -> None:
        ended(self._process)


class BackOffice:
    """The real one, on the shop's own config."""

    def __init__(self, config: Path) -> None:
        self._process = started([sys.executable, "-m", "backoffice", "-c", str(config)])

    def cpu_s(self) -> float:
        return used([self._process.pid]).cpu_s

    def close(self) -> None:
        ended(self._process)


def started(command: list[str], cpu: int | None = None) -> "subprocess.Popen[bytes]":
    pin = None if cpu is None else (lambda: os.sched_setaffinity(0, {cpu}))
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("BENCH_TALKS") else subprocess.DEVNULL,
        preexec_fn=pin,
    )


def ended(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
