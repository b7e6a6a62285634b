"""A ThingMagic module (M6E Nano) under the counter."""

import time

import pytest

from drivers.contract import Garbled, Health, TagRead
from drivers.rfid_mercury import (
    MULTI,
    SET_READ_POWER,
    SET_REGION,
    START_READING,
    MercuryConfig,
    MercuryDecoder,
    command,
    crc_thingmagic,
)
from tests.drivers.desk import Desk
from tests.drivers.unpluggable import Unpluggable

# sparkfun/SparkFun_Simultaneous_RFID_Tag_Reader_Library: src/SparkFun_UHF_RFID_Reader.cpp
TAG = "ff2822000010001b01ff0101c4110e16400000012700000500000f00803000000000000000000000001545e94a561d"
KEEPALIVE = "ff0022040084e0"


def readings(*chunks: str):
    decoder = MercuryDecoder(MercuryConfig())
    return [one for chunk in chunks for one in decoder.feed(bytes.fromhex(chunk), 0.0)] + decoder.idle(1.0)


def reply(code: int, status: int, data: str = "") -> str:
    payload = bytes.fromhex(data)
    body = bytes([len(payload), code]) + status.to_bytes(2, "big") + payload
    return (b"\xff" + body + crc_thingmagic(body).to_bytes(2, "big")).hex()


def test_a_tag_record():
    assert readings(TAG) == [
        TagRead(epc="000000000000000000001545", pc="3000", antenna=1, rssi_dbm=-60, raw_hex=TAG)
    ]


def test_data_that_was_read_along_does_not_shift_the_epc():
    body = bytes.fromhex(TAG)[1:-2]
    with_data = bytes([body[0] + 2]) + body[1:23] + bytes.fromhex("0010beef") + body[25:]  # 16 bits
    frame = (b"\xff" + with_data + crc_thingmagic(with_data).to_bytes(2, "big")).hex()

    assert [one.epc for one in readings(frame)] == ["000000000000000000001545"]


def test_a_tag_whose_own_crc_is_wrong_is_no_tag():
    body = bytearray.fromhex(TAG)[1:-2]
    body[-1] ^= 1
    frame = (b"\xff" + body + crc_thingmagic(bytes(body)).to_bytes(2, "big")).hex()

    assert readings(frame) == [Garbled(error="tag crc", raw_hex=frame)]


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (KEEPALIVE, "keepalive"),
        (reply(0x22, 0x0504), "hot"),
        (reply(0x22, 0x0505), "antenna_mismatch"),
        (reply(0x22, 0x0000, "0000011f028200820001"), "temperature"),
        (reply(0x97, 0x0000), "response 97"),
        (reply(0x92, 0x0105), "status 0105"),
    ],
    ids=["keepalive", "hot", "antenna", "temperature", "done", "refused"],
)
def test_what_is_no_tag(frame, status):
    assert [one.status for one in readings(frame)] == [status]


def test_a_hot_module_says_what_to_do():
    assert readings(reply(0x22, 0x0504))[0].error == (
        "the module is too hot and pauses: lower power_dbm or cool it"
    )


def test_a_command_frame():
    write_tag_data = command(0x24, bytes.fromhex("03e800000000000300ee"))

    assert write_tag_data.hex() == "ff0a2403e800000000000300ee589d"  # SparkFun, documented


def test_the_module_is_set_up_step_by_step_and_then_reads_for_ever():
    decoder, asked = MercuryDecoder(MercuryConfig(region="eu", power_dbm=26.5)), []
    for number in range(7):
        asked.append(decoder.pending_bytes(float(number) / 10))
        decoder.feed(bytes.fromhex(reply(asked[-1][2], 0)), float(number) / 10)

    assert [frame[2] for frame in asked] == [0x2F, 0x03, 0x97, 0x93, 0x91, 0x92, 0x2F]
    assert asked[2] == command(SET_REGION, b"\x08")
    assert asked[5] == command(SET_READ_POWER, b"\x0a\x5a")
    assert asked[6] == command(MULTI, START_READING)


def test_a_module_that_stopped_reading_is_started_again():
    decoder = MercuryDecoder(MercuryConfig())
    for number in range(7):
        decoder.pending_bytes(float(number))  # the opening and the first start, unanswered
    decoder.feed(bytes.fromhex(TAG), 7.0)

    assert [decoder.pending_bytes(at_s) for at_s in (9.9, 10.0)] == [b"", command(MULTI, START_READING)]


def test_however_the_bytes_are_cut_the_readings_are_the_same():
    stream = "ffff00" + TAG + KEEPALIVE + "ff28" + TAG

    assert readings(stream) == readings(*(stream[at : at + 2] for at in range(0, len(stream), 2)))
    assert [type(one) for one in readings(stream)] == [Garbled, TagRead, Health, Garbled, TagRead]


def test_a_module_unplugged_five_times_is_set_up_and_reads_on_each_time(tmp_path):
    def module(request: bytes) -> bytes:
        done = bytes.fromhex(reply(request[2], 0))
        return done + bytes.fromhex(TAG) if request == command(MULTI, START_READING) else done

    device = Unpluggable(tmp_path / "tty", module)
    desk = Desk(tmp_path, "rfid_mercury", port=str(device.path))
    for number in range(5):
        desk.serve(lambda desk, wanted=number + 1: len(desk.of(TagRead)) == wanted)
        device.unplug()
        time.sleep(0.05)
        device.plug()

    assert desk.close() == 0
    assert desk.of(Garbled) == []


def test_a_mute_module_is_named_through_the_real_host(tmp_path):
    device = Unpluggable(tmp_path / "tty", lambda request: b"")
    desk = Desk(tmp_path, "rfid_mercury", port=str(device.path))

    desk.serve(lambda desk: len(desk.of(Health)) == 1)

    assert desk.close() == 0
    assert desk.of(Health)[0].error.startswith("no answer at 115200 baud: check its supply")
