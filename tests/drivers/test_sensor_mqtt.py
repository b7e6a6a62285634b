"""Sensors that are on a broker: what their messages mean, and that none is lost when the broker goes away."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from drivers.contract import AnyReading, ConfigError, Garbled, Health, Humidity, Outcome, Temperature, Weight
from drivers.sensor_mqtt import (
    BATTERIES_MAX,
    Message,
    SensorMqttConfig,
    SensorMqttDecoder,
    SensorMqttDriver,
)
from tests.drivers.desk import Desk


def said(topic: str, payload: str, **more: object) -> list[AnyReading]:
    line = json.dumps({"topic": topic, "payload": payload, **more}).encode()
    return SensorMqttDecoder().feed(line, 0.0)


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        pytest.param(
            "tele/tasmota_4C7759/SENSOR",
            '{"Time":"2021-04-26T10:01:34","DS18B20":{"Id":"020692454681","Temperature":16.1},"TempUnit":"C"}',
            [Temperature(celsius=16.1, sensor="020692454681")],
            id="tasmota-one-probe",  # a public script (real)
        ),
        pytest.param(
            "tele/x/SENSOR",
            '{"Time":"2020-02-09T19:30:03","SI7021":{"Temperature":2.5,"Humidity":73.9},"TempUnit":"C"}',
            [Temperature(celsius=2.5, sensor="x/SI7021"), Humidity(73.9, sensor="x/SI7021")],
            id="tasmota-climate",  # a public sketch
        ),
        pytest.param(
            "tele/cold/SENSOR",
            '{"DS18B20-1":{"Id":"01","Temperature":39.2},"DS18B20-2":{"Id":"02","Temperature":-4},'
            '"ESP32":{"Temperature":127.4},"TempUnit":"F"}',
            [Temperature(celsius=4.0, sensor="01"), Temperature(celsius=-20.0, sensor="02")],
            id="tasmota-two-probes-in-fahrenheit-and-the-chip",
        ),
        pytest.param(
            "tele/zb/SENSOR",
            '{"ZbReceived":{"0x1067":{"Device":"0x1067","Temperature":19.04,"Humidity":70.89,"Endpoint":1,'
            '"LinkQuality":141}}}',
            [Temperature(celsius=19.04, sensor="0x1067"), Humidity(70.89, sensor="0x1067")],
            id="tasmota-zigbee-bridge",  # a public driver's comment
        ),
        pytest.param(
            "tele/termostato/LWT",
            "Offline",
            [Health(status="offline", error="termostato is offline: power, Wi-Fi or battery")],
            id="tasmota-offline",  # a public Home Assistant configuration
        ),
        pytest.param("tele/termostato/LWT", "Online", [Health(status="online")], id="tasmota-online"),
        pytest.param(
            "zigbee2mqtt/fridge",
            '{"battery":91,"voltage":2985,"temperature":23.5,"humidity":46.08,"pressure":915.5,"linkquality":10}',
            [
                Temperature(celsius=23.5, sensor="fridge"),
                Humidity(46.08, sensor="fridge"),
                Health(status="battery 91 % fridge"),
            ],
            id="zigbee2mqtt",  # zigbee2mqtt's test-suite
        ),
        pytest.param(
            "zigbee2mqtt/cold room/door",
            '{"temperature":null,"humidity":null,"battery":4}',
            [
                Health(
                    status="battery 4 % cold room/door",
                    error="battery of cold room/door at 4 %: replace it soon",
                )
            ],
            id="zigbee2mqtt-before-its-first-report",
        ),
        pytest.param(
            "zigbee2mqtt/fridge/availability",
            '{"state":"offline"}',
            [Health(status="offline", error="fridge is offline: power, Wi-Fi or battery")],
            id="zigbee2mqtt-away",
        ),
        pytest.param("zigbee2mqtt/bridge/state", '{"temperature":20}', [], id="zigbee2mqtt-bridge"),
        pytest.param("zigbee2mqtt/fridge/set", '{"temperature":20}', [], id="zigbee2mqtt-command"),
        pytest.param(
            "shellyplusht-b8d61a8b17cc/events/rpc",
            '{"src": "shellyplusht-b8d61a8b17cc", "dst": "shellyplusht-b8d61a8b17cc/events", "method": '
            '"NotifyFullStatus", "params": {"ts": 1680962879.62, "devicepower:0": {"id": 0, "battery": '
            '{"V": 0.43, "percent": 0}, "external": {"present": true}}, "humidity:0": {"id": 0, "rh": 42.2}, '
            '"temperature:0": {"id": 0, "tC": 19.8, "tF": 67.6}}}',
            [
                Health(
                    status="battery 0 % shellyplusht-b8d61a8b17cc",
                    error="battery of shellyplusht-b8d61a8b17cc at 0 %: replace it soon",
                ),
                Humidity(42.2, sensor="shellyplusht-b8d61a8b17cc"),
                Temperature(celsius=19.8, sensor="shellyplusht-b8d61a8b17cc"),
            ],
            id="shelly",  # gist NelsonMinar/494a0f53785c20290b395639548349fa (real, shortened)
        ),
        pytest.param(
            "shelly1/events/rpc",
            '{"params":{"temperature:101":{"tC":-18.5}}}',
            [Temperature(celsius=-18.5, sensor="shelly1/101")],
            id="shelly-add-on-probe",
        ),
        pytest.param(
            "cellar/sensor/fridge_temperature/state",
            "4.25",
            [Temperature(celsius=4.25, sensor="cellar/fridge_temperature")],
            id="esphome",
        ),
        pytest.param(
            "cellar/sensor/fridge_temperature/state",
            "nan",
            [Temperature(sensor="cellar/fridge_temperature", error="nan", quality="sensor_failed")],
            id="esphome-failed-sensor",
        ),
        pytest.param(
            "cellar/sensor/fridge_humidity/state",
            "61",
            [Humidity(61.0, sensor="cellar/fridge_humidity")],
            id="esphome-humidity",
        ),
        pytest.param("cellar/sensor/uptime/state", "3600", [], id="esphome-something-else"),
        pytest.param("cellar/status", "online", [Health(status="online")], id="esphome-online"),
        pytest.param("tele/x/SENSOR", '{"Time":"2020-02-09T19:30:03"}', [], id="nothing-about-climate"),
        pytest.param("shop/door", "open", [], id="somebody-elses-topic"),
        pytest.param(
            "zigbee2mqtt/oven",
            '{"temperature":900}',
            [Temperature(sensor="oven", error="out_of_range", quality="said 900")],
            id="broken-sensor",
        ),
    ],
)
def test_a_message_and_what_it_says(topic, payload, expected):
    assert said(topic, payload) == expected


def test_a_payload_may_be_the_json_itself():
    line = b'{"topic":"zigbee2mqtt/fridge","payload":{"temperature":4.5}}'

    assert SensorMqttDecoder().feed(line, 0.0) == [Temperature(celsius=4.5, sensor="fridge")]


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"topic":1,"payload":""}',
        b'["tele/x/SENSOR"]',
        b"\xff\xfe",
        b"[" * 50_000,
    ],
    ids=["text", "topic-is-a-number", "a-list", "no-utf-8", "deeply-nested"],
)
def test_a_line_that_is_no_message_is_garbled(line):
    assert [type(one) for one in SensorMqttDecoder().feed(line, 0.0)] == [Garbled]


def test_a_payload_of_a_thousand_nested_lists_is_taken_as_text():
    assert said("tele/x/SENSOR", "[" * 20_000) == []


def test_a_flood_in_one_message_is_refused_with_its_size():
    readings = SensorMqttDecoder().feed(b" " * 100_000, 0.0)

    assert readings[0].error == "a message of 100000 bytes; at most 65536 are read"


def test_an_unchanged_battery_is_said_once():
    decoder = SensorMqttDecoder()
    messages = [Message("zigbee2mqtt/fridge", {"battery": percent}) for percent in (91, 91, 90, 90)]

    statuses = [one.status for message in messages for one in decoder.message(message)]

    assert statuses == ["battery 91 % fridge", "battery 90 % fridge"]


def test_a_broker_full_of_batteries_takes_no_more_memory_than_some():
    decoder = SensorMqttDecoder()

    for number in range(10 * BATTERIES_MAX):
        decoder.message(Message(f"zigbee2mqtt/{number}", {"battery": 50}))

    assert len(decoder._batteries) == BATTERIES_MAX


def test_a_retained_value_is_of_some_time_before_and_says_so():
    assert said("zigbee2mqtt/fridge", '{"temperature":4.5}', retain=True) == [
        Temperature(celsius=4.5, sensor="fridge", quality="retained")
    ]


@pytest.mark.parametrize(
    "payload",
    [
        '{"temperature":4.5,"last_seen":1700000000000}',
        '{"temperature":4.5,"last_seen":"2023-11-14T22:13:20+00:00"}',
    ],
)
def test_a_retained_value_that_dates_itself_too_old_is_ignored(payload):
    assert said("zigbee2mqtt/fridge", payload, retain=True, received_s=1_700_003_601.0) == []
    assert said("zigbee2mqtt/fridge", payload, retain=True, received_s=1_700_003_599.0) != []


def test_a_retained_offline_is_true_now():
    assert said("tele/x/LWT", "Offline", retain=True)[0].status == "offline"


def test_a_load_cell_on_an_esphome_node_goes_the_way_of_every_load_cell():
    topic = "shelf3/sensor/hx711/state"
    decoder = SensorMqttDriver().decoder(
        SensorMqttConfig(load_cell_topic=topic, zero_counts=-30_217, counts_per_gram=10, samples_per_s=1)
    )
    counts = [-25_217.0] * 4 + [8_000_000.0] + [-25_217.0] * 6  # half a kilo, and one spike of the converter

    said = [one for value in counts for one in decoder.message(Message(topic, str(value)))]

    assert [(one.value, one.stable) for one in said] == [(Decimal(500), False), (Decimal(500), True)]
    assert decoder.message(Message(topic, "8388607")) == [
        Weight(status="saturated", stable=False, raw_hex="7fffff")
    ]
    assert [type(one) for one in decoder.message(Message(topic, "nan"))] == [Garbled]


# --- with a real broker ---


class Broker:
    """A mosquitto of our own on a loopback port, that can be killed and started again with its memory."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\nuser root\n"
        )
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self._settings)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + 120
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("mosquitto did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(120)


class Line:
    """A TCP relay in front of the broker whose connections can be cut, as a bad network does."""

    def __init__(self, port: int) -> None:
        self._broker_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in self._open:
            _hang_up(end)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                return
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(4096):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


class Shop:
    """The driver at work; `emitted` is what a core would have on disk."""

    def __init__(self, config: SensorMqttConfig) -> None:
        self.emitted: list[AnyReading] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=SensorMqttDriver().run, args=(config, self._emit, self._stop), daemon=True
        )
        self._thread.start()

    def _emit(self, reading: AnyReading) -> Outcome:
        self.emitted.append(reading)
        return Outcome("ok")

    def celsius(self) -> list[float]:
        return [one.celsius for one in self.emitted if isinstance(one, Temperature) and one.celsius]

    def wait_for(self, count: int, within_s: float = 120.0) -> list[float]:
        deadline_s = time.monotonic() + within_s
        while len(self.celsius()) < count and time.monotonic() < deadline_s:
            time.sleep(0.02)
        return self.celsius()

    def leave(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if not shutil.which("mosquitto"):
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


def sensor(port: int) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id="fridge")
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def wait_until_subscribed(shop: Shop, client: Client) -> None:
    deadline_s = time.monotonic() + 120
    while not any(isinstance(one, Health) and one.status == "online" for one in shop.emitted):
        assert time.monotonic() < deadline_s
        client.publish("zigbee2mqtt/fridge/availability", "online")
        time.sleep(0.05)


