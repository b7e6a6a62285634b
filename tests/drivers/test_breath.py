"""When a line need not be looked at; and that nothing is missed or late because of it."""

from decimal import Decimal

import pytest

from drivers.breath import ANSWER_S, ANSWERED_TOGETHER_MAX, BREATH_S, Breath
from drivers.contract import AnyReading, Garbled, Health, Presence, Scan, TagRead, Temperature, Weight

WEIGHT = Weight(value=Decimal("1.5"), unit="kg", stable=True)
SCAN = Scan("96385074")


def breath_after(*chunks: list[AnyReading], is_kept: bool = True) -> Breath:
    breath = Breath(is_kept)
    for chunk in chunks:
        breath.took(chunk, 10.0)
    return breath


@pytest.mark.parametrize("value", [WEIGHT, Temperature(celsius=4.0), Health(status="silent")])
def test_a_device_that_says_values_is_looked_at_a_few_times_a_second(value):
    assert breath_after([value]).until_s == 10.0 + BREATH_S


def test_noise_on_the_line_of_a_scale_does_not_make_it_a_scanner():
    assert breath_after([WEIGHT], [Garbled("no line of this protocol")]).until_s == 10.0 + BREATH_S


@pytest.mark.parametrize("reading", [SCAN, TagRead("e2"), Presence("e2", "arrived")])
def test_while_a_scan_is_not_answered_the_next_may_wait_for_the_answer_but_not_for_long(reading):
    breath = breath_after([reading])
    assert breath.until_s == 10.0 + ANSWER_S

    breath.answered()
    assert breath.until_s == 0.0


def test_a_line_on_which_a_scan_was_heard_never_waits_after_a_weight():
    breath = breath_after([SCAN], [WEIGHT])
    assert breath.until_s == 10.0 + ANSWER_S

    breath.answered()
    assert breath.until_s == 0.0


def test_an_answered_weight_does_not_end_the_breath():
    breath = breath_after([WEIGHT])
    breath.answered()

    assert breath.until_s == 10.0 + BREATH_S


def test_a_question_is_listened_to_at_once():
    breath = breath_after([WEIGHT])
    breath.asked()

    assert breath.until_s == 0.0


def test_a_device_that_sends_many_scans_at_a_time_is_read_as_fast_as_it_speaks():
    assert breath_after([SCAN] * (ANSWERED_TOGETHER_MAX + 1)).until_s == 0.0


def test_half_a_line_is_read_on_at_once():
    assert breath_after([]).until_s == 0.0


def test_what_the_kernel_keeps_only_in_part_is_never_left_waiting():
    assert breath_after([WEIGHT], [SCAN], is_kept=False).until_s == 0.0
