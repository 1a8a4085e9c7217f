"""One walk of a controller of the protocol, as the loop of a walk drives it: all that it gives is checked.

What it does wrong ends the walk as it would on a robot, where the guardian damps the joints in the same tick: the trial
counts as unsafe, or as failed when the robot had not begun to walk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from safebo.errors import place_of, short_text
from safebo.robots.controllers.protocol import Command, ControllerFault, WalkingController
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.controller import SETTLE
from safebo.robots.quadruped.estimator import KalmanEstimator
from safebo.robots.quadruped.gait import Gait, stance_phases
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.types import BoolArray, FloatArray

COMMAND_PARTS = ("position", "velocity", "torque", "kp", "kd")
BASE_PARTS = (("position", 3), ("orientation", 4), ("linear_velocity", 3), ("angular_velocity", 3))


class ProtocolWalk:
    """A controller with what it walks: the object that `safebo.robots.simulation.rollout` drives.

    Args:
        controller: of the protocol.
        name: how the study calls it, for messages.
        robot: the controller's model.
        gains: all of its gains, by name.
        gait: contact pattern.
        command: speeds by the time since the walk began.
        settle: seconds of standing before the gait starts.
        period: s between two ticks.

    Attributes after `step`:
        base: the controller's estimate of the trunk, or one made for it.
        planned_contact: of the gait, `4`.
        velocity_command: what it is told: forward, leftward (m/s) and yaw rate (rad/s), `3`.
    """

    def __init__(
        self,
        controller: WalkingController,
        name: str,
        robot: RobotModel,
        gains: Mapping[str, float],
        gait: Gait,
        command: Command,
        settle: float = SETTLE,
        period: float = 0.002,
    ) -> None:
        self.robot, self.settle = robot, float(settle)
        self._controller, self._name = controller, name
        self._gains, self._gait, self._call = dict(gains), gait, command
        self._period, self._timing = period, gait.timing(robot.legs)
        self._phases = np.zeros(4)
        self._estimator: KalmanEstimator | None = None
        self._begun = False
        self._tick, self._start = 0, 0.0
        self._command = JointCommand()
        self.base = BaseState.at_rest()
        self.planned_contact: BoolArray = np.ones(4, dtype=np.bool_)
        self.velocity_command: FloatArray = np.zeros(3)

    def reset(self, reading: SensorReading, truth: BaseState | None = None) -> None:
        """Begin again, standing; `truth` is not for a controller of the protocol.

        Raises:
            ControllerFault: its `reset` failed.
        """
        self._begun, self._tick, self._start = False, 0, float(reading.time)
        self._estimator = None
        try:
            self._controller.reset(self.robot, dict(self._gains), self._gait, self._call)
        except ControllerFault:
            raise
        except Exception as error:
            raise ControllerFault(
                f"controller {self._name}: reset raised {short_text(error)}{place_of(error)}"
            ) from error

    def step(self, reading: SensorReading, truth: BaseState | None = None) -> JointCommand:
        """One control tick; the command is a copy of the controller's.

        Raises:
            ControllerFault: it raised, or what it gave is no command.
            SensorError: it has no estimate of the trunk, and none can be made of these samples.
        """
        time = float(reading.time) - self._start - self.settle
        if abs(time) < 1e-9:  # rounding delays no walk by a tick
            time = 0.0
        own = SensorReading(
            time,
            *(
                part.copy()
                for part in (
                    reading.joint_position,
                    reading.joint_velocity,
                    reading.orientation,
                    reading.angular_velocity,
                    reading.linear_acceleration,
                )
            ),
        )
        try:
            given: Any = self._controller.step(own)
            base: Any = getattr(self._controller, "base", None)
        except ControllerFault:
            raise
        except Exception as error:
            raise self._fault(time, f"step raised {short_text(error)}{place_of(error)}") from error
        self._take(time, given)
        stance_phases(time if time >= 0.0 else -1.0, self._timing, self._phases)
        self.planned_contact = self._phases >= 0.0
        self.velocity_command[:] = self._call(time) if time >= 0.0 else 0.0
        self.base = self._estimated(reading) if base is None else self._estimate(time, base)
        self._tick += 1
        return self._command

    def set_gains(self, gains: Mapping[str, float]) -> None:
        """Hand other gains to the controller within a walk.

        Raises:
            ControllerFault: it cannot take them.
        """
        self._gains = dict(gains)
        try:
            self._controller.set_gains(dict(gains))  # type: ignore[attr-defined]
        except ControllerFault:
            raise
        except Exception as error:
            raise ControllerFault(
                f"controller {self._name}: set_gains raised {short_text(error)}{place_of(error)}"
            ) from error

    def regained(self) -> JointCommand:
        """The command of this tick, which the gains before a switch have made; those after it make the next."""
        return self._command

    def _take(self, time: float, given: Any) -> None:
        """Copy a command, if it is one."""
        for part in COMMAND_PARTS:
            getattr(self._command, part)[:] = self._numbers(
                time, given, f"step gave a {type(given).__name__}", part, 12
            )
        wrong = not_finite(self._command, None, self.robot.joint_names)
        if wrong:
            raise self._fault(time, f"the command's {wrong}")

    def _estimate(self, time: float, given: Any) -> BaseState:
        """The controller's own estimate, if it is one."""
        what = f"its base is a {type(given).__name__}"
        base = BaseState(*(self._numbers(time, given, what, part, size).copy() for part, size in BASE_PARTS))
        wrong = not_finite(None, base, self.robot.joint_names)
        if wrong:
            raise self._fault(time, f"the estimate's {wrong}")
        return base

    def _estimated(self, reading: SensorReading) -> BaseState:
        if self._estimator is None:
            self._estimator = KalmanEstimator(self.robot, self._period)
            return self._estimator.reset(reading)
        return self._estimator.update(reading, self._phases)

    def _numbers(self, time: float, given: Any, what: str, part: str, size: int) -> FloatArray:
        """Numbers of one part of what the controller gave, `size` of them."""
        try:
            values = np.asarray(getattr(given, part), dtype=np.float64)
        except AttributeError:
            raise self._fault(time, f"{what} without {part}") from None
        except (TypeError, ValueError) as error:
            raise self._fault(time, f"{part} is no array of numbers: {short_text(error)}") from None
        if values.shape != (size,):
            raise self._fault(time, f"{part} has shape {values.shape}, expected ({size},)")
        return values

    def _fault(self, time: float, what: str) -> ControllerFault:
        return ControllerFault(f"controller {self._name}: tick {self._tick} ({time:.3f} s): {what}")


def not_finite(command: JointCommand | None, base: BaseState | None, joint_names: Sequence[str]) -> str:
    """The first number of a command or of an estimate that is not finite; empty when all are finite."""
    parts: dict[str, FloatArray] = {}
    if command is not None:
        parts.update({part: getattr(command, part) for part in COMMAND_PARTS})
    if base is not None:
        parts["trunk position"], parts["trunk orientation"] = base.position, base.orientation
        parts["trunk velocity"], parts["trunk rate"] = base.linear_velocity, base.angular_velocity
    for name, values in parts.items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            where = f" of {joint_names[wrong[0]]}" if len(values) == 12 else ""
            return f"{name}{where} is {values[wrong[0]]}"
    return ""
