"""Getting up and lying down as a task: what is measured is what happened, and the seed is the guardian's own motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebo.errors import EvaluatorOptionError
from safebo.experiments import studies
from safebo.hardware.guardian.motion import RISE, SINK, MotionGains, Poses
from safebo.hardware.recovery.evaluator import RecoveryEvaluator
from safebo.hardware.recovery.motion_run import MotionRecord, run_motion
from safebo.hardware.virtual.plant import PERIOD
from safebo.robots.descriptions.model import load_robot
from safebo.study.reading import load_study
from safebo.types import Measurement, Trial

SEED = {"kp": RISE.kp, "kd": RISE.kd, "fold_time": RISE.fold, "move_time": RISE.move}


def measured(options: dict[str, Any], **changes: float) -> Measurement:
    trial = Trial(1, SEED | changes, {}, "default", "seed", 1, True)
    return RecoveryEvaluator(options).evaluate(trial)


@pytest.mark.parametrize("robot", ["go1", "go2"])
def test_the_guardians_own_motion_is_a_safe_seed(robot: str) -> None:
    up = measured({"robot": robot})
    assert min(up.margins.values()) > 0, up.margins
    assert up.objective is not None
    assert -(RISE.fold + RISE.move) < up.objective < -RISE.fold
    assert not up.fell
    down = measured({"robot": robot, "motion": "lie_down"}, move_time=SINK.move)
    assert min(down.margins.values()) > 0, down.margins


def test_what_is_too_quick_or_too_soft_is_unsafe() -> None:
    quick = measured({}, fold_time=0.2, move_time=0.15).margins
    assert quick["torque"] < 0
    assert quick["sinking"] < 0
    soft = measured({}, kp=20.0).margins
    assert soft["reached"] < 0
    assert soft["torque"] > 0


def test_the_torque_that_holds_a_robot_up_is_its_weight() -> None:
    """A slow rise ends in statics: joint torques balance the feet's forces, by another engine's Jacobians."""
    robot = load_robot("go2")
    record = run_motion(robot, "stand_up", MotionGains(120.0, 5.0, 2.0))
    model = robot.load_mujoco()
    data = mujoco.MjData(model)
    data.qpos[2], data.qpos[3], data.qpos[7:19] = 1.0, 1.0, Poses(robot).standing
    mujoco.mj_forward(model, data)
    weight = 9.81 * float(model.body_mass.sum())
    share = []
    for leg in robot.legs:
        jacobian = np.zeros((3, model.nv))
        calf = model.body(f"{leg}_calf").id
        foot = robot.foot_positions(Poses(robot).standing)[robot.legs.index(leg)] + data.qpos[:3]
        mujoco.mj_jac(model, data, jacobian, None, foot, calf)
        share.append(np.abs(jacobian[2, 6:]) * weight / 4)
    expected = float((np.sum(share, axis=0) / robot.torque_limit).max())
    assert record.torque[-1] == pytest.approx(expected, rel=0.35)  # the front carries less than the rear
    assert record.height[-1] == pytest.approx(record.standing, abs=0.015)


@given(st.lists(st.floats(0.05, 0.3), min_size=2, max_size=50))
def test_the_time_is_when_it_stands_or_lies_to_stay(heights: list[float]) -> None:
    height = np.array(heights)
    nothing = np.zeros(len(height))
    record = MotionRecord(height, nothing, nothing, nothing, lying=0.08, standing=0.27)
    for motion in ("stand_up", "lie_down"):
        last = [i for i, there in enumerate(record.reached(motion)) if not there]
        assert record.time(motion) == pytest.approx((last[-1] + 1) * PERIOD if last else 0.0)
        assert (record.beyond(motion) >= 0) == bool(record.reached(motion)[-1])


def test_a_quadruped_of_ones_own_gets_up_or_is_refused_in_words(tmp_path: Path) -> None:
    own = tmp_path / "mine.xml"
    own.write_text(load_robot("go1").mjcf.replace("FL_calf", "LF_shank").replace("FL_thigh", "LF_upper"))
    up = measured({"robot": str(own)}, fold_time=0.4, move_time=0.5)
    assert up.outcome == "completed", up.message
    assert up.margins["reached"] > 0


def test_a_robot_that_does_not_stand_cannot_lie_down() -> None:
    down = measured({"motion": "lie_down", "disturbance": "{payload_mass: 25}"})
    assert (down.outcome, "before it lies down" in down.message) == ("failed", True), down


@pytest.mark.parametrize(
    ("options", "words", "key"),
    [
        ({"motoin": "stand_up"}, "did you mean 'motion'", "motoin"),
        ({"motion": "sit"}, "must be one of stand_up, lie_down, not 'sit'", "motion"),
        ({"tilt_limit": 0}, "must be a number > 0, not 0", "tilt_limit"),
        ({"robot": "go3"}, "go3", "robot"),
        ({"disturbance": "pepar"}, "did you mean paper", "disturbance"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], words: str, key: str) -> None:
    with pytest.raises(EvaluatorOptionError, match=words) as refused:
        RecoveryEvaluator(options)
    assert refused.value.key == f"evaluator.options.{key}"


def test_the_shipped_study_begins_with_the_guardians_gains() -> None:
    study = load_study(str(studies.go2_stand_up)).study
    assert dict(study.seeds[0].parameters) == SEED
    assert study.evaluator.options == {
        "robot": "go2",
        "motion": "stand_up",
        "torque_limit": 0.5,
        "tilt_limit": 0.15,
        "sinking_limit": 0.4,
    }
