"""Search along lines: geometry, directions, exactness against dense scans, and safety of whole runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from tuner_cases import direct_posterior, hill_study, independent_lower_bounds, measured

from safebo.acquisition import AcquisitionContext, PointBounds, SafeAcquisition, acquisition_class
from safebo.errors import StudyError
from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate
from safebo.optim.directions import (
    SECANT,
    coordinate_directions,
    directions,
    drawn_gradients,
    inward,
    mean_gradient,
    random_directions,
)
from safebo.optim.lines import NEAREST, LineBundle, SearchLine, line_bundle, search_lines
from safebo.safety.safe_set import SEARCH_RESERVE
from safebo.study import LineSpec
from safebo.tuner import Tuner

LENGTHSCALE = np.array([0.4, 0.5, 0.6, 0.8])


def data(observations: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of three parameters and a context number, and two functions there."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([0.5 + 0.3 * (rng.random((observations, 3)) - 0.5), np.full(observations, 0.5)])
    return X, np.column_stack([np.sin(4.0 * X[:, 0]) + X[:, 1], 1.0 + 0.3 * X[:, 1] - X[:, 2] ** 2])


def acquisition_context(observations: int = 8, seed: int = 0, kernel: Any = "matern52") -> AcquisitionContext:
    """Three parameters, one context number, an objective and a constraint."""
    scale = tuple(LENGTHSCALE.tolist())
    s = Surrogate.prior(
        [
            FunctionModel("f", kernel, scale, 0.0, 1.0, 1e-3),
            FunctionModel("g", kernel, scale, -0.2, 1.0, 1e-3),
        ]
    )
    for x, y in zip(*data(observations, seed), strict=True):
        s = s.observed(torch.tensor(x), y.tolist())
    return AcquisitionContext(
        surrogate=s,
        fantasized=s,
        context=torch.tensor([0.45], dtype=torch.float64),
        dimension=3,
        thresholds=torch.zeros(1, dtype=torch.float64),
        beta=torch.full((2,), 2.0, dtype=torch.float64),
        draw=torch.tensor([0.9, 0.1, 0.7], dtype=torch.float64),
    )


def known_points(observations: int = 8, seed: int = 0) -> Tensor:
    return torch.tensor(data(observations, seed)[0][:, :3])


def bundle_of(s: AcquisitionContext, spec: LineSpec, number: int = 0, seed: int = 0) -> LineBundle:
    known = known_points()
    bounds = s.bounds_at(known)
    assert (bounds.slack > 0).all()
    return line_bundle(s, known, bounds.certain.lower[:, 0], spec, number, np.random.default_rng(seed))


# -- geometry --


@pytest.mark.parametrize("seed", range(40))
def test_a_line_ends_where_it_leaves_the_cube(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 41))
    anchor = rng.random(d)
    anchor[rng.random(d) < 0.3] = rng.integers(0, 2)
    direction = rng.normal(size=d) * (rng.random(d) < 0.7)
    direction[rng.integers(d)] = 1.0
    direction /= np.linalg.norm(direction)
    line = SearchLine.through(torch.tensor(anchor), torch.tensor(direction))
    assert line.low <= 0 <= line.high
    for t, sign in ((line.low, -1.0), (line.high, 1.0)):
        at = anchor + t * direction
        assert (at >= -1e-12).all()
        assert (at <= 1 + 1e-12).all()
        beyond = anchor + (t + sign * 1e-6) * direction
        assert ((beyond < 0) | (beyond > 1)).any()


@pytest.mark.parametrize("anchor", [0.5, 0.0, 1.0, 0.99997])
@pytest.mark.parametrize("count", [16, 101, 500])
def test_points_of_a_line_rise_from_end_to_end_and_crowd_at_the_anchor(anchor: float, count: int) -> None:
    line = SearchLine.through(
        torch.tensor([anchor, 0.3], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    )
    t = line.steps(count)
    assert len(t) == count
    assert (t.diff() >= 0).all()
    assert (float(t[0]), float(t[-1])) == pytest.approx((line.low, line.high))
    assert (t == 0).any()
    assert (t.abs()[t != 0] <= 2 * NEAREST).any()
    # No gap is much wider than an even step.
    assert float(t.diff().max()) <= 1.05 / (count - count // 4 - 2)


def test_a_direction_of_no_length_is_the_anchor_alone() -> None:
    line = SearchLine.through(torch.full((3,), 0.5, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(line.at(line.steps(16)), torch.full((16, 3), 0.5, dtype=torch.float64))


# -- directions --


def test_coordinates_come_in_turn_by_the_number_alone() -> None:
    s, x = acquisition_context(), torch.full((3,), 0.5, dtype=torch.float64)
    one, two = (LineSpec(direction="coordinate", count=count) for count in (1, 2))
    order = [directions(s, x, one, i, np.random.default_rng(i)).argmax().item() for i in range(7)]
    assert order == [0, 1, 2, 0, 1, 2, 0]
    pairs = [directions(s, x, two, i, np.random.default_rng(0)).argmax(-1).tolist() for i in range(4)]
    assert pairs == [[0, 1], [2, 0], [1, 2], [0, 1]]
    many = directions(s, x, LineSpec(direction="coordinate", count=9), 1, np.random.default_rng(0))
    assert many.argmax(-1).tolist() == [0, 1, 2]
    assert torch.equal(coordinate_directions(3, 5, 1), torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))


def test_random_directions_are_unit_vectors_of_the_generator() -> None:
    found = random_directions(40, 200, np.random.default_rng(3))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(200, dtype=torch.float64))
    assert torch.equal(found, random_directions(40, 200, np.random.default_rng(3)))
    assert float(found.mean(0).abs().max()) < 0.06


def dense(x: np.ndarray, kernel: str = "matern52") -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the objective at rows of parameters, by one dense solve."""
    X, y = data(8)
    Z = np.column_stack([x, np.full(len(x), 0.45)])
    return direct_posterior(kernel, LENGTHSCALE, 1.0, 0.0, 1e-3, X, y[:, 0], Z)


