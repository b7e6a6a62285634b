"""Scales as they talk: a driver's own process against a peer on a pty, the cable pulled twenty times."""

import fcntl
import os
import termios
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from time import sleep

import pytest
from mtsics.core.state import ScaleConfig, ScaleState
from mtsics.protocol.engine import MTSICSEngine

from drivers.contract import ConfigError, DeviceGone, Weight
from drivers.loading import load
from drivers.scale_toledo8217 import PROBE, PROBE_END
from gateway.options import configured
from tests.drivers.desk import Desk
from tests.drivers.pty_peer import PtyPeer

DROPS = 20


class Toledo8217Peer:
    """A counter scale that speaks Toledo 8217: weight, status, and the echo probe."""

    def __init__(self) -> None:
        self.grams: int | None = 0  # None: in motion
        self._echoes = False

    def __call__(self, request: bytes) -> bytes:
        return b"".join(self._byte(bytes([byte])) for byte in request)

    def _byte(self, byte: bytes) -> bytes:
        if self._echoes:
            self._echoes = byte != b"F"
            return byte if self._echoes else b""
        if byte == b"E":
            self._echoes = True
            return b"\x02E\r"
        if byte != b"W":
            return b"\x02?\x40\r"
        if self.grams is None:
            return b"\x02?\x01\r"
        return f"\x02{self.grams // 1000:02d}.{self.grams % 1000:03d}\r".encode()


class MtSicsPeer:
    """mt-sics-emulator's protocol engine at the end of our line."""

    def __init__(self) -> None:
        self.state = ScaleState(config=ScaleConfig(capacity=15.0, graduation=0.001))
        self._engine = MTSICSEngine(self.state)
        self._pending = b""

    def __call__(self, request: bytes) -> bytes:
        *lines, self._pending = (self._pending + request).split(b"\n")
        return b"".join(self._engine.handle(line.decode().strip()).encode() for line in lines)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "scale"


def settled(desk: Desk, value: Decimal) -> bool:
    return any(one.stable and one.value == value for one in desk.of(Weight))


def test_a_toledo_scale_is_read_again_after_each_of_twenty_unpluggings(tmp_path: Path, port: Path) -> None:
    scale = Toledo8217Peer()
    peer = PtyPeer(port, scale)
    desk = Desk(tmp_path, "scale_toledo8217", port=str(port), unit="kg", poll_ms=200)
    try:
        for number in range(1, DROPS + 1):
            scale.grams = 100 * number
            peer.plug()
            desk.serve(lambda desk, grams=scale.grams: settled(desk, Decimal(grams) / 1000))  # type: ignore[misc]
            peer.unplug()
    finally:
        peer.unplug()
        exit_code = desk.close()

    values = [int((one.value or 0) * 1000) for one in desk.of(Weight) if one.stable]
    assert sorted(set(values)) == [100 * number for number in range(1, DROPS + 1)]
    assert values == sorted(values)
    assert (desk.states.count("running"), exit_code) == (DROPS, 0)


def test_an_mt_sics_scale_is_read_again_after_each_of_twenty_unpluggings(tmp_path: Path, port: Path) -> None:
    scale = MtSicsPeer()
    peer = PtyPeer(port, scale)
    desk = Desk(tmp_path, "scale_mtsics", port=str(port), poll_ms=100)
    try:
        for number in range(1, DROPS + 1):
            scale.state.set_weight(number / 10, stable=True)
            peer.plug()
            desk.serve(lambda desk, number=number: settled(desk, Decimal(number) / 10))  # type: ignore[misc]
            peer.unplug()
    finally:
        peer.unplug()
        exit_code = desk.close()

    values = [one.value for one in desk.of(Weight) if one.stable]
    assert sorted(set(values)) == [Decimal(number) / 10 for number in range(1, DROPS + 1)]
    assert exit_code == 0


def test_a_load_that_moves_is_no_weight_until_it_rests(tmp_path: Path, port: Path) -> None:
    scale = Toledo8217Peer()
    scale.grams = None
    peer = PtyPeer(port, scale)
    peer.plug()
    desk = Desk(tmp_path, "scale_toledo8217", port=str(port), unit="kg", poll_ms=200)
    try:
        desk.serve(lambda desk: any(one.status == "in_motion" for one in desk.of(Weight)))
        assert not any(one.value for one in desk.of(Weight))
        scale.grams = 1250
        desk.serve(lambda desk: settled(desk, Decimal("1.250")))
    finally:
        peer.unplug()
        desk.close()


def test_a_scale_that_does_not_send_its_unit_needs_one_in_the_settings(tmp_path: Path, port: Path) -> None:
    desk = Desk(tmp_path, "scale_toledo8217", port=str(port))
    desk.serve(lambda desk: "config_error" in desk.states)
    desk.close()

    assert any('set unit = "kg"' in text for text in desk.texts)


