"""Goals: gains that a study names are gone to over certified ones, and never believed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuner_cases import hill, hill_study, independent_lower_bounds, measured, run

from safebo.errors import StudyError
from safebo.report.data import RunView
from safebo.report.goals import not_reached
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.tuner.goals import REASON
from safebo.types import Measurement, Trial

GOAL = {"kp": 6.5, "kd": 1.2}
"""Safe, and far from the seed."""
KD = {"name": "kd", "bounds": [0.1, 10.0], "scale": "log"}
UNSAFE = {"kp": 10.0, "kd": 10.0}


def unit(gains: Any) -> np.ndarray[Any, Any]:
    """A trial's gains in the unit square, by hand."""
    return np.array([gains["kp"] / 10.0, np.log(gains["kd"] / 0.1) / np.log(100.0)])


def to(*goals: dict[str, float], context: str = "slow", **changes: Any) -> Study:
    """The hill with goals."""
    return hill_study(goals=[{"context": context, "parameters": goal} for goal in goals], **changes)


def distances(trials: list[Trial], goal: dict[str, float]) -> list[float]:
    """How far trials are from a goal."""
    return [float(np.linalg.norm(unit(t.parameters) - unit(goal))) for t in trials]


def test_every_trial_comes_nearer_until_the_goal_was_tried_and_then_the_method_chooses() -> None:
    trials = run(Tuner(to(GOAL), 0), 14, context="slow")
    led = [t for t in trials if t.reason.startswith(REASON)]
    left = distances([trials[0], *led], GOAL)
    assert all(after < before - 0.02 * left[0] for before, after in pairwise(left))
    assert left[-1] < 1e-6
    assert led == trials[1 : 1 + len(led)]
    assert led[-1].reason == f"{REASON}: 100% of the way from the seed"
    assert any(t.reason.startswith("safe_ucb") for t in trials)
    # The method alone does not go there: its best point lies elsewhere.
    assert min(distances(run(Tuner(hill_study(), 0), 14, context="slow"), GOAL)) > 0.02


def test_a_trial_towards_a_goal_is_the_certified_point_nearest_to_it_and_as_certified_as_any() -> None:
    study = to(GOAL)
    tuner, told = Tuner(study, 0), list[tuple[Trial, Measurement]]()
    rng, grid = (
        np.random.default_rng(1),
        np.stack(np.meshgrid(*[np.linspace(0, 1, 61)] * 2), -1).reshape(-1, 2),
    )
    for _ in range(4):
        trial = tuner.ask("slow")
        if trial.phase == "local":
            assert (independent_lower_bounds(study, told, trial) >= 0).all()
            raw = np.stack([10.0 * grid[:, 0], 0.1 * 100.0 ** grid[:, 1]], -1)
            certified = tuner.bounds(raw, "slow")[:, 1, 0] >= 0  # by brute force over the box
            nearest = np.linalg.norm(grid[certified] - unit(GOAL), axis=1).min()
            assert distances([trial], GOAL)[0] <= nearest + 1e-3
        told.append((trial, measured(trial, rng)))
        tuner.tell(*told[-1])


def test_a_goal_behind_an_unsafe_region_is_given_up_and_costs_no_safety() -> None:
    trials = run(Tuner(to(UNSAFE), 0), 16, context="slow")
    assert all(hill(t)[1] >= 0 for t in trials)
    assert trials[1].reason.startswith(REASON)
    assert any(t.reason.startswith("safe_ucb") for t in trials)


def test_a_goal_that_cannot_be_better_any_more_is_left() -> None:
    # A worse goal in the safe set: once the objective is known there well enough, nothing goes there.
    worse = {"kp": 1.0, "kd": 0.6}
    tuner = Tuner(to(worse, objective={"prior_std": 0.05, "prior_mean": -1.0}), 0)
    for parameters in ({"kp": 3.0, "kd": 0.6}, {"kp": 6.5, "kd": 1.0}):
        tuner.tell_manual(parameters, "slow", {"objective": 0.5, "margins": {"margin": 0.4}})
    assert not tuner.ask("slow").reason.startswith(REASON)


