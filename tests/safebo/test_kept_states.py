"""Which states of a recording are kept: pivoted Cholesky against LAPACK's and the definition of what is left."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg.lapack import dpstrf

from safebo.boundary.subset import PART, SPARED, informative_rows, kept_rows


def correlations(rows: np.ndarray, others: np.ndarray, lengthscale: float) -> np.ndarray:
    """Matern 3/2 between all rows and all others, written out."""
    s = math.sqrt(3.0) * np.linalg.norm(rows[:, None] - others[None], axis=-1) / lengthscale
    return np.asarray((1.0 + s) * np.exp(-s))


def walk(n: int, width: int, seed: int, strides: float = 3.0) -> np.ndarray:
    """A noisy path that goes round and round, as a gait does, `n x width`."""
    rng = np.random.default_rng(seed)
    turn = 2.0 * np.pi * strides * np.arange(n)[:, None] / n
    return np.sin(turn * rng.integers(1, 3, width) + rng.random(width)) + 0.02 * rng.standard_normal(
        (n, width)
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_pivots_are_those_of_lapack(seed: int) -> None:
    rows = walk(80, 5, seed)
    found = informative_rows(rows, 40, 0.8, spared=0.0)
    factor, pivots, rank, _ = dpstrf(correlations(rows, rows, 0.8), tol=0.0, lower=1)
    assert rank >= 40
    np.testing.assert_array_equal(found.rows, pivots[:40] - 1)
    np.testing.assert_allclose(found.variance, np.diag(factor)[:40] ** 2, rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    width=st.integers(1, 5),
    budget=st.integers(0, 70),
    lengthscale=st.floats(0.05, 5.0),
    seed=st.integers(0, 10_000),
)
def test_every_row_that_is_left_out_is_spared_unless_the_budget_is_spent(
    n: int, width: int, budget: int, lengthscale: float, seed: int
) -> None:
    rows = walk(n, width, seed)
    found = informative_rows(rows, budget, lengthscale)
    assert len(set(found.rows.tolist())) == len(found.rows) <= budget
    assert np.all(np.diff(found.variance) <= 0.0)
    kept = rows[found.rows]
    across = correlations(rows, kept, lengthscale)
    inner = correlations(kept, kept, lengthscale)
    left = 1.0 - np.einsum("ij,ji->i", across, np.linalg.solve(inner, across.T)) if len(kept) else np.ones(n)
    np.testing.assert_allclose(found.residual, np.maximum(left, 0.0), atol=1e-7)
    if len(found.rows) < min(budget, n):
        assert found.residual.max() <= SPARED**2
        assert found.variance.min() > SPARED**2


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 40), less=st.integers(1, 39), seed=st.integers(0, 1000))
def test_a_smaller_budget_keeps_the_first_of_a_larger_one(n: int, less: int, seed: int) -> None:
    rows = walk(n, 3, seed)
    all_rows = informative_rows(rows, n, spared=0.0).rows
    assert all_rows[0] == 0
    np.testing.assert_array_equal(informative_rows(rows, less, spared=0.0).rows, all_rows[:less])


def test_equal_rows_are_kept_once() -> None:
    rows = np.repeat(walk(5, 3, 0), 4, axis=0)
    assert sorted(informative_rows(rows, 20, 0.1).rows.tolist()) == [0, 4, 8, 12, 16]


@pytest.mark.parametrize(("n", "budget"), [(40, 0), (40, 7), (40, 40), (40, 50), (1100, 2 * PART + 30)])
def test_a_path_keeps_what_its_budget_allows_in_order_from_the_first(n: int, budget: int) -> None:
    rows = walk(n, 4, 1)
    kept = kept_rows(rows, budget)
    assert len(kept) == min(n, budget)
    assert np.all(np.diff(kept) > 0)
    assert budget == 0 or kept[0] == 0
    if budget == 7:
        np.testing.assert_array_equal(kept, np.sort(informative_rows(rows, 7, spared=0.0).rows))


@pytest.mark.parametrize(
    ("rows", "budget", "lengthscale"),
    [
        (np.zeros(3), 1, 1.0),
        (np.full((3, 2), np.nan), 1, 1.0),
        (np.zeros((3, 2)), -1, 1.0),
        (np.zeros((3, 2)), 1, 0.0),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(rows: np.ndarray, budget: int, lengthscale: float) -> None:
    with pytest.raises(ValueError, match="got"):
        informative_rows(rows, budget, lengthscale)
