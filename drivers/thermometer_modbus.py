"""Thermometers on RS-485 that speak Modbus RTU: XY-MD02, SHT20 transmitters and their relatives, 9600 8N1.

Two registers, temperature times ten (signed) and humidity times ten. Several slaves on one bus are one device
here, since one wire can carry one question at a time. The framing is our own: pymodbus loses a whole reply
when two bytes of noise come before it; this search drops the noise and reads the reply.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import (
    AnyReading,
    ConfigError,
    Decoder,
    Health,
    Humidity,
    Temperature,
    Transport,
)
from drivers.dialogue import Dialogue
from drivers.framing import FrameSearch

HEAD_BYTES, OVERHEAD_BYTES = 3, 5
REQUEST_BYTES = 8  # many adapters hear their own question: an echo is neither a reply nor noise
DATA_BYTES_MAX = 250
SLAVE_MAX = 247
FUNCTIONS = (0x03, 0x04)
EXCEPTION_BIT = 0x80
REGISTERS = 2
CELSIUS_MIN, CELSIUS_MAX = -60.0, 150.0  # what such a probe can say; beyond it is a broken one
STALE_AFTER_PERIODS, STALE_S_MIN = 3, 5.0
EXCEPTIONS = {
    1: "illegal function: set function to 3 or 4, the other one",
    2: "illegal data address: set register to what the manual says",
    3: "illegal data value",
    4: "the device failed",
    6: "the device is busy",
}


@dataclass(frozen=True, slots=True)
class ModbusConfig:
    port: str = ""
    baud: Annotated[int, Ge(1_200), Le(115_200)] = 9_600
    parity: Literal["none", "even", "odd"] = "none"
    slaves: tuple[int, ...] = (1,)  # all thermometers on this wire
    function: Literal[3, 4] = 4
    register: Annotated[int, Ge(0), Le(65_533)] = 1  # of the temperature; humidity is the next one
    period_s: Annotated[float, Ge(0.1), Le(3_600)] = 10.0


class ModbusThermometerDriver:
    Config = ModbusConfig

    def open(self, config: ModbusConfig) -> Transport:
        from drivers.transports import SerialTransport

        if not config.slaves or not all(1 <= slave <= SLAVE_MAX for slave in config.slaves):
            raise ConfigError(
                f"slaves is {list(config.slaves)}; write numbers from 1 to {SLAVE_MAX}, such as [1]"
            )
        return SerialTransport(config.port, config.baud, parity=config.parity[0].upper())

    def decoder(self, config: ModbusConfig) -> Decoder:
        return ModbusDecoder(config)


class ModbusDecoder(Dialogue):
    """Asks each slave in turn; knows when each was last heard."""

    def __init__(self, config: ModbusConfig) -> None:
        self._slaves = config.slaves
        self._heard_s: dict[int, float] = {}
        self._stale: set[int] = set()
        self._patience_s = max(STALE_AFTER_PERIODS * config.period_s, STALE_S_MIN)
        talk = Conversation(
            opening=[],
            requests=[request(slave, config.function, config.register, REGISTERS) for slave in config.slaves],
            period_s=config.period_s / max(1, len(config.slaves)),
        )
        frames = FrameSearch(HEAD_BYTES, _frame_bytes, _is_frame)
        silence = (
            f"nobody answers at {config.baud} baud: check A and B (swap them), the supply, slaves and baud"
        )
        super().__init__(frames, talk, config.baud, self._answer, silence)

    def idle(self, now_s: float) -> list[AnyReading]:
        readings = super().idle(now_s)
        for slave in self._slaves:
            silent_s = now_s - self._heard_s.setdefault(slave, now_s)
            if silent_s > self._patience_s and slave not in self._stale:
                self._stale.add(slave)
                error = f"slave {slave} has not answered for {silent_s:.0f} s: check its wires and its number"
                readings.append(Health(status=f"stale slave {slave}", error=error))
        return readings

    def _answer(self, frame: bytes, now_s: float) -> list[AnyReading] | None:
        if _is_echo(frame):
            return None
        slave = frame[0]
        if slave in self._slaves:
            self._heard_s[slave] = now_s
            self._stale.discard(slave)
        return readings_of(frame, f"slave {slave}" if len(self._slaves) > 1 else None)


def readings_of(frame: bytes, sensor: str | None = None) -> list[AnyReading]:
    """A whole reply whose CRC is right."""
    raw_hex = frame.hex()
    if frame[1] & EXCEPTION_BIT:
        meaning = EXCEPTIONS.get(frame[2], "no meaning known")
        quality = f"code {frame[2]}, {meaning}"
        return [Temperature(error="exception", quality=quality, sensor=sensor, raw_hex=raw_hex)]
    data = frame[HEAD_BYTES:-2]
    celsius = int.from_bytes(data[0:2], "big", signed=True) / 10
    if not CELSIUS_MIN <= celsius <= CELSIUS_MAX:
        return [Temperature(error="out_of_range", sensor=sensor, raw_hex=raw_hex)]
    readings: list[AnyReading] = [Temperature(celsius=celsius, sensor=sensor, raw_hex=raw_hex)]
    if len(data) >= 4:
        percent = int.from_bytes(data[2:4], "big") / 10
        doubt = None if percent <= 100 else "out_of_range"
        readings.append(Humidity(percent, quality=doubt, sensor=sensor))
    return readings


def request(slave: int, function: int, register: int, count: int) -> bytes:
    body = bytes([slave, function]) + register.to_bytes(2, "big") + count.to_bytes(2, "big")
    return body + crc16_modbus(body).to_bytes(2, "little")


def crc16_modbus(data: bytes) -> int:
    """CRC-16 with polynomial 8005 reflected (A001), start FFFF; 0 over data and its own CRC."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def _frame_bytes(head: bytes) -> int:
    slave, function, size = head
    if not 1 <= slave <= SLAVE_MAX:
        return 0
    if function & EXCEPTION_BIT and function & ~EXCEPTION_BIT in FUNCTIONS:
        return OVERHEAD_BYTES
    if function in FUNCTIONS and size == 0:
        return REQUEST_BYTES
    if function not in FUNCTIONS or size % 2 or not 2 <= size <= DATA_BYTES_MAX:
        return 0
    return OVERHEAD_BYTES + size


def _is_echo(frame: bytes) -> bool:
    return len(frame) == REQUEST_BYTES and frame[2] == 0


def _is_frame(frame: bytes) -> bool:
    return crc16_modbus(frame) == 0
