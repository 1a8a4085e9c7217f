"""Optimizers of other packages: told the truth about what was tried, the same for a seed, and no certificate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench import external, external_botorch
from safebo.experiments.bench.contestants import contestant
from safebo.experiments.bench.external import EXTERNAL, external_proposals, external_refusal
from safebo.experiments.bench.external_observed import Observed, axis_points
from safebo.experiments.bench.function_problem import FunctionProblem, proposals, refusal, run_task
from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task

pytestmark = pytest.mark.slow


def hill_and_slope(x: FloatArray) -> FloatArray:
    """A hill at (0.8, 0.8) beyond the line x0 + x1 = 1, where the slope turns negative."""
    hill = -((x - 0.8) ** 2).sum(-1)
    return np.stack([hill, 1.0 - x.sum(-1)], -1)


def task(lattice: tuple[int, int] | None) -> Task:
    kernel = KernelSpec("rbf", 0.3)
    return Task(
        name="slope",
        functions=hill_and_slope,
        bounds=np.array([[0.0, -1.0], [1.0, 1.0]]),
        kernels=(kernel, kernel),
        prior_means=(0.0, 0.0),
        noise_std=(0.01, 0.01),
        beta=(2.0, 2.0),
        thresholds=(UNCONSTRAINED, 0.0),
        start=lambda seed: np.array([[0.2, 0.2], [0.3, 0.1]]),
        trials=10,
        lattice=lattice,
        endpoint=lattice != (9, 8),
        known_optimum=-0.18,
    )


FAST = ("optuna_tpe", "optuna_cmaes")


@pytest.fixture(autouse=True)
def small_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """BoTorch's restarts take most of an ask; what is tested here does not hang on how many there are."""
    for name, value in (("RESTARTS", 2), ("RAW_SAMPLES", 32), ("ITERATIONS", 15), ("SAMPLES", 64)):
        monkeypatch.setattr(external_botorch, name, value)


@pytest.mark.parametrize("name", [*FAST, "optuna_gp", "botorch_qlognei", "botorch_scbo"])
def test_same_seed_same_proposals_and_every_one_in_the_box(name: str) -> None:
    trials = 2 if name.startswith("botorch") else 12  # Optuna's models begin after ten
    runs = [list(run_task(task(None), contestant(name), 4, trials)) for _ in range(2)]
    assert [r.x for r in runs[0]] == [r.x for r in runs[1]]
    assert len(runs[0]) == trials
    tried = np.array([r.x for r in runs[0]])
    assert len(np.unique(tried, axis=0)) > 1
    assert (tried >= [0.0, -1.0]).all()
    assert (tried <= 1.0).all()
    for row in runs[0]:
        assert not row.certified
        assert np.isnan(row.safe_share)
    other = list(run_task(task(None), contestant(name), 5, 2))
    assert [r.x for r in other] != [r.x for r in runs[0][:2]]


@pytest.mark.parametrize("lattice", [(9, 5), (9, 8)])
@pytest.mark.parametrize("name", [*FAST, "botorch_scbo"])
def test_proposals_on_a_grid_are_its_points(name: str, lattice: tuple[int, int]) -> None:
    grid = task(lattice)
    rows = list(run_task(grid, contestant(name), 0, 6 if name in FAST else 2))
    points = {tuple(p) for p in grid.grid}
    assert {tuple(r.x) for r in rows} <= points
    assert {v for p in grid.grid for v in p[1:]} == set(axis_points(grid, 1))


@pytest.mark.parametrize("name", list(EXTERNAL))
def test_answer_is_the_best_that_was_measured_feasible(name: str) -> None:
    who = external_proposals(task(None), name, 0)
    x = np.array([[0.2, 0.2], [0.9, 0.9], [0.5, 0.3], [0.1, 0.0]])
    y = np.array([[-0.7, 0.6], [5.0, -0.1], [-0.3, 0.0], [-1.0, 0.9]])
    before = who.best
    who.tell(x, y)
    assert before is None
    assert who.best.tolist() == [0.5, 0.3]  # the higher one missed its threshold, this one is just at it
    assert who.certified(x) is None


def test_no_answer_where_nothing_was_feasible() -> None:
    seen = Observed(task(None), "any", 0)
    seen.tell(np.array([0.9, 0.9]), np.array([5.0, -0.1]))
    assert seen.best is None
    assert seen.shortfalls.tolist() == [[0.1]]


