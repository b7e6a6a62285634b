"""Scales and balances that send one text line a weighing, by themselves or when asked.

With a header (A&D, CAS and many others): `ST,GS,+0001260kg`, where ST is stable, US unstable, OL overload,
QT a count; GS gross, NT net. Without (Kern, G&G, Sartorius): `       0.665 g  `, and then nothing says
whether the load has settled: it has when the value was the same for `stable_ms`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import AnyReading, Decoder, Transport, Weight
from drivers.line_doubt import LineDoubt
from drivers.matching import LineSearch
from drivers.polled_scale import PolledScale
from drivers.weighed import unit_of, value_of

NUMBER = rb"([+-]? *(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
HEADER = re.compile(rb" *(ST|US|OL|QT),(?:(GS|NT|TR),)?(?:[^,]{1,2},)?(.*)")
HEADER_VALUE = re.compile(rb" *" + NUMBER + rb" *([A-Za-z%]{0,4}) *")
PLAIN = re.compile(rb" *(?:[GNT#] +)?" + NUMBER + rb" *(?:([A-Za-z%]{1,4})|) *")
PLAIN_STATE = re.compile(rb" *(High|HIGH|H|HH|OL|OVER|Over|Low|LOW|L|LL|UL|UNDER|Under) *")
STABLE_LINES_MIN = 3


@dataclass(frozen=True, slots=True)
class HeaderLineConfig:
    port: str = ""
    baud: Annotated[int, Ge(300), Le(115_200)] = 9600  # A&D: often 2400 with parity even, bytesize 7
    bytesize: Annotated[int, Ge(7), Le(8)] = 8
    parity: Literal["none", "even", "odd"] = "none"
    request: str = ""  # sent with CR LF when the scale must be asked: Q (A&D), w (Kern), P (Adam)
    poll_ms: Annotated[int, Ge(100), Le(10_000)] = 250
    stable_ms: Annotated[int, Ge(300), Le(10_000)] = (
        1_000  # how long a value without a flag must stay the same
    )


class HeaderLineDriver:
    Config = HeaderLineConfig

    def open(self, config: HeaderLineConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: HeaderLineConfig) -> Decoder:
        request = f"{config.request}\r\n".encode("ascii", "replace")
        asking = Conversation((), (request,), config.poll_ms / 1000) if config.request else None
        lines = LineSearch(Lines(config.stable_ms / 1000).meaning, LineDoubt(config.baud))
        return PolledScale(lines, asking, f"{config.baud} baud")


class Lines:
    """What a line means; of lines without a flag, how long they have been the same."""

    def __init__(self, stable_s: float) -> None:
        self._stable_s = stable_s
        self._same: tuple[Decimal | None, str | None] = (None, None)
        self._same_since_s = 0.0
        self._same_lines = 0

    def meaning(self, line: bytes, now_s: float) -> Sequence[AnyReading] | None:
        if not line.strip():
            return []
        if header := HEADER.fullmatch(line):
            return _with_header(header, line.hex())
        if plain := PLAIN.fullmatch(line):
            return [self._without_flag(value_of(plain[1]), plain[2], line.hex(), now_s)]
        if state := PLAIN_STATE.fullmatch(line):
            word = "underload" if state[1].upper()[:1] in (b"L", b"U") else "overload"
            return [Weight(status=word, error=word, raw_hex=line.hex())]
        return None

    def _without_flag(self, value: Decimal, unit: bytes | None, raw_hex: str, now_s: float) -> Weight:
        """A value without a flag. One without a unit is not settled: that is how these scales say so."""
        named = unit_of(unit or b"")
        if (value, named) != self._same:
            self._same, self._same_since_s, self._same_lines = (value, named), now_s, 0
        self._same_lines += 1
        has_stayed = now_s - self._same_since_s >= self._stable_s and self._same_lines >= STABLE_LINES_MIN
        stable = False if named is None else True if has_stayed else None
        return Weight(value=value, unit=named, stable=stable, raw_hex=raw_hex)


def _with_header(header: re.Match[bytes], raw_hex: str) -> Sequence[AnyReading] | None:
    state, kind, rest = header[1], header[2], header[3]
    net = None if kind is None else kind == b"NT"
    if state == b"OL":
        return [Weight(status="overload", error="overload", net=net, raw_hex=raw_hex)]
    found = HEADER_VALUE.fullmatch(rest)
    if found is None:
        return None
    return [
        Weight(
            value=value_of(found[1]),
            unit=unit_of(found[2]),
            stable=state != b"US",
            status="count" if state == b"QT" else None,
            net=net,
            raw_hex=raw_hex,
        )
    ]
