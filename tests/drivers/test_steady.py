"""What a device repeats is said once, and once a minute."""

from decimal import Decimal

from drivers.contract import AnyReading, Garbled, Health, Humidity, Scan, TagRead, Temperature, Weight
from drivers.steady import SOURCES_MAX, Steady


def passed(*readings: tuple[float, AnyReading]) -> list[float]:
    steady = Steady()
    return [at_s for at_s, reading in readings if steady.passes(reading, at_s)]


def test_a_fridge_that_stays_at_four_degrees_is_reported_once_a_minute():
    every_ten_seconds = [(float(at_s), Temperature(celsius=4.0)) for at_s in range(0, 130, 10)]

    assert passed(*every_ten_seconds) == [0.0, 60.0, 120.0]


def test_a_change_is_reported_at_once_and_so_is_the_way_back():
    assert passed(
        (0.0, Temperature(celsius=4.0)),
        (1.0, Temperature(celsius=4.0625)),
        (2.0, Temperature(celsius=4.0625)),
        (3.0, Temperature(celsius=4.0)),
    ) == [0.0, 1.0, 3.0]


def test_two_probes_and_their_humidity_do_not_hide_each_other():
    assert passed(
        (0.0, Temperature(celsius=4.0, sensor="fridge")),
        (0.1, Temperature(celsius=4.0, sensor="freezer")),
        (0.2, Humidity(humidity=4.0, sensor="fridge")),
        (0.3, Temperature(celsius=4.0, sensor="fridge")),
    ) == [0.0, 0.1, 0.2]


def test_a_weight_that_becomes_stable_is_news_although_the_grams_are_the_same():
    assert passed(
        (0.0, Weight(value=Decimal("1.250"), unit="kg", stable=False)),
        (0.1, Weight(value=Decimal("1.250"), unit="kg", stable=True)),
        (0.2, Weight(value=Decimal("1.250"), unit="kg", stable=True)),
    ) == [0.0, 0.1]


def test_the_same_weight_in_other_raw_bytes_is_no_news():
    assert passed(
        (0.0, Weight(value=Decimal("1.250"), unit="kg", stable=True, raw_hex="01")),
        (0.1, Weight(value=Decimal("1.250"), unit="kg", stable=True, raw_hex="02")),
    ) == [0.0]


def test_keep_alives_are_said_once_a_minute_without_hiding_other_health():
    assert passed(
        (0.0, Health(status="keepalive")),
        (10.0, Health(status="keepalive")),
        (11.0, Health(status="hot")),
        (12.0, Health(status="keepalive")),
        (61.0, Health(status="keepalive")),
    ) == [0.0, 11.0, 61.0]


def test_scans_tags_and_unreadable_bytes_are_never_dropped():
    scan, tag, noise = Scan(data="4006381333931"), TagRead(epc="3034"), Garbled(error="half a line")

    assert passed((0, scan), (0, scan), (1, tag), (1, tag), (2, noise), (2, noise)) == [0, 0, 1, 1, 2, 2]


def test_a_device_that_invents_probe_names_cannot_fill_the_memory():
    steady = Steady()

    for number in range(10 * SOURCES_MAX):
        steady.passes(Temperature(celsius=4.0, sensor=str(number)), 0.0)

    assert len(steady._last) == SOURCES_MAX
