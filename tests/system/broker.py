"""A real mosquitto and a real back office for tests: processes of their own, killed and started at will."""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

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
        self.port = free_port(19_100)
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
    """Listens on the wire beside the back office, all the time: how often each movement came by."""

    def __init__(self, broker: Broker) -> None:
        self.heard: Counter[int] = Counter()  # seq of the movement -> times
        self.messages = 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="eavesdropper", clean_session=False)
        self._client.reconnect_delay_set(1, 1)  # the broker is among the victims; its queue waits for us
        self._client.on_connect = lambda *_: self._client.subscribe("sk/v1/+/+/+/up/ledger", 1)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _take(self, client: Client, told: object, message: MQTTMessage) -> None:
        self.messages += 1
        for event in json.loads(message.payload)["data"]["epcisBody"]["eventList"]:
            if "sk:repeats" not in event:
                self.heard[event["sk:seq"]] += 1

    @property
    def again(self) -> int:
        """Deliveries of a movement that had been delivered before."""
        return self.heard.total() - len(self.heard)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


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
