"""Acquisitions as BoTorch functions, the registry, and the search against brute force on a fine grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from botorch.optim import optimize_acqf

from safebo.acquisition import METHODS, AcquisitionContext, SafeAcquisition, acquisition_class, register
from safebo.acquisition.base import UNCERTIFIED_PENALTY
from safebo.errors import InputError, StudyError, UnknownNameError
from safebo.models.finite_domain import FiniteDomain
from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate
from safebo.optim import search_box, search_grid, unit_grid
from safebo.optim.gradient import refine
from safebo.safety.safe_set import SEARCH_RESERVE
from safebo.safety.sets import hallucinated_expanders, maximizers
from safebo.study import SearchSpec
from safebo.study.methods import Method, register_method

NAMES = ["safe_ucb", "safeopt", "gp_ucb", "random", "random_safe", "widest_outside", "best_lower_bound"]


def acquisition_context(observations: int = 10, seed: int = 0) -> AcquisitionContext:
    """Two parameters, one context number, an objective and two constraints."""
    rng = np.random.default_rng(seed)
    models = [
        FunctionModel("f", "matern32", (0.4, 0.3, 0.8), 0.0, 1.0, 1e-3),
        FunctionModel("g", "matern32", (0.5, 0.4, 0.8), -0.2, 1.0, 1e-3),
        FunctionModel("h", "matern52", (0.5, 0.5, 0.8), -0.1, 0.5, 1e-3),
    ]
    s = Surrogate.prior(models)
    for _ in range(observations):
        x = np.append(0.5 + 0.2 * (rng.random(2) - 0.5), 0.5)
        s = s.observed(torch.tensor(x), [float(np.sin(4 * x[0])), 1.2 + 0.3 * x[1], 0.8])
    return AcquisitionContext(
        surrogate=s,
        fantasized=s,
        context=torch.tensor([0.45], dtype=torch.float64),
        dimension=2,
        thresholds=torch.zeros(2, dtype=torch.float64),
        beta=torch.full((3,), 2.0, dtype=torch.float64),
        incumbent=0.0,
        draw=torch.tensor([0.9, 0.1], dtype=torch.float64),
    )


def on_grid(s: AcquisitionContext, grid: torch.Tensor) -> AcquisitionContext:
    return replace(s, pool=grid, domain=FiniteDomain(grid))


@pytest.mark.parametrize("name", NAMES)
def test_forward_has_botorchs_shape_and_ranks_certified_points_first(name: str) -> None:
    acquisition = acquisition_class(name)(acquisition_context())
    X = unit_grid(2, 15)
    values = acquisition(X.unsqueeze(1))
    assert values.shape == (225,)
    score, slack = acquisition.evaluate(X)
    good = (slack >= 0) & torch.isfinite(score)
    assert good.any()
    torch.testing.assert_close(values[good], score[good])
    if acquisition.certified_only:
        assert not good.all()
        assert (values[~good] < -0.5 * UNCERTIFIED_PENALTY).all()
        # Outside, the value rises with the slack, towards the safe set.
        order = torch.argsort(slack[~good & torch.isfinite(slack)])
        assert (values[~good][order].diff() >= 0).all()
    with pytest.raises(ValueError, match="one point at a time"):
        acquisition(X[:4].reshape(2, 2, 2))


@pytest.mark.parametrize("name", ["safe_ucb", "safeopt", "random_safe", "best_lower_bound"])
def test_pending_trials_never_certify(name: str) -> None:
    s = acquisition_context(observations=3)
    X = unit_grid(2, 9)
    pending = replace(s, fantasized=s.surrogate.fantasized(s.inputs(X[40:44])))
    plain, narrowed = (acquisition_class(name)(x).evaluate(X)[1] for x in (s, pending))
    assert torch.equal(plain, narrowed)
    told, fantasized = pending.bounds_at(X).certain, pending.bounds_at(X).fantasized
    assert (told.lower < fantasized.lower - 1e-3).any()


def test_optimize_acqf_works_on_them() -> None:
    acquisition = acquisition_class("safe_ucb")(acquisition_context())
    torch.manual_seed(0)
    box = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    found, value = optimize_acqf(acquisition, bounds=box, q=1, num_restarts=6, raw_samples=256)
    grid = search_grid(acquisition_class("safe_ucb")(on_grid(acquisition_context(), unit_grid(2, 61))))
    assert float(acquisition.evaluate(found)[1]) >= 0
    assert float(value) >= float(grid.scores[0]) - 0.05


@pytest.mark.parametrize("name", ["safe_ucb", "random_safe", "best_lower_bound", "gp_ucb"])
def test_the_box_search_is_as_good_as_a_fine_grid_and_feasible(name: str) -> None:
    s = acquisition_context()
    acquisition = acquisition_class(name)(s)
    starts = torch.tensor([[0.5, 0.5], [0.55, 0.45]], dtype=torch.float64)
    spec = SearchSpec(swarm_size=100, swarm_iterations=20, restarts=5)
    found = search_box(acquisition, starts, np.random.default_rng(0), spec)
    fine = search_grid(acquisition_class(name)(on_grid(s, unit_grid(2, 101))))
    assert float(found.scores[0]) >= float(fine.scores[0]) - 1e-2
    score, slack = acquisition.evaluate(found.points)
    assert (slack >= 0.9 * SEARCH_RESERVE).all()
    torch.testing.assert_close(score, found.scores)
    assert (found.scores.diff() <= 0).all()
    again = search_box(acquisition, starts, np.random.default_rng(0), spec)
    assert torch.equal(found.points, again.points)


def test_the_refinement_never_leaves_the_safe_set_and_never_gets_worse() -> None:
    acquisition = acquisition_class("safe_ucb")(acquisition_context())
    starts = unit_grid(2, 25)
    before, slack = acquisition.evaluate(starts)
    starts, before = starts[slack >= SEARCH_RESERVE], before[slack >= SEARCH_RESERVE]
    found = refine(acquisition, starts, 40)
    assert len(found.points) == len(starts)
    assert (acquisition.evaluate(found.points)[1] >= 0.9 * SEARCH_RESERVE).all()
    assert float(found.scores[0]) >= float(before.max())
    assert float(found.scores.sum()) > float(before.sum())


@pytest.mark.parametrize("seed", range(3))
def test_safeopt_on_a_grid_is_the_widest_maximizer_or_expander(seed: int) -> None:
    s = acquisition_context(observations=4, seed=seed)
    grid = unit_grid(2, 21)
    bounds = s.bounds_at(grid)
    lower, upper = bounds.certain.lower, bounds.certain.upper
    safe = bounds.slack >= 0
    s = on_grid(replace(s, incumbent=float(lower[safe, 0].max())), grid)
    fixed = [p.fixed(s.inputs(grid[~safe])) for p in s.surrogate.posteriors[1:]]
    expanders = safe & hallucinated_expanders(
        s.surrogate.posteriors[1:], s.inputs(grid), fixed, s.thresholds, s.beta[1:], "all"
    )
    allowed = maximizers(lower[:, 0], upper[:, 0], safe) | expanders
    width = (bounds.certain.width / s.surrogate.prior_std).amax(-1)
    found = search_grid(acquisition_class("safeopt")(s))
    assert float(found.scores[0]) == pytest.approx(float(width[allowed].max()), abs=1e-12)


def test_the_global_rule_stays_outside_the_safe_set() -> None:
    s = acquisition_context()
    acquisition = acquisition_class("widest_outside")(s)
    found = search_box(
        acquisition, torch.zeros(0, 2, dtype=torch.float64), np.random.default_rng(0), SearchSpec()
    )
    assert (s.bounds_at(found.points).slack < 0).all()
    # Failed parameters enter the fantasized surrogate, and the search goes elsewhere.
    shunned = replace(s, fantasized=s.surrogate.fantasized(s.inputs(found.points[:1])))
    other = search_box(
        acquisition_class("widest_outside")(shunned),
        torch.zeros(0, 2, dtype=torch.float64),
        np.random.default_rng(0),
        SearchSpec(),
    )
    assert float((other.points[0] - found.points[0]).norm()) > 0.05


def test_names_are_taken_once_and_unknown_ones_list_the_known() -> None:
    with pytest.raises(StudyError, match="registered twice"):
        register("safe_ucb")(SafeAcquisition)
    with pytest.raises(UnknownNameError, match=r"gp_ucb.*safeopt"):
        acquisition_class("safopt")
    for method in METHODS.values():
        for name in (method.local, method.exploration):
            assert name is None or issubclass(acquisition_class(name), SafeAcquisition)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (lambda upper: upper, r"one number per input, 81 here; got the shape \(81, 3\)"),
        (lambda upper: upper[:3, 0], r"got the shape \(3,\)"),
        (lambda upper: upper[:, 0].numpy(), "got ndarray"),
        (lambda upper: None, "got NoneType"),
        (lambda upper: upper[:, 0] * torch.nan, "NaN"),
    ],
)
def test_what_a_rule_of_ones_own_may_not_score_is_said(score, words) -> None:
    class Own(SafeAcquisition):
        def score(self, X, bounds):
            return score(bounds.certain.upper)

    s, grid = acquisition_context(), unit_grid(2, 9)
    for look in (lambda: Own(s).evaluate(grid), lambda: search_grid(Own(on_grid(s, grid)))):
        with pytest.raises(InputError, match=f"Own.score .*{words}"):
            look()


def test_a_rule_that_knows_no_score_of_some_certified_points_of_a_grid_is_refused() -> None:
    class Own(SafeAcquisition):
        def score(self, X, bounds):
            upper = bounds.certain.upper[:, 0]
            return torch.where(upper == upper[bounds.slack >= 0].max(), torch.nan, upper)

    with pytest.raises(InputError, match=r"Own.score is NaN at 1 of 81 inputs"):
        search_grid(Own(on_grid(acquisition_context(), unit_grid(2, 9))))


def test_a_method_promises_what_there_is_to_promise() -> None:
    with pytest.raises(StudyError, match="safety 'sure' is not one of certified, watched, baseline"):
        register_method(Method("surely", "for a test", "safe_ucb", safety="sure"))  # type: ignore[arg-type]


def test_optimism_moves_the_upper_bound_and_no_certificate() -> None:
    s = acquisition_context()
    X = unit_grid(2, 9)
    bold, calm = acquisition_class("safe_ucb")(s), acquisition_class("safe_ucb")(replace(s, optimism=0.5))
    bounds = s.bounds_at(X).certain
    torch.testing.assert_close(bold.evaluate(X)[0], bounds.upper[:, 0])
    mean = 0.5 * (bounds.lower + bounds.upper)[:, 0]
    torch.testing.assert_close(calm.evaluate(X)[0], mean + 0.25 * (bounds.upper[:, 0] - mean))
    assert torch.equal(bold.evaluate(X)[1], calm.evaluate(X)[1])


def test_gp_ucb_is_the_published_rule_whatever_the_optimism() -> None:
    s = acquisition_context()
    X = unit_grid(2, 9)
    score = acquisition_class("gp_ucb")(replace(s, optimism=0.5)).evaluate(X)[0]
    torch.testing.assert_close(score, s.bounds_at(X).certain.upper[:, 0])
