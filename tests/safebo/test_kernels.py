"""Kernel structures, periods and tasks against gpytorch, formulas and dense solves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gpytorch
import numpy as np
import pytest
import torch
from tuner_cases import hill_study, kernel_matrix

from safebo.boundary.kernels import KERNELS, RadialKernel, radial_kernel, register_kernel
from safebo.boundary.rules import correlation_distance
from safebo.errors import StudyError, UnknownNameError
from safebo.models.function_model import FunctionModel, TaskPrior, function_models
from safebo.models.gpytorch_kernels import fixed_kernel
from safebo.models.kernels import AverageKernel, CoregionalKernel, StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate
from safebo.study import Study
from safebo.study.checks import cross_field_problems
from safebo.study.reference import study_schema
from safebo.tuner import Tuner
from safebo.types import Measurement

KINDS = ["matern12", "matern32", "matern52", "rbf"]
LENGTHSCALE = (0.3, 0.2, 0.5, 0.8)
VARIANCE, NOISE, MEAN = 1.7, 0.01, -0.4
TERMS = {
    "joint": None,
    "product": (((0, 1, 2), (3,)),),
    "sum": (((0, 1, 2),), ((3,),)),
    "additive": (((0,), (3,)), ((1,), (3,)), ((2,), (3,))),
    "groups": (((0, 2), (3,)), ((1,), (3,))),
}


def points(n: int, seed: int, D: int = 4) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).random((n, D)))


def theirs(kind: str, columns: list[int]) -> Any:
    if kind == "rbf":
        kernel = gpytorch.kernels.RBFKernel(ard_num_dims=len(columns), active_dims=columns)
    else:
        nu = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}[kind]
        kernel = gpytorch.kernels.MaternKernel(nu, ard_num_dims=len(columns), active_dims=columns)
    kernel = kernel.double()
    kernel.lengthscale = torch.tensor([LENGTHSCALE[c] for c in columns], dtype=torch.float64)
    return kernel


def composite(kind: str, structure: str) -> Any:
    """The structure written by hand in gpytorch's sums and products."""
    if structure == "joint":
        base: Any = theirs(kind, [0, 1, 2, 3])
    elif structure == "product":
        base = theirs(kind, [0, 1, 2]) * theirs(kind, [3])
    elif structure == "sum":
        base = theirs(kind, [0, 1, 2]) + theirs(kind, [3])
    elif structure == "additive":
        base = (theirs(kind, [0]) + theirs(kind, [1]) + theirs(kind, [2])) * theirs(kind, [3])
    else:
        base = (theirs(kind, [0, 2]) + theirs(kind, [1])) * theirs(kind, [3])
    kernel = gpytorch.kernels.ScaleKernel(base).double()
    kernel.outputscale = VARIANCE / {"sum": 2, "additive": 3, "groups": 2}.get(structure, 1)
    return kernel


def model(kind: str, structure: str, **changes: Any) -> FunctionModel:
    values = {
        "name": "f", "kind": kind, "lengthscale": LENGTHSCALE, "mean": MEAN, "variance": VARIANCE,
        "noise_variance": NOISE, "terms": TERMS[structure], **changes,
    }  # fmt: skip
    return FunctionModel(**values)


class ExactGP(gpytorch.models.ExactGP):
    """gpytorch's own inference, in float64 and with Cholesky factors."""

    def __init__(self, X: torch.Tensor, y: torch.Tensor, kernel: Any) -> None:
        likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
        likelihood.noise = NOISE
        super().__init__(X, y, likelihood)
        self.mean = gpytorch.means.ConstantMean().double()
        self.mean.constant.data.fill_(MEAN)
        self.kernel = kernel
        self.eval()

    def forward(self, X: torch.Tensor) -> Any:
        return gpytorch.distributions.MultivariateNormal(self.mean(X), self.kernel(X))


@pytest.mark.parametrize("structure", list(TERMS))
@pytest.mark.parametrize("kind", ["matern32", "rbf"])
def test_structured_posteriors_are_gpytorchs(kind: str, structure: str) -> None:
    X, Z = points(14, 0), points(9, 1)
    y = torch.sin(4 * X.sum(1))
    posterior = model(kind, structure).prior()
    for x, value in zip(X, y, strict=True):
        posterior = posterior.extended(x, float(value))
    with torch.no_grad():
        other = ExactGP(X, y, composite(kind, structure))(Z)
    mean, covariance = posterior.joint(Z.reshape(1, 9, 4))
    np.testing.assert_allclose(mean[0], other.mean, atol=1e-6)
    np.testing.assert_allclose(covariance[0], other.covariance_matrix, atol=1e-6)
    np.testing.assert_allclose(posterior.kernel.diagonal(Z), VARIANCE)
    np.testing.assert_allclose(posterior.kernel(Z, Z).diagonal(), VARIANCE)


