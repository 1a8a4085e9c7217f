"""Walks that end before their time, against the same walks in full length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.metrics import objectives, walk_signals
from safebo.trial_length.stopping import half_width
from safebo.trial_length.variance import components
from safebo.types import EarlyEnd, Measurement, Trial

GAINS = {f"joint.{j}.{k}": v for j in ("hip", "thigh", "calf") for k, v in (("kp", 70.0), ("kd", 3.2))}
TRIAL = Trial(2, GAINS, {}, "default", "local", seed=5, certified=True)
SECONDS = 4.0


def walk(rule: EarlyEnd | None, **options: object) -> Measurement:
    evaluator = LeggedEvaluator({"seconds": SECONDS, "disturbance": "paper", **options})
    return evaluator.evaluate(replace(TRIAL, early_end=rule))


@pytest.fixture(scope="module")
def whole() -> Measurement:
    return walk(None)


def test_a_margin_below_zero_ends_the_walk_after_one_stride_and_not_before() -> None:
    broken = {"limits": {"tracking": 0.02}}
    full, short = walk(None, **broken), walk(EarlyEnd(("tracking",)), **broken)
    assert full.margins["tracking"] < 0
    assert (short.outcome, short.ended) == ("completed", "unsafe")
    # The ramp and its settling take a second, one stride half of one.
    assert short.duration == pytest.approx(1.5)
    assert short.strides is not None
    assert short.strides.count == 1
    # What was walked is what the whole walk began with.
    assert full.strides is not None
    assert short.strides.margins["tracking"] == full.strides.margins["tracking"][:1]
    assert 0 > short.margins["tracking"] >= full.margins["tracking"]


def test_a_margin_that_is_no_constraint_ends_nothing(whole: Measurement) -> None:
    broken = {"limits": {"tracking": 0.02}}
    assert walk(EarlyEnd(("height",)), **broken).duration == pytest.approx(SECONDS)
    safe = walk(EarlyEnd(("tracking", "height")))
    assert (safe.ended, safe.objective, safe.margins) == ("", whole.objective, whole.margins)


def test_a_settled_walk_ends_when_the_sequence_is_narrow_enough_and_long_enough(whole: Measurement) -> None:
    assert whole.strides is not None
    strides = np.array(whole.strides.objective)

    def width(n: int) -> float:
        found = components([[strides[:n]]])
        assert found is not None
        return half_width(n, found.per_stride**0.5)

    for n in (3, 4, 5):
        target = 1.0001 * width(n)
        first = next(k for k in range(3, len(strides) + 1) if width(k) <= target)
        short = walk(EarlyEnd(("tracking",), target))
        assert short.ended == "settled"
        assert short.strides is not None
        assert short.strides.count == first
        assert short.strides.objective == whole.strides.objective[:first]
    late = walk(EarlyEnd(("tracking",), 1e6, least=2.5))
    assert late.strides is not None
    assert late.strides.count == 5
    assert walk(EarlyEnd(("tracking",), 1e-9)).ended == ""


def test_a_shorter_walks_objective_is_not_worse_for_its_start(whole: Measurement) -> None:
    short = walk(EarlyEnd(("tracking",), 1e6))
    assert short.strides is not None
    assert whole.strides is not None
    start = whole.objective * SECONDS - sum(whole.strides.objective) * 0.5  # type: ignore[operator]
    steady = np.mean(short.strides.objective) * (SECONDS - 1.0)
    assert short.objective == pytest.approx((start + steady) / SECONDS, rel=1e-6)


def test_the_objectives_of_a_whole_walk_do_not_depend_on_its_length() -> None:
    evaluator = LeggedEvaluator({"seconds": 2.0, "disturbance": "paper"})
    seen = walk_signals(evaluator.walk(GAINS, {}, 1), False, np.array([0.5, 0.0]), 0.5)
    n = len(seen.height)
    assert objectives(seen, evaluator.robot, n, 500) == objectives(seen, evaluator.robot)


def test_the_start_may_be_left_out_of_the_objective(whole: Measurement) -> None:
    late = walk(None, objective_after=1.0)
    assert whole.strides is not None
    assert late.objective == pytest.approx(np.mean(whole.strides.objective), rel=1e-5)
    assert late.margins == whole.margins
    short = walk(EarlyEnd(("tracking",), 1e6), objective_after=1.0)
    assert short.strides is not None
    assert short.objective == pytest.approx(np.mean(short.strides.objective), rel=1e-5)
    with pytest.raises(ValueError, match="objective_after must be a number"):
        LeggedEvaluator({"objective_after": -1.0})


@pytest.mark.parametrize("after", [0.0, 1.0])
def test_a_walk_ends_once_its_best_possible_end_is_not_good_enough(after: float) -> None:
    options = {"objective_after": after}
    full = walk(None, **options)
    assert full.objective is not None
    assert walk(EarlyEnd(("tracking",), dominated=1.001 * full.objective), **options).ended == ""
    short = walk(EarlyEnd(("tracking",), dominated=0.5 * full.objective), **options)
    assert short.ended == "dominated"
    # Half of the cost is spent after about half of what counts, and a stride is looked at as a whole.
    assert short.duration == pytest.approx(after + 0.5 * (SECONDS - after), abs=0.6)
    late = walk(EarlyEnd(("tracking",), dominated=-1e-9, least=1.5), **options)
    assert late.duration == pytest.approx(1.0 + 1.5)
