"""Sensors that are already on a broker: Tasmota, Zigbee2MQTT, Shelly (Gen2 and later), ESPHome.

An event driver: paho owns the connection. What a message means is the decoder's, one JSON line
`{"topic", "payload"}` at a time, so that a log of messages replays without a broker. A message is
acknowledged to the broker only after its readings are on disk; one without a climate value is no error.
"""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import msgspec
from annotated_types import Ge, Le

from drivers.contract import (
    AnyReading,
    ConfigError,
    Decoder,
    Emit,
    Health,
    Humidity,
    Temperature,
    garbled,
)
from drivers.load_cell import LoadCell, LoadCellFilter, load_cell

TOPICS = (
    "tele/+/SENSOR",
    "tele/+/LWT",
    "zigbee2mqtt/#",  # the names of its devices may hold slashes
    "+/events/rpc",
    "+/online",
    "+/sensor/+/state",
    "+/status",
)
PAYLOAD_BYTES_MAX = 65_536
SENSOR_NAME_CHARS_MAX = 64
BATTERIES_MAX = 256
BATTERY_LOW_PERCENT = 10
COUNTS_MIN, COUNTS_MAX = -0x800000, 0x7FFFFF  # of 24 bits: what is beyond is as good as saturated
CELSIUS_MIN, CELSIUS_MAX = -100.0, 150.0  # beyond it the sensor is broken, not the fridge
CHIP_SENSORS = ("ESP32", "ANALOG")  # Tasmota: the chip's own temperature says nothing about the room
TOPIC_LEVELS_MAX = 16


class Message(msgspec.Struct):
    """One line of input; `payload` is text, or the JSON value itself."""

    topic: str
    payload: Any = ""
    retain: bool = False
    received_s: float | None = None  # wall clock, seconds since 1970, when whoever received it knows


@dataclass(frozen=True, slots=True)
class SensorMqttConfig:
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(1), Le(65_535)] = 1883
    tls: bool = False
    ca_file: str = ""
    username: str = ""
    password_file: str = ""  # never the password itself: a config file is shown and copied
    client_id: str = (
        "storekeeper-sensors"  # one per gateway: the broker keeps what was missed under this name
    )
    topics: tuple[str, ...] = TOPICS
    retained_age_max_s: Annotated[float, Ge(0), Le(604_800)] = 3_600.0  # older retained values are ignored
    load_cell_topic: str = (
        ""  # an ESPHome node's HX711, "shelf3/sensor/hx711/state": raw counts, one cell a device
    )
    samples_per_s: Annotated[float, Ge(0.1), Le(80)] = 1.0  # of that cell; its update_interval, turned round
    zero_counts: float = 0.0  # what the empty shelf says ...
    counts_per_gram: float = (
        0.0  # ... and what a known weight adds to it, by its grams; 0: not calibrated yet
    )
    division_grams: str = "1"


class SensorMqttDriver:
    Config = SensorMqttConfig

    def decoder(self, config: SensorMqttConfig) -> Decoder:
        return _decoder(config)

    def run(self, config: SensorMqttConfig, emit: Emit, stop: Event) -> None:
        Subscription(config, _decoder(config), emit).run(stop)


