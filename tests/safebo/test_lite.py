"""Probabilities of maximality against Monte Carlo over independent values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.models import ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.acquisition import lite
from safebo.errors import InputError

DTYPE = torch.float64


def marginals(kind: str, n: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(3)
    x = np.linspace(0, 1, n)
    if kind == "equal":
        mean, std = np.zeros(n), np.ones(n)
    elif kind == "random":
        mean, std = rng.normal(size=n), rng.uniform(0.2, 1.0, n)
    else:  # like a posterior: two bumps, certain at one and uncertain at the other
        mean = np.exp(-(((x - 0.3) / 0.1) ** 2)) + 0.8 * np.exp(-(((x - 0.8) / 0.1) ** 2))
        std = 0.05 + 0.3 * x
    return torch.tensor(mean), torch.tensor(std)


def monte_carlo(
    mean: torch.Tensor, std: torch.Tensor, feasibility: torch.Tensor, draws: int = 60_000
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(len(mean), dtype=DTYPE)
    for _ in range(draws // 10_000):
        values = mean.float() + std.float() * torch.randn(10_000, len(mean), generator=generator)
        if not bool((feasibility == 1).all()):
            drawn = torch.rand(values.shape, generator=generator) < feasibility.float()
            values = torch.where(drawn, values, -torch.inf)
        counts += torch.bincount(values.argmax(-1), minlength=len(mean))
    return counts / counts.sum()


CASES = [
    ("equal", "all"),
    ("random", "all"),
    ("posterior", "all"),
    ("random", "mask"),
    ("posterior", "probability"),
    ("random", "probability"),
]


@pytest.mark.parametrize(("kind", "constrained"), CASES)
def test_probabilities_against_monte_carlo_on_a_thousand_points(kind: str, constrained: str) -> None:
    mean, std = marginals(kind)
    w = torch.ones_like(mean)
    if constrained == "mask":
        w[:400] = 0.0
    elif constrained == "probability":
        w = torch.linspace(1, 0, len(mean), dtype=DTYPE)
    truth = monte_carlo(mean, std, w)
    # The distance that 60,000 draws leave to the probabilities themselves.
    noise = 0.4 * float((truth * (1 - truth) / 60_000).sqrt().sum())
    p = lite.f_lite(mean, std, w)
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-12)
    assert bool((p[w == 0] == 0).all())
    assert 0.5 * float((p - truth).abs().sum()) <= noise + 0.07
    assert float((p - truth).abs().max()) <= 0.2 * float(truth.max()) + 1e-3


def exact(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Probability that each independent value is the largest, by quadrature."""
    t = torch.linspace(float((mean - 9 * std).min()), float((mean + 9 * std).max()), 40_001, dtype=DTYPE)
    z = (t - mean[:, None]) / std[:, None]
    density = torch.exp(-0.5 * z.square()) / (std[:, None] * np.sqrt(2 * np.pi))
    log_cdf = torch.special.log_ndtr(z)
    return torch.trapezoid(density * torch.exp(log_cdf.sum(0) - log_cdf), t)


