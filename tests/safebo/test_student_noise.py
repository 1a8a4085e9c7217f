"""Noise with a Student distribution: which measurements count with more noise, evidence under it, and what runs say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel
from scipy.integrate import quad
from scipy.stats import norm, t

from safebo.acquisition import GridSettings, GridTuner
from safebo.errors import InputError, StudyError
from safebo.models.function_model import FunctionModel
from safebo.models.outliers import disbelief
from safebo.models.posterior import Posterior
from safebo.models.prior_variants import DECLARED, PriorVariant
from safebo.models.student_noise import PASSES, StudentNoise
from safebo.models.trust import LARGEST_FACTOR, TrustRule
from safebo.runs.progress import Silent
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import ConfidenceSpec, Study
from safebo.study.reading import parse_study
from safebo.tuner import Tuner
from safebo.types import Measurement

STD = 0.05
MODEL = FunctionModel("margin", "matern32", (0.3,), 0.1, 1.0, STD**2)


def conditioned(X: np.ndarray, y: np.ndarray, added: np.ndarray | None = None) -> Posterior:
    return MODEL.prior().conditioned(
        torch.tensor(X)[:, None], torch.tensor(y), [] if added is None else added.tolist()
    )


def every(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def problem(seed: int, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Values of a smooth function, a fifth of which are outliers."""
    rng = np.random.default_rng(seed)
    X = rng.random(count)
    return X, np.sin(4.0 * X) + STD * rng.standard_normal(count) * rng.choice(
        [1.0, 12.0], count, p=[0.8, 0.2]
    )


@pytest.mark.parametrize(("seed", "nu", "further"), [(0, 4.0, False), (1, 2.5, True), (2, 10.0, True)])
def test_noises_are_those_of_the_updates_by_dense_solves(seed: int, nu: float, further: bool) -> None:
    """The noise e of a row has the posterior of a Gaussian process plus e plus what it has beyond."""
    X, y = problem(seed)
    beyond = np.random.default_rng(seed).choice([0.0, 0.01], len(X)) if further else np.zeros(len(X))
    Z = torch.tensor(X)[:, None]
    K = MODEL.kernel()(Z, Z).numpy()
    own = np.full(len(X), STD**2)
    for _ in range(PASSES):
        gain = np.diag(own) @ np.linalg.inv(K + np.diag(own + beyond))  # Cov(e, y) Cov(y)^-1
        mean, covariance = gain @ (y - 0.1), np.diag(own) - gain @ np.diag(own)
        scale = STD**2 * (nu - 2.0) / nu
        own = np.maximum(STD**2, (scale * nu + mean**2 + np.diag(covariance)) / (nu + 1.0))
    found = StudentNoise(nu).inflation(conditioned(X, y, beyond), 0, every(len(X))).numpy()
    assert np.log2((found + STD**2) / own) == pytest.approx(0.0, abs=0.125 + 1e-9)
    assert (found > 0).any()
    steps = 4.0 * np.log2(1.0 + found / STD**2)
    assert steps == pytest.approx(np.round(steps), abs=1e-9)


@pytest.mark.parametrize("further", [False, True])
def test_a_posterior_of_inflated_rows_is_that_of_their_noise_and_ordinary_rows_keep_theirs(
    further: bool,
) -> None:
    X, y = problem(3, 34)
    beyond = np.where(np.arange(34) % 3 == 0, 0.004 * further, 0.0)
    noise, plain = StudentNoise(3.0), conditioned(X, y, beyond)
    more = noise.inflation(plain, 0, every(34))
    robust = noise.robust(plain, torch.tensor(y), every(34))
    Z = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    expected = conditioned(X, y, beyond + more.numpy()).mean_variance(Z)
    for found, dense in zip(robust.mean_variance(Z), expected, strict=True):
        assert torch.allclose(found, dense, atol=1e-10)
    first = int(torch.nonzero(more)[0])
    assert torch.equal(robust.noise_variances[:first], plain.noise_variances[:first])
    assert bool((robust.noise_variances >= plain.noise_variances).all())
    # Full blocks stay as they are when a row comes that changes nothing of them.
    before = noise.robust(conditioned(X[:33], y[:33], beyond[:33]), torch.tensor(y[:33]), every(33))
    assert torch.equal(before.noise_variances, robust.noise_variances[:33])
    assert torch.equal(before.inverse_factor[:30, :30], robust.inverse_factor[:30, :30])
    ordinary = conditioned(X, np.sin(4.0 * X))
    assert noise.robust(ordinary, torch.tensor(np.sin(4.0 * X)), every(34)) is ordinary


