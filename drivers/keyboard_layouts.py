"""Which character a key position stands for: a scanner in keyboard mode sends positions, not characters.

Only what a barcode can hold (ASCII) is listed; `·` marks a position that gives something else. The tables
agree with xkb-data, the X11 keyboard database (a test compares them where that is installed).
"""

from typing import NamedTuple

NOTHING = "·"
# Linux key codes in the order of the strings below: ` row 1, row 2, row 3, \\, <, row 4
POSITIONS = (41, *range(2, 14), *range(16, 28), *range(30, 41), 43, 86, *range(44, 54))
SHIFT, ALTGR, CAPS = 1, 2, 4  # bits of a level
KEYPAD = {
    **{71: "7", 72: "8", 73: "9", 75: "4", 76: "5", 77: "6", 79: "1", 80: "2", 81: "3", 82: "0"},
    **{55: "*", 74: "-", 78: "+", 83: ".", 98: "/", 117: "=", 121: ","},
}


class Layout(NamedTuple):
    plain: str
    shift: str
    altgr: str
    dead: tuple[tuple[int, int], ...] = ()  # (level, key): waits for the next key; scanners send a space


class Keymap(NamedTuple):
    """A layout made ready for look-up."""

    characters: tuple[dict[int, str], ...]  # by level (bits SHIFT, ALTGR, CAPS): key code -> character
    dead: tuple[dict[int, str], ...]


def keymap(name: str) -> Keymap:
    """The layout `name` of LAYOUTS for all eight combinations of Shift, AltGr and Caps Lock."""
    layout = LAYOUTS[name]
    levels = [dict(zip(POSITIONS, row, strict=True)) for row in (layout.plain, layout.shift, layout.altgr)]
    characters, dead = [], []
    for level in range(8):
        row = [_position(levels, level, key) for key in POSITIONS]
        alive = {
            key: levels[at][key]
            for key, at in zip(POSITIONS, row, strict=True)
            if levels[at][key] != NOTHING and (at, key) not in layout.dead
        }
        characters.append(alive | KEYPAD)
        dead.append(
            {key: levels[at][key] for key, at in zip(POSITIONS, row, strict=True) if (at, key) in layout.dead}
        )
    return Keymap(tuple(characters), tuple(dead))


def _position(levels: list[dict[int, str]], level: int, key: int) -> int:
    """Which row answers: AltGr wins over Shift, and Caps Lock turns Shift round for letters only."""
    if level & ALTGR:
        return 2
    shifted = bool(level & SHIFT)
    if level & CAPS and levels[0][key].isalpha() and levels[0][key].isascii():
        shifted = not shifted
    return int(shifted)


LAYOUTS = {
    "us": Layout(
        plain="`1234567890-=qwertyuiop[]asdfghjkl;'\\<zxcvbnm,./",
        shift='~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:"|>ZXCVBNM<>?',
        altgr="·····································|··········",
    ),
    "de": Layout(
        plain="^1234567890··qwertzuiop·+asdfghjkl··#<yxcvbnm,.-",
        shift="·!\"·$%&/()=?`QWERTZUIOP·*ASDFGHJKL··'>YXCVBNM;:_",
        altgr="·······{[]}\\·@··········~··········^·|··········",
        dead=((0, 41), (1, 13), (2, 40)),
    ),
    "fr": Layout(
        plain="·&·\"'(-·_··)=azertyuiop^$qsdfghjklm·*<wxcvbn,;:!",
        shift="~1234567890·+AZERTYUIOP··QSDFGHJKLM%·>WXCVBN?./·",
        altgr="··~#{[|`\\^@]}············@·········^`|··········",
        dead=((0, 26), (2, 40), (2, 43)),
    ),
    "gb": Layout(
        plain="`1234567890-=qwertyuiop[]asdfghjkl;'#\\zxcvbnm,./",
        shift='·!"·$%^&*()_+QWERTYUIOP{}ASDFGHJKL:@~|ZXCVBNM<>?',
        altgr="|······{[]}\\·@··········~··········^`|··········",
        dead=((2, 27), (2, 40), (2, 43)),
    ),
    "es": Layout(
        plain="·1234567890'·qwertyuiop`+asdfghjkl···<zxcvbnm,.-",
        shift='·!"·$%&/()=?·QWERTYUIOP^*ASDFGHJKL···>ZXCVBNM;:_',
        altgr="\\|@#~··{[]}\\·@·········[]·········~{}|··········",
        dead=((0, 26), (1, 26), (2, 39)),
    ),
    "it": Layout(
        plain="\\1234567890'·qwertyuiop·+asdfghjkl···<zxcvbnm,.-",
        shift='|!"·$%&/()=?^QWERTYUIOP·*ASDFGHJKL···>ZXCVBNM;:_',
        altgr="·······{[]}`~@·········[]·········@#`···········",
        dead=((2, 43),),
    ),
    "pl": Layout(
        plain="`1234567890-=qwertyuiop[]asdfghjkl;'\\<zxcvbnm,./",
        shift='~!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:"|>ZXCVBNM<>?',
        altgr="························~··········^`|··········",
        dead=((2, 27), (2, 40), (2, 43)),
    ),
    "se": Layout(
        plain="·1234567890+·qwertyuiop··asdfghjkl··'<zxcvbnm,.-",
        shift='·!"#·%&/()=?`QWERTYUIOP·^ASDFGHJKL··*>ZXCVBNM;:_',
        altgr="··@·$··{[]}\\·@··········~············|··········",
        dead=((1, 13), (1, 27), (2, 27)),
    ),
    "ch": Layout(
        plain="·1234567890'^qwertzuiop··asdfghjkl··$<yxcvbnm,.-",
        shift='·+"*·%&/()=?`QWERTZUIOP·!ASDFGHJKL···>YXCVBNM;:_',
        altgr="·|@#···|·]}·~@·········[]··········{}\\··········",
        dead=((0, 13), (1, 13), (2, 13)),
    ),
}
