"""Positions and characters: the tables agree with xkb-data where libxkbcommon is installed."""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from drivers.hid_scanner import HidScannerConfig, HidScannerDecoder
from drivers.keyboard_layouts import LAYOUTS, NOTHING, POSITIONS
from tests.drivers.test_hid_scanner import RECORD, pressed

ASCII_OF_DEAD = {"dead_circumflex": "^", "dead_grave": "`", "dead_tilde": "~"}
CHECK_CARD = "0123456789AZQWYMazqwym-_/:;@#+*.$%"  # what the scanner check card prints


class Names(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")]


@cache
def xkb() -> Any:
    library = ctypes.util.find_library("xkbcommon")
    if library is None or not Path("/usr/share/X11/xkb").exists():
        pytest.skip("libxkbcommon or xkb-data is not installed: nothing to compare with")
    loaded = ctypes.CDLL(library)
    loaded.xkb_context_new.restype = ctypes.c_void_p
    loaded.xkb_keymap_new_from_names.restype = ctypes.c_void_p
    loaded.xkb_keymap_new_from_names.argtypes = [ctypes.c_void_p, ctypes.POINTER(Names), ctypes.c_int]
    loaded.xkb_keymap_key_get_syms_by_level.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32),
        ctypes.POINTER(ctypes.POINTER(ctypes.c_uint32)),
    ]
    return loaded


def database_says(layout: str, level: int, key: int) -> tuple[str, bool]:
    """The character of a position, and whether it is a dead key."""
    library, symbols = xkb(), ctypes.POINTER(ctypes.c_uint32)()
    names = Names(b"evdev", b"pc105", layout.encode(), None, b"")
    context = library.xkb_context_new(0)
    keymap = _keymap(library, context, names, layout)
    if not library.xkb_keymap_key_get_syms_by_level(keymap, key + 8, 0, level, ctypes.byref(symbols)):
        return NOTHING, False
    name = ctypes.create_string_buffer(64)
    library.xkb_keysym_get_name(symbols[0], name, 64)
    if dead := ASCII_OF_DEAD.get(name.value.decode()):
        return dead, True
    code = library.xkb_keysym_to_utf32(symbols[0])
    return (chr(code) if 0x20 <= code < 0x7F else NOTHING), False


KEYMAPS: dict[str, Any] = {}


def _keymap(library: Any, context: Any, names: Names, layout: str) -> Any:
    if layout not in KEYMAPS:
        KEYMAPS[layout] = library.xkb_keymap_new_from_names(context, names, 0)
    return KEYMAPS[layout]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_layout_agrees_with_the_database(layout: str) -> None:
    ours, theirs = {}, {}
    for level, row in enumerate(LAYOUTS[layout][:3]):
        for key, char in zip(POSITIONS, row, strict=True):
            if layout == "gb" and (level, key) == (2, 18):
                continue  # AltGr+E, which xkb-data makes an e again
            ours[level, key] = (char, (level, key) in LAYOUTS[layout].dead)
            theirs[level, key] = database_says(layout, level, key)

    assert ours == theirs


def key_presses(layout: str, text: str) -> bytes:
    """How a scanner set to `layout` types `text`: by the first position that has each character."""
    rows = LAYOUTS[layout][:3]
    records = b""
    for char in text:
        level, key = next(
            (level, key)
            for level, row in enumerate(rows)
            for key, have in zip(POSITIONS, row, strict=True)
            if have == char
        )
        press = pressed((key, 1), (key, 0))
        modifier = (0, 42, 100)[level]
        records += pressed((modifier, 1)) + press + pressed((modifier, 0)) if modifier else press
        if (level, key) in LAYOUTS[layout].dead:
            records += pressed((57, 1), (57, 0))
    return records + pressed((28, 1), (28, 0))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_check_card_comes_through_in_every_layout(layout: str) -> None:
    scanner = HidScannerDecoder(HidScannerConfig(layout=layout))  # type: ignore[arg-type]

    (scan,) = scanner.feed(key_presses(layout, CHECK_CARD), 0.0)

    assert scan.data == CHECK_CARD  # type: ignore[union-attr]


def test_a_dead_key_and_its_space_are_one_character() -> None:
    scanner = HidScannerDecoder(HidScannerConfig(layout="de"))

    (scan,) = scanner.feed(key_presses("de", "a^b"), 0.0)

    assert scan.data == "a^b"  # type: ignore[union-attr]


def test_a_french_scanner_read_as_american_turns_digits_into_signs() -> None:
    scanner = HidScannerDecoder(HidScannerConfig(layout="us"))

    (scan,) = scanner.feed(key_presses("fr", "590123"), 0.0)

    assert scan.data == "%()!@#"  # type: ignore[union-attr]
    assert RECORD.size == 24
