"""A simulation that informs the robot: dense solves of both tasks, limits, and the test that drops it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from tuner_cases import hill, hill_study, kernel_matrix

from safebo.errors import MeasurementError
from safebo.models.function_model import FunctionModel, TaskPrior
from safebo.models.kernels import CoregionalKernel
from safebo.models.multi_task import (
    Pairing,
    contradiction,
    pairings,
    simulated,
)
from safebo.models.surrogate import Surrogate
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

LENGTHSCALE = (0.3, 0.4)
MODELS = (
    FunctionModel("reward", "matern52", LENGTHSCALE, -0.2, 0.8, 0.01),
    FunctionModel("margin", "matern32", LENGTHSCALE, 0.1, 1.5, 0.02),
)
TASKS = TaskPrior(0.8, 1.3, 0.6)
LOADING, OWN = {0: 0.8, 1: 1.3}, 0.36
"""Of the shared part by task, and the variance of the robot's own part, as `TASKS` has them."""
PLAIN = Surrogate.prior(MODELS)

Table = tuple[torch.Tensor, list[tuple[float | None, ...]]]


def with_tasks(models: tuple[FunctionModel, ...], tasks: TaskPrior) -> tuple[FunctionModel, ...]:
    """The same priors of the robot's functions, each with its simulation's beside it."""
    return tuple(replace(model, tasks=tasks) for model in models)


def transfer_surrogate(
    models: tuple[FunctionModel, ...], simulation: Table, robot: Table, inflation: float = 1.0
) -> Surrogate:
    """The surrogate of the robot given trials of both."""
    surrogate = Surrogate.prior(models, inflation).conditioned(simulated(simulation[0]), simulation[1])
    return surrogate.conditioned(*robot) if len(robot[0]) else surrogate


def inputs(n: int, seed: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).random((n, 2)))


def values(X: torch.Tensor, factor: float = 1.0) -> list[tuple[float | None, ...]]:
    y = factor * torch.sin(5 * X.sum(1))
    return [(None if i % 3 == 2 else float(v), -float(v)) for i, v in enumerate(y)]


