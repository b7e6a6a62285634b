"""UHF modules R200, M100 and YRM100 on a serial line, 115200 8N1.

Frame: BB, type (00 host, 01 reply, 02 notice), command, length (2), data, sum, 7E; the sum is the low byte of
everything from the type to the last data byte. A tag notice carries a second check, the tag's own CRC-16 over
its PC and EPC words: a notice whose tag CRC is wrong is no tag.
"""

from binascii import crc_hqx
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from drivers.asking import Conversation
from drivers.contract import AnyReading, Decoder, Garbled, Health, TagRead, Transport, garbled
from drivers.dialogue import Dialogue
from drivers.framing import FrameSearch
from drivers.presence import Zones, ZonesConfig, watched

HEAD, END = 0xBB, 0x7E
HEAD_BYTES, OVERHEAD_BYTES = 5, 7
DATA_BYTES_MAX = 256
HOST, REPLY, NOTICE = 0, 1, 2
POLL_ONCE, POLL_MANY, STOP, SET_POWER, GET_POWER, FAILED = 0x22, 0x27, 0x28, 0xB6, 0xB7, 0xFF
NO_TAG = 0x15
ERRORS = {
    0x17: "the command is not known to this module",
    0x20: "the module's transmitter reports a fault: check the antenna",
}
ROUNDS = 10_000  # of one poll; the next is asked for when they are over
QUIET_S = 2.0  # every round ends with a tag or with "no tag"; this much silence means the poll is over


@dataclass(frozen=True, slots=True)
class R200Config(ZonesConfig):
    port: str = ""
    baud: Annotated[int, Ge(9_600), Le(921_600)] = 115_200
    power_dbm: Annotated[float, Ge(0), Le(33)] = 20.0


class R200Driver:
    Config = R200Config

    def __init__(self) -> None:
        self._zones = Zones()

    def open(self, config: R200Config) -> Transport:
        from drivers.transports import SerialTransport

        return SerialTransport(config.port, config.baud)

    def decoder(self, config: R200Config) -> Decoder:
        return watched(R200Decoder(config), self._zones, config)


class R200Decoder(Dialogue):
    """Asks for inventories without end, one after the other."""

    def __init__(self, config: R200Config) -> None:
        talk = Conversation(
            opening=[command(STOP), set_power(config.power_dbm)],
            requests=[poll_many(ROUNDS)],
            period_s=QUIET_S,
        )
        frames = FrameSearch(HEAD_BYTES, _frame_bytes, _is_frame)
        silence = f"no answer at {config.baud} baud: check its supply and its RX and TX wires; set baud"
        super().__init__(frames, talk, config.baud, lambda frame, _: [reading_of(frame)], silence)


def reading_of(frame: bytes) -> AnyReading:
    """A whole frame whose sum is right."""
    kind, code, data = frame[1], frame[2], frame[HEAD_BYTES:-2]
    if kind == NOTICE and code == POLL_ONCE:
        return _tag(data, frame)
    if kind == REPLY and code == FAILED and data:
        if data[0] == NO_TAG:
            return Health(status="no_tag", raw_hex=frame.hex())
        error = ERRORS.get(data[0], "the module refused a command")
        return Health(status=f"error {data[0]:02x}", error=error, raw_hex=frame.hex())
    return Health(status=f"response {code:02x}", raw_hex=frame.hex())


def command(code: int, data: bytes = b"") -> bytes:
    """A frame from the host."""
    body = bytes([HOST, code]) + len(data).to_bytes(2, "big") + data
    return bytes([HEAD]) + body + bytes([sum(body) & 0xFF, END])


def poll_many(rounds: int) -> bytes:
    return command(POLL_MANY, bytes([POLL_ONCE]) + rounds.to_bytes(2, "big"))


def set_power(dbm: float) -> bytes:
    return command(SET_POWER, round(100 * dbm).to_bytes(2, "big"))


def crc16_genibus(data: bytes) -> int:
    """The CRC of Gen2 tags: polynomial 1021, start FFFF, inverted."""
    return crc_hqx(data, 0xFFFF) ^ 0xFFFF


def _tag(data: bytes, frame: bytes) -> TagRead | Garbled:
    """RSSI (signed dBm), PC, as many EPC words as the PC says, tag CRC, and with some modules the antenna."""
    if len(data) < 5:
        return garbled("a tag notice that is too short", frame)
    rssi_dbm = int.from_bytes(data[:1], "big", signed=True)
    epc_end = 3 + 2 * (data[1] >> 3)
    if len(data) not in (epc_end + 2, epc_end + 3):
        return garbled("a tag notice whose length contradicts the tag's PC word", frame)
    if crc16_genibus(data[1:epc_end]) != int.from_bytes(data[epc_end : epc_end + 2], "big"):
        return garbled("tag crc", frame)
    return TagRead(
        epc=data[3:epc_end].hex(),
        pc=data[1:3].hex(),
        antenna=data[epc_end + 2] if len(data) == epc_end + 3 else None,
        rssi_dbm=rssi_dbm,
        raw_hex=frame.hex(),
    )


def _frame_bytes(head: bytes) -> int:
    data_bytes = head[3] << 8 | head[4]
    if head[0] != HEAD or head[1] not in (HOST, REPLY, NOTICE) or data_bytes > DATA_BYTES_MAX:
        return 0
    return data_bytes + OVERHEAD_BYTES


def _is_frame(frame: bytes) -> bool:
    return frame[-1] == END and sum(frame[1:-2]) & 0xFF == frame[-2]
