"""EI, constrained EI, qLogNEI and SCBO: against quadrature, against BoTorch on its own models, and by replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.models import ModelListGP, SingleTaskGP
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.sampling import manual_seed
from gpytorch.means import ConstantMean
from present import present
from scipy import integrate, stats
from torch import Tensor
from tuner_cases import direct_posterior, hill, hill_study, measured, run

from safebo.acquisition import AcquisitionContext, Told, acquisition_class
from safebo.acquisition.base import UNCERTIFIED_PENALTY
from safebo.acquisition.baselines import scbo
from safebo.acquisition.baselines.noisy_expected_improvement import SAMPLES
from safebo.acquisition.baselines.scbo import ScalableConstrained, candidate_count
from safebo.acquisition.baselines.trust_region import Merit, TrustRegion, merits, replayed, total_violation
from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate
from safebo.optim import unit_grid
from safebo.study import SearchSpec, Study
from safebo.tuner import Tuner
from safebo.types import Measurement

METHODS = ["ei", "constrained_ei", "qlognei", "scbo"]
CONTEXT = 0.45
MODELS = [
    FunctionModel("f", "matern52", (0.4, 0.3, 0.8), 0.1, 1.3, 4e-3),
    FunctionModel("g", "matern52", (0.5, 0.4, 0.8), -0.2, 1.0, 1e-2),
    FunctionModel("h", "matern32", (0.5, 0.5, 0.8), -0.1, 0.5, 1e-2),
]
THRESHOLDS = torch.tensor([0.3, -0.1], dtype=torch.float64)


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Parameters and values of all functions; margins fall towards one corner."""
    rng = np.random.default_rng(seed)
    X = rng.random((count, 2))
    f = np.sin(4 * X[:, 0]) + X[:, 1]
    Y = np.stack([f, 1.0 - X[:, 0], 0.5 - X[:, 1]], 1) + 0.05 * rng.standard_normal((count, 3))
    return torch.tensor(X), torch.tensor(Y)


def acquisition_context(count: int = 12, seed: int = 0, visited: Tensor | None = None) -> AcquisitionContext:
    """Two parameters, one context number, an objective and two constraints with thresholds of their own."""
    X, Y = data(count, seed)
    s = Surrogate.prior(MODELS)
    for x, y in zip(X, Y, strict=True):
        s = s.observed(torch.cat([x, torch.tensor([CONTEXT])]), y.tolist())
    visited = torch.zeros(0, 2, dtype=torch.float64) if visited is None else visited
    inputs = torch.cat([visited, torch.full((len(visited), 1), CONTEXT, dtype=torch.float64)], 1)
    return AcquisitionContext(
        surrogate=s,
        fantasized=s.fantasized(inputs) if len(visited) else s,
        context=torch.tensor([CONTEXT], dtype=torch.float64),
        dimension=2,
        thresholds=THRESHOLDS,
        beta=torch.full((3,), 2.0, dtype=torch.float64),
        optimism=2.0,
        draw=torch.tensor([0.9, 0.1], dtype=torch.float64),
        told=Told(X, Y, visited),
        seed=7,
    )


