"""A shelf on a NAU7802: the chip is played by its registers, as the data sheet lists them."""

from decimal import Decimal

import pytest

from drivers.contract import ConfigError, DeviceGone, Health, Weight
from drivers.i2c import I2cSlave
from drivers.load_cell import LoadCell
from drivers.scale_nau7802 import Nau7802Config, Nau7802Decoder, Nau7802Driver, Nau7802Transport

CELL = LoadCell(zero_counts=1_000, counts_per_gram=100, division_grams=Decimal(1), samples_per_s=10)


class Chip:
    """The registers of a NAU7802: powers up when told to, calibrates for two looks, then converts."""

    def __init__(self, conversions: list[bytes], *, powers_up: bool = True, calibration: int = 0) -> None:
        self.registers = bytearray(32)
        self.is_closed = False
        self._conversions = conversions
        self._powers_up = powers_up
        self._calibration = calibration
        self._looks = 0
        self._at = 0

    def write(self, data: bytes) -> None:
        self._at = data[0]
        if len(data) == 2:
            self.registers[data[0]] = data[1]
            self._looks = 2

    def read(self, size_bytes: int) -> bytes:
        if self._at == 0x12:
            return self._conversions.pop(0)
        value = self.registers[self._at]
        if self._at == 0x00 and self._powers_up and value & 2:
            value |= 8
        if self._at == 0x00 and value & 16 and self._conversions:
            value |= 32
        if self._at == 0x02 and value & 4:
            self._looks -= 1
            if self._looks <= 0:
                value = self.registers[0x02] = value & ~4 | self._calibration
        return bytes([value])

    def close(self) -> None:
        self.is_closed = True


def test_the_converter_is_started_and_gives_one_conversion_after_the_other():
    chip = Chip([b"\x00\x03\xe8", b"\x00\x03\xe9"])
    transport = Nau7802Transport(chip)

    assert [transport.read(0), transport.read(0), transport.read(0)] == [
        b"\x00\x03\xe8",
        b"\x00\x03\xe9",
        b"",
    ]
    assert chip.registers[0x00] == 0x96  # digital and analog part on, own supply, cycle start
    assert chip.registers[0x01] == 0x2F  # 3.0 V, gain 128


def test_a_chip_that_does_not_power_up_is_gone_and_its_bus_is_free_again():
    chip = Chip([], powers_up=False)

    with pytest.raises(DeviceGone, match=r"does not power up; check its 3\.3 V supply"):
        Nau7802Transport(chip)

    assert chip.is_closed


def test_a_chip_whose_own_calibration_fails_says_to_check_the_cell():
    with pytest.raises(DeviceGone, match="check the cell's four wires"):
        Nau7802Transport(Chip([], calibration=8))


def test_conversions_cut_anywhere_give_the_same_weights():
    goods = (1_000 + 25_000).to_bytes(3, "big") * 40

    whole, by_byte = Nau7802Decoder(CELL), Nau7802Decoder(CELL)

    assert whole.feed(goods, 0.0) == [
        reading for byte in goods for reading in by_byte.feed(bytes([byte]), 0.0)
    ]


def test_a_quarter_kilo_on_the_shelf_is_a_quarter_kilo():
    decoder = Nau7802Decoder(CELL)

    last = decoder.feed((1_000 + 25_000).to_bytes(3, "big") * 40, 0.0)[-1]

    assert last == Weight(value=Decimal(250), unit="g", stable=True, quality="warming_up", raw_hex="006590")


def test_a_converter_that_stops_is_said_once():
    decoder = Nau7802Decoder(CELL)
    decoder.feed(b"\x00\x03\xe8" * 20, 10.0)

    assert decoder.idle(11.9) == []
    assert [type(one) for one in decoder.idle(12.0)] == [Health]
    assert decoder.idle(13.0) == []


def test_a_port_that_is_no_i2c_bus_is_a_mistake_in_the_settings(tmp_path):
    (tmp_path / "not-a-bus").write_bytes(b"")

    with pytest.raises(ConfigError, match="is no I2C bus; set port to /dev/i2c-1"):
        I2cSlave(str(tmp_path / "not-a-bus"), 0x2A)


def test_a_bus_that_is_not_there_is_waited_for(tmp_path):
    with pytest.raises(DeviceGone, match="is I2C switched on"):
        Nau7802Driver().open(Nau7802Config(port=str(tmp_path / "i2c-9")))
