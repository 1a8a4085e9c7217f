"""The calibration table: its statistics, its safeguards, and a short run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution
from typer import BadParameter

from safebo.experiments.evidence.calibration import (
    DELTA,
    ROWS,
    Cell,
    cells,
    finished,
    lipschitz_constants,
    robust,
    run,
    tuner_of,
)
from safebo.experiments.evidence.calibration_page import CalibrationRun, page, summary
from safebo.experiments.tasks.gp_samples import BELIEFS, gp_sample

pytestmark = pytest.mark.slow


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
    cell = Cell("right", method, safeguard)  # type: ignore[arg-type]
    outcome = run(cell, 1, 6)
    assert outcome.trials == 6
    assert run(cell, 1, 6) == outcome
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


def test_problems_in_more_inputs_have_their_seed_among_the_candidates() -> None:
    outcome = run(Cell("right", "safe_ucb", "earned", 4), 0, 3)
    assert outcome.trials == 3
    assert outcome.regret >= 0.0


def test_finished_runs_are_read_and_only_missing_ones_are_made(tmp_path: Path) -> None:
    cell, out = Cell("drift", "random_safe", "posterior"), tmp_path / "runs.csv"
    ((_, first),) = cells([(cell, 2)], 3, 1, out)
    for problem, kept in finished(out, 3)[cell].items():
        fresh = run(cell, problem, 3)
        assert (kept.violating_trials, kept.trials) == (fresh.violating_trials, fresh.trials)
        assert kept.regret == pytest.approx(fresh.regret, rel=1e-3)
    lines = out.read_text().splitlines()
    assert lines[1].startswith("drift,random_safe,posterior,1,0,3,")
    out.write_text("\n".join([lines[0], lines[1].replace(",1,0,3,", ",1,0,3,7", 1)]) + "\n")
    before = out.read_text()
    ((_, again),) = cells([(cell, 2)], 3, 1, out)
    assert out.read_text() == before + lines[2] + "\n"
    assert again["broken"] == first["broken"] + 70
    assert finished(out, 4) == {}
    out.write_text("nonsense\n")
    with pytest.raises(BadParameter, match="no file of this command"):
        finished(out, 3)


def test_the_page_holds_every_cell() -> None:
    numbers = summary([CalibrationRun(1, 0.25, 10, 0.1), CalibrationRun(0, 0.0, 10, 0.2)])
    table = {
        Cell("right", "itl", "posterior"): numbers,
        Cell("right", "itl", "earned"): numbers | {"violating": 0.0, "broken": 0.0, "refuted": 1.0},
        Cell("long", "itl", "posterior"): numbers,
        Cell("tails", "vtl", "robust", 2): numbers,
    }
    text = page(table, 10)
    assert "| 1 | right | itl | posterior | 1/2 | 50.0 (1.3 to 98.7) |" in text
    assert (
        "| 1 | right | 1 | 1/2 (50.0 %) | 5.00 | 0/2 (0.0 %) | 0.00 | 0.00 | 0.0 % | 50.0 % | 0.150, 0.150 |"
        in text
    )
    assert "| 1 | itl | posterior | 50.0 % (to 99), 5.00, 0.25 | - |" in text
    assert "| 2 | vtl | robust | - | 50.0 % (to 99), 5.00, 0.25 |" in text
