"""What counts as safe, at its borders: slacks, certified points, and the first expander of a grid by brute force."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from safebo.acquisition import AcquisitionContext, SafeAcquisition
from safebo.acquisition.base import UNCERTIFIED_PENALTY, narrowed
from safebo.models.confidence import ConfidenceBounds, Prediction, confidence_bounds, intersected_bounds
from safebo.models.finite_domain import FiniteDomain
from safebo.models.function_model import FunctionModel
from safebo.models.grid_posterior import GridPosterior
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import MINIMAL_VARIANCE, Posterior
from safebo.models.surrogate import Surrogate
from safebo.optim import unit_grid
from safebo.safety import expander_search
from safebo.safety.certificates import LipschitzCertificate
from safebo.safety.expander_search import Constrained, HallucinatedSearch, LipschitzSearch, batches
from safebo.safety.measured_points import MeasuredPoints
from safebo.safety.safe_set import (
    PROPOSAL_RESERVE,
    SEARCH_RESERVE,
    PointBounds,
    SafeSet,
    certified,
    smallest,
)
from safebo.safety.sets import hallucinated_expanders, hallucinated_lower, lipschitz_expanders, maximizers


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def situation(observations: int = 6, **changes: Any) -> AcquisitionContext:
    """An objective and two constraints with prior standard deviations 1, 2 and 0.5, over two gains and a context."""
    models = [
        FunctionModel("f", "matern32", (0.4, 0.3, 0.8), 0.0, 1.0, 1e-3),
        FunctionModel("g", "matern32", (0.5, 0.4, 0.8), -0.2, 4.0, 1e-3),
        FunctionModel("h", "matern52", (0.5, 0.5, 0.8), -0.1, 0.25, 1e-3),
    ]
    s, rng = Surrogate.prior(models), np.random.default_rng(0)
    for _ in range(observations):
        x = np.append(0.5 + 0.2 * (rng.random(2) - 0.5), 0.5)
        s = s.observed(torch.tensor(x), [float(np.sin(4 * x[0])), 1.2 + 0.3 * x[1], 0.8])
    given: dict[str, Any] = {
        "surrogate": s,
        "fantasized": s,
        "context": row(0.45),
        "dimension": 2,
        "thresholds": row(0.1, -0.3),
        "beta": row(2.0, 1.5, 3.0),
    }
    return AcquisitionContext(**{**given, **changes})


@pytest.fixture(scope="module")
def s() -> AcquisitionContext:
    return situation()


def bounds_given(s: AcquisitionContext, lower: list[list[float]], upper: list[list[float]]) -> PointBounds:
    bounds = ConfidenceBounds(
        torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64)
    )
    return s.bounds_from(torch.zeros(len(lower), 2).double(), bounds, bounds)


# -- slacks ----------------------------------------------------------------------------------------------


def test_a_slack_is_the_smallest_margin_in_prior_standard_deviations(s: AcquisitionContext) -> None:
    scale = s.surrogate.prior_std
    torch.testing.assert_close(scale, row(1.0, 2.0, 0.5))
    view = bounds_given(
        s,
        [[9.0, 0.5, 0.2], [-9.0, 0.1, 0.7], [0.0, 5.0, -0.4]],
        [[9.0, 2.1, 0.2], [9.0, 0.1, 9.0], [0.0, 6.0, -0.2]],
    )
    # (0.5 - 0.1) / 2 and (0.2 + 0.3) / 0.5; then 0 and 2; then 2.45 and -0.2
    torch.testing.assert_close(view.slack, row(0.2, 0.0, -0.2))
    torch.testing.assert_close(
        view.margins, torch.tensor([[0.4, 0.5], [0.0, 1.0], [4.9, -0.1]], dtype=torch.float64)
    )
    torch.testing.assert_close(view.possible, row(1.0, 0.0, 0.2))


def test_one_violated_constraint_makes_a_point_unsafe(s: AcquisitionContext) -> None:
    view = bounds_given(s, [[0.0, 9.0, -0.31], [0.0, 0.09, 9.0], [0.0, 0.11, -0.29]], [[9.0] * 3] * 3)
    assert s.certified(view).tolist() == [False, False, True]


def test_a_margin_of_zero_is_safe_unless_bounds_must_lie_above(s: AcquisitionContext) -> None:
    view = replace(bounds_given(s, [[0.0] * 3] * 3, [[0.0] * 3] * 3), slack=row(-1e-300, 0.0, 1e-300))
    assert s.certified(view).tolist() == [False, True, True]
    assert replace(s, strict=True).certified(view).tolist() == [False, False, True]


def test_without_constraints_every_point_is_safe(s: AcquisitionContext) -> None:
    free = replace(s, constraints=(), thresholds=row())
    view = bounds_given(free, [[-9.0, -9.0, -9.0]], [[9.0, -8.0, -8.0]])
    assert (view.slack.tolist(), view.possible.tolist()) == ([math.inf], [math.inf])
    assert view.margins.shape == (1, 0)


def test_functions_that_are_no_constraints_decide_nothing(s: AcquisitionContext) -> None:
    assert s.constrained == [1, 2]
    torch.testing.assert_close(s.constraint_scale, row(2.0, 0.5))
    last = replace(s, constraints=(2,), thresholds=row(-0.3))
    assert last.constrained == [2]
    torch.testing.assert_close(last.constraint_scale, row(0.5))
    view = bounds_given(last, [[-9.0, -9.0, 0.2]], [[-9.0, -9.0, 0.7]])
    torch.testing.assert_close(view.slack, row(1.0))
    torch.testing.assert_close(view.possible, row(2.0))


# -- reserves and exceptions -----------------------------------------------------------------------------


def test_a_reserve_is_asked_of_the_slack_itself() -> None:
    slack = row(-0.5, 0.0, 0.25, 0.5, 0.75)
    assert certified(slack).tolist() == [False, True, True, True, True]
    assert certified(slack, strict=True).tolist() == [False, False, True, True, True]
    assert certified(slack, 0.5).tolist() == [False, False, False, True, True]
    assert certified(slack, 0.5, strict=True).tolist() == [False, False, False, False, True]
    assert 0.0 < PROPOSAL_RESERVE == 1e-7 < SEARCH_RESERVE == 1e-4


def test_the_smallest_margin_is_that_of_the_last_axis_in_its_units() -> None:
    margins = torch.tensor([[[4.0, 1.0], [-2.0, 3.0]]], dtype=torch.float64)
    assert smallest(margins).tolist() == [[1.0, -2.0]]
    assert smallest(margins, row(4.0, 0.5)).tolist() == [[1.0, -0.5]]
    assert smallest(margins[..., :0]).tolist() == [[math.inf, math.inf]]


def test_a_point_with_measurements_of_its_own_counts_as_on_the_border_and_no_other_does(
    s: AcquisitionContext,
) -> None:
    point = row(0.25, 0.75).unsqueeze(0)
    # With beta 1.5 and 3 the measurements say 0.2 and 0.1 above the thresholds of 0.1 and -0.3.
    sure = Prediction(row(0.6, 0.1).unsqueeze(0), row(0.2, 0.1).unsqueeze(0))
    one = replace(s, measured=MeasuredPoints(point, sure))
    shifts = torch.tensor([[0.0, 0.0], [0.9e-12, -0.9e-12], [0.0, 3e-12], [3e-12, 0.0], [0.5, 0.0]]).double()
    assert one.measured.rows(point + shifts).tolist() == [0, 0, -1, -1, -1]
    assert s.measured.rows(point).tolist() == [-1]
    two = MeasuredPoints(
        torch.cat([point, point + 0.1]), Prediction(sure.mean.repeat(2, 1), sure.std.repeat(2, 1))
    )
    assert two.rows(torch.cat([point + 0.1, point, point + 0.2])).tolist() == [1, 0, -1]
    given = ConfidenceBounds(
        torch.tensor([[0.0, -9.0, 0.0], [0.0, 9.0, 9.0]]).double(), torch.zeros(2, 3).double()
    )
    X = point.expand(2, 2)
    plain, found = s.bounds_from(X, given, given), one.bounds_from(X, given, given)
    assert found.slack.tolist() == [0.0, plain.slack[1]]
    assert plain.slack[0] < 0.0 < plain.slack[1]
    np.testing.assert_allclose(found.margins[0].tolist(), [0.2, 0.1], atol=1e-12)
    assert found.margins[1].tolist() == plain.margins[1].tolist()
    assert found.exceptions is not None
    assert found.exceptions.tolist() == [0, -1]
    elsewhere = one.bounds_from(X + 0.1, given, given).slack
    assert elsewhere.tolist() == s.bounds_from(X, given, given).slack.tolist()
    # One constraint that its measurements do not certify is enough.
    for mean in (row(0.39, 0.1), row(0.6, -0.01)):
        unsure = replace(s, measured=MeasuredPoints(point, Prediction(mean.unsqueeze(0), sure.std)))
        assert unsure.bounds_from(X, given, given).slack.tolist() == plain.slack.tolist()
    alone = replace(one, void=True).bounds_from(X, given, given)
    assert alone.slack.tolist() == [-math.inf, -math.inf]
    assert not replace(one, void=True).certified(alone).any()


def test_a_safe_set_asks_its_reserve_and_its_strictness(s: AcquisitionContext) -> None:
    bounds = replace(bounds_given(s, [[0.0] * 3] * 3, [[0.0] * 3] * 3), slack=row(0.0, 0.5, 0.75))
    assert s.certified(bounds, 0.5).tolist() == [False, True, True]
    assert replace(s, strict=True).certified(bounds, 0.5).tolist() == [False, False, True]
    assert (
        SafeSet(surrogate=s.surrogate, context=s.context, thresholds=s.thresholds, beta=s.beta).strict
        is False
    )


# -- views -----------------------------------------------------------------------------------------------


def test_the_context_is_appended_to_every_point(s: AcquisitionContext) -> None:
    for shape in ((4, 2), (3, 1, 2), (2,)):
        X = torch.rand(shape, dtype=torch.float64)
        inputs = s.inputs(X)
        torch.testing.assert_close(inputs[..., :2], X)
        torch.testing.assert_close(inputs[..., 2:], torch.full((*shape[:-1], 1), 0.45, dtype=torch.float64))


def test_a_view_is_certain_by_what_was_told_and_imagines_what_is_pending(s: AcquisitionContext) -> None:
    X = unit_grid(2, 4)
    pending = replace(s, fantasized=s.surrogate.fantasized(s.inputs(X[5:7])))
    view = pending.bounds_at(X)
    told = confidence_bounds(s.surrogate.predict(s.inputs(X)), s.beta)
    more = confidence_bounds(pending.fantasized.predict(s.inputs(X)), s.beta)
    assert not torch.equal(told.lower, more.lower)
    for found, expected in ((view.certain, told), (view.fantasized, more)):
        torch.testing.assert_close(found.lower, expected.lower)
        torch.testing.assert_close(found.upper, expected.upper)
    torch.testing.assert_close(view.slack, s.bounds_at(X).slack)
    same = s.bounds_at(X)
    assert same.fantasized is same.certain
    assert view.points is X


def test_intersected_intervals_stay_within_each_other(s: AcquisitionContext) -> None:
    X = unit_grid(2, 4)
    past = [torch.linspace(1.5, 2.0, p.count + 1, dtype=torch.float64) for p in s.surrogate.posteriors]
    narrowed = replace(s, past_betas=past)
    expected = intersected_bounds(s.surrogate.posteriors, s.inputs(X), past)
    for one in (narrowed, replace(narrowed, fantasized=s.surrogate.fantasized(s.inputs(X[5:7])))):
        view = one.bounds_at(X)
        torch.testing.assert_close(view.certain.lower, expected.lower)
        torch.testing.assert_close(view.certain.upper, expected.upper)
        assert (view.fantasized.lower >= view.certain.lower - 1e-12).all()
        assert (view.fantasized.upper <= view.certain.upper + 1e-12).all()
        assert (view.fantasized.lower <= view.fantasized.upper).all()
    fantasized = confidence_bounds(one.fantasized.predict(s.inputs(X)), s.beta)
    inside = (fantasized.lower >= expected.lower) & (fantasized.upper <= expected.upper)
    torch.testing.assert_close(view.fantasized.lower[inside], fantasized.lower[inside])
    torch.testing.assert_close(view.fantasized.upper[inside], fantasized.upper[inside])


def test_an_fantasized_interval_is_cut_to_the_certain_one_or_lies_between_them() -> None:
    certain = ConfidenceBounds(row(0.2, 0.2, 0.2, 0.2), row(0.8, 0.8, 0.8, 0.8))
    fantasized = ConfidenceBounds(row(0.0, 0.3, 0.0, 0.9), row(1.0, 0.4, 0.1, 1.5))
    found = narrowed(fantasized, certain)
    assert found.lower.tolist() == [0.2, 0.3, 0.1, 0.8]
    assert found.upper.tolist() == [0.8, 0.4, 0.2, 0.9]


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("intersected", [False, True])
@pytest.mark.parametrize("on_grid", [False, True])
def test_the_view_of_the_pool_is_that_of_its_points(
    s: AcquisitionContext, waiting: bool, intersected: bool, on_grid: bool
) -> None:
    X = unit_grid(2, 5)
    changes: dict[str, Any] = {"pool": X, "domain": FiniteDomain(X) if on_grid else None}
    if waiting:
        changes["fantasized"] = s.surrogate.fantasized(s.inputs(X[11:13]))
    if intersected:
        changes["past_betas"] = [
            torch.linspace(0.3, 2.0, p.count + 1, dtype=torch.float64) for p in s.surrogate.posteriors
        ]
    one = replace(s, **changes)
    found, expected = one.pool_bounds, one.bounds_at(X)
    for name in ("slack", "possible", "margins"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-8, rtol=0)
    for side in ("certain", "fantasized"):
        torch.testing.assert_close(
            getattr(found, side).lower, getattr(expected, side).lower, atol=1e-8, rtol=0
        )
    assert (found.fantasized is found.certain) == (expected.fantasized is expected.certain)
    prediction = one.pool_prediction
    known = one.fantasized.predict(one.inputs(X))
    torch.testing.assert_close(prediction.mean, known.mean, atol=1e-8, rtol=0)
    torch.testing.assert_close(prediction.std, known.std, atol=1e-8, rtol=0)


# -- scores under certification --------------------------------------------------------------------------


class Half(SafeAcquisition):
    """Scores by the first gain; considers its lower half alone."""

    def score(self, X: Tensor, bounds: PointBounds) -> Tensor:
        return X[..., 0] + 10.0

    def admits(self, X: Tensor, bounds: PointBounds) -> Tensor:
        return X[..., 0] <= 0.5


class Daring(Half):
    certified_only = False


def test_only_certified_and_admitted_points_of_a_grid_have_a_score(s: AcquisitionContext) -> None:
    X = unit_grid(2, 9)
    one = replace(s, pool=X, domain=FiniteDomain(X))
    safe, low = one.certified(one.pool_bounds), X[:, 0] <= 0.5
    assert 0 < int((safe & low).sum()) < int(low.sum())
    for kind, allowed in ((Half, safe & low), (Daring, low)):
        scores = kind(one).grid_scores()
        torch.testing.assert_close(scores, torch.where(allowed, X[:, 0] + 10.0, -torch.inf))


def test_a_score_comes_with_the_slack_that_certifies_it(s: AcquisitionContext) -> None:
    X = unit_grid(2, 3)
    slack = s.bounds_at(X).slack
    for admission in (True, False):
        score, found = Half(s).evaluate(X, admission)
        torch.testing.assert_close(found, slack)
        allowed = (X[:, 0] <= 0.5) | (not admission)
        torch.testing.assert_close(score, torch.where(allowed, X[:, 0] + 10.0, -torch.inf))
    torch.testing.assert_close(Half(s).evaluate(X)[0], Half(s).evaluate(X, admission=True)[0])
    score, found = Daring(s).evaluate(X)
    assert (found == math.inf).all()


class Given(SafeAcquisition):
    """Says the scores and slacks that it was given."""

    said: tuple[Tensor, Tensor]

    def evaluate(self, X: Tensor, admission: bool = True) -> tuple[Tensor, Tensor]:
        return self.said


def test_values_outside_the_safe_set_lie_below_all_inside_and_rise_towards_it(s: AcquisitionContext) -> None:
    one = Given(s)
    one.said = row(3.0, -7.0, 4.0, 5.0, -math.inf, 9.0), row(0.0, 2.0, -1e-9, -4.0, 3.0, -math.inf)
    values = one(torch.zeros(6, 1, 2).double())
    assert values[:2].tolist() == [3.0, -7.0]
    assert values[2:5].tolist() == [
        -1e-9 - UNCERTIFIED_PENALTY,
        -4.0 - UNCERTIFIED_PENALTY,
        -UNCERTIFIED_PENALTY,
    ]
    assert values[5] == -math.inf
    assert UNCERTIFIED_PENALTY == 1e6
    one.said = row(3.0, 3.0), row(0.0, 0.0)
    assert one(torch.zeros(1, 2, 1, 2).double()).shape == (1, 2)
    X = unit_grid(2, 3)[:6].reshape(2, 3, 1, 2)
    torch.testing.assert_close(
        Daring(s)(X), torch.where(X[..., 0, 0] <= 0.5, X[..., 0, 0] + 10.0, -UNCERTIFIED_PENALTY)
    )
    for wrong in (torch.zeros(6, 2, 2), torch.zeros(2, 0, 2)):
        with pytest.raises(ValueError, match=f"one point at a time, got q = {wrong.shape[1]}"):
            one(wrong.double())


def test_what_was_seen_does_not_change(s: AcquisitionContext) -> None:
    view = s.bounds_at(unit_grid(2, 2))
    prediction = Prediction(row(0.0), row(1.0))
    posterior = s.surrogate.posteriors[0]
    for thing, name in (
        (view, "slack"),
        (s, "strict"),
        (view.certain, "lower"),
        (prediction, "std"),
        (LipschitzCertificate(row(), row(), row()), "points"),
        (Constrained(posterior, GridPosterior(torch.zeros(1, 3).double()), 0.0, 1.0), "beta"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, None)


# -- sets ------------------------------------------------------------------------------------------------


def test_a_maximizer_reaches_the_best_lower_bound_of_the_safe_ones() -> None:
    lower, upper = row(0.0, 1.0, 0.5, 7.0), row(1.0, 2.0, 0.999, 9.0)
    safe = torch.tensor([True, True, True, False])
    assert maximizers(lower, upper, safe).tolist() == [True, True, False, False]


def test_an_expander_reaches_an_uncertified_point_exactly() -> None:
    upper, distances = (
        torch.tensor([[1.0, 2.0], [1.0, 1.9]], dtype=torch.float64),
        torch.tensor([[0.5], [0.5]], dtype=torch.float64),
    )
    lipschitz, thresholds = row(2.0, 3.0), row(0.0, 0.5)
    assert lipschitz_expanders(upper, thresholds, distances, lipschitz).tolist() == [True, False]
    assert lipschitz_expanders(upper, thresholds, distances, lipschitz, "any").tolist() == [True, True]
    two = torch.tensor([[9.0, 0.5], [9.0, 9.0]], dtype=torch.float64)  # one reachable point is enough
    assert lipschitz_expanders(upper, thresholds, two, lipschitz).tolist() == [True, False]


def test_a_hallucinated_bound_is_the_closed_form_of_one_observation() -> None:
    mean, variance, covariance = (
        row(0.2, -0.1),
        row(0.9, 0.5),
        torch.tensor([[0.3, 0.2]], dtype=torch.float64),
    )
    found = hallucinated_lower(mean, variance, covariance, row(0.64), 0.16, 2.0)
    for j in range(2):
        k = float(covariance[0, j])
        expected = float(mean[j]) + k * 2.0 * 0.8 / 0.8 - 2.0 * math.sqrt(float(variance[j]) - k * k / 0.8)
        assert float(found[0, j]) == pytest.approx(expected, rel=1e-12)


def test_a_variance_that_rounding_makes_negative_is_as_good_as_none() -> None:
    """The target is the candidate itself and there is no noise: what is left is the smallest share, not nothing."""
    found = hallucinated_lower(
        row(0.0), row(4.0), torch.tensor([[4.0 + 1e-12]], dtype=torch.float64), row(4.0), 0.0, 1.0
    )
    assert float(found) == pytest.approx(2.0 - math.sqrt(4.0 * MINIMAL_VARIANCE), abs=1e-9)
    assert float(found) < 2.0


def plain_posterior(mean: float, noise: float, X: Any, y: Any) -> Posterior:
    result = Posterior.prior(StationaryKernel("rbf", row(0.3, 0.3), 1.0), mean, noise, 2)
    for x, value in zip(X, y, strict=True):
        result = result.extended(torch.tensor(x), float(value))
    return result


def test_hallucination_takes_one_beta_for_all_or_one_each() -> None:
    rng = np.random.default_rng(0)
    data, X, targets = rng.random((4, 2)), torch.tensor(rng.random((6, 2))), torch.tensor(rng.random((9, 2)))
    posteriors = [plain_posterior(0.0, 0.01, data, rng.normal(1.0, 0.3, 4)) for _ in range(2)]
    fixed, thresholds = [p.fixed(targets) for p in posteriors], row(0.3, 0.2)
    for rule in ("all", "any"):
        one = hallucinated_expanders(posteriors, X, fixed, thresholds, 1.2, rule)
        each = hallucinated_expanders(posteriors, X, fixed, thresholds, row(1.2, 1.2), rule)
        assert one.tolist() == each.tolist()
    holds = torch.ones(6, 9, dtype=torch.bool)
    for posterior, points, threshold, beta in zip(posteriors, fixed, thresholds, (0.1, 1.2), strict=True):
        _, variance, covariance = posterior.against(X, points)
        lower = hallucinated_lower(points.mean, points.variance, covariance, variance, 0.01, beta)
        holds &= lower >= threshold
    mixed = hallucinated_expanders(posteriors, X, fixed, thresholds, row(0.1, 1.2))
    assert mixed.tolist() == holds.any(-1).tolist()
    assert mixed.any()


def test_where_nothing_is_uncertified_or_asked_nothing_expands() -> None:
    posterior = plain_posterior(0.0, 0.01, [], [])
    X, none = torch.rand(3, 2).double(), torch.zeros(0, 2).double()
    for candidates, fixed in ((X, []), (X, [posterior.fixed(none)]), (none, [posterior.fixed(X)])):
        found = hallucinated_expanders(
            [posterior] * len(fixed), candidates, fixed, row(0.0)[: len(fixed)], 2.0
        )
        assert found.tolist() == [False] * len(candidates)
        assert found.dtype == torch.bool


# -- the first expander of a grid ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "first", "largest", "lengths"),
    [
        (100, 4, 32, [4, 16, 32, 32, 16]),
        (3, 4, 32, [3]),
        (4, 4, 4, [4]),
        (9, 4, 4, [4, 4, 1]),
        (0, 4, 32, []),
    ],
)
def test_batches_grow_fourfold_and_leave_nothing_out(
    total: int, first: int, largest: int, lengths: list[int]
) -> None:
    found = list(batches(total, first, largest))
    assert [part.stop - part.start for part in found] == lengths
    assert [i for part in found for i in range(part.start, part.stop)] == list(range(total))


def grid_case(seed: int, count: int = 90) -> tuple[list[Constrained], Tensor, Tensor, Tensor, Tensor]:
    """Constraints over a grid with a few observations: those, points, safe ones, lower and upper bounds."""
    rng = np.random.default_rng(seed)
    points = torch.tensor(rng.random((count, 2)))
    data = np.array([0.5, 0.5]) + 0.1 * rng.standard_normal((3, 2))
    constraints, lower, upper = [], [], []
    for k in range(2):
        posterior = plain_posterior(0.0, 0.01, data, rng.normal(1.2, 0.1, 3))
        grid = GridPosterior(points)
        grid.update(posterior)
        beta = 1.5 + 0.3 * k
        constraints.append(Constrained(posterior, grid, 0.1 * k - 0.05, beta))
        lower.append(grid.mean - beta * grid.variance.sqrt())
        upper.append(grid.mean + beta * grid.variance.sqrt())
    low, high = torch.stack(lower, -1), torch.stack(upper, -1)
    thresholds = row(*(c.threshold for c in constraints))
    return constraints, points, (low >= thresholds).all(-1), low, high


def first_of(true: Tensor, order: Tensor) -> int | None:
    hits = torch.nonzero(true[order]).squeeze(-1)
    return int(hits[0]) if len(hits) else None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("small", [False, True])
def test_the_first_expander_is_the_first_by_brute_force(
    monkeypatch: pytest.MonkeyPatch, seed: int, small: bool
) -> None:
    if small:
        monkeypatch.setattr(expander_search, "COLUMNS", 16)
        monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    constraints, points, safe, lower, upper = grid_case(seed)
    targets = points[~safe]
    fixed = [c.posterior.fixed(targets) for c in constraints]
    thresholds, betas = row(*(c.threshold for c in constraints)), row(*(c.beta for c in constraints))
    true = hallucinated_expanders([c.posterior for c in constraints], points, fixed, thresholds, betas)
    search = HallucinatedSearch(constraints, safe, lower, upper)
    assert search.tests == 0
    rng = np.random.default_rng(seed)
    poor = torch.nonzero(~true).squeeze(-1)
    orders = [torch.tensor(rng.permutation(len(points))) for _ in range(3)]
    orders += [torch.cat([poor, one]) for one in orders]  # the first true one comes late
    for order in [*orders, poor, poor[:0]]:
        before = search.tests
        found = search.first(order)
        assert found == first_of(true, order)
        looked = len(order) if found is None else found + 1
        assert min(looked, len(order)) <= search.tests - before <= len(order)


def test_where_all_is_safe_or_nothing_can_be_lifted_there_is_no_expander() -> None:
    constraints, points, safe, lower, upper = grid_case(0)
    everything = torch.arange(len(points))
    assert HallucinatedSearch(constraints, torch.ones_like(safe), lower, upper).first(everything) is None
    hopeless = HallucinatedSearch(constraints, safe, lower, torch.full_like(upper, -9.0))
    assert hopeless.first(everything) is None
    assert hopeless.tests == 0
    one = upper.clone()
    one[:, 1] = -9.0  # one constraint without hope is enough
    assert HallucinatedSearch(constraints, safe, lower, one).first(everything) is None


@pytest.mark.parametrize("seed", range(6))
def test_the_first_lipschitz_expander_is_the_first_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 40 if seed else 90
    points, safe = torch.tensor(rng.random((count, 2))), torch.tensor(rng.random(count) < 0.7)
    upper, lipschitz = torch.tensor(rng.normal(0.1, 0.1, (count, 2))), row(1.5, 0.7)
    thresholds = row(0.05, -0.02)
    distances = torch.cdist(points, points[~safe])
    nearest = distances.amin(-1, keepdim=True)
    true = lipschitz_expanders(upper, thresholds, nearest, lipschitz)
    search = LipschitzSearch(points, safe, upper, thresholds, lipschitz)
    assert search.tests == 0
    poor = torch.nonzero(~true).squeeze(-1)
    shuffled = torch.tensor(rng.permutation(count))
    for order in (shuffled, torch.cat([poor, poor, shuffled]), poor, shuffled[:0]):
        before = search.tests
        assert search.first(order) == first_of(true, order)
        assert search.tests - before <= len(order)
    assert search.tests > 0
    assert (
        LipschitzSearch(points, torch.ones_like(safe), upper, thresholds, lipschitz).first(shuffled) is None
    )


def test_a_lipschitz_expander_reaches_its_threshold_exactly() -> None:
    points, safe = torch.tensor([[0.0], [0.5]], dtype=torch.float64), torch.tensor([True, False])
    for upper, found in ((1.0, 0), (math.nextafter(1.0, 0.0), None)):
        bounds = torch.full((2, 1), upper, dtype=torch.float64)
        assert LipschitzSearch(points, safe, bounds, row(0.0), row(2.0)).first(torch.tensor([0])) == found
