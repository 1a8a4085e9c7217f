"""Beta schedules from their formulas: dense determinants, the greedy gain by brute force, and what they refuse."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tuner_cases import hill_study, kernel_matrix, measured, run

from safebo.errors import StudyError
from safebo.models import schedules
from safebo.models.confidence import confidence_bounds
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.schedules import BetaSchedule, information_gain, largest_information_gain
from safebo.models.surrogate import Surrogate
from safebo.study import ConfidenceSpec
from safebo.study.model import SchedulePhase
from safebo.tuner import Tuner
from safebo.tuner.schedule import planned_trials
from safebo.types import Measurement

LENGTHSCALE = np.array([0.3, 0.5])
VARIANCE, NOISE, FUNCTIONS, DELTA, NORM = 1.7, 0.05, 3, 0.1, 1.4
ALL = ("constant", "posterior", "srinivas2010", "sui2015", "chowdhury2017", "fiedler2024", "logarithmic")


def points(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, 2))


def posterior_of(X: NDArray[np.float64], noise: float = NOISE) -> Posterior:
    kernel = StationaryKernel("matern52", torch.tensor(LENGTHSCALE), VARIANCE)
    result = Posterior.prior(kernel, 0.2, noise**2, 2)
    for k, x in enumerate(X):
        result = result.extended(torch.tensor(x), math.sin(3.0 * k))
    return result


def gain(X: NDArray[np.float64], noise: float = NOISE) -> float:
    """`1/2 ln det(K / noise + I)`."""
    K = kernel_matrix("matern52", LENGTHSCALE, VARIANCE, X, X)
    return 0.5 * float(np.linalg.slogdet(K / noise**2 + np.eye(len(X)))[1])


def schedule_of(name: str, noise_bound: float | None = None, domain: int | None = 500) -> BetaSchedule:
    spec = ConfidenceSpec(schedule=name, delta=DELTA, norm=NORM, noise_bound=noise_bound)  # type: ignore[arg-type]
    return BetaSchedule(spec, 2.5, FUNCTIONS, (0.9, NOISE, 0.8), domain)


def test_the_information_gain_of_data_is_its_determinant() -> None:
    X = points(12)
    gains = information_gain(posterior_of(X))
    expected = [gain(X[:n]) for n in range(13)]
    np.testing.assert_allclose(gains, expected, atol=1e-9)
    assert gains[0] == 0


def test_the_largest_gain_is_greedy_and_bounds_every_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "GAIN_POINTS", 16)
    sobol = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(16, dtype=torch.float64).numpy()
    kernel = StationaryKernel("matern52", torch.tensor(LENGTHSCALE), VARIANCE)
    found = largest_information_gain(kernel, NOISE**2, 2, 4).numpy()
    chosen: list[int] = []
    for n in range(5):
        assert found[n] == pytest.approx(gain(sobol[chosen]) / (1.0 - math.exp(-1.0)), abs=1e-9)
        # Of all choices of n points, and of more: repeated ones add less than new ones.
        best = max((gain(sobol[list(rows)]) for rows in combinations(range(16), n)), default=0.0)
        assert found[n] >= best
        chosen.append(int(np.argmax([gain(sobol[[*chosen, j]]) for j in range(16)])))
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("noise_bound", [None, 0.2])
@pytest.mark.parametrize("name", ALL)
def test_every_schedule_is_its_formula(name: str, noise_bound: float | None) -> None:
    X, delta = points(9), DELTA / FUNCTIONS
    posterior = posterior_of(X)
    gamma = largest_information_gain(posterior.kernel, NOISE**2, 2, 9).numpy()
    ratio = (NOISE if noise_bound is None else noise_bound) / NOISE
    expected = []
    for n in range(10):
        expected.append(
            {
                "constant": lambda n: 2.5,
                "logarithmic": lambda n: 2.0 * math.log(n + 1),
                "posterior": lambda n: NormalDist().inv_cdf(1 - 6 * delta / (math.pi**2 * (n + 1) ** 2)),
                "srinivas2010": lambda n: math.sqrt(
                    2 * math.log(500 * (n + 1) ** 2 * math.pi**2 / (6 * delta))
                ),
                "sui2015": lambda n: math.sqrt(2 * NORM**2 + 300 * gamma[n] * math.log((n + 1) / delta) ** 3),
                "chowdhury2017": lambda n: NORM + ratio * math.sqrt(2 * (gamma[n] + 1 + math.log(1 / delta))),
                "fiedler2024": lambda n: (
                    NORM + ratio * math.sqrt(2 * (2 * gain(X[:n]) + math.log(1 / delta)))
                ),
            }[name](n)
        )
    schedule = schedule_of(name, noise_bound)
    history = schedule.history(posterior, 1)
    np.testing.assert_allclose(history, expected, rtol=1e-9)
    assert schedule.now(posterior, 1) == pytest.approx(expected[-1], rel=1e-9)
    assert (history.diff() >= 0).all()


@pytest.mark.parametrize("name", ALL[1:-1])
def test_beta_rises_as_delta_falls_and_with_the_functions_that_share_it(name: str) -> None:
    posterior = posterior_of(points(5))
    now = [
        BetaSchedule(
            ConfidenceSpec(schedule=name, delta=delta),  # type: ignore[arg-type]
            1.0,
            functions,
            (NOISE,) * 4,
            100,
        ).now(posterior, 0)
        for delta, functions in ((0.2, 1), (0.1, 1), (0.1, 2), (0.01, 2))
    ]
    assert now[0] < now[1] < now[2] < now[3]
    # Half of delta for one function is what two functions with all of it have.
    half = BetaSchedule(
        ConfidenceSpec(schedule=name, delta=0.05),  # type: ignore[arg-type]
        1.0,
        1,
        (NOISE,),
        100,
    )
    assert now[2] == pytest.approx(half.now(posterior, 0))


def test_the_real_beta_is_smaller_where_data_repeats_itself_and_smaller_than_the_bound() -> None:
    apart, together = points(10), np.repeat(points(1), 10, 0)
    real, bound = schedule_of("fiedler2024"), schedule_of("chowdhury2017")
    assert real.now(posterior_of(together), 1) < real.now(posterior_of(apart), 1)
    assert bound.now(posterior_of(together), 1) == bound.now(posterior_of(apart), 1)


def test_a_noise_bound_counts_in_units_of_the_surrogates_noise() -> None:
    posterior = posterior_of(points(4), noise=0.1)
    declared = schedule_of("fiedler2024").now(posterior, 1)  # R = 0.05, half of the model's
    twice = schedule_of("fiedler2024", noise_bound=0.1).now(posterior, 1)
    assert twice - NORM == pytest.approx(2 * (declared - NORM))


def test_beta_multiplies_the_standard_deviation_of_each_function() -> None:
    surrogate = Surrogate([posterior_of(points(3)), posterior_of(points(5))])
    Z = torch.tensor(points(7, 1))
    prediction = surrogate.predict(Z)
    bounds = confidence_bounds(prediction, torch.tensor([1.5, 4.0], dtype=torch.float64))
    for i, (beta, X) in enumerate(((1.5, points(3)), (4.0, points(5)))):
        K = kernel_matrix("matern52", LENGTHSCALE, VARIANCE, X, X) + NOISE**2 * np.eye(len(X))
        k = kernel_matrix("matern52", LENGTHSCALE, VARIANCE, Z.numpy(), X)
        y = np.sin(3.0 * np.arange(len(X)))
        mean = 0.2 + k @ np.linalg.solve(K, y - 0.2)
        std = np.sqrt(VARIANCE - np.einsum("ij,ji->i", k, np.linalg.solve(K, k.T)))
        np.testing.assert_allclose(bounds.lower[:, i], mean - beta * std, atol=1e-9)
        np.testing.assert_allclose(bounds.upper[:, i], mean + beta * std, atol=1e-9)


def test_a_study_uses_its_schedule_with_the_number_of_each_functions_own_observations() -> None:
    confidence = {"schedule": "fiedler2024", "delta": 0.2, "norm": 0.5}
    quick = {"swarm_size": 12, "swarm_iterations": 2, "restarts": 0}
    tuner = Tuner(hill_study(tuner={"confidence": confidence, "search": quick}), 0)
    run(tuner, 3, context="slow")
    # A fall has margins and no objective.
    trial = tuner.ask("slow")
    fall = measured(trial, np.random.default_rng(0))
    tuner.tell(trial, type(fall)("aborted", margins=fall.margins, fell=True))
    ctx = tuner._state.acquisition_context("slow")
    for i, posterior in enumerate(tuner.surrogate().posteriors):
        X = posterior.inputs.numpy()
        assert len(X) == (3, 4)[i]
        K = kernel_matrix("matern32", np.array([0.35, 0.35, 0.8]), (0.36, 0.25)[i], X, X) / 0.02**2
        logdet = np.linalg.slogdet(K + np.eye(len(X)))[1]
        expected = 0.5 + math.sqrt(2 * (logdet + math.log(2 / 0.2)))
        assert float(ctx.beta[i]) == pytest.approx(expected, rel=1e-9)


def test_optimism_counts_standard_deviations_also_where_beta_is_still_0() -> None:
    """`logarithmic` starts at 0, and a seed that was aborted safely has no objective."""
    tuner = {"confidence": {"schedule": "logarithmic"}, "optimism": 1.5}
    tuned = Tuner(hill_study(tuner=tuner), 0)
    for _ in range(2):
        tuned.tell_manual({"kp": 3.0, "kd": 0.6}, "slow", Measurement("aborted", margins={"margin": 0.4}))
    ctx = tuned._state.acquisition_context("slow")
    assert float(ctx.beta[0]) == 0.0
    with torch.no_grad():
        bounds = ctx.bounds_at(torch.tensor([[0.3, 0.4], [0.9, 0.1]], dtype=torch.float64))
        expected = torch.full((2,), -0.5 + 1.5 * 0.6, dtype=torch.float64)
        torch.testing.assert_close(ctx.optimistic(bounds), expected)


def test_two_optimisms_are_those_of_a_contexts_first_and_last_planned_trial() -> None:
    study = hill_study(tuner={"optimism": [1.5, 0.3]})
    schedule = [SchedulePhase(context=c, trials=n) for c, n in (("slow", 5), ("fast", 4), ("slow", 20))]
    study = study.model_copy(
        update={"context": study.context.model_copy(update={"schedule": schedule}), "trials": 15}
    )
    assert (planned_trials(study, "slow"), planned_trials(study, "fast")) == (11, 4)
    tuned, shown = Tuner(study, 0), []
    for _ in range(13):
        shown.append(tuned._state.acquisition_context("slow").optimism)
        tuned.tell_manual({"kp": 3.0, "kd": 0.6}, "slow", Measurement("aborted", margins={"margin": 0.4}))
    assert shown == pytest.approx([*np.linspace(1.5, 0.3, 11), 0.3, 0.3])
    assert tuned._state.acquisition_context("fast").optimism == 1.5
    assert planned_trials(study.model_copy(update={"trials": 40}), "slow") == 36  # the last one goes on
    unscheduled = hill_study()
    seeded = {seed.context for seed in unscheduled.seeds}
    assert planned_trials(unscheduled, "slow") == math.ceil(unscheduled.trials / len(seeded))


def test_the_methods_of_fiedler_et_al_bring_their_schedule_and_certificate() -> None:
    real = Tuner(hill_study("real-beta-safeopt"), 0)
    assert real.study.tuner.confidence.schedule == "fiedler2024"
    assert real.encoding.schedule.spec.schedule == "fiedler2024"
    for name in ("losbo", "los_gp_ucb"):
        los = Tuner(hill_study(name, tuner={"lipschitz": [2.0], "measured_noise": [0.1]}), 0)
        assert los.study.tuner.certificate == "measured"


@pytest.mark.parametrize(
    ("tuner", "message"),
    [
        ({"confidence": {"schedule": "srinivas2010"}}, "srinivas2010 holds on finite domains.*grid or pool"),
        ({"certificate": "measured", "lipschitz": [1.0]}, "measured.*needs tuner.measured_noise"),
        ({"certificate": "measured", "measured_noise": [0.1]}, "measured.*needs tuner.lipschitz"),
        ({"certificate": "lipschitz"}, "certificate: lipschitz.*needs tuner.lipschitz"),
        ({"method": "losbo"}, "losbo.*needs tuner.lipschitz"),
        (
            {"method": "losbo", "lipschitz": [1.0], "measured_noise": [0.1, 0.1]},
            "measured_noise: needs one number for each constraint: 1, not 2",
        ),
    ],
)
def test_what_cannot_certify_is_refused(tuner: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Tuner(hill_study(tuner=tuner), 0)


def test_srinivas_counts_the_points_of_a_grid_or_a_pool() -> None:
    confidence = {"schedule": "srinivas2010"}
    grid = {"domain": "grid", "grid_points": 7}
    pool = {"domain": "pool", "pool": [{"kp": 1.0 + k, "kd": 0.5} for k in range(5)]}
    for search, size in ((grid, 49), (pool, 5)):
        tuner = Tuner(hill_study(tuner={"confidence": confidence, "search": search}), 0)
        assert tuner.encoding.schedule.domain_size == size


def test_the_posterior_schedule_counts_trials_that_are_pending_or_failed() -> None:
    schedule = BetaSchedule(ConfidenceSpec(schedule="posterior", delta=0.1), 0.0, 2, (0.1, 0.1))
    prior = Posterior.prior(StationaryKernel("rbf", torch.ones(1).double()), 0.0, 0.01, 1)
    assert schedule.now(prior, 1, trials=4) == pytest.approx(
        -NormalDist().inv_cdf(6 * 0.05 / (np.pi * 5) ** 2)
    )
    assert schedule.now(prior, 1, trials=4) > schedule.now(prior, 1)
    constant = BetaSchedule(ConfidenceSpec(schedule="fiedler2024"), 0.0, 2, (0.1, 0.1))
    assert constant.now(prior, 0, trials=4) == constant.now(prior, 0)
