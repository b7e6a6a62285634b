"""The core's end of the bus for one real driver process: acknowledges, and keeps what it acknowledged."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.bus import Acks, Command, Delivery, Inlet, Status
from drivers.contract import AnyReading, Outcome

RUN = "import sys, json; from drivers.host import main; sys.exit(main(*json.loads(sys.argv[1])))"


class Desk:
    """Runs `driver` with `options`; each acknowledged reading is in `readings` exactly once."""

    def __init__(
        self,
        folder: Path,
        driver: str,
        *,
        feedback: str = "",
        forward: dict[str, Any] | None = None,
        trust: list[str | None] | None = None,
        **options: Any,
    ) -> None:
        import json

        address = f"ipc://{folder}/bus"
        self.readings: list[AnyReading] = []
        self.states: list[str] = []
        self.texts: list[str] = []
        self.counts: dict[str, int] = {}
        self._peer = b""
        self._inlet = Inlet(address)
        told = ["device", driver, options, address, feedback, forward, trust]
        self._process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(told)])

    def serve(self, until: Callable[["Desk"], bool], within_s: float = 120.0) -> None:
        """Acknowledge what comes until the condition holds. Fails after `within_s`."""
        deadline_s = time.monotonic() + within_s
        while not until(self):
            if time.monotonic() > deadline_s:
                self.close()
                raise AssertionError((self.states[-5:], self.texts[-3:], self.readings[-5:]))
            self._inlet.wait(0.02)
            while (received := self._inlet.receive()) is not None:
                self._take(*received)

    def tell(self, command: str, **body: Any) -> None:
        self._inlet.send(self._peer, Command(command, body))

    def of(self, kind: type) -> list[Any]:
        return [reading for reading in self.readings if isinstance(reading, kind)]

    def close(self) -> int:
        self._process.terminate()
        deadline_s = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < deadline_s:
            self._inlet.wait(0.02)
            while (received := self._inlet.receive()) is not None:
                self._take(*received)
        code = self._process.wait(60)
        self._inlet.close()
        return code

    def _take(self, peer: bytes, message: object) -> None:
        self._peer = peer
        if isinstance(message, Status):
            self.counts = message.counts
            if message.state != (self.states or [""])[-1]:
                self.states.append(message.state)
            self.texts.append(message.text)
        if not isinstance(message, Delivery) or not message.readings:
            return
        for seq, reading in enumerate(message.readings, message.first_seq):
            if seq == len(self.readings) + 1:
                self.readings.append(reading)
        outcomes = [Outcome("ok") for _ in message.readings]
        self._inlet.send(peer, Acks(message.boot, message.first_seq, outcomes))
