"""A controller of somebody else's in simulation: found, checked, walked, and what it does wrong said."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from safebo.robots.cli import app
from safebo.robots.controllers.finding import find_controller, table_for
from safebo.robots.controllers.protocol import ControllerInputError, WalkingController
from safebo.robots.controllers.shipped import WholeBodyController
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.gains import GAINS
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import Trial

SHIPPED = "safebo.robots.controllers.shipped:WholeBodyController"
STAND = """
import numpy as np
from safebo.robots.quadruped.gains import Gain
from safebo.robots.quadruped.interface import BaseState, JointCommand

TICKS = []

class Stand:
    gains = [Gain("kp", "N m/rad", 60.0, 5.0, 200.0, "stiffness of every joint"),
             Gain("kd", "N m s/rad", 2.0, 0.1, 9.0)]

    def reset(self, robot, gains, gait, command):
        self.robot, self.given, self.gait, self.command = robot, gains, gait, command
        TICKS.clear()

    def step(self, sensors):
        TICKS.append((sensors, self.command(sensors.time)))
        row = np.full(12, self.given["kp"])
        return JointCommand(self.robot.home_joints, np.zeros(12), np.zeros(12), row, np.full(12, self.given["kd"]))

    def set_gains(self, gains):
        self.given = gains
"""


@pytest.fixture
def stand(tmp_path):
    """A file with a class that stands, and what makes another of it by replacing a text."""

    def made(old: str = "", new: str = "") -> str:
        assert old in STAND
        path = tmp_path / f"stand{len(list(tmp_path.iterdir()))}.py"
        path.write_text(STAND.replace(old, new) if old else STAND)
        return f"{path}:Stand"

    return made


def trial(**parameters: float) -> Trial:
    return Trial(0, parameters, {}, "trot", "manual", 3, False)


def options(controller: str, **more: object) -> dict[str, object]:
    return {"controller": controller, "seconds": 0.2, "gait": "stand", "velocity": [0.0, 0.0, 0.0], **more}


def test_the_chain_behind_the_protocol_walks_as_by_itself() -> None:
    walks: list[WalkRecording] = []
    for controller in ({}, {"controller": SHIPPED}):
        evaluator = LeggedEvaluator({"seconds": 0.6, "disturbance": "paper", **controller})
        walks.append(evaluator.walk({"joint.hip.kp": 50.0}, {}, 3))
    for name in ("joint_position", "desired_velocity", "commanded_torque", "estimated_velocity", "states"):
        # its time is counted from another zero, which rounds otherwise
        assert np.allclose(getattr(walks[0], name), getattr(walks[1], name), rtol=0.0, atol=1e-9), name
    assert np.array_equal(walks[0].planned_contact, walks[1].planned_contact)
    assert walks[0].base_position[-1, 0] > 0.05


def test_a_class_is_told_time_gait_command_and_all_gains(stand) -> None:
    name = stand()
    evaluator = LeggedEvaluator(options(name, gait="trot", velocity=[0.4, 0.0, 0.0], gains={"kd": 3.0}))
    record = evaluator.walk({"kp": 80.0}, {"gait.stride_duration": 0.7}, 0)
    ticks = evaluator._controller.step.__func__.__globals__["TICKS"]  # type: ignore[attr-defined]
    times = np.array([sensors.time for sensors, _ in ticks])
    assert np.allclose(times, record.time, rtol=0, atol=1e-12)
    assert (times == 0.0).sum() == 1
    assert [command[0] for _, command in ticks][149:151] == [0.0, 0.0]
    assert ticks[-1][1][0] == pytest.approx(0.4 * times[-1] / 0.5)
    assert evaluator._controller.gait.stride_duration == 0.7  # type: ignore[attr-defined]
    assert dict(evaluator._controller.given) == {"kp": 80.0, "kd": 3.0}  # type: ignore[attr-defined]
    assert not np.shares_memory(ticks[0][0].joint_position, ticks[1][0].joint_position)
    # it has no estimate of its own: one is made, near the truth
    assert np.abs(record.estimated_velocity - record.base_velocity).max() < 0.2
    assert abs(record.estimated_position[-1, 2] - record.base_position[-1, 2]) < 0.02
    # of a trot two feet are planned to swing
    assert record.planned_contact[160].sum() == 2


def test_its_gains_are_what_a_study_may_tune(stand) -> None:
    info = LeggedEvaluator(options(stand())).info()
    assert [(p.name, p.unit, p.default, p.lower, p.upper) for p in info.parameters] == [
        ("kp", "N m/rad", 60.0, 5.0, 200.0),
        ("kd", "N m s/rad", 2.0, 0.1, 9.0),
    ]
    assert info.monitored
    assert not LeggedEvaluator(options(stand("set_gains", "other"))).info().monitored
    with pytest.raises(
        ValueError, match=r"unknown gain 'kpp'; did you mean kp\? \(`safebo robots gains --con"
    ):
        LeggedEvaluator(options(stand(), gains={"kpp": 1.0}))
    with pytest.raises(ValueError, match=r"kd: 10 is outside 0.1 .. 9 N m s/rad"):
        LeggedEvaluator(options(stand(), gains={"kd": 10.0}))
    with pytest.raises(ValueError, match="sensors only"):
        LeggedEvaluator(options(stand(), estimator="truth"))
    listed = CliRunner().invoke(app, ["gains", "--controller", stand()])
    assert "stiffness of every joint" in listed.output
    assert table_for("whole-body").names == tuple(gain.name for gain in GAINS)
    assert isinstance(WholeBodyController(), WalkingController)


def test_a_monitor_has_it_switch_within_the_walk(stand) -> None:
    class Switch:
        backups = ({"kp": 150.0},)
        seen = 0

        def check(self, state):
            self.seen += 1
            return 0 if self.seen == 20 else -1

    evaluator = LeggedEvaluator(options(stand()))
    measured = evaluator.evaluate(trial(kp=50.0), Switch())
    assert measured.outcome == "backup"
    assert evaluator._controller.given["kp"] == 150.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "row = np",
            "row = 1 / (sensors.time < 0.1) + np",
            r"tick 200 \(0.100 s\): step raised ZeroDivisionError",
        ),
        (
            'np.full(12, self.given["kd"])',
            "np.zeros(11)",
            r"tick 0 \(-0.300 s\): kd has shape \(11,\), expected \(12,\)",
        ),
        ("return JointCommand(", "return (", "step gave a tuple without position"),
        ("np.zeros(12), np.zeros(12)", "'fast', np.zeros(12)", "velocity"),
        (
            "row = np",
            "row = np.log(0.1 - sensors.time) + np",
            r"tick 200 .*the command's kp of FL_hip_joint is (nan|-inf)",
        ),
        (
            "TICKS.clear()",
            "raise OSError('no licence')",
            r"reset raised OSError: no licence \(stand0.py:14 in reset\)",
        ),
        ("TICKS.append", "self.base = 3; TICKS.append", "its base is a int without position"),
        (
            "TICKS.append",
            "self.base = BaseState.at_rest(np.full(4, np.nan)); TICKS.append",
            "trunk orientation is nan",
        ),
    ],
)
def test_what_it_does_wrong_is_a_sentence_and_no_measurement_of_a_safe_walk(stand, old, new, words) -> None:
    with np.errstate(all="ignore"):
        measured = LeggedEvaluator(options(stand(old, new))).evaluate(trial())
    assert measured.objective is None
    assert re.search(words, measured.message), measured.message
    assert "stand0.py:Stand" in measured.message
    if "tick 200" in words:  # it walked: on a robot the joints would be damped, so these gains are unsafe
        assert measured.outcome == "aborted"
        assert measured.margins
        assert max(measured.margins.values()) < 0
    else:
        assert measured.outcome == "failed"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def step", "def stepp", "has no method step"),
        ("def reset", "def start", "has no method reset"),
        ("import numpy as np", "import numpyy as np", r"cannot be loaded: ModuleNotFoundError: .*numpyy"),
        ("class Stand", "def broken(:\nclass Stand", "SyntaxError"),
        ("gains = [", "others = [", "gains must be a list"),
        ("2.0, 0.1, 9.0)]", "2.0, 3.0, 9.0)]", "'kd' has a default, 2, outside 3 .. 9 N m s/rad"),
        ('Gain("kd"', 'Gain("kp"', "'kp' is there twice"),
        ("2.0, 0.1, 9.0)", '2.0, 0.1, float("inf"))', "upper that is no finite number"),
        ("class Stand", "import sys; sys.exit(3)\nclass Stand", r"sys.exit\(3\) was called"),
        ("class Stand", "class Standd", "has no 'Stand'; did you mean 'Standd'"),
        ("class Stand", "def Stand():\n    return 3\nclass Other", "has no method reset"),
        ("class Stand", "Stand = 3\nclass Other", "is no class but 3"),
        (
            "    def reset",
            "    def __init__(self, robot): ...\n    def reset",
            "missing 1 required positional argument",
        ),
    ],
)
def test_a_class_that_is_none_is_refused_with_what_is_missing(stand, old, new, words) -> None:
    with pytest.raises(ControllerInputError, match=words):
        LeggedEvaluator(options(stand(old, new)))


def test_what_is_not_there_is_said() -> None:
    for name, words in (
        ("whole-bdy", "did you mean 'whole-body'"),
        ("no_such_module:Walker", "No module named 'no_such_module'"),
        ("nowhere/walker.py:Walker", "nowhere/walker.py: no such file"),
    ):
        with pytest.raises(ControllerInputError, match=words):
            find_controller(name)
    with pytest.raises(ValueError, match="controller must be a name"):
        LeggedEvaluator({"controller": 3})


def test_a_change_of_gait_within_a_walk_is_refused_and_one_of_speed_is_not(stand) -> None:
    evaluator = LeggedEvaluator(options(stand()))
    speeds = [{"seconds": 0.1, "forward": 0.2}, {"seconds": 0.1}]
    evaluator.check_conditions({"velocity": speeds})
    assert not evaluator.walk({}, {}, 0, conditions={"velocity": speeds}).fell
    changed = {"velocity": [speeds[0], {"seconds": 0.1, "gait": "crawl"}]}
    for refused in (
        lambda: evaluator.check_conditions(changed),
        lambda: evaluator.walk({}, {}, 0, conditions=changed),
    ):
        with pytest.raises(ValueError, match=r"stand0.py:Stand is told one gait"):
            refused()
