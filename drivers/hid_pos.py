"""Barcode scanners in HID-POS mode (USB usage page 0x8C), or with a vendor's own reports, from /dev/hidrawN.

No keyboard layout can spoil this mode, and it keeps GS and the AIM identifier. A HID-POS report is `02`,
the length, three bytes of AIM, up to 56 of data; bit 0 of the last byte says that the code goes on in the
next report.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.contract import AnyReading, ConfigError, Decoder, DeviceGone, Scan, Transport, garbled
from drivers.hid_descriptor import (
    KEYBOARD_PAGE,
    SCANNER_PAGE,
    descriptor_of,
    input_report_bytes,
    usage_pages,
)
from drivers.scanned import ALLOWED, TEXT_BYTES_MAX, scan_of

POS_REPORT, VENDOR_REPORT = 2, 1
AIM_AT, POS_DATA_AT, POS_DATA_BYTES = 2, 5, 56
VENDOR_DATA_AT = 2
CONTINUED = 0x01  # of the last byte of a report
KEYBOARD_REPORT_BYTES = 8
HALF_CODE_S = 0.5


@dataclass(frozen=True, slots=True)
class HidPosConfig:
    path: str = ""  # /dev/hidraw...
    layout: Literal["auto", "pos", "vendor"] = "auto"  # auto: by the report's number, 2 or 1
    report_bytes: Annotated[int, Ge(8), Le(1024)] = 64  # 8: boot keyboard reports, layout us


class HidPosDriver:
    Config = HidPosConfig

    def open(self, config: HidPosConfig) -> Transport:
        from drivers.transports import HidrawTransport

        check_descriptor(descriptor_of(config.path), config)
        return HidrawTransport(config.path)

    def decoder(self, config: HidPosConfig) -> Decoder:
        if config.report_bytes == KEYBOARD_REPORT_BYTES:
            from drivers.hid_scanner import HidScannerConfig, HidScannerDecoder

            return HidScannerDecoder(HidScannerConfig(report_bytes=KEYBOARD_REPORT_BYTES))
        return HidPosDecoder(config)


def check_descriptor(descriptor: bytes, config: HidPosConfig) -> None:
    """Raises DeviceGone or ConfigError when the device says that it speaks otherwise; b"" says nothing.

    Its mode is changed on the device, so it is looked at again; a setting waits for a person.
    """
    pages = usage_pages(descriptor)
    is_keyboard = KEYBOARD_PAGE in pages and SCANNER_PAGE not in pages
    if is_keyboard and config.report_bytes != KEYBOARD_REPORT_BYTES:
        raise DeviceGone(
            f"{config.path} is in keyboard mode: scan the code for USB HID-POS in the scanner's manual,"
            ' or use driver = "hid_scanner"'
        )
    lengths = input_report_bytes(descriptor)
    length = lengths.get(POS_REPORT) or lengths.get(VENDOR_REPORT) or config.report_bytes
    if SCANNER_PAGE in pages and length != config.report_bytes:
        raise ConfigError(f"{config.path} sends reports of {length} bytes: set report_bytes = {length}")


class HidPosDecoder:
    def __init__(self, config: HidPosConfig) -> None:
        self._config = config
        self._pending = b""
        self._aim = b""
        self._begun: bytes | None = None  # a code that goes on in the next report
        self._last_s = 0.0

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        self._last_s = now_s
        step = self._config.report_bytes
        data = self._pending + chunk
        whole = len(data) - len(data) % step
        self._pending = data[whole:]
        readings: list[AnyReading] = []
        for at in range(0, whole, step):
            readings += self._report(data[at : at + step])
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        if now_s - self._last_s < HALF_CODE_S:
            return []
        readings: list[AnyReading] = []
        if self._begun is not None:
            readings.append(garbled("half a code: the next report did not come", self._begun))
        if self._pending:  # kept, it would shift every report that comes
            why = f"a report of {len(self._pending)} bytes, not of {self._config.report_bytes}"
            readings.append(garbled(f"{why}: set report_bytes", self._pending))
        self._begun, self._pending = None, b""
        return readings

    def _report(self, report: bytes) -> list[AnyReading]:
        layout = self._config.layout
        if layout == "auto":
            layout = "vendor" if report[0] == VENDOR_REPORT else "pos"
        if layout == "vendor":
            return self._vendor(report)
        if report[0] != POS_REPORT or report[1] > POS_DATA_BYTES:
            self._begun = None
            return [garbled("no HID-POS report, or its length lies", report)]
        if self._begun is None:
            self._aim = report[AIM_AT:POS_DATA_AT].rstrip(b"\0")
        code = (self._begun or b"") + report[POS_DATA_AT : POS_DATA_AT + report[1]]
        if report[-1] & CONTINUED:
            self._begun = code[: TEXT_BYTES_MAX + 1]  # its head: enough to see that it is too long
            return []
        self._begun = None
        return reading_of(code, self._aim)

    def _vendor(self, report: bytes) -> list[AnyReading]:
        if report[0] != VENDOR_REPORT or report[1] > len(report) - VENDOR_DATA_AT:
            return [garbled("no scanner's report, or its length lies", report)]
        return reading_of(report[VENDOR_DATA_AT : VENDOR_DATA_AT + report[1]], b"")


def reading_of(code: bytes, aim: bytes) -> list[AnyReading]:
    """A code as a scanner sends it, perhaps with the line end that it was told to add."""
    code = code.rstrip(b"\r\n\t")
    if not code:
        return []
    if len(code) > TEXT_BYTES_MAX:
        return [garbled(f"longer than {TEXT_BYTES_MAX} bytes", code)]
    if code.translate(None, ALLOWED) or aim.translate(None, ALLOWED):
        return [garbled("a byte that no barcode has", code)]
    if aim[:1] == b"]":
        return [Scan(code.decode("ascii"), aim.decode("ascii"))]
    return [scan_of(code.decode("ascii"))]
