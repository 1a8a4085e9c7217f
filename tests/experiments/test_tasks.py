import math
import pickle
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from scipy.optimize import minimize

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench.tasks import problem_named
from safebo.experiments.tasks import (
    BELIEFS,
    TASKS,
    KernelSpec,
    Noise,
    Task,
    calibrated_beta,
    gp_sample,
    safeopt_example,
    task_named,
)
from safebo.experiments.tasks.boundary import (
    CONSTRAINT,
    LENGTHSCALE,
    OBJECTIVE,
    hill_and_slope,
)
from safebo.experiments.tasks.check import checked
from safebo.experiments.tasks.quadcopter import DISTURBANCE
from safebo.experiments.tasks.runs import steepest
from safebo.experiments.tasks.sampled import sample_functions
from safebo.types import FloatArray

NAMES = [
    *TASKS,
    "gp-1d-right-3",
    "gp-2d-long-1",
    "gp-1d-tails-0",
    "gp-6d-right-1",
    "safeopt-1d-2",
    "safeopt-2d-0",
]


@pytest.fixture(scope="module", params=NAMES)
def task(request):
    return task_named(request.param)


def test_every_task_starts_safe_by_truth_and_by_its_own_bounds(task):
    x, y = task.initial(0)
    assert not task.violated(task.values(x)).any()
    assert ((x >= task.bounds[0]) & (x <= task.bounds[1])).all()
    for i in task.constraints:
        k = task.kernels[i].gpytorch()
        points = np.unique(x, axis=0)
        covariance = k(_tensor(x), _tensor(x)).to_dense().detach().numpy()
        cross = k(_tensor(points), _tensor(x)).to_dense().detach().numpy()
        gain = cross @ np.linalg.inv(covariance + task.noise_std[i] ** 2 * np.eye(len(x)))
        mean = task.prior_means[i] + gain @ (y[:, i] - task.prior_means[i])
        std = np.sqrt(task.kernels[i].variance - (gain * cross).sum(1))
        assert (mean - task.beta[i] * std > task.thresholds[i]).any()


def _tensor(x):
    import torch

    return torch.as_tensor(x)


def test_noise_depends_on_seed_and_trial_alone(task):
    x = task.start(0)[:1]
    truth = task.values(x)[0]
    first, again = task.measure(x, 3, 5), task.measure(x, 3, 5)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, task.measure(x, 3, 6))
    assert not np.allclose(first, task.measure(x, 4, 5))
    other = task.start(1)[:1] + 1e-3
    np.testing.assert_allclose(task.measure(other, 3, 5) - task.values(other)[0], first - truth, atol=1e-9)


def test_names_come_back(task):
    assert task_named(task.name).name == task.name


def test_reference_values_of_the_valley():
    task = task_named("valley")
    assert task.optimum() == pytest.approx(1.4409, abs=5e-5)
    assert task.safe.sum() == 367
    assert task.reachable(0).sum() == 367
    right = task.grid[:, 0] > 4.0
    assert task.optimum() - task.grid_values[right, 0].max() == pytest.approx(0.458, abs=5e-4)
    start = task.start(0)
    assert len(start) == 8
    assert ((start > 4.5) & (start < 6.0)).all()
    assert np.isin(start, task.grid).all()


def test_the_island():
    task = task_named("island")
    assert task.grid.shape == (2500, 2)
    assert task.grid.max() == pytest.approx(2.88)
    middle = task.values(np.array([[0.0, 0.0], [2.0, 2.0]]))
    assert middle[0, 1] == pytest.approx(100.0 / (2.0 * math.pi) - 2.5)
    assert middle[1, 0] == pytest.approx(100.0 / (2.0 * math.pi * math.sqrt(0.75)))
    radius = math.sqrt(-2.0 * math.log(2.5 * 2.0 * math.pi / 100.0))  # where the constraint is 0
    np.testing.assert_array_equal(task.safe, (task.grid**2).sum(1) <= radius**2)
    assert {tuple(task.start(seed)[0]) for seed in range(20)} != {tuple(task.start(0)[0])}
    assert all((np.abs(task.start(seed)) <= 0.5).all() for seed in range(20))


def test_reference_values_of_the_quadcopter():
    task = task_named("quadcopter")
    assert task.optimum() == pytest.approx(0.74330, abs=1e-5)
    gains = np.array([DISTURBANCE, [0, 0, 0, 10], [0] * 4, [10] * 4, [20] * 4, [2] * 4])
    values = task.values(gains)
    np.testing.assert_allclose(values[:, 0], [0.74330, -0.99978, -1.0, 0.6643, 0.6632, -1.0], atol=5e-5)
    np.testing.assert_allclose(values[:5, 1], [0.5, 0.5, -0.5, 0.5, 0.5], atol=1e-9)
    uniform = np.random.default_rng(0).uniform(0.0, 20.0, (20000, 4))
    assert (~task.violated(task.values(uniform))).mean() == pytest.approx(0.905, abs=0.006)
    assert task.start(0).tolist() == [[0.0, 0.0, 0.0, 10.0]] * 10
    with pytest.raises(InputError, match="box"):
        _ = task.grid


def test_the_optimum_lies_on_the_boundary():
    task = task_named("boundary")
    best = task.grid[task.safe][task.grid_values[task.safe, 0].argmax()]
    result = minimize(
        lambda x: -hill_and_slope(x[None])[0, 0],
        best,
        constraints={"type": "ineq", "fun": lambda x: hill_and_slope(x[None])[0, 1] - 0.3},
        bounds=[(0, 1)] * 2,
    )
    assert hill_and_slope(result.x[None])[0, 1] == pytest.approx(0.3, abs=1e-6)
    assert 0.0 <= -result.fun - task.optimum() < 0.03
    assert task.grid_values[:, 0].max() > task.optimum() + 0.04
    assert task.safe.mean() == pytest.approx(0.71, abs=0.01)
    assert task.optimum(0) == task.optimum()
    assert task.values(task.start(0))[0] == pytest.approx([0.364, 1.518], abs=1e-3)
    for bumps, norm in ((OBJECTIVE, 2.09), (CONSTRAINT, 1.90)):
        centres = bumps[:, 1:]
        gram = np.exp(-((centres[:, None] - centres) ** 2).sum(-1) / (2 * LENGTHSCALE**2))
        assert np.sqrt(bumps[:, 0] @ gram @ bumps[:, 0]) == pytest.approx(norm, abs=0.01)


@pytest.mark.parametrize("dimension", [1, 2])
def test_sampled_functions_have_the_priors_covariance(dimension):
    bounds = np.array([[0.0] * dimension, [1.0] * dimension])
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, (6, dimension))
    draws = sample_functions(bounds, 0.3, 2.0, 4000, rng)(x)
    expected = 2.0 * np.exp(-0.5 * ((x[:, None] - x) ** 2).sum(-1) / 0.3**2)
    np.testing.assert_allclose(draws @ draws.T / draws.shape[1], expected, atol=0.2)


def test_norms_of_sampled_functions():
    functions = sample_functions(np.array([[0.0], [1.0]]), 0.3, 2.0, 3, np.random.default_rng(6))
    z, w = functions.nodes[0], functions.weights
    gram = 2.0 * np.exp(-0.5 * ((z[:, None] - z) / 0.3) ** 2)
    np.testing.assert_allclose(functions.norms, np.sqrt(np.einsum("mi,ij,mj->m", w, gram, w)), rtol=1e-5)


@pytest.mark.parametrize("dimension", [1, 2])
def test_about_half_of_a_sampled_problem_is_safe(dimension):
    problems = [gp_sample(dimension, seed) for seed in range(40)]
    assert 0.4 < np.mean([p.safe.mean() for p in problems]) < 0.6
    margins = [p.values(p.start(0))[0, 1] - p.thresholds[1] for p in problems]
    assert min(margins) >= 1.0
    assert len({round(m, 6) for m in margins}) == len(problems)
    assert all(p.reachable(0).sum() <= p.safe.sum() and p.optimum(0) <= p.optimum() for p in problems)


def test_beliefs_change_what_is_told_and_not_the_truth():
    tasks = {name: gp_sample(1, 4, belief) for name, belief in BELIEFS.items()}
    right, long, quiet, tails = (tasks[name] for name in ("right", "long", "quiet", "tails"))
    for name, wrong in tasks.items():
        assert np.array_equal(wrong.grid_values, right.grid_values) == (name != "cliff")
    assert long.kernels[0].lengthscale == 2 * right.kernels[0].lengthscale
    assert quiet.noise_std[0] == pytest.approx(right.noise_std[0] / 3)
    assert quiet.noise == right.noise
    assert tails.noise_std == right.noise_std
    rng = np.random.default_rng(0)
    heavy = Noise((0.1,), 4.0).draw(rng, np.zeros((200_000, 1)))
    light = Noise((0.1,)).draw(rng, np.zeros((200_000, 1)))
    assert light.std() == pytest.approx(0.1, rel=0.01)
    assert heavy.std() == pytest.approx(0.1, rel=0.03)
    assert (np.abs(heavy) > 0.5).mean() > 100 * max((np.abs(light) > 0.5).mean(), 1e-6)


