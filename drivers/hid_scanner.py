"""Barcode scanners in keyboard mode ("wedge"), read from the kernel's input device and nowhere else.

The records of /dev/input/eventN (or, with report_bytes = 8, the boot keyboard reports of /dev/hidrawN) are
followed key by key: Shift, Caps Lock, AltGr, Ctrl, Alt with the keypad, in the layout the scanner is set to.
A code ends with Enter or Tab, a text of its own, or silence. Half a code is never a scan.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.contract import AnyReading, Decoder, Transport, garbled
from drivers.guard import Guard
from drivers.input_events import DOWN, EV_KEY, EV_SYN, RECORD, SYN_DROPPED, SYN_REPORT, UP
from drivers.keyboard_layouts import ALTGR, CAPS, KEYPAD, SHIFT, keymap
from drivers.scanned import TEXT_BYTES_MAX, scan_of

UNENDED_CHARS_MIN = 4  # silence makes a scan of a text only from this length on
GONE_S = 60.0  # a silence that nobody heard begin is the host's word that the device was unplugged
BOOT_REPORT_BYTES = 8

ENTERS = (28, 96)  # and the keypad's
TAB, SPACE, F8, RIGHT_BRACKET, CAPS_LOCK = 15, 57, 66, 27, 58
SHIFTS, CTRLS, ALT, ALT_GR = (42, 54), (29, 97), 56, 100
MODIFIERS = frozenset({*SHIFTS, *CTRLS, ALT, ALT_GR})
SILENT_KEYS = frozenset({69, 70})  # Num Lock and Scroll Lock: pressed by scanners on the way, mean nothing
GS = "\x1d"
CONTROLS = frozenset("\x04\x1d\x1e")  # the control characters that a barcode may hold
TYPED_ENDS = frozenset("\r\n")  # Ctrl+M, Ctrl+J
ALT_DIGITS_MAX = 4


@dataclass(frozen=True, slots=True)
class HidScannerConfig:
    path: str = ""  # /dev/input/by-id/...-event-kbd, or by-path when two scanners are equal
    layout: Literal["us", "de", "fr", "gb", "es", "it", "pl", "se", "ch"] = "us"  # what the scanner is set to
    terminator: str = "auto"  # enter, tab, none (silence), any other text; auto: Enter, Tab, else silence
    prefix: str = ""  # what the scanner was told to put in front of, and behind, each code
    suffix: str = ""
    idle_ms: Annotated[int, Ge(20), Le(2_000)] = 150  # silence that ends a code when no key does
    caps_lock: bool = False  # the scanner starts with Caps Lock on
    grab: bool = True  # else the shop's barcodes land in the console login
    report_bytes: Annotated[int, Ge(0), Le(64)] = 0  # 8: boot keyboard reports from /dev/hidrawN


class HidScannerDriver:
    Config = HidScannerConfig

    def open(self, config: HidScannerConfig) -> Transport:
        from drivers.transports import EvdevTransport, HidrawTransport

        if config.report_bytes == BOOT_REPORT_BYTES:
            return HidrawTransport(config.path)
        return EvdevTransport(config.path, grab=config.grab)

    def decoder(self, config: HidScannerConfig) -> Decoder:
        return HidScannerDecoder(config)


class HidScannerDecoder:
    """Follows the keys. The common case, a character key going down, is handled in `_follow` itself."""

    def __init__(self, config: HidScannerConfig) -> None:
        self._config = config
        self._reports = BootReports() if config.report_bytes == BOOT_REPORT_BYTES else None
        self._record_bytes = BOOT_REPORT_BYTES if self._reports else RECORD.size
        self._keymap = keymap(config.layout)
        self._end_text = "" if config.terminator in ("auto", "enter", "tab", "none") else config.terminator
        self._end_char = self._end_text[-1:] or None
        self._tab_ends = config.terminator in ("auto", "tab")
        self._silence_ends = config.terminator in ("auto", "none")
        self._guard = Guard()
        self._pending = b""
        self._last_s = 0.0
        self._text = ""
        self._problem = ""  # why this code cannot be trusted, once something is missing in it
        self._dead_at = 0  # length of the text after a dead key: the space that follows belongs to it
        self._key_held = 0
        self._lost_us = -1  # when the kernel's buffer overran; -1: it did not
        self._skip_to_report = False  # then, up to the next SYN_REPORT, nothing is whole
        self._caps = CAPS if config.caps_lock else 0
        self._modifiers: set[int] = set()
        self._alt_digits = ""
        self._characters = self._keymap.characters[self._caps]

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        self._last_s = now_s
        data = self._pending + chunk
        whole = len(data) - len(data) % self._record_bytes
        self._pending = data[whole:]
        if self._reports:
            readings = self._follow(self._reports.events(data[:whole]))
        else:
            readings = self._follow(RECORD.iter_unpack(data[:whole]))
        if len(self._text) > TEXT_BYTES_MAX + 1 + len(self._end_text):
            tail = self._text[len(self._text) - len(self._end_text) :]
            self._text = self._text[: TEXT_BYTES_MAX + 1] + tail
        return readings

    def idle(self, now_s: float) -> list[AnyReading]:
        silence_s = now_s - self._last_s
        if silence_s * 1000 < self._config.idle_ms:
            return []
        self._alt_digits = ""
        if not self._text and not self._problem:
            return []
        is_long = len(self._text) >= UNENDED_CHARS_MIN and self._text.endswith(self._config.suffix)
        ended = self._silence_ends and not self._key_held and is_long and silence_s < GONE_S
        if not ended and not self._problem:
            self._problem = "half a code: no end came"
        return self._finish(0)

    def _follow(self, events: Iterable[tuple[int, int, int, int, int]]) -> list[AnyReading]:
        readings: list[AnyReading] = []
        characters, end_char = self._characters, self._end_char
        for seconds, microseconds, kind, code, value in events:
            if kind != EV_KEY:
                if kind != EV_SYN:
                    continue
                if code == SYN_DROPPED:
                    self._drop(seconds * 1_000_000 + microseconds)
                    characters = self._characters
                elif code == SYN_REPORT:
                    self._skip_to_report = False
                continue
            if value == UP:
                if code == self._key_held:
                    self._key_held = 0
                elif code in MODIFIERS:
                    self._modify(code, False)
                    characters = self._characters
                continue
            if value != DOWN:
                continue
            char = characters.get(code)
            if char is None:
                readings += self._special(code, seconds * 1_000_000 + microseconds)
                characters = self._characters
                continue
            self._key_held = code
            self._text += char
            if char == end_char and self._text.endswith(self._end_text):
                readings += self._finish(seconds * 1_000_000 + microseconds)
        return readings

    def _special(self, code: int, at_us: int) -> list[AnyReading]:
        """A key that is no plain character: a modifier, the end of a code, a chord, a dead key, a lock."""
        if self._lost_us >= 0:
            return self._after_loss(code, at_us)
        if code in MODIFIERS:
            self._modify(code, True)
            return []
        self._key_held = code
        alt, ctrl = ALT in self._modifiers, not self._modifiers.isdisjoint(CTRLS)
        if code in ENTERS or (code == TAB and self._tab_ends and not alt):
            if self._config.terminator == "auto":
                self._silence_ends = False  # this scanner ends its codes with a key: silence is a cut
            return self._finish(at_us)
        if code == CAPS_LOCK:
            self._caps ^= CAPS
            self._choose_characters()
            return []
        if code in SILENT_KEYS:
            return []
        if alt and not ctrl and code in KEYPAD:
            self._alt_digits = (self._alt_digits + KEYPAD[code])[:ALT_DIGITS_MAX]
            return []
        if char := self._chord(code, ctrl, alt):
            return self._finish(at_us) if char in TYPED_ENDS else self._append(char)
        if code == SPACE:  # the second half of a dead key
            return []
        if self._text:  # something is missing in the middle: what is left could be another code
            self._problem = self._problem or f"key {code} is no character in layout {self._config.layout}"
        when_us = at_us or int(self._last_s * 1_000_000)  # hidraw reports carry no time
        alarm = self._guard.odd_key(code, when_us, ctrl=ctrl, alt=alt)
        if alarm is None:
            return []
        self._problem = "keys that no scanner presses"
        return [alarm]

    def _chord(self, code: int, ctrl: bool, alt: bool) -> str:
        """The character behind a key that is not in the table of plain ones; "" when there is none."""
        level = self._level()
        if ctrl and alt:  # how AltGr reaches a PC
            return self._keymap.characters[level | ALTGR].get(code, "")
        if ctrl:
            char = self._keymap.characters[level].get(code, "")
            if code == RIGHT_BRACKET:  # sent by position, whatever the layout
                char = "]"
            control = chr(ord(char) & 0x1F) if "@" <= char < "\x7f" else ""
            return control if self._text and control in CONTROLS | TYPED_ENDS else ""
        if alt:
            return ""
        if code == F8:
            return GS if self._text else ""
        if code == SPACE:
            return "" if self._dead_at and len(self._text) == self._dead_at else " "
        dead = self._keymap.dead[level].get(code, "")
        if dead:
            self._dead_at = len(self._text) + 1
        return dead

    def _append(self, char: str) -> list[AnyReading]:
        self._text += char
        return []

    def _finish(self, at_us: int) -> list[AnyReading]:
        """The end of a code was seen: what is it?"""
        text, problem = self._text, self._problem
        self._text = self._problem = ""
        self._dead_at = 0
        if self._lost_us >= 0:
            self._lost_us = -1
            self._choose_characters()
        if problem:
            return [garbled(problem, text.encode())]
        text = text.removesuffix(self._end_text)
        if not text:
            return []
        if len(text) > TEXT_BYTES_MAX:
            return [garbled(f"longer than {TEXT_BYTES_MAX} characters", text.encode())]
        text = text.removeprefix(self._config.prefix).removesuffix(self._config.suffix)
        readings: list[AnyReading] = [scan_of(text)] if text else []
        if alarm := self._guard.scanned(at_us):
            readings.append(alarm)
        return readings

    def _drop(self, at_us: int) -> None:
        """The kernel's buffer overran: keys are missing here, and some modifiers may be up by now."""
        self._problem = "keys were lost in the middle of a code: nobody read them in time"
        self._lost_us = at_us
        self._skip_to_report = True
        self._modifiers.clear()
        self._choose_characters()

    def _after_loss(self, code: int, at_us: int) -> list[AnyReading]:
        """Until this code has ended, by a key or by silence, what comes is only the rest of it."""
        if self._skip_to_report:
            return []
        if at_us - self._lost_us >= self._config.idle_ms * 1000:
            readings = self._finish(0)
            self._key_held = code
            char = self._characters.get(code)
            return readings + (self._append(char) if char else self._special(code, at_us))
        if code in ENTERS or (code == TAB and self._tab_ends):
            return self._finish(at_us)
        self._lost_us = at_us
        if code in MODIFIERS:
            self._modify(code, True)
        return []

    def _modify(self, code: int, down: bool) -> None:
        if down:
            self._modifiers.add(code)
        else:
            self._modifiers.discard(code)
            if code == ALT and self._alt_digits:
                self._type_alt_code()
        self._choose_characters()

    def _type_alt_code(self) -> None:
        """Alt with digits on the keypad is a character by its number: Alt+65 is A, Alt+029 is GS."""
        number, self._alt_digits = int(self._alt_digits), ""
        char = chr(number) if 0x20 <= number < 0x7F or chr(number) in CONTROLS else ""
        if char and (self._text or char not in CONTROLS):
            self._text += char
        elif self._text:
            self._problem = self._problem or f"Alt+{number} is no character of a barcode"

    def _level(self) -> int:
        shift = 0 if self._modifiers.isdisjoint(SHIFTS) else SHIFT
        return shift | (ALTGR if ALT_GR in self._modifiers else 0) | self._caps

    def _choose_characters(self) -> None:
        chord = ALT in self._modifiers or not self._modifiers.isdisjoint(CTRLS)
        slow = chord or self._lost_us >= 0
        self._characters = {} if slow else self._keymap.characters[self._level()]


