"""Whatever a device sends: no decoder fails, grows, or reads the same bytes differently when cut elsewhere.

`make test` tries 20,000 inputs over all decoders, `make soak` two million. An input is made of noise, of
pieces of what the device really sends, and of those pieces with bytes flipped, dropped and doubled.
"""

import itertools
import os
import random
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import AnyReading, Decoder, EventDriver
from drivers.loading import available, load
from gateway.options import configured
from tests.drivers.recordings import about, plain, recordings

INPUTS, SOAK_INPUTS = 20_000, 2_000_000
PENDING_BYTES_MAX = 16_384  # of everything that a decoder may keep
SCAN = {"type": "scan", "data": "5901234123457"}


def keys(codes: list[int], value: int | None = None) -> bytes:
    """Input records of keys pressed and released one after the other (or all only released)."""
    from struct import pack

    events = [(code, state) for code in codes for state in ((1, 0) if value is None else (value,))]
    return b"".join(pack("<qqHHi", 0, 0, 1, *event) + pack("<qqHHi", 0, 0, 0, 0, 0) for event in events)


class Whole(NamedTuple):
    """A driver's own good frame, and what it must read as after any noise."""

    settings: dict[str, Any]
    frame: bytes
    reading: dict[str, Any]


DIGITS = [6, 10, 11, 2, 3, 4, 5, 2, 3, 4, 5, 6, 8]
RELEASED = keys([29, 42, 54, 56, 97, 100], value=0)
GOOD = {
    "serial_scanner": Whole({}, b"5901234123457\r", SCAN),
    "hid_scanner": Whole({}, RELEASED + keys([*DIGITS, 28]), SCAN),
    "hid_pos": Whole({}, b"\x02\x0d]E05901234123457".ljust(64, b"\0"), SCAN | {"aim": "]E0"}),
    "scale_toledo8217": Whole({}, b"\x0201.250\r", {"value": "1.250", "stable": True}),
    "scale_mtsics": Whole({}, b"S S     100.00 g\r\n", {"value": "100.00", "unit": "g", "stable": True}),
    "scale_header_line": Whole({}, b"ST,GS,+0001260kg\r\n", {"value": "1260", "unit": "kg", "stable": True}),
    "scale_nci": Whole({}, b"\n01.250LB\r\nS00\r\x03", {"value": "1.250", "unit": "lb", "stable": True}),
    "scale_cas": Whole({}, b"\x01\x02S   1.250kgW\x03\x04", {"value": "1.250", "unit": "kg", "stable": True}),
    "scale_toledo_continuous": Whole(
        {"checksum": "yes"},
        bytes.fromhex("022d30203030313235303030303030300d2c"),
        {"value": "1.250", "unit": "kg", "stable": True},
    ),
    "scale_hid": Whole({}, bytes.fromhex("03040bff6f04"), {"value": "113.5", "unit": "oz", "stable": True}),
}
DECODERS = [one.name for one in available() if hasattr(load(one.name), "decoder")]


def pieces_of(name: str) -> list[bytes]:
    """What this device really sends, whole and in parts."""
    whole = [path.read_bytes() for path in recordings() if about(path).get("driver") == name]
    parts = [
        data[at : at + size] for data in whole for size in (5, 24, 64) for at in range(0, len(data), 3 * size)
    ]
    return [b"\r\n", b"\x02", *whole, *parts]


def inputs(name: str, count: int, seed: int) -> Iterator[tuple[random.Random, bytes]]:
    rng = random.Random(f"{name} {seed}")
    pieces = pieces_of(name)
    for _ in range(count):
        data = bytearray()
        for _ in range(rng.randint(1, 4)):
            data += rng.randbytes(rng.randint(0, 30)) if rng.random() < 0.4 else rng.choice(pieces)[:600]
        for _ in range(rng.randint(0, 3)):
            at = rng.randrange(len(data) + 1)
            byte = bytes(data[at : at + 1])
            flipped = bytes(value ^ 1 << rng.randint(0, 7) for value in byte)
            data[at : at + 1] = rng.choice((flipped, b"", byte * 2))
        yield rng, bytes(data)


