"""Thermometers and hygrometers SHT30, SHT31 and SHT35 on I2C.

The command 2400 asks for one measurement; 15 ms later six bytes can be read: temperature and humidity, two
bytes each with a CRC-8. Such six bytes, one after the other, are what `driver decode` reads.
"""

import time
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import AnyReading, Decoder, Health, Humidity, Temperature, Transport, garbled
from drivers.i2c import I2cSlave, Slave

FRAME_BYTES = 6
HALF_FRAME_S = 0.5
MEASURE = bytes.fromhex("2400")  # high repeatability, the bus stays free meanwhile
MEASURING_S = 0.015


@dataclass(frozen=True, slots=True)
class Sht3xConfig:
    port: str = "/dev/i2c-1"
    address: Annotated[int, Ge(0x44), Le(0x45)] = 0x44
    period_s: Annotated[float, Ge(0.5), Le(3_600)] = 10.0


class Sht3xDriver:
    Config = Sht3xConfig

    def open(self, config: Sht3xConfig) -> Transport:
        return Sht3xTransport(I2cSlave(config.port, config.address))

    def decoder(self, config: Sht3xConfig) -> Decoder:
        return Sht3xDecoder(config.period_s)


class Sht3xDecoder:
    """Asks for a measurement each period.

    The bus delivers six bytes a read, so a bad measurement is dropped whole: its two words look alike, and a
    search byte by byte could take a humidity for a temperature.
    """

    def __init__(self, period_s: float) -> None:
        self._pending = b""
        self._last_s = 0.0
        self._talk = Conversation(opening=[], requests=[MEASURE], period_s=period_s)

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        self._last_s = now_s
        data = self._pending + chunk
        whole = len(data) - len(data) % FRAME_BYTES
        self._pending = data[whole:]
        readings: list[AnyReading] = []
        for at in range(0, whole, FRAME_BYTES):
            frame = data[at : at + FRAME_BYTES]
            if _is_frame(frame):
                self._talk.heard(now_s)
                readings += readings_of(frame)
            else:
                readings.append(garbled("crc", frame))
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        readings: list[AnyReading] = []
        if self._pending and now_s - self._last_s >= HALF_FRAME_S:
            readings.append(garbled("half a measurement", self._pending))
            self._pending = b""
        if self._talk.falls_silent():
            readings.append(Health(status="silent", error="no measurement came: check the probe's wires"))
        return readings

    def pending_bytes(self, now_s: float) -> bytes:
        return self._talk.next_bytes(now_s)


class Sht3xTransport:
    """A write starts a measurement; its six bytes can be read when it is done. Raises DeviceGone."""

    def __init__(self, chip: Slave) -> None:
        self._chip = chip
        self._ready_s: float | None = None

    def fileno(self) -> int:
        return -1

    def read(self, timeout_s: float) -> bytes:
        if self._ready_s is None:
            time.sleep(timeout_s)
            return b""
        wait_s = max(0.0, self._ready_s - time.monotonic())
        time.sleep(min(wait_s, timeout_s))
        if wait_s > timeout_s:
            return b""
        self._ready_s = None
        return self._chip.read(FRAME_BYTES)

    def write(self, data: bytes) -> None:
        self._chip.write(data)
        self._ready_s = time.monotonic() + MEASURING_S

    def close(self) -> None:
        self._chip.close()


def readings_of(frame: bytes) -> list[AnyReading]:
    """Six bytes whose CRCs are right; the conversions are the data sheet's."""
    celsius = -45 + 175 * int.from_bytes(frame[0:2], "big") / 65_535
    percent = 100 * int.from_bytes(frame[3:5], "big") / 65_535
    return [Temperature(celsius=round(celsius, 6), raw_hex=frame.hex()), Humidity(round(percent, 6))]


def crc8_sensirion(data: bytes) -> int:
    """CRC-8 with polynomial 31, start FF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31) & 0xFF if crc & 0x80 else crc << 1
    return crc


def _is_frame(frame: bytes) -> bool:
    return crc8_sensirion(frame[0:2]) == frame[2] and crc8_sensirion(frame[3:5]) == frame[5]
