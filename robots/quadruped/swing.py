"""Swing feet: where a foot is put down (Raibert's rule) and how it gets there.

All points are foot centres in the world frame. The ground is the plane in which the estimator puts the stance
feet, so a foot on the ground has its centre one foot radius above it.
"""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit_no_alloc
from safebo.types import FloatArray

MAX_STEP = 0.25  # m, how far from under its hip a foot is ever put down: the reach of the leg
PEAK_SWING_SPEED = 1.875  # greatest over mean speed of a swing foot over the ground, 15/8 of the quintic
TOUCHDOWN_DEPTH = 0.002  # m, the swing aims slightly below the ground so that contact is not late
MAX_LIFT_ACCELERATION = 150.0  # m/s^2, bounds the apex of a very short swing


@njit_no_alloc
def foothold(
    position: FloatArray,
    velocity: FloatArray,
    yaw: float,
    command: FloatArray,
    hip: FloatArray,
    remaining: float,
    stance_duration: float,
    velocity_gain: float,
) -> tuple[float, float]:
    """Where a foot that lands in `remaining` seconds should be put: x and y in the world, m.

    Raibert's rule: under the hip at touchdown, ahead by half of what the body travels during stance, plus a
    correction proportional to the velocity error (Raibert 1986; gain sqrt(height / g) is the capture point),

        p = p_hip(touchdown) + T_stance / 2 v_hip + k (v - v_command).

    Args:
        position: of the base `3`, world, m.
        velocity: of the base `3`, world, m/s.
        yaw: heading, rad.
        command: forward and leftward velocity (m/s) and yaw rate (rad/s) in the heading frame, `3`.
        hip: nominal foot point under the hip in the heading frame, `3`.
        remaining: seconds until touchdown.
        stance_duration: seconds the foot will stand.
        velocity_gain: s.
    """
    turn = yaw + command[2] * remaining
    c, s = math.cos(turn), math.sin(turn)
    under_x = position[0] + velocity[0] * remaining + c * hip[0] - s * hip[1]
    under_y = position[1] + velocity[1] * remaining + s * hip[0] + c * hip[1]
    wanted_x = c * command[0] - s * command[1]
    wanted_y = s * command[0] + c * command[1]
    # v_hip = v_command + omega x r_hip: a turn moves the hip sideways too. Half of the stance is walked before
    # the foot is under the hip.
    hip_x = wanted_x - command[2] * (s * hip[0] + c * hip[1])
    hip_y = wanted_y + command[2] * (c * hip[0] - s * hip[1])
    step_x = 0.5 * stance_duration * hip_x + velocity_gain * (velocity[0] - wanted_x)
    step_y = 0.5 * stance_duration * hip_y + velocity_gain * (velocity[1] - wanted_y)
    return under_x + min(MAX_STEP, max(-MAX_STEP, step_x)), under_y + min(MAX_STEP, max(-MAX_STEP, step_y))


@njit_no_alloc
def swing_point(
    start: FloatArray,
    target: FloatArray,
    phase: float,
    duration: float,
    shape: tuple[float, float],
    position: FloatArray,
    velocity: FloatArray,
    acceleration: FloatArray,
) -> None:
    """A swing foot at `phase` in [0, 1] between `start` and `target`; written into the last three (`3`).

    `duration` is that of the whole swing, s; `shape` its apex, m, and the greatest mean speed over the ground, m/s.
    The way over the ground is the quintic of least jerk; the height adds 64 p^3 (1 - p)^3 times the apex, so
    that the foot leaves and lands with no speed and no acceleration. m, m/s, m/s^2, world frame.
    """
    p = min(1.0, max(0.0, phase))
    rate = 1.0 / duration
    p2 = p * p
    s = p2 * p * (10.0 - 15.0 * p + 6.0 * p2)
    sd = 30.0 * p2 * (1.0 - p) * (1.0 - p) * rate
    sdd = 60.0 * p * (1.0 - p) * (1.0 - 2.0 * p) * rate * rate
    way_x, way_y = target[0] - start[0], target[1] - start[1]
    apex, max_speed = shape
    reach = max_speed * duration
    way = math.hypot(way_x, way_y)
    shorten = reach / way if way > reach else 1.0
    for i in range(3):
        if i == 0:
            step = way_x * shorten
        elif i == 1:
            step = way_y * shorten
        else:
            step = target[2] - start[2]
        position[i] = start[i] + s * step
        velocity[i] = sd * step
        acceleration[i] = sdd * step
    u = p * (1.0 - p)
    # z += 64 h u^3 with u = p (1 - p), u' = 1 - 2p: its largest acceleration is 24 h / T^2, at mid-swing
    h = min(apex, MAX_LIFT_ACCELERATION * duration * duration / 24.0)
    slope = 1.0 - 2.0 * p
    position[2] += 64.0 * h * u * u * u
    velocity[2] += 64.0 * h * 3.0 * u * u * slope * rate
    acceleration[2] += 64.0 * h * (6.0 * u * slope * slope - 6.0 * u * u) * rate * rate
