"""The tasks of one tick, stacked in order of priority for `hierarchy.solve_hierarchy`.

Rows: stance feet, base orientation, base position, swing feet (three each), all expressed in the base frame.
Columns: base velocity (linear, angular; base frame), then the twelve joints. Three right-hand sides:
position error (a small step), velocity, acceleration.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.kinematics import rotation_error
from safebo.robots.quadruped.wbc.hierarchy import solve_hierarchy

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

ROWS = 18


@njit(cache=True)
def stack_tasks(
    stance: BoolArray,
    rotation: FloatArray,
    rate: FloatArray,
    base: FloatArray,
    local: FloatArray,
    jacobian: FloatArray,
    drift: FloatArray,
    world: FloatArray,
    speed: FloatArray,
    wanted: FloatArray,
    wanted_velocity: FloatArray,
    wanted_acceleration: FloatArray,
    reference: FloatArray,
    qd: FloatArray,
    swing_gains: FloatArray,
    tasks: FloatArray,
    sizes: IntArray,
    targets: FloatArray,
) -> None:
    """Write `tasks` (`18 x 18`), `sizes` (`4`) and `targets` (`18 x 3`).

    Args:
        stance: which feet stand `4`.
        rotation: base to world `3 x 3`.
        rate: angular velocity, base frame `3`.
        base: linear velocity, base frame `3`.
        local: feet in the base frame `4 x 3`; this and the next two as in `Feet`.
        jacobian: `4 x 3 x 3`.
        drift: `4 x 3`.
        world: feet in the world `4 x 3`.
        speed: their velocities `4 x 3`.
        wanted: where the feet should be, world `4 x 3`.
        wanted_velocity: world `4 x 3`.
        wanted_acceleration: world `4 x 3`.
        reference: rows `6 x 3`, base frame: orientation error, position error, wanted angular velocity,
            linear velocity, angular acceleration, linear acceleration (of the base origin in space).
        qd: joint speeds `12`.
        swing_gains: kp and kd per world axis `2 x 3`.
        tasks: out.
        sizes: out.
        targets: out.
    """
    tasks[:] = 0.0
    standing = 0
    for leg in range(4):
        if stance[leg]:
            standing += 1
    sizes[0], sizes[1], sizes[2], sizes[3] = 3 * standing, 3, 3, 12 - 3 * standing
    r_stance, r_base, r_swing = 0, 3 * standing, 3 * standing + 6
    for i in range(3):
        tasks[r_base + i, 3 + i] = 1.0
        tasks[r_base + 3 + i, i] = 1.0
        targets[r_base + i, 0] = reference[0, i]
        targets[r_base + 3 + i, 0] = reference[1, i]
        targets[r_base + i, 1] = reference[2, i]
        targets[r_base + 3 + i, 1] = reference[3, i]
        targets[r_base + i, 2] = reference[4, i]
        targets[r_base + 3 + i, 2] = reference[5, i]
    # the base origin's acceleration in space is the change of its components plus rate x velocity
    turn = np.empty(3)
    _cross(rate, base, turn)
    for i in range(3):
        targets[r_base + 3 + i, 2] -= turn[i]
    error, relative, swirl, wave, command = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for leg in range(4):
        row = r_stance if stance[leg] else r_swing
        x, y, z = local[leg, 0], local[leg, 1], local[leg, 2]
        for i in range(3):
            tasks[row + i, i] = 1.0
            for j in range(3):
                tasks[row + i, 6 + 3 * leg + j] = jacobian[leg, i, j]
        tasks[row, 4], tasks[row, 5] = z, -y
        tasks[row + 1, 3], tasks[row + 1, 5] = -z, x
        tasks[row + 2, 3], tasks[row + 2, 4] = y, -x
        for i in range(3):
            error[i] = wanted[leg, i] - world[leg, i]
            command[i] = wanted_acceleration[leg, i]
            if not stance[leg]:
                command[i] += swing_gains[0, i] * error[i] + swing_gains[1, i] * (
                    wanted_velocity[leg, i] - speed[leg, i]
                )
            value = 0.0
            for j in range(3):
                value += jacobian[leg, i, j] * qd[3 * leg + j]
            relative[i] = value
        # acceleration of the foot at zero generalised acceleration
        _cross(rate, local[leg], swirl)
        for i in range(3):
            swirl[i] += 2.0 * relative[i] + base[i]
        _cross(rate, swirl, wave)
        for i in range(3):
            position, velocity, acceleration = 0.0, 0.0, 0.0
            for j in range(3):
                position += rotation[j, i] * error[j]
                velocity += rotation[j, i] * wanted_velocity[leg, j]
                acceleration += rotation[j, i] * command[j]
            targets[row + i, 0] = position
            targets[row + i, 1] = velocity
            targets[row + i, 2] = acceleration - wave[i] - drift[leg, i]
        if stance[leg]:
            r_stance += 3
        else:
            r_swing += 3


@njit(cache=True)
def _cross(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@njit(cache=True)
def base_reference(
    rotation: FloatArray,
    position: FloatArray,
    velocity: FloatArray,
    rate: FloatArray,
    stance: BoolArray,
    wanted_rotation: FloatArray,
    wanted_position: FloatArray,
    wanted_velocity: FloatArray,
    wanted_rate: FloatArray,
    planned: FloatArray,
    levers: FloatArray,
    inverse_inertia: FloatArray,
    mass: float,
    gains: FloatArray,
    reference: FloatArray,
) -> None:
    """Wanted motion of the base for `stack_tasks`, written into `reference` (`6 x 3`, base frame).

    The accelerations are a blend of the MPC's (its planned forces on the single rigid body) and a PD law.
    With no foot on the ground they are free fall, whatever is wanted.

    Args:
        rotation: base to world `3 x 3`.
        position: of the base, world.
        velocity: of the base, world.
        rate: angular velocity in the base frame.
        stance: which feet stand `4`.
        wanted_rotation: base to world `3 x 3`.
        wanted_position: world.
        wanted_velocity: world.
        wanted_rate: wanted angular velocity, world.
        planned: MPC forces `4 x 3`, world, N.
        levers: feet relative to the centre of mass `4 x 3`, world, m.
        inverse_inertia: of the rigid body in the base frame `3 x 3`.
        mass: kg.
        gains: orientation kp, kd, position kp, kd, share of the MPC `5`.
        reference: out.
    """
    rotation_error(rotation, wanted_rotation, reference[0])
    grounded = False
    force = np.zeros(3)
    moment = np.zeros(3)
    arm = np.empty(3)
    for leg in range(4):
        if stance[leg]:
            grounded = True
            _cross(levers[leg], planned[leg], arm)
            for i in range(3):
                force[i] += planned[leg, i]
                moment[i] += arm[i]
    force[2] -= GRAVITY * mass
    blend = gains[4]
    turned = np.empty(3)
    for i in range(3):
        place, speed, spin, push, torque = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(3):
            place += rotation[j, i] * (wanted_position[j] - position[j])
            speed += rotation[j, i] * wanted_velocity[j]
            spin += rotation[j, i] * wanted_rate[j]
            pd = gains[2] * (wanted_position[j] - position[j]) + gains[3] * (wanted_velocity[j] - velocity[j])
            if grounded:
                push += rotation[j, i] * ((1.0 - blend) * pd + blend * force[j] / mass)
            torque += rotation[j, i] * moment[j]
        reference[1, i] = place
        reference[2, i] = spin
        reference[3, i] = speed
        reference[5, i] = push if grounded else -GRAVITY * rotation[2, i]
        turned[i] = torque
    for i in range(3):
        planned_rate = 0.0
        for j in range(3):
            planned_rate += inverse_inertia[i, j] * turned[j]
        pd = gains[0] * reference[0, i] + gains[1] * (reference[2, i] - rate[i])
        reference[4, i] = (1.0 - blend) * pd + blend * planned_rate if grounded else 0.0


@njit(cache=True)
def joint_targets(
    tasks: FloatArray,
    sizes: IntArray,
    targets: FloatArray,
    damping: float,
    q: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    solution: FloatArray,
    q_wanted: FloatArray,
    qd_wanted: FloatArray,
    acceleration: FloatArray,
) -> None:
    """Solve the hierarchy: joint targets `12` (angles kept within the joints' range) and acceleration
    `18`.
    """
    solve_hierarchy(tasks, sizes, targets, damping, solution)
    for i in range(18):
        acceleration[i] = solution[i, 2]
    for i in range(12):
        q_wanted[i] = min(upper[i], max(lower[i], q[i] + solution[6 + i, 0]))
        qd_wanted[i] = solution[6 + i, 1]
