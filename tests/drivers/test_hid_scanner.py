"""Keyboard scanners: what is a scan, what is not, and what it costs."""

import os
import random
import re
import struct
import time
import timeit
import tty

import pytest

from drivers.contract import AnyReading, Garbled, Health, Scan
from drivers.guard import SCANS_MAX
from drivers.hid_scanner import HidScannerConfig, HidScannerDecoder
from drivers.host import LONG_AGO_S
from drivers.transports import EvdevTransport
from tests.drivers.recordings import FIXTURES

RECORD = struct.Struct("<qqHHi")
KEYS = {str(digit): (digit + 9) % 10 + 2 for digit in range(10)} | {"-": 12, "a": 30, "b": 48, "\n": 28}
SHIFT, CTRL, ALT, META, J, ENTER = 42, 29, 56, 125, 36, 28


def typed(text: str, at_us: int = 0, key_us: int = 1_000) -> tuple[bytes, int]:
    """The records of a scanner that types `text`, one key every `key_us`, and when it was done."""
    records = bytearray()
    for char in text:
        for value in (1, 0):
            at_us += key_us // 2
            records += RECORD.pack(at_us // 10**6, at_us % 10**6, 1, KEYS[char], value)
            records += RECORD.pack(at_us // 10**6, at_us % 10**6, 0, 0, 0)
    return bytes(records), at_us


def pressed(*events: tuple[int, int]) -> bytes:
    return b"".join(RECORD.pack(0, 0, 1, code, value) for code, value in events)


def decoder(**settings: object) -> HidScannerDecoder:
    return HidScannerDecoder(HidScannerConfig(**settings))  # type: ignore[arg-type]


def test_a_chord_after_the_end_starts_no_scan() -> None:
    after = pressed((CTRL, 1), (SHIFT, 1), (J, 1), (J, 0), (SHIFT, 0), (CTRL, 0))

    assert decoder().feed(typed("96385074\n")[0] + after + typed("5901234123457\n")[0], 0.0) == [
        Scan("96385074"),
        Scan("5901234123457"),
    ]


def test_shift_held_when_the_kernel_lost_keys_does_not_spoil_the_next_scan() -> None:
    scanner = decoder()
    scanner.feed(pressed((SHIFT, 1), (KEYS["a"], 1)), 0.0)
    scanner.feed(RECORD.pack(0, 0, 0, 3, 0) + RECORD.pack(0, 0, 0, 0, 0) + typed("\n")[0], 0.0)

    assert scanner.feed(typed("a1\n")[0], 0.0) == [Scan("a1")]


def test_two_scanners_are_two_decoders_that_share_nothing() -> None:
    left, right = decoder(), decoder()
    left.feed(pressed((SHIFT, 1)), 0.0)

    assert right.feed(typed("a\n")[0], 0.0) == [Scan("a")]


def test_silence_after_a_scanner_was_seen_to_end_with_enter_is_a_cut() -> None:
    scanner = decoder()
    scanner.feed(typed("96385074\n")[0], 0.0)
    scanner.feed(typed("96385")[0], 1.0)

    assert scanner.idle(2.0) == [Garbled(error="half a code: no end came", raw_hex=b"96385".hex())]


def test_silence_before_the_suffix_that_the_scanner_adds_is_a_cut() -> None:
    scanner = decoder(suffix="ab")
    scanner.feed(typed("96385074a")[0], 0.0)

    assert [type(one) for one in scanner.idle(1.0)] == [Garbled]


@pytest.mark.parametrize("terminator", ["auto", "none"])
def test_the_half_of_a_code_that_an_unplugged_scanner_leaves_is_no_shorter_code(terminator: str) -> None:
    scanner = decoder(terminator=terminator)
    scanner.feed(typed("96385074")[0], 10.0)  # of 9638507401234; the kernel lets go of the keys
    unplugged_s = 10.02

    (left,) = scanner.idle(unplugged_s + LONG_AGO_S)
    assert left == Garbled(error="half a code: no end came", raw_hex=b"96385074".hex())


def test_silence_shorter_than_the_setting_ends_nothing() -> None:
    scanner = decoder(terminator="none", idle_ms=150)
    scanner.feed(typed("96385074")[0], 0.0)

    assert scanner.idle(0.14) == []
    assert scanner.idle(0.15) == [Scan("96385074")]


def test_enter_does_not_end_the_code_of_a_scanner_that_ends_with_tab_twice() -> None:
    tab = pressed((15, 1), (15, 0))

    assert decoder(terminator="tab").feed(typed("96385074")[0] + tab + typed("12")[0] + tab, 0.0) == [
        Scan("96385074"),
        Scan("12"),
    ]


def test_prefix_and_suffix_are_taken_off() -> None:
    assert decoder(prefix="a", suffix="b").feed(typed("a96385074b\n")[0], 0.0) == [Scan("96385074")]


def test_a_code_of_more_than_256_characters_is_no_code_and_the_next_one_is_read() -> None:
    scanner = decoder()
    (too_long,) = scanner.feed(typed("1" * 1000 + "\n")[0], 0.0)

    assert isinstance(too_long, Garbled)
    assert scanner.feed(typed("96385074\n")[0], 0.0) == [Scan("96385074")]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (((META, 1), (19, 1)), "key 125"),
        (((CTRL, 1), (ALT, 1), (20, 1)), r"Ctrl\+Alt\+key 20"),
        (((ALT, 1), (60, 1)), r"Alt\+key 60"),
    ],
    ids=["Windows key", "Ctrl+Alt+T", "Alt+F2"],
)
def test_what_opens_menus_and_consoles_is_reported(keys: tuple[tuple[int, int], ...], why: str) -> None:
    alarms = [one for one in decoder(layout="pl").feed(pressed(*keys), 0.0) if isinstance(one, Health)]

    assert [alarm.status for alarm in alarms] == ["blocked_suspect"]
    assert re.match(why, alarms[0].error or "")


