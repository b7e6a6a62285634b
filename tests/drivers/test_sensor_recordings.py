"""Recordings of RFID readers, thermometers and load cells; and whatever else may come over their wires."""

import os
import random
from pathlib import Path

import pytest

from drivers.contract import AnyReading
from drivers.loading import load
from gateway.options import configured
from tests.drivers.recordings import about, plain, readings, recordings
from tests.drivers.test_any_bytes import PENDING_BYTES_MAX, Whole, cut, fed, inputs, kept_bytes

RECORDINGS = recordings("rfid", "temp", "climate", "weight")
INPUTS_EACH, SOAK_INPUTS_EACH = 1_000, 100_000
JAM = "30751feb705c5904e3d50d70"
W1 = b"93 01 7f 80 7f ff 0d 10 bd : crc=bd YES\n93 01 7f 80 7f ff 0d 10 bd t=25187\n"
GOOD = {
    "rfid_llrp": Whole(
        {},
        bytes.fromhex("043d000000290000000100f0001f8d3000abcdef0000000000000381000186d0820005a9e4bef862e0"),
        {"type": "tag", "epc": "3000abcdef00000000000003", "antenna": 1, "rssi_dbm": -48},
    ),
    "rfid_r200": Whole(
        {}, bytes.fromhex("BB02220011C9340030751FEB705C5904E3D50D703A76EF7E"), {"type": "tag", "epc": JAM}
    ),
    "rfid_uhfreader": Whole(
        {}, bytes.fromhex("0d000103010104111001ba465d27"), {"type": "tag", "epc": "111001ba"}
    ),
    "rfid_mercury": Whole(
        {},
        bytes.fromhex(
            "FF2822000010001B01FF0101C4110E16400000012700000500000F00803000000000000000000000001545E94A561D"
        ),
        {"type": "tag", "epc": "000000000000000000001545"},
    ),
    "thermometer_ds18b20": Whole({}, W1, {"type": "temperature", "celsius": 25.1875}),
    "thermometer_modbus": Whole(
        {}, bytes.fromhex("01040401330231cac3"), {"type": "humidity", "humidity": 56.1}
    ),
    "thermometer_sht3x": Whole(
        {}, bytes.fromhex("6666938000a2"), {"type": "humidity", "humidity": 50.000763}
    ),
    "scale_nau7802": Whole({"counts_per_gram": 1}, b"\x00\x00\xfa" * 40, {"value": "250", "stable": True}),
    "scale_hx711_line": Whole({"counts_per_gram": 1}, b"250\n" * 40, {"value": "250", "stable": True}),
}
SESSIONS = {
    "llrp_a_session",
    "r200_a_session",
    "uhfreader_a_session",
    "mercury_a_session",
    "ds18b20_a_day",
    "modbus_a_session",
    "sht3x_a_session",
    "zigbee2mqtt_a_night",
    "nau7802_a_weighing",
    "hx711_line_a_weighing",
    "hx711_line_drift_and_spikes",
}


def named(recording: Path) -> str:
    return f"{recording.parent.name}/{recording.stem}"


@pytest.mark.parametrize("recording", RECORDINGS, ids=named)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096], ids=lambda size: f"{size}-byte-chunks")
def test_a_recording_decodes_to_its_expected_readings(recording: Path, chunk_bytes: int) -> None:
    assert readings(recording, chunk_bytes) == about(recording)["readings"]


@pytest.mark.parametrize("recording", RECORDINGS, ids=named)
def test_a_recording_says_where_it_comes_from(recording: Path) -> None:
    facts = about(recording)

    assert facts["source"] and facts["recorded"]


def test_each_device_is_recorded_from_its_start_to_its_unplugging() -> None:
    assert {recording.stem for recording in RECORDINGS} >= SESSIONS


def is_among(told: list[AnyReading], whole: Whole) -> bool:
    return any(whole.reading.items() <= plain(one).items() for one in told)


def try_inputs(name: str, count: int, seed: int) -> None:
    driver, whole = load(name), GOOD[name]
    config = configured(driver, whole.settings)
    for rng, data in inputs(name, count, seed):
        decoder = driver.decoder(config)  # type: ignore[union-attr]
        told = fed(decoder, [data])
        assert fed(driver.decoder(config), cut(data, rng)) == told, data.hex()  # type: ignore[union-attr]
        assert kept_bytes(decoder) < PENDING_BYTES_MAX
        line_end = [b"\n"] if name in ("scale_hx711_line", "thermometer_ds18b20") else []
        after = fed(decoder, [*line_end, whole.frame])
        assert is_among(after, whole), data.hex()


@pytest.mark.parametrize("name", sorted(GOOD))
def test_any_bytes_in_any_cutting_give_the_same_readings_and_the_next_frame_is_read(name: str) -> None:
    try_inputs(name, INPUTS_EACH, seed=3)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_hundred_thousand_inputs_each(name: str) -> None:
    if not os.environ.get("SOAK"):
        pytest.skip("SOAK=1 is not set")
    try_inputs(name, SOAK_INPUTS_EACH, seed=int(os.environ.get("SEED", "4")))


@pytest.mark.parametrize("name", sorted(GOOD))
def test_after_a_megabyte_of_noise_little_is_kept_and_the_next_frame_is_read(name: str) -> None:
    driver, whole = load(name), GOOD[name]
    decoder = driver.decoder(configured(driver, whole.settings))  # type: ignore[union-attr]
    noise = random.Random(7).randbytes(1 << 20)
    if name == "scale_nau7802":
        noise = noise[: len(noise) // 3 * 3]

    for at in range(0, len(noise), 4096):
        decoder.feed(noise[at : at + 4096], 0.0)
    kept = kept_bytes(decoder)
    fed(decoder, [b"\n"] if name in ("scale_hx711_line", "thermometer_ds18b20") else [])
    after = fed(decoder, [whole.frame])

    assert kept < PENDING_BYTES_MAX
    assert is_among(after, whole)
