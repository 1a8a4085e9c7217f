"""The delay margin: how many more ticks of torque delay gains bear, and the condition that adds them."""

import math

import pytest

from safebo.robots.evaluation.conditions import walk_conditions
from safebo.robots.evaluation.delay_margin import delay_margin
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.simulation.disturbance import Disturbance
from safebo.types import Trial

BASE = Disturbance(control_delay=1)
TROT = {"gait.duty_factor": 0.5, "gait.stride_duration": 0.5}
OPTIONS = {"robot": "go1", "velocity": [0.5, 0.0, 0.0], "seconds": 1.2, "noise_free": True}


def gains(kd: float) -> dict[str, float]:
    """Joint gains whose stiffness is that of `go1-robust`, with one damping everywhere."""
    stiffness = {"hip": 65.0, "thigh": 125.0, "calf": 60.0}
    return {
        **{f"joint.{kind}.kp": kp for kind, kp in stiffness.items()},
        **{f"joint.{kind}.kd": kd for kind in stiffness},
    }


@pytest.fixture(scope="module")
def evaluator() -> LeggedEvaluator:
    return LeggedEvaluator({**OPTIONS, "disturbance": "paper"})


def test_it_falls_as_the_damping_rises(evaluator: LeggedEvaluator) -> None:
    found = {kd: delay_margin(evaluator, gains(kd), TROT, ["tracking"], most=2) for kd in (1.5, 3.0, 6.0)}
    assert {kd: each.ticks for kd, each in found.items()} == {1.5: 2, 3.0: 1, 6.0: 0}
    assert [each.settled for each in found.values()] == [False, True, True]
    assert [len(each.walks) for each in found.values()] == [3, 3, 2]
    assert "tracking" in found[3.0].broke
    # The same by hand: the plant itself is later, and no condition is asked for.
    late = LeggedEvaluator({**OPTIONS, "disturbance": {"preset": "paper", "control_delay": 2}})
    shown = {kd: late.evaluate(Trial(1, gains(kd), TROT, "", "manual", 0, False)) for kd in found}
    assert {kd: m.margins["tracking"] > 0 for kd, m in shown.items()} == {1.5: True, 3.0: True, 6.0: False}
    assert all(m.margins == found[kd].walks[1].margins for kd, m in shown.items())


def test_a_margin_that_does_not_exist_is_refused(evaluator: LeggedEvaluator) -> None:
    with pytest.raises(ValueError, match=r"no margin 'tilt': the evaluator has tracking, attitude"):
        delay_margin(evaluator, gains(1.5), TROT, ["tilt"])


@pytest.mark.parametrize(
    ("conditions", "ticks"),
    [
        ({"extra_delay": 2}, 3),
        ({"extra_delay": "4 ms"}, 3),
        ({"extra_delay": 0}, 1),
        ({"extra_delay": 1, "control_delay": 4}, 5),
        ({"extra_delay": 1, "disturbance": {"control_delay": 3}}, 4),
        ({}, 1),
    ],
)
def test_extra_delay_comes_on_top_of_the_plants_own(conditions: dict[str, object], ticks: int) -> None:
    world = walk_conditions(conditions, {}, BASE, (0.5, 0.0, 0.0), 5.0)
    assert world.disturbance.control_delay == ticks


@pytest.mark.parametrize("value", [-1, 1.5, True, math.nan, math.inf, "3 ms", "-2 ms", "soon", None, [1]])
def test_a_delay_that_is_no_whole_number_of_ticks_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="extra_delay"):
        walk_conditions({"extra_delay": value}, {}, BASE, (0.5, 0.0, 0.0), 5.0)
