"""A UHF module of the R200 family on the packing table."""

import time

import pytest

from drivers.contract import Garbled, Health, TagRead
from drivers.rfid_r200 import (
    GET_POWER,
    POLL_ONCE,
    STOP,
    R200Config,
    R200Decoder,
    command,
    crc16_genibus,
    poll_many,
    set_power,
)
from tests.drivers.desk import Desk
from tests.drivers.unpluggable import Unpluggable

JAM = bytes.fromhex("BB02220011C9340030751FEB705C5904E3D50D703A76EF7E")
NO_TAG = bytes.fromhex("BB01FF000115167E")


def readings(*chunks: bytes):
    decoder = R200Decoder(R200Config())
    return [one for chunk in chunks for one in decoder.feed(chunk, 0.0)] + decoder.idle(1.0)


@pytest.mark.parametrize(
    ("frame", "epc", "pc", "rssi_dbm"),
    [  # the first from the M100 and R200 manual, the others captured by owners of such modules
        ("BB02220011C9340030751FEB705C5904E3D50D703A76EF7E", "30751feb705c5904e3d50d70", "3400", -55),
        ("BB02220011C43000E200001D7315016521408FC6B83EC27E", "e200001d7315016521408fc6", "3000", -60),
        ("BB02220011CB3400E200471BB0006013044509D09582D47E", "e200471bb0006013044509d0", "3400", -53),
        ("BB02220011C33400E200470F22D060130435E50102E5CF7E", "e200470f22d060130435e501", "3400", -61),
        ("BB02220011C93000E2000017270202671280EE1745760B7E", "e2000017270202671280ee17", "3000", -55),
    ],
)
def test_a_tag_notice(frame, epc, pc, rssi_dbm):
    assert readings(bytes.fromhex(frame)) == [
        TagRead(epc=epc, pc=pc, rssi_dbm=rssi_dbm, raw_hex=frame.lower())
    ]


def notice(tag: bytes, *, rssi: int = -55, antenna: bytes = b"") -> bytes:
    """A notice as the module sends it: the tag's PC and EPC with its CRC."""
    crc = crc16_genibus(tag).to_bytes(2, "big")
    body = bytes([2, 0x22, 0, 1 + len(tag) + 2 + len(antenna), rssi & 0xFF]) + tag + crc + antenna
    return b"\xbb" + body + bytes([sum(body) & 0xFF, 0x7E])


def test_a_module_with_several_antennas_says_which_one():
    tag = bytes.fromhex("340030751feb705c5904e3d50d70")

    assert [one.antenna for one in readings(notice(tag, antenna=b"\x03"))] == [3]


def test_a_short_tag_is_read_by_the_length_in_its_pc_word():
    assert [one.epc for one in readings(notice(bytes.fromhex("1000bb7eff0d")))] == ["bb7eff0d"]


def test_a_tag_whose_own_crc_is_wrong_is_no_tag():
    body = bytes.fromhex("02220011C9340030751FEB705C5904E3D50D713A76")
    frame = b"\xbb" + body + bytes([sum(body) & 0xFF, 0x7E])

    assert readings(frame) == [Garbled(error="tag crc", raw_hex=frame.hex())]


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ("BB01FF000115167E", "no_tag"),  # ordinary while polling
        ("BB01FF000117187E", "error 17"),
        ("BB01CE00020001D27E", "response ce"),
    ],
)
def test_a_reply_that_is_no_tag(frame, status):
    assert [one.status for one in readings(bytes.fromhex(frame))] == [status]


@pytest.mark.parametrize(
    ("request_bytes", "frame"),
    [  # M100 and R200 manual, as used by several public drivers
        (command(POLL_ONCE), "BB00220000227E"),
        (poll_many(65_535), "BB0027000322FFFF4A7E"),
        (poll_many(10_000), "BB00270003222710837E"),
        (command(STOP), "BB00280000287E"),
        (set_power(20.0), "BB00B6000207D08F7E"),
        (command(GET_POWER), "BB00B70000B77E"),
    ],
)
def test_what_the_module_is_asked(request_bytes, frame):
    assert request_bytes.hex().upper() == frame


