"""Somebody else's counter scale and scanner, emupos (Apache-2.0), in a process and an environment of its own.

It needs Python 3.13: `make emupos` where there is one. Found in .venv/emupos, on PATH, or where $EMUPOS says.
"""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.contract import Scan, Weight
from gateway.demo.processes import free_port
from tests.drivers.desk import Desk

FOUND = os.environ.get("EMUPOS") or shutil.which("emupos", path=f".venv/emupos/bin:{os.environ['PATH']}")
DROPS = 20 if os.environ.get("SOAK") else 4
CODE = "4006381333931"
DEVICES = """
schema: 1
api: {{ host: 127.0.0.1, port: {port} }}
devices:
  - {{ id: deli, type: scale, profile: toledo8217-15kg, connections: [{{ serial: {{ pty: true }} }}] }}
  - {{ id: lane, type: scanner, mode: serial, suffix: enter, connections: [{{ serial: {{ pty: true }} }}] }}
"""

pytestmark = pytest.mark.skipif(FOUND is None, reason="emupos is not there (Python 3.13): make emupos")


class Emupos:
    """Its devices are at `folder`/emupos/NAME while it is plugged in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port(18_900)
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "emupos.yaml").write_text(DEVICES.format(port=self._port))

    def port_of(self, device: str) -> str:
        return str(self._folder / "emupos" / device)

    def plug(self) -> None:
        assert FOUND
        with (self._folder / "emupos.log").open("ab") as log:
            self._process = subprocess.Popen(
                [Path(FOUND).absolute(), "run", "--config", "emupos.yaml"],
                cwd=self._folder,
                env={**os.environ, "TMPDIR": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + 120
        while not self._is_there():
            assert time.monotonic() < deadline_s, (self._folder / "emupos.log").read_text()
            time.sleep(0.05)

    def unplug(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def weigh(self, grams: int, *, stable: bool = True) -> None:
        assert self._ask("PUT", "/devices/deli/weight", {"grams": grams, "stable": stable}) == 204

    def scan(self, code: str) -> None:
        assert self._ask("POST", "/devices/lane/scans", {"data": code, "countdown_seconds": 0}) == 202

    def _is_there(self) -> bool:
        try:
            return self._ask("GET", "/devices") == 200
        except OSError:
            return False

    def _ask(self, method: str, path: str, body: object = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            said = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", said, {"Content-Type": "application/json"})
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def emupos(tmp_path: Path) -> Iterator[Emupos]:
    one = Emupos(tmp_path)
    yield one
    one.unplug()


def is_settled(desk: Desk, value: str) -> bool:
    return any(one.stable and one.value == Decimal(value) for one in desk.of(Weight))


def test_its_scale_is_read_again_after_each_power_cut(tmp_path: Path, emupos: Emupos) -> None:
    desk = Desk(tmp_path, "scale_toledo8217", port=emupos.port_of("deli"), unit="kg", poll_ms=200)
    try:
        for number in range(1, DROPS + 1):
            emupos.plug()
            emupos.weigh(100 * number)
            desk.serve(lambda desk, number=number: is_settled(desk, f"0.{number}"))  # type: ignore[misc]
            emupos.unplug()
    finally:
        exit_code = desk.close()

    stable = [one for one in desk.of(Weight) if one.stable and one.value]
    assert {one.value for one in stable} == {Decimal(f"0.{number}") for number in range(1, DROPS + 1)}
    assert {one.unit for one in stable} == {"kg"}
    assert (desk.states.count("running"), exit_code) == (DROPS, 0)


def test_a_load_that_moves_on_its_scale_is_no_weight(tmp_path: Path, emupos: Emupos) -> None:
    emupos.plug()
    desk = Desk(tmp_path, "scale_toledo8217", port=emupos.port_of("deli"), unit="kg", poll_ms=200)
    try:
        emupos.weigh(1_250, stable=False)
        desk.serve(lambda desk: any("in_motion" in (one.status or "") for one in desk.of(Weight)))
        desk.serve(lambda desk: is_settled(desk, "1.250"))
        emupos.weigh(15_500)  # it can weigh 15 kg
        desk.serve(lambda desk: any(one.error == "overload" for one in desk.of(Weight)))
    finally:
        desk.close()


def test_each_scan_of_its_scanner_is_acknowledged_once(tmp_path: Path, emupos: Emupos) -> None:
    emupos.plug()
    desk = Desk(tmp_path, "serial_scanner", port=emupos.port_of("lane"))
    try:
        desk.serve(lambda desk: "running" in desk.states)
        for count in range(1, DROPS + 1):
            emupos.scan(CODE)
            desk.serve(lambda desk, count=count: len(desk.of(Scan)) == count)  # type: ignore[misc]
    finally:
        desk.close()

    assert [one.data for one in desk.of(Scan)] == [CODE] * DROPS
