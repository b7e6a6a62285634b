"""Thermometers on an RS-485 wire through the cold room."""

import asyncio
import os
import pty
import select
import threading
import time
import tty

import pytest
from pymodbus import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.contract import ConfigError, Garbled, Health, Humidity, Temperature
from drivers.thermometer_modbus import (
    ModbusConfig,
    ModbusDecoder,
    ModbusThermometerDriver,
    crc16_modbus,
    request,
)
from tests.drivers.desk import Desk
from tests.drivers.unpluggable import Unpluggable

REPLY = "01040401330231cac3"  # a public ROS node's comment (real reply)
WARM = [Temperature(celsius=30.7, raw_hex=REPLY), Humidity(56.1)]


def readings(*chunks: str, config: ModbusConfig = ModbusConfig()):  # noqa: B008 - frozen
    decoder = ModbusDecoder(config)
    return [one for chunk in chunks for one in decoder.feed(bytes.fromhex(chunk), 0.0)] + decoder.idle(1.0)


def framed(body: str) -> str:
    data = bytes.fromhex(body)
    return (data + crc16_modbus(data).to_bytes(2, "little")).hex()


@pytest.mark.parametrize(
    ("slave", "register", "expected"),
    [(1, 1, "010400010002200b"), (1, 0, "01040000000271cb")],  # both seen on real wires
)
def test_what_a_thermometer_is_asked(slave, register, expected):
    assert request(slave, 4, register, 2).hex() == expected


@pytest.mark.parametrize("chunks", [[REPLY], ["010404", "01330231", "cac3"]], ids=["whole", "in-three"])
def test_a_reply_is_a_temperature_and_a_humidity(chunks):
    assert readings(*chunks) == WARM


def test_below_zero_the_register_is_signed():
    assert readings(framed("010404" + "ff49" + "0190"))[0].celsius == -18.3


def test_an_exception_is_no_temperature_and_says_what_to_change():
    assert readings("018402c2c1") == [
        Temperature(
            error="exception",
            quality="code 2, illegal data address: set register to what the manual says",
            raw_hex="018402c2c1",
        )
    ]


def test_a_thermometer_without_humidity():
    assert [type(one) for one in readings(framed("010402" + "0133"))] == [Temperature]


def test_a_broken_probe_is_no_temperature():
    assert readings(framed("010404" + "7fff" + "0231"))[0].error == "out_of_range"


def test_noise_before_a_reply_does_not_cost_the_reply():
    assert [type(one) for one in readings("00ff" + REPLY)] == [Garbled, Temperature, Humidity]


def test_an_adapter_that_hears_its_own_question_is_no_trouble():
    assert readings("010400010002200b" + REPLY) == WARM


def test_a_reply_with_a_wrong_crc_is_noise():
    assert [type(one) for one in readings(REPLY[:-2] + "c4")] == [Garbled]


def test_two_thermometers_on_one_wire_are_asked_in_turn_and_named():
    config = ModbusConfig(slaves=(1, 2), period_s=10)
    decoder = ModbusDecoder(config)
    asked = [decoder.pending_bytes(0.0)]
    told = decoder.feed(bytes.fromhex(REPLY), 0.1)
    asked += [decoder.pending_bytes(5.0), decoder.pending_bytes(5.1)]
    told += decoder.feed(bytes.fromhex(framed("020404" + "002a" + "0190")), 5.2)

    assert asked == [request(1, 4, 1, 2), b"", request(2, 4, 1, 2)]
    assert [one.sensor for one in told] == ["slave 1", "slave 1", "slave 2", "slave 2"]


def test_the_one_of_two_that_fell_silent_is_named_once():
    decoder = ModbusDecoder(ModbusConfig(slaves=(1, 2), period_s=10))
    decoder.idle(0.0)
    said = []
    for at_s in range(1, 60):
        decoder.feed(bytes.fromhex(REPLY), float(at_s))
        said += decoder.idle(float(at_s))

    assert [one.error for one in said if isinstance(one, Health)] == [
        "slave 2 has not answered for 31 s: check its wires and its number"
    ]


def test_a_wire_on_which_nobody_answers_is_named_with_the_remedy():
    decoder = ModbusDecoder(ModbusConfig())
    for at_s in range(5):
        decoder.pending_bytes(float(at_s))

    (silent,) = decoder.idle(5.0)
    assert (
        silent.error == "nobody answers at 9600 baud: check A and B (swap them), the supply, slaves and baud"
    )


def test_a_question_without_an_answer_is_asked_again():
    decoder = ModbusDecoder(ModbusConfig())

    assert [decoder.pending_bytes(at_s) != b"" for at_s in (0.0, 0.9, 1.0, 2.0)] == [True, False, True, True]


def test_a_slave_number_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"slaves is \[0\]; write numbers from 1 to 247"):
        ModbusThermometerDriver().open(ModbusConfig(slaves=(0,)))


class Transmitter:
    """A pymodbus server on a serial line of its own; asked through `answer`."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        registers = SimData(1, values=[0, 561], datatype=DataType.REGISTERS)
        self._device = SimDevice(1, simdata=[registers])
        self.answers = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._serve(os.ttyname(slave)), self._loop).result(5)

    async def _serve(self, port: str) -> None:
        self._server = ModbusSerialServer(
            self._device, framer=FramerType.RTU, port=port, baudrate=9600, trace_pdu=self._warmer
        )
        await self._server.serve_forever(background=True)

    def _warmer(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """Each answer is a tenth of a degree warmer, from 0.1."""
        if sending:
            self.answers += 1
            pdu.registers[0] = self.answers
        return pdu

    def answer(self, question: bytes) -> bytes:
        os.write(self._master, question)
        reply = b""
        deadline_s = time.monotonic() + 120
        while len(reply) < 9 and time.monotonic() < deadline_s:
            if select.select([self._master], [], [], 0.05)[0]:
                reply += os.read(self._master, 64)
        return reply


def test_a_wire_pulled_twenty_times_is_read_on_each_time(tmp_path):
    transmitter = Transmitter()
    wire = Unpluggable(tmp_path / "tty", transmitter.answer)
    desk = Desk(tmp_path, "thermometer_modbus", port=str(wire.path), period_s=0.1)
    for _ in range(20):
        before = len(desk.of(Temperature))
        desk.serve(lambda desk, before=before: len(desk.of(Temperature)) >= before + 2)
        wire.unplug()
        time.sleep(0.02)
        wire.plug()

    assert desk.close() == 0
    tenths = [round(one.celsius * 10) for one in desk.of(Temperature)]
    assert tenths == sorted(set(tenths))  # nothing doubled, the order kept
    assert transmitter.answers - len(tenths) <= 20  # at most the one under way at each pull
    assert {one.humidity for one in desk.of(Humidity)} == {56.1}