def test_the_probe_of_the_protocol_is_sent_and_understood() -> None:
    driver = load("scale_toledo8217")
    decoder = driver.decoder(configured(driver, {"probe": True}))  # type: ignore[union-attr]
    scale = Toledo8217Peer()

    assert decoder.pending_bytes(0.0) == PROBE == b"Ehello"
    (identified,) = decoder.feed(scale(PROBE), 0.1)
    assert identified.status == "identified"
    assert decoder.pending_bytes(0.2) == PROBE_END == b"F"
    assert scale(PROBE_END) == b""
    assert decoder.pending_bytes(2.0) == b"W"
    (weight,) = decoder.feed(scale(b"W"), 2.1)
    assert weight.value == Decimal("0.000")


@pytest.mark.parametrize(
    ("driver", "settings", "question", "answer"),
    [
        ("scale_toledo8217", {}, b"W", b"\x0201.250\r"),
        ("scale_mtsics", {}, b"SI\r\n", b"S S     100.00 g\r\n"),
        ("scale_mtsics", {"command": "S"}, b"S\r\n", b"S S     100.00 g\r\n"),
        ("scale_nci", {}, b"W\r", b"\n01.250LB\r\nS00\r\x03"),
        ("scale_header_line", {"request": "Q"}, b"Q\r\n", b"ST,GS,+0001260kg\r\n"),
    ],
)
def test_a_scale_is_asked_again_only_after_it_has_answered(
    driver: str, settings: dict[str, str], question: bytes, answer: bytes
) -> None:
    loaded = load(driver)
    decoder = loaded.decoder(configured(loaded, settings))  # type: ignore[union-attr]

    assert decoder.pending_bytes(0.0) == question
    assert decoder.pending_bytes(0.5) == b""
    decoder.feed(answer, 0.6)
    assert decoder.pending_bytes(0.7) == b""
    assert decoder.pending_bytes(0.6 + 0.25) == question


def test_a_scale_that_sends_by_itself_is_not_asked() -> None:
    loaded = load("scale_header_line")
    decoder = loaded.decoder(configured(loaded, {}))  # type: ignore[union-attr]

    assert decoder.pending_bytes(0.0) == b""


def test_a_cas_scale_is_asked_for_the_weight_once_it_is_ready() -> None:
    loaded = load("scale_cas")
    decoder = loaded.decoder(configured(loaded, {}))  # type: ignore[union-attr]

    assert decoder.pending_bytes(0.0) == b"\x05"
    assert decoder.feed(b"\x06", 0.1) == []
    assert decoder.pending_bytes(0.1) == b"\x11"
    (weight,) = decoder.feed(b"\x01\x02S   1.250kgW\x03\x04", 0.2)
    assert (weight.value, weight.stable) == (Decimal("1.250"), True)


def test_a_scale_that_never_answers_is_reported_with_what_to_look_at() -> None:
    loaded = load("scale_nci")
    decoder = loaded.decoder(configured(loaded, {}))  # type: ignore[union-attr]
    for second in range(8):
        decoder.pending_bytes(float(second) * 1.1)

    (health,) = decoder.idle(10.0)

    assert (health.status, "asked at 9600 baud, no answer" in health.error) == ("silent", True)
    assert decoder.idle(11.0) == []


def test_a_value_without_a_flag_is_stable_when_it_has_stayed_for_a_second() -> None:
    loaded = load("scale_header_line")
    decoder = loaded.decoder(configured(loaded, {}))  # type: ignore[union-attr]

    said = [decoder.feed(b"     100.00 g  \r\n", at_s)[0].stable for at_s in (0.0, 0.4, 0.8, 1.0, 1.2)]
    moved = decoder.feed(b"     100.01 g  \r\n", 1.4)[0].stable

    assert said == [None, None, None, True, True]
    assert moved is None


def test_the_first_report_of_a_usb_scale_is_an_old_one_and_skipped(tmp_path: Path) -> None:
    fifo = tmp_path / "hidraw"
    os.mkfifo(fifo)
    reports = [bytes.fromhex("03040bff6f04"), bytes.fromhex("03020bff0000")]

    def scale() -> None:
        with fifo.open("wb", buffering=0) as end:
            for report in reports:
                end.write(report)
                while any(fcntl.ioctl(end, termios.FIONREAD, bytes(4))):  # until it was read
                    sleep(0.01)

    thread = threading.Thread(target=scale)
    thread.start()
    loaded = load("scale_hid")
    config = configured(loaded, {"path": str(fifo)})
    transport = loaded.open(config)  # type: ignore[union-attr]
    first_kept = transport.read(60.0)
    transport.close()
    thread.join()

    assert first_kept == reports[1]


def test_a_usb_scale_that_goes_while_it_is_opened_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    (tmp_path / "hidraw").write_bytes(b"")  # it opens, and there is nothing to read
    loaded = load("scale_hid")
    config = configured(loaded, {"path": str(tmp_path / "hidraw")})
    open_before = sum(1 for _ in Path("/proc/self/fd").iterdir())

    for _ in range(20):
        with pytest.raises(DeviceGone, match="closed by the other side"):
            loaded.open(config)  # type: ignore[union-attr]

    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == open_before


def test_a_balance_on_the_network_whose_port_cannot_be_is_a_mistake_in_the_settings() -> None:
    loaded = load("scale_mtsics")

    with pytest.raises(ConfigError, match="its TCP port is 1 to 65535, such as 8001"):
        loaded.open(configured(loaded, {"port": "192.168.1.20:80010"}))  # type: ignore[union-attr]