def test_truths_that_no_prior_describes_are_what_they_say():
    tasks = {name: gp_sample(1, 4, belief) for name, belief in BELIEFS.items()}
    right, start = tasks["right"], tasks["right"].start(0)
    fallen = right.grid_values[:, 1] - tasks["cliff"].grid_values[:, 1]
    far = np.abs(right.grid[:, 0] - start[0, 0])
    assert fallen[far < 0.25].max() < 0.01
    assert fallen.max() == pytest.approx(2.0, abs=0.01)
    np.testing.assert_array_equal(tasks["cliff"].grid_values[:, 0], right.grid_values[:, 0])
    sunk = tasks["drift"].values_at(start, 50) - right.values(start)
    np.testing.assert_allclose(sunk, [[0.0, -0.5]], atol=1e-12)
    assert tasks["scale"].kernels[0].variance == 0.25
    rng, ends = np.random.default_rng(0), np.repeat([[0.0], [1.0]], 50_000, axis=0)
    low, high = (part.std() for part in np.split(Noise((0.1,), slope=0.8).draw(rng, ends)[:, 0], 2))
    assert high / low == pytest.approx(9.0, rel=0.05)
    odd = np.abs(Noise((0.1,), outliers=0.03).draw(rng, ends)) > 0.5
    assert odd.mean() == pytest.approx(0.03 * 0.617, rel=0.1)


def test_beta_for_a_share_of_runs():
    beta = calibrated_beta(100, 0.05)
    assert 0.5 * math.erfc(beta / math.sqrt(2.0)) * 100 == pytest.approx(0.05)


def test_safeopt_examples():
    for dimension, count in ((1, 1000), (2, 10_000)):
        task = safeopt_example(dimension, 0)
        assert len(task.grid) == count
        assert task.values(np.zeros((1, dimension)))[0, 0] >= 0.5
        assert task.constraints == (0,)


def test_kernels_are_the_closed_forms():
    import torch

    r = torch.linspace(0.0, 2.0, 5).double()[:, None]
    scaled = r.numpy()[:, 0] / 0.5
    forms: dict[Literal["rbf", "matern32", "matern52"], Callable[[FloatArray], FloatArray]] = {
        "rbf": lambda s: np.exp(-0.5 * s**2),
        "matern32": lambda s: (1 + 3**0.5 * s) * np.exp(-(3**0.5) * s),
        "matern52": lambda s: (1 + 5**0.5 * s + 5 / 3 * s**2) * np.exp(-(5**0.5) * s),
    }
    for kind, form in forms.items():
        got = KernelSpec(kind, 0.5, 3.0).gpytorch()(r, r[:1]).to_dense().detach().numpy()[:, 0]
        np.testing.assert_allclose(got, 3.0 * form(scaled), rtol=1e-6, atol=1e-7)


def test_functions_of_drawn_tasks_travel_between_processes():
    task = gp_sample(2, 1)
    functions = pickle.loads(pickle.dumps(task.functions))
    np.testing.assert_array_equal(functions(task.grid), task.grid_values)


def plain(**changes):
    kernel = KernelSpec("rbf", 1.0)
    entries = {
        "name": "plain",
        "functions": lambda x: np.concatenate([x, -x], 1),
        "bounds": np.array([[0.0], [1.0]]),
        "kernels": (kernel, kernel),
        "prior_means": (0.0, 0.0),
        "noise_std": (0.1, 0.1),
        "beta": (2.0, 2.0),
        "thresholds": (-math.inf, -0.5),
        "start": lambda seed: np.array([[0.1]]),
        "trials": 5,
        "lattice": (11,),
    }
    return Task(**{**entries, **changes})


def test_violations_and_regret_are_by_the_truth():
    task = plain()
    np.testing.assert_array_equal(task.violated(np.array([[9.0, -0.5], [9.0, -0.51]])), [False, True])
    assert task.optimum() == pytest.approx(0.5)
    assert task.regret(np.array([0.2])) == pytest.approx(0.3)
    apart = plain(functions=lambda x: np.concatenate([x, np.abs(x - 0.5) - 0.7], 1))
    assert apart.optimum() == pytest.approx(1.0)
    assert apart.optimum(0) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "changes",
    [
        {"beta": (2.0,)},
        {"noise": Noise((0.1,))},
        {"lattice": None},
        {"thresholds": (-math.inf, -math.inf)},
        {"lipschitz": {"oracle": (1.0,)}},
    ],
)
def test_a_task_that_does_not_fit_itself_is_refused(changes):
    with pytest.raises(InputError, match="plain"):
        plain(**changes)