def test_the_exact_probabilities_of_a_few_points_are_close() -> None:
    mean = torch.tensor([0.0, 0.4, -0.3, 0.9, 0.2], dtype=DTYPE)
    std = torch.tensor([1.0, 0.5, 0.8, 0.2, 1.5], dtype=DTYPE)
    truth = exact(mean, std)
    assert float(truth.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float((lite.f_lite(mean, std) - truth).abs().max()) <= 0.1


def test_f_lite_solves_its_equation_and_is_the_independent_formula_at_the_level() -> None:
    mean, std = marginals("posterior")
    level = lite.f_lite_level(mean, std)
    p = torch.distributions.Normal(0.0, 1.0).cdf((mean - level) / std)
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(lite.f_lite(mean, std), p, rtol=1e-10, atol=1e-15)


def test_a_lite_has_the_quartiles_of_the_maximum() -> None:
    mean, std = marginals("random")
    center, spread = lite.maximum_moments(mean, std)
    for q, sign in ((0.25, -1.0), (0.75, 1.0)):
        t = center + sign * 0.6744897501960817 * spread
        assert float(torch.special.ndtr((t - mean) / std).prod()) == pytest.approx(q, abs=1e-10)


def test_one_feasible_point_is_the_maximum_and_none_is_an_error() -> None:
    mean, std = marginals("random", 20)
    mask = torch.zeros(20, dtype=torch.bool)
    with pytest.raises(InputError, match="no candidate is feasible"):
        lite.f_lite(mean, std, mask)
    with pytest.raises(InputError, match="two vectors of one length"):
        lite.f_lite(mean, std[:3])
    assert int(lite.f_lite(mean, std, torch.arange(20) == 7).argmax()) == 7


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(-100, 100), st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_shifting_and_scaling_the_values_changes_nothing(
    seed: int, n: int, shift: float, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, dtype=DTYPE, generator=generator)
    std = 0.1 + torch.rand(n, dtype=DTYPE, generator=generator)
    p = lite.f_lite(mean, std)
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(lite.f_lite(shift + scale * mean, scale * std), p, rtol=1e-6, atol=1e-9)
    order = torch.randperm(n, generator=generator)
    torch.testing.assert_close(lite.f_lite(mean[order], std[order]), p[order], rtol=1e-6, atol=1e-9)
    # Of two values with one deviation the larger mean is never the less probable maximum.
    equal = lite.f_lite(mean, torch.full_like(std, 0.5))[mean.argsort()]
    assert bool((equal.diff() >= -1e-12).all())


def model() -> ModelListGP:
    x = torch.tensor([[0.1], [0.35], [0.5], [0.9]], dtype=DTYPE)
    values = (torch.sin(6 * x), 0.8 - x)
    return ModelListGP(*(SingleTaskGP(x, y, outcome_transform=None) for y in values)).eval()


@pytest.mark.parametrize("estimate", ["f_lite", "a_lite"])
@pytest.mark.parametrize("thresholds", [None, torch.zeros(1, dtype=DTYPE)])
def test_optimize_acqf_finds_the_most_probable_maximum(
    estimate: str, thresholds: torch.Tensor | None
) -> None:
    points = torch.linspace(0, 1, 201, dtype=DTYPE).unsqueeze(1)
    function = lite.ProbabilityOfMaximality(model(), points, estimate, thresholds)  # type: ignore[arg-type]
    values = function(points.unsqueeze(1)).detach()
    if estimate == "f_lite":
        assert float(values.sum()) == pytest.approx(1.0, abs=1e-9)
    bounds = torch.tensor([[0.0], [1.0]], dtype=DTYPE)
    torch.manual_seed(0)
    x, value = optimize_acqf(function, bounds, q=1, num_restarts=8, raw_samples=64)
    assert x.shape == (1, 1)
    assert float(value) >= float(values.max()) - 1e-9


def test_the_model_and_thresholds_must_fit() -> None:
    points = torch.zeros(2, 1, dtype=DTYPE)
    with pytest.raises(InputError, match="2 thresholds for a model with 2 outputs"):
        lite.ProbabilityOfMaximality(model(), points, thresholds=torch.zeros(2, dtype=DTYPE))
    with pytest.raises(InputError, match="allowed are f_lite and a_lite"):
        lite.ProbabilityOfMaximality(model(), points, "c_lite")  # type: ignore[arg-type]


@pytest.mark.parametrize("estimate", ["f_lite", "a_lite"])
def test_pending_points_shrink_deviations_and_the_maximum_follows(estimate: str) -> None:
    points = torch.linspace(0, 1, 41, dtype=DTYPE).unsqueeze(1)
    pending = torch.tensor([[0.2], [0.7]], dtype=DTYPE)
    threshold = torch.zeros(1, dtype=DTYPE)
    gps = model()
    # The deviations by explicit conditioning of each output's own joint posterior.
    means, deviations = [], []
    for gp in gps.models:
        normal = gp.posterior(torch.cat([points, pending])).distribution
        mean, joint = normal.mean.detach().numpy(), normal.covariance_matrix.detach().numpy()
        noisy = joint[41:, 41:] + gp.likelihood.noise.item() * np.eye(2)
        variance = (joint[:41, :41] - joint[:41, 41:] @ np.linalg.solve(noisy, joint[41:, :41])).diagonal()
        means.append(torch.tensor(mean[:41]))
        deviations.append(torch.tensor(np.sqrt(variance)))
    w = torch.special.ndtr(means[1] / deviations[1])
    function = lite.ProbabilityOfMaximality(gps, points, estimate, threshold, X_pending=pending)  # type: ignore[arg-type]
    values = function(points.unsqueeze(1)).detach()
    if estimate == "f_lite":
        torch.testing.assert_close(values, lite.f_lite(means[0], deviations[0], w), rtol=1e-6, atol=1e-8)
    else:
        center, spread = lite.maximum_moments(means[0], deviations[0], w)
        expected = w * torch.special.ndtr((means[0] - center) / (deviations[0].square() + spread**2).sqrt())
        torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-8)
    # As BoTorch sets and removes them between the points of a sequence.
    later = lite.ProbabilityOfMaximality(gps, points, estimate, threshold)  # type: ignore[arg-type]
    before = later(points.unsqueeze(1)).detach()
    later.set_X_pending(pending)
    torch.testing.assert_close(later(points.unsqueeze(1)).detach(), values)
    bounds = torch.tensor([[0.0], [1.0]], dtype=DTYPE)
    later.set_X_pending(None)
    torch.manual_seed(0)
    x, _ = optimize_acqf(later, bounds, q=3, num_restarts=4, raw_samples=32, sequential=True)
    assert x.shape == (3, 1)
    torch.testing.assert_close(later(points.unsqueeze(1)).detach(), before)
