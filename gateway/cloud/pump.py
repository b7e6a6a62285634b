"""The sync pump: a niced process that publishes the ledger in order and hears what the back office holds.

It reads ledger.db and never writes: what the back office has confirmed goes to the core over the bus. paho is
driven from the same poll as the bus; both windows are ours (`window.py`).
"""

import os
import random
import signal
import socket
import sqlite3
import threading
import time
import zlib
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import zmq

from drivers.bus import Outlet, Progress, decode_hint
from drivers.contract import Document
from gateway import VERSION
from gateway.clock import Clock
from gateway.cloud import commands, topics
from gateway.cloud.epcis import Translator, ledger_message
from gateway.cloud.line import Broker, Line, Received, Will
from gateway.cloud.topics import ALERTS, DIGESTS, LEDGER, OUTBOX_TOPIC, REPLIES, Ack, Address, Replay
from gateway.cloud.window import RECONNECT_MAX_S, Backoff, Flow, LineWindow
from gateway.config import Settings
from gateway.ledger import feed
from gateway.ledger.reading import connect

EVENTS_PER_MESSAGE_MAX = 100
EVENT_BYTES, PACKED_EVENT_BYTES = 700, 120  # about, in a batch: how many fit into what the line takes
PACK_ABOVE_BYTES = 1024
LOOK_BEHIND_S, LOOK_IDLE_S = 0.25, 2.0  # hints may be lost: the ledger itself is asked that often
DIGEST_EVERY_S = 24 * 3600.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
RETRY_LOCAL_S = 2.0  # a broker on this machine serves this shop alone: nobody to be polite to
REFUSED_RETRY_S = 60.0  # a password does not become right by itself
REPLIES_MAX = 256  # while the line is down; who gave the command will ask again
COMMAND_KIND = "back_office_command"  # of the reading that a command becomes
ISSUERS = {"backoffice": commands.UNSIGNED}  # who may say what; the broker's access list says who they are
NOT_DONE = ("refused", "garbled", "unknown", "not_recording")
OUTBOX_LANES = (ALERTS, REPLIES)  # in this order, before the ledger


def main(settings: Settings, bus_address: str, hint_address: str) -> None:
    """Pump until SIGTERM. The entry of the supervisor's child process."""
    stop = threading.Event()
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    pump = Pump(settings, bus_address, hint_address)
    pump.run(stop, wake)


