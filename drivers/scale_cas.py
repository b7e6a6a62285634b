"""CAS counter scales (AP, AD, ER and others) in their two-step protocol.

ENQ is answered with ACK, then DC1 with `SOH STX S/U sign weight unit LRC ETX EOT`. S is stable, U unstable;
LRC is the exclusive or of everything from S to the unit; the weight has six or seven places.
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

SOH, ACK, NAK = 0x01, 0x06, 0x15
ENQ, DC1 = b"\x05", b"\x11"
BODY_BYTES = (10, 11)  # S or U, sign, six or seven places, unit of two
FRAME_BYTES_MAX = 2 + BODY_BYTES[-1] + 3
BODY = re.compile(rb"([SU])([ +-])( *[0-9.]+)([A-Za-z ]{2})")
OVER = re.compile(rb"[SUO][ +-][ FLO-]{6,7}[A-Za-z ]{2}")


@dataclass(frozen=True, slots=True)
class CasConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600
    bytesize: Annotated[int, Ge(7), Le(8)] = 8
    parity: Literal["none", "even", "odd"] = "none"
    poll_ms: Annotated[int, Ge(100), Le(10_000)] = 250


class CasDriver:
    Config = CasConfig

    def open(self, config: CasConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: CasConfig) -> Decoder:
        return CasDecoder(config)


class CasDecoder(PolledScale):
    """ENQ asks whether the scale is ready; only its ACK is answered with the question itself."""

    def __init__(self, config: CasConfig) -> None:
        search = AnswerSearch(self._match, LineDoubt(config.baud))
        super().__init__(search, Conversation((), (ENQ,), config.poll_ms / 1000), f"{config.baud} baud")
        self._is_ready = False

    def pending_bytes(self, now_s: float) -> bytes:
        if not self._is_ready:
            return super().pending_bytes(now_s)
        self._is_ready = False
        return DC1

    def _match(self, data: bytes, at: int, is_last: bool) -> Match:
        if data[at] == ACK:
            self._is_ready = True
            return 1, ()
        if data[at] == NAK:
            return 1, (Health(status="refused", error="busy", raw_hex="15"),)
        if data[at] != SOH:
            return NOT_HERE
        for body_bytes in BODY_BYTES:
            frame = data[at : at + 2 + body_bytes + 3]
            body = frame[2 : 2 + body_bytes]
            is_whole = frame[1:2] == b"\x02" and frame[2 + body_bytes :] == bytes([lrc(body)]) + b"\x03\x04"
            if is_whole and (reading := _weight(body, frame.hex())):
                return len(frame), (reading,)
        return (
            MORE if len(data) - at < FRAME_BYTES_MAX and data[at + 1 : at + 2] in (b"", b"\x02") else NOT_HERE
        )


def lrc(body: bytes) -> int:
    """Exclusive or of all bytes."""
    check = 0
    for byte in body:
        check ^= byte
    return check


def _weight(body: bytes, raw_hex: str) -> Weight | None:
    if OVER.fullmatch(body):
        return Weight(status="overload", error="overload", raw_hex=raw_hex)
    found = BODY.fullmatch(body)
    if found is None or found[3].count(b".") > 1 or not found[3].strip(b" ."):
        return None
    sign = found[2].strip()
    value = value_of(sign + found[3].strip())
    return Weight(value=value, unit=unit_of(found[4]), stable=found[1] == b"S", raw_hex=raw_hex)
