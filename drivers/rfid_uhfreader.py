"""UHF readers UHFReader18 and 288 (Chafon and its relatives), serial at 57600 8N1 or over TCP.

Frame: length (of all that follows), address, command, status, data, CRC-16/MCRF4XX low byte first. An
inventory answers in one or several frames; status 03 says that more follow. In active mode the reader reports
by itself (command EE). Its heartbeat, 56 and five zeros, is the one frame without a CRC.
"""

from binascii import crc_hqx
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import AnyReading, Decoder, Health, TagRead, Transport, garbled
from drivers.dialogue import Dialogue
from drivers.framing import FrameSearch
from drivers.presence import Zones, ZonesConfig, watched

HEAD_BYTES = 6
LENGTH_MIN = 5  # address, command, status, CRC
HEARTBEAT = bytes([0x56, 0, 0, 0, 0, 0])
INVENTORY, READER_INFO, ACTIVE = 0x01, 0x21, 0xEE
WITH_TAGS = (0x00, 0x01, 0x02, 0x03, 0x04)  # done, done, time over, more frames follow, memory full
NO_TAG, NO_ANTENNA = 0xFB, 0xF8
ERRORS = {
    0xF8: "an antenna is not connected: check its cable",
    0xF9: "the command failed",
    0xFD: "a command of the wrong length",
    0xFE: "a command with a bad CRC",
    0xFF: "a wrong parameter",
}
EPC_BYTES_MAX = 62
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class UhfReaderConfig(ZonesConfig):
    port: str = ""  # a serial port; or, with host, the number of the TCP port
    host: str = ""
    baud: Annotated[int, Ge(9_600), Le(921_600)] = 57_600
    address: Annotated[int, Ge(0), Le(255)] = 0
    active: bool = False  # the reader reports by itself: ask nothing
    poll_s: Annotated[float, Ge(0.02), Le(10)] = 0.1  # from one answer to the next inventory


class UhfReaderDriver:
    Config = UhfReaderConfig

    def __init__(self) -> None:
        self._zones = Zones()

    def open(self, config: UhfReaderConfig) -> Transport:
        from drivers.transports import SerialTransport, TcpTransport

        if config.host:
            return TcpTransport(config.host, _tcp_port(config.port))
        return SerialTransport(config.port, config.baud)

    def decoder(self, config: UhfReaderConfig) -> Decoder:
        return watched(UhfReaderDecoder(config), self._zones, config)


class UhfReaderDecoder(Dialogue):
    """Asks for one inventory after the other, unless the reader reports by itself."""

    def __init__(self, config: UhfReaderConfig) -> None:
        self._reports_by_itself = config.active
        talk = Conversation(
            opening=[command(READER_INFO, config.address)],
            requests=[command(INVENTORY, config.address)],
            period_s=config.poll_s,
        )
        frames = FrameSearch(HEAD_BYTES, _frame_bytes, _is_frame)
        where = config.host or f"{config.baud} baud"
        silence = f"no answer at {where}: check its supply, its cable, its address and baud"
        super().__init__(frames, talk, config.baud, lambda frame, _: readings_of(frame), silence)

    def pending_bytes(self, now_s: float) -> bytes:
        return b"" if self._reports_by_itself else super().pending_bytes(now_s)


def readings_of(frame: bytes) -> list[AnyReading]:
    """A whole frame whose CRC is right, or the heartbeat."""
    if frame == HEARTBEAT:
        return [Health(status="keepalive", raw_hex=frame.hex())]
    code, status, data = frame[2], frame[3], frame[4:-2]
    if status == NO_TAG:
        return [Health(status="no_tag", raw_hex=frame.hex())]
    if code == ACTIVE and status == 0 and data:
        return [TagRead(epc=data.hex(), status="active", raw_hex=frame.hex())]
    if code == INVENTORY and status in WITH_TAGS:
        return _inventory(data, frame)
    if status in ERRORS:
        return [Health(status=f"error {status:02x}", error=ERRORS[status], raw_hex=frame.hex())]
    return [Health(status=f"response {code:02x} {status:02x}", raw_hex=frame.hex())]


def command(code: int, address: int = 0, data: bytes = b"") -> bytes:
    """A frame from the host."""
    body = bytes([len(data) + 4, address, code]) + data
    return body + crc16_mcrf4xx(body).to_bytes(2, "little")


def crc16_mcrf4xx(data: bytes) -> int:
    """CRC-16 with polynomial 1021, start FFFF, everything reflected; 0 over data and its own CRC.

    Reflected is the same as forwards over bytes whose bits are reversed, and forwards is in the library.
    """
    crc = crc_hqx(data.translate(REVERSED), 0xFFFF)
    return REVERSED[crc & 0xFF] << 8 | REVERSED[crc >> 8]


def _inventory(data: bytes, frame: bytes) -> list[AnyReading]:
    """Antenna, number of tags, then for each its EPC length, EPC and RSSI; a UHFReader18 leaves out two.

    The signal strength is on the module's own scale, not in dBm; it is passed on as it is, in `status`.
    """
    if not data:
        return []
    if (tags := _tags(data[2:], data[1], rssi_bytes=1) if len(data) > 1 else None) is not None:
        return [
            TagRead(epc.hex(), antenna=data[0], status=f"rssi_raw {rssi[0]}", raw_hex=frame.hex())
            for epc, rssi in tags
        ]
    if (tags := _tags(data[1:], data[0], rssi_bytes=0)) is not None:
        return [TagRead(epc.hex(), raw_hex=frame.hex()) for epc, _ in tags]
    return [garbled("a tag list that contradicts its own lengths", frame)]


def _tags(data: bytes, count: int, rssi_bytes: int) -> list[tuple[bytes, bytes]] | None:
    """The tags of a list that is used up exactly; else None."""
    tags, at = [], 0
    for _ in range(count):
        if at >= len(data) or data[at] > EPC_BYTES_MAX:
            return None
        end = at + 1 + data[at]
        tags.append((data[at + 1 : end], data[end : end + rssi_bytes]))
        at = end + rssi_bytes
    return tags if at == len(data) else None


def _frame_bytes(head: bytes) -> int:
    if head == HEARTBEAT:
        return len(HEARTBEAT)
    return head[0] + 1 if head[0] >= LENGTH_MIN else 0


def _is_frame(frame: bytes) -> bool:
    return frame == HEARTBEAT or crc16_mcrf4xx(frame) == 0


def _tcp_port(port: str) -> int:
    from drivers.contract import ConfigError

    if not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ConfigError(f'port is "{port}"; with host, set it to the TCP port of the reader, often "6000"')
    return int(port)
