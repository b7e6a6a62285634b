"""The demo's processes: the daemon, and a private broker and a back office when there is mosquitto."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

STOP_WITHIN_S = 3.0


class Processes:
    """Started in order, stopped in reverse; each by its own handle, never by name."""

    def __init__(self, folder: Path, config: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._config = config
        self.environment = {**os.environ, **environment}
        self._mosquitto = find_mosquitto()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._internet = True

    @property
    def has_broker(self) -> bool:
        return self._mosquitto is not None

    @property
    def internet(self) -> bool:
        return self._internet

    def start(self) -> None:
        if self._mosquitto and self._internet:
            self.start_broker()
        if self._mosquitto:
            self._start("backoffice", [sys.executable, "-m", "backoffice", "-c", str(self._config)])
        self._start("daemon", [sys.executable, "-m", "gateway", "run", "-c", str(self._config)])

    def start_broker(self) -> None:
        assert self._mosquitto is not None
        self._start("broker", [self._mosquitto, "-c", str(self._folder / "mosquitto.conf")])

    def cut_the_internet(self) -> bool:
        """Stop the broker, or start it again; whether the shop is online now."""
        self._internet = not self._internet
        if self._mosquitto:
            if self._internet:
                self.start_broker()
            else:
                self._stop("broker", signal.SIGKILL)
        return self._internet

    def pull_the_plug(self) -> None:
        """SIGKILL for all of them at once, as when the power goes."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def alive(self) -> bool:
        daemon = self._running.get("daemon")
        return daemon is not None and daemon.poll() is None

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self._stop(name, signal.SIGTERM)

    def _start(self, name: str, command: list[str]) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        with log:
            self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )

    def _stop(self, name: str, number: signal.Signals) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_mosquitto() -> str | None:
    """Debian puts it where a plain user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def mosquitto_conf(folder: Path, port: int) -> str:
    return f"""listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages 0
max_inflight_messages 0
"""


def free_port(wanted: int) -> int:
    """`wanted`, or the next one that nobody holds."""
    for port in range(wanted, wanted + 100):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {wanted} on")


def answers(port: int, within_s: float) -> bool:
    """Whether somebody accepts connections on the loopback port before the time is over."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False
