"""GridTuner: every method from plain tensors, on any device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel

from safebo.acquisition import GridSettings, GridTuner
from safebo.acquisition.registry import METHODS, SAFE
from safebo.errors import EmptySafeSetError, InputError, UnknownNameError
from safebo.models.trust import TrustRule
from safebo.study import ConfidenceSpec, TransductiveSpec

SIDE = np.linspace(0.0, 3.0, 13)
GRID = np.stack(np.meshgrid(SIDE, SIDE), -1).reshape(-1, 2)
TOLD = (np.array([[1.5, 1.5], [1.4, 1.5]]), np.array([[0.5, 0.6], [0.4, 0.6]]))
GRID_METHODS = [name for name in METHODS if name not in ("gosafeopt", "qlognei", "scbo")]


def tuner(name: str, device: str = "cpu", beta: Any = 2.0, **changes: Any) -> GridTuner:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    constants: dict[str, Any] = {"lipschitz": [2.0, 2.0], "measured_noise": [0.1, 0.1]}
    settings = changes.pop("settings", GridSettings(**constants) if name.startswith("lo") else GridSettings())
    if name == "real_beta_safeopt":
        beta = ConfidenceSpec(norm=1.0)
    settings = replace(settings, device=device)
    return GridTuner(name, kernels, [1e-3, 1e-3], GRID, [-np.inf, -0.2], beta, settings=settings)


def sequence(told: GridTuner, steps: int) -> list[int]:
    told.tell(*TOLD)
    rows = []
    for _ in range(steps):
        row = told.ask(pending=[[1.3, 1.2]]).index
        told.tell(GRID[row], [np.sin(GRID[row].sum()), 0.7 - 0.2 * GRID[row, 0]])
        rows.append(row)
    return rows


@pytest.mark.parametrize("name", [n for n in GRID_METHODS if n not in ("ei", "constrained_ei")])
def test_nothing_is_created_off_the_tuners_device(name: str) -> None:
    # Tensors made without a device would land on this one, which holds no numbers, and fail.
    told = tuner(name)
    told.tell(*TOLD)
    with torch.device("meta"):
        choice = told.ask(pending=[[1.3, 1.2]])
        told.tell(GRID[choice.index], [0.3, 0.5])
        again, best = told.ask(), told.best()
    assert {choice.index, again.index} <= set(range(len(GRID)))
    assert best is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", GRID_METHODS)
def test_a_gpu_chooses_the_same_points(name: str) -> None:
    on_cpu, on_gpu = tuner(name), tuner(name, device="cuda")
    for told in (on_cpu, on_gpu):
        told.tell(*TOLD)
    for _ in range(8):
        ctx = on_cpu.acquisition_context()
        scores = on_cpu.acquisition(ctx).grid_scores()
        best, second = scores.topk(2).values.tolist()
        row, other = on_cpu.ask().index, on_gpu.ask().index
        assert row == other or best - second <= 1e-6
        for told in (on_cpu, on_gpu):
            told.tell(GRID[row], [np.sin(GRID[row].sum()), 0.7 - 0.2 * GRID[row, 0]])


def test_pending_points_narrow_and_never_certify() -> None:
    told = tuner("safeopt")
    told.tell(*TOLD)
    alone, watched = told.acquisition_context(), told.acquisition_context(pending=[[1.5, 1.5], [1.0, 1.5]])
    assert torch.equal(alone.pool_bounds.slack, watched.pool_bounds.slack)
    assert (watched.pool_bounds.fantasized.width <= alone.pool_bounds.fantasized.width + 1e-12).all()
    assert (watched.pool_bounds.fantasized.width < alone.pool_bounds.fantasized.width - 1e-3).any()
    assert told.ask().index == told.ask(pending=np.zeros((0, 2))).index


@pytest.mark.parametrize("name", SAFE)
def test_runs_repeat_with_their_seed(name: str) -> None:
    assert sequence(tuner(name), 4) == sequence(tuner(name), 4)


def test_rules_see_what_was_measured_and_waits_in_their_context() -> None:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    several = GridTuner("ei", kernels, [1e-3, 1e-3], GRID, [-np.inf, -0.2], 2.0, context_dims=1)
    several.tell([[1.5, 1.5, 0.0], [1.4, 1.5, 1.0], [1.0, 1.5, 1.0]], [[0.5, 0.6], [0.4, 0.7], [0.3, 0.8]])
    seen = several.acquisition_context([1.0], pending=[[0.5, 0.5, 0.0], [0.7, 0.7, 1.0]]).told
    assert seen.points.tolist() == [[1.4, 1.5], [1.0, 1.5]]
    assert seen.values.tolist() == [[0.4, 0.7], [0.3, 0.8]]
    assert seen.visited.tolist() == [[0.7, 0.7]]


@pytest.mark.parametrize("name", ["ei", "constrained_ei", "qlognei"])
def test_baselines_look_at_measurements(name: str) -> None:
    # The objective rises along the first axis, so what may improve lies beyond its best measurement.
    told = tuner(name)
    X = GRID[(GRID[:, 0] <= 1.5) & (GRID[:, 1] == 1.5)]
    told.tell(X, np.stack([X[:, 0], np.ones(len(X))], -1))
    assert 1.5 < GRID[told.ask().index, 0] < 3.0


def test_target_spaces_by_name() -> None:
    for targets in (
        "potential_maximizers",
        "potential_expanders",
        "thompson",
        "lite",
        "optimistic",
        "domain",
    ):
        settings = GridSettings(transductive=TransductiveSpec(targets=targets))
        told = tuner("itl", settings=settings)
        told.tell(*TOLD)
        assert told.ask().certified


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="mm_itl"):
        tuner("mm-itll")
    with pytest.raises(InputError, match="needs a study"):
        tuner("gosafeopt")
    with pytest.raises(InputError, match="lipschitz"):
        tuner("losbo", settings=GridSettings())
    with pytest.raises(InputError, match="measured_noise"):
        tuner("losbo", settings=GridSettings(lipschitz=[1.0, 1.0]))
    with pytest.raises(InputError, match="ConfidenceSpec"):
        GridTuner("real_beta_safeopt", [ScaleKernel(RBFKernel())], [0.1], GRID, [0.0], 2.0)
    with pytest.raises(EmptySafeSetError, match="no point"):
        tuner("safeopt").ask()


@pytest.mark.parametrize(
    "y", [[True, True], np.ma.masked_array([0.2, 3.0], [False, True]), torch.tensor([True, False])]
)
def test_masked_numbers_and_truths_are_no_measurements(y: Any) -> None:
    with pytest.raises(InputError, match="y must be numbers, neither masked nor true or false"):
        tuner("itl").tell([0.5, 0.5], y)


def posterior_by_hand(X: Any, y: Any, at: Any, noise: float) -> tuple[Any, Any]:
    """Mean and standard deviation under a unit RBF kernel (gpytorch's lengthscale, ln 2), by a dense solve."""

    def kernel(a: Any, b: Any) -> Any:
        return np.log(2) * np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / np.log(2) ** 2)

    weights = np.linalg.solve(kernel(X, X) + noise * np.eye(len(X)), kernel(X, at))
    return weights.T @ y, np.sqrt(np.log(2) - (kernel(X, at) * weights).sum(0))


