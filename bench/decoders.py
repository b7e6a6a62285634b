"""CPU time per reading of the decoders: python -m bench.decoders. Processor time of this process, best of five.

A recording of hw_fixtures is fed over and over, as the host does: one chunk a read. A wedge scan stands beside
the least that any program must do with the same records, `struct.iter_unpack`.
"""

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from drivers.contract import TagRead
from drivers.loading import load
from drivers.presence import Zones, ZonesConfig
from drivers.steady import Steady

FIXTURES = Path(__file__).parents[1] / "hw_fixtures"
ROUNDS, RUNS = 2_000, 5
INPUT_EVENT = struct.Struct("<qqHHi")


class Row(NamedTuple):
    what: str
    micros: float
    note: str = ""


def micros(run: Callable[[], Any], readings_a_run: int = 1, rounds: int = ROUNDS) -> float:
    """Processor microseconds a reading, the best of some runs."""
    best_s = min(_spent_s(run, rounds) for _ in range(RUNS))
    return best_s / rounds / readings_a_run * 1e6


def decoding(driver: str, recording: str) -> float:
    """Of one reading of this recording."""
    chosen: Any = load(driver)
    data = (FIXTURES / f"{recording}.bytes").read_bytes()
    decoder = chosen.decoder(chosen.Config())
    readings = len(decoder.feed(data, 0.0))
    return micros(lambda: decoder.feed(data, 0.0), readings)


def rows() -> list[Row]:
    scan = (FIXTURES / "barcode/evdev_ean13_enter.bytes").read_bytes()
    floor = micros(lambda: list(INPUT_EVENT.iter_unpack(scan)))
    wedge = decoding("hid_scanner", "barcode/evdev_ean13_enter")
    zones, config, tag = (
        Zones(),
        ZonesConfig(presence=True),
        TagRead("30751feb705c5904e3d50d70", rssi_dbm=-55),
    )
    steady, fridge = Steady(), load_fridge()
    return [
        Row("wedge scan (hid_scanner)", wedge, f"{wedge / floor:.1f} x iter_unpack of its records"),
        Row("tag read, LLRP", decoding("rfid_llrp", "rfid/llrp_roar_3_tags")),
        Row("tag read, R200", decoding("rfid_r200", "rfid/r200_tag_1")),
        Row("tag read, UHFReader", decoding("rfid_uhfreader", "rfid/uhf_inv_1")),
        Row("tag read, Mercury", decoding("rfid_mercury", "rfid/m6e_tag_record")),
        Row("presence, a tag that stays", micros(lambda: zones.read(tag, 0.0, config))),
        Row("steady, a value that stays", micros(lambda: steady.passes(fridge, 0.0))),
        Row("load cell conversion", micros(_shelf(), 30), "NAU7802, most of them not reported"),
        Row("1-wire file", decoding("thermometer_ds18b20", "temp/w1_25187")),
        Row("Modbus reply", decoding("thermometer_modbus", "temp/md02_response") * 2, "two readings"),
        Row("MQTT message", _message(), "Zigbee2MQTT, two readings"),
    ]


def load_fridge() -> Any:
    from drivers.contract import Temperature

    return Temperature(celsius=4.5, sensor="fridge", raw_hex="00")


def _shelf() -> Callable[[], Any]:
    chosen: Any = load("scale_nau7802")
    decoder = chosen.decoder(chosen.Config(counts_per_gram=100))
    conversions = b"\x00\x61\xa8" * 30
    return lambda: decoder.feed(conversions, 0.0)


def _message() -> float:
    chosen: Any = load("sensor_mqtt")
    decoder = chosen.decoder(chosen.Config())
    line = (FIXTURES / "climate/mqtt_z2m.bytes").read_bytes().strip()
    return micros(lambda: decoder.feed(line, 0.0))


def _spent_s(run: Callable[[], Any], rounds: int) -> float:
    started_s = time.process_time()
    for _ in range(rounds):
        run()
    return time.process_time() - started_s


if __name__ == "__main__":
    for row in rows():
        print(f"{row.what:<28} {row.micros:8.2f} µs   {row.note}".rstrip())
