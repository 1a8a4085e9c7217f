"""The tasks of one tick, stacked in order of priority, and the joint targets that they give.

Rows: stance feet, base orientation, base position, swing feet (three each), all expressed in the base frame.
Columns: base velocity (linear, angular; base frame), then the twelve joints. Three right-hand sides:
position error (a small step), velocity, acceleration.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc
from safebo.robots.quadruped.feet import Feet
from safebo.robots.quadruped.interface import GRAVITY, BaseState
from safebo.robots.quadruped.kinematics import rotation_error
from safebo.robots.quadruped.mpc.problem import RigidBody
from safebo.robots.quadruped.mpc.reference import BaseReference, blend_reference
from safebo.robots.quadruped.wbc.hierarchy import solve_hierarchy
from safebo.types import FloatArray, IntArray

ROWS = 18


class TaskStack(NamedTuple):
    """The tasks of one tick.

    Args:
        jacobians: of all levels, highest priority first, `18 x 18`.
        sizes: rows of every level, `4`.
        targets: position error, velocity, acceleration of every row, `18 x 3`.
    """

    jacobians: FloatArray
    sizes: IntArray
    targets: FloatArray


class MpcPlan(NamedTuple):
    """What the MPC wants.

    Args:
        trajectory: its states `steps + 1 x 12`.
        forces: on the feet now `4 x 3`, world, N.
        moment_arms: feet relative to the centre of mass now `4 x 3`, world, m.
    """

    trajectory: FloatArray
    forces: FloatArray
    moment_arms: FloatArray


class TaskGains(NamedTuple):
    """What the tasks are told, constant between two changes of the gains.

    Args:
        base: orientation kp, kd, position kp, kd, share of the MPC's acceleration `5`.
        swing: kp and kd of a swing foot per world axis `2 x 3`.
        trajectory_blend: share of the MPC's trajectory in the wanted base pose.
        damping: of the pseudo-inverses.
        body: the robot as one rigid body.
    """

    base: FloatArray
    swing: FloatArray
    trajectory_blend: float
    damping: float
    body: RigidBody


@njit(cache=True)
def _stack_base(
    row: int, base_velocity: FloatArray, reference: FloatArray, tasks: FloatArray, targets: FloatArray
) -> None:
    """Write the base's orientation and position, six rows from `row` on; see `stack_tasks`."""
    for i in range(3):
        tasks[row + i, 3 + i] = 1.0
        tasks[row + 3 + i, i] = 1.0
        targets[row + i, 0] = reference[0, i]
        targets[row + 3 + i, 0] = reference[1, i]
        targets[row + i, 1] = reference[2, i]
        targets[row + 3 + i, 1] = reference[3, i]
        targets[row + i, 2] = reference[4, i]
        targets[row + 3 + i, 2] = reference[5, i]
    # v is given in a frame that turns: the base origin accelerates in space by a = vdot + omega x v
    turning = np.empty(3)
    _cross(base_velocity[3:], base_velocity[:3], turning)
    for i in range(3):
        targets[row + 3 + i, 2] -= turning[i]


