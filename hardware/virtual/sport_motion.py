"""What a virtual Go2's motion service does with the joints: the calls of `sport` that it answers, it does.

It damps, stands up into locked joints, keeps a stiffer stand, walks at a commanded speed, and lies down. A walk lasts
for `MOVE_HOLDS_S` after the newest Move, as on a physical robot, and ends in a balanced stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum

import numpy as np

from safebo.hardware.guardian.motion import Curve, Poses, damped
from safebo.hardware.virtual.walking import WalkingLoader
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand, SensorReading
from safebo.types import FloatArray

MOVE_HOLDS_S = 1.0
CALM_S = 0.5  # of stepping on the spot, a stride, before it stands again
UPRIGHT_RAD = 1.0  # of roll or pitch, beyond which it lies on its side or back
TROT = 1


class SportMode(Enum):
    """`mode` of `rt/sportmodestate`, as the vendor numbers them."""

    BALANCE_STAND = 1
    LOCOMOTION = 3
    LIE_DOWN = 5
    JOINT_LOCK = 6
    DAMPING = 7
    RECOVERY_STAND = 8


STANDING = frozenset({SportMode.BALANCE_STAND, SportMode.JOINT_LOCK, SportMode.LOCOMOTION})


class SportMotion:
    """The motion of one robot while its motion service is in charge.

    Args:
        robot: which one.
        poses: its standing and folded poses.
        background: whether walking is loaded beside the robot's clock (`safebo.hardware.virtual.walking`).
        say: is told when it can walk.

    Attributes:
        mode: what it does.
    """

    def __init__(
        self,
        robot: RobotModel,
        poses: Poses,
        background: bool = False,
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.mode = SportMode.DAMPING
        self._poses = poses
        self._loader = WalkingLoader(robot, background, say)
        self._curve: Curve | None = None
        self._then = SportMode.JOINT_LOCK
        self._rising = False
        self._speed = np.zeros(3)
        self._moved = -math.inf
        self._calm = -math.inf

    @property
    def walks(self) -> bool:
        """Whether it steps now."""
        return self.mode is SportMode.LOCOMOTION

    @property
    def gait_type(self) -> int:
        """As the vendor numbers it: 0 none, 1 trot."""
        return TROT if self.walks else 0

    @property
    def swing_height(self) -> float:
        """How high its feet are lifted now, m."""
        controller = self._loader.controller
        return controller.swing_height if self.walks and controller is not None else 0.0

    def able(self, name: str, roll: float, pitch: float) -> bool:
        """Whether a call can be done now: nothing gets up from side or back, and only a standing robot walks."""
        if (
            name in ("StandUp", "BalanceStand", "RecoveryStand", "Move")
            and max(abs(roll), abs(pitch)) > UPRIGHT_RAD
        ):
            return False
        return name != "Move" or (self.mode in STANDING and not self._rising)

    def ask(self, name: str, speed: tuple[float, float, float], time: float, here: FloatArray) -> None:
        """Begin to do what a call asks for.

        Args:
            name: of the call, one that it is `able` to do.
            speed: of Move: forward, leftward, m/s, and yaw rate, rad/s.
            time: of the robot, s.
            here: joint angles, rad, 12.
        """
        if name == "Damp":
            self._enter(SportMode.DAMPING, None)
        elif name == "StandDown":
            self._enter(SportMode.LIE_DOWN, self._poses.sink(time, here))
        elif name == "StopMove":
            self._speed[:] = 0.0
        elif name == "Move":
            self._loader.want()
            self._speed[:], self._moved = speed, time
        else:
            self._loader.want()
            self._then = SportMode.JOINT_LOCK if name == "StandUp" else SportMode.BALANCE_STAND
            if self.mode in STANDING and not self._rising:
                self._enter(self._then, self._poses.stand(time, here))
            elif not self._rising:
                recovers = name == "RecoveryStand"
                mode = SportMode.RECOVERY_STAND if recovers else self._then
                self._enter(mode, self._poses.rise(time, here), rising=True)

    def release(self) -> None:
        """Let go; whoever takes the joints again begins damped."""
        self._enter(SportMode.DAMPING, None)

    def close(self) -> None:
        """Load nothing more."""
        self._loader.close()

    def command(self, time: float, here: FloatArray, reading: SensorReading, fallen: bool) -> JointCommand:
        """What the joints are told in this tick.

        Args:
            time: of the robot, s.
            here: joint angles, rad, 12.
            reading: of its sensors.
            fallen: whether it lies on its side or back: then it damps.
        """
        if fallen and self.mode is not SportMode.DAMPING:
            self._enter(SportMode.DAMPING, None)
        if self.walks:
            return self._walk(time, here, reading)
        if self.mode in STANDING and not self._rising and self._asked(time) and self._begin(time, reading):
            return self._walk(time, here, reading)
        curve = self._curve
        if curve is None:
            return damped(here)
        if curve.over(time) and self._rising:
            if self._then is SportMode.BALANCE_STAND:
                curve = self._poses.stand(time, here)
            self._enter(self._then, curve)
        if curve.over(time) and self.mode is SportMode.LIE_DOWN:
            return damped(here)
        return curve.command(time)

    def _asked(self, time: float) -> bool:
        """Whether somebody wants it to move."""
        return bool(self._speed.any()) and time - self._moved < MOVE_HOLDS_S

    def _begin(self, time: float, reading: SensorReading) -> bool:
        self._loader.want()
        controller = self._loader.controller
        if controller is None:
            return False
        controller.begin(reading)
        self._enter(SportMode.LOCOMOTION, None)
        self._calm = time
        return True

    def _walk(self, time: float, here: FloatArray, reading: SensorReading) -> JointCommand:
        controller = self._loader.controller
        assert controller is not None
        controller.want(self._speed if self._asked(time) else np.zeros(3))
        if not controller.at_rest:
            self._calm = time
        if time - self._calm > CALM_S:
            self._enter(SportMode.BALANCE_STAND, self._poses.stand(time, here))
            assert self._curve is not None
            return self._curve.command(time)
        return controller.step(reading)

    def _enter(self, mode: SportMode, curve: Curve | None, rising: bool = False) -> None:
        self.mode, self._curve, self._rising = mode, curve, rising
        if mode is not SportMode.LOCOMOTION:
            self._speed[:] = 0.0
