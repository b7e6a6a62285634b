"""A probe in the fridge: what the kernel's w1_slave file says, and when it is not to be trusted."""

import shutil
from pathlib import Path

import pytest

from drivers.contract import ConfigError, DeviceGone, Garbled, Health, Temperature
from drivers.thermometer_ds18b20 import (
    LINE_BYTES_MAX,
    Ds18b20Config,
    Ds18b20Decoder,
    Ds18b20Driver,
    celsius_of,
    dallas_crc,
    temperature,
)
from tests.drivers.desk import Desk

W1_DEVICES = Path(__file__).parents[2] / "hw_fixtures/temp/w1_devices"
FRIDGE = b"93 01 7f 80 7f ff 0d 10 bd : crc=bd YES\n93 01 7f 80 7f ff 0d 10 bd t=25187\n"
FRIDGE_READING = Temperature(celsius=25.1875, raw_hex="93017f807fff0d10bd")


def w1_slave(scratchpad: str, verdict: str, kernel_t: int) -> bytes:
    crc = scratchpad.split()[-1]
    return f"{scratchpad} : crc={crc} {verdict}\n{scratchpad} t={kernel_t}\n".encode()


@pytest.mark.parametrize(
    ("raw", "celsius"),
    [  # timofurrer/w1thermsensor: tests/unit/test_core.py; the last is the data sheet's table
        ("4001", 20.0),
        ("9101", 25.0625),
        ("f8ff", -0.5),
        ("90fc", -55.0),
        ("d007", 125.0),
    ],
)
def test_two_bytes_are_sixteenths_of_a_degree(raw, celsius):
    assert celsius_of(bytes.fromhex(raw)) == celsius


def test_the_check_value_of_the_dallas_crc():
    assert dallas_crc(b"123456789") == 0xA1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FRIDGE, FRIDGE_READING),  # a real probe
        (  # turmoni/temp-probe-exporter PR 1 (real): below zero the kernel truncates, we do not
            w1_slave("fb ff 4b 46 7f ff 0c 10 06", "YES", -312),
            Temperature(celsius=-0.3125, raw_hex="fbff4b467fff0c1006"),
        ),
        (  # test-suite of pi1wire
            w1_slave("b8 01 4b 46 7f ff 08 10 8a", "YES", 27500),
            Temperature(celsius=27.5, raw_hex="b8014b467fff08108a"),
        ),
        (  # yryz/ds18b20 issue 1 (real bytes)
            w1_slave("16 00 4b 46 7f ff 0a 10 a5", "YES", 1375),
            Temperature(celsius=1.375, raw_hex="16004b467fff0a10a5"),
        ),
        (  # test-suite of pi1wire
            w1_slave("b8 01 4b 46 7f ff 08 10 8a", "NO", 27500),
            Temperature(error="crc", raw_hex="b8014b467fff08108a"),
        ),
        (  # cpetrich/counterfeit_DS18B20: the conversion never ran
            w1_slave("50 05 4b 46 7f ff 0c 10 1c", "YES", 85000),
            Temperature(error="power_on_reset", quality="power_on_default", raw_hex="50054b467fff0c101c"),
        ),
    ],
    ids=["fridge", "below-zero", "warm", "near-zero", "kernel-says-no", "power-on"],
)
def test_a_w1_slave_file(text, expected):
    assert Ds18b20Decoder().feed(text, 0.0) == [expected]


def scratchpad(first_eight: str) -> bytes:
    data = bytes.fromhex(first_eight)
    return data + bytes([dallas_crc(data)])


def test_zeros_pass_the_crc_and_are_still_no_temperature():
    assert temperature(bytes(9)).error == "all_zero"


def test_a_changed_byte_is_seen_although_the_kernel_said_yes():
    assert temperature(bytes.fromhex("93017f807fff0d10be")).error == "crc"


def test_a_real_85_degrees_is_believed():
    assert temperature(scratchpad("50054b467fff1010")).celsius == 85.0


def test_85_degrees_from_a_probe_that_looks_cloned_is_flagged():
    assert temperature(scratchpad("50054b467fff0010")).quality == "maybe_power_on"


def test_a_brown_out_is_no_temperature():
    assert temperature(scratchpad("ff074b467fff0c10")).error == "brown_out"


