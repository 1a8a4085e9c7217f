"""The one-dimensional system of GoSafeOpt: what is known of it on paper."""

import numpy as np
import pytest
from present import present

from safebo.experiments.bench.studies import shipped_problem
from safebo.experiments.tasks.square_root import LIMIT, STEPS, SquareRootEvaluator
from safebo.types import Trial


def trial(k: float, seed: int = 0) -> Trial:
    return Trial(1, {"k": k}, {}, "default", "local", seed, False)


def true_margin(of: Trial) -> float:
    return present(SquareRootEvaluator().evaluate(of).true_margins)["state"]


class Watcher:
    """Switches to `k` above a state."""

    def __init__(self, above: float, k: float) -> None:
        self.above, self.backups = above, ({"k": k},)

    def check(self, state):
        return 0 if state[0] > self.above else -1


@pytest.mark.parametrize("k", [-6.0, -1.0, 0.5, 3.0, 5.0])
def test_it_settles_where_the_formula_says(k):
    measured = SquareRootEvaluator().evaluate(trial(k))
    rest = (1.01 - 0.2 * np.sqrt(abs(k))) ** 2
    assert present(measured.true_margins)["state"] == pytest.approx(0.81 - rest**2, abs=2e-3)
    assert measured.objective == pytest.approx(-STEPS * rest**2, rel=0.02)
    assert present(measured.states)[-1, 0] == pytest.approx(rest, abs=2e-3)


def test_gains_near_zero_are_unsafe_and_the_best_is_far_from_the_seeds():
    edge = ((1.01 - np.sqrt(LIMIT)) / 0.2) ** 2
    assert edge == pytest.approx(0.094, abs=1e-4)
    for sign in (-1.0, 1.0):
        inside = true_margin(trial(sign * (edge + 0.01)))
        outside = true_margin(trial(sign * (edge - 0.01)))
        assert inside > 0.0 > outside
    best = present(SquareRootEvaluator().evaluate(trial(-6.0)).objective)
    problem = shipped_problem("gosafeopt-toy")
    assert problem.optimum["default"] == pytest.approx(best, abs=0.1)
    assert best > present(SquareRootEvaluator().evaluate(trial(5.0)).objective) + 20.0


def test_noise_comes_from_the_trials_seed():
    first, again, other = (SquareRootEvaluator().evaluate(trial(2.0, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.states, again.states)
    assert first.objective == again.objective != other.objective


def test_a_monitor_that_switches_brings_it_back():
    assert true_margin(trial(0.0)) < 0.0
    watched = SquareRootEvaluator().evaluate(trial(0.0), Watcher(0.5, 3.0))
    assert watched.outcome == "backup"
    assert watched.objective is None
    assert present(watched.true_margins)["state"] > 0.0
    assert present(watched.backup_state)[0] > 0.5
    assert present(watched.states)[-1, 0] == pytest.approx((1.01 - 0.2 * np.sqrt(3.0)) ** 2, abs=2e-3)


def test_the_constants_of_its_boundary_condition_are_bounds():
    backup = shipped_problem("gosafeopt-toy").study.tuner.backup
    assert backup.rule == "lipschitz"
    states = np.linspace(0.0, 1.02, 2000)
    gains = np.linspace(0.0, 6.0, 50)[:, None]
    after = 1.01 * np.sqrt(states) - 0.2 * np.sqrt(gains * states)
    rest = (1.01 - 0.2 * np.sqrt(gains)) ** 2
    assert np.abs(after - states)[states <= rest].max() <= backup.inter_sample
    margins = 0.81 - np.maximum(states, rest) ** 2
    assert (np.abs(np.diff(margins, axis=1)) / np.diff(states)).max() <= backup.lipschitz


def test_options_are_refused():
    with pytest.raises(ValueError, match="gain"):
        SquareRootEvaluator({"gain": 1})
