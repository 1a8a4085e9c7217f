"""Tolerances of recommended gains: bisected to where something is lost, whole numbers and choices as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from present import present

from safebo.study import Study
from safebo.tuner import Tuner
from safebo.tuner.tolerance import LOSS, PRECISION, GainLimit

STUDY: dict[str, Any] = {
    "name": "tolerant",
    "evaluator": {"name": "python"},
    "parameters": [
        {"name": "kp", "unit": "N", "bounds": [0, 10]},
        {"name": "n", "type": "integer", "bounds": [0, 8]},
        {"name": "mode", "choices": ["slow", "fast", "mad"]},
    ],
    "objective": {"name": "speed", "unit": "m/s", "prior_std": 2.0, "noise_std": 0.02},
    "constraints": [{"name": "height", "unit": "m", "prior_std": 1.0, "noise_std": 0.02}],
    "seeds": [{"parameters": {"kp": 2.0, "n": 3, "mode": "slow"}}],
    "surrogate": {"kernel": "rbf", "lengthscale": 0.6},
    "tuner": {"beta": 2.0, "search": {"domain": "grid", "grid_points": 9}},
}


def tuned() -> Tuner:
    tuner = Tuner(Study.model_validate(STUDY), 0)
    for kp, n, mode in [
        (2.0, 3, "slow"),
        (4.0, 3, "slow"),
        (5.0, 4, "slow"),
        (6.0, 3, "slow"),
        (5.0, 3, "fast"),
    ]:
        height = 1.2 - 0.02 * kp**2 - (0.0 if mode == "slow" else 0.3)
        gains: dict[str, Any] = {"kp": kp, "n": n, "mode": mode}
        measured = {"objective": kp / 4 - 0.05 * (n - 3) ** 2, "margins": {"height": height}}
        tuner.tell_manual(gains, "default", measured)
    return tuner


SEED: dict[str, Any] = {"kp": 2.0, "n": 3, "mode": "slow"}


def test_a_gain_holds_up_to_where_the_posterior_loses_it_and_not_beyond() -> None:
    tuner, best = tuned(), SEED | {"kp": 5.0}
    found = present(tuner.tolerances(best, "default"))
    mean = tuner.certify(best, "default").bounds["speed"].mean
    seed = tuner.certify(SEED, "default").bounds["speed"].mean
    assert found.loss == pytest.approx(LOSS * (mean - seed))
    assert found.of_gain
    kp, n, mode = found.gains
    lower, upper = present(kp.lower), present(kp.upper)
    assert 2.0 < lower.value < 5.0 < upper.value < 10.0
    assert (lower.by, upper.by) == ("speed", "height")
    step = 20.0 * PRECISION * 10.0

    def at(value: float) -> Any:
        return tuner.certify(best | {"kp": value}, "default")

    assert at(upper.value).certified
    assert not at(upper.value + step).certified
    assert at(lower.value).bounds["speed"].mean >= mean - found.loss
    assert at(lower.value - step).bounds["speed"].mean < mean - found.loss
    assert float(present(n.upper).value).is_integer()
    assert (mode.lower, mode.upper) == (None, None)
    others = [m for m in ("fast", "mad") if m in mode.choices]
    for name in ("fast", "mad"):
        there = tuner.certify(best | {"mode": name}, "default")
        holds = there.certified and there.bounds["speed"].mean >= mean - found.loss
        assert holds == (name in others)


def test_without_a_gain_the_objective_itself_counts_and_uncertified_gains_have_none() -> None:
    tuner = tuned()
    at_seed = present(tuner.tolerances(SEED, "default"))
    assert not at_seed.of_gain
    assert not np.isnan(at_seed.loss)
    assert tuner.tolerances(SEED | {"kp": 10.0, "n": 8, "mode": "mad"}, "default") is None


def test_a_gain_that_may_go_all_the_way_is_limited_by_its_bound() -> None:
    tuner = Tuner(Study.model_validate(STUDY), 0)
    for kp in (1.0, 5.0, 9.0):
        measured = {"objective": kp / 4, "margins": {"height": 1.0}}
        tuner.tell_manual(SEED | {"kp": kp}, "default", measured)
    found = present(tuner.tolerances(SEED | {"kp": 9.0}, "default"))
    assert found.gains[0].upper == GainLimit(10.0, "")
    assert present(found.gains[0].lower).by == "speed"