@pytest.mark.parametrize("structure", list(TERMS))
def test_many_rows_at_once_are_the_same_as_one_by_one(structure: str) -> None:
    X, y, Z = points(20, 0), torch.sin(9 * points(20, 0).sum(1)), points(7, 1)
    single = model("matern52", structure).prior()
    for x, value in zip(X, y, strict=True):
        single = single.extended(x, float(value))
    for split in (0, 1, 8, 20):
        batch = model("matern52", structure).prior()
        batch = batch.conditioned(X[:split], y[:split]).conditioned(X[split:], y[split:])
        np.testing.assert_allclose(batch.inverse_factor, single.inverse_factor, atol=1e-9)
        np.testing.assert_allclose(batch.weights, single.weights, atol=1e-9)
        for a, b in zip(batch.mean_variance(Z), single.mean_variance(Z), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)


def test_repeated_inputs_without_noise_are_taken_one_by_one() -> None:
    X = points(3, 0)[[0, 1, 1, 2, 0]]
    posterior = Posterior.prior(StationaryKernel("rbf", torch.full((4,), 0.5).double()), 0.0, 0.0, 4)
    mean, variance = posterior.conditioned(X, X.sum(1)).mean_variance(X)
    np.testing.assert_allclose(mean, X.sum(1), atol=1e-5)
    assert float(variance.max()) < 1e-6