@pytest.mark.parametrize("nu", [2.5, 4.0])
@pytest.mark.parametrize("lucky", [0.3, 0.5])
def test_of_two_that_contradict_each_other_neither_is_believed_until_a_third_decides(
    nu: float, lucky: float
) -> None:
    """A lucky outlier and a right one, in either order; then a second right one, and a tie of two to two."""

    def at(*values: float) -> tuple[float, float]:
        y = np.array(values)
        X = np.full(len(y), 0.5)
        p = StudentNoise(nu).robust(conditioned(X, y), torch.tensor(y), every(len(y)))
        mean, variance = p.mean_variance(torch.tensor([[0.5]], dtype=torch.float64))
        return float(mean), float(variance.sqrt())

    good, bad = 0.4, 0.4 + lucky
    mean, std = at(bad, good)
    assert (mean, std) == pytest.approx(at(good, bad))
    assert good + 0.1 * lucky < mean < bad - 0.1 * lucky
    assert mean - 4.0 * std <= good
    plain = conditioned(np.full(2, 0.5), np.array([bad, good]))
    before = plain.mean_variance(torch.tensor([[0.5]], dtype=torch.float64))
    assert std > 1.5 * float(before[1].sqrt())
    assert mean - 4.0 * std < float(before[0]) - 4.0 * float(before[1].sqrt())
    for values in ((bad, good, good), (good, bad, good), (good, good, bad), (bad, bad, good, good, good)):
        mean, std = at(*values)
        assert abs(mean - good) < STD
        assert std < STD
    mean, std = at(bad, bad, good, good)
    assert good < mean < bad
    assert mean - 4.0 * std <= good + STD


def test_falls_and_rows_of_another_run_stay_as_they_are() -> None:
    y = np.array([0.4, 0.4, 0.4, 3.0])
    plain = conditioned(np.full(4, 0.5), y)
    counted = torch.tensor([True, True, True, False])
    assert float(StudentNoise(4.0).inflation(plain, 0, counted)[3]) == 0.0
    y = y[::-1].copy()
    plain = conditioned(np.full(4, 0.5), y)
    assert float(StudentNoise(4.0).inflation(plain, 0, every(4))[0]) > 0.0
    assert len(StudentNoise(4.0).inflation(plain, 1, every(3))) == 3
    robust = StudentNoise(4.0).robust(plain, torch.tensor(y[1:]), every(3))
    assert float(robust.noise_variances[0]) == plain.noise_variance < float(robust.noise_variances[1])


# -- evidence --


@pytest.mark.parametrize("nu", [2.5, 4.0])
def test_predictions_are_those_of_the_rows_before_alone(nu: float) -> None:
    X, y = problem(5, 15)
    noise, all_rows = StudentNoise(nu), conditioned(X, y)
    found = noise.predictions(all_rows, torch.tensor(y), every(15))
    inflated = 0
    for i in range(15):
        before = noise.robust(conditioned(X[:i], y[:i]), torch.tensor(y[:i]), every(i))
        inflated += before.added_noise is not None
        mean, variance = before.mean_variance(torch.tensor([[X[i]]]))
        assert float(found[i, 0]) == pytest.approx(y[i] - float(mean), abs=1e-9)
        assert float(found[i, 1]) == pytest.approx(float(variance), rel=1e-6)
    assert inflated > 5
    assert torch.equal(noise.predictions(all_rows, torch.tensor(y), every(15), 11), found[11:])