def test_goals_are_gone_to_in_their_order_and_in_their_context_alone() -> None:
    near = {"kp": 3.5, "kd": 0.7}
    trials = run(Tuner(to(near, GOAL), 0), 10, context="slow")
    reached = [int(np.argmin(distances(trials, goal))) for goal in (near, GOAL)]
    assert reached[0] < reached[1]
    assert all(min(distances(trials, goal)) < 1e-6 for goal in (near, GOAL))
    other = run(Tuner(to(GOAL, context="fast"), 0), 4, context="slow")
    assert not any(t.reason.startswith(REASON) for t in other)


def test_pending_trials_on_the_way_count_and_a_resumed_run_goes_on_alike() -> None:
    study = to(GOAL)
    tuner, rng, told = Tuner(study, 0), np.random.default_rng(0), []
    for _ in range(3):
        trial = tuner.ask("slow")
        told.append((trial, measured(trial, rng)))
        tuner.tell(*told[-1])
    again = Tuner(study, 0)
    again.restore(told)
    first = tuner.ask("slow")
    assert first == again.ask("slow")
    assert first.reason.startswith(REASON)
    second = tuner.ask("slow")  # the first one is pending: nothing nearer is certified
    assert not second.reason.startswith(REASON)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 100), st.integers(0, 100), st.sampled_from(["safeopt", "random_safe"]))
def test_wherever_a_goal_lies_no_trial_is_unsafe(kp: int, kd: int, method: str) -> None:
    goal = {"kp": kp / 10.0, "kd": min(10.0, 0.1 * 100.0 ** (kd / 100.0))}
    trials = run(Tuner(to(goal, method=method), 0), 7, context="slow")
    assert all(hill(t)[1] >= 0 for t in trials)


def test_a_goal_between_points_of_a_grid_is_reached_as_far_as_they_allow() -> None:
    trials = run(
        Tuner(to(GOAL, tuner={"search": {"domain": "grid", "grid_points": 21}}), 0), 12, context="slow"
    )
    nearest = np.abs(np.linspace(0, 1, 21)[:, None] - unit(GOAL)).min(0)
    assert min(distances(trials, GOAL)) == pytest.approx(float(np.linalg.norm(nearest)), abs=1e-6)
    assert any(t.reason.startswith("safe_ucb") for t in trials)


def test_a_goal_of_steps_is_tried_itself() -> None:
    study = to(GOAL, parameters=[{"name": "kp", "bounds": [0.0, 10.0], "step": 0.5}, KD])
    assert min(distances(run(Tuner(study, 0), 12, context="slow"), GOAL)) < 1e-6


@pytest.mark.parametrize(("trials", "said"), [(3, "of the way to the goal (kp 6.5, kd 1.2)"), (12, "")])
def test_the_report_says_how_far_trials_went(trials: int, said: str) -> None:
    tuner = Tuner(to(GOAL), 0)
    run(tuner, trials, context="slow")
    seen = RunView(Path("run"), "hill", tuner.study, list(tuner.history), (), {"slow": None}, trials)
    words = list(not_reached(seen))
    assert (said in words[0]) if said else not words


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ({"context": "quick", "parameters": GOAL}, r"goals\[0\].context: unknown context 'quick'"),
        ({"context": "unseen", "parameters": GOAL}, r"goals\[0\].context: context 'unseen' is never tuned"),
        ({"context": "slow", "parameters": {"kp": 3.0}}, r"goals\[0\].parameters: gives no value for kd"),
        ({"context": "slow", "parameters": GOAL | {"kp": 30.0}}, r"goals\[0\].parameters.kp: 30 is outside"),
        ({"context": "slow", "parameters": GOAL | {"ki": 1.0}}, r"goals\[0\].parameters.ki: unknown"),
    ],
)
def test_a_goal_that_cannot_be_one_is_refused_by_its_key(goal: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        Tuner(hill_study(goals=[goal]))


def test_a_method_that_certifies_nothing_takes_no_goal() -> None:
    with pytest.raises(StudyError, match="goals: method gp_ucb certifies nothing"):
        Tuner(to(GOAL, method="gp_ucb"))
