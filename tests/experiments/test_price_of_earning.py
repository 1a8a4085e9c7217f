"""The price of earning a prior that is right: problems and runs."""

from __future__ import annotations

import numpy as np

from safebo.experiments.evidence.price_of_earning import LENGTHSCALE, REACH, SEED_MARGIN, problem, run


def test_problems_are_draws_of_the_prior_with_points_near_a_safe_seed() -> None:
    drawn = [problem(seed, 2, 6, 4) for seed in range(400)]
    assert all(values[0, 1] >= SEED_MARGIN for _, values in drawn)
    assert all(np.linalg.norm(x[1:5] - x[0], axis=1).max() <= REACH + 1e-12 for x, _ in drawn)
    # Objectives at the seed and at a point near it, against the correlation of the kernel there.
    r = np.sqrt(3.0) * np.array([np.linalg.norm(x[1] - x[0]) for x, _ in drawn]) / LENGTHSCALE
    expected = float(((1.0 + r) * np.exp(-r)).mean())
    pairs = np.array([values[:2, 0] for _, values in drawn])
    assert abs(float((pairs[:, 0] * pairs[:, 1]).mean()) - expected) < 4.0 * np.sqrt(2.0 / 400)


def test_a_run_is_reproducible_and_only_an_earned_one_promotes() -> None:
    declared, again = (run("safe_ucb", 3, 2, False, 10, 20, 20) for _ in range(2))
    assert declared == again
    assert declared.promoted is None
    assert len(declared.regret) == 1
    assert declared.regret[0] >= 0.0
    earned = run("safe_ucb", 3, 6, True, 10, 40, 40)
    assert earned.promoted is not None