def test_the_gradient_of_the_mean_is_that_of_a_dense_solve() -> None:
    x = np.array([0.4, 0.6, 0.35])
    found = mean_gradient(acquisition_context(), torch.tensor(x)).numpy()
    h = 1e-5 * np.eye(3)
    expected = (dense(x + h)[0] - dense(x - h)[0]) / 2e-5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kernel", ["matern12", "matern52", "rbf"])
def test_drawn_gradients_have_the_posteriors_moments(kernel: str) -> None:
    x = np.array([0.4, 0.6, 0.35])
    found = drawn_gradients(
        acquisition_context(kernel=kernel), torch.tensor(x), 20_000, np.random.default_rng(0)
    ).numpy()
    h = SECANT * np.eye(3)
    mean, covariance = dense(np.concatenate([x + h, x - h]), kernel)
    A = np.concatenate([np.eye(3), -np.eye(3)], 1) / (2 * SECANT)
    std = np.sqrt(np.diag(A @ covariance @ A.T))
    np.testing.assert_allclose(found.mean(0), A @ mean, atol=4 * std.max() / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(found.T), A @ covariance @ A.T, atol=0.05 * std.max() ** 2)


def test_ascent_follows_the_mean_first_and_draws_where_it_is_flat() -> None:
    s, x = acquisition_context(), torch.tensor([0.4, 0.6, 0.35], dtype=torch.float64)
    uphill = mean_gradient(s, x) / mean_gradient(s, x).norm()
    spec = LineSpec(direction="ascent", count=3)
    found = directions(s, x, spec, 1, np.random.default_rng(0))
    torch.testing.assert_close(found[0], uphill)
    assert (found[1:] @ uphill < 0.999).all()
    single = LineSpec(direction="ascent", count=1)
    turns = [directions(s, x, single, i, np.random.default_rng(0))[0] @ uphill for i in range(4)]
    assert [bool(t > 0.999999) for t in turns] == [True, False, True, False]
    # At the only measured point of a context of its own the mean is flat.
    flat = Surrogate.prior([FunctionModel("f", "rbf", (0.4, 0.5, 0.6, 0.8), 0.0, 1.0, 1e-3)] * 2)
    flat = flat.observed(torch.cat([x, torch.tensor([0.45], dtype=torch.float64)]), [0.5, 0.5])
    unknown = replace(s, surrogate=flat, fantasized=flat)
    found = directions(unknown, x, single, 0, np.random.default_rng(0))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("corner", [0.0, 1.0, 0.9999])
