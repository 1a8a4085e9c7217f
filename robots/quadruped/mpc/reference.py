"""Where the base should be: the commanded pose, its mix with the MPC's trajectory, and the MPC's inputs.

The wanted base motion is `3 x 3`, rows position (m), velocity (m/s), angular velocity (rad/s), world frame.
The heading is `2`: the wanted yaw, and the measured yaw on the same turn, rad.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from safebo.robots.quadruped.feet import plan_levers
from safebo.robots.quadruped.gait import GaitTiming
from safebo.robots.quadruped.kinematics import roll_pitch_yaw

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_LEAD = 0.1  # m, the position reference is never further than that from the estimated base
MAX_TURN = 0.3  # rad, the same for the heading


@njit(cache=True)
def start_reference(
    position: FloatArray, quaternion: FloatArray, wanted: FloatArray, heading: FloatArray
) -> None:
    """Want the base where it is, at rest, with its present heading."""
    w, x, y, z = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    heading[:] = math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))
    wanted[0] = position
    wanted[1:] = 0.0


@njit(cache=True)
def advance_reference(
    rotation: FloatArray,
    position: FloatArray,
    velocity: FloatArray,
    rate: FloatArray,
    command: FloatArray,
    period: float,
    wanted: FloatArray,
    heading: FloatArray,
    base_velocity: FloatArray,
) -> None:
    """Move the wanted base pose on by one tick and keep it near the estimated one."""
    _, _, yaw = roll_pitch_yaw(rotation)
    heading[0] += command[2] * period
    difference = (yaw - heading[0] + math.pi) % (2.0 * math.pi) - math.pi
    if abs(difference) > MAX_TURN:
        heading[0] += difference - (MAX_TURN if difference > 0 else -MAX_TURN)
        difference = MAX_TURN if difference > 0 else -MAX_TURN
    heading[1] = heading[0] + difference
    c, s = math.cos(heading[0]), math.sin(heading[0])
    wanted[1, 0] = c * command[0] - s * command[1]
    wanted[1, 1] = s * command[0] + c * command[1]
    wanted[2, 2] = command[2]
    for i in range(2):
        place = wanted[0, i] + period * wanted[1, i]
        wanted[0, i] = min(position[i] + MAX_LEAD, max(position[i] - MAX_LEAD, place))
    for i in range(3):
        base_velocity[i] = (
            rotation[0, i] * velocity[0] + rotation[1, i] * velocity[1] + rotation[2, i] * velocity[2]
        )
        base_velocity[3 + i] = rate[i]


@njit(cache=True)
def blend_reference(
    trajectory: FloatArray,
    share: float,
    blend: float,
    centre: FloatArray,
    wanted: FloatArray,
    heading: FloatArray,
    blended: FloatArray,
    rotation: FloatArray,
) -> None:
    """Mix the commanded base pose with the MPC's trajectory, `share` of a step after its start."""
    now = np.empty(12)
    for i in range(12):
        now[i] = trajectory[0, i] + share * (trajectory[1, i] - trajectory[0, i])
    roll, pitch, yaw = blend * now[0], blend * now[1], heading[0] + blend * (now[2] - heading[0])
    cr, sr, cp, sp, cy, sy = (
        math.cos(roll),
        math.sin(roll),
        math.cos(pitch),
        math.sin(pitch),
        math.cos(yaw),
        math.sin(yaw),
    )
    rotation[0, 0], rotation[0, 1], rotation[0, 2] = cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr
    rotation[1, 0], rotation[1, 1], rotation[1, 2] = sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr
    rotation[2, 0], rotation[2, 1], rotation[2, 2] = -sp, cp * sr, cp * cr
    arm = np.empty(3)
    for i in range(3):
        arm[i] = rotation[i, 0] * centre[0] + rotation[i, 1] * centre[1] + rotation[i, 2] * centre[2]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        speed = now[9 + i] - (now[6 + j] * arm[k] - now[6 + k] * arm[j])
        blended[0, i] = wanted[0, i] + blend * (now[3 + i] - arm[i] - wanted[0, i])
        blended[1, i] = wanted[1, i] + blend * (speed - wanted[1, i])
        blended[2, i] = wanted[2, i] + blend * (now[6 + i] - wanted[2, i])


@njit(cache=True)
def mpc_inputs(
    time: float,
    step: float,
    gait: GaitTiming,
    hip: FloatArray,
    centre: FloatArray,
    rotation: FloatArray,
    position: FloatArray,
    velocity: FloatArray,
    rate: FloatArray,
    heading: FloatArray,
    command: FloatArray,
    wanted: FloatArray,
    stance: BoolArray,
    world: FloatArray,
    target: FloatArray,
    state: FloatArray,
    reference: FloatArray,
    contacts: BoolArray,
    levers: FloatArray,
) -> None:
    """State, reference, contacts and lever arms of the MPC. `centre`: centre of mass in the base frame."""
    roll, pitch, _ = roll_pitch_yaw(rotation)
    state[0], state[1], state[2] = roll, pitch, heading[1]
    swirl = np.empty(3)
    swirl[0] = rate[1] * centre[2] - rate[2] * centre[1]
    swirl[1] = rate[2] * centre[0] - rate[0] * centre[2]
    swirl[2] = rate[0] * centre[1] - rate[1] * centre[0]
    for i in range(3):
        state[3 + i], state[6 + i], state[9 + i] = position[i], 0.0, velocity[i]
        for j in range(3):
            state[3 + i] += rotation[i, j] * centre[j]
            state[6 + i] += rotation[i, j] * rate[j]
            state[9 + i] += rotation[i, j] * swirl[j]
    for k in range(reference.shape[0]):
        later = (k + 1) * step
        turn = heading[0] + later * command[2]
        c, s = math.cos(turn), math.sin(turn)
        middle = heading[0] + 0.5 * later * command[2]
        cm, sm = math.cos(middle), math.sin(middle)
        reference[k] = 0.0
        reference[k, 2] = turn
        reference[k, 3] = wanted[0, 0] + later * (cm * command[0] - sm * command[1])
        reference[k, 3] += c * centre[0] - s * centre[1]
        reference[k, 4] = wanted[0, 1] + later * (sm * command[0] + cm * command[1])
        reference[k, 4] += s * centre[0] + c * centre[1]
        reference[k, 5] = wanted[0, 2] + centre[2]
        reference[k, 8] = command[2]
        reference[k, 9] = c * command[0] - s * command[1]
        reference[k, 10] = s * command[0] + c * command[1]
    plan_levers(
        time,
        step,
        gait,
        hip,
        state[3:6],
        position,
        heading[1],
        command,
        stance,
        world,
        target,
        contacts,
        levers,
    )
