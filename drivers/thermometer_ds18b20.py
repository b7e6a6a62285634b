"""DS18B20 probes on the 1-wire bus, read from the kernel's `w1_slave` file.

The file has two lines: the nine bytes of the probe's scratchpad with the kernel's verdict on their CRC, and
the same nine with a temperature. A probe can be wrong in ways that pass the CRC, so we judge the bytes again.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from drivers.contract import AnyReading, ConfigError, Decoder, Health, Temperature, Transport, garbled

LINE_BYTES_MAX = 80
SCRATCHPAD = re.compile(rb"((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)")
RESULT = re.compile(rb"((?:[0-9a-f]{2} ){9})t=-?\d{1,7}")
CELSIUS_MIN, CELSIUS_MAX = -55.0, 125.0
RAW_POWER_ON = 0x0550  # 85 °C: what a probe says that never measured ...
RAW_BROWN_OUT = 0x07FF  # ... and one whose supply broke down while it measured
CONVERSION_NEVER_RAN, CONVERSION_RAN = 0x0C, 0x10  # byte 6, where the probe says 85 °C
STALE_AFTER_PERIODS = 3


@dataclass(frozen=True, slots=True)
class Ds18b20Config:
    port: str = ""  # the probe's folder /sys/bus/w1/devices/28-..., or its w1_slave file
    period_s: Annotated[float, Ge(1.0), Le(3_600.0)] = 10.0  # a read takes 0.75 s


class Ds18b20Driver:
    Config = Ds18b20Config

    def open(self, config: Ds18b20Config) -> Transport:
        from drivers.transports import FileTransport

        if not config.port:
            raise ConfigError("port is empty; set it to the probe's folder, /sys/bus/w1/devices/28-...")
        port = config.port.rstrip("/")
        return FileTransport(port if port.endswith("w1_slave") else f"{port}/w1_slave", config.period_s)

    def decoder(self, config: Ds18b20Config) -> Decoder:
        return Ds18b20Decoder(config.period_s)


class Ds18b20Decoder:
    """The text of `w1_slave`, read again and again. A bad read is reported; the next period tries again."""

    def __init__(self, period_s: float = 10.0) -> None:
        self._period_s = period_s
        self._pending = b""
        self._verdict: re.Match[bytes] | None = None  # of a first line whose second has not come yet
        self._good_s: float | None = None
        self._is_stale = False

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        *lines, rest = (self._pending + chunk).split(b"\n")
        self._pending = rest[: LINE_BYTES_MAX + 1]  # the head: the same reading however the bytes were cut
        readings: list[AnyReading] = []
        for line in lines:
            readings += self._line(line[: LINE_BYTES_MAX + 1])
        if any(isinstance(reading, Temperature) and not reading.error for reading in readings):
            self._good_s = now_s
            self._is_stale = False
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        """The file may end without a line end; three periods without a good value are said once."""
        readings = self.feed(b"\n", now_s) if self._pending else []
        if self._verdict is not None:
            readings.append(garbled("a w1_slave file without its second line", self._verdict[0]))
            self._verdict = None
        if self._good_s is None:
            self._good_s = now_s  # the wait for a first good value begins with the first look
        if self._is_stale or now_s - self._good_s < STALE_AFTER_PERIODS * self._period_s:
            return readings
        self._is_stale = True
        error = (
            f"no good value for {STALE_AFTER_PERIODS} periods: check the probe's wires and 4.7 kΩ resistor"
        )
        return [*readings, Health(status="stale", error=error)]

    def _line(self, line: bytes) -> list[AnyReading]:
        first, self._verdict = self._verdict, None
        if verdict := SCRATCHPAD.fullmatch(line):
            self._verdict = verdict
            return [garbled("a w1_slave file without its second line", first[0])] if first else []
        result = RESULT.fullmatch(line)
        if first is None or result is None or first[1] != result[1]:
            return [garbled("not what a w1_slave file says", line)] if line or first else []
        return [temperature(bytes.fromhex(first[1].decode("ascii")), kernel_says_ok=first[2] == b"YES")]


def temperature(scratchpad: bytes, kernel_says_ok: bool = True) -> Temperature:
    """The nine bytes of a probe, judged: a value, a doubtful value, or the name of the error."""
    raw_hex = scratchpad.hex()
    if not kernel_says_ok or dallas_crc(scratchpad) != 0:
        return Temperature(error="crc", raw_hex=raw_hex)
    if not any(scratchpad):
        return Temperature(error="all_zero", quality="data_line_shorted", raw_hex=raw_hex)
    raw = int.from_bytes(scratchpad[:2], "little")
    if raw == RAW_POWER_ON and scratchpad[6] == CONVERSION_NEVER_RAN:
        return Temperature(error="power_on_reset", quality="power_on_default", raw_hex=raw_hex)
    if raw == RAW_BROWN_OUT:
        return Temperature(error="brown_out", quality="supply_too_weak", raw_hex=raw_hex)
    celsius = celsius_of(scratchpad[:2])
    if not CELSIUS_MIN <= celsius <= CELSIUS_MAX:
        return Temperature(error="out_of_range", raw_hex=raw_hex)
    doubtful = raw == RAW_POWER_ON and scratchpad[6] != CONVERSION_RAN  # a clone; its 85 °C may be real
    return Temperature(celsius=celsius, quality="maybe_power_on" if doubtful else None, raw_hex=raw_hex)


def celsius_of(raw: bytes) -> float:
    """Two bytes, little-endian two's complement, sixteenths of a degree."""
    return int.from_bytes(raw, "little", signed=True) / 16


def dallas_crc(data: bytes) -> int:
    """CRC-8 of Maxim's 1-wire devices (x8 + x5 + x4 + 1, reflected); 0 over data and its own CRC."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc
