"""A walk that was saved and put back goes on as if nothing had been, whatever was tried in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.switches import switched_walk
from safebo.robots.evaluation.watching import ramped
from safebo.robots.quadruped.gains import Gains
from safebo.robots.simulation.rollout import Walk, WalkRecording
from safebo.robots.simulation.saved import SavedWalk

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


def test_margins_to_go_are_those_of_walks_that_switch() -> None:
    walker = evaluator(seconds=0.4)
    found = switched_walk(walker, SOFT, {}, 3, [FIRM, SOFT], ["tracking", "attitude"], every=50, horizon=9.0)
    assert found.tried.tolist() == [0, 50, 100, 150]
    assert len(found.states) == len(found.phase) == 200
    own = walker.walk(SOFT, {}, 3)
    np.testing.assert_array_equal(found.states, own.states[own.walk_start :])
    for name, values in found.own.items():
        # To switch to the gains that walk already changes nothing.
        assert [found.to_go[name][t, 1] for t in found.tried] == [values[t:].min() for t in found.tried]
        assert found.to_go[name][100, 0] != found.to_go[name][100, 1]


def test_switches_are_tried_a_little_beyond_the_walk_s_own_violation() -> None:
    walker = evaluator(seconds=0.4, limits={"tracking": 0.02})
    found = switched_walk(walker, SOFT, {}, 3, [FIRM], ["tracking"], every=10, horizon=0.1, beyond=0.03)
    own = found.own["tracking"]
    assert 0 < found.kept < 150
    assert own[found.kept] < 0.0 <= own[: found.kept].min()
    # Seen at the next tick of the grid, and then 15 ticks more.
    assert len(own) == -(-(found.kept + 1) // 10) * 10 + 15


def test_a_walk_of_an_unknown_controller_is_not_saved() -> None:
    walk = evaluator().begin({}, {}, 0)
    with pytest.raises(ValueError, match="object cannot be saved"):
        SavedWalk(walk.simulation, object())
