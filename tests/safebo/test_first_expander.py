"""The search for the first expander of a grid: borders to the last bit, and how much it looks at."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from safebo.models.grid_posterior import GridPosterior
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.safety import expander_search
from safebo.safety.expander_search import COLUMNS, Constrained, HallucinatedSearch, LipschitzSearch
from safebo.safety.sets import hallucinated_expanders, hallucinated_lower

NOISE, BETA = 0.01, 1.5


def on_a_line(*points: float, variance: float = 1.0, lengthscale: float = 0.1) -> Constrained:
    """A constraint over points of a line of which nothing is known: a candidate lifts what is near it."""
    inputs = torch.tensor(points, dtype=torch.float64).unsqueeze(-1)
    kernel = StationaryKernel("rbf", torch.tensor([lengthscale], dtype=torch.float64), variance)
    posterior = Posterior.prior(kernel, 0.0, NOISE, 1)
    grid = GridPosterior(inputs)
    grid.update(posterior)
    return Constrained(posterior, grid, 0.0, BETA)


def mask(count: int, *true: int) -> Tensor:
    return torch.tensor([k in true for k in range(count)])


def search(
    constraint: Constrained, safe: Tensor, lower: list[float] | None = None, upper: float = 9.0
) -> HallucinatedSearch:
    """Every point that is not safe may be lifted, and the nearest are those of the largest `lower`."""
    count = len(safe)
    low = torch.tensor(lower or [-1.0] * count, dtype=torch.float64).unsqueeze(-1)
    return HallucinatedSearch([constraint], safe, low, torch.full_like(low, upper))


# -- borders ---------------------------------------------------------------------------------------------


def test_a_point_lifted_exactly_to_its_threshold_is_certified() -> None:
    constraint = on_a_line(0.5, 0.53)
    p = constraint.posterior
    X = constraint.grid.points
    fixed = p.fixed(X[1:])
    _, variance, covariance = p.against(X[:1], fixed)
    reached = float(hallucinated_lower(fixed.mean, fixed.variance, covariance, variance, NOISE, BETA))
    for threshold, lifted in ((reached, True), (math.nextafter(reached, math.inf), False)):
        h = torch.tensor([threshold], dtype=torch.float64)
        for rule in ("all", "any"):
            found = hallucinated_expanders([p], X[:1], [fixed], h, BETA, rule)
            assert found.tolist() == [lifted]
        one = Constrained(p, constraint.grid, threshold, BETA)
        assert search(one, mask(2, 0)).first(torch.tensor([0])) == (0 if lifted else None)


def test_a_target_that_is_certified_already_is_no_reason_to_expand() -> None:
    constraint = on_a_line(0.5, 0.53)
    p, X = constraint.posterior, constraint.grid.points
    fixed = p.fixed(X[1:])
    now = float(fixed.mean - BETA * fixed.variance.sqrt())
    for threshold, expands in ((now, False), (math.nextafter(now, math.inf), True)):
        h = torch.tensor([threshold], dtype=torch.float64)
        assert hallucinated_expanders([p], X[:1], [fixed], h, BETA, "any").tolist() == [expands]


def test_every_constraint_has_its_targets_and_threshold() -> None:
    p = on_a_line(0.5, 0.53).posterior
    X = torch.zeros(2, 1, dtype=torch.float64)
    fixed, h = p.fixed(X), torch.zeros(2, dtype=torch.float64)
    for posteriors, targets, thresholds in (
        ([p], [fixed] * 2, h),
        ([p] * 2, [fixed], h),
        ([p] * 2, [fixed] * 2, h[:1]),
    ):
        with pytest.raises(ValueError, match="zip"):
            hallucinated_expanders(posteriors, X, targets, thresholds, BETA)


@pytest.mark.parametrize(
    ("upper", "hopeful"), [(0.0, True), (-1.5e-9, True), (-(1e-9 * 2.0), True), (-3e-9, False), (-1.0, False)]
)
def test_rounding_takes_no_hope_but_a_real_deficit_does(upper: float, hopeful: bool) -> None:
    """A billionth of the prior standard deviation, 2 here, is forgiven."""
    constraint = on_a_line(0.5, 0.501, variance=4.0)
    looked = search(constraint, mask(2, 0), upper=upper)
    assert looked.first(torch.tensor([0])) == (0 if hopeful else None)
    assert looked.tests == int(hopeful)


# -- nothing is missed -----------------------------------------------------------------------------------


def test_the_first_is_found_though_a_later_one_is_seen_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets a few at a time: the last candidate lifts one of the first few, the first candidate one of the last."""
    monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    # targets 1.02, 9.0 (the nearest to certification, which nobody lifts), 5.0, 0.02; candidates 0.0 and 1.0
    constraint = on_a_line(1.02, 9.0, 5.0, 0.02, 0.0, 1.0)
    lower = [-1.0, -0.1, -1.0, -1.0, 0.0, 0.0]
    for columns in (1, 2, 4, 100):
        monkeypatch.setattr(expander_search, "COLUMNS", columns)
        found = search(constraint, mask(6, 4, 5), lower)
        assert found.first(torch.tensor([4, 5])) == 0
        assert found.first(torch.tensor([5, 4])) == 0
        assert found.first(torch.tensor([5])) == 0


