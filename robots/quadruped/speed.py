"""How fast a gait can go: what foot, leg and motors allow, in one rule for controller, scoring and messages."""

from __future__ import annotations

import math
from typing import NamedTuple

from safebo.robots.descriptions.robot import RobotModel
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.swing import MAX_STEP, PEAK_SWING_SPEED

JOINT_SPEED_SHARE = 0.8
"""Share of the motors' no-load speed that a swing may ask of the thigh joint: the rest of the motion needs some too."""


class SpeedLimit(NamedTuple):
    """The greatest speed of a gait.

    Args:
        speed: m/s.
        reason: what limits it, in words.
    """

    speed: float
    reason: str

    def share(self, forward: float, leftward: float) -> float:
        """By how much a velocity (m/s) has to be shortened, at most 1."""
        wanted = math.hypot(forward, leftward)
        return self.speed / wanted if wanted > self.speed else 1.0


def speed_limit(robot: RobotModel, gait: Gait, swing_speed: float) -> SpeedLimit:
    """The greatest speed at which a robot can walk in a gait.

    While the body moves at v, a foot that swings for the share 1 - d of a stride (d the duty factor) moves over the
    ground at a mean of v / (1 - d) and at p = 15/8 times that at its fastest (`swing_point`). Hence, with T_s the time
    that a foot stands, h the trunk's height and w the no-load speed of the thigh joints,

        v <= (1 - d) v_swing        the gain `swing.max_speed`
        v <= 2 s / T_s              the leg's reach s on either side of the hip (`MAX_STEP`)
        v <= 0.8 w h / (p / (1 - d) - 1)    the foot's greatest speed relative to the trunk

    Args:
        robot: height and motors.
        gait: contact pattern.
        swing_speed: greatest mean speed of a swing foot over the ground, m/s.
    """
    if gait.duty_factor >= 1.0:
        return SpeedLimit(0.0, "all feet stand")
    swinging = gait.swing_duration / gait.stride_duration
    thigh = float(min(robot.speed_limit[1::3]))
    turned = JOINT_SPEED_SHARE * thigh * robot.nominal_height / (PEAK_SWING_SPEED / swinging - 1.0)
    limits = (
        SpeedLimit(
            swing_speed * swinging,
            f"a foot swings for {gait.swing_duration:.2f} s of every {gait.stride_duration:g} s, at a mean of at most "
            f"{swing_speed:g} m/s (swing.max_speed)",
        ),
        SpeedLimit(
            2.0 * MAX_STEP / gait.stance_duration,
            f"a foot stands for {gait.stance_duration:.2f} s and reaches {MAX_STEP:g} m to either side of its hip",
        ),
        SpeedLimit(
            turned,
            f"a foot swings for {gait.swing_duration:.2f} s of every {gait.stride_duration:g} s, and the thigh motors "
            f"turn at {thigh:g} rad/s at most",
        ),
    )
    return min(limits, key=lambda limit: limit.speed)


def shortened_command(limit: SpeedLimit, forward: float, leftward: float) -> str:
    """Says that a command (m/s) is more than a gait can walk, and why; empty where it is not."""
    wanted = math.hypot(forward, leftward)
    if wanted <= limit.speed + 1e-9:
        return ""
    return f"the command of {wanted:.2f} m/s is shortened to {limit.speed:.2f} m/s: {limit.reason}"
