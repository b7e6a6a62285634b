"""The real daemon on the corner shop's ledger, its scanner a pty, its back office not there."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import corner_shop
import plugged_box

CONFIG = """
[shop]
name = "Corner shop"
timezone = "Europe/Berlin"

[ledger]
ballast_mb = 0

[web]
port = {port}

[mqtt]
enabled = true
port = 9

[[device]]
name = "counter-1"
driver = "serial_scanner"
mode = "sell"
location = "shop"
bounce_ms = 0
port = "{scanner}"

[[device]]
name = "stockroom"
driver = "serial_scanner"
mode = "receive"
location = "shop"
port = "/dev/serial/by-id/usb-not-plugged-in"
"""


@dataclass
class RealShop:
    """`address` is that of the pages; `scan` is a trigger pulled at the counter."""

    data_dir: Path
    scanner_fd: int
    box: plugged_box.Box
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    address: str = ""

    def scan(self, code: str) -> None:
        os.write(self.scanner_fd, code.encode() + b"\r")

    def do(self, what: str, /, **form: str) -> dict[str, Any]:
        """A form sent as the page's script sends it; the outcome."""
        question = Request(
            f"{self.address}/do/{what}",
            urlencode(form).encode(),
            {"accept": "application/json"},
            method="POST",
        )
        with urlopen(question, timeout=120) as answer:
            return dict(json.load(answer))

    def page(self, path: str) -> str:
        with urlopen(self.address + path, timeout=120) as answer:
            return str(answer.read().decode())

    def ask(self, question: str, *values: object) -> Any:
        """The first column of the first row of the ledger's answer."""
        with connect(f"file:{self.data_dir / 'ledger.db'}?mode=ro", uri=True) as ledger:
            row = ledger.execute(question, values).fetchone()
        return None if row is None else row[0]

    def on_hand(self, sku: str) -> int:
        return int(self.ask("SELECT sum(qty) FROM balance WHERE sku = ? AND loc = 'shop'", sku))

    def child(self, name: str) -> int:
        """The process id of one of the daemon's children: "web", "sync" or a device's name."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            if f"(sk:{name}"[:16] in text and self._is_ours(int(stat.parent.name)):
                return int(stat.parent.name)
        raise AssertionError(f"the daemon has no child {name}")

    def _is_ours(self, pid: int) -> bool:
        return str(self.data_dir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        self.box.close()


def open_shop(data_dir: Path, demo_address: str = "") -> RealShop:
    corner_shop.build(data_dir).close()
    scanner_fd, far_end = pty.openpty()
    tty.setraw(far_end)
    config = data_dir / "config.toml"
    config.write_text(CONFIG.format(port=free_port(), scanner=os.ttyname(far_end)))
    box = plugged_box.Box(data_dir / "box")
    environment = dict(os.environ, STOREKEEPER_DEMO=demo_address, STOREKEEPER_SYS_ROOT=str(box.root))
    command = [sys.executable, "-m", "gateway", "run", "-c", str(config)]
    shop = RealShop(data_dir, scanner_fd, box, environment, subprocess.Popen(command, env=environment))
    shop.address = wait_for(lambda: read_address(data_dir), "the pages' address")
    wait_for(lambda: answers(shop), "the pages")
    return shop


def read_address(data_dir: Path) -> str:
    path = data_dir / "web.address"
    return path.read_text().strip() if path.exists() else ""


def answers(shop: RealShop) -> bool:
    try:
        return "Running" in shop.page("/devices")
    except OSError:
        return False


def wait_for(question: Any, what: str, seconds: float = 60.0) -> Any:
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what}: not there after {seconds} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
