"""What a scanner may say: the text of one barcode, with or without its AIM identifier."""

from drivers.contract import Scan

TEXT_BYTES_MAX = 256
ALLOWED = bytes([0x04, 0x1D, 0x1E]) + bytes(range(0x20, 0x7F))  # EOT, GS and RS belong to GS1 and ISO 15434


def scan_of(text: str, raw_hex: str | None = None) -> Scan:
    """A scan, the identifier split off when one leads: `]`, letter, digit (ISO/IEC 15424).

    `raw_hex` is given only when it says more than the text.
    """
    if text[:1] == "]" and len(text) > 3 and text[1].isalpha() and text[2].isalnum():
        return Scan(text[3:], text[:3], raw_hex)
    return Scan(text, None, raw_hex)
