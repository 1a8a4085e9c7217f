"""Certificates by Lipschitz constants and intersected intervals, against brute force over definitions."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tuner_cases import hill_study, kernel_matrix

from safebo.models.confidence import Prediction, confidence_bounds, intersected_bounds, prefix_moments
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate
from safebo.safety.certificates import BoundsCertificate, LipschitzCertificate
from safebo.study.axis import RESOLUTION
from safebo.tuner import Tuner
from safebo.types import Measurement, Outcome

Array = NDArray[np.float64]


def test_bounds_alone_certify_where_they_hold() -> None:
    lower = torch.tensor([[0.5, -0.1], [0.2, 0.3]], dtype=torch.float64)
    thresholds = torch.tensor([0.2, -0.1], dtype=torch.float64)
    margins = BoundsCertificate().margins(torch.zeros(2, 1), lower, thresholds)
    torch.testing.assert_close(margins, torch.tensor([[0.3, 0.0], [0.0, 0.4]], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(6))
def test_a_lipschitz_certificate_is_the_union_over_tried_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, c, r = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 7))
    X, tried = rng.random((40, d)), rng.random((r, d))
    reference = rng.normal(size=(r, c))
    reference[rng.random((r, c)) < 0.2] = -math.inf  # not measured there
    constants, thresholds = rng.uniform(0.1, 5.0, c), rng.normal(size=c) * 0.3
    rule = LipschitzCertificate(torch.tensor(tried), torch.tensor(reference), torch.tensor(constants))
    margins = rule.margins(
        torch.tensor(X), torch.full((40, c), 9.0).double(), torch.tensor(thresholds)
    ).numpy()
    for n in range(40):
        for i in range(c):
            promises = [
                reference[j, i] - constants[i] * math.dist(X[n], tried[j]) - thresholds[i] for j in range(r)
            ]
            assert margins[n, i] == pytest.approx(max(promises), abs=1e-12)


def test_at_tried_points_nothing_is_lost_and_no_tried_point_certifies_nothing() -> None:
    tried = torch.rand(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rule = LipschitzCertificate(tried, torch.zeros(4, 1).double(), torch.tensor([2.0]).double())
    lower, thresholds = torch.full((4, 1), -9.0).double(), torch.zeros(1).double()
    torch.testing.assert_close(rule.margins(tried, lower, thresholds), torch.zeros(4, 1).double())
    empty = LipschitzCertificate(tried[:0], torch.zeros(0, 1).double(), torch.tensor([2.0]).double())
    assert bool((empty.margins(tried, lower, thresholds) == -math.inf).all())


QUICK = {"swarm_size": 12, "swarm_iterations": 2, "restarts": 0}


def unit(kp: float, kd: float) -> Array:
    """Coordinates as the tuner reads them, snapped to steps of 2e-9."""
    return np.rint(np.array([kp / 10.0, math.log(kd / 0.1) / math.log(100.0)]) * RESOLUTION) / RESOLUTION


def told_tuner(**tuner: object) -> tuple[Tuner, list[tuple[float, float, float]]]:
    """Four trials in `slow`, one in `fast`, one fall, one failure; those of `slow` that were measured come back."""
    study = hill_study("safeopt", tuner={"lipschitz": [1.5], "search": QUICK, **tuner})
    result = Tuner(study, 0)
    told = [(3.0, 0.6, 0.5), (3.5, 0.8, 0.42), (2.0, 0.5, 0.3), (8.0, 4.0, -0.2)]
    for kp, kd, margin in told:
        outcome: Outcome = "aborted" if margin < 0 else "completed"
        objective = None if margin < 0 else 0.1
        result.tell_manual({"kp": kp, "kd": kd}, "slow", Measurement(outcome, objective, {"margin": margin}))
    result.tell_manual({"kp": 6.0, "kd": 1.0}, "fast", Measurement("completed", 0.1, {"margin": 0.9}))
    result.tell_manual({"kp": 5.0, "kd": 1.0}, "slow", Measurement("failed"))
    return result, [*told[:3], (8.0, 4.0, -0.5)]  # an abort counts as one prior_std below the limit, or more


def test_losbo_certifies_by_measurements_alone() -> None:
    """`union over i of {x : y_i - E - L ||x - x_i|| >= h}`, whatever the surrogate believes."""
    tuner, told = told_tuner(certificate="measured", measured_noise=[0.07])
    stubborn, _ = told_tuner(certificate="measured", measured_noise=[0.07], beta=400.0)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        kp, kd = float(rng.uniform(0, 10)), float(0.1 * 100 ** rng.random())
        expected = max(y - 0.07 - 1.5 * math.dist(unit(kp, kd), unit(a, b)) for a, b, y in told)
        for t in (tuner, stubborn):
            certificate = t.certify({"kp": kp, "kd": kd}, "slow")
            assert certificate.certified == (expected >= 0)
            assert certificate.bounds["margin"].lower == pytest.approx(expected, abs=1e-12)
        seen.add(expected >= 0)
    assert len(seen) == 2


@pytest.mark.parametrize("intersect", [False, True])
def test_a_lipschitz_study_trusts_its_surrogate_only_where_it_has_data(intersect: bool) -> None:
    confidence = {"intersect": intersect, "schedule": "logarithmic"}
    tuner, told = told_tuner(certificate="lipschitz", confidence=confidence)
    by_bounds, _ = told_tuner(confidence=confidence)
    rng = np.random.default_rng(1)
    at_data = by_bounds.bounds([[kp, kd] for kp, kd, _ in told], "slow")[:, 1, 0]
    for _ in range(40):
        kp, kd = float(rng.uniform(1, 6)), float(rng.uniform(0.3, 2))
        expected = max(
            lower - 1.5 * math.dist(unit(kp, kd), unit(a, b))
            for lower, (a, b, _) in zip(at_data, told, strict=True)
        )
        certificate = tuner.certify({"kp": kp, "kd": kd}, "slow")
        assert certificate.bounds["margin"].lower == pytest.approx(expected, abs=1e-9)


LENGTHSCALE = np.array([0.25, 0.4])


def posteriors(noise: float, X: Array, y: Array) -> Posterior:
    result = Posterior.prior(StationaryKernel("rbf", torch.tensor(LENGTHSCALE), 1.3), -0.2, noise**2, 2)
    for x, value in zip(X, y, strict=True):
        result = result.extended(torch.tensor(x), float(value))
    return result


def naive(noise: float, X: Array, y: Array, Z: Array, betas: Array) -> tuple[Array, Array]:
    """Every posterior refitted; the present interval alone where the intersection is empty."""
    lows, highs = [], []
    for n in range(len(X) + 1):
        K = kernel_matrix("rbf", LENGTHSCALE, 1.3, X[:n], X[:n]) + noise**2 * np.eye(n)
        k = kernel_matrix("rbf", LENGTHSCALE, 1.3, Z, X[:n])
        mean = -0.2 + k @ np.linalg.solve(K, y[:n] + 0.2)
        std = np.sqrt(1.3 - np.einsum("ij,ji->i", k, np.linalg.solve(K, k.T)))
        lows.append(mean - betas[n] * std)
        highs.append(mean + betas[n] * std)
    low, high = np.max(lows, 0), np.min(highs, 0)
    empty = low > high
    return np.where(empty, lows[-1], low), np.where(empty, highs[-1], high)


@pytest.mark.parametrize(("beta", "wild"), [(2.0, 1.0), (0.3, 1.0), (0.3, 4.0)])
def test_intersected_bounds_are_those_of_a_loop_over_refitted_posteriors(beta: float, wild: float) -> None:
    rng = np.random.default_rng(2)
    X, Z = rng.random((9, 2)), rng.random((50, 2))
    values = [wild * rng.normal(size=9), wild * rng.normal(size=9)]
    surrogate = Surrogate([posteriors(0.1, X, values[0]), posteriors(0.3, X[:6], values[1][:6])])
    betas = [torch.linspace(beta, 2 * beta, n + 1, dtype=torch.float64) for n in (9, 6)]
    bounds = intersected_bounds(surrogate.posteriors, torch.tensor(Z), betas)
    present = confidence_bounds(surrogate.predict(torch.tensor(Z)), torch.stack([betas[0][-1], betas[1][-1]]))
    for i, (noise, n) in enumerate(((0.1, 9), (0.3, 6))):
        low, high = naive(noise, X[:n], values[i][:n], Z, betas[i].numpy())
        np.testing.assert_allclose(bounds.lower[:, i], low, atol=1e-9)
        np.testing.assert_allclose(bounds.upper[:, i], high, atol=1e-9)
    assert bool((bounds.lower <= bounds.upper).all())
    assert bool((bounds.lower >= present.lower - 1e-12).all())
    assert bool((bounds.upper <= present.upper + 1e-12).all())


def test_where_intervals_contradict_each_other_the_present_one_counts_alone() -> None:
    x = np.array([[0.5, 0.5]])
    posterior = posteriors(0.05, np.repeat(x, 2, 0), np.array([3.0, -3.0]))
    bounds = intersected_bounds([posterior], torch.tensor(x), [torch.full((3,), 1.0).double()])
    mean, variance = posterior.mean_variance(torch.tensor(x))
    # The first observation said 3, both together say 0: no value is in both intervals.
    first = posteriors(0.05, x, np.array([3.0])).mean_variance(torch.tensor(x))
    assert float(first[0] - first[1].sqrt()) > float(mean + variance.sqrt())
    torch.testing.assert_close(bounds.lower[:, 0], mean - variance.sqrt())
    torch.testing.assert_close(bounds.upper[:, 0], mean + variance.sqrt())


def test_the_moments_of_all_prefixes_are_those_of_each() -> None:
    rng = np.random.default_rng(3)
    X, y, Z = rng.random((7, 2)), rng.normal(size=7), rng.random((5, 2))
    mean, variance = prefix_moments(posteriors(0.1, X, y), torch.tensor(Z))
    for n in range(8):
        m, v = posteriors(0.1, X[:n], y[:n]).mean_variance(torch.tensor(Z))
        torch.testing.assert_close(mean[:, n], m)
        torch.testing.assert_close(variance[:, n], v)


def test_intersected_studies_only_gain_certificates() -> None:
    """As long as no two intervals contradict each other."""
    rows = np.random.default_rng(4).uniform([1.0, 0.2], [6.0, 2.0], (60, 2))
    confidence = {"schedule": "logarithmic"}
    plain, _ = told_tuner(confidence=confidence)
    narrowed, _ = told_tuner(confidence={**confidence, "intersect": True})
    a, b = plain.bounds(rows, "slow"), narrowed.bounds(rows, "slow")
    assert (b[..., 0] >= a[..., 0] - 1e-12).all()
    assert (b[..., 2] <= a[..., 2] + 1e-12).all()
    assert (b[..., 0] > a[..., 0] + 1e-6).any()


def test_no_variance_of_a_prefix_falls_under_the_smallest_share_of_the_prior() -> None:
    """An observation without noise leaves none; the root of the rest must exist, whatever the prior's size."""
    x = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    prior = Posterior.prior(StationaryKernel("rbf", torch.tensor(LENGTHSCALE), 1e6), 0.0, 0.0, 2)
    _, variance = prefix_moments(prior.extended(x[0], 1.0), x)
    torch.testing.assert_close(
        variance[0], torch.tensor([1e6, 1e-6], dtype=torch.float64), rtol=1e-9, atol=0.0
    )


def test_every_function_has_its_betas_and_bounds_do_not_change() -> None:
    posterior = posteriors(0.1, np.zeros((0, 2)), np.zeros(0))
    x, beta = torch.tensor([[0.5, 0.5]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for count, betas in ((2, 1), (1, 2)):
        with pytest.raises(ValueError, match="zip"):
            intersected_bounds([posterior] * count, x, [beta] * betas)
    bounds = intersected_bounds([posterior], x, [beta])
    torch.testing.assert_close(bounds.width, bounds.upper - bounds.lower)
    for thing in (bounds, Prediction(x, x)):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, "mean" if isinstance(thing, Prediction) else "lower", x)
