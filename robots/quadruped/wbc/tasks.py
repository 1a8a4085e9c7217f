"""The tasks of one tick, stacked in order of priority, and the joint targets that they give.

Rows: stance feet, base orientation, base position, swing feet (three each), all expressed in the base frame.
Columns: base velocity (linear, angular; base frame), then the twelve joints. Three right-hand sides:
position error (a small step), velocity, acceleration.
"""

from __future__ import annotations

from typing import NamedTuple

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.quadruped.feet import Feet
from safebo.robots.quadruped.interface import GRAVITY, BaseState
from safebo.robots.quadruped.kinematics import rotation_error
from safebo.robots.quadruped.mpc.problem import RigidBody
from safebo.robots.quadruped.mpc.reference import BaseReference, blend_reference
from safebo.robots.quadruped.wbc.hierarchy import solve_hierarchy
from safebo.robots.quadruped.wbc.spatial import along_base, applied, cross, minus, plus, scaled, times, vector
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


class TaskRoom(NamedTuple):
    """Room for one tick.

    Args:
        base: wanted motion of the base, see `base_task`, `6 x 3`.
        stack: the tasks.
        solution: for every column of the tasks and each right-hand side, `18 x 3`.
    """

    base: FloatArray
    stack: TaskStack
    solution: FloatArray


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


@njit_no_alloc(forceinline=True)
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
    turning = cross(vector(base_velocity[3:]), vector(base_velocity[:3]))
    for i in range(3):
        targets[row + 3 + i, 2] -= turning[i]


@njit_no_alloc(forceinline=True)
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
    velocity, rate = vector(base_velocity[:3]), vector(base_velocity[3:])
    rotation, stance = feet.rotation, feet.stance
    kp, kd = vector(swing_gains[0]), vector(swing_gains[1])
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
    for leg in range(4):
        row = r_stance if stance[leg] else r_swing
        # v_foot = v + omega x l + J qd, so the row is [1, -[l]x, J]
        local, jacobian = vector(feet.local[leg]), feet.jacobian[leg]
        x, y, z = local
        for i in range(3):
            tasks[row + i, i] = 1.0
            for j in range(3):
                tasks[row + i, 6 + 3 * leg + j] = jacobian[i, j]
        tasks[row, 4], tasks[row, 5] = z, -y
        tasks[row + 1, 3], tasks[row + 1, 5] = -z, x
        tasks[row + 2, 3], tasks[row + 2, 4] = y, -x
        error = minus(vector(feet.wanted[leg]), vector(feet.world[leg]))
        wanted_velocity = vector(feet.wanted_velocity[leg])
        command = vector(feet.wanted_acceleration[leg])
        if not stance[leg]:
            lag = minus(wanted_velocity, vector(feet.velocity[leg]))
            command = plus(command, plus(scaled(kp, error), scaled(kd, lag)))
        # Acceleration of the foot in space at zero generalised acceleration, with u = J qd:
        #   omega x v + omega x (omega x l) + 2 omega x u + Jdot qd
        # the turning frame's share, centrifugal, Coriolis, drift; the first three are one cross product
        #   omega x (omega x l + 2 u + v).
        relative = applied(jacobian, vector(qd[3 * leg : 3 * leg + 3]))
        coriolis = cross(rate, plus(cross(rate, local), plus(velocity, relative, 2.0)))
        position, speed = along_base(rotation, error), along_base(rotation, wanted_velocity)
        acceleration = minus(minus(along_base(rotation, command), coriolis), vector(feet.drift[leg, 0]))
        for i in range(3):
            targets[row + i, 0] = position[i]
            targets[row + i, 1] = speed[i]
            targets[row + i, 2] = acceleration[i]
        if stance[leg]:
            r_stance += 3
        else:
            r_swing += 3


@njit_no_alloc(forceinline=True)
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
    force, moment = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for leg in range(4):
        if feet.stance[leg]:
            grounded = True
            push = vector(plan.forces[leg])
            force = plus(force, push)
            moment = plus(moment, cross(vector(plan.moment_arms[leg]), push))
    fx, fy, fz = force[0], force[1], force[2] - GRAVITY * body.mass
    share, rate, centre = gains[4], vector(base.angular_velocity), vector(body.centre)
    planned_turn = applied(body.inverse_inertia, along_base(rotation, moment))
    centripetal, tangential = cross(rate, cross(rate, centre)), cross(planned_turn, centre)
    error = minus(vector(wanted[0]), vector(base.position))
    lag = minus(vector(wanted[1]), vector(base.linear_velocity))
    pd = plus(times(gains[2], error), lag, gains[3])
    planned = (share * fx / body.mass, share * fy / body.mass, share * fz / body.mass)
    acceleration = along_base(rotation, plus(planned, pd, 1.0 - share))
    acceleration = plus(acceleration, plus(tangential, centripetal), -share)
    position_error = along_base(rotation, error)
    velocity, angular_velocity = along_base(rotation, wanted[1]), along_base(rotation, wanted[2])
    for i in range(3):
        out[1, i] = position_error[i]
        out[2, i] = angular_velocity[i]
        out[3, i] = velocity[i]
        out[5, i] = acceleration[i] if grounded else -GRAVITY * rotation[2, i]
        turn = gains[0] * out[0, i] + gains[1] * (angular_velocity[i] - rate[i])
        out[4, i] = (1.0 - share) * turn + share * planned_turn[i] if grounded else 0.0


@njit_no_alloc(forceinline=True)
def joint_targets(
    share: float,
    plan: MpcPlan,
    gains: TaskGains,
    feet: Feet,
    base: BaseState,
    reference: BaseReference,
    joints: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    room: TaskRoom,
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
        room: for what is found on the way.
        out: wanted angles (within the joints' range) and speeds `12`, generalised acceleration `18`.
    """
    base_gains, swing_gains, blend, damping, body = gains
    task, stack, solution = room
    blend_reference(plan.trajectory, share, blend, body.centre, reference)
    base_task(feet, base, reference, plan, body, base_gains, task)
    q, qd, lower, upper = joints
    stack_tasks(feet, reference.velocity, task, qd, swing_gains, stack)
    solve_hierarchy(stack.jacobians, stack.sizes, stack.targets, damping, solution)
    q_wanted, qd_wanted, acceleration = out
    for i in range(18):
        acceleration[i] = solution[i, 2]
    for i in range(12):
        q_wanted[i] = min(upper[i], max(lower[i], q[i] + solution[6 + i, 0]))
        qd_wanted[i] = solution[6 + i, 1]