def test_the_check_value_of_the_tag_crc():
    assert crc16_genibus(b"123456789") == 0xD64E


def test_a_good_frame_behind_a_broken_one_and_noise_survives():
    broken = JAM[:10] + b"\x00" + JAM[11:]

    found = readings(b"\x00\xbb\x7e" + broken + JAM + b"\xbb\x02\x22")

    assert [one.epc for one in found if isinstance(one, TagRead)] == ["30751feb705c5904e3d50d70"]
    assert [type(one) for one in found] == [Garbled, TagRead, Garbled]


def test_however_the_bytes_are_cut_the_readings_are_the_same():
    stream = b"\x7e\x00" + JAM + NO_TAG + b"\xbb\xbb" + JAM

    assert readings(stream) == readings(*(bytes([byte]) for byte in stream))


def test_a_module_is_set_up_and_then_asked_for_inventories():
    decoder = R200Decoder(R200Config(power_dbm=26))

    first = decoder.pending_bytes(0.0)
    nothing_yet = decoder.pending_bytes(0.5)
    decoder.feed(bytes.fromhex("BB01280001002A7E"), 0.6)
    second = decoder.pending_bytes(0.6)
    decoder.feed(bytes.fromhex("BB01B6000100B87E"), 0.7)
    third = decoder.pending_bytes(0.7)

    assert (first, nothing_yet) == (command(STOP), b"")
    assert (second, third) == (set_power(26.0), poll_many(10_000))


def test_when_the_rounds_are_over_it_is_asked_again():
    decoder = R200Decoder(R200Config())
    decoder.feed(NO_TAG, 0.0)
    asked = [decoder.pending_bytes(at_s) for at_s in (0.0, 1.0, 2.0)]  # the first two unanswered
    decoder.feed(JAM, 2.5)

    assert asked == [command(STOP), set_power(20.0), poll_many(10_000)]
    assert [decoder.pending_bytes(at_s) for at_s in (4.4, 4.5)] == [b"", poll_many(10_000)]


def test_a_mute_module_is_named_once_with_the_remedy():
    decoder = R200Decoder(R200Config())
    for at_s in range(5):
        decoder.pending_bytes(float(at_s))

    assert decoder.idle(5.0) == [
        Health(
            status="silent",
            error="no answer at 115200 baud: check its supply and its RX and TX wires; set baud",
        )
    ]
    assert decoder.idle(6.0) == []


def test_noise_at_a_wrong_baud_rate_names_the_setting():
    decoder = R200Decoder(R200Config(baud=9_600))

    found = [one for _ in range(3) for one in decoder.feed(b"\xf8\x00\x80" * 100, 0.0)]

    assert [one.status for one in found if isinstance(one, Health)] == ["baud_suspect"]


def test_a_module_unplugged_twenty_times_reads_on_each_time(tmp_path):
    def module(request: bytes) -> bytes:
        return b"".join(
            b"\xbb" + body + bytes([sum(body) & 0xFF, 0x7E])
            for code in request.split(b"\xbb\x00")[1:]
            for body in [bytes([1, code[0], 0, 1, 0])]
        )

    device = Unpluggable(tmp_path / "tty", module)
    desk = Desk(tmp_path, "rfid_r200", port=str(device.path))
    for number in range(20):
        asked = len(device.heard)
        desk.serve(lambda _, asked=asked: poll_many(10_000) in device.heard[asked:])
        for tag in range(5):
            device.say(notice(bytes.fromhex("1000") + bytes([number, tag, 0xBB, 0x7E])))
        desk.serve(lambda desk, wanted=5 * (number + 1): len(desk.of(TagRead)) == wanted)
        device.unplug()
        time.sleep(0.05)
        device.plug()

    assert desk.close() == 0
    expected = [bytes([number, tag, 0xBB, 0x7E]).hex() for number in range(20) for tag in range(5)]
    assert [one.epc for one in desk.of(TagRead)] == expected
    assert desk.states.count("waiting") <= 20
