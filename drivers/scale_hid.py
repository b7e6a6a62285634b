"""USB scales with their own HID usage page (0x8D): Dymo, Stamps.com, Fairbanks and other parcel scales.

A report is `03 status unit exponent low high`, read from /dev/hidrawN; it stops when the scale goes to sleep.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from drivers.contract import AnyReading, ConfigError, Decoder, DeviceGone, Transport, Weight, garbled
from drivers.hid_descriptor import descriptor_of, input_report_bytes
from drivers.weighed import scaled

DATA_REPORT = 3
OTHER_REPORTS = (1, 2, 4, 5, 6)  # attributes, control, statistics, limits: nothing to weigh by
REPORT_BYTES = 6
FIRST_REPORT_S = 1.0
FAULT, ZERO, IN_MOTION, STABLE = 1, 2, 3, 4
STATUS_WORDS = {
    **{FAULT: "fault", ZERO: "zero", IN_MOTION: "in_motion", STABLE: "stable"},
    **{5: "under_zero", 6: "over_limit", 7: "needs_calibration", 8: "needs_zeroing"},
}
UNITS = {
    1: "mg",
    2: "g",
    3: "kg",
    4: "ct",
    6: "GN",
    7: "dwt",
    8: "t",
    9: "ton",
    10: "ozt",
    11: "oz",
    12: "lb",
}


@dataclass(frozen=True, slots=True)
class HidScaleConfig:
    path: str = ""  # /dev/hidraw...
    report_bytes: Annotated[int, Ge(6), Le(64)] = REPORT_BYTES


class HidScaleDriver:
    Config = HidScaleConfig

    def open(self, config: HidScaleConfig) -> Transport:
        from drivers.transports import HidrawTransport

        length = input_report_bytes(descriptor_of(config.path)).get(DATA_REPORT, config.report_bytes)
        if length != config.report_bytes:
            raise ConfigError(f"{config.path} sends reports of {length} bytes: set report_bytes = {length}")
        transport = HidrawTransport(config.path)
        try:
            transport.read(FIRST_REPORT_S)  # it may be from before: some scales keep their last weight
        except DeviceGone:
            transport.close()  # unplugged meanwhile: nobody else would let go of it
            raise
        return transport

    def decoder(self, config: HidScaleConfig) -> Decoder:
        return HidScaleDecoder(config)


class HidScaleDecoder:
    def __init__(self, config: HidScaleConfig) -> None:
        self._report_bytes = config.report_bytes
        self._pending = b""

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        data = self._pending + chunk
        whole = len(data) - len(data) % self._report_bytes
        self._pending = data[whole:]
        readings: list[AnyReading] = []
        for at in range(0, whole, self._report_bytes):
            readings += meaning_of(data[at : at + self._report_bytes])
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        return []


def meaning_of(report: bytes) -> list[AnyReading]:
    """One report of at least six bytes."""
    report_id, status, unit, exponent = report[:4]
    if report_id in OTHER_REPORTS:
        return []
    word = STATUS_WORDS.get(status)
    if report_id != DATA_REPORT or word is None:
        return [garbled("no report of a scale", report)]
    has_value = status in (ZERO, STABLE, IN_MOTION)
    if has_value and unit not in UNITS:
        return [garbled(f"unit {unit} is not in the standard", report)]
    power = exponent - 256 if exponent > 127 else exponent
    if not -8 <= power <= 8:
        return [garbled(f"an exponent of {power}", report)]
    value = scaled(int.from_bytes(report[4:6], "little"), power) if has_value else None
    return [
        Weight(
            value=value,
            unit=UNITS.get(unit),
            stable=(status != IN_MOTION) if has_value else None,
            status=word,
            error=None if has_value else "overload" if word == "over_limit" else word,
            raw_hex=report[:6].hex(),
        )
    ]