def dense(
    m: FunctionModel, rows: np.ndarray, s: np.ndarray, y: np.ndarray, Z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The robot's posterior at Z from observations of both tasks, by one solve of the joint model."""

    def k(a: np.ndarray, ta: np.ndarray, b: np.ndarray, tb: np.ndarray) -> np.ndarray:
        long = kernel_matrix(m.kind, np.array(LENGTHSCALE), m.variance, a, b)
        short = kernel_matrix(m.kind, 0.6 * np.array(LENGTHSCALE), m.variance, a, b)
        scale = np.array([LOADING[t] for t in ta])[:, None] * np.array([LOADING[t] for t in tb])
        return scale * long + OWN * ((ta[:, None] == 0) & (tb == 0)) * short

    t = np.zeros(len(Z), dtype=int)
    K = k(rows, s, rows, s) + m.noise_variance * np.eye(len(rows))
    cross = k(Z, t, rows, s)
    return (
        m.mean + cross @ np.linalg.solve(K, y - m.mean),
        k(Z, t, Z, t) - cross @ np.linalg.solve(K, cross.T),
    )


def test_both_tasks_are_one_dense_solve() -> None:
    S, R, Z = inputs(9, 0), inputs(5, 1), inputs(6, 2)
    sim, robot = values(S), values(R, 0.7)
    surrogate = transfer_surrogate(with_tasks(MODELS, TASKS), (S, sim), (R[:3], robot[:3]), 1.7)
    assert surrogate.inflation == 1.7
    for x, row in zip(R[3:], robot[3:], strict=True):
        surrogate = surrogate.observed(x, row)
    assert surrogate.inflation == 1.7
    prediction = surrogate.predict(Z)
    for i, m in enumerate(MODELS):
        both = [(x, 1, v[i]) for x, v in zip(S.numpy(), sim, strict=True)]
        both += [(x, 0, v[i]) for x, v in zip(R.numpy(), robot, strict=True)]
        seen = [row for row in both if row[2] is not None]
        rows, s, y = (np.array([row[j] for row in seen]) for j in range(3))
        mean, covariance = dense(m, rows, s, y, Z.numpy())
        np.testing.assert_allclose(prediction.mean[:, i], mean, atol=1e-9)
        np.testing.assert_allclose(prediction.std[:, i], np.sqrt(np.diag(covariance)), atol=1e-9)
        np.testing.assert_allclose(
            surrogate.posteriors[i].cross_covariance(Z[:2], Z), covariance[:2], atol=1e-9
        )
    np.testing.assert_allclose(surrogate.prior_std, [0.8**0.5, 1.5**0.5])
    assert surrogate.fantasized(Z[:1]).inflation == 1.7


def test_the_limits_of_the_correlation() -> None:
    S, R, Z = inputs(9, 0), inputs(4, 1), inputs(6, 2)
    plain = Surrogate.prior(MODELS).conditioned(R, values(R)).predict(Z)
    unrelated = transfer_surrogate(with_tasks(MODELS, TaskPrior(0.0)), (S, values(S)), (R, values(R)))
    np.testing.assert_allclose(unrelated.predict(Z).mean, plain.mean, atol=1e-12)
    np.testing.assert_allclose(unrelated.predict(Z).std, plain.std, atol=1e-12)
    own = Surrogate.prior(MODELS).conditioned(S, values(S)).conditioned(R, values(R)).predict(Z)
    same = transfer_surrogate(with_tasks(MODELS, TaskPrior(1.0)), (S, values(S)), (R, values(R)))
    np.testing.assert_allclose(same.predict(Z).mean, own.mean, atol=1e-9)
    np.testing.assert_allclose(same.predict(Z).std, own.std, atol=1e-9)


def draw(rng: np.random.Generator, sign: float) -> tuple[torch.Tensor, list, torch.Tensor, list]:
    """Simulated and real trials from the joint prior; `sign` -1 turns the simulation upside down."""
    X = torch.tensor(rng.random((32, 2)))
    rows = torch.cat([simulated(X[:20]), torch.nn.functional.pad(X[20:], (0, 1))])
    columns = []
    for m in with_tasks(MODELS, TASKS):
        K = m.kernel()(rows, rows).numpy() + m.noise_variance * np.eye(32)
        columns.append(m.mean + np.linalg.cholesky(K) @ rng.standard_normal(32))
    Y = np.stack(columns, 1)
    mean = np.array([m.mean for m in MODELS])
    sim = mean + sign * (Y[:20] - mean)
    return X[:20], sim.tolist(), X[20:], Y[20:].tolist()


def dropped(rng: np.random.Generator, sign: float, checked: int = 8, level: float = 0.1) -> bool:
    S, sim, R, robot = draw(rng, sign)
    transferred = transfer_surrogate(with_tasks(MODELS, TASKS), (S, sim), (R[:0], []))
    return contradiction(transferred, PLAIN, ("reward", "margin"), R, robot, checked, level) is not None


def test_a_true_simulation_is_rarely_dropped_and_a_false_one_mostly() -> None:
    rng = np.random.default_rng(0)
    true = sum(dropped(rng, 1.0) for _ in range(80))
    false = sum(dropped(rng, -1.0) for _ in range(25))
    # At most 8 of 80 are expected; 16 would be three standard deviations above.
    assert true <= 16
    assert false >= 18


def test_a_contradiction_says_which_and_when() -> None:
    S, Z = inputs(12, 0), inputs(6, 2)
    m = with_tasks(MODELS, TaskPrior(0.95))
    transferred = transfer_surrogate(m, (S, values(S)), (S[:0], []))
    mean = transferred.predict(Z).mean
    rows = [[float(a), float(b)] for a, b in mean]
    names = ("reward", "margin")
    assert contradiction(transferred, PLAIN, names, Z, rows, 5, 0.01) is None
    std = float((transferred.predict(Z[3:4]).std[0, 1] ** 2 + 0.02).sqrt())
    rows[3][1] += 10.0 * std
    found = contradiction(transferred, PLAIN, names, Z, rows, 5, 0.01)
    assert found is not None
    assert (found.function, found.trials) == ("margin", 4)
    assert found.statistic > found.limit
    # One step ahead or all together: the same quadratic form.
    joint_mean, joint = transferred.posteriors[1].joint(Z[:4])
    residual = np.array([row[1] for row in rows[:4]]) - joint_mean.numpy()
    quadratic = residual @ np.linalg.solve(joint.numpy() + 0.02 * np.eye(4), residual)
    assert found.test == "residuals"
    assert found.statistic == pytest.approx(quadratic)
    assert "margin contradicts it after 4 trials" in str(found)
    # Only the first trials of a function decide; those that did not observe it do not count.
    assert contradiction(transferred, PLAIN, names, Z, rows, 3, 0.01) is None
    missing: list[list[float | None]] = [[row[0], None if i < 2 else row[1]] for i, row in enumerate(rows)]
    found = contradiction(transferred, PLAIN, names, Z, missing, 3, 0.01)
    assert found is not None
    assert found.trials == 2


def test_a_simulation_that_is_worse_than_none_is_dropped() -> None:
    """Observations at the prior mean, where the simulation lets expect others, two standard deviations away."""
    m = with_tasks(MODELS, TaskPrior(0.6))
    S = 5.0 * inputs(40, 0)  # far apart, so that every observation counts
    Z = S[:20]
    high = [tuple(x.mean + 2.0 * x.variance**0.5 for x in MODELS) for _ in range(40)]
    transferred = transfer_surrogate(m, (S, high), (S[:0], []))
    rows = [[MODELS[0].mean, MODELS[1].mean] for _ in range(20)]
    found = contradiction(transferred, PLAIN, ("reward", "margin"), Z, rows, 20, 0.05)
    assert found is not None
    assert found.test == "likelihood"
    # The ratio by densities of all observations at once.
    i = ("reward", "margin").index(found.function)
    seen = found.trials
    y = np.full(seen, MODELS[i].mean)
    logs = []
    for posterior in (PLAIN.posteriors[i], transferred.posteriors[i]):
        mean, covariance = posterior.joint(Z[:seen])
        total = covariance.numpy() + MODELS[i].noise_variance * np.eye(seen)
        logs.append(multivariate_normal(mean.numpy(), total).logpdf(y))
    assert found.statistic == pytest.approx(logs[0] - logs[1])
    assert found.limit == pytest.approx(np.log(2 * 2 / 0.05))
    assert found.statistic > found.limit
    assert "likelier without it by a factor of" in str(found)


def test_the_first_contradiction_counts_whatever_the_function() -> None:
    """A function that contradicts later does not take the place of the one that did so first."""
    S, Z = inputs(12, 0), inputs(6, 2)
    transferred = transfer_surrogate(with_tasks(MODELS, TaskPrior(0.95)), (S, values(S)), (S[:0], []))
    rows = [[float(a), float(b)] for a, b in transferred.predict(Z).mean]
    for first, function in ((1, "margin"), (0, "reward")):
        wrong = [list(row) for row in rows]
        wrong[1][first] += 30.0
        wrong[4][1 - first] += 30.0
        found = contradiction(transferred, PLAIN, ("reward", "margin"), Z, wrong, 6, 0.01)
        assert found is not None
        assert (found.function, found.row, found.trials) == (function, 1, 2)


def test_robot_trials_are_paired_with_what_the_simulation_expects_there() -> None:
    S, R = inputs(25, 0), inputs(8, 1)
    far = torch.tensor([[8.0, 8.0]])  # where nothing was simulated
    sim, robot = values(S), values(torch.cat([R, far]), 0.5)
    transferred = transfer_surrogate(with_tasks(MODELS, TASKS), (S, sim), (S[:0], []))
    found = pairings(("reward", "margin"), transferred, torch.cat([R, far]), robot)
    for i, m in enumerate(MODELS):
        # The simulation is a function of its own with 1.3 times the prior standard deviation.
        seen = [j for j, row in enumerate(sim) if row[i] is not None]
        X, y = S.numpy()[seen], np.array([sim[j][i] for j in seen])
        variance = 1.69 * m.variance
        K = kernel_matrix(m.kind, np.array(LENGTHSCALE), variance, X, X) + m.noise_variance * np.eye(len(X))
        k = kernel_matrix(m.kind, np.array(LENGTHSCALE), variance, R.numpy(), X)
        mean = m.mean + k @ np.linalg.solve(K, y - m.mean)
        left = variance - np.sum(k.T * np.linalg.solve(K, k.T), 0)
        rows = [j for j in range(8) if left[j] <= variance / 4 and robot[j][i] is not None]
        pairing = found[("reward", "margin")[i]]
        assert pairing.rows == tuple(rows)
        assert len(rows) >= 4
        np.testing.assert_allclose(pairing.simulation, mean[rows], atol=1e-9)
        shown = np.array([robot[j][i] for j in rows])
        np.testing.assert_array_equal(pairing.robot, shown)
        assert pairing.correlation == pytest.approx(np.corrcoef(mean[rows], shown)[0, 1])


def test_few_pairs_say_little() -> None:
    assert Pairing((0, 1), (0.0, 1.0), (0.0, 1.0)).correlation is None
    assert Pairing((0, 1, 2), (0.0, 1.0, 2.0), (1.0, 1.0, 1.0)).correlation is None
    three = Pairing((0, 1, 2), (0.0, 1.0, 2.0), (0.0, 1.0, 1.0))
    assert three.correlation == pytest.approx(np.corrcoef([0, 1, 2], [0, 1, 1])[0, 1])
    assert three.interval is None
    # r = 0.5 of 12 pairs: the textbook's example of Fisher's z with 90 % confidence.
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 12))
    a = (a - a.mean()) / a.std()
    b = b - b.mean() - a * (a @ (b - b.mean())) / 12
    mixed = 0.5 * a + 0.75**0.5 * b / b.std()
    interval = Pairing(tuple(range(12)), tuple(a), tuple(mixed)).interval
    assert interval is not None
    expected = np.tanh(np.arctanh(0.5) + 1.6448536 / 3 * np.array([-1, 1]))
    np.testing.assert_allclose(interval, expected, atol=1e-6)