class Pump:
    def __init__(self, settings: Settings, bus_address: str, hint_address: str) -> None:
        shop, mqtt = settings.shop, settings.mqtt
        self._address = Address(shop.tenant, shop.store, shop.gateway)
        self._broker = Broker(
            mqtt.host,
            mqtt.port,
            self._address.client_id,
            mqtt.tls,
            mqtt.ca_file,
            mqtt.username,
            mqtt.password_file,
            mqtt.protocol,
        )
        self._compress = mqtt.compress
        self._ledger = connect(settings.ledger.data_dir / "ledger.db")
        self._ledger.execute("PRAGMA cache_size = -512")  # KiB: a queue is read once
        self._translator = Translator(
            self._address, partial(feed.unit_of, self._ledger), ZoneInfo(shop.timezone)
        )
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._outlet = Outlet(bus_address, "sync", os.urandom(6).hex())
        self._hints: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._hints.setsockopt(zmq.SUBSCRIBE, b"")
        self._hints.setsockopt(zmq.LINGER, 0)
        self._hints.connect(hint_address)
        rng = random.Random()
        self._backoff = Backoff(rng, RETRY_LOCAL_S if mqtt.host in LOOPBACK else RECONNECT_MAX_S)
        self._flows = {
            lane: Flow(rng, acked=acked, sent=acked)
            for lane in (LEDGER, *OUTBOX_LANES)
            for acked in [feed.acknowledged_seq(self._ledger, lane)]
        }
        self._epoch = feed.current_epoch(self._ledger)
        self._line: Line | None = None
        self._window = LineWindow()
        self._connect_at_s = 0.0
        self._look_at_s = 0.0
        self._digest_at_s = 0.0
        self._named: set[str] = set()  # products whose name the back office was told on this connection
        self._asked: list[Replay] = []
        self._given: dict[str, int] = {}  # issuer -> number of the last command that was passed on
        self._replies: deque[topics.Reply] = deque(maxlen=REPLIES_MAX)
        self._clock = Clock()
        self._in_flight: dict[int, int] = {}  # message id -> its last movement
        self._taken_seq = 0  # the newest movement that a broker has taken from us

    def run(self, stop: threading.Event, wake: socket.socket) -> None:
        """Until `stop` is set; a byte on `wake` makes it look at once."""
        poller = zmq.Poller()
        poller.register(wake, zmq.POLLIN)
        poller.register(self._hints, zmq.POLLIN)
        poller.register(self._outlet.socket, zmq.POLLIN)
        watched = -1
        while not stop.is_set():
            now_s = time.monotonic()
            self._look(now_s)
            self._keep_the_line(now_s)
            self._send(now_s)
            fd = self._line.fileno() if self._line else -1
            if watched not in (fd, -1):
                poller.unregister(watched)
            if fd >= 0:
                assert self._line is not None
                poller.register(fd, zmq.POLLIN | (zmq.POLLOUT if self._line.wants_write() else 0))
            watched = fd
            ready = dict(poller.poll(int(1000 * self._sleep_s(time.monotonic()))))
            self._hear_hints()
            self._hear_core(now_s)
            if fd in ready and self._line:
                self._serve_line(ready[fd])
        self._leave()

    def _sleep_s(self, now_s: float) -> float:
        due = [self._look_at_s]
        if self._line is None:
            due.append(self._connect_at_s)
        return min(max(min(due) - now_s, 0.0), LOOK_IDLE_S)

    # What there is to send

    def _look(self, now_s: float) -> None:
        """Ask the ledger itself, now and then."""
        if now_s < self._look_at_s:
            return
        self._flows[LEDGER].newest = feed.last_seq(self._ledger)
        self._look_at_outbox()
        behind = any(flow.waiting for flow in self._flows.values())
        self._look_at_s = now_s + (LOOK_BEHIND_S if behind and self._line else LOOK_IDLE_S)

    def _look_at_outbox(self) -> None:
        for lane, newest in feed.newest_outbox(self._ledger).items():
            if lane in self._flows:
                self._flows[lane].newest = newest

    def _hear_hints(self) -> None:
        heard = False
        while True:
            try:
                hint = decode_hint(self._hints.recv(zmq.NOBLOCK))
            except zmq.Again:
                break
            heard = True
            self._flows[LEDGER].newest = max(self._flows[LEDGER].newest, hint.last_seq)
        if heard:
            self._look_at_outbox()

    # The line

    def _keep_the_line(self, now_s: float) -> None:
        if self._line is not None:
            self._line.tick()
            if self._line.up and self._window.stuck(now_s):
                self._line.why_down = "the broker takes nothing any more"
                self._line.close()
            if self._line.alive and not self._line.why_down:
                return
            self._lost(self._line, now_s)
        if now_s >= self._connect_at_s:
            self._connect(now_s)

    def _connect(self, now_s: float) -> None:
        broker = self._broker
        if not broker.tls and broker.host not in LOOPBACK:
            self._connect_at_s = now_s + REFUSED_RETRY_S
            text = (
                f'"{broker.host}" is another machine: nothing goes there in plain text, set [mqtt] tls = true'
            )
            self._say("refused", f"{text}  [SK-S04]")
            return
        try:
            line = Line(
                broker,
                on_up=self._up,
                on_message=self._heard,
                on_taken=self._taken,
                will=Will(self._address.topic("state"), topics.encode(self._state(online=False))),
                subscribe=[self._address.below],
            )
            line.connect()
        except (OSError, ValueError) as error:
            place = getattr(error, "filename", None) or f"{broker.host}:{broker.port}"
            self._say("offline", f"{place}: {getattr(error, 'strerror', '') or error}")
            self._connect_at_s = now_s + self._backoff.next_s()
            return
        self._line = line

    def _lost(self, line: Line, now_s: float) -> None:
        self._line = None
        self._connect_at_s = now_s + self._backoff.next_s()
        if line.protocol_refused:
            self._broker = replace(self._broker, protocol="3.1.1")
        if line.refused:
            self._connect_at_s = now_s + REFUSED_RETRY_S
            name = f' of "{self._broker.username}"' if self._broker.username else ""
            self._say("refused", f"the broker refused the password{name}. Selling goes on  [SK-S03]")
        else:
            self._say("offline", line.why_down or "the connection ended")

    def _up(self, line: Line) -> None:
        """Connected: say who we are; what was not confirmed goes again, unless the broker remembers having it."""
        self._backoff.reset()
        self._window = LineWindow(line.receive_max)
        self._in_flight.clear()
        self._named.clear()
        for lane, flow in self._flows.items():
            flow.go_back()
            if line.session_present and lane == LEDGER:  # the broker has kept what it had taken from us
                flow.sent = max(flow.sent, self._taken_seq)
        self._digest_at_s = time.monotonic()
        line.publish(self._address.topic("state"), topics.encode(self._state(online=True)), retain=True)
        self._say("online", f"{self._broker.host}:{self._broker.port}")

    def _taken(self, message_id: int) -> None:
        """A PUBACK: room on the line, nothing more."""
        self._window.taken(message_id, time.monotonic())
        self._taken_seq = max(self._taken_seq, self._in_flight.pop(message_id, 0))

    def _serve_line(self, events: int) -> None:
        assert self._line is not None
        try:
            if events & zmq.POLLIN:
                self._line.read()
            if events & zmq.POLLOUT and self._line.alive:
                self._line.write()
        except OSError as error:
            self._line.why_down = self._line.why_down or str(error)

    def _say(self, link: str, note: str) -> None:
        self._outlet.send(Progress("", self._epoch.id, 0, link, note))

    # Sending

    def _send(self, now_s: float) -> None:
        """Alerts overtake replies, replies the ledger's backlog; as much as the line takes."""
        if self._line is None or not self._line.up:
            return
        overdue = [lane for lane, flow in self._flows.items() if flow.overdue(now_s)]
        if LEDGER in overdue:
            self._named.clear()
        for lane in OUTBOX_LANES:
            self._send_outbox(lane, now_s)
        self._send_replies(now_s)
        ledger = self._flows[LEDGER]
        while ledger.waiting and ledger.room and self._window.open and self._line.alive:
            if ledger.newest - ledger.sent < EVENTS_PER_MESSAGE_MAX and not self._window.empty:
                break  # a lone movement goes at once; while the line is busy, company gathers
            if not self._send_ledger(ledger, now_s):
                break
        if self._digest_at_s <= now_s and not ledger.waiting:
            self._digest_at_s = now_s + DIGEST_EVERY_S
            self._send_digest()
        while self._asked and self._window.open:
            self._send_digest(self._asked.pop().loc)

    def _send_ledger(self, flow: Flow, now_s: float) -> bool:
        """One message of movements; False when there is nothing after all."""
        each = PACKED_EVENT_BYTES if self._compress else EVENT_BYTES
        limit = min(EVENTS_PER_MESSAGE_MAX, flow.room, max(1, self._window.message_bytes_max // each))
        rows = feed.next_movements(self._ledger, flow.sent, limit)
        if not rows:
            flow.newest = flow.sent
            return False
        rows = [row for row in rows if row.epoch == rows[0].epoch]
        reversed_seqs = [row.reverses for row in rows if row.reverses is not None]
        originals = feed.movements(self._ledger, reversed_seqs) if reversed_seqs else {}
        body = ledger_message(
            self._translator, self._address, rows, originals, self._new_names(rows), self._boot_id
        )
        self._in_flight[self._publish("up/ledger", body, now_s)] = rows[-1].seq
        flow.on_sent(rows[-1].seq, now_s)
        return True

    def _new_names(self, rows: list[feed.MovementRow]) -> dict[str, str]:
        """What products are called, once a connection."""
        new = {row.sku for row in rows} - self._named
        if not new:
            return {}
        self._named |= new
        return {
            self._translator.product(sku, ""): name for sku, name in feed.names(self._ledger, new).items()
        }

    def _send_outbox(self, lane: str, now_s: float) -> None:
        flow = self._flows[lane]
        if not (flow.waiting and self._window.open):
            return
        for row in feed.waiting_outbox(self._ledger, lane, flow.sent, EVENTS_PER_MESSAGE_MAX):
            if not self._window.open:
                return
            body = topics.sealed(
                self._address,
                id=row.id,
                type=row.type,
                at_us=row.created_us,
                lane=lane,
                epoch=self._epoch.id,
                seq=row.seq,
                prev=row.prev,
                boot=self._boot_id,
                data=row.body.encode(),
            )
            self._publish(OUTBOX_TOPIC[lane], body, now_s)
            flow.on_sent(row.seq, now_s)

    def _send_digest(self, loc: str = "") -> None:
        """What every location holds as of a movement; with `loc`, that one row by row."""
        try:
            epoch, seq, found = feed.digests(self._ledger)
        except sqlite3.Error:
            return  # asked again with the next replay
        locations = [
            topics.DigestLocation(
                one.loc,
                one.rows,
                one.sha256,
                feed.location_rows(self._ledger, loc) if one.loc == loc else None,
            )
            for one in found
        ]
        now_us = self._clock.now().wall_us
        body = topics.sealed(
            self._address,
            id=f"{self._address.client_id}-digest-{epoch}-{seq}-{now_us}",
            type=topics.DIGEST_TYPE,
            at_us=now_us,
            lane=DIGESTS,
            epoch=epoch,
            seq=seq,
            boot=self._boot_id,
            data=topics.encode(topics.Digest(epoch, seq, locations)),
        )
        self._publish(OUTBOX_TOPIC[DIGESTS], body, time.monotonic())

    def _publish(self, leaf: str, body: bytes, now_s: float) -> int:
        assert self._line is not None
        if self._compress and len(body) > PACK_ABOVE_BYTES:
            body = zlib.compress(body)
        message_id = self._line.publish(self._address.topic(leaf), body)
        self._window.sent(message_id, len(body), now_s)
        return message_id

    # Hearing

    def _heard(self, received: Received) -> None:
        """A message from above. One that makes no sense is skipped; the lane goes on."""
        if len(received.payload) > topics.PAYLOAD_BYTES_MAX:
            return
        leaf = received.topic.rsplit("/", 1)[-1]
        try:
            if leaf == "ack":
                self._confirmed(msgspec.json.decode(received.payload, type=Ack))
            elif leaf == "replay":
                self._replay(msgspec.json.decode(received.payload, type=Replay))
            elif leaf == "cmd":
                self._command(received)
        except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
            return

    def _confirmed(self, ack: Ack) -> None:
        """The back office holds everything up to here. One that holds what we never wrote is not believed."""
        flow = self._flows.get(ack.lane)
        if flow is None:
            return
        if ack.lane == LEDGER and ack.seq > 0:
            ours = feed.hash_at(self._ledger, ack.seq)
            if ours is None or (ack.hash and ours.hex() != ack.hash):
                text = f"the back office holds another movement {ack.seq} than this ledger: was it restored?"
                self._say("fork", text)
                return
        if ack.lane != LEDGER and ack.seq > flow.sent:
            return  # of another ledger under this name: its alerts are not ours, and ours still wait
        if flow.on_ack(ack.seq, time.monotonic()):
            self._outlet.send(Progress(ack.lane, self._epoch.id, ack.seq))

    def _replay(self, replay: Replay) -> None:
        if replay.lane == DIGESTS:
            self._asked.append(replay)
        elif flow := self._flows.get(replay.lane):
            flow.go_back(max(0, replay.from_seq - 1))
            self._taken_seq = min(self._taken_seq, flow.sent)
            self._named.clear()  # who asks again may have missed the names, too

    # Commands

    def _command(self, received: Received) -> None:
        """Judge it; what is accepted goes the way of every reading, and its outcome is the reply."""
        try:
            command = commands.decode(received.payload)
        except ValueError as error:
            self._reply("", "refused", f"not a command: {error}")
            return
        standing = self._standing(command)
        if command.id in standing.done and not received.retained:  # the reply was lost: it is said again
            self._reply(command.id, "done", standing.done[command.id])
            return
        if reason := commands.refusal(command, standing, retained=received.retained):
            self._reply(command.id, "refused", reason)
            return
        self._given[command.issuer] = command.cmd_seq
        body = {
            "issuer": command.issuer,
            "cmd_seq": command.cmd_seq,
            "type": command.type,
            "body": command.body,
        }
        now_s = time.monotonic()
        self._outlet.offer([Document(COMMAND_KIND, command.id, body)], now_s)
        self._outlet.flush(now_s)

    def _standing(self, command: commands.Command) -> commands.Standing:
        stamp = self._clock.now()
        highest = feed.highest_commands(self._ledger)
        highest[command.issuer] = max(highest.get(command.issuer, 0), self._given.get(command.issuer, 0))
        return commands.Standing(
            gateway=f"{self._address.tenant}/{self._address.store}/{self._address.gateway}",
            now_utc=None if stamp.quality == "none" else topics.moment(stamp.wall_us),
            allowed=ISSUERS,
            highest=highest,
            done=feed.command_result(self._ledger, command.id),
        )

    def _hear_core(self, now_s: float) -> None:
        """Outcomes of commands that became readings."""
        self._outlet.flush(now_s)
        for reading, outcome in self._outlet.receive(now_s)[0]:
            if isinstance(reading, Document):
                refused = outcome.code in NOT_DONE
                if refused:  # its number was not used up
                    self._given.pop(str(reading.body["issuer"]), None)
                self._reply(reading.external_id, "refused" if refused else "done", outcome.text)

    def _reply(self, correlation: str, result: str, reason: str) -> None:
        self._replies.append(topics.Reply(correlation, result, reason))

    def _send_replies(self, now_s: float) -> None:
        """Not numbered: who hears no reply gives the command again, and hears what became of it."""
        while self._replies and self._window.open:
            reply = self._replies.popleft()
            body = topics.sealed(
                self._address,
                id=f"{self._address.client_id}-reply-{reply.correlation or self._clock.now().hlc}",
                type=topics.REPLY_TYPE,
                at_us=self._clock.now().wall_us,
                lane=REPLIES,
                epoch=self._epoch.id,
                seq=0,
                boot=self._boot_id,
                data=topics.encode(reply),
            )
            self._publish(OUTBOX_TOPIC[REPLIES], body, now_s)

    # Who we are

    def _state(self, *, online: bool) -> topics.State:
        (schema,) = self._ledger.execute("PRAGMA user_version").fetchone()
        newest = {lane: flow.newest for lane, flow in self._flows.items()}
        return topics.State(
            online=online,
            epoch=self._epoch.id,
            boot_id=self._boot_id,
            sw=VERSION,
            schema=schema,
            seq=newest,
            acked={lane: flow.acked for lane, flow in self._flows.items()},
            parent_epoch=self._epoch.parent_epoch,
            parent_seq=self._epoch.parent_seq,
        )

    def _leave(self) -> None:
        """A clean stop says so itself: the will is for the others."""
        if self._line is not None and self._line.up:
            body = topics.encode(self._state(online=False))
            self._line.publish(self._address.topic("state"), body, retain=True)
            self._line.close()
        self._outlet.close()
        self._hints.close()
        self._ledger.close()
