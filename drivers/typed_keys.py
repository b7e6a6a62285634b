"""Pure: how a keyboard types a code. A layout read backwards, as strokes, USB reports or input records.

The reports and records are what `drivers.hid_scanner` decodes, so a test can send each code there and back.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from drivers.hid_scanner import USAGE_A, USAGE_KEYS, USAGE_MODIFIERS
from drivers.input_events import EV_KEY, EV_SYN, RECORD, SYN_REPORT
from drivers.keyboard_layouts import LAYOUTS, NOTHING, POSITIONS

ENTER, TAB, SPACE, RIGHT_BRACKET = 28, 15, 57, 27  # Linux key codes
LEFT_CTRL, LEFT_SHIFT, ALT_GR = 29, 42, 100
HELD_AT_LEVEL = (0, LEFT_SHIFT, ALT_GR)
REPORT_BYTES = 8  # of a boot keyboard: modifiers, 0, six keys
RELEASED = bytes(REPORT_BYTES)


class Stroke(NamedTuple):
    """One key pressed and released; `held` (0: none) is down meanwhile. Linux key codes."""

    key: int
    held: int = 0


ENDS = {"enter": (Stroke(ENTER),), "tab": (Stroke(TAB),), "none": ()}


class CannotType(ValueError):
    """The layout has no key for a character of this code."""


def strokes(text: str, layout: str, terminator: str) -> list[Stroke]:
    """`text` and its end (a key of ENDS) on a keyboard set to `layout`. Raises CannotType."""
    keys = _keys(layout)
    found: list[Stroke] = []
    for char in text:
        if char not in keys:
            raise CannotType(f"{char!r} has no key in layout {layout}")
        found += keys[char]
    return [*found, *ENDS[terminator]]


def boot_reports(typed: list[Stroke]) -> Iterator[bytes]:
    """Two reports a stroke, down and up: the same key twice is then twice the character."""
    for key, held in typed:
        modifiers = 1 << USAGE_MODIFIERS.index(held) if held else 0
        yield bytes([modifiers, 0, USAGE_A + USAGE_KEYS.index(key), 0, 0, 0, 0, 0])
        yield RELEASED


def input_records(typed: list[Stroke]) -> Iterator[bytes]:
    """The same for /dev/uinput: `struct input_event`, one write a stroke. The kernel sets the time."""
    end = RECORD.pack(0, 0, EV_SYN, SYN_REPORT, 0)
    for key, held in typed:
        order = [(held, 1)] * bool(held) + [(key, 1), (key, 0)] + [(held, 0)] * bool(held)
        yield b"".join(RECORD.pack(0, 0, EV_KEY, code, value) + end for code, value in order)


@cache
def _keys(layout: str) -> dict[str, tuple[Stroke, ...]]:
    """Character -> strokes. A dead key is followed by a space, GS is Ctrl+] by position, as scanners do it."""
    positions = LAYOUTS[layout]
    found: dict[str, tuple[Stroke, ...]] = {}
    for level, row in enumerate((positions.plain, positions.shift, positions.altgr)):
        for key, char in zip(POSITIONS, row, strict=True):
            stroke = Stroke(key, HELD_AT_LEVEL[level])
            is_dead = (level, key) in positions.dead
            if char != NOTHING and (char not in found or (len(found[char]) > 1 and not is_dead)):
                found[char] = (stroke, Stroke(SPACE)) if is_dead else (stroke,)
    return found | {" ": (Stroke(SPACE),), "\x1d": (Stroke(RIGHT_BRACKET, LEFT_CTRL),)}