def test_lines_have_a_length_even_in_a_corner_of_forty_dimensions(corner: float) -> None:
    x = torch.full((40,), corner, dtype=torch.float64)
    found = inward(x, random_directions(40, 50, np.random.default_rng(0)))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(50, dtype=torch.float64))
    lines = [SearchLine.through(x, v) for v in found]
    assert min(line.high - line.low for line in lines) > 0.5
    only_out = torch.full((1, 40), 1.0 if corner > 0.5 else -1.0, dtype=torch.float64)
    assert SearchLine.through(x, inward(x, only_out)[0]).high > 0.5


# -- search --


@pytest.mark.parametrize("direction", ["coordinate", "random", "ascent"])
@pytest.mark.parametrize("name", ["safe_ucb", "safeopt", "random_safe", "best_lower_bound"])
def test_the_search_is_as_good_as_a_dense_scan_and_feasible(name: str, direction: Any) -> None:
    s = acquisition_context()
    bundle = bundle_of(s, LineSpec(direction=direction, count=2, points=100), seed=4)
    s = replace(s, incumbent=float(s.bounds_at(bundle.known).certain.lower[:, 0].max()), pool=bundle.domain)
    acquisition = acquisition_class(name)(s)
    found = search_lines(acquisition, bundle)
    best = -np.inf
    for line in bundle.lines:
        t = torch.linspace(line.low, line.high, 20_001, dtype=torch.float64)
        score, slack = acquisition.evaluate(line.at(t))
        best = max(best, float(score[slack >= SEARCH_RESERVE].max()))
    assert float(found.scores[0]) >= best - 1e-6
    score, slack = acquisition.evaluate(found.points)
    assert (slack >= 0.99 * SEARCH_RESERVE).all()
    torch.testing.assert_close(score, found.scores)
    assert (found.scores.diff() <= 0).all()
    off = torch.stack(
        [
            (p := found.points - line.anchor).sub((p @ line.direction)[:, None] * line.direction).norm(dim=-1)
            for line in bundle.lines
        ]
    )
    assert float(off.amin(0).max()) < 1e-12
    assert torch.equal(found.points, search_lines(acquisition, bundle).points)


