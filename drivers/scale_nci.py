"""Counter scales that speak NCI, also called ECR or SCP-01 (Brecknell, Fairbanks, Avery, Mettler DIVA).

9600 baud 7E1. `W CR` is answered with `LF 01.250LB CR LF S hh CR ETX`; when there is nothing to say, with the
status alone. The status is two characters, 0x30 and bits: motion, at zero; under zero, over capacity.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import Decoder, Health, Transport, Weight
from drivers.line_doubt import LineDoubt
from drivers.matching import MORE, NOT_HERE, AnswerSearch, Match
from drivers.polled_scale import PolledScale
from drivers.weighed import unit_of, value_of

FRAME = re.compile(rb"\n(?:(-? *[0-9]+\.?[0-9]*) *([A-Za-z]{1,2})\r\n?)?S([\x30-\x7f]{2,3})\r?\x03")
BAD_COMMAND = b"\n?\r\x03"
FRAME_BYTES_MAX = 32
LF, ETX = 0x0A, b"\x03"
MOTION = 0x01  # of the first status character
UNDER_ZERO, OVER_CAPACITY = 0x01, 0x02  # of the second


@dataclass(frozen=True, slots=True)
class NciConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600
    bytesize: Annotated[int, Ge(7), Le(8)] = 7
    parity: Literal["none", "even", "odd"] = "even"
    poll_ms: Annotated[int, Ge(100), Le(10_000)] = 250


class NciDriver:
    Config = NciConfig

    def open(self, config: NciConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: NciConfig) -> Decoder:
        search = AnswerSearch(match, LineDoubt(config.baud, bit_7_is_parity=True), seven_bits=True)
        asking = Conversation((), (b"W\r",), config.poll_ms / 1000)
        return PolledScale(search, asking, f"{config.baud} baud")


def match(data: bytes, at: int, is_last: bool) -> Match:
    """One answer at `at`, 7 bits a byte."""
    if data[at] != LF:
        return NOT_HERE
    end = data.find(ETX, at, at + FRAME_BYTES_MAX)
    if end < 0:
        return MORE if len(data) - at < FRAME_BYTES_MAX else NOT_HERE
    frame = data[at : end + 1]
    if frame == BAD_COMMAND:
        return len(frame), (Health(status="refused", error="bad_command", raw_hex=frame.hex()),)
    found = FRAME.fullmatch(frame)
    return (len(frame), (_weight(found),)) if found else NOT_HERE


def _weight(found: re.Match[bytes]) -> Weight:
    value, unit, status = found[1], found[2], found[3]
    error = "overload" if status[1] & OVER_CAPACITY else "under_zero" if status[1] & UNDER_ZERO else None
    return Weight(
        value=None if value is None or error else value_of(value),
        unit=unit_of(unit or b""),
        stable=False if status[0] & MOTION else True if value else None,
        status=status.decode("ascii"),
        error=error,
        raw_hex=found[0].hex(),
    )
