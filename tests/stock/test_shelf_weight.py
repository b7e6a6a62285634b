"""What a shelf's weight is evidence of. Honey: 250 g a jar, the crate 1,200 g, the scale good to 1 g."""

from math import inf
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Weight
from drivers.loading import load
from gateway.stock.shelf_weight import (
    Booking,
    Removal,
    Sample,
    Scale,
    ShelfWatch,
    Step,
    UnitWeight,
    count_units,
    learn,
    steps_of,
    units_of_step,
    unscanned_removals,
)

RECORDING = Path(__file__).parents[2] / "hw_fixtures/weight/hx711_line_drift_and_spikes.bytes"
SCALE = Scale(sd_grams=1.0, drift_grams_per_min=2.0)
HONEY = UnitWeight(grams=250.0, error_grams=0.5, piece_sd_grams=2.0, observations=20)


def test_eight_jars_in_their_crate_are_eight_jars():
    count = count_units(3_204.0, 1_200.0, HONEY, SCALE)

    assert count.units == 8
    assert count.estimate_units == pytest.approx(8.016)
    assert count.standard_error_units == pytest.approx(0.028, abs=1e-4)  # sqrt(1 + 8 * 4 + 16) / 250


def test_the_more_jars_the_less_sure_the_count():
    errors = [count_units(250.0 * jars, 0.0, HONEY, SCALE).standard_error_units for jars in (1, 10, 100)]

    assert errors == sorted(errors)


def test_an_empty_shelf_that_weighs_a_little_less_than_its_crate_is_empty():
    assert count_units(1_198.0, 1_200.0, HONEY, SCALE).units == 0


def test_without_the_weight_of_a_piece_there_is_no_count():
    assert count_units(3_204.0, 1_200.0, UnitWeight(), SCALE) is None


def test_the_first_booking_teaches_what_a_piece_weighs():
    unit = learn(UnitWeight(), step_grams=-502.0, moved_units=-2, scale=SCALE)

    assert (unit.grams, unit.observations) == (251.0, 1)
    assert unit.error_grams == pytest.approx(5.371, abs=1e-3)  # sqrt((2 + 2 * 7.53²) / 4)


def test_two_hundred_sales_teach_the_weight_to_a_fraction_of_a_gram():
    rng, unit = Random(7), UnitWeight()
    for _ in range(200):
        unit = learn(unit, -rng.gauss(250.0, 2.0) + rng.gauss(0, 1.4), -1, SCALE)

    assert unit.grams == pytest.approx(250.0, abs=0.6)
    assert unit.error_grams < 0.6
    assert unit.piece_sd_grams == pytest.approx(2.0, abs=0.7)


def test_a_booking_of_one_while_two_were_taken_teaches_nothing():
    assert learn(HONEY, step_grams=-500.0, moved_units=-1, scale=SCALE) == HONEY


def test_a_shelf_that_became_heavier_at_a_sale_teaches_nothing():
    assert learn(HONEY, step_grams=250.0, moved_units=-1, scale=SCALE) == HONEY


@pytest.mark.parametrize(
    ("grams", "units"),
    [(-250.0, -1), (-749.0, -3), (1_001.0, 4), (-30.0, 0), (-130.0, None), (-185.0, None), (1e9, None)],
)
def test_a_step_is_so_many_pieces_or_none_that_fits(grams, units):
    assert units_of_step(grams, HONEY) == units


def shelf(*levels: tuple[float, float]) -> list[Sample]:
    """A weight a second: (seconds, grams) after one another, each change with a second of motion."""
    samples, at_s = [], 0.0
    for seconds, grams in levels:
        samples.append(Sample(at_s, grams - 40, stable=False))
        samples += [Sample(at_s + second, grams, stable=True) for second in range(1, int(seconds))]
        at_s += seconds
    return samples


def test_a_jar_taken_is_one_step():
    assert steps_of(shelf((60, 3_200.0), (60, 2_950.0)), SCALE, HONEY) == [Step(61.0, -250.0)]


def test_a_jar_looked_at_and_put_back_within_seconds_is_no_step():
    assert steps_of(shelf((60, 3_200.0), (4, 2_950.0), (60, 3_200.0)), SCALE, HONEY) == []


def test_a_hand_that_leans_on_the_shelf_is_no_step():
    leaning = [Sample(60.0 + second, 9_000.0, stable=False) for second in range(20)]
    back = [Sample(80.0 + second, 3_200.0, stable=True) for second in range(20)]

    assert steps_of(shelf((60, 3_200.0)) + leaning + back, SCALE, HONEY) == []


def test_a_cold_night_that_takes_100_g_in_ten_hours_is_no_step():
    night = [Sample(float(minute * 60), 3_200.0 - minute / 6, stable=True) for minute in range(600)]

    assert steps_of(night, SCALE, HONEY) == []


def test_a_scale_that_is_moved_by_warmth_is_corrected_by_the_thermometer():
    scale = Scale(sd_grams=1.0, drift_grams_per_min=2.0, grams_per_celsius=20.0)
    door = [
        Sample(60.0 * minute, 3_200.0 + 20.0 * celsius, stable=True, celsius=20.0 + celsius)
        for minute, celsius in enumerate([0, 0, 8, 8, 0, 0])
    ]

    assert steps_of(door, scale, HONEY) == []
    assert steps_of([one._replace(celsius=None) for one in door], scale, HONEY) != []