def test_a_certified_stretch_shorter_than_a_step_is_found() -> None:
    anchor = torch.tensor([0.52, 0.4, 0.3], dtype=torch.float64)
    prior = acquisition_context(0).surrogate
    told = prior.observed(torch.cat([anchor, torch.tensor([0.45], dtype=torch.float64)]), [0.0, 0.16])
    narrow = replace(
        acquisition_context(0),
        surrogate=told,
        fantasized=told,
        beta=torch.full((2,), 4.0, dtype=torch.float64),
    )
    line = SearchLine.through(anchor, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    t = torch.linspace(line.low, line.high, 20_001, dtype=torch.float64)
    safe = t[narrow.bounds_at(line.at(t)).slack >= SEARCH_RESERVE]
    assert 0 < float(safe.max() - safe.min()) < (line.high - line.low) / 32
    bundle = LineBundle((line,), line.steps(32).unsqueeze(0), anchor.unsqueeze(0))
    found = search_lines(acquisition_class("safe_ucb")(narrow), bundle)
    assert len(found.points) > 1
    score, slack = acquisition_class("safe_ucb")(narrow).evaluate(line.at(t))
    assert float(found.scores[0]) >= float(score[slack >= SEARCH_RESERVE].max()) - 1e-6


class OnlyNear(SafeAcquisition):
    """Admits the neighbourhood of one point, to leave lines without a candidate."""

    place = torch.zeros(3, dtype=torch.float64)

    def score(self, X: Tensor, bounds: PointBounds) -> Tensor:
        return bounds.fantasized.upper[..., 0]

    def admits(self, X: Tensor, bounds: PointBounds) -> Tensor:
        return (X - self.place).norm(dim=-1) < 1e-3


def test_known_points_stand_in_for_lines_without_a_candidate() -> None:
    s = acquisition_context()
    bundle = bundle_of(s, LineSpec(direction="coordinate", count=1, points=32))
    acquisition = OnlyNear(s)
    other = next(i for i in range(8) if not torch.equal(bundle.known[i], bundle.lines[0].anchor))
    acquisition.place = bundle.known[other]
    found = search_lines(acquisition, bundle)
    assert torch.equal(found.points, bundle.known[other : other + 1])


def test_anchors_are_the_best_lower_bound_or_the_last() -> None:
    s = acquisition_context()
    lower = s.bounds_at(known_points()).certain.lower[:, 0]
    best = bundle_of(s, LineSpec()).lines[0].anchor
    assert torch.equal(best, known_points()[int(lower.argmax())])
    assert torch.equal(bundle_of(s, LineSpec(anchor="last")).lines[0].anchor, known_points()[-1])


def test_the_extended_domain_stays_of_a_size_that_sets_can_be_built_on() -> None:
    bundle = bundle_of(acquisition_context(), LineSpec(direction="random", count=40, points=2000))
    assert len(bundle.points) == 80_000
    assert len(bundle.domain) <= 4096 + len(bundle.known)
    assert torch.equal(bundle.domain[-8:], bundle.known)


# -- whole runs --


def lines_study(method: str, **lines: Any) -> Any:
    return hill_study(
        method, tuner={"method": method, "beta": 3.0, "search": {"lines": {"points": 60, **lines}}}
    )


RUNS = [
    *[(method, way) for method in ("safe_ucb", "safeopt") for way in ("coordinate", "random", "ascent")],
    *[(method, "ascent") for method in ("itl", "ise", "goose", "random_safe")],
]


@pytest.mark.parametrize(("method", "direction"), RUNS)
def test_no_proposal_leaves_the_certified_set(method: str, direction: str) -> None:
    for seed in range(2):
        study = lines_study(method, direction=direction, count=2, trials=2)
        tuner, again, rng = Tuner(study, seed), Tuner(study, seed), np.random.default_rng(seed)
        told: list[Any] = []
        for _ in range(10):
            trial = tuner.ask()
            if trial.phase == "local":
                assert (independent_lower_bounds(study, told, trial) >= 0).all()
            told.append((trial, measured(trial, rng)))
            tuner.tell(*told[-1])
            assert again.ask() == trial
            again.tell(*told[-1])
        assert sum(trial.phase == "local" for trial, _ in told) == 8


def test_coordinate_lines_change_one_parameter_of_a_tried_point_and_are_kept_for_some_trials() -> None:
    study = lines_study("safe_ucb", direction="coordinate", count=1, trials=2)
    tuner, rng = Tuner(study, 0), np.random.default_rng(0)
    before: list[Any] = []
    for number in range(12):
        trial = tuner.ask("slow")
        if number:
            free = ("kp", "kd")[number // 2 % 2]
            fixed = "kd" if free == "kp" else "kp"
            assert any(np.isclose(trial.parameters[fixed], t.parameters[fixed], rtol=1e-4) for t in before)
        before.append(trial)
        tuner.tell(trial, measured(trial, rng))
    assert len({t.parameters["kp"] for t in before}) > 2
    assert len({t.parameters["kd"] for t in before}) > 2


def test_methods_without_a_certificate_are_not_searched_along_lines() -> None:
    with pytest.raises(
        StudyError, match=r"tuner\.search\.lines: lines are for safe methods, and gp_ucb certifies nothing"
    ):
        Tuner(lines_study("gp_ucb"))