@pytest.mark.parametrize("nu", [2.05, 2.5, 4.0, 30.0])
def test_densities_are_students_and_their_convolutions(nu: float) -> None:
    noise, scale = StudentNoise(nu), STD * math.sqrt((nu - 2.0) / nu)

    def density(above: float, variance: float) -> float:
        return float(noise.log_density(torch.tensor([[above, variance]], dtype=torch.float64), STD**2)[0])

    for above in (0.0, 0.1, -3.0, 100.0):
        assert density(above, 0.0) == pytest.approx(t.logpdf(above, nu, scale=scale), abs=1e-6)
        z = noise.standardized(torch.tensor([[above, 0.0]], dtype=torch.float64), STD**2)
        assert abs(float(z[0])) == pytest.approx(norm.isf(t.sf(abs(above), nu, scale=scale)), abs=1e-5)
        assert float(z[0]) * above >= 0.0
    for above in (0.0, 0.12, 0.6):
        convolved, _ = quad(
            lambda e, a=above: t.pdf(e, nu, scale=scale) * norm.pdf(a - e, scale=0.08),
            -2.0, 2.0, points=[0.0, above], limit=400,
        )  # fmt: skip
        assert density(above, 0.0064) == pytest.approx(math.log(convolved), abs=1e-5)


def test_a_true_cautious_prior_is_seldom_left_and_a_true_declared_one_earned() -> None:
    """80 draws of 30 measurements with noise of 2.5 degrees, of either truth: E_t ever reaches 20 in 1 of 20 at most
    where the cautious prior is the truth."""
    noise, rng = StudentNoise(2.5), np.random.default_rng(0)
    cautious = PriorVariant(lengthscale=0.5)
    declared = FunctionModel("f", "rbf", (0.2,), 0.0, 1.0, 0.1**2)
    promoted = {DECLARED: 0, cautious: 0}
    for truth in promoted:
        for _ in range(80):
            X = torch.tensor(rng.random((30, 1)))
            K = truth.of_model(declared).kernel()(X, X).numpy()
            f = rng.multivariate_normal(np.zeros(30), K + 1e-9 * np.eye(30))
            y = torch.tensor(f + 0.1 * math.sqrt(0.2) * rng.standard_t(2.5, 30))
            density = {}
            for variant in promoted:
                p = variant.of_model(declared).prior().conditioned(X, y)
                density[variant] = noise.log_density(noise.predictions(p, y, every(30)), 0.01)
            factors = (density[DECLARED] - density[cautious]).clamp_max(LARGEST_FACTOR)
            promoted[truth] += bool((factors.cumsum(0) >= math.log(20.0)).any())
    assert promoted[cautious] <= 4
    assert promoted[DECLARED] >= 60


# -- caps, grids --


def test_a_lucky_outlier_counts_as_three_declared_deviations_and_with_more_noise() -> None:
    y = np.array([0.4] * 6 + [1.4, 0.4])
    noise, plain = StudentNoise(4.0), conditioned(np.linspace(0.45, 0.55, 8), y)
    less = noise.disbelief(plain, torch.tensor(y), every(8))
    gaussian = disbelief(plain, torch.tensor(y))
    assert (
        [value > 0.0 for value in less] == [value > 0.0 for value in gaussian] == [i == 6 for i in range(8)]
    )
    p = conditioned(np.linspace(0.45, 0.55, 8)[:6], y[:6])
    mean, variance = p.mean_variance(torch.tensor([[0.45 + 0.1 * 6 / 7]], dtype=torch.float64))
    assert y[6] - less[6] == pytest.approx(float(mean) + 3.0 * math.sqrt(float(variance) + STD**2), abs=0.01)


def grid_tuner(degrees: Any, **settings: Any) -> GridTuner:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    for kernel in kernels:
        kernel.base_kernel.lengthscale = 0.3
        kernel.outputscale = 1.0
    grid = [[i / 40] for i in range(41)]
    trust = TrustRule.of([0.5], None, 0.05, 0.01, 1)
    options = GridSettings(trust=trust, noise_degrees=degrees, **settings)
    return GridTuner("safe_ucb", kernels, [0.01] * 2, grid, [-math.inf, 0.0], 3.0, settings=options)