def test_an_attack_is_reported_once_and_another_one_later_again_also_where_the_kernel_tells_no_time() -> None:
    scanner = decoder()
    attack = pressed((META, 1), (19, 1), (19, 0), (META, 0))

    reports = [
        [one.status for one in scanner.feed(attack, now_s) if isinstance(one, Health)]
        for now_s in (100.0, 105.0, 111.0)
    ]

    assert reports == [["blocked_suspect"], [], ["blocked_suspect"]]


def test_a_flood_is_reported_once() -> None:
    scanner, at_us, readings = decoder(), 1_000_000, list[AnyReading]()
    for _ in range(3 * SCANS_MAX):
        records, at_us = typed("12345678\n", at_us, key_us=1_000)
        readings += scanner.feed(records, 0.0)

    assert [one.status for one in readings if isinstance(one, Health)] == ["blocked_suspect"]


def a_million_human_scans(count: int) -> int:
    """Scans as people make them, two a second at most, typed at every speed that scanners have."""
    rng = random.Random(20261124)
    scanner, at_us, alarms = decoder(), 1_700_000_000_000_000, 0
    codes = [f"{rng.randrange(10**13):013d}\n" for _ in range(50)]
    shapes = {key_us: [typed(code, 0, key_us)[0] for code in codes] for key_us in (1_000, 4_000, 16_000)}
    for _ in range(count):
        at_us += rng.randint(450_000, 4_000_000)
        key_us = rng.choice((1_000, 4_000, 16_000))
        records = rng.choice(shapes[key_us])
        # the guard looks at the time of the key that ends a code: only that one has to be true
        end = RECORD.pack(at_us // 10**6, at_us % 10**6, 1, ENTER, 1)
        readings = scanner.feed(records[: -4 * RECORD.size] + end, at_us / 1e6)
        alarms += sum(isinstance(one, Health) for one in readings)
        assert len(readings) == 1
    return alarms


def test_nobody_who_scans_by_hand_is_ever_blocked() -> None:
    assert a_million_human_scans(20_000) == 0


@pytest.mark.soak
def test_nobody_is_blocked_in_a_million_scans() -> None:
    assert a_million_human_scans(1_000_000) == 0


def test_a_scan_costs_at_most_four_times_the_unpacking_of_its_records(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = (FIXTURES / "barcode" / "evdev_ean13_enter.bytes").read_bytes()
    scanner, native = decoder(), struct.Struct("llHHi")
    assert len(records) == 84 * native.size

    def unpack() -> None:
        for _ in native.iter_unpack(records):
            pass

    ratios = []
    for _ in range(7):
        floor_s = min(timeit.repeat(unpack, number=300, repeat=3))
        ours_s = min(timeit.repeat(lambda: scanner.feed(records, 0.0), number=300, repeat=3))
        ratios.append(ours_s / floor_s)
    with capsys.disabled():
        print(f"\na wedge scan: {sorted(ratios)[3]:.2f} x struct.iter_unpack over the same 84 records")

    assert sorted(ratios)[3] <= 4.0


def test_a_driver_that_starts_in_the_middle_of_a_code_says_that_keys_were_lost_and_reads_the_next_one() -> (
    None
):
    keyboard, far = os.openpty()
    tty.setraw(far)
    line = EvdevTransport(os.ttyname(far), grab=False)
    now_us = int(time.time() * 1e6)
    scanner = decoder()

    rest_of_a_code = typed("96385074\n", at_us=now_us)[0]  # by itself an EAN-8 with the right check digit
    os.write(keyboard, rest_of_a_code)
    readings = scanner.feed(line.read(60.0), 1.0)
    os.write(keyboard, typed("5901234123457\n", at_us=now_us + 50_000)[0])
    readings += scanner.feed(line.read(60.0), 1.1)
    line.close()
    os.close(far)
    os.close(keyboard)

    lost = Garbled("keys were lost in the middle of a code: nobody read them in time")
    assert readings == [lost, Scan("5901234123457")]


def test_the_first_code_counts_when_it_began_after_the_driver_had_listened() -> None:
    keyboard, far = os.openpty()
    tty.setraw(far)
    line = EvdevTransport(os.ttyname(far), grab=False)
    a_second_later_us = int(time.time() * 1e6) + 1_000_000
    os.write(keyboard, typed("5901234123457\n", at_us=a_second_later_us)[0])

    readings = decoder().feed(line.read(60.0), 1.0)
    line.close()
    os.close(far)
    os.close(keyboard)

    assert readings == [Scan("5901234123457")]