def chords(a: np.ndarray, b: np.ndarray, period: list[float]) -> np.ndarray:
    """Differences on the line, chords on circles, in lengthscales."""
    difference = a[:, None] - b[None]
    for j, p in enumerate(period):
        if math.isfinite(p):
            difference[..., j] = p / np.pi * np.abs(np.sin(np.pi * difference[..., j] / p))
    return difference / np.array(LENGTHSCALE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("structure", list(TERMS))
def test_periodic_columns_are_chords_of_a_circle(kind: str, structure: str) -> None:
    period = [math.inf, 0.7, math.inf, 1.0]
    kernel = model(kind, structure, period=tuple(period)).kernel()
    A, B = 2.0 * points(40, 2) - 0.5, 2.0 * points(30, 3) - 0.5
    d = chords(A.numpy(), B.numpy(), period)
    expected = np.zeros((40, 30))
    for groups in TERMS[structure] or (((0, 1, 2, 3),),):
        product = np.ones((40, 30))
        for group in groups:
            r = np.linalg.norm(d[..., list(group)], axis=-1).reshape(-1, 1)
            product *= kernel_matrix(kind, np.ones(1), 1.0, r, np.zeros((1, 1))).reshape(40, 30)
        expected += product
    expected *= VARIANCE / len(TERMS[structure] or [0])
    np.testing.assert_allclose(kernel(A, B), expected, atol=1e-9)
    np.testing.assert_allclose(kernel(A + A.new_tensor([0.0, 1.4, 0.0, -3.0]), B), expected, atol=1e-9)
    assert np.linalg.eigvalsh(kernel(A, A).numpy()).min() > -1e-10
    # Near points are as far apart as without a period.
    near, straight = A + 1e-4, model(kind, structure).kernel()
    np.testing.assert_allclose(kernel(A, near).diagonal(), straight(A, near).diagonal(), rtol=1e-7)


@pytest.mark.parametrize("structure", ["joint", "sum", "additive"])
def test_structured_kernels_are_differentiable(structure: str) -> None:
    kernel = model("matern52", structure, period=(math.inf, 0.7, math.inf, 1.0)).kernel()
    A, B = points(3, 2).requires_grad_(True), points(2, 3)
    assert torch.autograd.gradcheck(lambda a: kernel(a, B), A)


def test_functions_of_one_correlation_share_it_and_others_do_not() -> None:
    circle = (math.inf, math.inf, math.inf, 1.0)
    models = [
        model("matern32", "sum"),
        model("matern32", "sum", variance=0.5),
        model("matern32", "product"),
        model("matern32", "sum", period=circle),
        model("matern32", "sum", lengthscale=(0.3, 0.2, 0.5, 0.7)),
    ]
    X, Z = points(6, 0), points(5, 1)
    surrogate = Surrogate.prior(models)
    for x in X:
        surrogate = surrogate.observed(x, [float(x.sum())] * 5)
    together = surrogate.predict(Z)
    for i, posterior in enumerate(surrogate.posteriors):
        mean, variance = posterior.mean_variance(Z)
        np.testing.assert_allclose(together.mean[:, i], mean, atol=1e-12)
        np.testing.assert_allclose(together.std[:, i], variance.sqrt(), atol=1e-12)
    k = [posterior.kernel for posterior in surrogate.posteriors]
    assert [k[0].same_correlation(other) for other in k] == [True, True, False, False, False]  # type: ignore[attr-defined]


# -- tasks --------------------------------------------------------------------------------------------------


def test_the_intrinsic_model_is_a_kronecker_product() -> None:
    X = points(5, 0)
    base = model("matern32", "joint").kernel()
    kernel = TaskPrior(correlation=0.7, std_ratio=1.4).kernel(base)  # type: ignore[arg-type]
    B = np.array([[1.0, 0.7 * 1.4], [0.7 * 1.4, 1.4**2]])
    rows = torch.cat([torch.cat([X, torch.full((5, 1), float(t), dtype=torch.float64)], 1) for t in (0, 1)])
    np.testing.assert_allclose(kernel(rows, rows), np.kron(B, base(X, X).numpy()), atol=1e-12)
    np.testing.assert_allclose(kernel.diagonal(rows), kernel(rows, rows).diagonal(), atol=1e-12)
    # Rows without a task are the robot's.
    np.testing.assert_allclose(kernel(X, rows), kernel(rows[:5], rows), atol=0)
    np.testing.assert_allclose(kernel.diagonal(X), VARIANCE)
    batch = rows.reshape(2, 5, 5)
    np.testing.assert_allclose(kernel(batch, batch)[1], kernel(rows[5:], rows[5:]), atol=0)


def test_a_discrepancy_has_lengthscales_of_its_own() -> None:
    X, Z = points(6, 0), points(4, 1)
    base = model("rbf", "joint").kernel()
    kernel = TaskPrior(0.6, 0.8, discrepancy_lengthscale=0.5).kernel(base)  # type: ignore[arg-type]
    short = model("rbf", "joint", lengthscale=tuple(0.5 * v for v in LENGTHSCALE)).kernel()
    sim_X, sim_Z = (torch.nn.functional.pad(a, (0, 1), value=1.0) for a in (X, Z))
    k = base(X, Z)
    np.testing.assert_allclose(kernel(X, Z), 0.36 * k + 0.64 * short(X, Z), atol=1e-12)
    np.testing.assert_allclose(kernel(X, sim_Z), 0.6 * 0.8 * k, atol=1e-12)
    np.testing.assert_allclose(kernel(sim_X, sim_Z), 0.64 * k, atol=1e-12)


def test_average_kernels_are_means() -> None:
    X = points(4, 0)
    a, b = model("rbf", "joint").kernel(), model("rbf", "joint", variance=0.3).kernel()
    mean = AverageKernel((a, b))
    np.testing.assert_allclose(mean(X, X), 0.5 * (a(X, X) + b(X, X)), atol=1e-15)
    np.testing.assert_allclose(mean.diagonal(X), 0.5 * (VARIANCE + 0.3))


# -- what a study says --------------------------------------------------------------------------------------


def study(**surrogate: Any) -> Study:
    return hill_study(surrogate=surrogate)


@pytest.mark.parametrize(
    ("surrogate", "terms"),
    [
        ({}, None),
        ({"structure": "product"}, (((0, 1), (2,)),)),
        ({"structure": "sum"}, (((0, 1),), ((2,),))),
        ({"structure": "additive"}, (((0,), (2,)), ((1,), (2,)))),
        ({"structure": "additive", "groups": [["kd", "kp"], ["kd"]]}, (((0, 1), (2,)), ((1,), (2,)))),
    ],
)
def test_studies_name_their_structure(surrogate: dict[str, Any], terms: object) -> None:
    found = study(**surrogate)
    assert cross_field_problems(found) == []
    assert all(m.terms == terms for m in function_models(found))
    assert all(m.period is None for m in function_models(found))


def test_periods_are_given_in_the_unit_of_the_axis() -> None:
    base = hill_study()
    parameters = [p.model_copy(update={"period": 20.0} if p.name == "kp" else {}) for p in base.parameters]
    variables = [v.model_copy(update={"period": 0.5}) for v in base.context.variables]
    found = base.model_copy(
        update={
            "parameters": parameters,
            "context": base.context.model_copy(update={"variables": variables}),
        }
    )
    assert cross_field_problems(found) == []
    assert function_models(found)[0].period == (2.0, math.inf, 0.5)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"surrogate": {"groups": [["kp"], ["kd"]]}}, ("surrogate", "groups"), "additive"),
        ({"surrogate": {"structure": "additive", "groups": [["kp"]]}}, ("surrogate", "groups"), "kd"),
        (
            {"surrogate": {"structure": "additive", "groups": [["kp"], ["kd", "ki"]]}},
            ("surrogate", "groups", 1, 1),
            "'ki'",
        ),
        (
            {"surrogate": {"structure": "additive", "groups": [["kp", "kp"], ["kd"]]}},
            ("surrogate", "groups", 0, 1),
            "already",
        ),
        (
            {"surrogate": {"structure": "additive", "groups": [["kp", "kd"], []]}},
            ("surrogate", "groups", 1),
            "empty",
        ),
        (
            {"surrogate": {"structure": "additive", "groups": [["kp", "kd"], ["kd", "kp"]]}},
            ("surrogate", "groups", 1),
            "already",
        ),
        (
            {
                "surrogate": {"structure": "sum"},
                "context": {"variables": [], "values": {"slow": {}, "fast": {}}},
            },
            ("surrogate", "structure"),
            "no context variables",
        ),
        (
            {
                "surrogate": {"hyperparameters": "bayes"},
                "tuner": {"search": {"domain": "grid", "grid_points": 5}},
            },
            ("surrogate", "hyperparameters"),
            "domain",
        ),
        (
            {"surrogate": {"hyperparameters": "bayes"}, "tuner": {"confidence": {"intersect": True}}},
            ("surrogate", "hyperparameters"),
            "intersect",
        ),
        (
            {"surrogate": {"hyperparameters": "map"}, "constraints": [{"name": "margin", "prior_mean": 0.1}]},
            ("constraints", 0, "prior_mean"),
            "smaller prior_std",
        ),
        (
            {
                "parameters": [
                    {"name": "kp", "bounds": [0.0, 10.0], "period": 6.0},
                    {"name": "kd", "bounds": [0.1, 10.0], "scale": "log"},
                ]
            },
            ("parameters", 0, "period"),
            "wider than the period",
        ),
        (
            {
                "parameters": [
                    {"name": "kp", "bounds": [0.0, 10.0]},
                    {"name": "kd", "bounds": [0.1, 10.0], "scale": "log", "period": 50.0},
                ]
            },
            ("parameters", 1, "period"),
            "linear",
        ),
    ],
)
def test_impossible_surrogates_are_named(changes: dict[str, Any], path: object, words: str) -> None:
    found = [p for p in cross_field_problems(hill_study(**changes)) if p.path == path]
    assert len(found) == 1
    assert words in found[0].message


