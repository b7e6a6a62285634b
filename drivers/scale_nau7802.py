"""Load cells on a NAU7802 (24-bit converter, I2C): the advised way to weigh a shelf.

Unlike an HX711 it keeps its own clock, so no sample is disturbed by what else the computer does. What comes
out of the port is one conversion after the other, three bytes each, most significant first: that is what
`driver decode` reads and what a recording holds.
"""

import time
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Decoder, DeviceGone, Health, Transport
from drivers.i2c import I2cSlave, Slave
from drivers.load_cell import LoadCell, LoadCellFilter, load_cell, signed24

CONVERSION_BYTES = 3
SILENT_S = 2.0

# Registers and bits of the NAU7802 data sheet (Nuvoton, revision 1.7)
PU_CTRL, CTRL1, CTRL2, ADC_OUT, ADC_CONTROL, POWER = 0x00, 0x01, 0x02, 0x12, 0x15, 0x1C
RESET, DIGITAL_ON, ANALOG_ON, IS_POWERED, START, IS_READY, OWN_SUPPLY = 1, 2, 4, 8, 16, 32, 128
CALIBRATE, CALIBRATION_FAILED = 0x04, 0x08
LDO_3V0_GAIN_128 = 0b101_111
SAMPLES_PER_S, RATE_10_PER_S = 10, 0b000 << 4  # the slowest rate has the least noise
CHOPPER_OFF = 0x30
PGA_CAPACITOR = 0x80
CONVERSION_WAIT_S = 0.002
POWER_UP_S, CALIBRATION_S = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Nau7802Config:
    port: str = "/dev/i2c-1"
    address: Annotated[int, Ge(0x08), Le(0x77)] = 0x2A
    zero_counts: float = 0.0  # what the empty shelf says ...
    counts_per_gram: float = (
        0.0  # ... and what a known weight adds to it, by its grams; 0: not calibrated yet
    )
    division_grams: str = "1"


class Nau7802Driver:
    Config = Nau7802Config

    def open(self, config: Nau7802Config) -> Transport:
        return Nau7802Transport(I2cSlave(config.port, config.address))

    def decoder(self, config: Nau7802Config) -> Decoder:
        cell = load_cell(config.zero_counts, config.counts_per_gram, config.division_grams, SAMPLES_PER_S)
        return Nau7802Decoder(cell)


class Nau7802Decoder:
    """Conversions of three bytes, nothing between them; cut anywhere."""

    def __init__(self, cell: LoadCell) -> None:
        self._filter = LoadCellFilter(cell)
        self._pending = b""
        self._last_s: float | None = None
        self._is_silent = False

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        if chunk:
            self._last_s, self._is_silent = now_s, False
        data = self._pending + chunk
        whole = len(data) - len(data) % CONVERSION_BYTES
        self._pending = data[whole:]
        readings: list[AnyReading] = []
        for at in range(0, whole, CONVERSION_BYTES):
            readings += self._filter.sample(signed24(data[at : at + CONVERSION_BYTES]))
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        if self._last_s is None:
            self._last_s = now_s
        if self._is_silent or now_s - self._last_s < SILENT_S:
            return []
        self._is_silent, self._pending = True, b""
        self._filter.gap()
        return [Health(status="silent", error="the converter stopped: check its 3.3 V supply and its wires")]


class Nau7802Transport:
    """Starts the converter, then reads one conversion after the other. Raises DeviceGone."""

    def __init__(self, chip: Slave) -> None:
        self._chip = chip
        try:
            self._start()
        except DeviceGone:
            chip.close()
            raise

    def fileno(self) -> int:
        return -1

    def read(self, timeout_s: float) -> bytes:
        until_s = time.monotonic() + timeout_s
        while not self._register(PU_CTRL) & IS_READY:
            if time.monotonic() >= until_s:
                return b""
            time.sleep(CONVERSION_WAIT_S)
        self._chip.write(bytes([ADC_OUT]))
        return self._chip.read(CONVERSION_BYTES)

    def write(self, data: bytes) -> None:
        raise DeviceGone("a NAU7802 takes no bytes")

    def close(self) -> None:
        self._chip.close()

    def _start(self) -> None:
        self._set(PU_CTRL, RESET)
        self._set(PU_CTRL, DIGITAL_ON)
        self._wait(PU_CTRL, IS_POWERED, POWER_UP_S, "does not power up")
        self._set(CTRL1, LDO_3V0_GAIN_128)
        self._set(PU_CTRL, DIGITAL_ON | ANALOG_ON | OWN_SUPPLY)
        self._set(CTRL2, RATE_10_PER_S)
        self._set(ADC_CONTROL, self._register(ADC_CONTROL) | CHOPPER_OFF)
        self._set(POWER, self._register(POWER) | PGA_CAPACITOR)
        self._calibrate_amplifier()
        self._set(PU_CTRL, DIGITAL_ON | ANALOG_ON | OWN_SUPPLY | START)

    def _calibrate_amplifier(self) -> None:
        """The chip shorts its own inputs and measures its offset: no tare, the load plays no part."""
        self._set(CTRL2, RATE_10_PER_S | CALIBRATE)
        until_s = time.monotonic() + CALIBRATION_S
        while self._register(CTRL2) & CALIBRATE:
            if time.monotonic() >= until_s:
                raise DeviceGone("NAU7802: its own calibration does not end; check the supply")
            time.sleep(CONVERSION_WAIT_S)
        if self._register(CTRL2) & CALIBRATION_FAILED:
            raise DeviceGone("NAU7802: its own calibration failed; check the cell's four wires")

    def _wait(self, register: int, bit: int, within_s: float, trouble: str) -> None:
        until_s = time.monotonic() + within_s
        while not self._register(register) & bit:
            if time.monotonic() >= until_s:
                raise DeviceGone(f"NAU7802: {trouble}; check its 3.3 V supply")
            time.sleep(CONVERSION_WAIT_S)

    def _register(self, register: int) -> int:
        self._chip.write(bytes([register]))
        return self._chip.read(1)[0]

    def _set(self, register: int, value: int) -> None:
        self._chip.write(bytes([register, value]))
