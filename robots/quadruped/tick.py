"""The first half of a control tick in one compiled call: where the base is, and what feet and base are to do next."""

from __future__ import annotations

import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.quadruped.estimator import FilterMemory, update_filter
from safebo.robots.quadruped.feet import FootParameters, foot_parameters
from safebo.robots.quadruped.gait import stance_phases
from safebo.robots.quadruped.memory import Memory, motion_of
from safebo.robots.quadruped.mpc.reference import plan_motion
from safebo.types import FloatArray

UNSOUND, SAME, CHANGED = -1, 0, 1
"""What a tick found: a sample that is no state, or whether a planned contact changed."""

Sample = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Joint angles and speeds `12`, quaternion `4`, angular velocity `3`, specific force `3`: of a `SensorReading`."""


@njit(cache=True)
def estimate_and_plan(
    now: tuple[float, bool],
    command: tuple[float, float, float],
    parameters: FootParameters,
    sample: Sample,
    estimator: FilterMemory,
    memory: Memory,
) -> int:
    """Take a sample in, and move feet and wanted base on by one tick; an unsound sample changes nothing.

    Args:
        now: seconds since the gait started, negative while all feet stand; whether this is the first tick.
        command: forward, leftward velocity (m/s) and yaw rate (rad/s) in the heading frame.
        parameters: gait, legs, gains.
        sample: of the sensors.
        estimator: memory of the Kalman filter.
        memory: of feet, base and wanted base.

    Returns:
        `UNSOUND`, `SAME` or `CHANGED`.
    """
    phases = np.empty(4)
    stance_phases(now[0], foot_parameters(parameters).gait, phases)
    joint_position, joint_velocity, orientation, angular_velocity, specific_force = sample
    if not update_filter(
        estimator, joint_position, joint_velocity, orientation, angular_velocity, specific_force, phases
    ):
        return UNSOUND
    base, mean = motion_of(memory).base, estimator[0]["mean"]
    base.position[:] = mean[0]
    base.orientation[:] = orientation
    base.linear_velocity[:] = mean[1]
    base.angular_velocity[:] = angular_velocity
    return plan_after_command(now, command, parameters, (joint_position, joint_velocity), memory)


@njit(cache=True)
def plan_after_command(
    now: tuple[float, bool],
    command: tuple[float, float, float],
    parameters: FootParameters,
    joints: tuple[FloatArray, FloatArray],
    memory: Memory,
) -> int:
    """What `estimate_and_plan` does once the base is known."""
    feet, base, reference = motion_of(memory)
    followed = reference.command
    followed[0], followed[1], followed[2] = command
    changed = plan_motion(now[0], now[1], parameters, base, joints, feet, reference)
    return CHANGED if changed else SAME
