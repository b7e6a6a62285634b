"""The core without its processes: the real Ingest on a real ledger; readings go in by hand, answers come out."""

import os
import shutil
import threading
from collections import deque
from pathlib import Path
from typing import Any

import zmq

from drivers.bus import Acks, Delivery, Event, Hint, Upward, decode_hint
from drivers.contract import AnyReading, Document, Outcome, Scan
from gateway.config import Device, Ledger, Settings, Shop
from gateway.ingest import Ingest
from gateway.ledger.telemetry import Telemetry
from gateway.ledger.writer import Writer
from tests.system.shop import ean13


class Counter:
    """One shop's core in this process. `tell` is what the bus does; crash leaves the files as they are."""

    def __init__(self, folder: Path, *devices: Device, shop: Shop | None = None, ballast_mb: int = 0) -> None:
        self.folder = folder
        self.writer = Writer(folder, ballast_mb)
        self.telemetry = Telemetry(folder / "telemetry.db")
        self._messages: deque[Upward] = deque()
        self._answers: list[Any] = []
        self._stop = threading.Event()
        address = f"inproc://{os.urandom(8).hex()}"
        self._hints = zmq.Context.instance().socket(zmq.PUB)
        self._hints.bind(address)
        self._heard = zmq.Context.instance().socket(zmq.SUB)
        self._heard.setsockopt(zmq.SUBSCRIBE, b"")
        self._heard.connect(address)
        chosen = devices or (Device("counter", "serial_scanner", "sell", "shop", bounce_ms=0),)
        settings = Settings(
            path=folder / "config.toml", shop=shop or Shop(), ledger=Ledger(folder), devices=chosen
        )
        self.ingest = Ingest(settings, self.writer, self.telemetry, self, self._hints, lambda _: None)  # type: ignore[arg-type]
        self._pages_seq = 0

    # What Ingest sees of the bus.

    def wait(self, timeout_s: float) -> bool:
        if not self._messages:
            self._stop.set()
        return bool(self._messages)

    def receive(self) -> tuple[bytes, Upward] | None:
        return (b"peer", self._messages.popleft()) if self._messages else None

    def send(self, peer: bytes, message: Any) -> None:
        self._answers.append(message)

    # What a test does.

    def tell(self, *messages: Upward) -> list[Any]:
        """Everything in `messages` has arrived at once; all that is answered to it."""
        self._messages.extend(messages)
        self._stop.clear()
        self.ingest.run(self._stop)
        answers, self._answers = self._answers, []
        return answers

    def scan(
        self, *codes: str, device: str = "counter", boot: str = "b1", first_seq: int = 1
    ) -> list[Outcome]:
        """Scans in one message of one device; their outcomes in order."""
        return outcomes(self.tell(delivery(device, boot, first_seq, *(Scan(code) for code in codes))))

    def say(self, kind: str, /, **body: Any) -> Outcome:
        """A document, as a page sends it."""
        self._pages_seq += 1
        document = Document(kind, f"page-{self._pages_seq}", body)
        return outcomes(self.tell(delivery("web", "w1", self._pages_seq, document)))[0]

    def add_items(self, count: int, **columns: Any) -> list[str]:
        """`count` items named "Item 1" ...; their EAN-13 codes."""
        codes = [ean13(number) for number in range(1, count + 1)]
        rows = [
            {"sku": f"S{at}", "name": f"Item {at}", "codes": [[code.zfill(14), 1]], **columns}
            for at, code in enumerate(codes, 1)
        ]
        assert self.say("items", rows=rows).code == "ok"
        return codes

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return self.writer.connection.execute(question, values).fetchall()

    def events(self) -> list[Event]:
        """What the counter page was told since the last call."""
        found: list[Event] = []
        while self._heard.poll(20):
            hint: Hint = decode_hint(self._heard.recv())
            found += hint.events
        return found

    def close(self) -> None:
        self.writer.close()
        self._hints.close()
        self._heard.close()


def delivery(
    device: str, boot: str, first_seq: int, *readings: AnyReading, acked_through: int = 0
) -> Delivery:
    return Delivery(device, boot, acked_through, first_seq, [0] * len(readings), list(readings))


def outcomes(answers: list[Any]) -> list[Outcome]:
    """The outcomes of all acknowledgements in the order of their readings."""
    return [outcome for answer in answers if isinstance(answer, Acks) for outcome in answer.outcomes]


def as_after_a_kill(folder: Path, into: Path) -> Path:
    """The files as a killed process leaves them: what was written is there, nothing was closed."""
    into.mkdir()
    for name in ("ledger.db", "ledger.db-wal"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, into / name)
    return into
