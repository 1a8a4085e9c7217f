"""SafeOpt on a grid chooses what an independent brute-force program chooses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from numpy.typing import NDArray
from reference_safeopt import ReferenceSafeOpt, matern12, matern32, matern52, rbf

from safebo.acquisition import GridSafeOpt
from safebo.errors import EmptySafeSetError, InputError, MeasurementError
from safebo.models import grid_posterior
from safebo.safety import expander_search

REFERENCE = {"rbf": rbf, "matern12": matern12, "matern32": matern32, "matern52": matern52}
NU = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}


def gpytorch_kernel(kind: str, variance: float, lengthscale: list[float]) -> ScaleKernel:
    dims = len(lengthscale)
    base: Kernel = (
        RBFKernel(ard_num_dims=dims) if kind == "rbf" else MaternKernel(nu=NU[kind], ard_num_dims=dims)
    )
    kernel = ScaleKernel(base).double()
    kernel.base_kernel.lengthscale = torch.tensor(lengthscale, dtype=torch.float64)
    kernel.outputscale = variance
    return kernel


def line(n: int = 61) -> NDArray[np.float64]:
    # Not symmetric about the seeds: mirror images would be ties by round-off.
    return np.linspace(-2.0, 2.1, n)[:, None]


def square(n: int = 13) -> NDArray[np.float64]:
    a, b = np.meshgrid(np.linspace(-1.0, 1.03, n), np.linspace(-1.0, 1.07, n), indexing="ij")
    return np.column_stack([a.ravel(), b.ravel()])


def hill(x: NDArray[np.float64]) -> list[float]:
    """Objective, a constraint that holds around 0, and another that leans."""
    return [
        float(np.sin(1.7 * x[0] + 0.3) + 0.4 * x.sum()),
        float(1.1 - 0.7 * (x**2).sum() + 0.2 * np.sin(5 * x[0])),
        float(0.9 - 0.5 * x[0] + 0.1 * np.cos(4 * x[-1])),
    ]


@dataclass
class Problem:
    kernels: list[tuple[str, float, list[float]]]
    grid: NDArray[np.float64]
    thresholds: list[float]
    noise: list[float]
    beta: float | Callable[[int], float] = 2.0
    contexts: list[list[float]] = field(default_factory=lambda: [[]])
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 18
    seeds: list[float] = field(default_factory=lambda: [0.04])


ONE = [-math.inf, 0.0]
PROBLEMS = {
    "line": Problem([("rbf", 2.0, [0.6]), ("rbf", 1.5, [0.5])], line(), ONE, [0.01, 0.01]),
    "one function": Problem([("matern52", 1.0, [0.5])], line(), [0.1], [1e-5], steps=25),
    "both objective and constraint": Problem(
        [("rbf", 1.0, [0.6]), ("rbf", 1.0, [0.5])], line(), [-0.6, 0.1], [1e-3, 1e-3]
    ),
    "square, three functions": Problem(
        [("rbf", 2.0, [0.7, 0.6]), ("matern32", 1.0, [0.8, 0.9]), ("matern52", 40.0, [0.9, 0.8])],
        square(),
        [-math.inf, 0.1, -0.2],
        [1e-5, 1e-3, 1e-5],
    ),
    "unsorted square": Problem(
        [("matern52", 1.0, [0.7, 0.6]), ("rbf", 1.0, [0.6, 0.7])],
        np.random.default_rng(3).permutation(square()),
        ONE,
        [1e-4, 1e-5],
        1.6,
    ),
    "unevaluated points": Problem(
        [("rbf", 1.0, [0.4, 0.4]), ("rbf", 1.0, [0.4, 0.4])],
        np.random.default_rng(4).uniform(-1.0, 1.0, (160, 2)),
        ONE,
        [1e-4, 1e-5],
    ),
    "beta schedule": Problem(
        [("matern32", 1.0, [0.5]), ("matern52", 1.0, [0.6])],
        line(),
        ONE,
        [1e-4, 1e-4],
        lambda n: math.sqrt(2.0 * math.log(n + 1) + 1.0),
    ),
    "min width": Problem(
        [("rbf", 2.0, [0.6]), ("matern32", 1.0, [0.9])], line(), ONE, [1e-4] * 2, options={"min_width": 0.5}
    ),
    "Lipschitz": Problem(
        [("rbf", 2.0, [0.6]), ("rbf", 1.5, [0.5]), ("matern52", 1.0, [0.9])],
        line(),
        [-math.inf, 0.0, -0.1],
        [0.01, 0.01, 1e-3],
        options={"lipschitz": [1.0, 2.5, 6.0]},
    ),
    "Safe-UCB": Problem(
        [("rbf", 2.0, [0.6, 0.6]), ("rbf", 1.5, [0.6, 0.6])],
        square(),
        ONE,
        [1e-4, 1e-5],
        options={"rule": "safe_ucb"},
    ),
    "contexts": Problem(
        [("rbf", 2.0, [0.6, 1.0]), ("matern52", 1.5, [0.5, 1.2])],
        line(),
        ONE,
        [1e-3, 1e-4],
        contexts=[[0.0], [0.3], [-0.2]],
        options={"context_dims": 1},
        steps=24,
    ),
    "two contexts, two gains, Lipschitz": Problem(
        [("rbf", 2.0, [0.6, 0.8, 1.0, 1.1]), ("matern32", 1.5, [0.8, 0.8, 1.5, 1.2])],
        square(11),
        ONE,
        [1e-3, 1e-4],
        contexts=[[0.0, 0.1], [0.2, -0.1]],
        options={"context_dims": 2, "lipschitz": [0.0, 1.5]},
        steps=12,
    ),
}


def opened(problem: Problem) -> tuple[GridSafeOpt, ReferenceSafeOpt]:
    arguments = (problem.noise, problem.grid, problem.thresholds, problem.beta)
    ours = GridSafeOpt([gpytorch_kernel(*k) for k in problem.kernels], *arguments, **problem.options)
    options = {k: v for k, v in problem.options.items() if k != "context_dims"}
    theirs = ReferenceSafeOpt([REFERENCE[k](v, s) for k, v, s in problem.kernels], *arguments, **options)
    return ours, theirs


def run(problem: Problem, seed: int) -> list[str]:
    """Follow both programs through a noisy run; the kinds of what they chose."""
    ours, theirs = opened(problem)
    rng = np.random.default_rng(seed)
    d = problem.grid.shape[1]

    def told(x: NDArray[np.float64]) -> None:
        y = np.array(hill(x)[: len(problem.kernels)])
        if len(problem.kernels) == 1:
            y = np.array(hill(x)[1:2])
        y = y + rng.normal(size=len(y)) * np.sqrt(problem.noise)
        ours.tell(x, y)
        theirs.tell(x, y)

    for context in problem.contexts:
        told(np.array([0.04 + 0.03 * seed] * d + context))
    kinds = []
    for step in range(problem.steps):
        context = problem.contexts[step % len(problem.contexts)]
        try:
            expected, kind = theirs.ask(context)
        except ValueError:
            with pytest.raises(EmptySafeSetError):
                ours.ask(context or None)
            break
        asked = ours.ask(context or None)
        assert (asked.index, asked.kind) == (expected, kind), f"step {step}"
        assert ours.ask(context or None).index == asked.index
        kinds.append(kind)
        told(np.append(problem.grid[expected], context))
    return kinds


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_sequences_are_those_of_the_reference(name: str) -> None:
    kinds = [kind for seed in range(2) for kind in run(PROBLEMS[name], seed)]
    assert len(set(kinds)) == (1 if name == "Safe-UCB" else 2)


def test_sets_are_those_of_the_reference() -> None:
    problem = PROBLEMS["square, three functions"]
    ours, theirs = opened(problem)
    rng = np.random.default_rng(0)
    for _ in range(12):
        x = rng.uniform(-0.4, 0.4, 2)
        ours.tell(x, hill(x))
        theirs.tell(x, np.array(hill(x)))
    lower, upper = theirs.bounds(problem.grid)
    sets = ours.sets()
    np.testing.assert_allclose(sets.lower.numpy(), lower, atol=1e-8)
    np.testing.assert_allclose(sets.upper.numpy(), upper, atol=1e-8)
    safe = (lower[:, 1] > 0.1) & (lower[:, 2] > -0.2)
    assert sets.safe.tolist() == safe.tolist()
    assert sets.maximizers.tolist() == (safe & (upper[:, 0] >= lower[safe, 0].max())).tolist()
    assert int(sets.expanders.sum()) <= 1
    best = ours.best()
    assert best.index == int(np.argmax(np.where(safe, lower[:, 0], -np.inf)))
    assert best.lower == pytest.approx(lower[best.index, 0])


@pytest.mark.parametrize("seed", range(6))
def test_random_problems(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:  # many small blocks instead of one
        monkeypatch.setattr(expander_search, "COLUMNS", 32)
        monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 2)
        monkeypatch.setattr(grid_posterior, "MAX_BLOCK_ROWS", 3)
    rng = np.random.default_rng(100 + seed)
    d, m = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    kinds = list(REFERENCE)
    thresholds = [float(h) for h in rng.uniform(-0.5, 0.3, m)]
    if m > 1 and seed % 2:
        thresholds[0] = -math.inf
    problem = Problem(
        [
            (kinds[rng.integers(4)], float(rng.uniform(0.5, 3)), list(rng.uniform(0.4, 1.2, d)))
            for _ in range(m)
        ],
        rng.uniform(-1.5, 1.5, (120, d)),
        thresholds,
        list(10.0 ** rng.uniform(-5, -2, m)),
        float(rng.uniform(1, 2.5)),
        steps=15,
    )
    run(problem, seed)


def test_many_observations_at_once_are_as_one_by_one() -> None:
    problem = PROBLEMS["contexts"]
    slowly, _ = opened(problem)
    fast, _ = opened(problem)
    rng = np.random.default_rng(1)
    X = rng.uniform(-0.5, 0.5, (40, 2))
    Y = np.array([hill(x)[:2] for x in X])
    for x, y in zip(X, Y, strict=True):
        slowly.tell(x, y)
        slowly.sets([0.1])
    fast.tell(X, Y)
    for a, b in ((slowly.sets([0.1]).lower, fast.sets([0.1]).lower),):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_any_gpytorch_kernel_is_applied_to_all_columns() -> None:
    product = RBFKernel(active_dims=(0,)).double() * RBFKernel(active_dims=(1,)).double()
    product.kernels[0].lengthscale = torch.tensor(0.6, dtype=torch.float64)
    product.kernels[1].lengthscale = torch.tensor(1.0, dtype=torch.float64)
    joint = gpytorch_kernel("rbf", 1.0, [0.6, 1.0])
    rng = np.random.default_rng(2)
    X = rng.uniform(-0.5, 0.5, (15, 2))
    bounds = []
    for kernel in (product, joint):
        door = GridSafeOpt([kernel], [1e-3], line(), [0.0], 2.0, context_dims=1)
        door.tell(X, [hill(x)[1] for x in X])
        bounds.append(door.sets([0.2]).lower)
    torch.testing.assert_close(bounds[0], bounds[1], atol=1e-8, rtol=0)


def test_asking_registers_nothing_and_proposals_lie_on_the_grid_in_any_context() -> None:
    ours, _ = opened(PROBLEMS["contexts"])
    ours.tell([0.04, 0.0], hill(np.array([0.04, 0.0]))[:2])
    first = [ours.ask([c]).index for c in (0.0, 0.1, 0.2)]
    for c in np.linspace(-0.2, 0.2, 12):
        ours.sets([c])
    again = [ours.ask([c]) for c in (0.0, 0.1, 0.2)]
    assert first == [a.index for a in again]
    assert ours.count == 1
    assert all(torch.equal(a.x, torch.as_tensor(line()[a.index])) for a in again)


def test_equal_rows_of_the_grid_go_to_the_lowest_index() -> None:
    grid = np.vstack([line(), line()[::-1]])
    problem = Problem([("rbf", 2.0, [0.6]), ("rbf", 1.5, [0.5])], grid, ONE, [1e-5, 1e-5])
    ours, _ = opened(problem)
    ours.tell([0.04], hill(np.array([0.04]))[:2])
    for _ in range(15):
        asked = ours.ask()
        assert asked.index < len(line())
        ours.tell(asked.x, hill(asked.x.numpy())[:2])


def test_lower_bounds_at_the_threshold_are_not_safe() -> None:
    ours = GridSafeOpt([gpytorch_kernel("rbf", 1.0, [1.0])], [1e-3], line(), [-2.0], 2.0)
    with pytest.raises(EmptySafeSetError, match="no point of the grid is safe"):
        ours.ask()  # the prior's lower bound is -2 exactly
    below = GridSafeOpt([gpytorch_kernel("rbf", 1.0, [1.0])], [1e-3], line(), [-2.0 - 1e-9], 2.0)
    assert below.ask().index == 0


def test_no_constraint_makes_every_point_safe() -> None:
    ours = GridSafeOpt([gpytorch_kernel("rbf", 1.0, [1.0])], [1e-3], line(), [-math.inf], 2.0)
    assert bool(ours.sets().safe.all())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kernels": []}, "kernels"),
        ({"kernels": ["rbf"]}, "gpytorch"),
        ({"kernels": [gpytorch_kernel("rbf", 1.0, [1.0, 1.0, 1.0])]}, "columns"),
        ({"noise_variances": [-1.0]}, "noise_variances"),
        ({"noise_variances": [1.0, 1.0]}, "noise_variances"),
        ({"grid": np.zeros((0, 1))}, "grid"),
        ({"grid": [[math.nan]]}, "grid"),
        ({"thresholds": [math.inf]}, "thresholds"),
        ({"beta": -1.0}, "beta"),
        ({"beta": lambda n: math.nan}, "beta"),
        ({"min_width": -0.1}, "min_width"),
        ({"lipschitz": [-1.0]}, "lipschitz"),
        ({"rule": "ucb"}, "rule"),
        ({"context_dims": -1}, "context_dims"),
    ],
)
def test_impossible_arguments_are_refused_by_name(change: dict[str, Any], match: str) -> None:
    arguments: dict[str, Any] = {
        "kernels": [gpytorch_kernel("rbf", 1.0, [1.0])],
        "noise_variances": [0.01],
        "grid": line(),
        "thresholds": [0.0],
        "beta": 2.0,
    }
    with pytest.raises(InputError, match=match):
        GridSafeOpt(**(arguments | change))


def test_impossible_observations_and_contexts_are_refused() -> None:
    ours, _ = opened(PROBLEMS["contexts"])
    with pytest.raises(InputError, match="2 columns"):
        ours.tell([0.0], [1.0, 1.0])
    with pytest.raises(InputError, match="2 values"):
        ours.tell([0.0, 0.0], [1.0, 1.0, 1.0])
    with pytest.raises(MeasurementError, match="finite"):
        ours.tell([0.0, 0.0], [1.0, math.nan])
    with pytest.raises(InputError, match="context must have 1"):
        ours.ask()
    assert ours.count == 0