class SensorMqttDecoder:
    """One whole line a message. Keeps what battery each sensor last had, and a second of its load cell."""

    def __init__(
        self, retained_age_max_s: float = 3_600.0, load_cell_topic: str = "", cell: LoadCell | None = None
    ) -> None:
        self._retained_age_max_s = retained_age_max_s
        self._load_cell_topic = load_cell_topic
        self._shelf = LoadCellFilter(cell or LoadCell())
        self._batteries: OrderedDict[str, float] = OrderedDict()

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        if len(chunk) > PAYLOAD_BYTES_MAX:
            return [garbled(f"a message of {len(chunk)} bytes; at most {PAYLOAD_BYTES_MAX} are read", chunk)]
        try:
            message = msgspec.json.decode(chunk, type=Message)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return [garbled('not a message: {"topic", "payload"} was expected', chunk)]
        return self.message(message)

    def idle(self, now_s: float) -> list[AnyReading]:
        return []

    def message(self, message: Message) -> list[AnyReading]:
        """What one message says about climate, batteries and who is there."""
        if self._load_cell_topic and message.topic == self._load_cell_topic:
            return self._weight(message)
        levels = message.topic.split("/", TOPIC_LEVELS_MAX)
        source = next((read for matches, read in SOURCES if matches(levels)), None)
        if source is None:
            return []
        payload = _value(message.payload)
        if self._is_stale(message, payload):
            return []
        readings: list[AnyReading] = []
        for reading in source(levels, payload):
            if isinstance(reading, Battery):
                readings += self._battery(reading)
            else:
                readings.append(_retained(reading) if message.retain else reading)
        return readings

    def _weight(self, message: Message) -> list[AnyReading]:
        """A conversion of the load cell. A retained one is no new sample; `nan` is a converter that is mute."""
        if message.retain:
            return []
        counts = _number(message.payload)
        if counts is None:
            self._shelf.gap()
            return [garbled("not a number of counts", str(message.payload).encode())]
        return self._shelf.sample(max(COUNTS_MIN, min(COUNTS_MAX, counts)))

    def _is_stale(self, message: Message, payload: Any) -> bool:
        if not message.retain or message.received_s is None:
            return False
        said_s = _said_at_s(payload)
        return said_s is not None and message.received_s - said_s > self._retained_age_max_s

    def _battery(self, battery: "Battery") -> list[AnyReading]:
        if self._batteries.pop(battery.sensor, None) == battery.percent:
            self._batteries[battery.sensor] = battery.percent
            return []
        self._batteries[battery.sensor] = battery.percent
        if len(self._batteries) > BATTERIES_MAX:
            self._batteries.popitem(last=False)
        low = battery.percent <= BATTERY_LOW_PERCENT
        error = f"battery of {battery.sensor} at {battery.percent:g} %: replace it soon" if low else None
        return [Health(status=f"battery {battery.percent:g} % {battery.sensor}", error=error)]


def _decoder(config: SensorMqttConfig) -> SensorMqttDecoder:
    cell = load_cell(config.zero_counts, config.counts_per_gram, config.division_grams, config.samples_per_s)
    return SensorMqttDecoder(config.retained_age_max_s, config.load_cell_topic, cell)


class Battery(msgspec.Struct, frozen=True):
    sensor: str
    percent: float


Said = Temperature | Humidity | Health | Battery


def tasmota_sensor(levels: list[str], payload: Any) -> Iterator[Said]:
    """`tele/<device>/SENSOR`: one object a probe; behind a Zigbee bridge one object a device."""
    if not isinstance(payload, dict):
        return
    fahrenheit = payload.get("TempUnit") == "F"
    for name, probe in payload.items():
        if name in CHIP_SENSORS or not isinstance(probe, dict):
            continue
        if name in ("ZbReceived", "ZbInfo"):
            for address, device in probe.items():
                yield from _tasmota_probe(device, address, fahrenheit)
            continue
        yield from _tasmota_probe(probe, f"{levels[1]}/{name}", fahrenheit)


def _tasmota_probe(probe: Any, fallback: str, fahrenheit: bool) -> Iterator[Said]:
    if not isinstance(probe, dict):
        return
    sensor = _name(probe.get("Id") or probe.get("Device") or fallback)
    yield from _climate(sensor, probe.get("Temperature"), probe.get("Humidity"), fahrenheit)
    yield from _battery_of(sensor, probe.get("BatteryPercentage"))


def zigbee2mqtt(levels: list[str], payload: Any) -> Iterator[Said]:
    """`zigbee2mqtt/<name>` and `.../availability`; null stands for "not reported yet"."""
    if levels[-1] == "availability":
        state = payload.get("state") if isinstance(payload, dict) else payload
        yield from availability("/".join(levels[1:-1]), state)
        return
    if levels[1] == "bridge" or levels[-1] in ("set", "get") or not isinstance(payload, dict):
        return
    sensor = _name("/".join(levels[1:]))
    yield from _climate(sensor, payload.get("temperature"), payload.get("humidity"))
    yield from _battery_of(sensor, payload.get("battery"))