def test_a_scale_that_reports_only_changes_is_believed_after_five_seconds_of_silence():
    watch = ShelfWatch(SCALE, HONEY)
    watch.observe(Sample(0.0, 3_200.0, stable=True))
    watch.observe(Sample(60.0, 2_950.0, stable=True))

    assert watch.settled(64.9) == []
    assert watch.settled(65.0) == [Step(60.0, -250.0)]
    assert watch.settled(70.0) == []


def test_a_scale_that_was_silent_for_a_day_does_not_take_a_missing_jar_for_drift():
    samples = [Sample(0.0, 3_200.0, stable=True), Sample(86_400.0, 2_950.0, stable=True)]

    assert steps_of(samples, SCALE, HONEY) == [Step(86_400.0, -250.0)]


def removals(steps: list[tuple[float, float]], bookings: list[tuple[float, int]], now_s: float = 5_000.0):
    found = unscanned_removals(
        [Step(*step) for step in steps], [Booking(*booking) for booking in bookings], HONEY, now_s
    )
    return [(removal.at_s, removal.units) for removal in found]


def test_a_jar_that_was_scanned_three_minutes_after_it_was_taken_is_explained():
    assert removals([(1_000.0, -250.0)], [(1_180.0, -1)]) == []


def test_a_jar_that_nobody_scanned_is_named_with_the_reason():
    assert unscanned_removals([Step(1_000.0, -249.0)], [], HONEY, now_s=1_600.0) == [
        Removal(
            1_000.0,
            1,
            -249.0,
            "the shelf became 249 g lighter, 1 piece of 250 g, and nothing was scanned within 10 minutes",
        )
    ]


def test_nobody_is_suspected_before_ten_minutes_are_over():
    assert removals([(1_000.0, -250.0)], [], now_s=1_599.0) == []


def test_three_jars_taken_and_two_scanned_leave_one():
    assert removals([(1_000.0, -750.0)], [(1_100.0, -1), (1_101.0, -1)]) == [(1_000.0, 1)]


def test_one_scan_explains_one_jar_only():
    assert removals([(1_000.0, -250.0), (1_060.0, -250.0)], [(1_100.0, -1)]) == [(1_060.0, 1)]


def test_a_jar_put_back_two_minutes_later_was_not_taken():
    assert removals([(1_000.0, -250.0), (1_120.0, 250.0)], []) == []


def test_a_delivery_put_on_the_shelf_does_not_hide_a_removal():
    assert removals([(1_000.0, -250.0), (1_120.0, 250.0)], [(1_130.0, 1)]) == [(1_000.0, 1)]


def test_a_scan_of_yesterday_explains_nothing_today():
    assert removals([(90_000.0, -250.0)], [(1_000.0, -1)], now_s=100_000.0) == [(90_000.0, 1)]


def test_something_lighter_than_a_jar_is_no_removal_of_jars():
    assert removals([(1_000.0, -120.0)], []) == []


@given(
    jars=st.integers(0, 60),
    crate=st.floats(0, 5_000),
    wobble=st.floats(-3, 3),
)
def test_the_count_is_right_whenever_its_error_says_so(jars, crate, wobble):
    exact = UnitWeight(250.0, 0.05, 0.5, 100)

    count = count_units(crate + 250.0 * jars + wobble, crate, exact, SCALE)

    assert count.units == jars
    assert count.standard_error_units < 0.1


@given(weights=st.lists(st.tuples(st.floats(0.1, 900), st.floats(0, 20_000), st.booleans()), max_size=40))
def test_steps_add_up_to_what_happened_to_the_weight(weights):
    samples, at_s = [], 0.0
    for seconds, grams, stable in weights:
        at_s += seconds
        samples.append(Sample(at_s, grams, stable))
    stable_grams = [sample.grams for sample in samples if sample.stable]

    steps = steps_of(samples, SCALE, HONEY)

    drift_max = 2 * 62.5 * len(stable_grams)  # each follow-up is less than half a piece
    change = stable_grams[-1] - stable_grams[0] if stable_grams and samples[-1].stable else None
    assert change is None or abs(change - sum(step.grams for step in steps)) <= drift_max


def test_an_unknown_piece_weight_is_said_to_be_unknown():
    assert UnitWeight().error_grams == inf
    assert not UnitWeight().is_known


def recorded_shelf() -> list[Sample]:
    """Half an hour of an HX711 with creep, spikes and one jar taken: what the shelf's driver reports of it."""
    lines = RECORDING.read_bytes().splitlines(keepends=True)
    driver = load("scale_hx711_line")
    decoder = driver.decoder(driver.Config(zero_counts=10_000.0, counts_per_gram=100.0))
    return [
        Sample(at / 10, float(weight.value), bool(weight.stable))
        for at, line in enumerate(lines)
        for weight in decoder.feed(line, at / 10)
        if isinstance(weight, Weight) and weight.value is not None
    ]


def test_of_half_an_hour_with_creep_and_spikes_the_one_jar_taken_remains():
    samples = recorded_shelf()

    (step,) = steps_of(samples, SCALE, HONEY)
    (removal,) = unscanned_removals([step], [], HONEY, now_s=1_800.0)

    assert 900 <= step.at_s <= 903  # it was taken after a quarter of an hour
    assert step.grams == pytest.approx(-250, abs=2)
    assert removal.units == 1
