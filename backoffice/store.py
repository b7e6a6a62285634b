"""What the back office must remember, and the words for it. SQLite is one way (`store_sqlite`); more may come."""

from collections.abc import Iterable
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


class Store(Protocol):
    """One writer. `commit` makes all that was said since the last one durable, or none of it."""

    def cursor(self, source: str, lane: str) -> Cursor: ...
    def hashes(self, source: str, first_seq: int, last_seq: int) -> dict[int, str]: ...
    def book(self, source: str, movements: list[Booked]) -> None: ...
    def raise_alert(self, source: str, alert: AlertHeard) -> None: ...
    def name(self, source: str, names: Iterable[tuple[str, str]]) -> None: ...
    def move_cursor(self, source: str, lane: str, cursor: Cursor) -> None: ...
    def heard_state(
        self, source: str, *, online: bool, boot_id: str, sw: str, newest: int, now_us: int
    ) -> None: ...
    def quarantine(self, source: str, problem: str, now_us: int) -> None: ...
    def problem(self, source: str) -> str: ...
    def agreed(self, source: str, seq: int, now_us: int) -> None: ...
    def held(self, source: str) -> list[tuple[str, str, str, int]]:
        """(location, sku, lot, quantity) of all that is not 0."""

    def commit(self) -> None: ...
    def gateways(self) -> list[GatewayView]: ...
    def stock(self) -> list[StockView]: ...