@pytest.mark.parametrize("columns", [1, 2, 3, 100])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_one_target_is_found_wherever_it_lies(
    monkeypatch: pytest.MonkeyPatch, columns: int, place: int
) -> None:
    monkeypatch.setattr(expander_search, "COLUMNS", columns)
    monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    points = [9.0, 9.5, 10.0, 10.5, 0.0]
    points[place] = 0.02
    lower = [-1.0] * 5
    lower[(place + 1) % 4] = -0.1  # another one is the nearest
    assert search(on_a_line(*points), mask(5, 4), lower).first(torch.tensor([4])) == 0


def test_candidates_past_the_first_piece_keep_their_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 that lift nothing, then one that lifts a target which is not the nearest."""
    monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    constraint = on_a_line(30.0, 0.02, *np.linspace(2.0, 20.0, 60), 0.0)
    safe = mask(63, *range(2, 63))
    lower = [-0.1, -1.0, *[0.0] * 61]
    for before in (0, 1, 3, 4, 5, 15, 16, 17, 40, 60):
        order = torch.tensor([*range(2, 2 + before), 62])
        assert search(constraint, safe, lower).first(order) == before


# -- how much is looked at -------------------------------------------------------------------------------


def test_an_early_expander_costs_few_tests_and_a_late_one_all_before_it() -> None:
    """Sixteen candidates first, then four times as many, at most 256 at a time."""
    constraint = on_a_line(0.02, *np.linspace(2.0, 90.0, 700), 0.0)
    safe = mask(702, *range(1, 702))
    for before, tests in (
        (0, 16),
        (15, 16),
        (16, 80),
        (79, 80),
        (80, 336),
        (335, 336),
        (336, 592),
        (592, 701),
    ):
        looked = search(constraint, safe)
        order = torch.tensor([*range(1, 1 + before), 701, *range(1 + before, 701)])
        assert looked.first(order) == before
        assert looked.tests == tests


def test_an_early_lipschitz_expander_costs_few_tests() -> None:
    """64 candidates first, then four times as many, at most 16384 at a time."""
    points = torch.tensor([[0.0], [0.1], [5.0]], dtype=torch.float64)
    upper = torch.ones(3, 1, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    ends = np.cumsum([64, 256, 1024, 4096, 16384, 16384]).tolist()
    for before, tests in (
        (0, 64),
        (63, 64),
        (64, ends[1]),
        (ends[3], ends[4]),
        (ends[4], ends[5]),
        (ends[5] - 1, ends[5]),
    ):
        looked = LipschitzSearch(points, torch.tensor([True, False, True]), upper, 0.0 * one, one)
        order = torch.full((60_000,), 2)
        order[before] = 0
        assert looked.first(order) == before
        assert looked.tests == tests


def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates without proof were looked at together, as they come."""
    seen: list[int] = []
    lifts_any = HallucinatedSearch._lifts_any

    def spy(self: HallucinatedSearch, candidates: Tensor) -> Tensor:
        seen.append(len(candidates))
        return lifts_any(self, candidates)

    monkeypatch.setattr(HallucinatedSearch, "_lifts_any", spy)
    return seen


