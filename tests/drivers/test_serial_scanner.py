"""Scanners on a serial line: ends, halves, answers, and a line that is set wrongly."""

from typing import Any

import pytest

from drivers.contract import ConfigError, Garbled, Health, Outcome, OutcomeCode, Scan
from drivers.loading import load
from drivers.serial_scanner import SerialScannerConfig, SerialScannerDecoder
from gateway.options import configured


def decoder(**settings: Any) -> SerialScannerDecoder:
    return SerialScannerDecoder(SerialScannerConfig(**settings))


def test_cr_and_lf_in_two_reads_are_one_end() -> None:
    scanner = decoder()

    assert scanner.feed(b"96385074\r", 0.0) == [Scan("96385074")]
    assert scanner.feed(b"\n96385074\r", 0.1) == [Scan("96385074")]


def test_half_a_line_becomes_garbled_after_its_time_and_not_before() -> None:
    scanner = decoder(idle_ms=500)
    scanner.feed(b"96385", 10.0)

    assert scanner.idle(10.4) == []
    assert scanner.idle(10.5) == [Garbled("half a line: no end came", b"96385".hex())]
    assert scanner.idle(11.0) == []


def test_the_separator_of_gs1_stays_in_the_code() -> None:
    assert decoder().feed(b"]C10107032069804988100329\x1d15210526\r", 0.0) == [
        Scan("0107032069804988100329\x1d15210526", aim="]C1")
    ]


def test_a_code_that_only_looks_like_an_identifier_stays_whole() -> None:
    assert decoder().feed(b"]12345\r]E0\r", 0.0) == [Scan("]12345"), Scan("]E0")]


@pytest.mark.parametrize(("code", "sound"), [("ok", b"\x07"), ("low", b"\x07"), ("unknown", b"\x07\x07\x07")])
def test_the_scanner_beeps_well_or_badly_after_the_commit(code: OutcomeCode, sound: bytes) -> None:
    assert decoder(reply="beep").voice(Outcome(code)) == sound


def test_a_scanner_with_a_display_is_told_the_text_on_one_line() -> None:
    scanner = decoder(reply="text")

    assert scanner.voice(Outcome("ok", "Oat drink\r\n9 left")) == b"ok Oat drink  9 left\r\n"
    assert scanner.voice(Outcome("garbled")) == b"garbled\r\n"


def test_a_scanner_without_a_voice_is_told_nothing() -> None:
    assert decoder().voice(Outcome("ok")) == b""


def test_nothing_readable_three_times_is_a_doubt_about_the_baud_rate_said_once() -> None:
    scanner = decoder(baud=2400)

    readings = scanner.feed(b"\xf8\x00\xfe\r" * 9, 0.0)

    doubts = [one for one in readings if isinstance(one, Health)]
    assert [doubt.status for doubt in doubts] == ["baud_suspect"]
    assert "nothing readable at 2400 baud: set baud to" in (doubts[0].error or "")


def test_one_good_code_ends_the_doubt() -> None:
    scanner = decoder()

    readings = scanner.feed(b"\x01\r\x01\r96385074\r\x01\r\x01\r", 0.0)

    assert not [one for one in readings if isinstance(one, Health)]


def test_codes_that_never_end_are_told_from_a_wrong_speed_and_named_once() -> None:
    scanner = decoder()

    readings = []
    for at_s in (1.0, 3.0, 5.0, 7.0):
        scanner.feed(b"4006381333931", at_s)
        readings += scanner.idle(at_s + 0.5)

    doubts = [one for one in readings if isinstance(one, Health)]
    assert [doubt.error for doubt in doubts] == [
        'readable at 9600 baud, and not what this driver reads: its codes have no end: scan "suffix CR"'
        ' (or "add Enter") in the manual of the scanner  [SK-D04]'
    ]


def test_a_beep_that_is_no_hexadecimal_is_a_mistake_in_the_settings() -> None:
    driver = load("serial_scanner")

    with pytest.raises(ConfigError, match='beep_bad is "BEL"; use pairs of hexadecimal digits'):
        configured(driver, {"port": "/dev/ttyUSB0", "beep_bad": "BEL"})
