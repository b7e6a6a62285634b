"""UHF modules by ThingMagic (Mercury serial: M6E, M7E and their Nano and Micro forms), 115200 8N1.

Frame: FF, length of the data, operation, in replies a status (2), data, CRC (2). The CRC is not CCITT: it
takes the message nibble by nibble. While it reads continuously (operation 22) the module sends a record for
each tag, its temperature, and each second without a tag a keep-alive; one too hot to go on says so.
"""

from binascii import crc_hqx
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import AnyReading, Decoder, Garbled, Health, TagRead, Transport, garbled
from drivers.dialogue import Dialogue
from drivers.framing import FrameSearch
from drivers.presence import Zones, ZonesConfig, watched

HEAD = 0xFF
HEAD_BYTES, REPLY_OVERHEAD_BYTES = 7, 7
DATA_BYTES_MAX = 250
VERSION, READ, MULTI = 0x03, 0x22, 0x2F
SET_ANTENNA, SET_READ_POWER, SET_PROTOCOL, SET_REGION = 0x91, 0x92, 0x93, 0x97
OK, KEEPALIVE, HOT, ANTENNA_MISMATCH = 0x0000, 0x0400, 0x0504, 0x0505
TEMPERATURE_BYTES = 0x0A
GEN2 = 0x05
REGIONS = {
    "na": 0x01,
    "na2": 0x0D,
    "eu": 0x08,
    "in": 0x04,
    "jp": 0x05,
    "cn": 0x06,
    "kr": 0x09,
    "au": 0x0B,
    "nz": 0x0C,
}
START_READING = bytes.fromhex("00000122000005072210001b03e801ff")  # all metadata, gaps of 0 ms
STOP_READING = bytes.fromhex("000002")
QUIET_S = 3.0  # continuous reading says something each second; longer: it has stopped

# A tag record, counted from the frame's first byte (the operation's options end at 11)
RSSI_AT, ANTENNA_AT, TIME_AT, EMBEDDED_BITS_AT, EPC_BITS_AT = 12, 13, 17, 24, 27
PC_BYTES, CRC_BYTES = 2, 2


@dataclass(frozen=True, slots=True)
class MercuryConfig(ZonesConfig):
    port: str = ""
    baud: Annotated[int, Ge(9_600), Le(921_600)] = 115_200
    region: Literal["na", "na2", "eu", "in", "jp", "cn", "kr", "au", "nz"] = "eu"  # na2: Nano
    power_dbm: Annotated[float, Ge(0), Le(31.5)] = 20.0
    antenna: Annotated[int, Ge(1), Le(4)] = 1


class MercuryDriver:
    Config = MercuryConfig

    def __init__(self) -> None:
        self._zones = Zones()

    def open(self, config: MercuryConfig) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(config.port, config.baud)

    def decoder(self, config: MercuryConfig) -> Decoder:
        return watched(MercuryDecoder(config), self._zones, config)


class MercuryDecoder(Dialogue):
    """Sets the module up and starts continuous reading; starts it again when it has stopped."""

    def __init__(self, config: MercuryConfig) -> None:
        talk = Conversation(
            opening=[
                command(MULTI, STOP_READING),
                command(VERSION),
                command(SET_REGION, bytes([REGIONS[config.region]])),
                command(SET_PROTOCOL, bytes([0, GEN2])),
                command(SET_ANTENNA, bytes([config.antenna, config.antenna])),
                command(SET_READ_POWER, round(100 * config.power_dbm).to_bytes(2, "big")),
            ],
            requests=[command(MULTI, START_READING)],
            period_s=QUIET_S,
        )
        frames = FrameSearch(HEAD_BYTES, _frame_bytes, _is_frame)
        silence = f"no answer at {config.baud} baud: check its supply and its RX and TX wires; set baud"
        super().__init__(frames, talk, config.baud, lambda frame, _: [reading_of(frame)], silence)


def reading_of(frame: bytes) -> AnyReading:
    """A whole reply whose CRC is right."""
    length, code, status = frame[1], frame[2], frame[3] << 8 | frame[4]
    raw_hex = frame.hex()
    if status == HOT:
        error = "the module is too hot and pauses: lower power_dbm or cool it"
        return Health(status="hot", error=error, raw_hex=raw_hex)
    if status == ANTENNA_MISMATCH:
        error = "the antenna reflects the power: connect one, and one that fits"
        return Health(status="antenna_mismatch", error=error, raw_hex=raw_hex)
    if code == READ and status == KEEPALIVE:
        return Health(status="keepalive", raw_hex=raw_hex)
    if code == READ and length == TEMPERATURE_BYTES:
        return Health(status="temperature", raw_hex=raw_hex)  # of the module, not of the room
    if code == READ and length > TEMPERATURE_BYTES and status == OK:
        return _tag(frame)
    if status != OK:
        error = f"operation {code:02x} failed"
        return Health(status=f"status {status:04x}", error=error, raw_hex=raw_hex)
    return Health(status=f"response {code:02x}", raw_hex=raw_hex)


def command(code: int, data: bytes = b"") -> bytes:
    """A frame from the host: no status in it."""
    body = bytes([len(data), code]) + data
    return bytes([HEAD]) + body + crc_thingmagic(body).to_bytes(2, "big")


def crc_thingmagic(data: bytes) -> int:
    """Polynomial 1021, start FFFF, over nibbles that are put in below: the shift comes before the message."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc << 4 | byte >> 4) & 0xFFFF ^ CRC_TABLE[crc >> 12]
        crc = (crc << 4 | byte & 0xF) & 0xFFFF ^ CRC_TABLE[crc >> 12]
    return crc


CRC_TABLE = [nibble * 0x1021 for nibble in range(16)]


def _tag(frame: bytes) -> TagRead | Garbled:
    """One record: signal, antenna, embedded data, then PC, EPC and the tag's own CRC."""
    body = frame[:-CRC_BYTES]
    if len(body) < EPC_BITS_AT + 2:
        return garbled("a tag record that is too short", frame)
    embedded_bytes = (int.from_bytes(body[EMBEDDED_BITS_AT : EMBEDDED_BITS_AT + 2], "big") + 7) // 8
    bits_at = EPC_BITS_AT + embedded_bytes
    tag = body[bits_at + 2 :]
    tag_bytes = int.from_bytes(body[bits_at : bits_at + 2], "big") // 8
    if len(tag) != tag_bytes or tag_bytes < PC_BYTES + CRC_BYTES:
        return garbled("a tag record whose lengths contradict each other", frame)
    if crc_hqx(tag[:-CRC_BYTES], 0xFFFF) ^ 0xFFFF != int.from_bytes(tag[-CRC_BYTES:], "big"):
        return garbled("tag crc", frame)
    return TagRead(
        epc=tag[PC_BYTES:-CRC_BYTES].hex(),
        pc=tag[:PC_BYTES].hex(),
        antenna=frame[ANTENNA_AT] >> 4,
        rssi_dbm=int.from_bytes(frame[RSSI_AT : RSSI_AT + 1], "big", signed=True),
        raw_hex=frame.hex(),
    )


def _frame_bytes(head: bytes) -> int:
    if head[0] != HEAD or head[1] > DATA_BYTES_MAX:
        return 0
    return head[1] + REPLY_OVERHEAD_BYTES


def _is_frame(frame: bytes) -> bool:
    return crc_thingmagic(frame[1:-CRC_BYTES]) == int.from_bytes(frame[-CRC_BYTES:], "big")
