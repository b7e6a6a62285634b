"""The symbology identifier that a scanner may put in front of a code: `]`, letter, digit (ISO/IEC 15424)."""

from drivers.contract import Scan


def scan_of(text: str, raw_hex: str | None = None) -> Scan:
    """A scan, the identifier split off when one leads. `raw_hex`: only when it says more than the text."""
    if text[:1] == "]" and len(text) > 3 and text[1].isalpha() and text[2].isalnum():
        return Scan(text[3:], text[:3], raw_hex)
    return Scan(text, None, raw_hex)
