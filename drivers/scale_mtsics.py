"""Mettler Toledo scales and balances that speak MT-SICS (level 0 and 1).

`SI` CR LF is answered with `S S     100.00 g` CR LF: S stable, D dynamic; `S I` busy, `S +` over, `S -`
under. Some firmwares echo the command instead of S; parcel scales say `12:07.50 lb:oz`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import AnyReading, ConfigError, Decoder, Health, Transport, Weight
from drivers.line_doubt import LineDoubt
from drivers.matching import LineSearch
from drivers.polled_scale import PolledScale
from drivers.weighed import unit_of, value_of

WEIGHT = re.compile(rb"(?:S|SI|SR|SIR|SNR|SU) +([SD]) +(- *)?([0-9]+\.?[0-9]*|\.[0-9]+) *([!-~]*) *")
PARCEL = re.compile(rb"(?:S|SI|SR|SIR|SNR|SU) +([SD]) +(- *)?([0-9]+):([0-9]+\.?[0-9]*) *lb:oz *")
TARE = re.compile(rb"(?:T|TI|TA) +[SDA] +(-? *[0-9]+\.?[0-9]*) *([!-~]*) *")
STATE = re.compile(rb"(S|SI|SR|SIR|SNR|SU|Z|ZI|T|TI|TA|TAC|ZC|D|DW|K) +([-+ILASD])(?: +[-+.0-9]*)? *")
IDENTITY = re.compile(rb'I([0-9]+) +A +(?:[0-9]+ +)?"([ -~]*)" *')
ERRORS = {b"ES": "syntax", b"ET": "transmission", b"EL": "logical"}
STATES = {b"I": "busy", b"+": "overload", b"-": "underload", b"L": "logical"}
BLOCKS_UNTIL_STABLE_S = 30.0
STREAM_ENDED_S = 3.0
TCP_PORT_MAX = 65_535
OZ_PER_LB = 16


@dataclass(frozen=True, slots=True)
class MtSicsConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600
    bytesize: Annotated[int, Ge(7), Le(8)] = 8
    parity: Literal["none", "even", "odd"] = "none"
    command: Literal["SI", "S", "SIR", "none"] = "SI"  # at once; when stable; a stream; listen only
    poll_ms: Annotated[int, Ge(100), Le(10_000)] = 250


class MtSicsDriver:
    Config = MtSicsConfig

    def open(self, config: MtSicsConfig) -> Transport:
        from drivers.transports import SerialTransport, TcpTransport

        host, colon, tcp_port = config.port.rpartition(":")
        if colon and tcp_port.isdecimal() and not config.port.startswith("/"):
            if not 1 <= int(tcp_port) <= TCP_PORT_MAX:
                raise ConfigError(
                    f'port is "{config.port}"; its TCP port is 1 to {TCP_PORT_MAX}, such as 8001'
                )
            return TcpTransport(host, int(tcp_port))
        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: MtSicsConfig) -> Decoder:
        lines = LineSearch(meaning_of, LineDoubt(config.baud))
        return PolledScale(lines, _asking(config), f"{config.baud} baud")


def _asking(config: MtSicsConfig) -> Conversation | None:
    if config.command == "none":
        return None
    request = f"{config.command}\r\n".encode()
    if config.command == "SIR":  # one question starts a stream; a silence ends it
        return Conversation((), (request,), STREAM_ENDED_S)
    answer_within_s = BLOCKS_UNTIL_STABLE_S if config.command == "S" else 1.0
    return Conversation((), (request,), config.poll_ms / 1000, answer_within_s)


def meaning_of(line: bytes, now_s: float = 0.0) -> Sequence[AnyReading] | None:
    """One line without its end. None: no line of MT-SICS."""
    raw_hex = line.hex()
    if weight := WEIGHT.fullmatch(line):
        value = value_of((weight[2] or b"") + weight[3])
        return [Weight(value=value, unit=unit_of(weight[4]), stable=weight[1] == b"S", raw_hex=raw_hex)]
    if parcel := PARCEL.fullmatch(line):
        ounces = Decimal(int(parcel[3]) * OZ_PER_LB) + value_of(parcel[4])
        value = -ounces if parcel[2] else ounces
        return [Weight(value=value, unit="oz", stable=parcel[1] == b"S", raw_hex=raw_hex)]
    if tare := TARE.fullmatch(line):
        return [Weight(tare=value_of(tare[1]), unit=unit_of(tare[2]), status="tare", raw_hex=raw_hex)]
    if error := ERRORS.get(line.strip()):
        return [Health(status="refused", error=error, raw_hex=raw_hex)]
    if identity := IDENTITY.fullmatch(line):
        return [Health(status=f"I{identity[1].decode()} {identity[2].decode('ascii')}", raw_hex=raw_hex)]
    if state := STATE.fullmatch(line):
        return _state(state[1], state[2], raw_hex)
    return None


def _state(command: bytes, state: bytes, raw_hex: str) -> Sequence[AnyReading] | None:
    """`S I`, `S +`, `Z A`: what there is when there is no value."""
    word = STATES.get(state)
    if command[:1] == b"S":
        return [Weight(status=word, error=word, stable=None, raw_hex=raw_hex)] if word else None
    name = {b"Z": "zero", b"T": "tare"}.get(command[:1], command.decode().lower())
    if word:
        return [Health(status=f"{name}_refused", error=word, raw_hex=raw_hex)]
    return [Health(status=f"{name}_done", raw_hex=raw_hex)]
