"""What the back office must remember, and the words for it. SQLite is one way (`store_sqlite`); more may come."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Booked(NamedTuple):
    """A movement as it came over the feed. `qty` > 0 in base units; `happened` is RFC 3339."""

    seq: int
    epoch: int
    hash: str
    kind: str
    sku: str
    qty: int
    src: str
    dst: str
    lot: str
    happened: str


class AlertHeard(NamedTuple):
    seq: int
    kind: str
    subject: str
    severity: str
    text: str
    first_us: int


class Asked(NamedTuple):
    """A command that waits for its reply. `body` is JSON."""

    id: str
    source: str
    cmd_seq: int
    type: str
    body: str
    issued_us: int
    expires_us: int


class Discrepancy(NamedTuple):
    """One item that the two ends count differently, as of the same movement."""

    loc: str
    sku: str
    lot: str
    ours: int
    theirs: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one lane of one gateway is held here, durably."""

    epoch: int = 0
    seq: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One line of the page: a store and how fresh it is."""

    source: str
    online: bool
    sw: str
    newest: int  # movement that it said is its newest
    held: int  # movement up to which it is held here
    heard_us: int
    problem: str
    digest_seq: int | None
    discrepancies: int  # items that this end and the gateway count differently
    alerts: int  # told by the gateway and not over yet


@dataclass(frozen=True, slots=True)
class StockView:
    """One line of `backoffice stock`."""

    store: str
    gateway: str
    sku: str
    name: str
    location: str
    lot: str
    qty: int


class StoreRefused(Exception):
    """A message goes against the store's rules. Nothing of it is kept."""


class Store(Protocol):
    """One writer. `commit` makes all that was said since the last one durable, or none of it."""

    def cursor(self, source: str, lane: str) -> Cursor: ...
    def hashes(self, source: str, first_seq: int, last_seq: int) -> dict[int, str]: ...
    def book(self, source: str, movements: list[Booked]) -> None: ...
    def raise_alert(self, source: str, alert: AlertHeard) -> None: ...
    def close_alert(self, source: str, kind: str, subject: str) -> None: ...
    def replied(self, source: str, command: str, result: str, reason: str) -> None: ...
    def waiting(self) -> list[Asked]:
        """Of each gateway that is there and heard, the oldest command without a reply."""

    def name(self, source: str, names: Iterable[tuple[str, str]]) -> None:
        """(sku, what it is called)."""

    def move_cursor(self, source: str, lane: str, cursor: Cursor) -> None: ...
    def heard(self, source: str, now_us: int) -> None: ...
    def heard_state(self, source: str, *, online: bool, boot_id: str, sw: str, newest: int) -> None: ...
    def bar(self, source: str, boot_id: str, problem: str, now_us: int) -> None:
        """Nothing that this machine says is booked until a person has looked."""

    def barred(self, source: str) -> str | None: ...
    def agreed(self, source: str, seq: int, now_us: int) -> None: ...
    def disagreed(self, source: str, found: Iterable[Discrepancy]) -> None: ...
    def held(self, source: str, as_of_seq: int) -> list[tuple[str, str, str, int]]:
        """(location, sku, lot, quantity) of all that was not 0 just after that movement, by sku, location, lot."""

    def message(self) -> AbstractContextManager[None]:
        """All of one message, or nothing of it. Raises StoreRefused."""

    def commit(self) -> None: ...
    def gateways(self) -> list[GatewayView]: ...
    def stock(self) -> list[StockView]: ...
