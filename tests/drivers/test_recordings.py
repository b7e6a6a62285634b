"""Every recording decodes to what stands beside it, however its bytes are cut."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers.recordings import about, readings, recordings

MINE = recordings("barcode", "scale")
SCALES = (
    "toledo8217_a_weighing",
    "mtsics_a_weighing",
    "header_line_a_weighing",
    "plain_line_a_weighing",
    "nci_a_weighing",
    "cas_a_weighing",
    "toledo_continuous_a_weighing_with_checksum",
    "toledo_continuous_a_weighing_without_checksum",
    "hid_a_weighing",
)


def named(recording: Path) -> str:
    return f"{recording.parent.name}/{recording.stem}"


@pytest.mark.parametrize("recording", MINE, ids=named)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096], ids=lambda size: f"{size}-byte-chunks")
def test_a_recording_decodes_to_its_expected_readings(recording: Path, chunk_bytes: int) -> None:
    assert readings(recording, chunk_bytes) == about(recording)["readings"]


@pytest.mark.parametrize("recording", MINE, ids=named)
def test_a_recording_says_where_it_comes_from(recording: Path) -> None:
    facts = about(recording)

    assert facts["source"] and facts["recorded"]


def test_each_scale_is_recorded_from_empty_to_unplugged() -> None:
    assert {recording.stem for recording in MINE} >= set(SCALES)


def test_no_recorded_scanner_is_taken_for_a_hostile_keyboard() -> None:
    suspects = [
        recording.stem
        for recording in recordings("barcode")
        if any(one.get("status") == "blocked_suspect" for one in readings(recording, 4096))
    ]

    assert suspects == ["evdev_badusb"]


def door(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "driver", "decode", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120)


def test_the_public_door_prints_one_reading_a_line() -> None:
    ran = door("serial_scanner", "--chunk", "7", "-", stdin=b"]E05901234123457\r\n\x01\r")

    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        {"type": "scan", "data": "5901234123457", "aim": "]E0"},
        {"type": "garbled", "error": "a byte that no barcode has", "raw_hex": "01"},
    ]


def test_the_public_door_takes_hexadecimal_text_and_a_weight_stays_as_sent() -> None:
    ran = door("scale_mtsics", "--hex", "-", stdin=b"53 20 53 20 31 30 2e 33 30 20 67 0d 0a\n")

    assert json.loads(ran.stdout) == {
        "type": "weight",
        "value": "10.30",
        "unit": "g",
        "stable": True,
        "raw_hex": "5320532031302e33302067",
    }


def test_a_code_without_an_end_key_is_a_scan_only_after_silence() -> None:
    recording = next(path for path in MINE if path.stem == "evdev_no_terminator_timeout")

    assert door("hid_scanner", "--idle-ms", "0", str(recording)).stdout == b""
    assert (
        json.loads(door("hid_scanner", "--idle-ms", "200", str(recording)).stdout)["data"] == "4006381333931"
    )


def test_a_mistyped_option_is_named_with_what_was_meant() -> None:
    ran = door("serial_scanner", "--set", "baudd=9600")

    assert ran.returncode == 3
    assert 'driver serial_scanner: "baudd" is not an option; did you mean "baud"?' in ran.stderr.decode()


def test_an_option_out_of_bounds_says_which_are_valid() -> None:
    ran = door("serial_scanner", "--set", "baud=96")

    assert ran.returncode == 3
    assert "driver serial_scanner: baud is 96; use 300 to 921600" in ran.stderr.decode()
