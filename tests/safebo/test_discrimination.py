"""Trials that are made to tell a declared prior from the cautious one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.acquisition import GridSettings, GridTuner
from safebo.acquisition.discrimination import MOST_TRIALS, SHARE
from safebo.models.discrimination import divergence
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.trust import TrustRule
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.tuner.planner import FOR_EVIDENCE
from safebo.types import Measurement

GRID = [[i / 60] for i in range(61)]


def posterior(lengthscale: float, X: np.ndarray, y: np.ndarray) -> Posterior:
    kernel = StationaryKernel("rbf", torch.tensor([lengthscale], dtype=torch.float64), 1.0)
    return Posterior.prior(kernel, 0.0, 0.01, 1).conditioned(torch.tensor(X), torch.tensor(y))


def dense(lengthscale: float, X: np.ndarray, y: np.ndarray, Z: np.ndarray) -> torch.distributions.Normal:
    """The predictive density of measurements at Z, by dense equations."""

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((a - b.T) / lengthscale) ** 2)

    solved = np.linalg.solve(k(X, X) + 0.01 * np.eye(len(X)), k(X, Z)).T
    variance = 1.01 - (solved * k(X, Z).T).sum(1)
    return torch.distributions.Normal(torch.tensor(solved @ y), torch.tensor(variance).sqrt())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 0.5), st.floats(0.1, 0.5))
def test_expected_evidence_is_the_divergence_of_the_predictives(seed: int, one: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    X, y, Z = rng.random((5, 1)), rng.normal(size=5), rng.random((7, 1))
    found = divergence(posterior(one, X, y), posterior(other, X, y), torch.tensor(Z))
    wanted = torch.distributions.kl_divergence(dense(one, X, y, Z), dense(other, X, y, Z))
    assert found.numpy() == pytest.approx(wanted.numpy(), abs=1e-6)


def functions(x: Any) -> list[float]:
    """A peak beside the seed that a greedy rule never leaves, and a margin of lengthscale 0.2 or so."""
    x = float(np.asarray(x).reshape(-1)[0])
    return [2.0 * math.exp(-0.5 * ((x - 0.45) / 0.05) ** 2), 1.0 + 0.8 * math.cos(9.0 * x)]


def grid_tuner(evidence: float = 1e9, caution: float = 0.5) -> GridTuner:
    kernel = ScaleKernel(RBFKernel()).double()
    kernel.outputscale, kernel.base_kernel.lengthscale = 1.0, 0.3
    rule = TrustRule.of([caution], evidence, 0.05, 0.01, 1)
    chosen = GridSettings(prior_means=[0.0, 0.5], trust=rule)
    return GridTuner("safe_ucb", [kernel] * 2, [0.01] * 2, GRID, [-math.inf, 0.0], 2.0, settings=chosen)


def test_a_grid_tuner_spends_a_few_certified_trials_on_evidence() -> None:
    tuner, spent = grid_tuner(), 0
    tuner.tell([0.45], functions(0.45))
    for _ in range(40):
        choice = tuner.ask()
        ctx = tuner.acquisition_context()
        safe = ctx.certified(ctx.pool_bounds)
        assert choice.certified
        assert bool(safe[choice.index])
        again = tuner.ask()
        assert again.index == choice.index  # asking registers nothing
        (over, under), = ctx.rivals  # fmt: skip
        value = torch.where(safe, divergence(over, under, tuner.grid), -torch.inf)
        own = tuner.acquisition(ctx).grid_scores()
        if choice.index != int(own.argmax()):
            spent += 1
            assert float(value[choice.index]) == pytest.approx(float(value.max()))
            assert float(value[int(own.argmax())]) < SHARE * float(value.max())
        tuner.tell(choice.x, functions(choice.x))
    assert 2 <= spent <= MOST_TRIALS


def test_nothing_is_spent_on_what_is_decided() -> None:
    tuner = grid_tuner(evidence=1e-9)
    tuner.tell([0.45], functions(0.45))
    for _ in range(10):
        ctx = tuner.acquisition_context()
        assert ctx.rivals == ()
        choice = tuner.ask()
        # (Of several points with this score the seed takes one.)
        assert choice.score == pytest.approx(float(tuner.acquisition(ctx).grid_scores().max()), rel=1e-8)
        tuner.tell(choice.x, functions(choice.x))


def study(**surrogate: Any) -> Study:
    return Study.model_validate(
        {
            "name": "s",
            "evaluator": {"name": "legged"},
            "parameters": [{"name": "a", "bounds": [0, 1]}],
            "objective": {"name": "o", "prior_mean": 0, "prior_std": 1, "noise_std": 0.1},
            "constraints": [{"name": "m", "prior_mean": 0.5, "prior_std": 1, "noise_std": 0.1}],
            "seeds": [{"parameters": {"a": 0.45}}],
            "surrogate": {"kernel": "rbf", "lengthscale": 0.3, "trust": "earned", "evidence": 1e9}
            | surrogate,
            "tuner": {"method": "safe_ucb", "beta": 2.0},
        }
    )


def ran(study: Study, trials: int) -> Tuner:
    tuner = Tuner(study, 0)
    for _ in range(trials):
        trial = tuner.ask()
        objective, margin = functions(trial.parameters["a"])
        tuner.tell(trial, Measurement("completed", objective, {"m": margin}))
    return tuner


@pytest.mark.slow
def test_a_run_says_which_trials_were_made_for_evidence_and_counts_them() -> None:
    tuner = ran(study(), 24)
    made = [r.trial for r in tuner.history if r.trial.reason.startswith(FOR_EVIDENCE)]
    assert 2 <= len(made) <= MOST_TRIALS
    assert all(trial.certified and trial.phase == "local" for trial in made)
    other = Tuner(study(), 0)
    other.restore([(r.trial, r.measurement) for r in tuner.history])
    assert other.ask() == tuner.ask()
    declared = ran(study(trust="declared", evidence=None), 6)
    assert not any(r.trial.reason.startswith(FOR_EVIDENCE) for r in declared.history)


def test_a_prior_that_the_evidence_speaks_against_is_not_pursued() -> None:
    """Margins far rougher than declared: trials for evidence end once the cautious prior is three times likelier."""
    rng = np.random.default_rng(0)
    tuner = grid_tuner(caution=0.2)
    X = np.linspace(0.3, 0.6, 14)[:, None]
    tuner.tell(X, np.stack([np.zeros(14), 1.0 + 0.5 * np.sign(rng.normal(size=14))], 1))
    (found,) = tuner.trust
    assert found.log_evidence[0] < -math.log(3.0)
    assert tuner.acquisition_context().rivals == ()
