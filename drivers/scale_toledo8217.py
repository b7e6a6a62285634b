"""Counter scales that speak Toledo 8217 (also called NCR, "8217 protocol"): `W` is answered with the weight.

9600 baud 7E1. `STX 01.250 CR` is a stable weight, with N before CR a net one; `STX ? status CR` is none. The
status may be any byte, even CR. The scale does not send its unit: a person has to.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import ConfigError, Decoder, Health, Transport, Weight
from drivers.line_doubt import LineDoubt
from drivers.matching import MORE, NOT_HERE, AnswerSearch, Match
from drivers.polled_scale import PolledScale
from drivers.weighed import value_of

WEIGHT = re.compile(rb"\x02( *[0-9]+\.?[0-9]*)(N?)\r")
WEIGHT_BEGINS = re.compile(rb"\x02 *[0-9.]*N?")
WEIGHT_BYTES_MAX = 12
STATUS_BYTES = 4
PROBE, PROBE_END, PROBE_REPLY = b"Ehello", b"F", b"\x02E\rhello"
STATUS_WORDS = ("in_motion", "over_capacity", "under_zero", "", "center_of_zero", "net_weight", "bad_command")


@dataclass(frozen=True, slots=True)
class Toledo8217Config:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600
    bytesize: Annotated[int, Ge(7), Le(8)] = 7
    parity: Literal["none", "even", "odd"] = "even"
    unit: Literal["", "kg", "g", "lb", "oz"] = ""  # what its display shows; it does not send it
    poll_ms: Annotated[int, Ge(200), Le(10_000)] = 250  # more than five questions a second confuse some
    probe: bool = False  # ask first whether it speaks this protocol


class Toledo8217Driver:
    Config = Toledo8217Config

    def open(self, config: Toledo8217Config) -> Transport:
        from drivers.transports import SerialTransport

        if not config.unit:
            raise ConfigError(
                'this scale does not send its unit: set unit = "kg" (or g, lb, oz) as displayed'
            )
        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: Toledo8217Config) -> Decoder:
        doubt = LineDoubt(config.baud, bit_7_is_parity=True)
        search = AnswerSearch(Answers(config.unit).match, doubt, seven_bits=True)
        opening = (PROBE, PROBE_END) if config.probe else ()
        return PolledScale(
            search, Conversation(opening, (b"W",), config.poll_ms / 1000), f"{config.baud} baud"
        )


class Answers:
    """What an answer means; the unit comes from a person."""

    def __init__(self, unit: str) -> None:
        self._unit = unit or None

    def match(self, data: bytes, at: int, is_last: bool) -> Match:
        if data[at] != 0x02:
            return NOT_HERE
        rest = data[at : at + WEIGHT_BYTES_MAX]
        if rest[1:2] == b"?":
            return self._status(rest)
        if PROBE_REPLY.startswith(rest[: len(PROBE_REPLY)]) and len(rest) > 1:
            return self._identified(rest)
        if weight := WEIGHT.match(rest):
            reading = Weight(
                value=value_of(weight[1]),
                unit=self._unit,
                stable=True,
                net=bool(weight[2]),
                raw_hex=weight[0].hex(),
            )
            return weight.end(), (reading,)
        is_begun = WEIGHT_BEGINS.fullmatch(rest) is not None and len(rest) < WEIGHT_BYTES_MAX
        return MORE if is_begun else NOT_HERE

    def _status(self, rest: bytes) -> Match:
        if len(rest) < STATUS_BYTES:
            return MORE
        if rest[3:4] != b"\r":
            return NOT_HERE
        words = [word for bit, word in enumerate(STATUS_WORDS) if word and rest[2] >> bit & 1]
        error = "overload" if "over_capacity" in words else "bad_command" if "bad_command" in words else None
        reading = Weight(
            stable=False if "in_motion" in words else None,
            status=",".join(words) or None,
            net="net_weight" in words,
            error=error,
            raw_hex=rest[:STATUS_BYTES].hex(),
        )
        return STATUS_BYTES, (reading,)

    def _identified(self, rest: bytes) -> Match:
        if len(rest) < len(PROBE_REPLY):
            return MORE
        return len(PROBE_REPLY), (Health(status="identified"),)
