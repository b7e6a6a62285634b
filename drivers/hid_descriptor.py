"""What a HID device says about its own reports: usage pages and lengths (USB HID 1.11, section 6.2.2)."""

from pathlib import Path

INPUT, REPORT_SIZE, REPORT_ID, REPORT_COUNT, USAGE_PAGE = 0x80, 0x74, 0x84, 0x94, 0x04
LONG_ITEM = 0xFE
KEYBOARD_PAGE, SCALE_PAGE, SCANNER_PAGE = 0x07, 0x8D, 0x8C


def descriptor_of(path: str) -> bytes:
    """The report descriptor of /dev/hidrawN; b"" when the kernel does not show it."""
    name = Path(path).resolve().name
    try:
        return Path(f"/sys/class/hidraw/{name}/device/report_descriptor").read_bytes()
    except OSError:
        return b""


def usage_pages(descriptor: bytes) -> set[int]:
    return {value for tag, value in _items(descriptor) if tag == USAGE_PAGE}


def input_report_bytes(descriptor: bytes) -> dict[int, int]:
    """Length of each input report by its number (0: the device has one without a number), number included."""
    size = count = report_id = 0
    bits: dict[int, int] = {}
    for tag, value in _items(descriptor):
        if tag == REPORT_SIZE:
            size = value
        elif tag == REPORT_COUNT:
            count = value
        elif tag == REPORT_ID:
            report_id = value
        elif tag == INPUT:
            bits[report_id] = bits.get(report_id, 0) + size * count
    return {number: (total + 7) // 8 + (number > 0) for number, total in bits.items()}


def _items(descriptor: bytes) -> list[tuple[int, int]]:
    """(tag without its size bits, value) of every short item; a cut descriptor ends the list."""
    items, at = [], 0
    while at < len(descriptor):
        prefix = descriptor[at]
        if prefix == LONG_ITEM:
            at += 3 + (descriptor[at + 1] if at + 1 < len(descriptor) else 0)
            continue
        length = (0, 1, 2, 4)[prefix & 3]
        items.append((prefix & 0xFC, int.from_bytes(descriptor[at + 1 : at + 1 + length], "little")))
        at += 1 + length
    return items
