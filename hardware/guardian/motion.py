"""Motions that need no locomotion controller: damping, standing up, standing, standing down.

All are joint-space curves from where the robot is to a known pose, so the last two also work blind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.hardware.constants import FOLD_TIME_S, POSE_MARGIN_RAD, RISE_TIME_S, SINK_TIME_S, STAND_TIME_S
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand
from safebo.types import FloatArray

DAMPING = 3.0  # N m s/rad
STIFFNESS, STIFFNESS_DAMPING = (
    60.0,
    5.0,
)  # N m/rad and N m s/rad while getting up and down, as Unitree's examples
STAND_KP, STAND_KD = 80.0, 3.0


@dataclass(frozen=True)
class MotionGains:
    """How a robot gets up, or down.

    Args:
        kp, kd: stiffness and damping of every joint, N m/rad and N m s/rad.
        move: s from pose to pose.
        fold: s into the folded pose before it; for getting up.
    """

    kp: float
    kd: float
    move: float
    fold: float = FOLD_TIME_S


RISE = MotionGains(STIFFNESS, STIFFNESS_DAMPING, RISE_TIME_S)
SINK = MotionGains(STIFFNESS, STIFFNESS_DAMPING, SINK_TIME_S)
FOLDED = (0.0, 1.36, -2.65)
"""Hip, thigh and calf of a robot that lies, rad, clipped to the robot's ranges."""


def damped(position: FloatArray) -> JointCommand:
    """Joint damping: no stiffness, no torque, only resistance to speed."""
    return JointCommand(position=position.copy(), kd=np.full(12, DAMPING))


@dataclass(frozen=True)
class Waypoint:
    """A pose to reach: joint angles, rad, 12, and how many seconds the way takes."""

    pose: FloatArray
    seconds: float


class Curve:
    """Joint targets along waypoints, at rest in each.

    Args:
        now: when it begins, s.
        start: joint angles to begin with, rad, 12.
        waypoints: where to.
        kp, kd: stiffness and damping, N m/rad and N m s/rad.
    """

    def __init__(
        self, now: float, start: FloatArray, waypoints: Sequence[Waypoint], kp: float, kd: float
    ) -> None:
        self._begin = now
        self._poses = [start.copy(), *(w.pose for w in waypoints)]
        self._ends = np.cumsum([w.seconds for w in waypoints])
        self._kp, self._kd = np.full(12, kp), np.full(12, kd)

    def over(self, now: float) -> bool:
        """Whether the last waypoint is reached."""
        return bool(now - self._begin >= self._ends[-1])

    def rested(self, now: float) -> float:
        """Seconds since the last waypoint was reached, negative before."""
        return float(now - self._begin - self._ends[-1])

    def command(self, now: float) -> JointCommand:
        """Targets at this time; smooth, at rest at every waypoint."""
        time = now - self._begin
        leg = int(np.searchsorted(self._ends, time, side="right"))
        if leg == len(self._ends):
            return JointCommand(position=self._poses[-1].copy(), kp=self._kp, kd=self._kd)
        begin = self._ends[leg - 1] if leg else 0.0
        length = self._ends[leg] - begin
        share = max(0.0, (time - begin) / length)
        way = self._poses[leg + 1] - self._poses[leg]
        position = self._poses[leg] + way * (share * share * (3.0 - 2.0 * share))
        velocity = way * (6.0 * share * (1.0 - share) / length)
        return JointCommand(position=position, velocity=velocity, kp=self._kp, kd=self._kd)


class Poses:
    """The poses of one robot and the curves between them."""

    def __init__(self, robot: RobotModel) -> None:
        self.standing = robot.home_joints.copy()
        low, high = robot.joint_lower + POSE_MARGIN_RAD, robot.joint_upper - POSE_MARGIN_RAD
        self.folded = np.clip(np.tile(FOLDED, 4), low, high)

    def rise(self, now: float, start: FloatArray, gains: MotionGains = RISE) -> Curve:
        """From anywhere into the folded pose, then up."""
        way = [Waypoint(self.folded, gains.fold), Waypoint(self.standing, gains.move)]
        return Curve(now, start, way, gains.kp, gains.kd)

    def stand(self, now: float, start: FloatArray) -> Curve:
        """Into the standing pose, to stay."""
        return Curve(now, start, [Waypoint(self.standing, STAND_TIME_S)], STAND_KP, STAND_KD)

    def sink(self, now: float, start: FloatArray, gains: MotionGains = SINK) -> Curve:
        """Down into the folded pose."""
        return Curve(now, start, [Waypoint(self.folded, gains.move)], gains.kp, gains.kd)