@pytest.mark.parametrize("name", ["optuna_tpe", "optuna_gp", "optuna_cmaes"])
def test_optuna_is_told_what_was_measured_where_it_proposed(name: str) -> None:
    """Its own storage agrees with the rows: seeds, inputs, values, constraints in its sense of sign."""
    import optuna

    where = task((9, 5))
    who: Any = external_proposals(where, name, 1)
    x0, y0 = where.initial(1)
    who.tell(x0, y0)
    asked = []
    for trial in range(1, 6):
        x = who.ask(trial)
        y = where.measure(x, 1, trial)
        who.tell(x, y)
        asked.append((x, y))
    kept = who._study.get_trials()
    assert len(kept) == len(x0) + len(asked)
    assert all(t.state == optuna.trial.TrialState.COMPLETE for t in kept)
    lowest = y0[:, 0].min()
    for t, (x, y) in zip(kept[len(x0) :], asked, strict=True):
        assert [axis_points(where, i)[t.params[f"x{i}"]] for i in range(2)] == x.tolist()
        lowest = min(lowest, y[0])
        if name == "optuna_cmaes" and y[1] < 0:
            assert t.value == pytest.approx(lowest + y[1])  # below all others, by the shortfall
        else:
            assert t.value == y[0]
        if name != "optuna_cmaes":
            assert t.system_attrs["constraints"] == [-y[1]] or t.system_attrs["constraints"] == (-y[1],)


@pytest.mark.parametrize("name", ["optuna_tpe", "botorch_qlognei"])
def test_constraints_are_heeded(name: str) -> None:
    """With a constraint that forbids the hill's side, far fewer trials go there than when it allows all."""
    trials = 30 if name == "optuna_tpe" else 8

    def beyond(threshold: float) -> int:
        from dataclasses import replace

        one = replace(task(None), thresholds=(UNCONSTRAINED, threshold))
        return sum(r.x[0] + r.x[1] > 1.0 for r in run_task(one, contestant(name), 0, trials))

    assert beyond(0.0) < 0.7 * beyond(-10.0)


def test_cmaes_begins_at_the_best_seed() -> None:
    """Its first generation is spread around (0.3, 0.1), which the middle of the box is not."""
    first = []
    for seed in range(20):
        who = external_proposals(task(None), "optuna_cmaes", seed)
        who.tell(
            np.array([[0.9, 0.9], [0.3, 0.1], [0.0, -1.0]]), np.array([[9.0, -1.0], [2.0, 0.6], [1.0, 2.0]])
        )
        first.append(who.ask(1))
    middle = np.mean(first, 0)
    assert abs(middle[0] - 0.3) < 0.15
    assert abs(middle[1] - 0.1) < 0.3


def test_cmaes_needs_two_inputs() -> None:
    one = task((9, 5))
    assert refusal(contestant("optuna_cmaes"), one) == ""
    line = Task(
        name="line",
        functions=lambda x: x,
        bounds=np.array([[0.0], [1.0]]),
        kernels=(KernelSpec("rbf", 0.3),),
        prior_means=(0.0,),
        noise_std=(0.1,),
        beta=(2.0,),
        thresholds=(0.0,),
        start=lambda seed: np.array([[0.5]]),
        trials=5,
        lattice=(11,),
    )
    problem = FunctionProblem("line", lambda _seed: line, 5)
    assert "2 or more inputs" in problem.refuses("optuna_cmaes")
    assert problem.refuses("optuna_tpe") == ""


def test_a_missing_package_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    real = external.find_spec
    monkeypatch.setattr(external, "find_spec", lambda name: None if name == "cmaes" else real(name))
    for attempt in (external_refusal, lambda t, n: external_proposals(t, n, 0)):
        with pytest.raises(
            InputError, match=r"optuna_cmaes: cmaes must be installed: pip install 'safebo\[bench\]'"
        ):
            attempt(task(None), "optuna_cmaes")
    assert external_refusal(task(None), "optuna_tpe") == ""
    with pytest.raises(UnknownNameError):
        external_proposals(task(None), "optuna_nothing", 0)


def test_contestants_promise_nothing() -> None:
    for name in EXTERNAL:
        one = contestant(name.replace("_", "-"))
        assert (one.name, one.external, one.promise) == (name, True, "nothing")
    assert proposals(task(None), contestant("optuna_tpe"), 0).best is None