def shelly_rpc(levels: list[str], payload: Any) -> Iterator[Said]:
    """`<id>/events/rpc`: components such as "temperature:0"; the first has the device's name."""
    params = payload.get("params") if isinstance(payload, dict) else None
    if not isinstance(params, dict):
        return
    for component, fields in params.items():
        kind, _, number = component.partition(":")
        if not isinstance(fields, dict):
            continue
        sensor = _name(levels[0] if number in ("", "0") else f"{levels[0]}/{number}")
        if kind == "temperature":
            yield from _climate(sensor, fields.get("tC"), None)
        elif kind == "humidity":
            yield from _climate(sensor, None, fields.get("rh"))
        elif kind == "devicepower" and isinstance(battery := fields.get("battery"), dict):
            yield from _battery_of(sensor, battery.get("percent"))


def esphome_state(levels: list[str], payload: Any) -> Iterator[Said]:
    """`<node>/sensor/<name>/state`: a bare number; its name says what it is. `nan`: the sensor failed."""
    sensor, name = _name(f"{levels[0]}/{levels[2]}"), levels[2].lower()
    if "temp" in name:
        fahrenheit = name.endswith(("_f", "fahrenheit"))
        if isinstance(payload, str) and payload.strip().lower() == "nan":
            yield Temperature(sensor=sensor, error="nan", quality="sensor_failed")
            return
        yield from _climate(sensor, payload, None, fahrenheit)
    elif "humid" in name:
        yield from _climate(sensor, None, payload)
    elif "battery" in name:
        yield from _battery_of(sensor, payload)


def availability(device: str, payload: Any) -> Iterator[Said]:
    """Online, offline, true, false, in any case."""
    word = str(payload).strip().lower()
    if word in ("offline", "false"):
        yield Health(status="offline", error=f"{_name(device)} is offline: power, Wi-Fi or battery")
    elif word in ("online", "true"):
        yield Health(status="online")


def _named_by_first_level(levels: list[str], payload: Any) -> Iterator[Said]:
    return availability(levels[0], payload)


def _named_by_second_level(levels: list[str], payload: Any) -> Iterator[Said]:
    return availability(levels[1], payload)


Source = Callable[[list[str], Any], Iterator[Said]]
SOURCES: tuple[tuple[Callable[[list[str]], bool], Source], ...] = (
    (lambda at: len(at) == 3 and (at[0], at[2]) == ("tele", "SENSOR"), tasmota_sensor),
    (lambda at: len(at) == 3 and (at[0], at[2]) == ("tele", "LWT"), _named_by_second_level),
    (lambda at: len(at) >= 2 and at[0] == "zigbee2mqtt", zigbee2mqtt),
    (lambda at: at[1:] == ["events", "rpc"], shelly_rpc),
    (lambda at: len(at) == 4 and (at[1], at[3]) == ("sensor", "state"), esphome_state),
    (lambda at: at[1:] in (["status"], ["online"]), _named_by_first_level),
)


def _climate(sensor: str, celsius: Any, humidity: Any, fahrenheit: bool = False) -> Iterator[Said]:
    degrees, percent = _number(celsius), _number(humidity)
    if degrees is not None:
        yield _temperature(sensor, round((degrees - 32) * 5 / 9, 4) if fahrenheit else degrees)
    if percent is not None:
        yield Humidity(percent, sensor=sensor, quality=None if 0 <= percent <= 100 else "out_of_range")


def _temperature(sensor: str, celsius: float) -> Temperature:
    if CELSIUS_MIN <= celsius <= CELSIUS_MAX:
        return Temperature(celsius=celsius, sensor=sensor)
    return Temperature(sensor=sensor, error="out_of_range", quality=f"said {celsius:g}")


def _battery_of(sensor: str, percent: Any) -> Iterator[Said]:
    value = _number(percent)
    if value is not None:
        yield Battery(sensor, value)