def publish(client: Client, celsius: float) -> None:
    client.publish("zigbee2mqtt/fridge", json.dumps({"temperature": celsius}), qos=1).wait_for_publish(60)


def test_every_message_is_emitted_once_although_the_connection_breaks_twenty_times(broker):
    line = Line(broker.port)
    shop = Shop(SensorMqttConfig(port=line.port))
    fridge = sensor(broker.port)
    wait_until_subscribed(shop, fridge)
    sent: list[float] = []
    for cut in range(20):
        for number in range(1, 11):
            sent.append(1 + cut + number / 100)
            publish(fridge, sent[-1])
            if number == 5:
                line.cut()
        shop.wait_for(len(sent))

    received = shop.wait_for(len(sent))
    shop.leave()
    line.close()
    fridge.disconnect()
    fridge.loop_stop()

    assert received == sent
    assert {one.status for one in shop.emitted if isinstance(one, Health)} <= {"online", "broker_away"}


def test_through_the_real_host_too_nothing_is_lost_or_doubled(broker, tmp_path):
    line = Line(broker.port)
    desk = Desk(tmp_path, "sensor_mqtt", port=line.port)
    fridge = sensor(broker.port)

    def is_subscribed(desk: Desk) -> bool:
        fridge.publish("zigbee2mqtt/fridge/availability", "online")
        return any(one.status == "online" for one in desk.of(Health))

    desk.serve(is_subscribed)
    sent = []
    for cut in range(5):
        for number in range(20):
            sent.append(1 + cut + number / 100)
            publish(fridge, sent[-1])
            if number == 10:
                line.cut()
        desk.serve(lambda desk: len(desk.of(Temperature)) >= len(sent))

    assert desk.close() == 0
    assert [one.celsius for one in desk.of(Temperature)] == sent
    line.close()
    fridge.disconnect()
    fridge.loop_stop()