# -- in a study ---------------------------------------------------------------------------------------------

PRIOR = {"correlation": 0.9, "inflation": 1.6, "checked": 3}


def told(
    study: Study, n: int, shift: float = 0.0, sign: float = 1.0
) -> list[tuple[Trial, Measurement | None]]:
    """Trials of another run, spread over the box of the slow context; one is still pending."""
    records: list[tuple[Trial, Measurement | None]] = []
    rng = np.random.default_rng(0)
    for i in range(n):
        trial = Trial(
            id=i + 1,
            parameters={"kp": float(rng.uniform(1, 7)), "kd": float(np.exp(rng.uniform(-1.5, 1.5)))},
            context=dict(study.context.values["slow"]),
            context_name="slow",
            phase="local",
            seed=0,
            certified=True,
        )
        reward, margin = hill(trial)
        m = Measurement("completed", objective=sign * reward, margins={"margin": sign * margin + shift})
        records.append((trial, m if i else None))
    return records


def start(tuner: Tuner, shift: float = 0.0) -> Trial:
    trial = tuner.ask("slow")
    reward, margin = hill(trial)
    tuner.tell(trial, Measurement("completed", objective=reward, margins={"margin": margin + shift}))
    return trial


def test_a_tuner_learns_from_a_simulation_and_is_more_careful() -> None:
    study = hill_study(surrogate={"prior_data": PRIOR})
    plain, tuner = Tuner(study, 0), Tuner(study, 0, prior=told(study, 25))
    start(plain)
    assert start(tuner).phase == "seed"
    report = tuner.prior_report()
    assert plain.prior_report() is None
    assert report is not None
    assert (report.trials, report.inflation, report.contradiction) == (24, 1.6, None)
    rows = np.array([[3.5, 0.8], [5.0, 1.0], [2.0, 0.4]])
    surrogate = tuner.surrogate()
    assert isinstance(surrogate.posteriors[1].kernel, CoregionalKernel)
    assert surrogate.posteriors[1].count == 25
    X = torch.cat([tuner.encoding.unit(rows), tuner.encoding.context("slow").expand(3, -1)], 1)
    prediction = surrogate.predict(X)
    bounds = tuner.bounds(rows, "slow")
    reach = 1.6 * study.tuner.beta * prediction.std.numpy()
    np.testing.assert_allclose(bounds[..., 2] - bounds[..., 1], reach, rtol=1e-9)
    np.testing.assert_allclose(bounds[..., 1] - bounds[..., 0], reach, rtol=1e-9)
    # What the simulation saw all over the box, the robot's single trial could not have told.
    assert (prediction.std < 0.75 * plain.surrogate().predict(X).std).all()


