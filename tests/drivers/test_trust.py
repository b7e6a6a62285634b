"""A keyboard that types what no scanner types: blocked when nobody has confirmed it, muted when the owner has.

The driver's process is the real one; the input device is a pipe that carries the kernel's records.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.contract import Garbled, Scan
from drivers.discover import hardware_at
from drivers.tap import decode_tapped
from drivers.trust import FREE_CODE, Trust
from drivers.typed_keys import Stroke, input_records, strokes
from tests.drivers.desk import Desk
from tests.drivers.test_discover import Pi

SCANNER, STICK = "0c2e:0b61#18012B0F2A", "16c0:047c"
WINDOWS_KEY, R = 125, 19
CODE, OTHER = "5901234123457", "96385074"


class Keyboard:
    """A pipe where an input device would be, and the driver that reads it."""

    def __init__(self, folder: Path, *trust: str | None) -> None:
        self.path = folder / "event9"
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDWR)  # also its other end, so that it never looks unplugged
        self.desk = Desk(folder, "hid_scanner", path=str(self.path), grab=False, trust=list(trust))
        self.desk.serve(lambda desk: "running" in desk.states)

    def scan(self, code: str) -> None:
        os.write(self._fd, b"".join(input_records(strokes(code, "us", "enter"))))

    def attack(self) -> None:
        """Windows+R: the first thing that a programmed stick does."""
        os.write(self._fd, b"".join(input_records([Stroke(R, WINDOWS_KEY)])))
        os.write(self._fd, b"".join(input_records(strokes("calc", "us", "enter"))))

    def scans(self) -> list[str]:
        return [scan.data for scan in self.desk.of(Scan)]

    def close(self) -> None:
        self.desk.close()
        os.close(self._fd)


@pytest.fixture
def plugged(tmp_path: Path) -> Iterator[list[Keyboard]]:
    made: list[Keyboard] = []
    yield made
    for one in made:
        one.close()


def test_a_keyboard_that_nobody_confirmed_is_blocked_and_stays_so(plugged, tmp_path):
    plugged.append(keyboard := Keyboard(tmp_path))
    keyboard.scan(CODE)
    keyboard.attack()
    keyboard.desk.serve(lambda desk: "blocked" in desk.states)
    keyboard.scan(OTHER)
    keyboard.scan(FREE_CODE)  # a stick can type that as well
    keyboard.desk.serve(lambda desk: desk.counts.get("blocked", 0) > 0)
    time.sleep(0.3)

    assert keyboard.scans() == [CODE]
    assert keyboard.desk.states[-1] == "blocked"
    assert "key 125: no scanner presses that" in keyboard.desk.texts[-1]


def test_one_tap_lets_a_blocked_keyboard_count_again(plugged, tmp_path):
    plugged.append(keyboard := Keyboard(tmp_path))
    keyboard.attack()
    keyboard.desk.serve(lambda desk: "blocked" in desk.states)
    keyboard.desk.tell("confirm")
    keyboard.desk.serve(lambda desk: desk.states[-1] == "running")
    keyboard.scan(CODE)
    keyboard.desk.serve(lambda desk: desk.of(Scan))

    assert keyboard.scans() == [CODE]


def test_one_that_the_owner_confirmed_is_muted_for_ten_seconds_and_never_blocked(plugged, tmp_path):
    plugged.append(keyboard := Keyboard(tmp_path, ""))
    keyboard.attack()
    keyboard.desk.serve(lambda desk: "muted" in desk.states)
    muted_s = time.monotonic()
    keyboard.scan(OTHER)
    keyboard.desk.serve(lambda desk: desk.states[-1] == "running")
    back_s = time.monotonic() - muted_s
    keyboard.scan(CODE)
    keyboard.desk.serve(lambda desk: desk.of(Scan))

    assert keyboard.scans() == [CODE]
    assert "blocked" not in keyboard.desk.states
    assert 9 < back_s < 60


def test_one_code_ends_the_muting_and_counts(plugged, tmp_path):
    plugged.append(keyboard := Keyboard(tmp_path, ""))
    keyboard.attack()
    keyboard.desk.serve(lambda desk: "muted" in desk.states)
    keyboard.scan(OTHER)
    keyboard.scan(FREE_CODE)
    keyboard.scan(CODE)
    keyboard.desk.serve(lambda desk: len(desk.of(Scan)) == 2)

    assert keyboard.scans() == [FREE_CODE, CODE]


def test_a_block_outlives_the_driver_and_the_unplugging(plugged, tmp_path):
    keyboard = Keyboard.__new__(Keyboard)
    os.mkfifo(tmp_path / "event9")
    keyboard._fd = os.open(tmp_path / "event9", os.O_RDWR)
    keyboard.desk = Desk(tmp_path, "hid_scanner", path=str(tmp_path / "event9"), grab=False, trust=[None, ""])
    plugged.append(keyboard)
    keyboard.desk.serve(lambda desk: "blocked" in desk.states)
    keyboard.scan(CODE)
    keyboard.desk.serve(lambda desk: desk.counts.get("blocked", 0) > 0)

    assert keyboard.scans() == []


def test_the_shops_own_scanner_in_the_port_of_the_blocked_stick_counts():
    trust = Trust(confirmed=SCANNER, blocked=STICK)

    trust.plugged(STICK)
    stick = trust.is_blocked
    trust.plugged(SCANNER)

    assert (stick, trust.is_blocked) == (True, False)


def test_a_stick_in_the_port_of_a_confirmed_scanner_is_not_confirmed():
    trust = Trust(confirmed=SCANNER)
    trust.plugged(STICK)

    state, _ = trust.suspect("a flood", 1.0)

    assert (state, trust.is_blocked) == ("blocked", True)


def test_hardware_is_told_by_maker_model_and_true_serial_number(tmp_path):
    pi = Pi(tmp_path)
    pi.keyboard("3", "1.2", "Datalogic QuickScan", "18012B0F2A")
    (tmp_path / "sys").rglob("idVendor").__next__().with_name("idProduct").write_text("0b61\n")

    assert hardware_at("/dev/input/event3", tmp_path) == SCANNER
    assert hardware_at("/dev/pts/3", tmp_path) == ""


def test_who_sets_a_scanner_up_sees_its_bytes_and_nothing_of_it_is_booked(plugged, tmp_path):
    import zmq

    listener = zmq.Context.instance().socket(zmq.PULL)
    listener.bind(f"ipc://{tmp_path}/tap-1")
    plugged.append(keyboard := Keyboard(tmp_path))
    keyboard.desk.tell("tap", to="tap-1", seconds=20, aside=True)
    time.sleep(0.3)
    keyboard.scan(CODE)
    keyboard.desk.serve(lambda desk: listener.poll(10))
    seen = [decode_tapped(listener.recv())]
    while listener.poll(300):
        seen.append(decode_tapped(listener.recv()))
    keyboard.desk.tell("untap")
    time.sleep(0.3)
    keyboard.scan(OTHER)
    keyboard.desk.serve(lambda desk: desk.of(Scan))
    listener.close()

    assert b"".join(one.raw for one in seen) == b"".join(input_records(strokes(CODE, "us", "enter")))
    assert [reading for one in seen for reading in one.readings] == [Scan(CODE)]
    assert keyboard.scans() == [OTHER]
    assert keyboard.desk.of(Garbled) == []
