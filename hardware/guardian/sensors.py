"""Whether the robot's sensors can be believed: against themselves, against each other, against what was commanded.

A real inertial unit and real encoders have noise in their last bits, and what one of them says follows from what
others do. What is looked at is in `safebo.robots.quadruped.sensor_memory.FOUND`; from where on it is trouble, in the
table of limits.
"""

from __future__ import annotations

import numpy as np

from safebo.hardware.constants import (
    GRAVITY_FILTER_S,
    MOVED_RAD,
    MOVED_TORQUE,
    QUIET_RATE,
    QUIET_SPEED,
    QUIET_TIME_S,
    REACH_RAD,
    SENSOR_GAP_S,
    STANCE_FORCE,
    STAND_FILTER_S,
    STRIDE_FILTER_S,
)
from safebo.hardware.guardian.observation import RobotObservation
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand, SensorReading
from safebo.robots.quadruped.sensor_kernel import look
from safebo.robots.quadruped.sensor_memory import BLAMED, SENSORS, SensorNumbers
from safebo.types import FloatArray

_UNITS = ("attitude", "gyroscope", "accelerometer")
_LEGS = frozenset({"feet_apart", "stride_height"})
_WRAP = 1 << 32
_AT = {name: place for place, name in enumerate(BLAMED)}


class SensorWatch:
    """Holds every new state of a robot against those before it.

    Args:
        robot: its model.

    Attributes:
        joints: their names, in the order of states.
    """

    def __init__(self, robot: RobotModel) -> None:
        record = np.zeros(1, SENSORS)
        record["numbers"] = SensorNumbers(
            SENSOR_GAP_S,
            MOVED_RAD,
            MOVED_TORQUE,
            REACH_RAD,
            QUIET_RATE,
            QUIET_SPEED,
            QUIET_TIME_S,
            GRAVITY_FILTER_S,
            STAND_FILTER_S,
            STRIDE_FILTER_S,
            STANCE_FORCE,
        )
        self._memory = record.view(np.uint8)
        self._legs = np.ascontiguousarray(robot.chains, dtype=float)
        self.joints = tuple(name.removesuffix("_joint") for name in robot.joint_names)
        self._feet = robot.legs
        self._tick, self._restarts = 0, 0
        self._warm(robot)

    def _part(self, name: str) -> FloatArray:
        """A part of the memory: looked up anew, so that a copy of this object has its own."""
        part: FloatArray = self._memory.view(SENSORS)[0][name]
        return part

    @property
    def found(self) -> FloatArray:
        """What the newest state shows, by `FOUND`; nan where nothing is known."""
        return self._part("found")

    def _warm(self, robot: RobotModel) -> None:
        """Load what is compiled before a robot waits for it."""
        reading = SensorReading(joint_position=robot.home_joints.copy())
        seen, command = RobotObservation(0, reading), JointCommand(position=robot.home_joints.copy())
        for tick in (0, 2):
            seen.tick = tick
            self.take(seen, command, True, True)
        self.forget()

    def take(self, seen: RobotObservation, command: JointCommand, standing: bool, walking: bool) -> None:
        """Look at a new state.

        Args:
            seen: the state, plausible by itself.
            command: the last one.
            standing: the robot stands where it got up, at rest.
            walking: its controller runs.
        """
        step = 1e-3 * ((seen.tick - self._tick) % _WRAP)
        if seen.restarts != self._restarts or step > 60.0:
            step = 0.0
        self._tick, self._restarts = seen.tick, seen.restarts
        reading = seen.reading
        # copied: a link's arrays may be parts of a packet, and for another layout `look` would be compiled in a tick
        measured = (
            reading.joint_position,
            reading.joint_velocity,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
            seen.torque,
            command.position,
            command.torque,
            command.kp,
        )
        arrays = [np.array(values, dtype=float) for values in measured]
        look(self._memory, self._legs, step, *arrays, standing, walking)

    def forget(self) -> None:
        """The next state is the first one."""
        self._part("known")[:] = 0.0
        self.found[:] = np.nan

    def blamed(self, quantity: str) -> str:
        """Which sensor, joint or leg it is; empty where that cannot be known."""
        if quantity not in _AT:
            return ""
        number = int(self._part("blame")[_AT[quantity]])
        if quantity == "imu_frozen":
            return _UNITS[number]
        return self._feet[number] if quantity in _LEGS else self.joints[number]
