"""Is the line set wrongly? What unreadable bytes say about baud rate, parity and protocol, with the remedy."""

from drivers.contract import AnyReading, Health

BAD_READS_BEFORE_DOUBT = 3
EVIDENCE_BYTES_MAX = 256
TEXT_BYTES_MIN = 8  # at a wrong speed as many are all text by chance once in 1,800 times
TEXT = frozenset(b"\x02\x03\r\n\x1d") | frozenset(range(0x20, 0x7F))
OTHER_PROTOCOL = "choose the driver of what it speaks: storekeeper driver list"


class LineDoubt:
    """Counts bad reads since the last good one; speaks once, and again only after a good one."""

    def __init__(self, baud: int, bit_7_is_parity: bool = False, if_readable: str = OTHER_PROTOCOL) -> None:
        """`bit_7_is_parity`: the decoder takes bit 7 off by itself, so parity is no reason for bad reads.

        `if_readable`: what to do when it is plain text that makes no sense, since then the speed is right.
        """
        self._baud = baud
        self._bit_7_is_parity = bit_7_is_parity
        self._if_readable = if_readable
        self._bad_reads = 0
        self._evidence = b""

    def good(self) -> None:
        if self._bad_reads:
            self._bad_reads = 0
            self._evidence = b""

    def bad(self, raw: bytes) -> list[AnyReading]:
        """To be called for bytes that do not make sense; at the third in a row says what to change."""
        self._bad_reads += 1
        if self._bad_reads > BAD_READS_BEFORE_DOUBT:
            return []
        self._evidence = (self._evidence + raw)[:EVIDENCE_BYTES_MAX]
        if self._bad_reads < BAD_READS_BEFORE_DOUBT:
            return []
        return [self._verdict(self._evidence)]

    def _verdict(self, raw: bytes) -> Health:
        evidence = raw[:32].hex()
        if not self._bit_7_is_parity and looks_like_parity(raw):
            return Health(
                status="parity_suspect",
                error="readable text under parity bits: the device sends 7 data bits with parity;"
                ' set parity = "even" (or "odd") and bytesize = 7  [SK-D04]',
                raw_hex=evidence,
            )
        if not self._bit_7_is_parity and looks_like_text(raw):
            return Health(
                status="protocol_suspect",
                error=f"readable at {self._baud} baud, and not what this driver reads: {self._if_readable}  [SK-D04]",
                raw_hex=evidence,
            )
        return Health(
            status="baud_suspect",
            error=f"nothing readable at {self._baud} baud: set baud to what the label or the manual of the"
            " device says; 9600, 2400, 4800, 19200 and 115200 are usual  [SK-D04]",
            raw_hex=evidence,
        )


def looks_like_text(raw: bytes) -> bool:
    """True for printable characters and line ends only, and enough of them to be no chance."""
    return len(raw) >= TEXT_BYTES_MIN and TEXT.issuperset(raw)


def looks_like_parity(raw: bytes) -> bool:
    """True when bit 7 is set here and there as a parity bit sets it, and text is left without it.

    A parity bit makes the number of ones even (or odd) in every byte; noise does that by chance only.
    """
    if not any(byte & 0x80 for byte in raw):
        return False
    if not TEXT.issuperset(byte & 0x7F for byte in raw):
        return False
    ones_are_odd = {byte.bit_count() & 1 for byte in raw}
    return len(ones_are_odd) == 1