@njit(cache=True)
def stack_tasks(
    feet: Feet,
    base_velocity: FloatArray,
    reference: FloatArray,
    qd: FloatArray,
    swing_gains: FloatArray,
    stack: TaskStack,
) -> None:
    """Write Jacobians, sizes and targets of `stack`.

    Args:
        feet: measured and desired feet.
        base_velocity: linear and angular velocity, base frame `6`.
        reference: rows `6 x 3`, base frame: orientation error, position error, wanted angular velocity,
            linear velocity, angular acceleration, linear acceleration (of the base origin in space).
        qd: joint speeds `12`.
        swing_gains: kp and kd per world axis `2 x 3`.
        stack: out.
    """
    base, rate = base_velocity[:3], base_velocity[3:]
    rotation, stance, jacobian = feet.rotation, feet.stance, feet.jacobian
    tasks, targets = stack.jacobians, stack.targets
    tasks[:] = 0.0
    standing = 0
    for leg in range(4):
        if stance[leg]:
            standing += 1
    sizes = stack.sizes
    sizes[0], sizes[1], sizes[2], sizes[3] = 3 * standing, 3, 3, 12 - 3 * standing
    r_stance, r_swing = 0, 3 * standing + 6
    _stack_base(3 * standing, base_velocity, reference, tasks, targets)
    error, relative, command = np.empty(3), np.empty(3), np.empty(3)
    speed, coriolis = np.empty(3), np.empty(3)
    for leg in range(4):
        row = r_stance if stance[leg] else r_swing
        # v_foot = v + omega x l + J qd, so the row is [1, -[l]x, J]
        x, y, z = feet.local[leg, 0], feet.local[leg, 1], feet.local[leg, 2]
        for i in range(3):
            tasks[row + i, i] = 1.0
            for j in range(3):
                tasks[row + i, 6 + 3 * leg + j] = jacobian[leg, i, j]
        tasks[row, 4], tasks[row, 5] = z, -y
        tasks[row + 1, 3], tasks[row + 1, 5] = -z, x
        tasks[row + 2, 3], tasks[row + 2, 4] = y, -x
        for i in range(3):
            error[i] = feet.wanted[leg, i] - feet.world[leg, i]
            command[i] = feet.wanted_acceleration[leg, i]
            if not stance[leg]:
                command[i] += swing_gains[0, i] * error[i] + swing_gains[1, i] * (
                    feet.wanted_velocity[leg, i] - feet.velocity[leg, i]
                )
            value = 0.0
            for j in range(3):
                value += jacobian[leg, i, j] * qd[3 * leg + j]
            relative[i] = value
        # Acceleration of the foot in space at zero generalised acceleration, with u = J qd:
        #   omega x v + omega x (omega x l) + 2 omega x u + Jdot qd
        # the turning frame's share, centrifugal, Coriolis, drift; the first three are one cross product
        #   omega x (omega x l + 2 u + v).
        _cross(rate, feet.local[leg], speed)
        for i in range(3):
            speed[i] += 2.0 * relative[i] + base[i]
        _cross(rate, speed, coriolis)
        for i in range(3):
            position, velocity, acceleration = 0.0, 0.0, 0.0
            for j in range(3):
                position += rotation[j, i] * error[j]
                velocity += rotation[j, i] * feet.wanted_velocity[leg, j]
                acceleration += rotation[j, i] * command[j]
            targets[row + i, 0] = position
            targets[row + i, 1] = velocity
            targets[row + i, 2] = acceleration - coriolis[i] - feet.drift[leg, 0, i]
        if stance[leg]:
            r_stance += 3
        else:
            r_swing += 3