def dense(s: AcquisitionContext, Z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of all functions at Z by dense solves, `n x m` each."""
    X = np.hstack([s.told.points.numpy(), np.full((len(s.told.points), 1), CONTEXT)])
    points = np.hstack([Z.numpy(), np.full((len(Z), 1), CONTEXT)])
    means, stds = [], []
    for i, m in enumerate(MODELS):
        mean, covariance = direct_posterior(
            m.kind, np.array(m.lengthscale), m.variance, m.mean, m.noise_variance, X,
            s.told.values[:, i].numpy(), points,
        )  # fmt: skip
        means.append(mean)
        stds.append(np.sqrt(np.diag(covariance)))
    return np.stack(means, 1), np.stack(stds, 1)


def improvement(mean: float, std: float, best: float) -> float:
    """`E[max(f - best, 0)]` by quadrature of its definition."""
    value, _ = integrate.quad(
        lambda y: (y - best) * stats.norm.pdf(y, mean, std),
        best,
        max(best, mean) + 12 * std,
        epsabs=0,
        epsrel=1e-11,
    )
    return value


# -- expected improvement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_expected_improvement_is_its_integral(seed: int) -> None:
    s = acquisition_context(seed=seed)
    Z = torch.rand(15, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    best = dense(s, s.told.points)[0][:, 0].max()
    mean, std = dense(s, Z)
    expected = [improvement(m, d, best) for m, d in zip(mean[:, 0], std[:, 0], strict=True)]
    score, slack = acquisition_class("ei")(s).evaluate(Z)
    np.testing.assert_allclose(score.exp(), expected, rtol=1e-7)
    assert torch.isinf(slack).all()


@pytest.mark.parametrize("seed", range(3))
def test_constrained_expected_improvement_is_improvement_times_probability_of_feasibility(seed: int) -> None:
    s = acquisition_context(seed=seed)
    Z = torch.rand(15, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    tried = dense(s, s.told.points)[0]
    feasible = np.all(tried[:, 1:] >= THRESHOLDS.numpy(), axis=1)
    assert 0 < feasible.sum() < len(feasible)
    best = tried[feasible, 0].max()
    mean, std = dense(s, Z)
    expected = [improvement(m, d, best) for m, d in zip(mean[:, 0], std[:, 0], strict=True)]
    # The probability that each margin holds, by counting what lies above its threshold.
    for i in (1, 2):
        for j in range(len(Z)):
            above, _ = integrate.quad(
                lambda t, i=i, j=j: stats.norm.pdf(t, mean[j, i], std[j, i]),
                float(THRESHOLDS[i - 1]),
                float(THRESHOLDS[i - 1]) + 12 * std[j, i] + abs(mean[j, i]),
                epsabs=0,
                epsrel=1e-11,
                points=[mean[j, i]],
            )
            expected[j] *= above
    np.testing.assert_allclose(
        acquisition_class("constrained_ei")(s).evaluate(Z)[0].exp(), expected, rtol=1e-7
    )


def test_more_objective_and_more_margin_are_better_not_worse() -> None:
    """A flipped sign of the improvement, or the probability of infeasibility, would turn these around."""
    s = acquisition_context()
    x = torch.tensor([[0.4, 0.3]], dtype=torch.float64)
    value = {name: float(acquisition_class(name)(s).evaluate(x)[0][0]) for name in ("ei", "constrained_ei")}
    row = torch.cat([x[0], s.context])
    before = s.surrogate.predict(row.unsqueeze(0)).mean[0].tolist()
    for i, better in ((0, ("ei", "constrained_ei")), (1, ("constrained_ei",)), (2, ("constrained_ei",))):
        for sign in (1, -1):
            told: list[float | None] = [None, None, None]
            told[i] = before[i] + sign * 0.8
            # The incumbent is of the tried points alone: `told` stays as it is, but at most moves with them.
            moved = s.surrogate.observed(row, told)
            changed = replace(s, surrogate=moved, fantasized=moved)
            other = {n: float(acquisition_class(n)(changed).evaluate(x)[0][0]) for n in value}
            for name in better:
                assert (other[name] - value[name]) * sign > 0
    assert float(acquisition_class("constrained_ei")(s).evaluate(x)[0][0]) < value["ei"] + 5.0


def test_without_a_feasible_trial_the_probability_of_feasibility_alone_counts() -> None:
    s = acquisition_context()
    hard = replace(s, thresholds=torch.tensor([3.0, 2.0], dtype=torch.float64))
    Z = unit_grid(2, 5)
    mean, std = dense(s, Z)
    expected = stats.norm.logsf(np.array([3.0, 2.0]), mean[:, 1:], std[:, 1:]).sum(1)
    np.testing.assert_allclose(acquisition_class("constrained_ei")(hard).evaluate(Z)[0], expected, rtol=1e-7)
    # A fall has no objective and is nobody's incumbent, wherever its margins lie.
    values = s.told.values.clone()
    values[:, 0] = torch.nan
    fallen = replace(hard, thresholds=s.thresholds - 10.0, told=replace(s.told, values=values))
    expected = stats.norm.logsf(THRESHOLDS.numpy() - 10.0, mean[:, 1:], std[:, 1:]).sum(1)
    found = acquisition_class("constrained_ei")(fallen).evaluate(Z)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["ei", "constrained_ei", "qlognei"])
def test_a_pending_trial_makes_its_place_less_interesting(name: str) -> None:
    pending = torch.tensor([[0.15, 0.35]], dtype=torch.float64)
    near = pending + 0.01
    alone = acquisition_class(name)(acquisition_context(count=5)).evaluate(near)[0]
    awaited = acquisition_class(name)(acquisition_context(count=5, visited=pending)).evaluate(near)[0]
    assert float(awaited[0]) < float(alone[0])


@pytest.mark.parametrize("name", ["ei", "constrained_ei", "qlognei"])
def test_values_and_gradients_are_finite_everywhere_even_where_nothing_improves(name: str) -> None:
    s = acquisition_context(count=30)
    X = torch.cat([unit_grid(2, 11), s.told.points]).requires_grad_(True)
    acquisition = acquisition_class(name)(s)
    score = acquisition(X.unsqueeze(1))
    (gradient,) = torch.autograd.grad(score.sum(), X)
    assert torch.isfinite(score).all()
    assert torch.isfinite(gradient).all()
    with pytest.raises(ValueError, match="one point at a time"):
        acquisition(X[:4].reshape(2, 2, 2))


# -- qLogNEI -------------------------------------------------------------------------------------------------


def gpytorch_model(s: AcquisitionContext) -> ModelListGP:
    """The same posteriors as GPyTorch computes them, inputs with their context."""
    models = []
    X = torch.cat([s.told.points, torch.full((len(s.told.points), 1), CONTEXT, dtype=torch.float64)], 1)
    for i, m in enumerate(MODELS):
        mean = ConstantMean().double()
        mean.constant.data.fill_(m.mean)
        gp = SingleTaskGP(
            X,
            s.told.values[:, i : i + 1],
            train_Yvar=torch.full((len(X), 1), m.noise_variance, dtype=torch.float64),
            covar_module=gpytorch_kernel_of(m),
            mean_module=mean,
            outcome_transform=None,
        )
        models.append(gp)
    return ModelListGP(*models).eval()


def gpytorch_kernel_of(m: FunctionModel) -> Any:
    """GPyTorch's kernel with the model's hyperparameters."""
    from gpytorch.kernels import MaternKernel, ScaleKernel

    kernel = ScaleKernel(
        MaternKernel(nu={"matern32": 1.5, "matern52": 2.5}[m.kind], ard_num_dims=len(m.lengthscale))
    ).double()
    kernel.base_kernel.lengthscale = torch.tensor(m.lengthscale, dtype=torch.float64)
    kernel.outputscale = m.variance
    return kernel


@pytest.mark.filterwarnings("ignore::botorch.exceptions.warnings.InputDataWarning")
@pytest.mark.parametrize("waiting", [False, True])
def test_qlognei_is_botorchs_own_over_the_same_posterior(waiting: bool) -> None:
    s = acquisition_context(visited=torch.tensor([[0.7, 0.2]], dtype=torch.float64) if waiting else None)
    scale = torch.tensor([m.variance for m in MODELS], dtype=torch.float64).sqrt()

    def with_context(X: Tensor) -> Tensor:
        return torch.cat([X, torch.full((*X.shape[:-1], 1), CONTEXT, dtype=torch.float64)], -1)

    # The same seed prunes the same points, so that base samples are the same as well.
    with manual_seed(s.seed):
        reference = qLogNoisyExpectedImprovement(
            model=gpytorch_model(s),
            X_baseline=with_context(s.told.points.unique(dim=0)),
            X_pending=with_context(s.told.visited) if waiting else None,
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=s.seed),
            objective=GenericMCObjective(lambda Z, X=None: Z[..., 0] / scale[0]),
            constraints=[
                lambda Z: (THRESHOLDS[0] - Z[..., 1]) / scale[1],
                lambda Z: (THRESHOLDS[1] - Z[..., 2]) / scale[2],
            ],
        )
    Z = unit_grid(2, 6)
    expected = reference(with_context(Z).unsqueeze(1))
    torch.testing.assert_close(acquisition_class("qlognei")(s).evaluate(Z)[0], expected, rtol=1e-5, atol=1e-5)
    assert float((expected.max() - expected.min()).detach()) > 3.0


def test_qlognei_without_a_measurement_proposes_the_point_drawn() -> None:
    s = acquisition_context(count=0)
    s = replace(
        s,
        told=Told(
            torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64), s.draw[None]
        ),
    )
    acquisition = acquisition_class("qlognei")(s)
    assert torch.equal(present(acquisition.candidates(np.random.default_rng(0), None)), s.draw[None])
    grid = unit_grid(2, 5)
    assert acquisition.candidates(np.random.default_rng(0), grid) is None
    scores = acquisition_class("qlognei")(replace(s, pool=grid)).grid_scores()
    assert torch.equal(grid[scores.argmax()], torch.tensor([1.0, 0.0], dtype=torch.float64))


def test_qlognei_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    acquisition = acquisition_class("qlognei")(acquisition_context())
    first = present(acquisition.candidates(np.random.default_rng(3), None))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(100)
    again = acquisition_class("qlognei")(acquisition_context()).candidates(np.random.default_rng(3), None)
    assert torch.equal(first, present(again))
    # BoTorch's optimizer does no worse than a fine grid.
    best = acquisition.evaluate(unit_grid(2, 31))[0].max()
    assert float(acquisition.evaluate(first)[0].max()) >= float(best) - 0.02


# -- the trust region of SCBO --------------------------------------------------------------------------------


def good(value: float) -> Merit:
    """A feasible trial."""
    return Merit(True, value)


def bad(violation: float) -> Merit:
    """An infeasible trial."""
    return Merit(False, -violation)


def test_merits_rank_feasible_by_objective_and_infeasible_by_total_violation() -> None:
    nan = float("nan")
    values = torch.tensor(
        [
            [1.0, 0.5, 0.2],
            [3.0, 0.2, 0.2],
            [2.0, 0.1, -0.4],
            [nan, 0.5, 0.2],
            [nan, -0.1, 0.2],
            [0.0, 0.3, -0.1],
        ],
        dtype=torch.float64,
    )
    scale = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
    told = Told(torch.zeros(6, 2, dtype=torch.float64), values, torch.zeros(0, 2, dtype=torch.float64))
    models = [replace(m, variance=float(s) ** 2) for m, s in zip(MODELS, scale, strict=True)]
    acquisition = ScalableConstrained(
        replace(acquisition_context(), surrogate=Surrogate.prior(models), told=told)
    )
    found = merits(values[:, 0] / scale[0], acquisition.violation(values / scale))
    assert acquisition.region == replayed(found, 2)
    assert [m.feasible for m in found] == [True, False, False, False, False, True]
    numbers = [m.number for m in found]
    # 0.3 - 0.2 over 0.5; 0.3 - 0.1 over 0.5 plus -0.1 + 0.4; a fall without a negative margin; 0.3 + 0.1 over 0.5.
    assert numbers == pytest.approx([0.5, -0.2, -0.7, -np.inf, -0.8, 0.0])
    order = sorted(range(6), key=lambda i: (found[i].feasible, found[i].number), reverse=True)
    assert order == [0, 5, 1, 2, 4, 3]
    assert good(-9.0).above(bad(0.1))
    assert not bad(0.1).above(good(-9.0))
    assert not good(1.0005).above(good(1.0), by=1e-3)
    assert float(total_violation(THRESHOLDS.unsqueeze(0), THRESHOLDS)[0]) == 0.0


def test_a_hand_made_sequence_doubles_halves_and_restarts_the_region() -> None:
    d = 2  # Designs of 4 trials, halving after 4 failures, doubling after 10 successes.
    design = [bad(2.0), good(0.0), bad(1.0), good(-1.0)]
    region = replayed(design, d)
    assert region == TrustRegion(0, 0.8, 0, 0, (1, good(0.0)), 4)
    assert not region.designing(d)
    assert replayed(design[:3], d).designing(d)

    rising = [good(0.1 * k) for k in range(1, 11)]
    assert replayed(design + rising[:9], d) == TrustRegion(0, 0.8, 9, 0, (12, good(0.9)), 13)
    doubled = replayed(design + rising, d)
    assert doubled == TrustRegion(0, 1.6, 0, 0, (13, rising[-1]), 14)
    more = [good(1.0 + 0.1 * k) for k in range(1, 11)]
    assert replayed(design + rising + more, d).length == 1.6

    # Better by less than the tolerance moves the centre but is no success; it is the third failure.
    slow = [bad(0.1), good(-0.5), good(0.0005)]
    region = replayed(design + slow, d)
    assert (region.length, region.successes, region.failures) == (0.8, 0, 3)
    assert region.centre == (6, good(0.0005))
    assert replayed([*design, *slow, good(0.2)], d).failures == 0
    halved = replayed([*design, *slow, bad(3.0)], d)
    assert (halved.length, halved.failures, halved.centre) == (0.4, 0, (6, good(0.0005)))

    # 0.8 falls under 2^-7 with the seventh halving: 28 failures, and a new life that forgets the centre.
    failing = design + [bad(1.0)] * 28
    assert replayed(failing[:-1], d).length == pytest.approx(0.8 / 64)
    fresh = replayed(failing, d)
    assert fresh == TrustRegion(first=32)
    assert fresh.designing(d)
    assert replayed([*failing, bad(4.0), bad(3.0)], d).centre == (33, bad(3.0))


def test_infeasible_regions_succeed_by_violating_less() -> None:
    region = replayed([bad(4.0 - 0.1 * k) for k in range(8)], 2)
    assert (region.successes, region.failures, region.centre) == (4, 0, (7, bad(4.0 - 0.1 * 7)))
    assert replayed([*(bad(1.0) for _ in range(6)), good(-5.0)], 2).successes == 1


def test_scbo_draws_from_the_joint_posterior() -> None:
    s = acquisition_context(count=6)
    X = torch.tensor([[0.2, 0.2], [0.25, 0.2], [0.8, 0.7]], dtype=torch.float64)
    easy = replace(s, thresholds=torch.tensor([-50.0, -50.0], dtype=torch.float64))
    drawn = torch.stack([ScalableConstrained(replace(easy, seed=k)).value(X) for k in range(1000)])
    drawn = drawn * MODELS[0].variance ** 0.5
    points = np.hstack([X.numpy(), np.full((3, 1), CONTEXT)])
    told = np.hstack([s.told.points.numpy(), np.full((6, 1), CONTEXT)])
    m = MODELS[0]
    mean, covariance = direct_posterior(
        m.kind, np.array(m.lengthscale), m.variance, m.mean, m.noise_variance, told,
        s.told.values[:, 0].numpy(), points,
    )  # fmt: skip
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.08)
    np.testing.assert_allclose(np.cov(drawn.numpy().T), covariance, atol=0.08)
    # Where nothing drawn is feasible, the order is that of the total violation.
    hard = ScalableConstrained(replace(s, thresholds=torch.tensor([50.0, 50.0], dtype=torch.float64)))
    assert (hard.value(X) < -UNCERTIFIED_PENALTY).all()
    assert torch.equal(hard.value(X), hard.value(X))


def test_scbo_candidates_fill_the_region_around_the_best_trial() -> None:
    s = acquisition_context(count=12)
    acquisition = ScalableConstrained(s)
    region = acquisition.region
    assert region.centre is not None
    centre = s.told.points[region.centre[0]]
    pool = present(acquisition.candidates(np.random.default_rng(0), None))
    assert len(pool) == candidate_count(2) == 2000
    half = 0.5 * region.length
    lower, upper = (centre - half).clamp(min=0.0), (centre + half).clamp(max=1.0)
    assert ((pool >= lower) & (pool <= upper)).all()
    torch.testing.assert_close(pool.amin(0), lower, atol=0.01, rtol=0.0)
    torch.testing.assert_close(pool.amax(0), upper, atol=0.01, rtol=0.0)
    grid = unit_grid(2, 31)
    assert acquisition.candidates(np.random.default_rng(0), grid) is None
    scores = ScalableConstrained(replace(s, pool=grid)).grid_scores()
    assert torch.equal(torch.isfinite(scores), ((grid - centre).abs() <= half).all(-1))
    # The design's points on a grid: the nearest to the draw alone.
    few = replace(s, pool=grid, told=Told(s.told.points[:2], s.told.values[:2], s.told.visited))
    scores = ScalableConstrained(few).grid_scores()
    assert int(torch.isfinite(scores).sum()) == 1
    torch.testing.assert_close(grid[scores.argmax()], s.draw, atol=0.02, rtol=0.0)
    # In many dimensions about 20 coordinates move, never none.
    wide = replace(
        s, dimension=60, told=Told(torch.rand(130, 60).double(), s.told.values[:1].repeat(130, 1), s.draw)
    )
    many = ScalableConstrained(wide)
    pool = present(many.candidates(np.random.default_rng(0), None))
    moved = torch.ne(pool, wide.told.points[present(many.region.centre)[0]]).sum(-1)
    assert len(pool) == 5000
    assert 18 < float(moved.double().mean()) < 22
    assert int(moved.min()) >= 1


def test_scbo_takes_the_best_feasible_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scbo, "candidate_count", lambda d: 400)
    s = acquisition_context(count=12)
    acquisition = ScalableConstrained(s)
    pool = present(acquisition.candidates(np.random.default_rng(1), None))
    chosen = pool[acquisition.value(pool).argmax()]
    normals = torch.randn(3, len(pool), generator=torch.Generator().manual_seed(s.seed), dtype=torch.float64)
    drawn = []
    for p, z in zip(s.surrogate.posteriors, normals, strict=True):
        mean, covariance = p.joint(s.inputs(pool))
        drawn.append(mean + torch.linalg.cholesky(covariance + 1e-8 * torch.eye(len(pool))) @ z)
    feasible = (drawn[1] >= THRESHOLDS[0]) & (drawn[2] >= THRESHOLDS[1])
    assert 0 < int(feasible.sum()) < len(pool)
    best = torch.where(feasible, drawn[0], -torch.inf).argmax()
    torch.testing.assert_close(pool[best], chosen, atol=0.05, rtol=0.0)


# -- as methods of studies -----------------------------------------------------------------------------------


def on_grid(method: str) -> Study:
    """The hill on a grid of 21 x 21."""
    search = SearchSpec(domain="grid", grid_points=21)
    study = hill_study(method)
    return study.model_copy(update={"tuner": study.tuner.model_copy(update={"search": search})})


@pytest.mark.parametrize("method", METHODS)
def test_baselines_find_the_optimum_and_violate_on_the_way(method: str) -> None:
    trials = run(Tuner(on_grid(method), 0), 22, context="slow")
    values = np.array([hill(trial) for trial in trials])
    axis = np.linspace(0, 1, 21)
    every = [
        hill(replace(trials[0], parameters={"kp": 10 * a, "kd": 0.1 * 100**b})) for a in axis for b in axis
    ]
    everything = np.array(every)
    safe = everything[everything[:, 1] >= 0]
    if method == "ei":
        # It knows no constraints: its optimum is the box's.
        assert values[:, 0].max() >= everything[:, 0].max() - 0.02
    else:
        assert values[values[:, 1] >= 0, 0].max() >= safe[:, 0].max() - 0.04
    assert (values[:, 1] < 0).any()
    assert {trial.phase for trial in trials[1:]} == {"global"}
    assert all("without a certificate" in trial.reason for trial in trials[1:])


@pytest.mark.parametrize("name", ["constrained_ei", "qlognei", "scbo"])
def test_functions_that_are_no_constraints_constrain_nothing(name: str) -> None:
    s = acquisition_context()
    one = replace(s, constraints=(2,), thresholds=THRESHOLDS[1:])
    same = replace(s, thresholds=torch.tensor([-1e3, THRESHOLDS[1]], dtype=torch.float64))
    X = unit_grid(2, 6)
    value, expected, all_of_them = (acquisition_class(name)(x).evaluate(X)[0] for x in (one, same, s))
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(value, all_of_them)


@pytest.mark.parametrize("method", METHODS)
def test_a_second_worker_is_asked_for_something_while_the_seed_is_pending(method: str) -> None:
    tuner = Tuner(hill_study(method), 1)
    seed, second = tuner.ask("slow"), tuner.ask("slow")
    assert (seed.phase, second.phase) == ("seed", "global")
    assert second.parameters != seed.parameters


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_trials_and_restore_goes_on_exactly(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the continuous box, with a pending trial and a fall among the records."""
    monkeypatch.setattr(scbo, "candidate_count", lambda d: 300)
    study, rng = hill_study(method), np.random.default_rng(0)
    first = Tuner(study, 3)
    records: list[tuple[Any, Measurement | None]] = []
    for k in range(4):
        trial = first.ask("slow")
        m = Measurement("aborted", margins={"margin": -0.5}, fell=True) if k == 2 else measured(trial, rng)
        if k != 3:
            first.tell(trial, m)
        records.append((trial, None if k == 3 else m))
    again = Tuner(study, 3)
    again.restore(records)
    assert again.ask("slow") == first.ask("slow")
