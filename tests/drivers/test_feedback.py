"""What the clerk hears: after the booking, in the right rhythm, and never in the way of the next scan."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from drivers.contract import OutcomeCode, Scan
from drivers.feedback import (
    GPIO_V2_GET_LINE,
    GPIO_V2_OUTPUT,
    GPIO_V2_SET_VALUES,
    LINE_REQUEST,
    LINE_VALUES,
    TONES,
    pulses,
    samples,
)
from tests.drivers.desk import Desk
from tests.drivers.pty_peer import PtyPeer
from tests.system.shop import ean13

PLAYER = """#!/bin/sh
wc -c >> "{log}"
sleep {seconds}
"""
GPIO_HEADER = Path("/usr/include/linux/gpio.h")
GPIO_FACTS = """
#include <stddef.h>
#include <stdio.h>
#include <linux/gpio.h>
int main(void) {
    printf("%lu %lu %lu %lu %lu %lu %lu %lu %lu", sizeof(struct gpio_v2_line_request),
        offsetof(struct gpio_v2_line_request, consumer), offsetof(struct gpio_v2_line_request, config),
        offsetof(struct gpio_v2_line_request, num_lines), offsetof(struct gpio_v2_line_request, fd),
        sizeof(struct gpio_v2_line_values), (unsigned long)GPIO_V2_GET_LINE_IOCTL,
        (unsigned long)GPIO_V2_LINE_SET_VALUES_IOCTL, (unsigned long)GPIO_V2_LINE_FLAG_OUTPUT);
}
"""


@pytest.fixture
def scanner(tmp_path: Path) -> Any:
    peer = PtyPeer(tmp_path / "scanner", lambda request: b"")
    peer.plug()
    yield peer
    peer.unplug()


def install_player(folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> Path:
    """A sound card that takes its time: a program `aplay` that notes how much it was given."""
    log = folder / "played"
    log.touch()
    player = folder / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text(PLAYER.format(log=log, seconds=seconds))
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{player.parent}:{os.environ['PATH']}")
    return log


def test_every_outcome_has_its_tone() -> None:
    assert set(TONES) == set(get_args(OutcomeCode))


@pytest.mark.parametrize(
    ("code", "rhythm"),
    [
        ("ok", [(True, 0.08), (False, 0.0)]),
        ("expired", [(True, 0.4), (False, 0.0)]),
        ("unknown", [(True, 0.15), (False, 0.06), (True, 0.15), (False, 0.0)]),
        ("not_recording", [(True, 1.5), (False, 0.0)]),
    ],
)
def test_a_lamp_has_the_rhythm_of_the_tone(code: OutcomeCode, rhythm: list[tuple[bool, float]]) -> None:
    assert pulses(TONES[code]) == rhythm


def test_a_tone_is_as_long_as_it_should_be_and_begins_and_ends_softly() -> None:
    sound = samples(TONES["ok"])

    values = memoryview(sound).cast("h")
    assert len(values) == 1_764  # 80 ms of 22,050 a second
    assert (values[0], abs(values[-1]) < 500) == (0, True)
    assert 15_000 < max(values) <= 16_383


def test_nothing_sounds_before_the_acknowledgement(
    tmp_path: Path, scanner: PtyPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = install_player(tmp_path, monkeypatch, seconds=0)
    desk = Desk(tmp_path, "serial_scanner", port=str(scanner.port), feedback="sound")
    desk.serve(lambda desk: "running" in desk.states)
    scanner.send(b"5901234123457\r")
    time.sleep(0.5)
    before = played.read_text()

    desk.serve(lambda desk: bool(played.read_text()))

    assert before == ""
    assert played.read_text() == "3528\n"
    desk.close()


def test_a_slow_sound_card_holds_up_no_scan(
    tmp_path: Path, scanner: PtyPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = install_player(tmp_path, monkeypatch, seconds=20)
    desk = Desk(
        tmp_path, "serial_scanner", port=str(scanner.port), feedback="sound,record:" + str(tmp_path / "said")
    )
    desk.serve(lambda desk: "running" in desk.states)

    for number in range(100):
        scanner.send(f"{ean13(number)}\r".encode())
    desk.serve(lambda desk: len(desk.of(Scan)) == 100)
    desk.serve(lambda desk: len((tmp_path / "said").read_text().splitlines()) == 100)

    assert len(played.read_text().splitlines()) <= 2
    desk.close()


def test_without_a_sound_program_scans_count(
    tmp_path: Path, scanner: PtyPeer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    desk = Desk(tmp_path, "serial_scanner", port=str(scanner.port), feedback="sound,gpio:17@/dev/no-chip")
    desk.serve(lambda desk: "running" in desk.states)

    for number in range(3):
        scanner.send(f"{ean13(number)}\r".encode())
    desk.serve(lambda desk: len(desk.of(Scan)) == 3)

    time.sleep(0.2)
    desk.close()
    said = capfd.readouterr().err
    assert said.count("neither aplay nor paplay is installed; run: sudo apt install alsa-utils") == 1
    assert said.count("/dev/no-chip") == 1


def test_the_kernel_is_asked_for_a_line_in_its_own_words(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or not GPIO_HEADER.exists():
        pytest.skip("no C compiler or no linux/gpio.h: nothing to compare with")
    source = tmp_path / "facts.c"
    source.write_text(GPIO_FACTS)
    subprocess.run([compiler, source, "-o", tmp_path / "facts"], check=True)

    facts = [int(word) for word in subprocess.check_output([tmp_path / "facts"]).split()]

    assert facts == [
        *(LINE_REQUEST.size, 256, 288, 560, 588, LINE_VALUES.size),
        *(GPIO_V2_GET_LINE, GPIO_V2_SET_VALUES, GPIO_V2_OUTPUT),
    ]
    request = LINE_REQUEST.pack(17, b"storekeeper", GPIO_V2_OUTPUT, 1, -1)
    assert (request[256:267], request[288], request[560], request[588:]) == (
        b"storekeeper",
        8,
        1,
        b"\xff" * 4,
    )
