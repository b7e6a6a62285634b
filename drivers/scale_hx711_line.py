"""Load cells on an HX711 behind a serial board: the board keeps the chip's clock, we read a number a line.

The board prints each conversion as a whole number (raw counts, -8388608 to 8388607) and a line end, at the
HX711's 10 or 80 a second. Weights with a decimal point are refused: the board's own tare at power-on would
make goods on the shelf disappear, and its rounding hides the creep.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Decoder, Health, Transport, garbled
from drivers.line_doubt import LineDoubt
from drivers.load_cell import LoadCell, LoadCellFilter, load_cell

LINE = re.compile(rb"[+-]?\d{1,8}")
LINE_BYTES_MAX = 32
COUNTS_MIN, COUNTS_MAX = -0x800000, 0x7FFFFF
HALF_LINE_S, SILENT_S = 0.5, 2.0
RAW_COUNTS = "let the board print raw counts, one whole number a line, and no weights"


@dataclass(frozen=True, slots=True)
class Hx711LineConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(921_600)] = 115_200
    samples_per_s: Literal[10, 80] = 10
    zero_counts: float = 0.0  # what the empty shelf says ...
    counts_per_gram: float = (
        0.0  # ... and what a known weight adds to it, by its grams; 0: not calibrated yet
    )
    division_grams: str = "1"


class Hx711LineDriver:
    Config = Hx711LineConfig

    def open(self, config: Hx711LineConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(config.port, config.baud)

    def decoder(self, config: Hx711LineConfig) -> Decoder:
        cell = load_cell(
            config.zero_counts, config.counts_per_gram, config.division_grams, config.samples_per_s
        )
        return Hx711LineDecoder(cell, config.baud)


class Hx711LineDecoder:
    """A number a line, ended by CR, LF or both."""

    def __init__(self, cell: LoadCell, baud: int) -> None:
        self._filter = LoadCellFilter(cell)
        self._doubt = LineDoubt(baud, if_readable=RAW_COUNTS)
        self._pending = b""
        self._last_s: float | None = None
        self._is_silent = False

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        if chunk:
            self._last_s, self._is_silent = now_s, False
        *lines, rest = (self._pending + chunk).replace(b"\r", b"\n").split(b"\n")
        self._pending = rest[: LINE_BYTES_MAX + 1]  # its head: the same reading however the bytes were cut
        readings: list[AnyReading] = []
        for line in lines:
            if line.strip():
                readings += self._line(line)
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        if self._last_s is None:
            self._last_s = now_s
        readings: list[AnyReading] = []
        if self._pending.strip() and now_s - self._last_s >= HALF_LINE_S:
            half, self._pending = self._pending, b""
            readings.append(garbled("half a line: no end came", half))
        if self._is_silent or now_s - self._last_s < SILENT_S:
            return readings
        self._is_silent = True
        self._filter.gap()
        return [*readings, Health(status="silent", error="the board stopped sending: check its cable")]

    def _line(self, line: bytes) -> list[AnyReading]:
        text = line[: LINE_BYTES_MAX + 1].strip()
        if not LINE.fullmatch(text) or not COUNTS_MIN <= int(text) <= COUNTS_MAX:
            return [garbled("not a whole number of counts", text), *self._doubt.bad(text)]
        self._doubt.good()
        return self._filter.sample(int(text))
