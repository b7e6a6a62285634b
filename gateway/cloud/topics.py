"""What travels between a gateway and the back office: every topic, every payload, in one place.

`docs/feed.md` says the same for people. Everything in here is a plain value; nothing is sent from here.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

ROOT = "sk/v1"
LEVEL = re.compile(r"[a-z0-9-]{1,32}")
PAYLOAD_BYTES_MAX = 256 * 1024
EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)

LEDGER, ALERTS, DIGESTS, REPLIES = "L", "A", "D", "R"
OUTBOX_TOPIC = {ALERTS: "up/alert", DIGESTS: "up/digest", REPLIES: "up/reply"}

Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # of a peer: JSON and SQLite hold it exactly


@dataclass(frozen=True, slots=True)
class Address:
    """One gateway: the first levels of all its topics."""

    tenant: str
    store: str
    gateway: str

    def __post_init__(self) -> None:
        for name, value in (("tenant", self.tenant), ("store", self.store), ("gateway", self.gateway)):
            if not LEVEL.fullmatch(value):
                raise ValueError(f"[shop] {name} is {value!r}; use 1 to 32 of a-z, 0-9 and '-'")

    @property
    def source(self) -> str:
        """The CloudEvents source."""
        return f"urn:storekeeper:{self.tenant}:{self.store}:{self.gateway}"

    @property
    def client_id(self) -> str:
        return f"{self.tenant}.{self.store}.{self.gateway}"

    def topic(self, leaf: str) -> str:
        """`leaf`: state, up/ledger, up/alert, up/digest, up/reply, down/ack, down/replay, down/cmd ..."""
        return f"{ROOT}/{self.tenant}/{self.store}/{self.gateway}/{leaf}"

    @property
    def below(self) -> str:
        """Everything that the back office may tell this gateway."""
        return self.topic("down/#")


ALL_STATES, ALL_UP = f"{ROOT}/+/+/+/state", f"{ROOT}/+/+/+/up/#"  # what a back office listens to


def parse(topic: str) -> tuple[Address, str] | None:
    """A topic to (whose, leaf); None when it is not one of ours."""
    levels = topic.split("/", 5)
    if len(levels) != 6 or "/".join(levels[:2]) != ROOT:
        return None
    try:
        return Address(*levels[2:5]), levels[5]
    except ValueError:
        return None


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """`state`, retained: the birth after every connect, and with `online` false the last will."""

    online: bool
    epoch: Number
    boot_id: str  # of the machine: two of them taking turns under one name are two machines
    sw: str  # version of the gateway
    schema: Number  # version of the ledger's schema
    seq: dict[str, Number] = {}  # newest row of each lane
    acked: dict[str, Number] = {}  # how far the gateway believes that the back office has confirmed
    clock_q: str = ""
    parent_epoch: Number | None = None  # where this epoch left the one before it
    parent_seq: Number = 0
    at: str = ""  # RFC 3339


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """`down/ack`: the back office holds `lane` through `seq`, durably. Cumulative."""

    epoch: Number
    lane: str
    seq: Number
    hash: str = ""  # hex, of movement `seq`; lane L only


class Replay(msgspec.Struct, frozen=True, omit_defaults=True, rename={"from_seq": "from", "to_seq": "to"}):
    """`down/replay`: send `lane` again from `from`. For lane D: a digest now, with the rows of `loc` if named."""

    epoch: Number
    lane: str
    from_seq: Number = 0
    to_seq: Number = 0
    loc: str = ""


class DigestLocation(msgspec.Struct, frozen=True, omit_defaults=True):
    loc: str
    rows: Number
    sha256: str
    held: list[tuple[str, str, int]] | None = None  # (sku, lot, qty): only when asked for


class Digest(msgspec.Struct, frozen=True):
    """`up/digest`: what every location holds as of a movement."""

    epoch: Number
    seq: Number
    locations: list[DigestLocation]


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """`up/reply`: what became of a command; `correlation` is the command's id."""

    correlation: str
    result: str  # done, refused
    reason: str = ""
    body: dict[str, Any] = {}


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """CloudEvents 1.0, structured JSON mode, with our extension attributes."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str
    sequence: str  # of the first row, 12 digits
    skepoch: int
    sklane: str
    sklast: int | None = None  # lane L: seq of the last row
    skprev: int | None = None  # outbox lanes: seq of the row before, 0 when nothing older waits
    skprevhash: str | None = None  # lane L: hash of the movement before the first one
    skboot: str | None = None  # which machine says so
    data: msgspec.Raw


LEDGER_TYPE = "storekeeper.ledger.events.v1"
DIGEST_TYPE = "storekeeper.ledger.digest.v1"
REPLY_TYPE = "storekeeper.command.reply.v1"
encode = msgspec.json.Encoder().encode


def sealed(
    address: Address,
    *,
    id: str,
    type: str,
    at_us: int,
    lane: str,
    epoch: int,
    seq: int,
    data: bytes,
    last: int | None = None,
    prev: int | None = None,
    prev_hash: bytes | None = None,
    boot: str | None = None,
) -> bytes:
    """The message body: `data` in its envelope."""
    return encode(
        Envelope(
            specversion="1.0",
            id=id,
            source=address.source,
            type=type,
            time=moment(at_us),
            datacontenttype="application/json",
            sequence=sequence(seq),
            skepoch=epoch,
            sklane=lane,
            sklast=last,
            skprev=prev,
            skprevhash=prev_hash.hex() if prev_hash is not None else None,
            skboot=boot,
            data=msgspec.Raw(data),
        )
    )


def sequence(seq: int) -> str:
    return f"{seq:012d}"


@lru_cache(256)
def moment(us: int) -> datetime:
    """Microseconds since 1970 UTC to a time that encodes as RFC 3339. Movements of one commit share theirs."""
    return EPOCH_START + timedelta(microseconds=us)
