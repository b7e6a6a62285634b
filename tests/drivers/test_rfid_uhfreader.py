"""A Chafon reader at the back door, on a serial line or over TCP."""

import time

import pytest

from drivers.contract import ConfigError, Garbled, Health, TagRead
from drivers.rfid_uhfreader import (
    INVENTORY,
    READER_INFO,
    UhfReaderConfig,
    UhfReaderDecoder,
    UhfReaderDriver,
    command,
    crc16_mcrf4xx,
)
from tests.drivers.desk import Desk
from tests.drivers.unpluggable import Unpluggable

JAM = "1500010301010ce28068940000500a9d2298c648257e"


def readings(*chunks: str):
    decoder = UhfReaderDecoder(UhfReaderConfig())
    return [one for chunk in chunks for one in decoder.feed(bytes.fromhex(chunk), 0.0)] + decoder.idle(1.0)


@pytest.mark.parametrize(
    ("frame", "epc", "rssi_raw"),
    [  # Timereversal/rfidtime: transport/packet.go (real captures, UHFReader288)
        ("1500010301010ce28068940000500a9d2298c648257e", "e28068940000500a9d2298c6", 72),
        ("1500010301010ce28068940000400a9d22a9eb5c70d2", "e28068940000400a9d22a9eb", 92),
        ("1500010301010c3034b708ac397e0000000649421ab7", "3034b708ac397e0000000649", 66),
        ("1500010301010ce28068940000400a9d22a9eb5df9c3", "e28068940000400a9d22a9eb", 93),
        ("1500010301010ce28068940000400a9d22acff60d3e2", "e28068940000400a9d22acff", 96),
        ("1500010301010ce28068940000500a9d2298c668275f", "e28068940000500a9d2298c6", 104),
        ("1500010301010ce28068940000400a9d2299e769509b", "e28068940000400a9d2299e7", 105),
        ("1500010301010ce28068940000500a9d22ad725aabaf", "e28068940000500a9d22ad72", 90),
        ("0d000103010104111001ba465d27", "111001ba", 70),
    ],
)
def test_an_inventory_of_a_288(frame, epc, rssi_raw):
    assert readings(frame) == [TagRead(epc=epc, antenna=1, status=f"rssi_raw {rssi_raw}", raw_hex=frame)]


def test_a_report_of_a_reader_in_active_mode():
    frame = "1100ee002000708c2b380b2d00000000e056"  # uhfreader18: tests/test_protocol.py

    assert readings(frame) == [TagRead("2000708c2b380b2d00000000", status="active", raw_hex=frame)]


def framed(body: str) -> str:
    data = bytes.fromhex(body)
    data = bytes([len(data) + 2]) + data
    return (data + crc16_mcrf4xx(data).to_bytes(2, "little")).hex()


def test_two_tags_in_one_frame_of_the_old_model_without_antenna_and_signal():
    frame = framed("00010102" + "04111001ba" + "02bb7e")

    assert [(one.epc, one.antenna) for one in readings(frame)] == [("111001ba", None), ("bb7e", None)]


def test_two_tags_in_one_frame_of_the_new_model():
    frame = framed("000103" + "0402" + "04111001ba46" + "04111001bb47")

    assert [(one.epc, one.antenna) for one in readings(frame)] == [("111001ba", 4), ("111001bb", 4)]


def test_a_tag_list_that_contradicts_itself_is_no_tag():
    assert [type(one) for one in readings(framed("000103" + "0109" + "04111001ba46"))] == [Garbled]


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (framed("0001fb"), "no_tag"),
        ("560000000000", "keepalive"),  # the heartbeat, without a CRC
        (framed("0001f8"), "error f8"),
        (framed("002100" + "0102"), "response 21 00"),
    ],
    ids=["no-tag", "heartbeat", "antenna", "reader-information"],
)
def test_what_is_no_tag(frame, status):
    assert [one.status for one in readings(frame)] == [status]


def test_a_wrong_crc_is_noise_and_the_next_frame_is_read():
    found = readings(JAM[:20] + "ff" + JAM[22:], JAM)

    assert [type(one) for one in found] == [Garbled, TagRead]


def test_however_the_bytes_are_cut_the_readings_are_the_same():
    stream = "ff00" + JAM + "560000000000" + framed("0001fb") + JAM + "15"

    assert readings(stream) == readings(*(stream[at : at + 2] for at in range(0, len(stream), 2)))


def test_what_the_reader_is_asked():
    assert command(READER_INFO).hex() == "040021d96a"  # uhfreader18: tests/test_protocol.py
    assert crc16_mcrf4xx(b"123456789") == 0x6F91


def test_the_reader_is_asked_who_it_is_and_then_for_one_inventory_after_the_other():
    decoder = UhfReaderDecoder(UhfReaderConfig(address=3, poll_s=0.1))
    asked = [decoder.pending_bytes(0.0)]
    decoder.feed(bytes.fromhex(framed("032100" + "0102")), 0.02)
    asked.append(decoder.pending_bytes(0.02))
    decoder.feed(bytes.fromhex(framed("0301fb")), 0.5)
    asked += [decoder.pending_bytes(at_s) for at_s in (0.55, 0.61)]

    assert asked == [command(READER_INFO, 3), command(INVENTORY, 3), b"", command(INVENTORY, 3)]


def test_a_reader_in_active_mode_is_asked_nothing():
    assert UhfReaderDecoder(UhfReaderConfig(active=True)).pending_bytes(0.0) == b""


def test_a_mute_reader_is_named_with_the_remedy():
    decoder = UhfReaderDecoder(UhfReaderConfig())
    for at_s in range(5):
        decoder.pending_bytes(float(at_s))

    (silent,) = [one for one in decoder.idle(5.0) if isinstance(one, Health)]
    assert silent.error == "no answer at 57600 baud: check its supply, its cable, its address and baud"


def test_a_tcp_port_that_is_none_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match='port is "COM1"; with host, set it to the TCP port'):
        UhfReaderDriver().open(UhfReaderConfig(host="127.0.0.1", port="COM1"))


def test_a_reader_unplugged_five_times_reads_on_each_time(tmp_path):
    inventories = 0

    def reader(request: bytes) -> bytes:
        nonlocal inventories
        if command(INVENTORY) not in request:
            return bytes.fromhex(framed("002100" + "0109"))
        inventories += 1
        return bytes.fromhex(framed(f"000101010104{inventories:08x}48"))

    device = Unpluggable(tmp_path / "tty", reader)
    desk = Desk(tmp_path, "rfid_uhfreader", port=str(device.path))
    for _ in range(5):
        before = len(desk.of(TagRead))
        desk.serve(lambda desk, before=before: len(desk.of(TagRead)) >= before + 5)
        device.unplug()
        time.sleep(0.05)
        device.plug()

    assert desk.close() == 0
    numbers = [int(one.epc, 16) for one in desk.of(TagRead)]
    assert numbers == sorted(set(numbers))
    assert inventories - len(numbers) <= 6  # at most the answer under way at each unplugging
