"""The report descriptor decides: which mode a USB device is in, and how long its reports are."""

import pytest

from drivers.contract import ConfigError, DeviceGone, Garbled, Scan
from drivers.hid_descriptor import KEYBOARD_PAGE, SCALE_PAGE, SCANNER_PAGE, input_report_bytes, usage_pages
from drivers.hid_pos import HidPosConfig, HidPosDecoder, check_descriptor

# Made after the examples of USB HID 1.11 (appendix E.6, keyboard) and the POS and scale usage tables.
KEYBOARD = bytes.fromhex(
    "05010906a101050719e029e71500250175019508810295017508810195057501050819012905910295017503910195067508"
    "150025650507190029658100c0"
)
SCANNER = bytes.fromhex("058c0902a1018502 7508 95018102 95038102 95388102 95028102 95018102 c0")
SHORT_SCANNER = bytes.fromhex("058c0902a1018502 7508 95268102 c0")
SCALE = bytes.fromhex("058d0920a1018503 7508 95018102 95018102 95018102 95028102 c0")


def test_a_boot_keyboard_has_reports_of_eight_bytes_without_a_number() -> None:
    assert KEYBOARD_PAGE in usage_pages(KEYBOARD)
    assert input_report_bytes(KEYBOARD) == {0: 8}


def test_a_hid_pos_scanner_has_reports_of_64_bytes() -> None:
    assert SCANNER_PAGE in usage_pages(SCANNER)
    assert input_report_bytes(SCANNER) == {2: 64}


def test_a_scale_has_reports_of_six_bytes() -> None:
    assert SCALE_PAGE in usage_pages(SCALE)
    assert input_report_bytes(SCALE) == {3: 6}


def test_a_scanner_in_keyboard_mode_is_told_what_to_do_and_looked_at_again() -> None:
    with pytest.raises(DeviceGone, match="is in keyboard mode: scan the code for USB HID-POS"):
        check_descriptor(KEYBOARD, HidPosConfig(path="/dev/hidraw0"))


def test_a_scanner_with_other_reports_says_which_length_to_set() -> None:
    with pytest.raises(ConfigError, match="sends reports of 39 bytes: set report_bytes = 39"):
        check_descriptor(SHORT_SCANNER, HidPosConfig(path="/dev/hidraw0"))


@pytest.mark.parametrize("descriptor", [b"", SCANNER, SCANNER[:5], b"\xfe", b"\xfe\x03abc"])
def test_a_fitting_or_unknown_descriptor_is_accepted(descriptor: bytes) -> None:
    check_descriptor(descriptor, HidPosConfig(path="/dev/hidraw0"))


def pos_report(code: bytes) -> bytes:
    return bytes([2, len(code)]) + b"]E0" + code.ljust(58, b"\0") + b"\0"


def test_a_report_of_another_length_is_named_and_shifts_none_of_those_behind_it() -> None:
    scanner = HidPosDecoder(HidPosConfig())

    assert scanner.feed(b"\x05\x01", 10.0) == []
    assert scanner.idle(10.5) == [Garbled("a report of 2 bytes, not of 64: set report_bytes", "0501")]
    assert scanner.feed(pos_report(b"96385074"), 11.0) == [Scan("96385074", aim="]E0")]