def test_a_kernel_of_tasks_is_of_its_own_type() -> None:
    kernel = model("rbf", "joint", tasks=TaskPrior(0.5)).kernel()
    assert isinstance(kernel, CoregionalKernel)


def test_a_tuner_certifies_by_the_declared_kernel() -> None:
    base = hill_study(surrogate={"structure": "additive", "lengthscale": 0.35})
    parameters = [p.model_copy(update={"period": 12.0} if p.name == "kp" else {}) for p in base.parameters]
    tuner = Tuner(base.model_copy(update={"parameters": parameters}), 0)
    rows = np.array([[3.0, 0.6], [4.0, 0.9], [2.0, 0.5], [6.0, 1.5]])
    margins = [0.3, 0.35, 0.2, 0.1]
    for row, margin in zip(rows[:3], margins, strict=False):
        gains = {"kp": float(row[0]), "kd": float(row[1])}
        tuner.tell_manual(gains, "slow", Measurement("completed", objective=0.0, margins={"margin": margin}))
    kp, kd = rows[:, 0] / 10.0, np.log(rows[:, 1] / 0.1) / np.log(100.0)
    chord = 1.2 / np.pi * np.abs(np.sin(np.pi * (kp[:, None] - kp) / 1.2))

    def rho(distance: np.ndarray) -> np.ndarray:
        s = np.sqrt(3.0) * distance / 0.35
        return (1.0 + s) * np.exp(-s)

    # The context is the same everywhere.
    K = 0.25 * 0.5 * (rho(chord) + rho(np.abs(kd[:, None] - kd)))
    gain = np.linalg.solve(K[:3, :3] + 0.02**2 * np.eye(3), K[:3, 3:]).T
    mean = -0.3 + gain @ (np.array(margins[:3]) + 0.3)
    std = np.sqrt(0.25 - gain @ K[:3, 3:])
    expected = [mean.item() - 3.0 * std.item(), mean.item(), mean.item() + 3.0 * std.item()]
    np.testing.assert_allclose(tuner.bounds(rows[3:], "slow")[0, 1], expected, atol=1e-9)


