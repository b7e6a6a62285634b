"""What pages, commands, connectors and the back office say: a Struct for each kind of document, and what it comes to.

Checked before anything happens: a document that makes no sense is refused with the field that is wrong. Nothing is
carried out here; `gateway.ingest` books what a `Meaning` holds, in one transaction.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from drivers.contract import Outcome
from gateway.care import BLOCKED
from gateway.ledger.master import PLAN_KEYS, Statement, name_code, upsert_item
from gateway.ledger.writer import AlertClosed, AlertRaised
from gateway.stock.counts import corrections
from gateway.stock.lots import LotStock
from gateway.stock.movements import VIRTUAL, Draft, reversal
from gateway.stock.stations import QUANTITY_MAX

Number = Annotated[int, Meta(ge=0, lt=2**53)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Code = Annotated[str, Meta(min_length=1, max_length=256)]  # as long as a scan may be
COUNT_REQUEST, NEGATIVE = "count_request", "negative_stock"  # kinds of alert that a count answers


class Shop(Protocol):
    """What has to be known to understand a document."""

    def is_item(self, sku: str) -> bool: ...
    def name(self, sku: str) -> str: ...
    def lots(self, sku: str, location: str) -> list[LotStock]: ...
    def on_hand(self, sku: str, location: str) -> int: ...
    def booking(self, seq: int) -> list[tuple[int, Draft]]: ...
    def open_alert(self, number: int) -> tuple[str, str] | None: ...


class Meaning(Struct):
    """What a document comes to. Refused: nothing else in it counts."""

    outcome: Outcome
    drafts: Sequence[Draft] = ()
    alerts: list[AlertRaised | AlertClosed] = []
    statements: list[Statement] = []
    items_changed: bool = False  # what was parked under their codes may be booked now
    sku: str = ""  # what the counter page shows of it, with ...
    change: int = 0
    left: int | None = None


class TypedScan(Struct):
    """A code typed on a page or a command line for the station `device`; `mode` and `qty` for this one scan."""

    code: Code
    device: str | None = None
    mode: str | None = None
    qty: Annotated[int, Meta(ge=1, le=QUANTITY_MAX)] | None = None
    aim: str | None = None


class Undo(Struct):
    """Take back one movement, by its seq."""

    seq: Number

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        booked = shop.booking(self.seq)
        if not booked:
            return refused(f"movement {self.seq} is not there or was taken back already")
        ((seq, movement),) = booked
        text = f"taken back: {movement.kind} of {movement.quantity}"
        return Meaning(Outcome("undo", text), [reversal(movement, seq, occurred_us=now_us, origin="person")])


class Count(Struct):
    """Somebody counted one item at one place, and typed the number."""

    sku: Text
    location: Text
    quantity: Number

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        sku, location, counted = self.sku, self.location, self.quantity
        if location in VIRTUAL or not shop.is_item(sku):
            return refused(f"{counted} of {sku} at {location} is nothing that can be counted")
        before = shop.on_hand(sku, location)
        subject = f"{sku}@{location}"
        return Meaning(
            Outcome("ok", f"counted {counted}, expected {before}", sku),
            corrections(sku, location, shop.lots(sku, location), counted, occurred_us=now_us),
            [AlertClosed(NEGATIVE, subject), AlertClosed(COUNT_REQUEST, subject)],
            sku=sku,
            change=counted - before,
            left=counted,
        )


class ItemRow(Struct):
    """One item of the master, as it may be written: what the ledger's own checks would refuse never gets there."""

    sku: Text
    name: Annotated[str, Meta(max_length=300)] | None = None
    category: str = ""
    unit: Literal["piece", "gram", "millilitre"] = "piece"
    price_minor: Number | None = None
    cost_minor: Number | None = None
    place: str = ""
    stocked: bool | Literal[0, 1] = True
    low_units: Number | None = None
    supplier: str = ""
    pack_units: Annotated[int, Meta(ge=1, lt=2**53)] = 1
    codes: list[tuple[Text, Annotated[int, Meta(ge=1, lt=2**53)]]] = []


def item_statements(row: dict[str, Any], now_us: int) -> list[Statement]:
    """What writes one row. Raises ValueError (msgspec's) with the field that is wrong."""
    if row.keys().isdisjoint(PLAN_KEYS):
        msgspec.convert(row, ItemRow)
    return upsert_item(row, now_us)


class Items(Struct):
    """Rows of the item master; see `gateway.ledger.master.upsert_item`."""

    rows: list[dict[str, Any]]

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        statements = [one for row in self.rows for one in item_statements(row, now_us)]
        return Meaning(Outcome("ok", f"{len(self.rows)} items"), statements=statements, items_changed=True)


class DismissParked(Struct):
    """Nobody will name this code: it was no item of ours."""

    code: Code

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        dismiss = "UPDATE parked SET state = 'dismissed' WHERE code = ? AND state = 'parked'"
        return Meaning(Outcome("ok"), statements=[(dismiss, (self.code,))])


class AnswerAlert(Struct):
    """A person has seen an alert, or says that it is dealt with."""

    id: Number
    do: Literal["ack", "close"]

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        alert = shop.open_alert(self.id)
        if alert is None:
            return refused(f"alert {self.id} is not there or was closed already")
        if self.do == "close" and alert[0] == BLOCKED:
            return refused(
                f"{alert[1]} is blocked as long as this notice is open: free it on the devices page"
            )
        if self.do == "close":
            return Meaning(Outcome("ok"), alerts=[AlertClosed(*alert)])
        return Meaning(
            Outcome("ok"), statements=[("UPDATE alert SET state = 'ack' WHERE id = ?", (self.id,))]
        )


