"""One simulated motion: a robot gets up from its belly, or lies down, by the guardian's own joint-space curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from safebo.hardware.guardian.motion import RISE, Curve, MotionGains, Poses
from safebo.hardware.virtual.attitude import roll_pitch_yaw
from safebo.hardware.virtual.plant import PERIOD, VirtualPlant
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.simulation.disturbance import Disturbance
from safebo.types import BoolArray, FloatArray

Motion = Literal["stand_up", "lie_down"]
HOLD_S = 0.6
"""For which the last pose is held: what is reached has to last."""
READY_S = 0.4
"""For which a robot stands before it lies down."""
LIES_M = 0.03
"""Over its height at rest on the floor within which the trunk is said to lie."""
STANDS = 0.9
"""Share of its height in the standing pose above which the trunk is said to stand."""
UPRIGHT_RAD = 0.3
"""Of a trunk that lies on its belly."""


@dataclass(frozen=True)
class MotionRecord:
    """What a motion showed, a row for every control tick of 2 ms.

    Args:
        height: of the trunk's frame over the floor, m, n.
        tilt: the larger of roll and pitch, rad, n.
        torque: largest share of its limit in any joint, n.
        sinking: downward speed of the trunk, m/s, negative upward, n.
        lying: height of the trunk at rest on the floor, m.
        standing: its height in the standing pose, m.
    """

    height: FloatArray
    tilt: FloatArray
    torque: FloatArray
    sinking: FloatArray
    lying: float
    standing: float

    def reached(self, motion: Motion) -> BoolArray:
        """Where the trunk is as high, or as low, as it should be, n."""
        if motion == "stand_up":
            return self.height >= STANDS * self.standing
        return self.height <= self.lying + LIES_M

    def beyond(self, motion: Motion) -> float:
        """By how much the trunk is at the end where it should be, m; negative where it is not."""
        last = float(self.height[-1])
        return last - STANDS * self.standing if motion == "stand_up" else self.lying + LIES_M - last

    def time(self, motion: Motion) -> float:
        """Seconds until it is reached to stay; those of the whole motion where it is not."""
        not_yet = np.flatnonzero(~self.reached(motion))
        return 0.0 if len(not_yet) == 0 else float((not_yet[-1] + 1) * PERIOD)


def run_motion(
    robot: RobotModel, motion: Motion, gains: MotionGains, disturbance: Disturbance | None = None
) -> MotionRecord:
    """Let a robot get up, or lie down.

    Args:
        robot: which.
        motion: `stand_up` from where it lies; `lie_down` from where it got up as the guardian does.
        gains: of the motion.
        disturbance: how the robot differs from its model.

    Raises:
        ValueError: the robot does not lie on its belly when its legs are folded, or does not stand before it lies down.
    """
    plant, poses = VirtualPlant(robot, disturbance), Poses(robot)
    lying = float(plant.simulation.truth().position[2])
    standing = robot.standing_height(poses.standing)
    tilt = max(abs(angle) for angle in roll_pitch_yaw(plant.simulation.truth().orientation)[:2])
    if tilt > UPRIGHT_RAD or lying > 0.8 * standing:
        raise ValueError(
            f"robot {robot.name!r} does not lie on its belly with its legs folded: trunk {lying:.2f} m high (it stands "
            f"{standing:.2f} m), tilted by {tilt:.2f} rad; its legs are not built like those of a Go1 or Go2"
        )
    if motion == "stand_up":
        curve = poses.rise(0.0, plant.settled, gains)
        return _followed(plant, curve, gains.fold + gains.move + HOLD_S, lying, standing)
    up = poses.rise(0.0, plant.settled)
    before = _followed(plant, up, -up.rested(0.0) + READY_S, lying, standing)
    if before.beyond("stand_up") < 0.0:
        raise ValueError(
            f"robot {robot.name!r} is {before.height[-1]:.2f} m high where it should stand ({standing:.2f} m) before "
            f"it lies down: it gets up with the guardian's {RISE.kp:g} N m/rad, which are too few for it"
        )
    curve = poses.sink(0.0, plant.simulation.true_joint_position.copy(), gains)
    return _followed(plant, curve, gains.move + HOLD_S, lying, standing)


def _followed(
    plant: VirtualPlant, curve: Curve, seconds: float, lying: float, standing: float
) -> MotionRecord:
    servo, limit = np.ones(12, dtype=bool), plant.robot.torque_limit
    rows = []
    for tick in range(round(seconds / PERIOD)):
        plant.command(curve.command(tick * PERIOD), servo)
        plant.tick()
        trunk = plant.simulation.truth()
        tilt = max(abs(angle) for angle in roll_pitch_yaw(trunk.orientation)[:2])
        torque = float((np.abs(plant.torque) / limit).max())
        rows.append((float(trunk.position[2]), tilt, torque))
    height, tilts, torques = np.array(rows).T
    sinking = -np.gradient(height, PERIOD)
    return MotionRecord(height, tilts, torques, sinking, lying, standing)