def test_on_a_grid_an_unlucky_outlier_costs_little_and_gaussian_noise_stays_as_it_was() -> None:
    rng = np.random.default_rng(2)
    rows = [(x, [x, 1.0 + 0.05 * rng.standard_normal()]) for x in 0.5 + 0.02 * rng.standard_normal(10)]
    rows[6][1][1] = -1.0
    certified = {}
    for name, degrees in (("none", None), ("gaussian", [None, None]), ("student", [4.0, 4.0])):
        tuner = grid_tuner(degrees)
        for x, values in rows:
            tuner.tell([x], values)
        ctx = tuner.acquisition_context()
        certified[name] = ctx.certified(ctx.pool_bounds)
        assert tuner.trust[0].alarm is None or degrees is None or degrees[0] is None
    assert torch.equal(certified["none"], certified["gaussian"])
    assert int(certified["student"].sum()) > int(certified["none"].sum())


@pytest.mark.parametrize(
    ("degrees", "beta", "settings", "sentence"),
    [
        ([4.0], 3.0, {}, "needs a number or None for every function"),
        ([2.0, 4.0], 3.0, {}, "above 2 and at most 30"),
        ([4.0, None], ConfidenceSpec(schedule="logarithmic", intersect=True), {}, "use intersect: false"),
        ([None, 4.0], ConfidenceSpec(schedule="fiedler2024"), {}, "sub-Gaussian"),
        (
            [None, 4.0],
            2.0,
            {"certificate": "measured", "lipschitz": [1.0, 1.0], "measured_noise": [0.1, 0.1]},
            "largest possible noise",
        ),
    ],
)
def test_a_grid_refuses_what_needs_other_noise(degrees: Any, beta: Any, settings: Any, sentence: str) -> None:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    options = GridSettings(noise_degrees=degrees, **settings)
    with pytest.raises(InputError, match=sentence):
        GridTuner("safe_ucb", kernels, [0.01] * 2, [[0.0], [1.0]], [-math.inf, 0.0], beta, settings=options)


# -- studies --

STUDY = """\
name: wild
evaluator: {name: "test_student_noise:plant", options: {repeatable: true}}
parameters:
  - {name: a, bounds: [0, 1]}
objective: {name: reward, noise_std: 0.02}
constraints:
  - {name: margin, unit: m, noise_std: 0.05, noise_degrees: 4}
seeds:
  - parameters: {a: 0.5}
surrogate: {lengthscale: 0.4}
tuner: {method: safe_ucb, beta: 2, search: {domain: grid, grid_points: 5}}
trials: 12
"""


def plant(parameters: Mapping[str, float], context: Mapping[str, float], seed: int = 0) -> Any:
    """A margin of 1.5 less the square of the distance; gains near 0.5 measure 6 too much in a seventh of trials."""
    rng = np.random.default_rng(seed)
    noise = 0.02 * rng.standard_normal() + 0.7 * (rng.random() < 0.15)
    margin = 1.5 - (parameters["a"] - 0.5) ** 2 + noise
    return {"objective": -abs(parameters["a"] - 0.5), "margins": {"margin": margin}}


def declared(**changes: Any) -> Study:
    document = parse_study(STUDY).study.model_dump(exclude_unset=True)
    document["surrogate"]["trust"] = "earned"
    for key, value in changes.items():
        document[key] = document.get(key, {}) | value if isinstance(value, dict) else value
    return Study.model_validate(document)


def told(study: Study, values: list[float], prior: Any = ()) -> Tuner:
    tuner = Tuner(study, 0, prior=prior)
    for n, value in enumerate(values):
        m = Measurement("completed", objective=0.1, margins={"margin": value})
        tuner.tell_manual({"a": 0.5 + 0.005 * n}, "default", m)
        tuner.evidence()
    return tuner


VALUES = [1.0, 1.02, 0.98, 0.2, 1.01, 0.99, 1.0]


