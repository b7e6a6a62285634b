"""A line to the broker: paho-mqtt without its thread, in the poll loop of whoever owns it.

paho sends its whole backlog when it connects and keeps what it was told offline, so nothing is ever published
while there is no connection, and every connection is a new client object: it remembers nothing.
"""

import select
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cloud.slim_paho import learn_tls  # isort: skip  # before paho itself
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 60
PACKETS_AT_ONCE_MAX = 64
SESSION_EXPIRY_S = 7 * 24 * 3600
WILL_DELAY_S = 30
PROTOCOL_REFUSED = {0x84, 0x01}  # MQTT 5 reason, MQTT 3.1.1 return code
PASSWORD_REFUSED = {"Bad user name or password", "Not authorized"}
TAKEN_OVER = "Session taken over"
PACKED = b"\x78"  # the first byte in zlib's format (RFC 1950); all else that we say begins with a brace
UNPACKED_BYTES_MAX = 4 * 1024 * 1024  # a longer one is cut there, and then makes no sense to its reader


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and what it must be told. The password is read when it is needed, and kept nowhere."""

    host: str
    port: int
    client_id: str
    tls: bool = False
    ca_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    protocol: str = "5"


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Received:
    topic: str
    payload: bytes
    retained: bool
    mid: int


class Line:
    """One connection and its end. Not reusable."""

    def __init__(
        self,
        broker: Broker,
        *,
        on_up: Callable[["Line"], None],
        on_message: Callable[[Received], None],
        on_taken: Callable[[int], None],
        will: Will | None = None,
        subscribe: list[str] | None = None,
        manual_ack: bool = False,
    ) -> None:
        self._broker = broker
        self._on_up, self._on_message, self._on_taken = on_up, on_message, on_taken
        self._subscribe = subscribe or []
        self.up = False
        self.session_present = False
        self.receive_max = 65_535
        self.why_down = ""  # in words, once the connection is gone
        self.refused = False
        self.protocol_refused = False
        v5 = broker.protocol == "5"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=MQTTv5 if v5 else MQTTv311,
            clean_session=None if v5 else False,
            reconnect_on_failure=False,
            manual_ack=manual_ack,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.max_inflight_messages_set(0)  # the windows are ours
        self._client.max_queued_messages_set(0)
        if broker.username:
            self._client.username_pw_set(broker.username, _password(broker.password_file))
        if broker.tls:
            self._client.tls_set_context(_tls(broker.ca_file))
        if will:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True, properties=_will_delay(v5))
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message
        self._client.on_publish = self._published

    def connect(self) -> None:
        """Raises OSError when nobody is there. The answer comes later, by `on_up` or by `why_down`."""
        v5 = self._broker.protocol == "5"
        properties = None
        if v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        host: Any = self._broker.host
        if host.isascii() and not self._broker.tls:
            host = host.encode()  # for a text Python loads the tables of all scripts, half a megabyte
        self._client.connect(
            host,
            self._broker.port,
            KEEPALIVE_S,
            clean_start=False if v5 else 3,  # 3: paho's "as the protocol version has it"
            properties=properties,
        )

    def fileno(self) -> int:
        """The socket, or -1 when there is none any more."""
        connection = self._client.socket()
        return connection.fileno() if connection else -1

    @property
    def alive(self) -> bool:
        return self.fileno() >= 0

    def wants_write(self) -> bool:
        return self._client.want_write()

    def read(self) -> None:
        """What has arrived, up to a bound: so that whoever commits afterwards commits once for many messages."""
        for _ in range(PACKETS_AT_ONCE_MAX):
            self._client.loop_read()
            if not self._more():
                return

    def _more(self) -> bool:
        """TLS: what is decrypted already wakes no poll."""
        connection = self._client.socket()
        if connection is None or connection.fileno() < 0:
            return False
        return getattr(connection, "pending", int)() > 0 or bool(select.select([connection], [], [], 0)[0])

    def write(self) -> None:
        self._client.loop_write()

    def tick(self) -> None:
        """Keep-alive; to be called now and then."""
        self._client.loop_misc()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> int:
        """The message's id on this connection, which `on_taken` names when the broker has it."""
        return self._client.publish(topic, payload, qos=qos, retain=retain).mid

    def ack(self, received: Received) -> None:
        """With `manual_ack`: this message need not come again."""
        self._client.ack(received.mid, 1)

    def close(self) -> None:
        if self.alive:
            self._client.disconnect()

    def _connected(
        self,
        _client: Client,
        _data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.refused = str(reason) in PASSWORD_REFUSED
            self.protocol_refused = "protocol version" in str(reason).lower()
            self.why_down = str(reason)
            return
        self.up = True
        self.session_present = flags.session_present
        self.receive_max = getattr(properties, "ReceiveMaximum", 65_535)
        if self._subscribe:
            self._client.subscribe([(topic, 1) for topic in self._subscribe])
        self._on_up(self)

    def _disconnected(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        self.up = False
        self.why_down = self.why_down or str(reason)

    def _message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        if payload.startswith(PACKED):
            payload = _unpacked(payload)
        self._on_message(Received(message.topic, payload, message.retain, message.mid))

    def _published(
        self, _client: Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._on_taken(mid)


def _unpacked(payload: bytes) -> bytes:
    """Empty when it is not what it claims to be: whoever reads it skips it like any other noise."""
    try:
        return zlib.decompressobj().decompress(payload, UNPACKED_BYTES_MAX)
    except zlib.error:
        return b""


def _password(file: Path | None) -> str | None:
    return file.read_text().strip() if file else None


def _tls(ca_file: Path | None) -> "ssl.SSLContext":
    import ssl  # a megabyte

    learn_tls()
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _will_delay(v5: bool) -> Properties | None:
    if not v5:
        return None
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # paho has no types here
    properties.WillDelayInterval = WILL_DELAY_S
    return properties