@pytest.mark.parametrize("falling", [False, True])
def test_intervals_with_a_number_for_beta_are_intersected_as_by_brute_force(falling: bool) -> None:
    rng = np.random.default_rng(4)
    X = rng.uniform(0, 3, (12, 2))
    # The objective jumps, so that at some points intervals of different times have nothing in common.
    Y = np.stack([np.where(np.arange(12) < 8, 0.5, -2.5) + 0.1 * rng.normal(size=12), np.cos(X.sum(1))], -1)

    def beta(n: int) -> float:
        return 3.0 / (1 + 0.1 * n) if falling else 2.0

    told = tuner("safeopt", beta=beta if falling else 2.0, settings=GridSettings(intersect=True))
    for x, y in zip(X, Y, strict=True):
        told.tell(x, y)
    bounds = told.acquisition_context().pool_bounds.certain
    gone, reach = 0, beta(0) * np.sqrt(np.log(2))
    for i in range(2):
        lows, highs = [np.full(len(GRID), -reach)], [np.full(len(GRID), reach)]
        for n in range(1, len(X) + 1):
            mean, std = posterior_by_hand(X[:n], Y[:n, i], GRID, 1e-3)
            lows.append(mean - beta(n) * std)
            highs.append(mean + beta(n) * std)
        low, high = np.max(lows, axis=0), np.min(highs, axis=0)
        empty = low > high
        gone += int(empty.sum())
        np.testing.assert_allclose(bounds.lower[:, i], np.where(empty, lows[-1], low), atol=1e-7)
        np.testing.assert_allclose(bounds.upper[:, i], np.where(empty, highs[-1], high), atol=1e-7)
    assert 0 < gone < len(GRID)
    assert told.ask().certified


def test_intervals_that_cannot_be_intersected_are_refused() -> None:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]

    def opened(beta: Any, **settings: Any) -> None:
        chosen = GridSettings(intersect=True, **settings)
        GridTuner("safe_ucb", kernels, [1e-3, 1e-3], GRID, [-np.inf, 0.0], beta, settings=chosen)

    for beta, settings, words in (
        (2.0, {"noise_degrees": [None, 4.0]}, "noise_degrees"),
        (2.0, {"trust": TrustRule((), 20.0, 0.05, 0.05)}, "trust"),
        (ConfidenceSpec(schedule="posterior"), {}, "posterior"),
    ):
        with pytest.raises(InputError, match=f"intersect: .*{words}"):
            opened(beta, **settings)


def test_schedules_and_intersections_reach_the_grid() -> None:
    spec = ConfidenceSpec(schedule="srinivas2010", delta=0.1, intersect=True)
    told = tuner("safe_ucb", beta=spec)
    told.tell(*TOLD)
    expected = np.sqrt(2 * np.log(len(GRID) * 9 * np.pi**2 / (6 * 0.1 / 2)))
    assert told.beta == pytest.approx(expected)
    bounds = told.acquisition_context().pool_bounds
    plain = tuner("safe_ucb", beta=float(expected))
    plain.tell(*TOLD)
    assert (bounds.certain.lower >= plain.acquisition_context().pool_bounds.certain.lower - 1e-9).all()