class BootReports:
    """Boot keyboard reports as key events: modifiers, 0, and up to six keys that are down."""

    def __init__(self) -> None:
        self._modifiers = 0
        self._keys = b""

    def events(self, data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
        for at in range(0, len(data), BOOT_REPORT_BYTES):
            modifiers, keys = data[at], data[at + 2 : at + BOOT_REPORT_BYTES].replace(b"\0", b"")
            if USAGE_ROLL_OVER in keys:  # more keys down than a report can name
                yield 0, 0, EV_SYN, SYN_DROPPED, 0
                yield 0, 0, EV_SYN, SYN_REPORT, 0
                continue
            for bit, code in enumerate(USAGE_MODIFIERS):
                if (modifiers ^ self._modifiers) >> bit & 1:
                    yield 0, 0, EV_KEY, code, modifiers >> bit & 1
            yield from ((0, 0, EV_KEY, _key(usage), UP) for usage in self._keys if usage not in keys)
            yield from ((0, 0, EV_KEY, _key(usage), DOWN) for usage in keys if usage not in self._keys)
            self._modifiers, self._keys = modifiers, keys


def _key(usage: int) -> int:
    """The Linux key code of a usage on the HID keyboard page; 0 (no key) when there is none."""
    return USAGE_KEYS[usage - USAGE_A] if 0 <= usage - USAGE_A < len(USAGE_KEYS) else 0


USAGE_ROLL_OVER, USAGE_A = 0x01, 0x04
USAGE_MODIFIERS = (29, 42, 56, 125, 97, 54, 100, 126)  # bits 0 to 7: left Ctrl Shift Alt Meta, then right
USAGE_KEYS = (
    *(30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44),
    *range(2, 12),  # 1 to 9, 0
    *(28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53, 58),  # Enter to Caps Lock
    *range(59, 69),  # F1 to F10
    *(87, 88, 99, 70, 119, 110, 102, 104, 111, 107, 109, 106, 105, 108, 103),  # F11 to the arrows
    *(69, 98, 55, 74, 78, 96, 79, 80, 81, 75, 76, 77, 71, 72, 73, 82, 83, 86, 127, 116, 117),  # the keypad
)
