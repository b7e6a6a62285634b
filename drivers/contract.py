"""What a driver is, and what it says: all that a third party imports.

A driver turns bytes into readings. It knows nothing of shops, stock or prices. Two shapes:

* a *byte driver* opens a `Transport` and decodes what comes out of it with a `Decoder` that does no I/O;
* an *event driver* runs a library that owns its own I/O (MQTT, HTTP, a watched folder, I2C).

Threads, reconnecting, back-off, sequence numbers, recording and health are the host's.
"""

from collections.abc import Callable
from decimal import Decimal
from threading import Event
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

RAW_BYTES_MAX = 256  # of a bad read, how much is kept as evidence


class Reading(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Something a device saw. It says nothing about stock."""


class Scan(Reading, frozen=True, tag="scan", omit_defaults=True):
    """A code that was read whole: `data` is without prefix, suffix, terminator and AIM identifier."""

    data: str
    aim: str | None = None  # "]E0": ISO/IEC 15424 symbology identifier, when the scanner sends it
    raw_hex: str | None = None


class TagRead(Reading, frozen=True, tag="tag", omit_defaults=True):
    """One RFID tag in the field of one antenna."""

    epc: str  # hex, lower case
    pc: str | None = None  # protocol control word, hex
    antenna: int | None = None
    rssi_dbm: int | None = None
    seen_us: int | None = None  # the reader's own clock, microseconds UTC
    status: str | None = None
    raw_hex: str | None = None


class Presence(Reading, frozen=True, tag="presence", omit_defaults=True):
    """A tag arrived in a zone, moved to another one or departed."""

    epc: str
    status: Literal["arrived", "moved", "departed"]
    antenna: int | None = None
    rssi_dbm: int | None = None


class Weight(Reading, frozen=True, tag="weight", omit_defaults=True):
    """A weight as the scale said it. Only `stable is True` may ever be used as a quantity."""

    value: Decimal | None = None  # None when the scale could not weigh (`status` says why)
    unit: str | None = None  # kg, g, lb or oz in lower case; any other as sent
    stable: bool | None = None  # None: the protocol does not say
    status: str | None = None  # "overload", "motion", "under_zero" ...
    net: bool | None = None
    tare: Decimal | None = None
    quality: str | None = None
    error: str | None = None  # why there is no value: "overload", "busy" ...
    raw_hex: str | None = None


class Temperature(Reading, frozen=True, tag="temperature", omit_defaults=True):
    celsius: float | None = None
    quality: str | None = None  # "power_on_default", "stale" ...: not to be trusted
    sensor: str | None = None  # which probe, when one device has several
    error: str | None = None
    raw_hex: str | None = None


class Humidity(Reading, frozen=True, tag="humidity", omit_defaults=True):
    humidity: float  # relative, percent
    quality: str | None = None
    sensor: str | None = None


class Garbled(Reading, frozen=True, tag="garbled", omit_defaults=True):
    """Noise, a bad check value, half a line. Counted, voiced as "not read", never an exception."""

    error: str
    raw_hex: str = ""


class Health(Reading, frozen=True, tag="health", omit_defaults=True):
    """The device about itself: keep-alive, status, a setting that looks wrong."""

    status: str
    error: str | None = None
    quality: str | None = None
    raw_hex: str | None = None


class Document(Reading, frozen=True, tag="document", omit_defaults=True):
    """What a program says: a till receipt, a delivery note, a button pressed on a page."""

    kind: str
    external_id: str  # the source's own key: the same id twice is the same document
    body: dict[str, Any] = {}


AnyReading = Scan | TagRead | Presence | Weight | Temperature | Humidity | Garbled | Health | Document

OutcomeCode = Literal[
    "ok",  # booked (or noted, or shown), and on disk
    "low",  # booked; stock is low
    "expired",  # booked, or refused by policy: the lot is expired or recalled
    "negative",  # booked; the shelf needs a count
    "unknown",  # parked: nobody knows this code yet
    "garbled",  # not read
    "mode",  # the scanner's mode or the next quantity changed
    "undo",  # the last booking was reversed
    "shown",  # look-up: nothing booked
    "refused",  # understood, and not done; the text says why
    "late",  # booked earlier; the acknowledgement was lost on the way
    "not_recording",  # the ledger cannot commit
]


class Outcome(Struct, frozen=True, array_like=True):
    """What became of a reading, after the commit. This is what may beep."""

    code: OutcomeCode
    text: str = ""
    about: str = ""  # what was read, so that a display can say it again


class DeviceGone(Exception):
    """Unplugged or silent. The host closes, backs off and opens again."""


class ConfigError(Exception):
    """A person must change a setting. The host stops this device only and says which."""


class Transport(Protocol):
    """An open device. Blocking reads with a time-out; no threads."""

    def fileno(self) -> int:
        """What the host polls together with the bus; -1: nothing to poll, `read` is asked instead."""

    def read(self, timeout_s: float) -> bytes:
        """Whatever has arrived (at least one byte), or b"" after `timeout_s`. Raises DeviceGone."""

    def write(self, data: bytes) -> None:
        """Send to the device. Raises DeviceGone."""

    def close(self) -> None: ...


class Decoder(Protocol):
    """Bytes in, readings out: no I/O, no clock. However the bytes are cut, the readings are the same."""

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]: ...

    def idle(self, now_s: float) -> list[AnyReading]:
        """Called when nothing came for 50 ms: the only place for time-outs."""


@runtime_checkable
class Asks(Protocol):
    """A decoder of a device that must be asked: polls, keep-alives, start-up commands."""

    def pending_bytes(self, now_s: float) -> bytes:
        """What the host should write now."""


@runtime_checkable
class Voices(Protocol):
    """A decoder of a device with its own beeper, lamp or display."""

    def voice(self, outcome: Outcome) -> bytes:
        """What to write so that a person hears or sees the outcome. Called only after the commit."""


Emit = Callable[[AnyReading], Outcome]
C = TypeVar("C", contravariant=True)


@runtime_checkable
class ByteDriver(Protocol[C]):
    """Three answers: what may be configured, how to reach it, how to read it."""

    Config: ClassVar[type[Any]]

    def open(self, config: C) -> Transport: ...

    def decoder(self, config: C) -> Decoder: ...


@runtime_checkable
class EventDriver(Protocol[C]):
    """For sources whose library or listener owns the I/O."""

    Config: ClassVar[type[Any]]

    def run(self, config: C, emit: Emit, stop: Event) -> None:
        """Until `stop` is set. `emit` blocks until the reading is on disk and returns what became of it."""


Driver = ByteDriver[Any] | EventDriver[Any]


def garbled(error: str, raw: bytes) -> Garbled:
    """A bad read with its evidence, bounded."""
    return Garbled(error=error, raw_hex=raw[:RAW_BYTES_MAX].hex())
