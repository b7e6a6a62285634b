"""Needs the demand data beside the repository and the extra `bench`; says so where they are missing."""

from pathlib import Path

import numpy as np
import pytest

from models.baselines import dow_emp_q
from models.gate import Trial, trial_of
from models.learn import Calibration
from models.worker import shipped_model

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def bench():
    pytest.importorskip("pandas", reason="the extra `bench` is not installed")
    pytest.importorskip("pyarrow", reason="the extra `bench` is not installed")
    if not (DATA / "pasta").exists():
        pytest.skip(f"no demand data at ../shared/data (looked in {DATA})")
    from models.backtest import read_bench

    return read_bench(DATA / "pasta")


def test_the_folder_is_read_as_the_judge_reads_it(bench):
    assert bench.panel.units.shape == (83, 1741)
    assert bench.panel.day(bench.origins[0]).isoformat() == "2018-06-18"


def test_nothing_after_the_origin_is_seen_but_what_was_planned(bench):
    seen = bench.panel.seen_at(bench.origins[0])

    assert seen.units.shape[1] == bench.origins[0] + 1
    assert seen.promotion.shape[1] > seen.units.shape[1]


def test_the_shipped_weights_beat_the_simple_rule_before_any_learning(bench):
    trial: Trial = trial_of(bench.panel.seen_at(bench.origins[0]), shipped_model(), Calibration.default())

    assert trial.loss < 0.9 * trial.rule_loss


def test_the_simple_rule_forecasts_no_demand_on_a_closed_day(bench):
    panel = bench.panel.seen_at(bench.origins[2])

    rule = dow_emp_q(panel, np.arange(1, 29))

    closed = panel.closed[0, panel.days : panel.days + 28]
    assert closed.sum() == 1
    assert (rule.mean[:, closed] == 0).all()
