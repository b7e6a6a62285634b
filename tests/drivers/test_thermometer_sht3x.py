"""An SHT31 on I2C; the chip is played by what it answers."""

import time

import pytest

from drivers.contract import Garbled, Humidity, Temperature
from drivers.thermometer_sht3x import MEASURE, Sht3xDecoder, Sht3xTransport, crc8_sensirion

FRAME = bytes.fromhex("6666938000a2")
ROOM = [Temperature(celsius=25.0, raw_hex="6666938000a2"), Humidity(50.000763)]


class Chip:
    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.asked.append(data)

    def read(self, size_bytes: int) -> bytes:
        return FRAME[:size_bytes]

    def close(self) -> None:
        pass


def test_the_crc_of_the_data_sheet():
    assert crc8_sensirion(bytes.fromhex("beef")) == 0x92


def test_six_bytes_are_a_temperature_and_a_humidity():
    assert Sht3xDecoder(10.0).feed(FRAME, 0.0) == ROOM


def test_the_ends_of_the_scale():
    def word(raw: str) -> bytes:
        return bytes.fromhex(raw) + bytes([crc8_sensirion(bytes.fromhex(raw))])

    assert [
        (temperature.celsius, humidity.humidity)
        for temperature, humidity in (
            Sht3xDecoder(10.0).feed(word("0000") + word("0000"), 0.0),
            Sht3xDecoder(10.0).feed(word("ffff") + word("ffff"), 0.0),
        )
    ] == [(-45.0, 0.0), (130.0, 100.0)]


def test_a_measurement_with_a_wrong_crc_is_none_and_the_next_one_is_read():
    broken = bytes.fromhex("6666948000a2")

    found = Sht3xDecoder(10.0).feed(broken + FRAME, 0.0)

    assert found == [Garbled(error="crc", raw_hex="6666948000a2"), *ROOM]


def test_a_measurement_is_asked_for_each_period_and_again_when_none_came():
    decoder = Sht3xDecoder(period_s=10.0)
    asked = [decoder.pending_bytes(0.0)]
    decoder.feed(FRAME, 0.05)
    asked += [decoder.pending_bytes(at_s) for at_s in (10.0, 10.05, 10.5, 11.05)]

    assert asked == [MEASURE, b"", MEASURE, b"", MEASURE]


def test_a_probe_that_never_measures_is_named():
    decoder = Sht3xDecoder(period_s=10.0)
    for at_s in range(5):
        decoder.pending_bytes(float(at_s))

    assert [one.status for one in decoder.idle(5.0)] == ["silent"]


@pytest.mark.parametrize("patience_s", [0.0, 0.05])
def test_the_chip_is_read_when_it_has_measured_and_not_before(patience_s):
    chip = Chip()
    transport = Sht3xTransport(chip)
    transport.write(MEASURE)
    started_s = time.monotonic()
    while not (data := transport.read(patience_s)):
        pass

    assert (data, chip.asked) == (FRAME, [MEASURE])
    assert time.monotonic() - started_s >= 0.014
