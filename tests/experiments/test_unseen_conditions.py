"""Walks under conditions that no trial had: what is drawn, what is counted, and the bound on the rate."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "safebo"))

import loaded_carts
from present import present
from test_scenarios import HERE, study, tune

from safebo.experiments.evidence import scenarios
from safebo.experiments.evidence.failure_rate import failure_rate_bound
from safebo.experiments.evidence.scenarios import unseen_conditions, walk_unseen
from safebo.study import ScenariosSpec


@pytest.mark.parametrize(("failures", "walks"), [(0, 59), (0, 1), (3, 59), (7, 20), (19, 20)])
def test_the_bound_is_where_so_few_failures_become_unlikely(failures: int, walks: int) -> None:
    bound = failure_rate_bound(failures, walks)
    assert binom.cdf(failures, walks, bound) == pytest.approx(0.05)


def test_fifty_nine_walks_without_a_failure_say_five_per_cent() -> None:
    assert failure_rate_bound(0, 59) <= 0.05 < failure_rate_bound(0, 58)
    assert failure_rate_bound(5, 5) == 1.0
    with pytest.raises(ValueError, match="got 3 of 2"):
        failure_rate_bound(3, 2)


def test_conditions_are_drawn_from_what_the_scenarios_span() -> None:
    spec = ScenariosSpec(
        values={
            "a": {"mass": 0.0, "delay": 0, "floor": "wood"},
            "b": {"mass": 2.0, "delay": 2, "floor": "tiles"},
            "c": {"mass": 1.0, "delay": 0},
            "d": {"mass": 1.0, "delay": 1},
        }
    )
    rng = np.random.default_rng(0)
    drawn = [unseen_conditions(spec, rng) for _ in range(400)]
    masses = [each["mass"] for each in drawn]
    assert 0.0 <= min(masses) < 0.1
    assert 1.9 < max(masses) <= 2.0
    assert {each["delay"] for each in drawn} == {0, 1, 2}
    assert {each.get("floor") for each in drawn} == {"wood", "tiles", None}
    assert sum("floor" in each for each in drawn) == pytest.approx(200, abs=40)


def test_walks_are_counted_by_true_or_measured_margins() -> None:
    found = walk_unseen(study(), str(HERE), {"p": 4.0, "d": 1.5}, "default", 20, 1)
    assert (found.walks, found.falls, found.violations, found.failed) == (20, 0, 0, 0)
    assert found.worst["grip"] > 0
    wild = walk_unseen(study(), str(HERE), {"p": 10.0, "d": 4.0}, "default", 20, 1)
    rng, expected = np.random.default_rng(1), 0
    for _ in range(20):
        conditions = unseen_conditions(present(study().scenarios), rng)
        rng.integers(2**31)  # of the noise, which is small against these margins
        expected += min(loaded_carts.truth({"p": 10.0, "d": 4.0}, conditions)[1:]) < 0
    assert 15 < expected < 20
    assert wild.violations == expected


def test_the_command_prints_a_line_for_every_run(tmp_path: Path) -> None:
    tune(tmp_path / "run", trials=2)
    import typer

    app = typer.Typer()
    app.command()(scenarios.main)
    told = CliRunner().invoke(
        app, [str(tmp_path / "run"), "--draws", "9", "--initial", "--folder", str(HERE)]
    )
    assert told.exit_code == 0, told.output
    first, second = told.output.splitlines()
    assert "9 unseen conditions: 0 falls, 0 violations; at most 28.3 % of walks fail (95 %)" in first
    assert "seed gains: 9 unseen conditions" in second