@njit_no_alloc
def _cross(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@njit(cache=True)
def base_task(
    feet: Feet,
    base: BaseState,
    reference: BaseReference,
    plan: MpcPlan,
    body: RigidBody,
    gains: FloatArray,
    out: FloatArray,
) -> None:
    """Wanted motion of the base for `stack_tasks`, written into `out` (`6 x 3`, base frame).

    The accelerations are a blend of the MPC's (its planned forces on the single rigid body) and a PD law,

        a = (1 - s) (kp e + kd edot) + s a_mpc,   alpha_mpc = I^-1 sum r x f,
        a_mpc = sum f / m - g - alpha_mpc x c - omega x (omega x c):

    the forces move the centre of mass, which lies at c from the base origin that is wanted here. With no foot on the
    ground they are free fall, whatever is wanted.

    Args:
        feet: rotation and stance.
        base: base state.
        reference: its blended motion is wanted.
        plan: forces and moment arms of the MPC.
        body: mass and inertia.
        gains: orientation kp, kd, position kp, kd, share s of the MPC `5`.
        out: orientation error, position error, wanted angular and linear velocity, angular and linear
            acceleration.
    """
    rotation, wanted = feet.rotation, reference.blended
    rotation_error(rotation, reference.rotation, out[0])
    grounded = False
    force = np.zeros(3)
    moment = np.zeros(3)
    arm_cross_force = np.empty(3)
    for leg in range(4):
        if feet.stance[leg]:
            grounded = True
            _cross(plan.moment_arms[leg], plan.forces[leg], arm_cross_force)
            for i in range(3):
                force[i] += plan.forces[leg, i]
                moment[i] += arm_cross_force[i]
    force[2] -= GRAVITY * body.mass
    share = gains[4]
    rate, turned = base.angular_velocity, np.empty(3)
    base_moment, planned_turn = np.empty(3), np.empty(3)
    for i in range(3):
        base_moment[i] = 0.0
        for j in range(3):
            base_moment[i] += rotation[j, i] * moment[j]
    for i in range(3):
        planned_turn[i] = 0.0
        for j in range(3):
            planned_turn[i] += body.inverse_inertia[i, j] * base_moment[j]
    _cross(rate, body.centre, turned)
    centripetal, tangential = np.empty(3), np.empty(3)
    _cross(rate, turned, centripetal)
    _cross(planned_turn, body.centre, tangential)
    for i in range(3):
        position_error, velocity, angular_velocity, acceleration = 0.0, 0.0, 0.0, 0.0
        for j in range(3):
            error = wanted[0, j] - base.position[j]
            position_error += rotation[j, i] * error
            velocity += rotation[j, i] * wanted[1, j]
            angular_velocity += rotation[j, i] * wanted[2, j]
            pd = gains[2] * error + gains[3] * (wanted[1, j] - base.linear_velocity[j])
            acceleration += rotation[j, i] * ((1.0 - share) * pd + share * force[j] / body.mass)
        acceleration -= share * (tangential[i] + centripetal[i])
        out[1, i] = position_error
        out[2, i] = angular_velocity
        out[3, i] = velocity
        out[5, i] = acceleration if grounded else -GRAVITY * rotation[2, i]
    for i in range(3):
        pd = gains[0] * out[0, i] + gains[1] * (out[2, i] - base.angular_velocity[i])
        out[4, i] = (1.0 - share) * pd + share * planned_turn[i] if grounded else 0.0


@njit(cache=True)
def joint_targets(
    share: float,
    plan: MpcPlan,
    gains: TaskGains,
    feet: Feet,
    base: BaseState,
    reference: BaseReference,
    joints: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    """The kinematic level of one tick: from feet, base and the MPC's plan to joint targets.

    Args:
        share: how far the tick is through a step of the MPC, 0 to 1.
        plan: of the MPC.
        gains: of the tasks.
        feet: measured and desired feet.
        base: base state.
        reference: wanted motion of the base; its blended part is written.
        joints: angles and speeds, lowest and highest angle, `12` each, rad and rad/s.
        out: wanted angles (within the joints' range) and speeds `12`, generalised acceleration `18`.
    """
    base_gains, swing_gains, blend, damping, body = gains
    blend_reference(plan.trajectory, share, blend, body.centre, reference)
    task = np.empty((6, 3))
    base_task(feet, base, reference, plan, body, base_gains, task)
    stack = TaskStack(np.empty((ROWS, 18)), np.empty(4, np.int64), np.empty((ROWS, 3)))
    q, qd, lower, upper = joints
    stack_tasks(feet, reference.velocity, task, qd, swing_gains, stack)
    solution = np.empty((18, 3))
    solve_hierarchy(stack.jacobians, stack.sizes, stack.targets, damping, solution)
    q_wanted, qd_wanted, acceleration = out
    for i in range(18):
        acceleration[i] = solution[i, 2]
    for i in range(12):
        q_wanted[i] = min(upper[i], max(lower[i], q[i] + solution[6 + i, 0]))
        qd_wanted[i] = solution[6 + i, 1]