def test_what_no_probe_can_measure_is_no_temperature():
    assert temperature(scratchpad("10fa4b467fff0c10")).error == "out_of_range"


@pytest.mark.parametrize("step", [1, 7, 41])
def test_however_the_file_is_cut_it_says_the_same(step):
    decoder, text = Ds18b20Decoder(), FRIDGE * 2

    readings = [one for at in range(0, len(text), step) for one in decoder.feed(text[at : at + step], 0.0)]

    assert readings == [FRIDGE_READING, FRIDGE_READING]


def test_a_file_without_its_last_line_end_is_read():
    decoder = Ds18b20Decoder()
    decoder.feed(FRIDGE.rstrip(), 0.0)

    assert decoder.idle(1.0) == [FRIDGE_READING]


def test_a_file_that_broke_off_is_said_and_the_next_one_is_read():
    decoder = Ds18b20Decoder()

    assert decoder.feed(FRIDGE[:40] + FRIDGE, 0.0) == [
        Garbled(
            error="a w1_slave file without its second line",
            raw_hex=FRIDGE[:39].hex(),
        ),
        FRIDGE_READING,
    ]


def test_lines_of_two_different_reads_are_never_put_together():
    torn = FRIDGE[:40] + b"b8 01 4b 46 7f ff 08 10 8a t=27500\n"

    assert [type(one) for one in Ds18b20Decoder().feed(torn, 0.0)] == [Garbled]


def test_noise_takes_no_memory_and_the_next_file_is_read():
    decoder = Ds18b20Decoder()
    for _ in range(1_000):
        decoder.feed(b"\x00" * 1_000, 0.0)

    readings = decoder.feed(b"\n" + FRIDGE, 0.0)

    assert len(readings[0].raw_hex) == 2 * (LINE_BYTES_MAX + 1)
    assert readings[1] == FRIDGE_READING


def test_a_probe_without_a_good_value_for_three_periods_is_stale_and_it_is_said_once():
    decoder = Ds18b20Decoder(period_s=10)
    decoder.feed(FRIDGE, 0.0)
    decoder.feed(FRIDGE.replace(b"YES", b"NO"), 10.0)

    stale = Health(
        status="stale",
        error="no good value for 3 periods: check the probe's wires and 4.7 kΩ resistor",
    )
    assert [decoder.idle(at_s) for at_s in (29.9, 30.0, 40.0)] == [[], [stale], []]


def test_the_folder_of_a_probe_is_read_and_its_disappearance_is_an_unplugged_probe(tmp_path):
    probe = tmp_path / "28-0316a2798bff"
    probe.mkdir()
    (probe / "w1_slave").write_bytes(FRIDGE)
    transport = Ds18b20Driver().open(Ds18b20Config(port=str(probe), period_s=1.0))

    assert Ds18b20Decoder().feed(transport.read(1.0), 0.0) == [FRIDGE_READING]

    (probe / "w1_slave").unlink()
    with pytest.raises(DeviceGone):
        transport.read(2.0)


def test_a_device_without_a_port_names_what_to_write():
    with pytest.raises(ConfigError, match="set it to the probe's folder"):
        Ds18b20Driver().open(Ds18b20Config())


def test_a_probe_whose_wire_is_loose_is_read_again_when_it_is_back(tmp_path):
    probe, away = tmp_path / "28-0316a2798bff", tmp_path / "away"
    shutil.copytree(W1_DEVICES / probe.name, probe)
    desk = Desk(tmp_path, "thermometer_ds18b20", port=str(probe), period_s=1.0)
    for number in range(3):
        desk.serve(lambda desk, wanted=number + 1: len(desk.of(Temperature)) >= wanted)
        probe.rename(away)
        desk.serve(lambda desk: desk.states[-1:] == ["waiting"])
        away.rename(probe)
        desk.serve(lambda desk: desk.states[-1] == "running")

    assert desk.close() == 0
    assert {one.celsius for one in desk.of(Temperature)} == {25.1875}
    assert desk.of(Garbled) == []


def test_a_probe_that_says_nothing_from_the_start_is_said_after_three_periods():
    decoder = Ds18b20Decoder(period_s=10.0)

    assert decoder.idle(100.0) == []
    assert decoder.idle(129.9) == []
    assert [one.status for one in decoder.idle(130.0)] == ["stale"]
    assert decoder.idle(131.0) == []