def cut(data: bytes, rng: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = rng.choice((1, 1, 2, 3, 7, 24, 100))
        yield data[at : at + size]
        at += size


def fed(decoder: Decoder, chunks: Iterator[bytes] | list[bytes]) -> list[AnyReading]:
    readings = [reading for chunk in chunks for reading in decoder.feed(chunk, 0.0)]
    return readings + decoder.idle(5.0)


def kept_bytes(value: Any, depth: int = 0) -> int:
    """How much text and how many items an object holds on to."""
    if isinstance(value, bytes | bytearray | str):
        return len(value)
    if isinstance(value, list | tuple | set | frozenset) or type(value).__name__ == "deque":
        return sum(8 + kept_bytes(one, depth + 1) for one in value) if depth < 5 else 0
    if hasattr(value, "__dict__") and type(value).__module__.startswith("drivers") and depth < 5:
        return sum(kept_bytes(one, depth + 1) for one in vars(value).values())
    return 0


def try_inputs(name: str, count: int, seed: int = 1) -> None:
    driver = load(name)
    whole = GOOD.get(name, Whole({}, b"", {}))
    config = configured(driver, whole.settings)
    for rng, data in inputs(name, count, seed):
        if isinstance(driver, EventDriver):
            fed(driver.decoder(config), [line for line in data.splitlines() if line])  # type: ignore[attr-defined]
            continue
        decoder = driver.decoder(config)
        readings = fed(decoder, [data])
        assert kept_bytes(decoder) < PENDING_BYTES_MAX
        if name not in GOOD:
            continue
        assert fed(driver.decoder(config), cut(data, rng)) == readings, data.hex()
        step = getattr(config, "report_bytes", 0) or (24 if name == "hid_scanner" else 1)
        fed(decoder, [b"\0" * (-len(data) % step)])
        after = fed(decoder, [whole.frame])
        assert whole.reading.items() <= plain(after[-1]).items(), data.hex()


@pytest.mark.parametrize("name", DECODERS)
def test_any_bytes_in_any_cutting_give_the_same_readings_and_the_next_frame_is_read(name: str) -> None:
    try_inputs(name, INPUTS // len(DECODERS) + 1)


@pytest.mark.parametrize("name", sorted(GOOD))
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_where_the_bytes_are_cut_changes_nothing(name: str, data: bytes, cuts: list[int]) -> None:
    driver = load(name)
    config = configured(driver, GOOD[name].settings)
    sizes, chunks = itertools.cycle(cuts), list[bytes]()
    while rest := data[sum(map(len, chunks)) :]:
        chunks.append(rest[: next(sizes)])

    assert fed(driver.decoder(config), chunks) == fed(driver.decoder(config), [data])  # type: ignore[union-attr]


@pytest.mark.soak
@pytest.mark.parametrize("name", DECODERS)
def test_two_million_inputs(name: str) -> None:
    if not os.environ.get("SOAK"):
        pytest.skip("SOAK=1 is not set")
    try_inputs(name, SOAK_INPUTS // len(DECODERS) + 1, seed=int(os.environ.get("SEED", "2")))
    print(f"{name}: {SOAK_INPUTS // len(DECODERS) + 1} inputs", file=sys.stderr)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_megabyte_of_noise_leaves_nothing_behind(name: str) -> None:
    driver = load(name)
    decoder = driver.decoder(configured(driver, GOOD[name].settings))  # type: ignore[union-attr]
    noise = random.Random(7).randbytes(1 << 20)

    for at in range(0, len(noise), 4096):
        decoder.feed(noise[at : at + 4096], 0.0)

    assert kept_bytes(decoder) < PENDING_BYTES_MAX


def test_every_byte_driver_of_this_half_has_a_good_frame_here() -> None:
    mine = {name for name in DECODERS if name.startswith(("scale_", "hid_", "serial_"))}

    assert mine - set(GOOD) <= {"scale_nau7802", "scale_hx711_line"}  # load cells: tests of their own
