"""Walks under conditions that no trial had: what is drawn, what is counted, and the bound on the rate."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from present import present
from scipy.stats import binom
from typer.testing import CliRunner

from safebo.experiments.evidence import scenarios
from safebo.experiments.evidence.failure_rate import failure_rate_bound
from safebo.experiments.evidence.scenarios import unseen_conditions, walk_unseen
from safebo.runs.runner import run
from safebo.study import ScenariosSpec, Study
from safebo.study.reading import parse_study

CART = """
def cart(parameters, context, conditions):
    grip = 1.0 - 0.1 * parameters["p"] - 0.2 * conditions.get("mass", 0.0)
    return {"objective": 0.1 * parameters["p"], "margins": {"grip": grip}, "fell": grip < -0.3}


cart.repeatable = True
"""
STUDY = {
    "name": "cart",
    "evaluator": {"name": "unseen_cart:cart"},
    "parameters": [{"name": "p", "bounds": [0.0, 10.0]}],
    "objective": {"name": "speed"},
    "constraints": [{"name": "grip", "noise_std": 0.01}],
    "scenarios": {"values": {"empty": {"mass": 0.0}, "loaded": {"mass": 2.0}}},
    "seeds": [{"parameters": {"p": 2.0}}],
    "trials": 2,
}


@pytest.fixture
def beside(tmp_path: Path) -> str:
    """A folder with the evaluator's module."""
    (tmp_path / "unseen_cart.py").write_text(CART)
    return str(tmp_path)


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


def test_walks_are_counted(beside: str) -> None:
    study = Study.model_validate(STUDY)
    found = walk_unseen(study, beside, {"p": 2.0}, "default", 20, 1)
    assert (found.walks, found.falls, found.violations, found.failed) == (20, 0, 0, 0)
    rng, masses = np.random.default_rng(1), []
    for _ in range(20):
        masses.append(unseen_conditions(present(study.scenarios), rng)["mass"])
        rng.integers(2**31)  # of the noise
    assert found.worst["grip"] == pytest.approx(0.8 - 0.2 * max(masses))
    wild = walk_unseen(study, beside, {"p": 9.0}, "default", 20, 1)
    assert wild.violations == sum(mass > 0.5 for mass in masses)
    assert wild.falls == sum(mass > 2.0 for mass in masses) == 0
    assert walk_unseen(study, beside, {"p": 10.0}, "default", 20, 1).falls == sum(m > 1.5 for m in masses)


def test_the_command_prints_a_line_for_every_run(tmp_path: Path, beside: str) -> None:
    file = parse_study(yaml.safe_dump(STUDY, sort_keys=False), tmp_path / "cart.yaml")
    with ThreadPoolExecutor(1) as executor:
        run(file, tmp_path / "run", executor=executor)
    app = typer.Typer()
    app.command()(scenarios.main)
    told = CliRunner().invoke(app, [str(tmp_path / "run"), "--draws", "9", "--initial", "--folder", beside])
    assert told.exit_code == 0, told.output
    first, second = told.output.splitlines()
    assert "9 unseen conditions: 0 falls, 0 violations; at most 28.3 % of walks fail (95 %)" in first
    assert "seed gains: 9 unseen conditions" in second