def _number(value: Any) -> float | None:
    """A finite number, also as text; else None: absent, null, "unavailable", nan."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _value(payload: Any) -> Any:
    """JSON when it is JSON, else the bare text."""
    if not isinstance(payload, str):
        return payload
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return payload


def _name(text: Any) -> str:
    return re.sub(r"[^\w./:+ -]", "?", str(text))[:SENSOR_NAME_CHARS_MAX]


def _retained(reading: Temperature | Humidity | Health) -> Temperature | Humidity | Health:
    """A retained value is true of some time before now; a retained "offline" is true now."""
    if isinstance(reading, Health) or reading.quality:
        return reading
    return msgspec.structs.replace(reading, quality="retained")


def _said_at_s(payload: Any) -> float | None:
    """When the device made this message, by its own words: Shelly's `ts`, Tasmota's `Time`, `last_seen`."""
    if not isinstance(payload, dict):
        return None
    params = payload.get("params")
    stamp = payload.get("last_seen", payload.get("Time"))
    if isinstance(params, dict):
        stamp = params.get("ts", stamp)
    if isinstance(stamp, str):
        try:
            return datetime.fromisoformat(stamp).timestamp()  # without a zone: this gateway's
        except (ValueError, OverflowError):
            return None
    seconds = _number(stamp)
    return seconds / 1000 if seconds is not None and seconds > 1e11 else seconds


CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 30
SESSION_KEPT_S = 86_400  # the broker holds what was published while we were away
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.2, 10.0
LOOP_S = 0.25
LAST_MESSAGES_MAX = 256


class Subscription:
    """A broker's messages, acknowledged after their readings are on disk, and never emitted twice.

    The session is persistent and acknowledgements are ours to send, so a message that was in flight when the
    connection broke comes again. When it was emitted already and only its acknowledgement was lost, it is
    known by its packet id and its content, and acknowledged without a second reading.
    """

    def __init__(self, config: SensorMqttConfig, decoder: SensorMqttDecoder, emit: Emit) -> None:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        from drivers.transports import trusting

        self._config = config
        self._decoder = decoder
        self._emit = emit
        self._emitted: OrderedDict[int, tuple[str, bytes]] = OrderedDict()  # by packet id, this session
        self._refusal = ""
        self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's gap
        self._properties.SessionExpiryInterval = SESSION_KEPT_S
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=config.client_id,
            protocol=MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        if config.username:
            self._client.username_pw_set(config.username, _password(config.password_file))
        if config.tls:
            self._client.tls_set_context(trusting(config.ca_file))

    def run(self, stop: Event) -> None:
        """Until `stop`; a broker that is away is waited for, and said once."""
        backoff_s = BACKOFF_FIRST_S
        is_away = False
        while not stop.is_set():
            try:
                self._connect()
                served = self._serve(stop)
                problem = self._refusal or "the broker closed the connection"
            except OSError as error:
                served, problem = False, str(error)
            if stop.is_set():
                break
            if served:
                is_away, backoff_s = False, BACKOFF_FIRST_S
            if not is_away:
                is_away = True
                where = f"{self._config.host}:{self._config.port}"
                self._emit(Health(status="broker_away", error=f"{where}: {problem}; trying again"))
            stop.wait(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
        self._client.disconnect()

    def _connect(self) -> None:
        self._refusal = ""
        self._client.connect(
            self._config.host,
            self._config.port,
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=self._properties,
        )

    def _serve(self, stop: Event) -> bool:
        """Whether the broker took us before it, or `stop`, ended the connection."""
        from paho.mqtt.enums import MQTTErrorCode

        while not stop.is_set() and self._client.loop(LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self._refusal:
                self._client.disconnect()
        return not self._refusal

    def _on_connect(self, client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"refused: {str(reason).lower()}; check username and password_file"
            return
        if not flags.session_present:
            self._emitted.clear()  # packet ids start anew
        topics = [*self._config.topics, self._config.load_cell_topic]
        client.subscribe([(topic, 1) for topic in topics if topic])

    def _on_message(self, client: Any, _: Any, message: Any) -> None:
        content = (message.topic, message.payload)
        again = message.dup and self._emitted.get(message.mid) == content
        if not again:
            for reading in self._readings(message):
                self._emit(reading)
        if message.qos:
            self._emitted[message.mid] = content
            self._emitted.move_to_end(message.mid)
            if len(self._emitted) > LAST_MESSAGES_MAX:
                self._emitted.popitem(last=False)
            client.ack(message.mid, message.qos)

    def _readings(self, message: Any) -> list[AnyReading]:
        if len(message.payload) > PAYLOAD_BYTES_MAX:
            return [garbled(f"{message.topic}: a payload of {len(message.payload)} bytes", message.payload)]
        text = message.payload.decode("utf-8", "replace")
        return self._decoder.message(Message(message.topic, text, bool(message.retain), time.time()))


def _password(password_file: str) -> str:
    try:
        return Path(password_file).read_text().strip()
    except OSError as error:
        raise ConfigError(
            f'password_file is "{password_file}": {error.strerror}; set it to a file with the password alone'
        ) from error
