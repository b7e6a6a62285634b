"""Indicators that send "Toledo continuous" frames all the time, without being asked.

9600 baud 7E1: `STX A B C`, six digits of weight, six of tare, CR, and from some a checksum: the two's
complement of the sum of all bytes before it, 7 bits. Whether one comes is found out from the first three
frames.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Decoder, Transport, Weight
from drivers.line_doubt import LineDoubt
from drivers.matching import MORE, NOT_HERE, AnswerSearch, Match
from drivers.weighed import scaled

STX, CR = 0x02, 0x0D
FRAME_BYTES = 17
FRAMES_BEFORE_DECIDING = 3
NET, NEGATIVE, OUT_OF_RANGE, MOTION, KILOGRAMS = 0x01, 0x02, 0x04, 0x08, 0x10  # of status byte B
UNITS = {1: "g", 2: "t", 3: "oz"}  # by bits 0 to 2 of status byte C; 0: kilograms or pounds, as B says
EXPONENTS = (2, 1, 0, -1, -2, -3, -4, -5)  # by bits 0 to 2 of status byte A


@dataclass(frozen=True, slots=True)
class ToledoContinuousConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600
    bytesize: Annotated[int, Ge(7), Le(8)] = 7
    parity: Literal["none", "even", "odd"] = "even"
    checksum: Literal["auto", "yes", "no"] = "auto"


class ToledoContinuousDriver:
    Config = ToledoContinuousConfig

    def open(self, config: ToledoContinuousConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: ToledoContinuousConfig) -> Decoder:
        return ToledoContinuousDecoder(config)


class ToledoContinuousDecoder:
    def __init__(self, config: ToledoContinuousConfig) -> None:
        self._search = AnswerSearch(
            self._match, LineDoubt(config.baud, bit_7_is_parity=True), seven_bits=True
        )
        self._has_checksum = {"auto": None, "yes": True, "no": False}[config.checksum]
        self._votes: list[bool] = []

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        return self._search.feed(chunk, now_s)

    def idle(self, now_s: float) -> list[AnyReading]:
        return self._search.idle(now_s)

    def _match(self, data: bytes, at: int, is_last: bool) -> Match:
        if data[at] != STX:
            return NOT_HERE
        frame = data[at : at + FRAME_BYTES]
        if not _is_possible(frame):
            return NOT_HERE
        if len(frame) < FRAME_BYTES:
            return MORE
        if self._has_checksum is False:
            return FRAME_BYTES, (weight_of(frame),)
        follows = data[at + FRAME_BYTES : at + FRAME_BYTES + 2]
        if not follows and not is_last:
            return MORE
        is_right = follows[:1] == bytes([checksum(frame)])
        if self._has_checksum:
            return (FRAME_BYTES + 1, (weight_of(frame),)) if is_right else NOT_HERE
        return self._undecided(frame, follows, is_right, is_last)

    def _undecided(self, frame: bytes, follows: bytes, is_right: bool, is_last: bool) -> Match:
        """The byte after CR is the checksum, or the STX of the next frame, or (rarely) both would fit."""
        if is_right and follows[0] == STX:
            if len(follows) < 2 and not is_last:
                return MORE
            is_right = follows[1:2] in (b"", b"\x02")
        if not is_right and follows and follows[0] != STX:
            return NOT_HERE
        self._votes.append(is_right)
        if len(self._votes) == FRAMES_BEFORE_DECIDING:
            self._has_checksum = sum(self._votes) > FRAMES_BEFORE_DECIDING // 2
        return FRAME_BYTES + is_right, (weight_of(frame),)


def weight_of(frame: bytes) -> Weight:
    """The meaning of 17 bytes that have the right form."""
    a, b, c = frame[1:4]
    exponent = EXPONENTS[a & 7]
    sign = -1 if b & NEGATIVE else 1
    is_out = bool(b & OUT_OF_RANGE)
    return Weight(
        value=None if is_out else scaled(sign * _digits(frame[4:10]), exponent),
        unit=UNITS.get(c & 7, "kg" if b & KILOGRAMS else "lb"),
        stable=None if is_out else not b & MOTION,
        status="overload" if is_out else "in_motion" if b & MOTION else None,
        net=bool(b & NET),
        tare=scaled(_digits(frame[10:16]), exponent),
        error="overload" if is_out else None,
        raw_hex=frame.hex(),
    )


def checksum(frame: bytes) -> int:
    """Two's complement of the 7-bit sum, STX and CR included."""
    return -sum(frame) & 0x7F


def _is_possible(begin: bytes) -> bool:
    """Whether these (up to 17) bytes can be a frame or its beginning."""
    digits = begin[4:16].replace(b" ", b"0")
    return (not digits or digits.isdigit()) and begin[16:17] in (b"", b"\r")


def _digits(field: bytes) -> int:
    return int(field.replace(b" ", b"0"))
