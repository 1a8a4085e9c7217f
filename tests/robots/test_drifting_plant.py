"""A plant that changes with the time of its operation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.drift import Drift
from safebo.robots.simulation.plant import Simulation
from safebo.types import Trial

MINUTE = 60.0
SHORT = {"seconds": 0.8, "noise_free": True}
DRIFT = {
    "torque": "-1 %/min",
    "damping": "0.01 N m s/rad/min",
    "steps": [{"at": "30 min", "torque": "-10 %"}],
}
FIRM = {
    f"joint.{kind}.{gain}": value
    for kind in ("hip", "thigh", "calf")
    for gain, value in (("kp", 100.0), ("kd", 5.0))
}


def trial(minute: float | None) -> Trial:
    time = None if minute is None else minute * MINUTE
    return Trial(1, FIRM, {}, "trot", "manual", 0, False, operating_time=time)


def test_motors_lose_a_share_of_what_is_left_and_steps_come_at_their_time() -> None:
    drift = Drift.from_dict(DRIFT)
    gap = replace(Disturbance(), torque_factor=(0.5, 1.0, 0.5, 1.0), added_damping=0.1)
    assert drift.factor(10 * MINUTE) == pytest.approx(math.exp(-0.1))
    assert drift.factor(30 * MINUTE) == pytest.approx(0.9 * math.exp(-0.3))
    assert drift.factor(30 * MINUTE - 1e-6) == pytest.approx(math.exp(-0.3))
    now = drift.at(gap, 10 * MINUTE)
    assert now.torque_factor == pytest.approx(tuple(math.exp(-0.1) * f for f in gap.torque_factor))
    assert now.added_damping == pytest.approx(0.2)
    slow = Drift.from_dict({"torque": "-3.6 %/h", "damping": "0.6 N m s/rad/h"})
    assert (slow.torque, slow.damping) == pytest.approx((-1e-5, 0.6 / 3600))
    assert not Drift.from_dict({})


def test_damping_is_added_to_that_of_the_joints() -> None:
    robot = load_robot("go1")
    index = robot.mujoco_index(robot.load_mujoco()).dof
    before = Simulation(robot).model.dof_damping[index]
    after = Simulation(robot, Disturbance(added_damping=0.3)).model.dof_damping[index]
    assert after - before == pytest.approx(np.full(12, 0.3))


def test_a_trial_walks_on_the_plant_of_its_time_the_same_every_time() -> None:
    still, drifting = LeggedEvaluator(SHORT), LeggedEvaluator(SHORT | {"drift": DRIFT})
    fresh, hour, again = (drifting.evaluate(trial(m)) for m in (0, 60, 60))
    assert fresh.margins == still.evaluate(trial(None)).margins
    assert hour.margins["tracking"] < fresh.margins["tracking"]
    assert hour.margins == again.margins
    with pytest.raises(ValueError, match="trial 1 has no operating time"):
        drifting.evaluate(trial(None))


@pytest.mark.parametrize(
    ("drift", "sentence"),
    [
        (3, "must be a mapping with torque, damping and steps, got 3"),
        ({"torgue": 1}, "must be a mapping with torque, damping and steps"),
        ({"torque": "-1 %"}, "torque must be a number and one of the units %/s, %/min, %/h"),
        ({"damping": "-1 N m s/rad/h"}, "damping must be at least 0"),
        ({"damping": 0.1}, "damping must be a number and one of"),
        ({"steps": "soon"}, "steps must be a list"),
        ({"steps": [{"at": "1 min"}]}, r"steps\[0\] must be"),
        ({"steps": [{"at": "1 min", "torque": "-100 %"}]}, r"steps\[0\].torque must be above -100 %"),
    ],
)
def test_a_drift_that_cannot_be_is_refused_in_a_sentence(drift: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LeggedEvaluator({"drift": drift})
