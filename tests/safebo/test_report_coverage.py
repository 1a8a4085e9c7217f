"""Whether predictions came true: residuals, coverage and the verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from report_samples import make_data

from safebo.report.coverage import LEVELS, coverage, coverage_table, transform
from safebo.report.page import draw, render
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement


@pytest.mark.parametrize(
    ("scale", "shift", "words"),
    [
        (1.0, 0.0, "Fits"),
        (2.0, 0.0, "too narrow"),
        (0.3, 0.0, "wider than they need"),
        (0.6, 1.0, "above"),
        (0.6, -1.0, "below"),
    ],
)
def test_residuals_are_judged(scale: float, shift: float, words: str) -> None:
    z = shift + scale * np.random.default_rng(5).standard_normal(60)
    found = coverage("height", z)
    assert words in found.verdict
    assert found.held == tuple(int((np.abs(transform(z) - 0.5) <= 0.5 * level).sum()) for level in LEVELS)
    assert found.cells[0] == f"{100 * found.held[0] / 60:.0f} %"


def test_a_right_model_is_seldom_called_wrong_and_a_few_trials_say_nothing() -> None:
    rng = np.random.default_rng(0)
    wrong = sum(coverage("f", rng.standard_normal(40)).verdict != "Fits." for _ in range(1000))
    assert wrong <= 10 + 3 * math.sqrt(10)
    assert "say nothing yet" in coverage("f", np.full(9, 5.0)).verdict
    assert coverage_table({"f": np.zeros(0)}) == ()


@pytest.mark.parametrize("trust", ["declared", "earned"])
def test_residuals_of_a_run_are_those_of_a_tuner_that_predicts_each_trial(trust: str) -> None:
    study = Study.model_validate(
        {
            "name": "one gain",
            "evaluator": {"name": "closed-form"},
            "parameters": [{"name": "a", "bounds": [0.0, 1.0]}],
            "objective": {"name": "reward", "noise_std": 0.1},
            "constraints": [{"name": "margin", "noise_std": 0.05}],
            "seeds": [{"parameters": {"a": 0.5}}],
            "surrogate": {"kernel": "rbf", "lengthscale": 0.4, "trust": trust, "caution": [0.99]},
            "tuner": {"method": "safe_ucb", "beta": 3.0},
        }
    )
    rng, expected = np.random.default_rng(1), []
    tuner = Tuner(study, 0)
    for n in range(6):
        a = 0.3 + 0.1 * n
        y = Measurement("completed", objective=a + 0.1 * rng.normal(), margins={"margin": 1.0 - a})
        if n:
            lower, mean, upper = tuner.bounds(np.array([[a]]), "default")[0, 0]
            std = math.hypot((upper - lower) / 6.0, 0.1)
            expected.append((float(y.objective or 0.0) - mean) / std)
        tuner.tell_manual({"a": a}, "default", y)
    found = tuner.residuals()
    assert found["reward"][1:] == pytest.approx(expected, abs=1e-6)
    assert len(found["margin"]) == 6
    fallen = Measurement("aborted", margins={"margin": -0.2}, fell=True)
    tuner.tell_manual({"a": 0.95}, "default", fallen)
    assert len(tuner.residuals()["margin"]) == 6


@pytest.mark.slow
def test_the_page_shows_coverage_where_something_was_predicted() -> None:
    data = make_data()
    assert 'id="coverage"' not in render(data, draw(data), {c.name: "" for c in data.contexts})
    names = [data.study.objective.name, *(c.name for c in data.study.constraints)]
    rng = np.random.default_rng(0)
    data = replace(data, residuals={name: 3.0 * rng.standard_normal(40) for name in names})
    text = render(data, draw(data), {c.name: "" for c in data.contexts})
    assert 'id="coverage"' in text
    assert text.count("Intervals are too narrow") == len(names)
