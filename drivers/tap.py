"""What a device sends, shown to whoever sets it up: raw bytes and what they were read as, while somebody looks.

The driver's host pushes to a socket of the listener beside the bus; a listener that is slow or gone misses some.
"""

import contextlib
from pathlib import Path

import msgspec
import zmq

from drivers.contract import AnyReading

SECONDS_MAX = 120.0
TAPPED_MAX = 256  # waiting for a slow listener
RAW_SHOWN_MAX = 16_384  # a keyboard sends 100 bytes a character


class Tapped(msgspec.Struct, frozen=True, array_like=True):
    """One read of the device. `at_s` is the machine's monotonic clock."""

    device: str
    at_s: float
    raw: bytes
    readings: list[AnyReading]


_encode = msgspec.msgpack.Encoder(decimal_format="string").encode
decode_tapped = msgspec.msgpack.Decoder(Tapped).decode


class Tap:
    """`aside`: what is read goes to the listener and to nobody else, so that a test is not booked."""

    def __init__(self, folder: Path, listener: str, until_s: float, *, aside: bool) -> None:
        self.aside = aside
        self._until_s = until_s
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, TAPPED_MAX)
        self._socket.connect(f"ipc://{folder / Path(listener).name}")

    def saw(self, device: str, raw: bytes, readings: list[AnyReading], now_s: float) -> None:
        if raw or readings:
            with contextlib.suppress(zmq.Again):
                self._socket.send(_encode(Tapped(device, now_s, raw[:RAW_SHOWN_MAX], readings)), zmq.NOBLOCK)

    def is_over(self, now_s: float) -> bool:
        return now_s >= self._until_s

    def close(self) -> None:
        self._socket.close()
