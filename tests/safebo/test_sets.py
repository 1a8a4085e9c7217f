"""Sets against brute force over pairs of candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_cases import direct_posterior

from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate
from safebo.safety.sets import hallucinated_expanders, lipschitz_expanders, maximizers


def candidates(seed: int, n: int = 18, c: int = 2) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    X = torch.tensor(rng.random((n, 2)))
    lower = torch.tensor(rng.normal(0.0, 0.6, (n, c)))
    upper = lower + torch.tensor(rng.random((n, c)))
    thresholds = torch.tensor(rng.normal(0.0, 0.1, c))
    lipschitz = torch.tensor(rng.uniform(0.3, 3.0, c))
    return X, lower, upper, thresholds, lipschitz, torch.cdist(X, X)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_lipschitz_sets_are_those_of_their_definitions(seed: int) -> None:
    _, lower, upper, thresholds, lipschitz, distances = candidates(seed)
    n, c = lower.shape
    safe = (lower >= thresholds).all(-1)
    for rule, combine in (("all", all), ("any", any)):
        expanders = lipschitz_expanders(upper, thresholds, distances[:, ~safe], lipschitz, rule)  # type: ignore[arg-type]
        for i in range(n):
            expected = any(
                combine(bool(upper[i, k] - lipschitz[k] * distances[i, j] >= thresholds[k]) for k in range(c))
                for j in range(n)
                if not safe[j]
            )
            assert bool(expanders[i]) == expected
    best = maximizers(lower[:, 0], upper[:, 0], safe)
    for i in range(n):
        expected = bool(safe[i]) and all(not safe[j] or upper[i, 0] >= lower[j, 0] for j in range(n))
        assert bool(best[i]) == expected


@pytest.mark.parametrize("rule", ["all", "any"])
@pytest.mark.parametrize("seed", range(4))
def test_hallucinated_expanders_are_those_of_a_refitted_posterior(rule: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    beta, thresholds = 2.0, torch.tensor([0.0, 0.1], dtype=torch.float64)
    models = [FunctionModel(str(i), "matern32", (0.4, 0.3), -0.2 * i, 1.0, 0.01) for i in range(3)]
    s = Surrogate.prior(models)
    data = rng.random((6, 2))
    values = rng.normal(0.6, 0.4, (6, 3))
    for x, y in zip(data, values, strict=True):
        s = s.observed(torch.tensor(x), list(y))
    X, targets = rng.random((12, 2)), rng.random((15, 2))
    fixed = [p.fixed(torch.tensor(targets)) for p in s.posteriors[1:]]
    found = hallucinated_expanders(s.posteriors[1:], torch.tensor(X), fixed, thresholds, beta, rule)  # type: ignore[arg-type]
    hits = 0
    for i, x in enumerate(X):
        holds = np.zeros((len(targets), 2), dtype=bool)
        now = np.zeros_like(holds)
        for k in (1, 2):
            args = ("matern32", np.array([0.4, 0.3]), 1.0, -0.2 * k, 0.01)
            mean, cov = direct_posterior(*args, data, values[:, k], x[None])
            upper = mean[0] + beta * np.sqrt(cov[0, 0])
            for j, (inputs, y) in enumerate(
                ((np.vstack([data, x]), np.append(values[:, k], upper)), (data, values[:, k]))
            ):
                m, v = direct_posterior(*args, inputs, y, targets)
                (holds, now)[j][:, k - 1] = m - beta * np.sqrt(np.diag(v)) >= float(thresholds[k - 1])
        expected = holds.all(1).any() if rule == "all" else (holds & ~now).any()
        assert bool(found[i]) == bool(expected)
        hits += int(expected)
    assert hits > 0 or seed != 0


def test_empty_sets() -> None:
    X, lower, upper, thresholds, lipschitz, distances = candidates(0)
    none = torch.zeros(len(X), dtype=torch.bool)
    assert not maximizers(lower[:, 0], upper[:, 0], none).any()
    assert not lipschitz_expanders(upper, thresholds, distances[:, none], lipschitz).any()
