"""The bus between drivers and the core: DEALER -> ROUTER over ipc, msgpack, no socket identities.

A reading is kept by its `Outlet` until the core says that it is on disk. The device's name, the driver's
boot id and a sequence number travel in every message, so a resend changes nothing (ledger invariant I6).
"""

from typing import Any

import msgspec

from drivers.contract import AnyReading, Outcome

READINGS_PER_MESSAGE_MAX = 256
UNACKNOWLEDGED_MAX = 1_024  # then the driver stops reading, and the kernel's buffer holds the line
RESEND_AFTER_S = 1.0


class Delivery(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Driver -> core: readings `first_seq`, `first_seq` + 1, ... An empty one is a hello."""

    device: str
    boot: str  # one run of the driver; sequence numbers start at 1 in each
    acked_through: int  # the driver has voiced every outcome up to here
    first_seq: int
    ages_ms: list[int]  # how long ago each was read, by the driver's monotonic clock
    readings: list[AnyReading]


class Status(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Driver -> core: how the device is. Nothing here needs an acknowledgement."""

    device: str
    state: str  # running, waiting, config_error, load_error, muted, blocked
    text: str
    counts: dict[str, int]  # readings, garbled, reconnects, ...


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Sync pump -> core: the back office has confirmed `lane` up to `seq`; or how the line is."""

    lane: str
    epoch: int
    seq: int
    link: str = ""  # "online", "offline", or the reason
    note: str = ""


class Acks(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Core -> driver: readings `first_seq`, ... are on disk, and this became of them."""

    boot: str
    first_seq: int
    outcomes: list[Outcome]


class Late(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """Core -> driver: booked in an earlier run of the driver, and its outcome was never voiced."""

    outcomes: list[Outcome]


class Command(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Core -> driver: a word from a person (unmute, identify)."""

    name: str
    body: dict[str, Any] = {}


Upward = Delivery | Status | Progress
Downward = Acks | Late | Command
encode = msgspec.msgpack.Encoder(decimal_format="string").encode
decode_upward = msgspec.msgpack.Decoder(Upward).decode
decode_downward = msgspec.msgpack.Decoder(Downward).decode


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the counter page: what a reading became."""

    device: str
    code: str  # an OutcomeCode
    text: str
    about: str
    wall_us: int
    seq: int = 0  # of the movement, when there is one
    sku: str = ""
    qty: int = 0  # signed, as the shelf sees it
    left: int | None = None
    mode: str = ""


class Hint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Core -> whoever listens (PUB): something was committed. It may be lost; the ledger is the truth."""

    last_seq: int
    events: list[Event] = []
    devices_changed: bool = False