def none(x):
    return np.concatenate([x, np.where(x > 0.5, np.nan, -x)], 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bounds": [[0.0], [1.0]]}, "`bounds` is an array 2 x d"),
        ({"bounds": np.array([[1.0], [0.0]])}, "each lowest input below its highest"),
        (
            {"kernels": (KernelSpec("matern", 1.0),) * 2},  # type: ignore[arg-type]
            "kind 'matern' is not known; choose from rbf, matern32",
        ),
        ({"kernels": (KernelSpec("rbf", -1.0),) * 2}, "lengthscale and variance are greater than 0"),
        ({"prior_means": (0.0, math.nan)}, "`prior_means` are finite"),
        ({"noise_std": (0.1, -0.1)}, "`noise_std`: all are greater than 0"),
        ({"beta": (2.0, -2.0)}, "`beta`: all are greater than 0"),
        ({"thresholds": (math.nan, -0.5)}, "`thresholds` are numbers"),
        ({"trials": 0}, "`trials` is a whole number from 1; got 0"),
        ({"noise": Noise((0.1, 0.1), 2.0)}, "`degrees_of_freedom` above 2"),
        ({"lattice": (11, 11)}, "`lattice` has 1 whole numbers from 2, one per input"),
        ({"lattice": (10**9,)}, "at most 1,000,000 are allowed"),
        ({"start": lambda seed: [[0.1]]}, r"`start\(3\)` is an array k x 1"),
        ({"start": lambda seed: np.zeros((0, 1))}, "of at least one point"),
        ({"start": lambda seed: np.array([[1.5]])}, "lies outside `bounds`"),
        ({"start": lambda seed: np.array([[0.9]])}, r"must be safe by the truth; at \[0.9\]"),
        ({"functions": lambda x: x}, "one column per kernel"),
        ({"functions": none}, "`functions` are finite all over `bounds`; at"),
        ({"lattice": None, "known_optimum": 0.2}, "`known_optimum` 0.2 is less than 0.4"),
    ],
)
def test_a_task_that_a_run_cannot_begin_with_is_refused(changes, words):
    with pytest.raises(InputError, match=f"task plain: .*{words}"):
        checked(plain(**changes), 3)


@pytest.mark.parametrize(
    "name", ["valley", "island", "camelback", "hartmann6", "gp-2d-tails-0", "safeopt-1d-1"]
)
def test_shipped_tasks_hold_to_the_check(name):
    task = task_named(name)
    assert checked(task, 0) is task


def test_names_that_do_not_exist():
    with pytest.raises(UnknownNameError, match="valley"):
        task_named("gp-5d-right-0")
    with pytest.raises(InputError, match="dimension"):
        gp_sample(5, 0)
    with pytest.raises(InputError, match="trials"):
        task_named("valley").measure(np.array([5.0]), 0, 0)


def test_slopes_from_the_grid_bound_every_pair_where_published_constants_do_not() -> None:
    task = task_named("island")
    points, values = task.grid, task.grid_values
    steepest_found = np.zeros(2)
    for step in range(
        1, 51
    ):  # pairs of neighbouring rows of the list are neighbours in the plane, or a line apart
        distance = np.linalg.norm(points[step:] - points[:-step], axis=1)[:, None]
        steepest_found = np.maximum(
            steepest_found, (np.abs(values[step:] - values[:-step]) / distance).max(0)
        )
    i, j = np.random.default_rng(0).integers(len(points), size=(2, 100_000))
    distance = np.linalg.norm(points[i] - points[j], axis=1)[:, None]
    slopes = np.abs(values[i] - values[j]) / np.where(distance > 0, distance, np.inf)
    steepest_found = np.maximum(steepest_found, slopes.max(0))
    bound = np.array(steepest(task))
    assert np.all(steepest_found <= bound)
    assert np.all(bound <= 2**0.5 * steepest_found * (1 + 1e-9))
    assert steepest_found[1] > task.lipschitz["oracle"][1]


@pytest.mark.parametrize("method", ["losbo", "los_gp_ucb", "real_beta_safeopt"])
def test_methods_of_fiedler_et_al_take_part_where_their_premises_are_known(method: str) -> None:
    problem = problem_named("gp-1d-right")
    assert problem.refuses(method) == ""
    rows = list(problem.run(method, 0, 12))
    assert not any(row.violated for row in rows)
    assert len({tuple(row.x) for row in rows}) > 3
    assert "norms" in problem_named("island").refuses("real_beta_safeopt")
    assert "grids alone" in problem_named("gaussian10").refuses("losbo")