def name_a_code(body: dict[str, Any], shop: Shop, now_us: int) -> Meaning:
    """A code gets its item, which may be a new one: {"code", "sku", "name", ... columns of the item master}."""
    code = msgspec.convert(body.get("code"), Code)
    sku = str(body.get("sku") or code)
    item = item_statements({**body, "sku": sku}, now_us) if "name" in body else []
    if not item and not shop.is_item(sku):
        return refused(f"{sku} is no item of this shop")
    return Meaning(
        Outcome("ok", f"{code} has a name"), statements=[*item, name_code(code, sku)], items_changed=True
    )


class Price(Struct):
    """The back office sets a price, in minor units per piece, kg or litre."""

    sku: Text
    price_minor: Number

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        if not shop.is_item(self.sku):
            return refused(f"{self.sku} is no item of this shop")
        statements = upsert_item({"sku": self.sku, "price_minor": self.price_minor}, now_us)
        text = f"{shop.name(self.sku)}: price {self.price_minor / 100:.2f}"
        return Meaning(Outcome("ok", text, self.sku), statements=statements, items_changed=True)


class BlockSku(Struct):
    """The back office forbids the sale of an item, or allows it again: a recall, say."""

    sku: Text
    reason: Annotated[str, Meta(max_length=200)] = "recalled"
    blocked: bool = True

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        if not shop.is_item(self.sku):
            return refused(f"{self.sku} is no item of this shop")
        name, reason = shop.name(self.sku), (self.reason or "recalled") if self.blocked else ""
        statement = "UPDATE item SET blocked = ?, changed_us = ? WHERE sku = ?"
        text = (
            f"{name} is blocked: {reason}. Take it off the shelf" if reason else f"{name} may be sold again"
        )
        alert = AlertRaised("sku_blocked", self.sku, "warning", text)
        return Meaning(
            Outcome("ok", text, self.sku),
            alerts=[alert if reason else AlertClosed("sku_blocked", self.sku)],
            statements=[(statement, (reason, now_us, self.sku))],
            items_changed=True,
        )


class CountRequest(Struct):
    """The back office asks for a count; it stands among the alerts until somebody has counted."""

    sku: Text
    location: Text

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        if self.location in VIRTUAL or not shop.is_item(self.sku):
            return refused(f"{self.sku} at {self.location} is nothing that can be counted")
        text = f"the back office asks: please count {shop.name(self.sku)} at {self.location}"
        alert = AlertRaised(COUNT_REQUEST, f"{self.sku}@{self.location}", "info", text)
        return Meaning(Outcome("ok", text, self.sku), alerts=[alert])


class Drain(Struct):
    """Send what waits: the pump does so anyway, and the answer says that it lives."""

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        return Meaning(Outcome("ok", "what waits is under way"))


class Factor(Struct):
    """The back office tells days of a named series: footfall, events, the weather to come.

    The same rows as `storekeeper plans factor`; a day that is told again has its new value.
    """

    name: Text
    days: Annotated[list[tuple[str, float]], Meta(min_length=1)]
    known_ahead: bool = False

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        statements = upsert_item({"factor": msgspec.to_builtins(self)}, now_us)
        told = sorted(day for day, _ in self.days)
        return Meaning(Outcome("ok", f"{self.name}: {told[0]} to {told[-1]}"), statements=statements)


COMMANDS: dict[str, type[Price | BlockSku | CountRequest | Factor | Drain]] = {
    "price": Price,
    "block-sku": BlockSku,
    "count-request": CountRequest,
    "factor": Factor,
    "drain": Drain,
}


class BackOfficeCommand(Struct):
    """A command that the pump has judged (invariant I14), on its way into the ledger."""

    issuer: Text
    cmd_seq: Number
    type: str
    body: dict[str, Any]

    def meaning(self, shop: Shop, now_us: int) -> Meaning:
        if self.type not in COMMANDS:
            return refused(f'"{self.type}" is not carried out here; known: {", ".join(COMMANDS)}')
        return msgspec.convert(self.body, COMMANDS[self.type]).meaning(shop, now_us)


def carried_out(command_id: str, command: BackOfficeCommand, result: str, now_us: int) -> Statement:
    """At most once: stands in the ledger together with what the command did."""
    return (
        "INSERT INTO command_seen (cmd_id, issuer, cmd_seq, result, at_us) VALUES (?, ?, ?, ?, ?)",
        (command_id, command.issuer, command.cmd_seq, result, now_us),
    )


KINDS: dict[str, type[Undo | Count | Items | DismissParked | AnswerAlert | BackOfficeCommand]] = {
    "undo": Undo,
    "count": Count,
    "items": Items,
    "dismiss_parked": DismissParked,
    "alert": AnswerAlert,
    "back_office_command": BackOfficeCommand,
}


def understood(kind: str, external_id: str, body: dict[str, Any], shop: Shop, now_us: int) -> Meaning:
    """What the document comes to. Raises ValueError (msgspec's among them), LookupError: it makes no sense."""
    if kind == "name_code":
        return name_a_code(body, shop, now_us)
    if kind not in KINDS:
        return refused(f'nobody here understands a document of kind "{kind}"')
    document = msgspec.convert(body, KINDS[kind], strict=False)
    meaning = document.meaning(shop, now_us)
    if isinstance(document, BackOfficeCommand) and meaning.outcome.code != "refused":
        meaning.statements.append(carried_out(external_id, document, meaning.outcome.text, now_us))
    return meaning


def refused(text: str) -> Meaning:
    return Meaning(Outcome("refused", text))
