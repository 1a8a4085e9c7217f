"""A walk that was saved and put back goes on as if nothing had been, whatever was tried in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.switches import LOOK_EVERY
from safebo.robots.evaluation.watching import RAMP_TICKS, ramped
from safebo.robots.quadruped.gains import Gains
from safebo.robots.simulation.rollout import Walk, WalkRecording
from safebo.robots.simulation.saved import SavedWalk
from safebo.types import SwitchPlan, Trial

SOFT = {"joint.thigh.kp": 20.0, "joint.calf.kp": 20.0}
FIRM = {"joint.thigh.kp": 90.0, "joint.calf.kp": 90.0}
HARD = {
    "seconds": 0.5,
    "disturbance": {
        "preset": "paper",
        "delay_jitter": 2,
        "friction_patches": [{"at": 0.02, "length": 0.3, "friction": 0.3}],
    },
}


def evaluator(**options: Any) -> LeggedEvaluator:
    return LeggedEvaluator({"seconds": 0.5, "disturbance": "paper", **options})


def begun(walker: LeggedEvaluator, rows: int) -> Walk:
    """A walk of soft gains after so many ticks."""
    walk = walker.begin(SOFT, {}, 3)
    for _ in range(rows):
        assert walk.tick()
    return walk


def parts(record: WalkRecording) -> dict[str, Any]:
    """All that is recorded, but not how long it took to compute."""
    return {k: v for k, v in vars(record).items() if k != "wall_seconds"}


def assert_equal(one: WalkRecording, other: WalkRecording) -> None:
    for name, values in parts(one).items():
        np.testing.assert_array_equal(values, parts(other)[name], err_msg=name)


@pytest.mark.parametrize("walker", [evaluator(), LeggedEvaluator(HARD)], ids=["paper", "random delays"])
@pytest.mark.parametrize("rows", [40, 231, 275])
def test_a_restored_walk_goes_on_bit_for_bit(walker: LeggedEvaluator, rows: int) -> None:
    undisturbed = walker.walk(SOFT, {}, 3)
    walk = begun(walker, rows)
    saved = SavedWalk(walk.simulation, walk.controller)
    at = walk.row
    walk.controller.set_gains(Gains(FIRM))
    for _ in range(60):
        walk.tick()
    for _ in range(2):
        saved.restore()
        walk.row = at
    assert_equal(walk.to_end(), undisturbed)


def test_a_switch_that_is_tried_is_the_switch_that_a_monitor_makes() -> None:
    class Once:
        backups = (FIRM,)

        def __init__(self) -> None:
            self.calls = 0

        def check(self, state: np.ndarray) -> int:
            self.calls += 1
            return 0 if self.calls == 61 else -1

    walker = evaluator()
    watched = walker.walk(SOFT, {}, 3, Once())
    start = watched.walk_start
    assert watched.backup_row == start + 60
    walk = begun(walker, start + 60)

    def shown(record: WalkRecording) -> np.ndarray:
        return record.joint_position[record.walk_start :].copy()

    choices = [walker.full_gains(FIRM), [walker.full_gains(g) for g in ramped(walker.full_gains(SOFT), FIRM)]]
    at_once, slowly = walk.switched(choices, 100, shown)
    np.testing.assert_array_equal(at_once, watched.joint_position[start + 60 : start + 160])
    assert not np.array_equal(slowly, at_once)
    np.testing.assert_array_equal(slowly[:1], at_once[:1])
    assert_equal(walk.to_end(), walker.walk(SOFT, {}, 3))


def test_ramped_gains_go_evenly_to_the_backup_and_stay() -> None:
    steps = ramped({"a": 0.0, "b": 1.0, "c": 5.0}, {"a": 10.0, "b": 1.0}, 5)
    assert [step["a"] for step in steps] == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0])
    assert all(step["b"] == pytest.approx(1.0) and "c" not in step for step in steps)
    assert steps[-1] == {"a": 10.0, "b": 1.0}


def trial(seed: int = 3) -> Trial:
    return Trial(1, SOFT, {}, "default", "global", seed, certified=False)


def test_margins_to_go_are_those_of_walks_that_switch() -> None:
    walker = evaluator(seconds=0.4)
    plan = SwitchPlan((FIRM, SOFT), ("tracking", "attitude"), horizon=9.0)
    unwatched = walker.try_switches(trial(), plan)
    assert len(unwatched.states) == len(unwatched.phase) == 200
    assert (unwatched.period, unwatched.ramp, unwatched.fell) == (0.002, RAMP_TICKS, False)
    own = walker.walk(SOFT, {}, 3)
    np.testing.assert_array_equal(unwatched.states, own.states[own.walk_start :])
    ticks = [0, 50, 50, 100, 150]
    found = walker.try_switches(trial(), replace(plan, tried=tuple(zip(ticks, [1, 1, 0, 1, 1], strict=True))))
    # Nothing is left to try after the last one.
    np.testing.assert_array_equal(found.states, unwatched.states[:150])
    for name, values in unwatched.margins.items():
        # To switch to the gains that walk already changes nothing.
        kept = [values[t:].min() for t in ticks]
        assert [found.to_go[name][place] for place in (0, 1, 3, 4)] == [kept[place] for place in (0, 1, 3, 4)]
        assert found.to_go[name][2] != kept[2]


def test_an_unwatched_walk_ends_soon_after_it_broke_a_margin_that_counts() -> None:
    walker = evaluator(seconds=0.4, limits={"tracking": 0.02})
    found = walker.try_switches(trial(), SwitchPlan((FIRM,), ("tracking",)))
    own = found.margins["tracking"]
    kept = int(np.flatnonzero(own < 0.0)[0])
    assert 0 < kept < 150
    assert kept < len(own) <= kept + LOOK_EVERY
    assert walker.info().tries_switches


def test_a_walk_of_an_unknown_controller_is_not_saved() -> None:
    walk = evaluator().begin({}, {}, 0)
    with pytest.raises(ValueError, match="object cannot be saved"):
        SavedWalk(walk.simulation, object())
