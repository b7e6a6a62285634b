"""Barcode scanners on a serial line: RS-232, or USB in "virtual COM port" (CDC) mode.

A code ends with CR, LF, CR LF or ETX (after STX); an AIM identifier in front (ISO/IEC 15424) is split off.
A byte that no barcode has makes the whole read Garbled: what is left could be somebody else's code.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Predicate, doc

from drivers.contract import AnyReading, Decoder, Outcome, OutcomeCode, Transport, garbled
from drivers.line_doubt import LineDoubt
from drivers.scanned import ALLOWED, TEXT_BYTES_MAX, scan_of

STX, ETX = b"\x02", b"\x03"
NO_END = 'its codes have no end: scan "suffix CR" (or "add Enter") in the manual of the scanner'


def _is_hex(text: str) -> bool:
    return re.fullmatch(r"\s*([0-9A-Fa-f]{2}\s*)*", text) is not None


Hex = Annotated[str, Predicate(_is_hex), doc('pairs of hexadecimal digits, as in "07" or "1B 42"')]


@dataclass(frozen=True, slots=True)
class SerialScannerConfig:
    port: str = ""  # /dev/serial/by-id/...: the name that survives a reboot
    baud: Annotated[int, Ge(300), Le(921_600)] = 9600  # a USB COM port ignores it
    bytesize: Annotated[int, Ge(7), Le(8)] = 8
    parity: Literal["none", "even", "odd"] = "none"
    prefix: str = ""  # what the scanner was told to put in front, and behind, each code
    suffix: str = ""
    no_read: str = ""  # the text it sends when it could not read
    idle_ms: Annotated[int, Ge(20), Le(2_000)] = 500  # a half line older than this is not a code
    reply: Literal["none", "beep", "text"] = "none"  # how this scanner is told what became of a scan
    beep_good: Hex = "07"  # hex: the bytes that make it beep once ...
    beep_bad: Hex = "070707"  # ... and so that somebody looks up


class SerialScannerDriver:
    Config = SerialScannerConfig

    def open(self, config: SerialScannerConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(
            config.port, config.baud, bytesize=config.bytesize, parity=config.parity[0].upper()
        )

    def decoder(self, config: SerialScannerConfig) -> Decoder:
        return SerialScannerDecoder(config)


GOOD: frozenset[OutcomeCode] = frozenset({"ok", "low", "mode", "undo", "shown", "late"})


class SerialScannerDecoder:
    def __init__(self, config: SerialScannerConfig) -> None:
        self._config = config
        self._prefix = config.prefix.encode()
        self._suffix = config.suffix.encode()
        self._no_read = config.no_read.encode()
        self._pending = b""
        self._last_s = 0.0
        self._doubt = LineDoubt(config.baud, if_readable=NO_END)

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        self._last_s = now_s
        *lines, rest = (self._pending + chunk).replace(b"\r", b"\n").replace(ETX, b"\n").split(b"\n")
        self._pending = rest[: TEXT_BYTES_MAX + 2]  # its head: the same reading however the bytes were cut
        readings: list[AnyReading] = []
        for line in lines:
            if line:
                self._read(line, readings)
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        if not self._pending or (now_s - self._last_s) * 1000 < self._config.idle_ms:
            return []
        half, self._pending = self._pending, b""
        if half == STX:
            return []
        return [garbled("half a line: no end came", half), *self._doubt.bad(half)]

    def voice(self, outcome: Outcome) -> bytes:
        """What the scanner is told. "text" suits scanners with a display: `CODE text CR LF`."""
        if self._config.reply == "none":
            return b""
        if self._config.reply == "text":
            text = outcome.text.replace("\r", " ").replace("\n", " ")
            return f"{outcome.code} {text}".rstrip().encode("ascii", "replace") + b"\r\n"
        return bytes.fromhex(self._config.beep_good if outcome.code in GOOD else self._config.beep_bad)

    def _read(self, line: bytes, readings: list[AnyReading]) -> None:
        cut, _stx, code = line.rpartition(STX)
        if len(line) > TEXT_BYTES_MAX + len(STX) or len(code) > TEXT_BYTES_MAX:
            readings.append(garbled(f"longer than {TEXT_BYTES_MAX} bytes", line))
            return
        if cut:  # STX begins a code: what stands before it is the rest of another
            readings.append(garbled("half a line: another began", cut))
        if code.translate(None, ALLOWED):
            readings.append(garbled("a byte that no barcode has", code))
            readings += self._doubt.bad(code)
            return
        if self._no_read and code == self._no_read:
            readings.append(garbled("the scanner says: no read", code))
            return
        text = code.removeprefix(self._prefix).removesuffix(self._suffix)
        if text:
            self._doubt.good()
            readings.append(scan_of(text.decode("ascii"), None if text == code else code.hex()))
