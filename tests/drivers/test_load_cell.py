"""From conversions to weights: spikes, saturation, creep, steps. Counts per gram is 100 unless said."""

import math
from decimal import Decimal

import pytest

from drivers.contract import AnyReading, ConfigError, Health, Weight
from drivers.load_cell import LoadCell, LoadCellFilter, is_saturated, load_cell, signed24, spikes_at

CELL = LoadCell(zero_counts=10_000, counts_per_gram=100, division_grams=Decimal(1), samples_per_s=10)

# bogde/HX711 issue 216 (a real converter's readings)
SPIKED = [170.75, 170.83, 171.22, 170.8, 170.95, 171.04, -143.37, 171.36, 170.72, 170.86, 171.1, 170.81,
          170.9, 171.05, 170.81]  # fmt: skip


def weights(*runs: tuple[int, float], cell: LoadCell = CELL) -> list[Weight]:
    """What is reported for runs of (seconds, grams), without the first moment's."""
    return [reading for reading in readings(*runs, cell=cell) if isinstance(reading, Weight)]


def readings(*runs: tuple[int, float], cell: LoadCell = CELL) -> list[AnyReading]:
    pipeline = LoadCellFilter(cell)
    samples = [10_000 + grams * 100 for seconds, grams in runs for _ in range(seconds * 10)]
    return [reading for sample in samples for reading in pipeline.sample(sample)]


@pytest.mark.parametrize(
    ("raw", "counts", "saturated"),
    [  # HX711 data sheet; -30217 was read in tatobari/hx711py issue 1
        ("ff89f7", -30217, False),
        ("7fffff", 8388607, True),
        ("800000", -8388608, True),
        ("ffffff", -1, False),
        ("000001", 1, False),
    ],
)
def test_a_conversion_is_24_bits_in_twos_complement(raw, counts, saturated):
    assert signed24(bytes.fromhex(raw)) == counts
    assert is_saturated(counts) is saturated


def test_the_one_wild_reading_of_a_real_converter_is_found():
    assert spikes_at(SPIKED, limit=5.0) == [6]


def test_a_step_is_not_a_spike():
    assert spikes_at([0.0] * 10 + [250.0] * 10, limit=5.0) == []


def test_a_spike_never_becomes_a_weight():
    pipeline = LoadCellFilter(LoadCell(0, 1, Decimal("0.5"), 10))

    said = [reading for sample in SPIKED for reading in pipeline.sample(sample)]

    assert {reading.value for reading in said} == {Decimal("171.0")}


def test_goods_put_on_the_shelf_are_seen_moving_and_then_stable():
    said = weights((3, 0.0), (3, 250.0))

    assert [(one.value, one.stable, one.status) for one in said] == [
        (Decimal(0), False, "motion"),  # nothing is stable before a second has passed
        (Decimal(0), True, None),
        (Decimal(250), False, "motion"),
        (Decimal(250), True, None),
    ]


def test_a_weight_is_a_multiple_of_the_division():
    cell = LoadCell(10_000, 100, Decimal(5), 10)

    assert weights((3, 251.0), cell=cell)[-1].value == Decimal(250)


def test_an_unchanged_weight_is_said_once_a_minute_and_not_more():
    said = weights((125, 40.0))

    assert len([one for one in said if one.stable]) == 3


def test_the_warm_up_is_ten_minutes_and_the_weights_of_it_say_so():
    said = weights((661, 40.0))

    assert [one.quality for one in said if one.stable][:9] == ["warming_up"] * 9
    assert said[-1].quality is None


def test_an_empty_scales_creep_is_followed():
    creep = [(1, 0.01 * second) for second in range(600)]  # 6 g in ten minutes

    assert weights(*creep)[-1].value == Decimal(0)


def test_the_creep_of_a_loaded_scale_is_not_hidden():
    creep = [(1, 500 + 0.01 * second) for second in range(700)]

    assert weights(*creep)[-1].value == Decimal(507)


def test_something_light_put_on_an_empty_scale_is_not_taken_for_creep():
    assert weights((5, 0.0), (60, 3.0))[-1].value == Decimal(3)


def test_a_tea_bag_of_two_grams_put_on_an_empty_scale_is_never_followed_as_creep():
    pipeline = LoadCellFilter(CELL)
    for sample in [10_000] * 30 + [10_180] * 6_000:
        pipeline.sample(sample)

    assert pipeline.zero_counts == 10_000


def test_what_is_left_when_the_rest_is_taken_away_is_not_taken_for_creep():
    assert weights((5, 0.0), (5, 500.0), (60, 1.8))[-1].value == Decimal(2)


def test_goods_on_the_shelf_at_start_are_weighed_and_not_tared_away():
    assert weights((3, 800.0))[-1].value == Decimal(800)


def test_a_zero_that_crept_beyond_belief_asks_for_a_person_once():
    creep = [(1, 0.1 * second) for second in range(700)]  # 70 g

    assert [one.status for one in readings(*creep) if isinstance(one, Health)] == ["zero_drifted"]


def test_a_saturated_converter_has_no_weight_and_says_so_once():
    pipeline = LoadCellFilter(CELL)

    said = [reading for _ in range(30) for reading in pipeline.sample(0x7FFFFF)]

    assert said == [Weight(status="saturated", stable=False, raw_hex="7fffff")]


def test_an_uncalibrated_cell_gives_its_counts_and_no_weight():
    pipeline = LoadCellFilter(LoadCell())

    said = [reading for _ in range(30) for reading in pipeline.sample(0x1234)]

    assert said == [Weight(status="not_calibrated", raw_hex="001234")]


def test_spike_after_spike_is_a_fault_of_the_wiring_said_once():
    pipeline = LoadCellFilter(CELL)
    samples = ([10_000.0] * 9 + [9_999_000.0]) * 40

    said = [one for sample in samples for one in pipeline.sample(sample) if isinstance(one, Health)]

    assert [one.status for one in said] == ["spikes"]


def test_a_cell_mounted_upside_down_weighs_too():
    pipeline = LoadCellFilter(LoadCell(0, -100, Decimal(1), 10))

    said = [reading for _ in range(30) for reading in pipeline.sample(-25_000)]

    assert said[-1].value == Decimal(250)


def test_a_division_that_is_no_number_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r'division_grams is "one"; write the step in grams'):
        load_cell(0, 1, "one", 10)


@pytest.mark.parametrize("values", [(math.nan, 100.0), (0.0, math.inf)])
def test_a_calibration_that_is_no_number_is_a_mistake_in_the_settings(values):
    with pytest.raises(ConfigError, match="write what the calibration said, or 0"):
        load_cell(*values, "1", 10)
