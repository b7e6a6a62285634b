"""Feed -> dedupe on (gateway, lane, seq) -> one transaction -> acknowledge. Gaps are asked for again.

A gateway's sequence has no gaps over all its epochs, and each message names the hash that it follows: so what
is booked here is exactly what was booked there, whatever was lost, doubled or reordered on the way.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import unquote

import msgspec

from backoffice.store import AlertHeard, Asked, Booked, Cursor, Discrepancy, Store, StoreRefused
from gateway.cloud.commands import Command
from gateway.cloud.topics import (
    ALERTS,
    DIGEST_TYPE,
    DIGESTS,
    LEDGER,
    LEDGER_TYPE,
    REPLIES,
    Ack,
    Address,
    Digest,
    Number,
    Replay,
    Reply,
    State,
    parse,
)
from gateway.ledger.feed import digest_of

SIDE_BUFFER_MAX = 512  # messages of one gateway that wait for the ones before them
ASK_AGAIN_S = 2.0
LOOK_FOR_COMMANDS_S = 1.0
GIVE_AGAIN_S = 60.0  # a command without a reply, to a gateway that was there all the time
ISSUER = "backoffice"
ALERT_CLOSED = "storekeeper.alert.closed.v1"
UNREADABLE_BYTES_MAX = 500  # of an alert that makes no sense here, how much is kept


Seq = Annotated[int, msgspec.Meta(ge=1, lt=10**12)]
Quantity = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class EventIn(msgspec.Struct, frozen=True, gc=False):
    """What is read of an event; unknown fields are ignored."""

    happened: str = msgspec.field(name="eventTime")
    seq: Seq = msgspec.field(name="sk:seq")
    epoch: Number = msgspec.field(name="sk:epoch")
    kind: str = msgspec.field(name="sk:kind")
    sku: str = msgspec.field(name="sk:sku")
    delta: Quantity = msgspec.field(name="sk:delta")
    src: str = msgspec.field(name="sk:src")
    dst: str = msgspec.field(name="sk:dst")
    hash: str = msgspec.field(name="sk:hash")
    lot: str = msgspec.field(name="sk:lot", default="")
    repeats: Number | None = msgspec.field(name="sk:repeats", default=None)


class Body(msgspec.Struct, frozen=True):
    eventList: list[EventIn]


class Attribute(msgspec.Struct, frozen=True):
    attribute: str


class Element(msgspec.Struct, frozen=True):
    id: str
    attributes: list[Attribute] = []


class Vocabulary(msgspec.Struct, frozen=True):
    vocabularyElementList: list[Element] = []


class MasterData(msgspec.Struct, frozen=True):
    vocabularyList: list[Vocabulary] = []


class Header(msgspec.Struct, frozen=True):
    """What products are called; comes with the first message about them on a connection."""

    epcisMasterData: MasterData = MasterData()


class DocumentIn(msgspec.Struct, frozen=True):
    epcisBody: Body
    epcisHeader: Header = Header()


class EnvelopeIn(msgspec.Struct, frozen=True):
    type: str
    sequence: Annotated[str, msgspec.Meta(pattern="^[0-9]{12}$")]
    skepoch: Number
    sklane: str
    data: msgspec.Raw
    sklast: Number = 0
    skprev: Number = 0
    skprevhash: str = ""
    skboot: str = ""


class AlertIn(msgspec.Struct, frozen=True):
    kind: str
    subject: str
    severity: str
    text: str
    first_us: Number


_envelope = msgspec.json.Decoder(EnvelopeIn).decode
_document = msgspec.json.Decoder(DocumentIn).decode


@dataclass(slots=True)
class Peer:
    """What is remembered of one gateway between messages; all of it can be forgotten."""

    address: Address
    waiting: dict[int, EnvelopeIn] = field(default_factory=dict)  # first seq -> message ahead of a gap
    asked_s: float = 0.0
    unsure: bool = True  # something may have been said while we were not listening
    digest: Digest | None = None  # as of a movement that is still under way
    boots: deque[str] = field(default_factory=lambda: deque(maxlen=8))


@dataclass(frozen=True, slots=True)
class Answer:
    """What to publish once the transaction is durable."""

    topic: str
    payload: bytes


class Consumer:
    """Give it messages with `take`, then `settle`: one transaction, and the answers to publish."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._peers: dict[str, Peer] = {}
        self._to_ack: set[tuple[str, str]] = set()
        self._answers: list[Answer] = []
        self._spoke: set[str] = set()
        self._given: dict[str, tuple[str, float]] = {}  # source -> command under way, since when
        self._look_at_s = 0.0
        self.skipped = 0  # messages that made no sense

    def connected(self, *, session_present: bool) -> None:
        """A new connection. When the broker has kept nothing for us, every gateway is asked for what is missing."""
        if not session_present:
            for peer in self._peers.values():
                peer.unsure = True

    def take(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """One message. What makes no sense is counted and skipped: the lane goes on."""
        parsed = parse(topic)
        if parsed is None:
            self.skipped += 1
            return
        address, leaf = parsed
        source = f"{address.tenant}/{address.store}/{address.gateway}"
        peer = self._peers.setdefault(source, Peer(address))
        if not retained:
            self._spoke.add(source)
        try:
            with self._store.message():
                self._understand(source, peer, leaf, payload, retained=retained)
        except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError, StoreRefused):
            self.skipped += 1

    def _understand(self, source: str, peer: Peer, leaf: str, payload: bytes, *, retained: bool) -> None:
        if leaf == "state":
            self._heard_state(source, peer, msgspec.json.decode(payload, type=State), retained=retained)
        else:
            envelope = _envelope(payload)
            if envelope.skboot == self._store.barred(source):
                return  # nothing is merged silently; a person looks first
            if envelope.sklane == LEDGER and envelope.type == LEDGER_TYPE:
                self._heard_ledger(source, peer, envelope)
            elif envelope.sklane in (ALERTS, REPLIES):
                self._heard_outbox(source, peer, envelope)
            elif envelope.sklane == DIGESTS and envelope.type == DIGEST_TYPE:
                self._heard_digest(source, peer, msgspec.json.decode(envelope.data, type=Digest))

    def settle(self) -> list[Answer]:
        """Make it durable; what may be published now."""
        for source in self._spoke:
            self._store.heard(source, time.time_ns() // 1000)
        self._spoke.clear()
        self._store.commit()
        answers, self._answers = self._answers, []
        for source, lane in sorted(self._to_ack):
            cursor = self._store.cursor(source, lane)
            ack = Ack(cursor.epoch, lane, cursor.seq, cursor.hash)
            answers.append(self._answer(source, "down/ack", ack))
        self._to_ack.clear()
        return answers

    def commands(self, now_s: float) -> list[Answer]:
        """What is to be asked of gateways now: one command at a time of each, so that none comes out of order."""
        if now_s < self._look_at_s:
            return []
        self._look_at_s = now_s + LOOK_FOR_COMMANDS_S
        given = []
        for asked in self._store.waiting():
            before, since_s = self._given.get(asked.source, ("", 0.0))
            if asked.id != before or now_s - since_s >= GIVE_AGAIN_S:
                self._given[asked.source] = (asked.id, now_s)
                given.append(_command(asked))
        return given

    def _heard_state(self, source: str, peer: Peer, state: State, *, retained: bool) -> None:
        newest = state.seq.get(LEDGER, 0)
        self._store.heard_state(
            source, online=state.online, boot_id=state.boot_id, sw=state.sw, newest=newest
        )
        if not state.online:
            return
        if source in self._given:  # the broker may have kept it: the gateway gets time to answer
            self._given[source] = (self._given[source][0], time.monotonic())
        if state.boot_id in list(peer.boots)[:-1]:  # an earlier machine speaks again: there are two of them
            text = f"two machines call themselves {source}: one is a copy of the other's card"
            self._bar(source, peer.boots[-1], text)
        if state.boot_id not in peer.boots:
            peer.boots.append(state.boot_id)
        for lane in (LEDGER, ALERTS):
            self._to_ack.add((source, lane))  # where we are: after a restart of either side
        cursor = self._store.cursor(source, LEDGER)
        if peer.unsure or state.acked.get(LEDGER, 0) > cursor.seq:  # it may believe us further than we are
            peer.unsure = False
            for lane in (LEDGER, ALERTS):
                replay = Replay(state.epoch, lane, self._store.cursor(source, lane).seq + 1)
                self._answers.append(self._answer(source, "down/replay", replay))
            self._answers.append(self._answer(source, "down/replay", Replay(state.epoch, DIGESTS)))
        if not retained and newest < cursor.seq:  # a retained one may be long out of date
            text = f"holds {newest} movements, {cursor.seq} came from it: restored?"
            self._bar(source, state.boot_id, text)

    def _heard_ledger(self, source: str, peer: Peer, envelope: EnvelopeIn) -> None:
        cursor = self._store.cursor(source, LEDGER)
        first = int(envelope.sequence)
        if first > cursor.seq + 1:
            if len(peer.waiting) < SIDE_BUFFER_MAX:
                peer.waiting[first] = envelope
            self._ask(source, peer, Replay(envelope.skepoch, LEDGER, cursor.seq + 1, first - 1))
            return
        self._book(source, envelope, cursor)
        while (cursor := self._store.cursor(source, LEDGER)) and cursor.seq + 1 in peer.waiting:
            self._book(source, peer.waiting.pop(cursor.seq + 1), cursor)
        for seq in [seq for seq in peer.waiting if seq <= cursor.seq]:
            del peer.waiting[seq]
        if peer.digest and peer.digest.seq <= cursor.seq:
            self._compare(source, peer, peer.digest)

    def _book(self, source: str, envelope: EnvelopeIn, cursor: Cursor) -> None:
        document = _document(envelope.data)
        self._to_ack.add((source, LEDGER))
        events = [event for event in document.epcisBody.eventList if event.repeats is None]
        fresh = [event for event in events if event.seq > cursor.seq]
        known = [event for event in events if event.seq <= cursor.seq]
        if known:
            held = self._store.hashes(source, known[0].seq, known[-1].seq)
            if any(held.get(event.seq, event.hash) != event.hash for event in known):
                self._bar(source, envelope.skboot, f"movement {known[0].seq} came again with other content")
                return
        if not fresh:
            return
        follows = fresh[0].seq == cursor.seq + 1
        if not known and envelope.skprevhash and cursor.hash and envelope.skprevhash != cursor.hash:
            self._bar(
                source, envelope.skboot, f"movement {fresh[0].seq} does not follow the one that is held"
            )
            return
        if not follows or [event.seq for event in fresh] != list(range(fresh[0].seq, fresh[-1].seq + 1)):
            raise ValueError("a message with a hole in it")
        self._store.book(
            source,
            [
                Booked(
                    one.seq,
                    one.epoch,
                    one.hash,
                    one.kind,
                    one.sku,
                    abs(one.delta),
                    one.src,
                    one.dst,
                    one.lot,
                    one.happened,
                )
                for one in fresh
            ],
        )
        if names := _names(document.epcisHeader):
            self._store.name(source, names)
        last = fresh[-1]
        self._store.move_cursor(source, LEDGER, Cursor(last.epoch, last.seq, last.hash))

    def _heard_outbox(self, source: str, peer: Peer, envelope: EnvelopeIn) -> None:
        """An alert or a reply. Each names the one before it, so a lost one is noticed."""
        lane, seq = envelope.sklane, int(envelope.sequence)
        cursor = self._store.cursor(source, lane)
        if envelope.skprev > cursor.seq:
            self._ask(source, peer, Replay(envelope.skepoch, lane, cursor.seq + 1, envelope.skprev))
            return
        if 0 < seq <= cursor.seq:
            self._to_ack.add((source, lane))
            return
        if lane == ALERTS:
            alert = _alert(seq, envelope)
            if envelope.type == ALERT_CLOSED:
                self._store.close_alert(source, alert.kind, alert.subject)
            else:
                self._store.raise_alert(source, alert)
        else:
            reply = msgspec.json.decode(envelope.data, type=Reply)
            self._store.replied(source, reply.correlation, reply.result, reply.reason)
            self._look_at_s = 0.0  # the next one may go
        if seq:  # an immediate reply is not numbered
            self._to_ack.add((source, lane))
            self._store.move_cursor(source, lane, Cursor(envelope.skepoch, seq))

    def _heard_digest(self, source: str, peer: Peer, digest: Digest) -> None:
        """Compare as of the movement that it names, as soon as that is held here."""
        peer.digest = digest
        if digest.seq <= self._store.cursor(source, LEDGER).seq:
            self._compare(source, peer, digest)

    def _compare(self, source: str, peer: Peer, digest: Digest) -> None:
        """Equal, or item by item what is not; for that, the rows of one location at a time are asked for."""
        peer.digest = None
        held = self._store.held(source, digest.seq)
        ours = {one.loc: one.sha256 for one in digest_of(held)}
        theirs = {one.loc: one.sha256 for one in digest.locations}
        wrong = sorted(loc for loc in {*ours, *theirs} if ours.get(loc) != theirs.get(loc))
        if not wrong:
            self._store.agreed(source, digest.seq, time.time_ns() // 1000)
            return
        told = {one.loc: one.held for one in digest.locations if one.held is not None}
        for loc in wrong:
            if loc in told or loc not in theirs:
                self._store.disagreed(source, differences(loc, held, told.get(loc, [])))
        unknown = [loc for loc in wrong if loc in theirs and loc > max(told, default="")]
        if unknown:  # one location at a time, each answer leads to the next
            replay = Replay(digest.epoch, DIGESTS, loc=unknown[0])
            self._answers.append(self._answer(source, "down/replay", replay))

    def _bar(self, source: str, boot_id: str, problem: str) -> None:
        self._store.bar(source, boot_id, problem, time.time_ns() // 1000)

    def _ask(self, source: str, peer: Peer, replay: Replay) -> None:
        now_s = time.monotonic()
        if now_s - peer.asked_s >= ASK_AGAIN_S:
            peer.asked_s = now_s
            self._answers.append(self._answer(source, "down/replay", replay))

    def _answer(self, source: str, leaf: str, message: msgspec.Struct) -> Answer:
        return Answer(self._peers[source].address.topic(leaf), msgspec.json.encode(message))


def _command(asked: Asked) -> Answer:
    tenant, store, gateway = asked.source.split("/")
    issued, expires = (
        datetime.fromtimestamp(us // 1_000_000, UTC) for us in (asked.issued_us, asked.expires_us)
    )
    command = Command(
        id=asked.id,
        issuer=ISSUER,
        cmd_seq=asked.cmd_seq,
        gw=asked.source,
        issued=issued,
        expires=expires,
        type=asked.type,
        body=msgspec.json.decode(asked.body),
    )
    return Answer(Address(tenant, store, gateway).topic("down/cmd"), msgspec.json.encode(command))


def _alert(seq: int, envelope: EnvelopeIn) -> AlertHeard:
    """An alert of a kind that this version does not know is kept as it came: the lane goes on."""
    try:
        one = msgspec.json.decode(envelope.data, type=AlertIn)
    except msgspec.DecodeError:
        text = bytes(envelope.data)[:UNREADABLE_BYTES_MAX].decode(errors="replace")
        return AlertHeard(seq, envelope.type, "", "info", text, 0)
    return AlertHeard(seq, one.kind, one.subject, one.severity, one.text, one.first_us)


def differences(
    loc: str, ours: list[tuple[str, str, str, int]], theirs: list[tuple[str, str, int]]
) -> list[Discrepancy]:
    """Item by item what two ends hold differently at `loc`."""
    here = {(sku, lot): qty for at, sku, lot, qty in ours if at == loc}
    there = {(sku, lot): qty for sku, lot, qty in theirs}
    return [
        Discrepancy(loc, sku, lot, here.get((sku, lot), 0), there.get((sku, lot), 0))
        for sku, lot in sorted({*here, *there})
        if here.get((sku, lot), 0) != there.get((sku, lot), 0)
    ]


def _names(header: Header) -> list[tuple[str, str]]:
    """(sku, name) from the master data of a document."""
    return [
        (_sku(element.id), attribute.attribute)
        for vocabulary in header.epcisMasterData.vocabularyList
        for element in vocabulary.vocabularyElementList
        for attribute in element.attributes
    ]


def _sku(product: str) -> str:
    """The item's own key, from either form of `gateway.cloud.epcis.Translator.product`."""
    return unquote(product.rpartition("/01/")[2] if "/01/" in product else product.rpartition(":sku:")[2])
