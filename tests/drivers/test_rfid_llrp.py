"""An LLRP reader over the goods door: messages, the order of a start, and what a reader may leave out."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from llrpkit.emulator import LLRPEmulator
from llrpkit.emulator.core import EmulatedTag
from llrpkit.protocol import decode_message, messages

from drivers.contract import ConfigError, DeviceGone, Garbled, Health, Presence, TagRead
from drivers.rfid_llrp import (
    LlrpConfig,
    LlrpDecoder,
    LlrpDriver,
    delete_all_rospecs,
    enable_rospec,
    set_keepalive,
)
from tests.drivers.desk import Desk

CONNECTED = "043f000000205ff5d6a300f600160080000c00054f296b53fa4b010000060000"
CLOSED = "043f0000001e0000000500f600140080000c0005ac35bd20d1da01010004"
KEEPALIVE = "043e0000000a00000007"
SET_OK = "040d0000001200000001011f000800000000"
DELETED, ADDED, ENABLED = (f"04{kind}0000001200000001011f000800000000" for kind in ("1f", "1e", "22"))
STARTED = "04200000001200000001011f000800000000"
TWO_READS = [
    "043d000000290000005b00f0001f8d35e0170043babbce0000141d81000186d8820003dc308b3efa9f",
    "043d000000290000005c00f0001f8d35e0170043babbce0000141d81000186d9820003dc308b4e449a",
]


def readings(*chunks: str):
    decoder = LlrpDecoder(LlrpConfig())
    said = [one for chunk in chunks for one in decoder.feed(bytes.fromhex(chunk), 0.0)]
    return said + decoder.idle(1.0)


@pytest.mark.parametrize(
    ("report", "tags"),
    [
        pytest.param(  # edgexfoundry/device-rfid-llrp-go: testdata, ROAccessReport-001 (Impinj)
            "043d000000290000000100f0001f8d3000abcdef0000000000000381000186d0820005a9e4bef862e0",
            [TagRead("3000abcdef00000000000003", antenna=1, rssi_dbm=-48, seen_us=1594174805140192)],
            id="impinj",
        ),
        pytest.param(  # ... 001, 003 and 004 in one report
            "043d000000670000004d00f0001f8d3000abcdef0000000000000381000186d0820005a9e4bef862e0"
            "00f0001f8d301430a55c0ac3000000000981000186ca820005a9e4bef88110"
            "00f0001f8d301430a55c0ac4000000000081000186bc820005a9e4bef88d20",
            [
                TagRead("3000abcdef00000000000003", antenna=1, rssi_dbm=-48, seen_us=1594174805140192),
                TagRead("301430a55c0ac30000000009", antenna=1, rssi_dbm=-54, seen_us=1594174805147920),
                TagRead("301430a55c0ac40000000000", antenna=1, rssi_dbm=-68, seen_us=1594174805151008),
            ],
            id="three-tags",
        ),
        pytest.param(  # sllurp issue 115: a Zebra FX9600 sends neither antenna nor signal strength
            "043d0000002a000001be00f000208de2005037590701270270edaf87001884000591e2f0b6d69a8814fe",
            [TagRead("e2005037590701270270edaf", seen_us=1567778770704026)],
            id="zebra",
        ),
        pytest.param("043d0000000a00000000", [], id="empty"),  # sllurp issue 115
        pytest.param(  # an EPC of 32 bits in its own parameter, PC word 1000, antenna 2
            "043d0000001e0000000100f0001400f1000a0020111001ba8c10008100" + "02",
            [TagRead("111001ba", pc="1000", antenna=2)],
            id="short-epc",
        ),
        pytest.param(  # a vendor's parameter (1023, Impinj 25882) between the others is skipped
            "043d0000002c0000000100f000228d30751feb705c5904e3d50d708100" + "0103ff000e0000651a000000380001",
            [TagRead("30751feb705c5904e3d50d70", antenna=1)],
            id="vendor-parameter",
        ),
    ],
)
def test_a_tag_report(report, tags):
    assert readings(report) == tags


def test_two_reads_of_one_tag_are_two_reads():
    assert [(one.epc, one.rssi_dbm) for one in readings(*TWO_READS)] == [
        ("35e0170043babbce0000141d", -40),  # sllurp: tests/ro_access_report.py
        ("35e0170043babbce0000141d", -39),
    ]


@pytest.mark.parametrize(
    ("message", "statuses"),
    [
        pytest.param(CONNECTED, ["connected"], id="connected"),  # sllurp issue 56
        pytest.param(CLOSED, ["closed"], id="closed"),  # edgexfoundry, ReaderEventNotification-000
        pytest.param(KEEPALIVE, ["keepalive"], id="keepalive"),
        pytest.param(  # sllurp issues 19 and 45
            "04220000001200000000011f000800000000", ["enable_rospec_response"], id="enabled"
        ),
        pytest.param("041f0000001200000000011f000800000000", ["delete_rospec_response"], id="deleted"),
        pytest.param(
            "041e0000001200000000011f000800640000", ["reader_refused"], id="parameter-error"
        ),  # M_ParameterError
    ],
)
def test_what_a_reader_says_about_itself(message, statuses):
    assert [one.status for one in readings(message)] == statuses


def test_a_refusal_names_the_command_and_the_code():
    (refused,) = readings("041e0000001200000000011f000800640000")

    assert refused.error == "ADD_ROSPEC refused: M_ParameterError"


def test_a_reader_lists_its_antennas():
    (config,) = readings(  # edgexfoundry, GetReaderConfigResponse-000, shortened to its first parameters
        "040c0000003c00000000"
        "011f000800000000"
        "00da000f000008001625ffff1125d6"
        "00dd00098000010000"
        "00dd00090000020000"
        "00dd00090000030000"
    )

    assert config == Health(
        status="reader 001625ffff1125d6", quality="antennas connected: 1; not connected: 2, 3"
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (enable_rospec(1), "04180000000e0000000000000001"),  # sllurp issue 19: accepted by a reader
        (delete_all_rospecs(), "04150000000e0000000000000000"),  # sllurp issue 45
        (set_keepalive(10), "0403000000140000000000" + "00dc00090100002710"),
    ],
)
def test_what_a_reader_is_sent(message, expected):
    assert message.to_bytes(message_id=0).hex() == expected


def sent(decoder: LlrpDecoder, now_s: float = 0.0) -> list[str]:
    """The messages that go out now, by name."""
    data, names = decoder.pending_bytes(now_s), []
    while data:
        length = int.from_bytes(data[2:6], "big")
        names.append(type(decode_message(data[:length])).__name__)
        data = data[length:]
    return names


def test_a_start_goes_step_by_step_and_begins_when_the_reader_is_ours():
    decoder, story = LlrpDecoder(LlrpConfig()), []
    for answer in ("", CONNECTED, SET_OK, DELETED, ADDED, ENABLED, STARTED):
        decoder.feed(bytes.fromhex(answer), 0.0)
        story.append(sent(decoder))

    assert story == [
        [],
        ["SET_READER_CONFIG"],
        ["DELETE_ROSPEC"],
        ["ADD_ROSPEC"],
        ["ENABLE_ROSPEC"],
        ["START_ROSPEC"],
        ["GET_READER_CONFIG"],
    ]


def test_a_reader_that_does_not_know_pc_words_is_asked_for_less():
    decoder = LlrpDecoder(LlrpConfig())
    for answer in (CONNECTED, SET_OK, DELETED):
        decoder.feed(bytes.fromhex(answer), 0.0)
    decoder.pending_bytes(0.0)
    decoder.feed(bytes.fromhex(ADDED.replace("0000" + "0000", "0064" + "0000")), 0.0)

    again = decode_message(decoder.pending_bytes(0.0))

    assert isinstance(again, messages.ADD_ROSPEC)
    selector = again.ro_spec.ro_report_spec.tag_report_content_selector
    assert selector.air_protocol_epc_memory_selectors == []


def test_every_keepalive_is_answered_with_its_own_number():
    decoder = LlrpDecoder(LlrpConfig())
    decoder.feed(bytes.fromhex(KEEPALIVE), 0.0)

    assert decoder.pending_bytes(0.0).hex() == "04480000000a00000007"


def test_a_reader_without_three_keepalives_is_gone():
    decoder = LlrpDecoder(LlrpConfig(keepalive_s=10))
    for answer in (CONNECTED, SET_OK, DELETED, ADDED, ENABLED, STARTED, KEEPALIVE):
        decoder.feed(bytes.fromhex(answer), 0.0)
    decoder.feed(bytes.fromhex("040c0000001200000001011f000800000000"), 0.0)
    decoder.pending_bytes(0.0)

    assert decoder.idle(30.0) == []
    assert decoder.idle(30.1) == [Health(status="keepalive_lost", error="no keep-alive for 30 s")]
    with pytest.raises(DeviceGone, match="no keep-alive for 30 s"):
        decoder.pending_bytes(30.2)


def test_a_reader_that_another_program_holds_says_what_to_do():
    decoder = LlrpDecoder(LlrpConfig())

    (busy,) = decoder.feed(bytes.fromhex(CONNECTED[:-4] + "0001"), 0.0)

    assert (busy.status, busy.error) == (
        "reader_busy",
        "another program holds the reader: close it, or wait until the reader lets go",
    )
    with pytest.raises(DeviceGone, match="another program holds the reader"):
        decoder.pending_bytes(0.0)


def test_something_that_listens_but_is_no_reader_is_given_up():
    decoder = LlrpDecoder(LlrpConfig())
    decoder.pending_bytes(0.0)

    with pytest.raises(DeviceGone, match="does not answer with READER_EVENT_NOTIFICATION"):
        decoder.pending_bytes(5.1)


def test_bytes_that_are_not_llrp_are_noise_and_the_next_message_is_read():
    found = readings("deadbeef04ff", TWO_READS[0])

    assert [type(one) for one in found] == [Garbled, TagRead]


def test_a_length_that_lies_does_not_stop_the_reading():
    found = readings("043d0003000000000000", TWO_READS[0])

    assert [type(one) for one in found] == [Garbled, TagRead]


def test_a_message_cut_byte_by_byte_is_the_same_message():
    stream = CONNECTED + TWO_READS[0] + KEEPALIVE

    assert readings(stream) == readings(*(stream[at : at + 2] for at in range(0, len(stream), 2)))


def test_a_reader_without_a_name_is_a_mistake_in_the_settings():
    with pytest.raises(ConfigError, match="host is empty; set it to the reader's name"):
        LlrpDriver().open(LlrpConfig())


# --- against llrpkit's reader emulator, through the real host ---

TAGS = [
    EmulatedTag(bytes.fromhex("30751feb705c5904e3d50d70"), antennas=(1,)),
    EmulatedTag(bytes.fromhex("e200001d7315016521408fc6"), antennas=(2,)),
]


class DoorReader:
    """llrpkit's emulator in a thread; can be switched off and on at one port."""

    def __init__(self, tags: list[EmulatedTag] = TAGS) -> None:
        self._tags = tags
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.port = 0
        self.on()

    def on(self) -> None:
        self._emulator = LLRPEmulator(port=self.port, tags=self._tags, reads_per_sec=200)
        self._do(self._emulator.start())
        self.port = self._emulator.port

    def off(self) -> None:
        self._do(self._emulator.stop())

    def _do(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


@pytest.fixture
def reader() -> Iterator[DoorReader]:
    reader = DoorReader()
    yield reader
    reader.off()


def test_a_reader_switched_off_twenty_times_reads_on_each_time(reader, tmp_path):
    desk = Desk(tmp_path, "rfid_llrp", host="127.0.0.1", port=reader.port, keepalive_s=1)
    for _ in range(20):
        before = len(desk.of(TagRead))
        desk.serve(lambda desk, before=before: len(desk.of(TagRead)) >= before + 10)
        reader.off()
        reader.on()

    assert desk.close() == 0
    assert {one.epc for one in desk.of(TagRead)} == {
        "30751feb705c5904e3d50d70",
        "e200001d7315016521408fc6",
    }
    assert [one.status for one in desk.of(Health)].count("connected") >= 20
    assert desk.of(Garbled) == []


def test_two_crates_at_the_door_arrive_once_although_the_reader_restarts(reader, tmp_path):
    desk = Desk(
        tmp_path,
        "rfid_llrp",
        host="127.0.0.1",
        port=reader.port,
        keepalive_s=1,
        presence=True,
        depart_after_s=2,
    )
    desk.serve(lambda desk: len(desk.of(Presence)) == 2)
    reader.off()
    reader.on()
    desk.serve(lambda desk: [one.status for one in desk.of(Health)].count("connected") == 2)
    longer_than_departure_s = time.monotonic() + 3.5
    desk.serve(lambda desk: time.monotonic() > longer_than_departure_s)

    assert desk.close() == 0
    assert sorted((one.status, one.epc, one.antenna) for one in desk.of(Presence)) == [
        ("arrived", "30751feb705c5904e3d50d70", 1),
        ("arrived", "e200001d7315016521408fc6", 2),
    ]


class MuteReader:
    """Starts like a reader, then says nothing more: a frozen one. Counts who came."""

    def __init__(self) -> None:
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self._open = []
        while True:
            near, _ = self._listener.accept()
            self.visits += 1
            self._open.append(near)
            config = "040c0000001200000001011f000800000000"
            near.sendall(bytes.fromhex(CONNECTED))
            for answer in (SET_OK, DELETED, ADDED, ENABLED, STARTED, config, TWO_READS[0]):
                if answer != TWO_READS[0]:
                    near.recv(4096)
                near.sendall(bytes.fromhex(answer))


def test_a_reader_that_freezes_is_left_and_asked_anew(tmp_path):
    reader = MuteReader()
    desk = Desk(tmp_path, "rfid_llrp", host="127.0.0.1", port=reader.port, keepalive_s=1)

    desk.serve(lambda desk: len(desk.of(TagRead)) == 2)

    assert desk.close() == 0
    assert reader.visits == 2
    assert [one.status for one in desk.of(Health)].count("keepalive_lost") == 1
    assert "no keep-alive for 3 s" in desk.texts


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, by openssl."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    made, key = folder / "reader.pem", folder / "reader.key"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=reader"
        f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {made}".split(),
        check=True,
        capture_output=True,
    )
    return made, key


