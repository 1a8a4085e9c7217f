"""Equal scores: every tied point may be chosen, each as often, whatever the order of the rows and the last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from safebo.acquisition import GridSafeOpt, GridSettings, GridTuner
from safebo.acquisition.ties import RELATIVE, falling, first

SEEDS = range(40)
"""So many that one of four equal choices is missed with a probability of 4e-5."""


@st.composite
def tied_scores(draw: Any) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Scores in groups of equal ones, which group each row is in, and different points."""
    levels = np.cumsum(draw(st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=5))) - 5.0
    group = np.array(draw(st.lists(st.integers(0, len(levels) - 1), min_size=1, max_size=12)))
    points = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(group))[:, None].astype(float)
    return levels[group], group, points


@settings(max_examples=40, deadline=None)
@given(tied_scores(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_last_digits_change_who_may_be_chosen(
    case: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], seed: int, random: Any
) -> None:
    scores, group, points = case
    order = np.array(random.sample(range(len(scores)), len(scores)))
    nudged = scores * (1.0 + 1e-12 * np.array([random.uniform(-1, 1) for _ in scores]))
    one = falling(torch.tensor(scores), torch.tensor(points), seed).numpy()
    other = falling(torch.tensor(nudged[order]), torch.tensor(points[order]), seed).numpy()
    # Same seed, same order of the points; groups by falling score; the first is one of the best.
    assert (points[one] == points[order][other]).all()
    assert (np.diff(scores[one]) <= 0).all()
    best = first(torch.tensor(nudged[order]), torch.tensor(points[order]), seed)
    assert group[order][best] == group[scores.argmax()]
    assert points[order][best] == points[first(torch.tensor(scores), torch.tensor(points), seed)]


def test_tied_points_come_first_equally_often() -> None:
    points = torch.arange(8.0)[:, None]
    scores = torch.tensor(
        [0.0, 2.0, 2.0 * (1 + RELATIVE / 3), 1.0, 2.0, 2.0, 1.0, -np.inf], dtype=torch.float64
    )
    draws = 1000
    for wanted, rank in (({1, 2, 4, 5}, 0), ({3, 6}, 4)):
        places = [int(falling(scores, points, seed)[rank]) for seed in range(draws)]
        counts = np.array([places.count(row) for row in sorted(wanted)])
        assert counts.sum() == draws
        expected = draws / len(wanted)
        # One false alarm in a million.
        assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, len(wanted) - 1)


def test_a_point_listed_twice_is_one_point_and_its_lowest_row_is_named() -> None:
    points = torch.tensor([[1.0], [0.0], [1.0], [1.0]])
    chosen = [first(torch.ones(4), points, seed) for seed in range(400)]
    assert set(chosen) == {0, 1}
    assert 120 < chosen.count(1) < 280


def test_without_a_seed_the_lowest_row_of_the_largest_score_is_first() -> None:
    scores = torch.tensor([1.0, 3.0, 3.0 * (1 + 1e-12), 3.0], dtype=torch.float64)
    points = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert first(scores, points, None) == 2
    assert falling(scores, points, None).tolist() == [2, 1, 3, 0]


SIDE = np.arange(-4, 5) * 0.5
SQUARE = np.stack(np.meshgrid(SIDE, SIDE, indexing="ij"), -1).reshape(-1, 2)
"""Mapped to itself by quarter turns and reflections, as is what is measured in its middle."""

METHODS = ("safeopt", "goose", "vtl", "ise", "safe_ucb")


def asked(
    method: str, seed: int, order: NDArray[np.int64], noise: float = 0.0, lowest: bool = False
) -> tuple[float, float]:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    grid, bound = SQUARE[order], [-np.inf, 0.0]
    if lowest:
        tuner: GridTuner = GridSafeOpt(kernels, [1e-2, 1e-2], grid, bound, 2.0)
    else:
        tuner = GridTuner(method, kernels, [1e-2, 1e-2], grid, bound, 2.0, settings=GridSettings(seed=seed))
    tuner.tell([0.0, 0.0], [0.3 * (1 + noise), 1.5 * (1 + noise)])
    a, b = tuner.ask().x.tolist()
    return float(a), float(b)


@pytest.mark.parametrize("method", METHODS)
def test_symmetric_candidates_are_all_possible_choices(method: str) -> None:
    rng = np.random.default_rng(0)
    rows, others = np.arange(len(SQUARE)), rng.permutation(len(SQUARE))
    plain = [asked(method, seed, rows) for seed in SEEDS]
    assert plain[0] == asked(method, SEEDS[0], rows)
    changed = [asked(method, seed, others, 1e-12 * rng.uniform(-1, 1)) for seed in SEEDS]
    a, b = plain[0]
    orbit = {(s * u, t * v) for u, v in ((a, b), (b, a)) for s in (-1, 1) for t in (-1, 1)}
    # Signed zeros are one number.
    assert {(x + 0.0, y + 0.0) for x, y in orbit} == set(plain) == set(changed)


def test_the_published_safeopt_keeps_its_lowest_row() -> None:
    rows = np.arange(len(SQUARE))
    assert len({asked("safeopt", seed, rows, lowest=True) for seed in range(5)}) == 1


def test_the_recommendation_is_one_of_the_tied_best_points() -> None:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    found = set()
    for seed in range(12):
        tuner = GridTuner(
            "itl", kernels, [1e-2] * 2, [[0.0], [1.0]], [-np.inf, 0.0], 2.0, settings=GridSettings(seed=seed)
        )
        tuner.tell([[0.0], [1.0]], [[0.3, 1.5], [0.3, 1.5]])
        found.add(tuner.best().index)
    assert found == {0, 1}