def test_a_simulation_that_lies_is_dropped_aloud() -> None:
    study = hill_study(surrogate={"prior_data": PRIOR})
    tuner, plain = Tuner(study, 0, prior=told(study, 25, shift=1.5)), Tuner(study, 0)
    first, second = start(tuner), start(plain)
    assert "dropped" not in first.reason
    report = tuner.prior_report()
    assert report is not None
    assert report.inflation == 1.0
    assert report.contradiction is not None
    assert report.contradiction.function == "margin"
    assert report.dropped_by == 1
    asked, other = tuner.ask("slow"), plain.ask("slow")
    assert str(report.contradiction) in asked.reason
    assert asked.parameters == other.parameters
    assert asked.predicted == other.predicted
    assert first.parameters == second.parameters


def test_a_simulation_alone_certifies_nothing() -> None:
    """Not before the robot has measured a seed: neither a recommendation nor the second trial of a first round."""
    study = hill_study(
        surrogate={"prior_data": {**PRIOR, "correlation": 1.0, "inflation": 1.0}},
        tuner={"search": {"domain": "grid", "grid_points": 11}},
    )
    tuner = Tuner(study, 0, prior=told(study, 60))
    assert tuner.best("slow") is None
    assert not tuner.certify({"kp": 3.0, "kd": 0.6}, "slow").certified
    first, second = tuner.ask("slow"), tuner.ask("slow")
    assert (first.phase, second.phase) == ("seed", "seed")
    assert first.parameters == second.parameters == {"kp": 3.0, "kd": 0.6}
    reward, margin = hill(first)
    tuner.tell(first, Measurement("completed", objective=reward, margins={"margin": margin}))
    assert tuner.best("slow") is not None
    assert tuner.ask("slow").phase == "local"


def test_hyperparameters_are_fitted_to_both() -> None:
    study = hill_study(surrogate={"prior_data": PRIOR, "hyperparameters": "map", "refit_every": 3})
    tuner = Tuner(study, 0, prior=told(study, 25))
    before = tuner.surrogate()
    models = tuner._state.models.models
    assert models[0].lengthscale != tuner._state.models.declared[0].lengthscale
    assert models[0].tasks == TaskPrior(0.9)
    assert before.posteriors[0].count == 24


def test_a_prior_must_be_tellable_and_come_first() -> None:
    records = told(hill_study(), 4)
    study = hill_study(surrogate={"prior_data": PRIOR})
    wrong = [(records[1][0], Measurement("completed", objective=None, margins={"margin": 0.1}))]
    with pytest.raises(MeasurementError, match="objective"):
        Tuner(study, 0, prior=wrong)