def test_a_broker_that_is_not_there_is_said_once_and_waited_for(broker):
    broker.stop()
    shop = Shop(SensorMqttConfig(port=broker.port))
    time.sleep(1.5)
    broker.start()
    fridge = sensor(broker.port)
    wait_until_subscribed(shop, fridge)
    publish(fridge, 4.5)

    assert shop.wait_for(1) == [4.5]
    assert [one.status for one in shop.emitted if isinstance(one, Health)].count("broker_away") == 1
    shop.leave()
    fridge.disconnect()
    fridge.loop_stop()


def test_what_was_published_while_the_gateway_was_off_is_read_when_it_is_back(broker):
    config = SensorMqttConfig(port=broker.port)
    fridge = sensor(broker.port)
    first = Shop(config)
    wait_until_subscribed(first, fridge)
    publish(fridge, 1.5)
    first.wait_for(1)
    first.leave()
    publish(fridge, 2.5)

    second = Shop(config)

    assert (first.celsius(), second.wait_for(1)) == ([1.5], [2.5])
    second.leave()
    fridge.disconnect()
    fridge.loop_stop()


def test_a_password_file_that_is_not_there_is_named(tmp_path):
    config = SensorMqttConfig(username="shop", password_file=str(tmp_path / "none"))

    with pytest.raises(ConfigError, match='none": No such file or directory; set it to a file'):
        SensorMqttDriver().run(config, lambda reading: Outcome("ok"), threading.Event())


def test_a_ca_file_that_is_not_there_is_a_mistake_in_the_settings(tmp_path):
    config = SensorMqttConfig(tls=True, ca_file=str(tmp_path / "ca.pem"))

    with pytest.raises(ConfigError, match=r'ca\.pem": No such file or directory; set it to a PEM file'):
        SensorMqttDriver().run(config, lambda reading: Outcome("ok"), threading.Event())