class TlsFront:
    """A TLS end in front of a plain reader."""

    def __init__(self, folder: Path, reader_port: int) -> None:
        self.certificate, key = certificate(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._reader_port = reader_port
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        server = asyncio.run_coroutine_threadsafe(start, self._loop).result(5)
        self.port: int = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._reader_port)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            sink.write(data)
            await sink.drain()
        sink.close()


def test_a_reader_is_read_through_tls(reader, tmp_path):
    front = TlsFront(tmp_path, reader.port)
    desk = Desk(
        tmp_path, "rfid_llrp", host="127.0.0.1", port=front.port, tls=True, ca_file=str(front.certificate)
    )

    desk.serve(lambda desk: len(desk.of(TagRead)) >= 10)

    assert desk.close() == 0


def test_a_reader_whose_certificate_nobody_vouches_for_is_refused_and_tried_again(reader, tmp_path):
    front = TlsFront(tmp_path, reader.port)

    with pytest.raises(
        DeviceGone, match=r"its certificate is not trusted \(self-signed certificate\); set ca_file"
    ):
        LlrpDriver().open(LlrpConfig(host="127.0.0.1", port=front.port, tls=True))


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"not a certificate", "no certificate in it")]
)
def test_a_ca_file_that_is_none_is_a_mistake_in_the_settings(content, why, tmp_path):
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)

    with pytest.raises(ConfigError, match=f'ca.pem": {why}; set it to a PEM file of who signed'):
        LlrpDriver().open(LlrpConfig(host="127.0.0.1", port=1, tls=True, ca_file=str(ca_file)))


def test_a_host_that_is_no_name_is_a_mistake_in_the_settings():
    with pytest.raises(ConfigError, match=r'"reader\.\.local" is no name of a machine'):
        LlrpDriver().open(LlrpConfig(host="reader..local"))