def test_an_outlier_is_visible_and_a_restored_run_asks_the_same() -> None:
    tuner = told(declared(), VALUES)
    assert list(tuner.outliers()) == [4]
    assert tuner.outliers()[4]["margin"] > 4.0
    again = Tuner(declared(), 0)
    again.restore([(r.trial, r.measurement) for r in tuner.history])
    assert again.ask() == tuner.ask()
    assert again.evidence() == tuner.evidence()
    assert again.outliers() == tuner.outliers()
    Z = np.linspace(0.0, 1.0, 21)[:, None]
    assert np.array_equal(tuner.bounds(Z, "default"), again.bounds(Z, "default"))
    plain = declared(constraints=[{"name": "margin", "unit": "m", "noise_std": 0.05}])
    gaussian = told(plain, VALUES)
    assert gaussian.outliers() == {}
    assert (tuner.bounds(Z, "default")[:, 1, 0] >= 0).sum() >= (
        gaussian.bounds(Z, "default")[:, 1, 0] >= 0
    ).sum()
    # Under the right model the outlier's residual is no further out than a Student distribution has it.
    assert abs(tuner.residuals()["margin"][3]) < abs(gaussian.residuals()["margin"][3])
    assert tuner.evidence()["margin"].alarm == "" != gaussian.evidence()["margin"].alarm
    assert tuner.evidence()["margin"].refuted_by == "" != gaussian.evidence()["margin"].refuted_by


def test_a_fall_is_no_outlier() -> None:
    tuner = Tuner(declared(), 0)
    for n, value in enumerate(VALUES):
        fell = n == 3
        m = Measurement(
            "aborted" if fell else "completed", None if fell else 0.1, {"margin": value - 5.0 * fell}, fell
        )
        tuner.tell_manual({"a": 0.5 + 0.005 * n}, "default", m)
    assert 4 not in tuner.outliers()


def test_it_goes_with_prior_runs_contexts_and_time() -> None:
    simulated = [(r.trial, r.measurement) for r in told(declared(), [1.1] * 5).history]
    contexts = {"variables": [{"name": "load", "bounds": [0.0, 1.0]}], "values": {"default": {"load": 0.5}}}
    for study, prior, keys in (
        (declared(), simulated, {}),
        (declared(context=contexts), (), {}),
        (declared(surrogate={"trust": "declared"}), (), {}),
        (declared(surrogate={"time": {"memory": 3600.0}}), (), {"operating_time": 0.0}),
    ):
        if keys:
            tuner = Tuner(study, 0)
            for n, value in enumerate(VALUES):
                m = Measurement("completed", 0.1, {"margin": value})
                tuner.tell_manual({"a": 0.5 + 0.005 * n}, "default", m, operating_time=20.0 * n)
                tuner.evidence()
        else:
            tuner = told(study, VALUES, prior)
        assert list(tuner.outliers()) == [4]
        asked = tuner.ask(operating_time=150.0) if keys else tuner.ask()
        again = Tuner(study, 0, prior=prior)
        again.restore([(r.trial, r.measurement) for r in tuner.history if r.measurement is not None])
        assert (again.ask(operating_time=150.0) if keys else again.ask()) == asked
        assert len(tuner.residuals()["margin"]) == len(VALUES)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"surrogate": {"hyperparameters": "map"}}, "use hyperparameters: fixed"),
        ({"surrogate": {"prior_data": {"correlation": 0.9}}}, "leave it out"),
        ({"tuner": {"method": "gosafeopt"}}, "without global trials"),
        ({"tuner": {"confidence": {"schedule": "fiedler2024"}}}, "sub-Gaussian"),
        ({"tuner": {"confidence": {"schedule": "logarithmic", "intersect": True}}}, "use intersect: false"),
        (
            {"tuner": {"certificate": "measured", "lipschitz": [1.0], "measured_noise": [0.1]}},
            "largest possible noise",
        ),
    ],
)
def test_what_needs_gaussian_noise_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyError, match=rf"constraints\[0\].noise_degrees: .*{sentence}"):
        Tuner(declared(**changes), 0)


class Listener(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_says_which_trial_is_an_outlier_once(tmp_path: Path) -> None:
    heard, file = Listener(), parse_study(STUDY)
    with ThreadPoolExecutor(1) as executor:
        run(file, tmp_path / "run", executor=executor, progress=heard, trials=9)
        run(file, tmp_path / "run", executor=executor, progress=heard, trials=12, resume=True)
    said = [note for note in heard.notes if "taken as an outlier" in note]
    assert any("margin is taken as an outlier (counts with" in note for note in said)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        kept = [e.text for e in journal.events() if e.kind.startswith("outlier")]
    assert kept == said
    assert len(set(said)) == len(said)
