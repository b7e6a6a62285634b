"""A real mosquitto and a real back office for tests: processes of their own, killed and started at will."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.processes import answers, find_mosquitto, free_port, mosquitto_conf
from tests.system.shop import REPOSITORY, Shop


class Broker:
    """mosquitto on a free loopback port, with a queue that survives its own end."""

    def __init__(self, folder: Path) -> None:
        program = find_mosquitto()
        if program is None:
            if os.environ.get("CI"):
                pytest.fail("mosquitto is not installed: apt-get install mosquitto")
            pytest.skip("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port(20_000 + os.getpid() % 600 * 20)  # killed and started again: nobody may take it
        self._conf = folder / "mosquitto.conf"
        folder.mkdir(parents=True, exist_ok=True)
        drop_rights = "user root\n" if os.getuid() == 0 else ""
        self._conf.write_text(mosquitto_conf(folder, self.port) + drop_rights)
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Broker":
        self._process = _quiet([self._program, "-c", str(self._conf)])
        assert answers(self.port, 10)
        return self

    def kill(self) -> None:
        _end(self._process)
        self._process = None


class Eavesdropper:
    """What passes on the wire beside the back office: `movements` heard, `again` heard once more, in `messages`."""

    def __init__(self, broker: Broker) -> None:
        self.movements = self.again = self.messages = 0
        command = [sys.executable, "-m", "tests.system.eavesdropper", str(broker.port)]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def leave(self) -> None:
        self._process.terminate()
        *_, last = self._process.communicate(timeout=120)[0].splitlines()
        self.movements, deliveries, self.messages = map(int, last.split())
        self.again = deliveries - self.movements


class BackOffice:
    """`python -m backoffice` on the shop's own config file."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "BackOffice":
        self._process = _quiet([sys.executable, "-m", "backoffice", "-c", str(self._shop.config)])
        return self

    def kill(self) -> None:
        _end(self._process)
        self._process = None

    @property
    def database(self) -> Path:
        return self._shop.folder / "backoffice.db"


def _quiet(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
