"""Every safe method on random problems: what it proposes is certified, also by a second program in numpy.

Thousands more of the same problems: `python -m safebo.experiments.robustness.safe_proposals`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel
from numpy.typing import NDArray
from tuner_cases import hill_study, measured, run

from safebo.acquisition import METHODS as REGISTERED
from safebo.acquisition import GridSettings, GridTuner
from safebo.acquisition.registry import BASELINES
from safebo.errors import EmptySafeSetError, InputError
from safebo.experiments.robustness import random_grids
from safebo.experiments.robustness.independent_certificate import Judge
from safebo.experiments.robustness.random_grids import GridProblem, random_grid_problem, safe_start
from safebo.experiments.robustness.random_problems import (
    METHODS,
    random_measurement,
    random_simulation,
    random_study,
)
from safebo.experiments.robustness.safe_proposals import run_grid, run_study
from safebo.study import ConfidenceSpec
from safebo.study.methods import BUILT_IN
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

STUDIES, GRIDS = 2, 6
"""Problems of each method."""


def test_no_method_is_left_out() -> None:
    assert set(METHODS) | set(BASELINES) == BUILT_IN <= set(REGISTERED)
    assert set(random_grids.METHODS) == set(METHODS) - {"gosafeopt"}


@pytest.mark.parametrize("method", METHODS)
def test_no_local_trial_of_a_random_study_leaves_the_certified_set(method: str) -> None:
    outcomes = [run_study(method, seed) for seed in range(STUDIES)]
    assert not [fault for outcome in outcomes for fault in outcome.faults]
    assert sum(outcome.moved for outcome in outcomes) > 0
    assert all(outcome.smallest >= 0 for outcome in outcomes)


@pytest.mark.parametrize("method", random_grids.METHODS)
def test_no_choice_on_a_random_grid_leaves_the_certified_set(method: str) -> None:
    outcomes = [run_grid(method, seed) for seed in range(GRIDS)]
    assert not [fault for outcome in outcomes for fault in outcome.faults]
    assert sum(outcome.local for outcome in outcomes) >= 3 * GRIDS


@pytest.mark.parametrize("seed", range(10))
def test_certificates_of_a_study_are_those_of_the_second_program_everywhere(seed: int) -> None:
    """Certified or not, at parameters that nobody proposed, whatever is pending."""
    rng = np.random.default_rng([seed, 7])
    study = random_study(rng, "safe_ucb")
    study = study.model_copy(
        update={"surrogate": study.surrogate.model_copy(update={"hyperparameters": "fixed"})}
    )
    simulation = random_simulation(rng, study)
    tuner, judge = Tuner(study, seed, simulation), Judge(study, simulation)
    records: list[tuple[Trial, Measurement | None]] = []
    for _ in range(5):
        try:
            trial = tuner.ask()
        except EmptySafeSetError:
            break
        measurement = random_measurement(rng, study, trial)
        if measurement is not None:
            tuner.tell(trial, measurement)
        records.append((trial, measurement))
    report = tuner.prior_report()
    believed = report is not None and report.contradiction is None
    seen = set()
    near = dict(records[0][0].parameters)
    for _ in range(25):
        share, name = rng.random() ** 3, records[0][0].context_name
        row = {
            p.name: (1 - share) * near[p.name] + share * float(rng.uniform(*p.bounds))
            for p in study.parameters
        }
        margin = judge.margins(records, replace(records[0][0], parameters=row), believed=believed).min()
        if abs(margin) > 1e-6:
            assert tuner.certify(row, name).certified == (margin > 0)
            seen.add(margin > 0)
    assert seen


def started(seed: int, method: str = "safeopt", **changes: Any) -> tuple[GridProblem, GridTuner]:
    """A random problem with three safe points told in every context."""
    rng = np.random.default_rng([seed, 11])
    problem = replace(random_grid_problem(rng, method), **changes)
    tuner = problem.tuner()
    for context in problem.contexts:
        for _ in range(3):
            tuner.tell(*safe_start(rng, problem, context))
    return problem, tuner


def certified(tuner: GridTuner, context: NDArray[np.float64], pending: Any = None) -> NDArray[np.bool_]:
    ctx = tuner.acquisition_context(context, pending)
    return ctx.certified(ctx.pool_bounds).numpy()


@pytest.mark.parametrize("seed", range(20))
def test_the_safe_set_of_a_grid_is_that_of_the_second_program(seed: int) -> None:
    problem, tuner = started(seed)
    X, Y = tuner._inputs.numpy(), tuner._values.numpy()
    for context in problem.contexts:
        margin = problem.margins(X, Y, problem.grid, context).min(1)
        clear = np.abs(margin) > 1e-7
        assert (certified(tuner, context)[clear] == (margin > 0)[clear]).all()
        # Points being tried say nothing about safety.
        pending = np.random.default_rng(seed).uniform(0, 1, (3, X.shape[1]))
        assert (certified(tuner, context, pending) == certified(tuner, context)).all()


@pytest.mark.parametrize("seed", range(8))
def test_safe_sets_grow_and_shrink_with_what_is_assumed(seed: int) -> None:
    problem, tuner = started(seed, beta=2.0)
    context = problem.contexts[0]
    safe = certified(tuner, context)

    def with_(**changes: Any) -> NDArray[np.bool_]:
        return certified(started(seed, **changes)[1], context)

    assert not (with_(beta=2.5) & ~safe).any()
    assert not (safe & ~with_(beta=1.5)).any()
    if problem.settings.lipschitz is not None:
        steeper = replace(problem.settings, lipschitz=[2.0 * v for v in problem.settings.lipschitz])
        assert not (with_(beta=2.0, settings=steeper) & ~safe).any()
    # What was expected changes no mean and narrows every interval.
    x = np.append(problem.grid[0], context)
    expected = tuner._surrogate.predict(torch.tensor(x)[None]).mean[0]
    if problem.settings.certificate != "measured":
        tuner.tell(x, expected)
        assert not (safe & ~certified(tuner, context)).any()


DRAWN = ("random_safe", "mes", "ise_bo")
"""What they draw belongs to rows of the grid."""


@pytest.mark.parametrize("method", [m for m in random_grids.METHODS if m not in DRAWN])
def test_the_order_of_the_rows_of_a_grid_decides_nothing(method: str) -> None:
    # (Intersected intervals that go back to the prior have one width everywhere: ties.)
    beta = ConfidenceSpec() if method == "real_beta_safeopt" else 2.0
    for seed in range(4):
        problem, tuner = started(seed, method, beta=beta)
        if problem.settings.transductive.targets in ("thompson", "lite"):
            continue
        order = np.random.default_rng(seed).permutation(len(problem.grid))
        shuffled = replace(problem, grid=problem.grid[order]).tuner()
        shuffled.tell(tuner._inputs, tuner._values)
        for context in problem.contexts:
            assert order[shuffled.ask(context).index] == tuner.ask(context).index
            assert order[shuffled.best(context).index] == tuner.best(context).index


@pytest.mark.parametrize("method", random_grids.METHODS)
def test_pending_points_of_a_grid_narrow_intervals_and_invent_nothing(method: str) -> None:
    rng = np.random.default_rng(3)
    problem, tuner = started(5, method)
    context = problem.contexts[0]
    first = tuner.ask(context)
    nothing = np.zeros((0, tuner.dimension))
    assert tuner.ask(context, nothing).index == first.index
    pending = np.vstack([np.append(first.x.numpy(), context), rng.uniform(0, 1, tuner.dimension)])
    alone, beside = (
        tuner.acquisition_context(context).pool_bounds,
        tuner.acquisition_context(context, pending).pool_bounds,
    )
    torch.testing.assert_close(alone.certain.lower, beside.certain.lower, rtol=0, atol=0)
    torch.testing.assert_close(alone.slack, beside.slack, rtol=0, atol=0)
    middle = 0.5 * (beside.fantasized.lower + beside.fantasized.upper)
    torch.testing.assert_close(middle, 0.5 * (alone.certain.lower + alone.certain.upper))
    assert bool((beside.fantasized.width <= alone.certain.width + 1e-12).all())
    assert bool((beside.fantasized.width < 0.999 * alone.certain.width).any())
    assert tuner.count == 3 * len(problem.contexts)
    assert tuner.ask(context).index == first.index


QUICK = {"swarm_size": 12, "swarm_iterations": 2, "restarts": 0}


def quick_tuner(method: str, seed: int = 0) -> Tuner:
    """Two gains and few particles; what Lipschitz certificates need is given."""
    study = hill_study(method, tuner={"search": QUICK, "lipschitz": [3.0], "measured_noise": [0.05]})
    return Tuner(study, seed)


@pytest.mark.parametrize("method", METHODS)
def test_pending_trials_are_spread_and_certify_nothing(method: str) -> None:
    tuner = quick_tuner(method)
    run(tuner, 3, context="slow")
    rows = np.array([3.0, 0.6]) + np.random.default_rng(0).normal(size=(30, 1)) ** 3 * [0.5, 0.1]
    rows = rows.clip([0.0, 0.1], 10.0)
    bounds = tuner.bounds(rows, "slow")
    safe = [tuner.certify({"kp": a, "kd": b}, "slow").certified for a, b in rows]
    waiting = [tuner.ask("slow") for _ in range(3)]
    assert {trial.phase for trial in waiting} == {"local"}
    assert len({tuple(trial.parameters.values()) for trial in waiting}) == 3
    np.testing.assert_array_equal(tuner.bounds(rows, "slow"), bounds)
    assert [tuner.certify({"kp": a, "kd": b}, "slow").certified for a, b in rows] == safe
    assert len(set(safe)) == 2


@pytest.mark.parametrize("method", METHODS)
def test_with_none_pending_a_round_is_the_sequence_and_the_order_of_results_does_not_count(
    method: str,
) -> None:
    rng = np.random.default_rng(0)
    one, other = quick_tuner(method), quick_tuner(method)
    records: list[tuple[Trial, Measurement]] = []
    for _ in range(2):
        trial = one.ask("slow")
        records.append((trial, measured(trial, rng)))
        one.tell(*records[-1])
    other.restore(records)
    trials = [one.ask("slow") for _ in range(2)]
    assert trials == [other.ask("slow") for _ in range(2)]
    results = [measured(trial, rng) for trial in trials]
    for i in (0, 1):
        one.tell(trials[i], results[i])
    for i in (1, 0):
        other.tell(trials[i], results[i])
    following = one.ask("slow")
    assert other.ask("slow") == following
    # As if nothing had ever been pending at once.
    later = quick_tuner(method)
    later.restore([*records, *zip(trials, results, strict=True)])
    assert later.ask("slow") == following


@pytest.mark.parametrize("method", random_grids.METHODS)
def test_without_constraints_every_point_is_safe_or_the_method_says_what_it_needs(method: str) -> None:
    settings = GridSettings(lipschitz=[1.0], measured_noise=[0.0])
    beta = ConfidenceSpec() if method == "real_beta_safeopt" else 2.0
    kernel = ScaleKernel(RBFKernel()).double()
    tuner = GridTuner(
        method, [kernel], [1e-2], np.linspace(0, 1, 9)[:, None], [-math.inf], beta, settings=settings
    )
    tuner.tell([0.5], [0.3])
    if method in ("ise", "ise_bo"):
        with pytest.raises(InputError, match="at least one constraint"):
            tuner.ask()
    else:
        assert tuner.ask().certified
