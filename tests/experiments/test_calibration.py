"""The calibration table: its statistics, its safeguards, and a short run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution

from safebo.experiments.evidence.calibration import (
    DELTA,
    ROWS,
    CalibrationRun,
    lipschitz_constants,
    page,
    robust,
    run,
    summary,
    tuner_of,
)
from safebo.experiments.tasks.gp_samples import BELIEFS, gp_sample


def test_rates_and_intervals() -> None:
    outcomes = [
        CalibrationRun(2, 0.3, 50, 0.1),
        CalibrationRun(0, 0.0, 50, 0.3),
        CalibrationRun(0, 0.0, 0, math.nan),
    ]
    numbers = summary(outcomes)
    assert (numbers["violating"], numbers["runs"], numbers["stopped"]) == (1, 3, 1)
    assert numbers["trial_rate"] == pytest.approx(2 / 100)
    assert numbers["depth"] == 0.3
    assert numbers["regret"] == pytest.approx(0.2)
    assert numbers["low"] == pytest.approx(beta_distribution.ppf(0.025, 1, 3))
    assert numbers["high"] == pytest.approx(beta_distribution.ppf(0.975, 2, 2))


def test_constants_bound_the_slopes_and_the_robust_declaration_is_cautious() -> None:
    task = gp_sample(1, 3)
    slopes = np.abs(np.diff(task.grid_values, axis=0)) / np.diff(task.grid, axis=0)
    constants = np.array(lipschitz_constants(task))
    assert (slopes.max(0) <= constants * (1 + 1e-9)).all()
    assert (slopes.max(0) >= 0.95 * constants).all()
    cautious = robust(task)
    assert cautious.kernels[1].lengthscale < task.kernels[1].lengthscale
    assert cautious.noise_std[1] > task.noise_std[1]


@pytest.mark.parametrize("safeguard", sorted({guard for _, guard in ROWS}))
def test_every_safeguard_runs_and_its_multiplier_is_the_declared_one(safeguard: str) -> None:
    method = next(name for name, guard in ROWS if guard == safeguard)
    outcome = run(method, safeguard, "right", 1, 6)  # type: ignore[arg-type]
    assert outcome.trials == 6
    assert run(method, safeguard, "right", 1, 6) == outcome  # type: ignore[arg-type]
    tuner = tuner_of(gp_sample(1, 1, trials=6), method, safeguard)  # type: ignore[arg-type]
    if safeguard in ("beta 2", "measured"):
        assert tuner.beta == 2.0
    elif safeguard != "real beta":
        # One proposal fails with at most its share of delta: beta is at least the quantile of all of it.
        assert tuner.beta > 2.0
        assert math.erfc(tuner.beta / math.sqrt(2.0)) / 2.0 < DELTA


def test_a_wrong_belief_is_told_and_the_truth_stays() -> None:
    right, long = gp_sample(1, 5), gp_sample(1, 5, BELIEFS["long"])
    assert long.kernels[0].lengthscale == 2 * right.kernels[0].lengthscale
    np.testing.assert_array_equal(right.grid_values, long.grid_values)


def test_the_page_holds_every_cell() -> None:
    numbers = summary([CalibrationRun(1, 0.25, 10, 0.1), CalibrationRun(0, 0.0, 10, 0.2)])
    table = {
        ("right", "itl", "posterior"): numbers,
        ("long", "itl", "posterior"): numbers,
        ("tails", "vtl", "robust"): numbers,
    }
    text = page(table, 10)  # type: ignore[arg-type]
    assert "| right | itl | posterior | 1/2 | 50.0 (1.3 to 98.7) |" in text
    assert "| itl | posterior | 50 % (to 99), 0.25 | - |" in text
    assert "| vtl | robust | - | 50 % (to 99), 0.25 |" in text