RATIONAL = RadialKernel(
    "rational_quadratic",
    lambda r, xp: 1.0 / (1.0 + 0.5 * r * r),
    "gpytorch.kernels:RQKernel",
    {"alpha": 1.0},
)
"""A kernel that safebo does not have; `(1 + r^2 / (2 alpha))^-alpha` with alpha = 1."""


@pytest.fixture
def rational() -> Iterator[str]:
    register_kernel(RATIONAL)
    yield RATIONAL.name
    del KERNELS[RATIONAL.name]


def test_a_registered_kernel_is_one_like_the_others(rational: str) -> None:
    theirs = gpytorch.kernels.RQKernel(ard_num_dims=4).double()
    theirs.alpha, theirs.lengthscale = 1.0, torch.tensor([LENGTHSCALE], dtype=torch.float64)
    ours = fixed_kernel(theirs, 4)
    assert isinstance(ours, StationaryKernel)
    assert ours.kind == rational
    A, B = points(20, 0), points(10, 1)
    expected = theirs(A, B).to_dense().detach()
    np.testing.assert_allclose(ours(A, B), expected, atol=1e-12)
    np.testing.assert_allclose(model(rational, "joint", variance=1.0).kernel()(A, B), expected, atol=1e-12)
    # Another alpha is another kernel.
    theirs.alpha = 2.0
    assert not isinstance(fixed_kernel(theirs, 4), StationaryKernel)
    # 1 / (1 + r^2 / 2) = 0.5 at the root of 2.
    assert correlation_distance(rational, 0.5) == pytest.approx(math.sqrt(2.0), rel=1e-12)
    study = hill_study(
        surrogate={"kernel": rational}, tuner={"method": "safe_ucb", "backup": {"state_kernel": rational}}
    )
    assert not cross_field_problems(study)
    tuner = Tuner(study, 0)
    first = tuner.ask("slow")
    tuner.tell(first, Measurement("completed", objective=-0.2, margins={"margin": 0.4}))
    assert tuner.ask("slow").certified


def test_unknown_kernels_are_refused_with_what_was_meant() -> None:
    study = hill_study(surrogate={"kernel": "matern42"}, tuner={"backup": {"state_kernel": "rfb"}})
    messages = {problem.path: problem.message for problem in cross_field_problems(study)}
    assert set(messages) == {("surrogate", "kernel"), ("tuner", "backup", "state_kernel")}
    assert messages["surrogate", "kernel"].startswith("unknown kernel 'matern42'; did you mean 'matern")
    allowed = "(allowed: matern12, matern32, matern52, rbf)"
    expected = f"unknown kernel 'rfb'; did you mean 'rbf'? {allowed}"
    assert messages["tuner", "backup", "state_kernel"] == expected
    with pytest.raises(UnknownNameError, match="matern42"):
        radial_kernel("matern42")
    with pytest.raises(StudyError, match="matern42"):
        Tuner(study, 0)


def test_a_kernels_name_is_taken_once_and_it_is_a_correlation() -> None:
    with pytest.raises(StudyError, match="taken"):
        register_kernel(RadialKernel("rbf", lambda r, xp: xp.exp(-r)))
    with pytest.raises(StudyError, match="must be 1"):
        register_kernel(RadialKernel("covariance", lambda r, xp: 2.0 * xp.exp(-r)))
    assert "covariance" not in KERNELS


def test_kernels_of_installed_packages_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = RATIONAL.name, "lab.kernels"

        def load(self) -> None:
            register_kernel(RATIONAL)

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point()])
    try:
        assert radial_kernel(RATIONAL.name) is RATIONAL
    finally:
        del KERNELS[RATIONAL.name]

    def broken(self: Point) -> None:
        raise ImportError("no module lab")

    monkeypatch.setattr(Point, "load", broken)
    with pytest.raises(StudyError, match=r"lab.kernels\) cannot be loaded: no module lab"):
        radial_kernel(RATIONAL.name)


def test_the_schema_lists_the_kernels_that_come_with_safebo() -> None:
    definitions = study_schema()["$defs"]
    for model_name, key in (("SurrogateSpec", "kernel"), ("BackupSpec", "state_kernel")):
        assert definitions[model_name]["properties"][key]["anyOf"] == [{"enum": KINDS}, {"type": "string"}]
