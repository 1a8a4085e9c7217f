"""A declared norm that is told too small is refuted where it can be, and what a run makes of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from test_prior_run import Heard, events_of, trials_of, tune

from safebo.errors import ModelAlarmError
from safebo.experiments.evidence.norms import NormOutcome, solve
from safebo.models.kernels import StationaryKernel
from safebo.models.norms import NormCheck, checked_norm, least_norm, noise_bounds
from safebo.runs.norm_events import norm_line
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study
from safebo.tuner import Tuner

KERNEL = StationaryKernel("matern32", torch.tensor([0.3, 0.4], dtype=torch.float64), 1.5)

STUDY = """\
name: slope
evaluator:
  name: test_prior_run:plant
  options: {repeatable: true}
parameters:
  - {name: p, unit: N, bounds: [0, 10], lengthscale: 0.35}
objective: {name: speed, unit: m/s, prior_mean: -1, prior_std: 1, noise_std: 0.02}
constraints:
  - {name: height, unit: m, prior_mean: 0, prior_std: 0.5, noise_std: 0.02}
seeds:
  - parameters: {p: 2}
tuner: {confidence: {schedule: fiedler2024, norm: 0.5, noise_bound: 0.001}, search: {domain: grid, grid_points: 41}}
trials: 5
"""


def _drawn(seed: int, n: int) -> tuple[torch.Tensor, np.ndarray, float]:
    """Inputs, values of a function of known norm there, and the norm."""
    rng = np.random.default_rng(seed)
    centres, weights = torch.tensor(rng.random((6, 2))), rng.standard_normal(6)
    X = torch.tensor(rng.random((n, 2)))
    norm = math.sqrt(weights @ KERNEL(centres, centres).numpy() @ weights)
    return X, KERNEL(X, centres).numpy() @ weights, norm


def test_the_least_norm_is_that_of_a_general_solver() -> None:
    X, f, norm = _drawn(0, 6)
    y = f + 0.05 * np.random.default_rng(1).standard_normal(6)
    reach, K = noise_bounds(0.05, 0.05, 6), KERNEL(X, X).numpy()
    found = minimize(
        lambda a: a @ K @ a,
        np.linalg.solve(K, y),
        jac=lambda a: 2 * K @ a,
        constraints=[
            {"type": "ineq", "fun": lambda a: y + reach - K @ a},
            {"type": "ineq", "fun": lambda a: K @ a - y + reach},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    least = least_norm(KERNEL, X, y, reach)
    assert least == pytest.approx(math.sqrt(found.fun), rel=1e-6)
    assert least < norm
    # Without noise it is the norm of the interpolant.
    exact = math.sqrt(f @ np.linalg.solve(K, f))
    assert least_norm(KERNEL, X, f, np.full(6, 1e-9)) == pytest.approx(exact, rel=1e-5)
    assert least_norm(KERNEL, X[:0], y[:0], reach[:0]) == 0.0


def test_the_noise_bounds_share_delta() -> None:
    reach = noise_bounds(0.1, 0.05, 20_000)
    assert (2.0 * np.exp(-(reach**2) / (2 * 0.1**2))).sum() == pytest.approx(0.05, rel=1e-3)


def test_a_right_norm_is_kept_and_a_third_of_it_refuted() -> None:
    right = third = 0
    for seed in range(40):
        X, f, norm = _drawn(seed, 25)
        y = f + 0.02 * np.random.default_rng(1000 + seed).standard_normal(25)
        right += checked_norm(KERNEL, X, y, 0.02, 0.05, norm).refuted
        third += checked_norm(KERNEL, X, y, 0.02, 0.05, norm / 3.0).refuted
    assert right == 0
    assert third == 40
    # Repeated inputs, and more measurements than are weighed.
    X, f, norm = _drawn(0, 3)
    again = checked_norm(KERNEL, X.repeat(5, 1), np.tile(f, 5), 0.02, 0.05, norm)
    assert not again.refuted


def test_a_check_in_numbers() -> None:
    check = NormCheck(0.9, 1.0)
    assert (check.ratio, check.near, check.refuted, check.enough) == (0.9, True, False, 1.0)
    assert NormCheck(2.0, 1.0).enough == 2.5


def test_drawn_functions_are_refuted_before_they_break_a_limit() -> None:
    """Two of the problems of `safebo.experiments.evidence.norms`."""
    assert solve(3, 1.0, 6, "safe_ucb").refuted is None
    outcome = solve(3, 1.0 / 3.0, 6, "safe_ucb")
    assert isinstance(outcome, NormOutcome)
    assert outcome.refuted is not None


def test_a_refuted_norm_is_said_once_and_shown(tmp_path: Path) -> None:
    heard = Heard()
    tune(tmp_path / "run", STUDY, progress=heard, trials=4)
    (event,) = events_of(tmp_path / "run", "norm-refuted")
    assert event.text in heard.notes
    assert "ALARM norm: " in event.text
    assert "certificates go on with the declared one" in event.text
    assert events_of(tmp_path / "run", "norm")[-1].data.keys() == {"speed", "height"}
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        line = norm_line(journal)
    assert line is not None
    assert line.startswith("norm: speed needs at least ")
    again = Heard()
    tune(tmp_path / "run", STUDY, resume=True, trials=5, progress=again)
    assert len(events_of(tmp_path / "run", "norm-refuted")) == 1
    # A norm that is large enough, and a schedule of none, say nothing of it.
    for text in (STUDY.replace("norm: 0.5", "norm: 50"), STUDY.replace("schedule: fiedler2024, ", "")):
        name = f"run{len(text)}"
        tune(tmp_path / name, text, trials=3)
        assert events_of(tmp_path / name, "norm-refuted") == []


def test_what_an_alarm_does(tmp_path: Path) -> None:
    """`caution` certifies with a larger norm, `pause` stops the run once and goes on so."""
    caution, pause = (STUDY + f"surrogate: {{on_alarm: {word}}}\n" for word in ("caution", "pause"))
    heard = Heard()
    tune(tmp_path / "caution", caution, progress=heard)
    assert any("a norm 1.25 times as large as needed takes its place" in note for note in heard.notes)
    with pytest.raises(ModelAlarmError, match=r"tuner.confidence.norm is refuted.*The run stops here"):
        tune(tmp_path / "pause", pause)
    while len(trials_of(tmp_path / "pause")) < 5:
        tune(tmp_path / "pause", pause, resume=True)
    ours, theirs = trials_of(tmp_path / "pause"), trials_of(tmp_path / "caution")
    assert [t["parameters"] for t, _, _ in ours] == [t["parameters"] for t, _, _ in theirs]
    tuner, plain = Tuner(parse_study(caution)), Tuner(parse_study(STUDY))
    for one in (tuner, plain):
        trial = one.ask()
        one.tell(trial, {"objective": -1.6, "margins": {"height": 0.8}})
    check = tuner.norms()["height"]
    assert check.refuted
    widths = []
    for one in (tuner, plain):
        bounds = one.certify({"p": 4.0}, "default").bounds["height"]
        widths.append(bounds.upper - bounds.mean)
    beta = [float(s._state.acquisition_context("default").beta[1]) for s in (tuner, plain)]
    assert float(beta[0] - beta[1]) == pytest.approx(check.enough - 0.5)
    assert widths[0] > widths[1]
