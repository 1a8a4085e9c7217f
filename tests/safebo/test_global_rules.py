"""The rules of global phases against brute force, written from their formulas in numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from island_case import BACKUP, completed, island_study, trial_of
from numpy.typing import NDArray

from safebo.acquisition import AcquisitionContext, acquisition_class
from safebo.acquisition.base import Told
from safebo.acquisition.gosafeopt import OutsideSafeSet
from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate
from safebo.optim import search_box, unit_grid
from safebo.study import GlobalSpec, SearchSpec
from safebo.tuner import Tuner
from safebo.tuner.proposer import Proposer
from safebo.types import Measurement

FloatArray = NDArray[np.float64]
RULES = ("widest_outside", "maximin_distance", "uncertainty_covariance")
CONTEXT = 0.45
MODELS = (
    FunctionModel("f", "matern32", (0.4, 0.3, 0.8), 0.0, 1.5, 1e-3),
    FunctionModel("g", "rbf", (0.2, 0.5, 0.8), -0.2, 0.6, 1e-3),
)
BETAS = (2.0, 3.0)


def correlation(a: FloatArray, b: FloatArray, model: FunctionModel) -> FloatArray:
    difference = (a[:, None] - b[None]) / np.array(model.lengthscale)
    r = np.sqrt((difference**2).sum(-1))
    if model.kind == "rbf":
        return np.exp(-(r**2) / 2)
    return (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)


def moments(
    X: FloatArray, data: FloatArray, y: FloatArray, model: FunctionModel
) -> tuple[FloatArray, FloatArray]:
    """Posterior mean and standard deviation by solving with the whole covariance matrix."""
    K = model.variance * correlation(data, data, model) + model.noise_variance * np.eye(len(data))
    k = model.variance * correlation(X, data, model)
    solved = np.linalg.solve(K, np.column_stack([y - model.mean, k.T]))
    return model.mean + k @ solved[:, 0], np.sqrt(model.variance - (k * solved[:, 1:].T).sum(1))


def lifted(points: FloatArray) -> FloatArray:
    return np.column_stack([points, np.full(len(points), CONTEXT)])


class Case:
    """Three measured and two failed parameters in one context; the measured ones certify a patch around them."""

    measured = np.array([[0.5, 0.5], [0.55, 0.45], [0.45, 0.6]])
    failed = np.array([[0.9, 0.9], [0.05, 0.2]])
    values = np.array([[0.2, 0.8], [0.3, 0.9], [0.1, 0.7]])

    def acquisition_context(self, failed: bool = True) -> AcquisitionContext:
        surrogate = Surrogate.prior(MODELS)
        for x, y in zip(lifted(self.measured), self.values, strict=True):
            surrogate = surrogate.observed(torch.tensor(x), y.tolist())
        away = self.failed if failed else np.zeros((0, 2))
        return AcquisitionContext(
            surrogate=surrogate,
            fantasized=surrogate.fantasized(torch.tensor(lifted(away))),
            context=torch.tensor([CONTEXT], dtype=torch.float64),
            dimension=2,
            thresholds=torch.zeros(1, dtype=torch.float64),
            beta=torch.tensor(BETAS, dtype=torch.float64),
            incumbent=0.0,
            told=Told(torch.tensor(self.measured), torch.tensor(self.values), torch.tensor(away)),
        )

    def scores(self, name: str, grid: FloatArray) -> FloatArray:
        """By the formulas, -inf in the safe set."""
        X, data = lifted(grid), lifted(self.measured)
        away = lifted(self.failed)
        everything = np.vstack([data, away])
        known = [moments(X, data, self.values[:, i], m) for i, m in enumerate(MODELS)]
        # Fantasized observations change no mean, and variances do not depend on the values.
        narrowed = [moments(X, everything, np.zeros(len(everything)), m)[1] for m in MODELS]
        outside = known[1][0] - BETAS[1] * known[1][1] < 0
        if name == "maximin_distance":
            tried = np.vstack([self.measured, self.failed])
            score = np.sqrt(((grid[:, None] - tried[None]) ** 2).sum(-1)).min(1)
        elif name == "uncertainty_covariance":
            deviation = np.max(
                [s / np.sqrt(m.variance) for s, m in zip(narrowed, MODELS, strict=True)], axis=0
            )
            near = np.max([correlation(X, everything, m).max(1) for m in MODELS], axis=0)
            score = deviation * np.exp(-5 * near)
        else:
            widths = [
                2 * b * s / np.sqrt(m.variance) for b, s, m in zip(BETAS, narrowed, MODELS, strict=True)
            ]
            upper = [mean + b * s for b, (mean, s) in zip(BETAS, known, strict=True)]
            score = np.max(widths, axis=0) * np.where((upper[0] >= 0.0) & (upper[1] >= 0.0), 1.0, 0.1)
        return np.where(outside, score, -np.inf)


@pytest.mark.parametrize("name", RULES)
def test_scores_are_those_of_the_formulas(name: str) -> None:
    case, grid = Case(), unit_grid(2, 23)
    score, slack = acquisition_class(name)(case.acquisition_context()).evaluate(grid)
    expected = case.scores(name, grid.numpy())
    assert 10 < np.isinf(expected).sum() < 400
    np.testing.assert_allclose(score.numpy(), expected, rtol=1e-8, atol=1e-9)
    assert torch.isinf(slack).all()


@pytest.mark.parametrize("name", RULES)
def test_the_search_finds_the_best_point_outside_and_keeps_from_failed_ones(name: str) -> None:
    case = Case()
    s = case.acquisition_context()
    nothing = torch.zeros(0, 2, dtype=torch.float64)
    acquisition = acquisition_class(name)(s)
    spec = SearchSpec(swarm_size=60, swarm_iterations=20, restarts=4)
    found = search_box(acquisition, nothing, np.random.default_rng(0), spec)
    assert float(found.scores[0]) >= case.scores(name, unit_grid(2, 41).numpy()).max() - 1e-2
    best = found.points[:1]
    assert not bool(s.certified(s.bounds_at(best)))
    # The best point fails: the next one lies elsewhere.
    shunned = replace(
        s,
        fantasized=s.fantasized.fantasized(s.inputs(best)),
        told=replace(s.told, visited=torch.cat([s.told.visited, best])),
    )
    other = search_box(acquisition_class(name)(shunned), nothing, np.random.default_rng(0), spec)
    assert float((other.points[0] - best[0]).norm()) > 0.1


@pytest.mark.parametrize("name", RULES)
def test_before_anything_was_tried_every_point_has_a_score(name: str) -> None:
    s = replace(Case().acquisition_context(), told=Told(*[torch.zeros(0, 0, dtype=torch.float64)] * 3))
    score, _ = acquisition_class(name)(s).evaluate(
        torch.tensor([[0.0, 0.0], [1.0, 0.1]], dtype=torch.float64)
    )
    assert torch.isfinite(score).all()


def test_studies_can_name_exactly_these_and_none_promises_anything() -> None:
    assert set(GlobalSpec.model_fields["rule"].annotation.__args__) == set(RULES)  # type: ignore[union-attr]
    for name in RULES:
        rule = acquisition_class(name)
        assert issubclass(rule, OutsideSafeSet)
        assert not rule.certified_only
        assert "Guarantee: none" in (rule.__doc__ or "")
        assert "Source:" in (rule.__doc__ or "")


@pytest.mark.parametrize("rule", RULES)
def test_failed_points_are_free_again_once_their_states_are_covered(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner's global search with the failed set, and after the check of it has emptied it."""
    used: list[type] = []
    search = Proposer.search

    def spy(self: Proposer, acquisition: Any, *arguments: Any) -> Any:
        used.append(type(acquisition))
        return search(self, acquisition, *arguments)

    monkeypatch.setattr(Proposer, "search", spy)
    corners = np.array([[1.0, 0.0], [1.0, 1.0]])
    stopped = Measurement("backup", margins={"margin": 0.1}, backup_state=np.array([0.95]))
    stops = [
        replace(trial_of(i + 2, "global", k), parameters={"k": k, "d": d}) for i, (k, d) in enumerate(corners)
    ]
    tuner = Tuner(island_study(global_rule=rule, backup={**BACKUP, "inter_sample": 0.0}), 0)
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4, 0.3])),
            *((trial, stopped) for trial in stops),
        ]
    )

    def nearest_corner() -> float:
        found = tuner._planner._search_outside("default", torch.tensor([[0.2, 0.5]], dtype=torch.float64))
        assert found is not None
        return float(np.linalg.norm(corners - tuner.encoding.space.to_unit(found.row), axis=1).min())

    assert nearest_corner() > 0.2
    assert used[-1] is acquisition_class(rule)
    tuner.tell_manual({"k": 0.21, "d": 0.5}, "default", completed(-0.2, 0.45, [0.95, 0.6, 0.5]))
    assert tuner._watching.failed_set("default") == []
    if rule == "maximin_distance":  # the corners are what lies furthest from the seed
        assert nearest_corner() < 1e-3