def test_only_candidates_without_proof_look_at_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lengths(monkeypatch)
    # 0.02 and 50.0 are both among the nearest; the candidate 0.0 lifts the one of them
    constraint = on_a_line(0.02, 50.0, *np.linspace(2.0, 20.0, 30), 0.0)
    looked, safe = torch.tensor([*range(2, 32)]), mask(33, *range(2, 33))
    assert search(constraint, safe).first(torch.tensor([32, *looked[:15]])) == 0
    assert seen == []
    assert search(constraint, safe).first(torch.tensor([*looked[:9], 32])) == 9
    assert seen == [4, 5]
    seen.clear()
    assert search(constraint, safe).first(looked) is None
    assert seen == [4, 12, 4, 10]


def test_the_nearest_targets_are_those_that_lack_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """In prior standard deviations, and by the constraint that lacks most."""
    assert expander_search.NEAREST_TARGETS == 256
    constraints = [on_a_line(*range(400), variance=v) for v in (4.0, 0.25)]
    rng = np.random.default_rng(0)
    lower = torch.tensor(-rng.random((400, 2)))
    made = HallucinatedSearch(constraints, mask(400), lower, torch.full_like(lower, 9.0))
    lack = (-lower / torch.tensor([2.0, 0.5], dtype=torch.float64)).amax(-1)
    assert set(made._nearest.tolist()) == set(torch.argsort(lack)[:256].tolist())
    few = HallucinatedSearch(constraints, mask(400, *range(300)), lower, torch.full_like(lower, 9.0))
    assert sorted(few._nearest.tolist()) == list(range(300, 400))


def columns_of(monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """What was looked at together: a stretch's length, or `gathered`."""
    seen: list[int | str] = []
    holds = HallucinatedSearch._holds

    def spy(
        self: HallucinatedSearch, candidates: Tensor, columns: slice | Tensor, whitened: list[Tensor]
    ) -> Tensor:
        seen.append(columns.stop - columns.start if isinstance(columns, slice) else "gathered")
        return holds(self, candidates, columns, whitened)

    monkeypatch.setattr(HallucinatedSearch, "_holds", spy)
    return seen


def test_targets_are_looked_at_in_stretches_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert COLUMNS == 16384
    seen = columns_of(monkeypatch)
    count = 2 * COLUMNS + 5
    constraint = on_a_line(*np.linspace(10.0, 900.0, count - 1), 0.0)
    assert search(constraint, mask(count, count - 1)).first(torch.tensor([count - 1])) is None
    assert seen[1:] == [COLUMNS, COLUMNS, 5]  # after the nearest


@pytest.mark.parametrize(("hopeful", "gathered"), [(33, False), (32, True), (95, False), (1, True)])
def test_few_targets_of_a_stretch_are_gathered(
    monkeypatch: pytest.MonkeyPatch, hopeful: int, gathered: bool
) -> None:
    """Gathering a column costs what eight candidates' products with one do: 4 (99 - 33) = 8 * 33."""
    monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    seen = columns_of(monkeypatch)
    constraint = on_a_line(*np.linspace(2.0, 90.0, 99))
    safe = mask(99, *range(99 - hopeful))
    search(constraint, safe).first(torch.tensor([0, 1, 2, 3]))
    assert seen == ["gathered", "gathered" if gathered else 99]


def test_a_stretch_that_proves_the_first_is_the_last_one_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    monkeypatch.setattr(expander_search, "COLUMNS", 2)
    seen = columns_of(monkeypatch)
    constraint = on_a_line(0.02, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0)
    assert search(constraint, mask(7, 6), [-1.0] * 5 + [-0.1, 0.0]).first(torch.tensor([6])) == 0
    assert seen == ["gathered", 2]


def test_a_stretch_without_targets_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expander_search, "NEAREST_TARGETS", 1)
    monkeypatch.setattr(expander_search, "COLUMNS", 2)
    seen = columns_of(monkeypatch)
    constraint = on_a_line(5.0, 6.0, 7.0, 8.0, 9.0, 0.0)
    assert search(constraint, mask(6, 0, 1, 5)).first(torch.tensor([5])) is None
    assert seen == ["gathered", 2, 2]
