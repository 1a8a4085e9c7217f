"""What every foot does now and next: contact timeline, lift-off, flight and touchdown.

World positions are foot centres, in the estimator's world. Arrays are `4 x 3` in the order of the robot's
legs.

A foot is a ball and rolls: what stands still is the point of the ball on the ground, and the ball's centre
moves on by the radius times the angle the calf turns. For a standing foot, `local`, `jacobian` and `drift`
are those of that point, and the position where it is held moves with the rolling.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from safebo.boundary.compiled import njit_no_alloc, put
from safebo.robots.descriptions.chain import measure_legs
from safebo.robots.quadruped.contact_timing import (
    LATE,
    SWING,
    ContactRules,
    Contacts,
    advance_contact,
    counted_on,
    lower,
    raise_swing,
    remember_height,
)
from safebo.robots.quadruped.gait import GaitTiming
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import LegGeometry, rotation_from_quaternion
from safebo.robots.quadruped.swing import TOUCHDOWN_DEPTH, foothold, swing_point
from safebo.types import BoolArray, FloatArray

MAX_SLIP = 0.03  # m, a stance foot that slid further is held where it is now instead of pulled back


class FootParameters(NamedTuple):
    """What the planning of the feet is told, constant between two changes of the gains.

    Args:
        gait: contact pattern.
        geometry: of the legs.
        period: control period, s.
        velocity_gain: of the foothold rule, s.
        swing: apex of a swing, m, and greatest mean speed of a swing foot over the ground, m/s.
        rules: how contact adapts.
    """

    gait: GaitTiming
    geometry: LegGeometry
    period: float
    velocity_gain: float
    swing: tuple[float, float]
    rules: ContactRules = ContactRules()


class Feet(NamedTuple):
    """The four feet: measured, planned and desired.

    Args:
        stance: which feet are planned to stand now, and are counted on, `4`.
        local: in the base frame, the centre of a swinging foot or the contact point of a standing one, m.
        jacobian: of that point in the base frame, `4 x 3 x 3`, m/rad.
        axes: of the joints in the base frame, one in each column, `4 x 3 x 3`.
        drift: accelerations at constant joint speeds, of that point (Jdot qd, m/s^2) and of the calf's rotation
            (rad/s^2), `4 x 2 x 3`.
        world: foot centres in the world.
        velocity: their velocities there, m/s.
        start: where a swinging foot left the ground.
        target: where a swinging foot will land and a standing foot stands.
        shift: x and y of a foothold to come from where the foothold rule puts it; the MPC's, where it decides.
        wanted, wanted_velocity, wanted_acceleration: desired motion of every foot in the world.
        rotation: base to world, `3 x 3`.
    """

    stance: BoolArray
    local: FloatArray
    jacobian: FloatArray
    axes: FloatArray
    drift: FloatArray
    world: FloatArray
    velocity: FloatArray
    start: FloatArray
    target: FloatArray
    shift: FloatArray
    wanted: FloatArray
    wanted_velocity: FloatArray
    wanted_acceleration: FloatArray
    rotation: FloatArray

    @classmethod
    def standing(cls) -> Feet:
        """Those of a robot that stands at the origin, not yet measured."""

        def points(*shape: int) -> FloatArray:
            return np.zeros((4, *shape, 3))

        measured = points(), points(3), points(3), points(2), points(), points()
        planned = points(), points(), points(), points(), points(), points()
        return cls(np.ones(4, np.bool_), *measured, *planned, np.eye(3))


@njit_no_alloc(forceinline=True)
def measure_feet(legs: FloatArray, q: FloatArray, qd: FloatArray, feet: Feet) -> None:
    """Where the feet are against the base: `measure_legs`, for angles and speeds `12`, rad and rad/s."""
    measure_legs(legs, q, qd, feet.local, feet.jacobian, feet.axes, feet.drift)


@njit_no_alloc(forceinline=True)
def _place_in_world(leg: int, base: BaseState, qd: FloatArray, feet: Feet) -> None:
    """Where a measured foot is and how fast: p_world = p + R l,  v_world = v + R (J qd + omega x l).

    Args:
        leg: whose foot.
        base: base state; `feet.rotation` is its orientation.
        qd: the leg's joint speeds `3`, rad/s.
        feet: out.
    """
    position, velocity, rate = base.position, base.linear_velocity, base.angular_velocity
    rotation, jacobian = feet.rotation, feet.jacobian
    x, y, z = feet.local[leg, 0], feet.local[leg, 1], feet.local[leg, 2]
    jx, jy, jz = jacobian[leg, 0], jacobian[leg, 1], jacobian[leg, 2]
    rx = jx[0] * qd[0] + jx[1] * qd[1] + jx[2] * qd[2] + (rate[1] * z - rate[2] * y)
    ry = jy[0] * qd[0] + jy[1] * qd[1] + jy[2] * qd[2] + (rate[2] * x - rate[0] * z)
    rz = jz[0] * qd[0] + jz[1] * qd[1] + jz[2] * qd[2] + (rate[0] * y - rate[1] * x)
    for i in range(3):
        feet.world[leg, i] = position[i] + rotation[i, 0] * x + rotation[i, 1] * y + rotation[i, 2] * z
        feet.velocity[leg, i] = velocity[i] + rotation[i, 0] * rx + rotation[i, 1] * ry + rotation[i, 2] * rz


@njit_no_alloc(forceinline=True)
def update_feet(
    time: float,
    fresh: bool,
    parameters: FootParameters,
    base: BaseState,
    qd: FloatArray,
    command: FloatArray,
    feet: Feet,
    contacts: Contacts,
) -> bool:
    """Place measured feet in the world and plan their motion; returns whether a planned contact changed.

    Args:
        time: seconds since the gait started; negative means all feet stand.
        fresh: whether this is the first call: a foot is then held where it is.
        parameters: gait, legs, gains.
        base: base state.
        qd: joint speeds `12`, rad/s.
        command: forward, leftward velocity and yaw rate in the heading frame `3`.
        feet: measured (`measure_feet`); out.
        contacts: of the legs; out.
    """
    gait, geometry, rules = parameters.gait, parameters.geometry, parameters.rules
    position, velocity, rate = base.position, base.linear_velocity, base.angular_velocity
    rotation, target = feet.rotation, feet.target
    ground = geometry.foot_radius
    rotation_from_quaternion(base.orientation, rotation)
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    changed = fresh
    for leg in range(4):
        speeds = qd[3 * leg : 3 * leg + 3]
        _place_in_world(leg, base, speeds, feet)
        before = contacts.mode[leg]
        progress = advance_contact(time, leg, gait, parameters.period, rules, contacts)
        mode = contacts.mode[leg]
        stands = counted_on(mode)
        if stands:
            if fresh or not feet.stance[leg]:
                put(feet.world[leg], target[leg])
            if rules.adaptive:
                remember_height(leg, before, feet.world[leg, 2] - ground, rules, contacts)
            target[leg, 2] = ground + contacts.ground[leg] - contacts.level[0]
            _move_to_contact_point(leg, rate, speeds, ground, parameters.period, feet)
            # a foot that slid keeps its target within MAX_SLIP: the leg must not pull against the ground
            slip_x = feet.world[leg, 0] - target[leg, 0]
            slip_y = feet.world[leg, 1] - target[leg, 1]
            slip = math.hypot(slip_x, slip_y)
            if slip > MAX_SLIP:
                target[leg, 0] += slip_x * (1.0 - MAX_SLIP / slip)
                target[leg, 1] += slip_y * (1.0 - MAX_SLIP / slip)
            put(target[leg], feet.wanted[leg])
            feet.wanted_velocity[leg] = 0.0
            feet.wanted_acceleration[leg] = 0.0
        elif mode == LATE:
            planned = ground - TOUCHDOWN_DEPTH + contacts.ground[leg] - contacts.level[0]
            begins, lowered = before != LATE, contacts.lowered
            speed = lower(leg, feet.world[leg, 2], planned, begins, parameters.period, rules, lowered)
            put(target[leg], feet.wanted[leg])
            feet.wanted[leg, 2] = lowered[leg]
            feet.wanted_velocity[leg] = 0.0
            feet.wanted_velocity[leg, 2] = speed
            feet.wanted_acceleration[leg] = 0.0
        else:
            if fresh or before != SWING:
                put(feet.world[leg], feet.start[leg])
            duration = (1.0 - gait.duty[leg]) * gait.stride[leg]
            target[leg, 0], target[leg, 1] = foothold(
                position,
                velocity,
                yaw,
                command,
                geometry.hip[leg],
                (1.0 - progress) * duration,
                gait.duty[leg] * gait.stride[leg],
                parameters.velocity_gain,
            )
            target[leg, 0] += feet.shift[leg, 0]
            target[leg, 1] += feet.shift[leg, 1]
            target[leg, 2] = ground - TOUCHDOWN_DEPTH + contacts.ground[leg] - contacts.level[0]
            if rules.adaptive and before != SWING:
                raise_swing(leg, feet.start[leg], target[leg], target, rules, contacts)
            apex, most_speed = parameters.swing
            swing_point(
                feet.start[leg],
                target[leg],
                progress,
                duration,
                (apex + contacts.lift[leg], most_speed),
                feet.wanted[leg],
                feet.wanted_velocity[leg],
                feet.wanted_acceleration[leg],
            )
        if stands != feet.stance[leg]:
            changed = True
            feet.stance[leg] = stands
    return changed


@njit_no_alloc(forceinline=True)
def _move_to_contact_point(
    leg: int, rate: FloatArray, qd: FloatArray, radius: float, period: float, feet: Feet
) -> None:
    """Turn a standing foot's centre into its contact point; roll the position where it is held by one tick.

    With d the way from the centre down to the ground and u = J_omega qd the calf's angular velocity relative
    to the base, the contact point is at l + d and moves at J qd + u x d, so that each joint's axis a_j adds
    a_j x d to its column of the Jacobian.

    Args:
        leg: which.
        rate: angular velocity of the base `3`, base frame, rad/s.
        qd: speeds of the leg's joints `3`, rad/s.
        radius: of the foot, m.
        period: of a tick, s.
        feet: out.
    """
    rotation, local, jacobian, axes = feet.rotation, feet.local[leg], feet.jacobian[leg], feet.axes[leg]
    drift, turning = feet.drift[leg, 0], feet.drift[leg, 1]
    # d = -radius R^T z: down to the ground, in the base frame
    dx, dy, dz = -radius * rotation[2, 0], -radius * rotation[2, 1], -radius * rotation[2, 2]
    local[0] += dx
    local[1] += dy
    local[2] += dz
    ux, uy, uz = 0.0, 0.0, 0.0  # calf relative to the base
    for j in range(3):
        x, y, z = axes[0, j], axes[1, j], axes[2, j]
        jacobian[0, j] += y * dz - z * dy
        jacobian[1, j] += z * dx - x * dz
        jacobian[2, j] += x * dy - y * dx
        ux += x * qd[j]
        uy += y * qd[j]
        uz += z * qd[j]
    # d does not turn with the base, so the contact point accelerates by alpha x d, alpha being the calf's
    # angular acceleration at constant joint speeds, alpha = omega x u + udot. Whoever adds the centrifugal and
    # Coriolis terms of a point that moves with the base (`stack_tasks`) adds omega x (omega x d) +
    # 2 omega x (u x d) = omega x ((omega + 2 u) x d) too much: it is taken out here.
    wx, wy, wz = rate[0], rate[1], rate[2]
    ax = wy * uz - wz * uy + turning[0]
    ay = wz * ux - wx * uz + turning[1]
    az = wx * uy - wy * ux + turning[2]
    ex, ey, ez = wx + 2.0 * ux, wy + 2.0 * uy, wz + 2.0 * uz
    fx, fy, fz = ey * dz - ez * dy, ez * dx - ex * dz, ex * dy - ey * dx
    drift[0] += ay * dz - az * dy - (wy * fz - wz * fy)
    drift[1] += az * dx - ax * dz - (wz * fx - wx * fz)
    drift[2] += ax * dy - ay * dx - (wx * fy - wy * fx)
    # the calf's angular velocity in the world moves the ball's centre by omega x (radius z) per second
    wx, wy, wz = wx + ux, wy + uy, wz + uz
    world_x = rotation[0, 0] * wx + rotation[0, 1] * wy + rotation[0, 2] * wz
    world_y = rotation[1, 0] * wx + rotation[1, 1] * wy + rotation[1, 2] * wz
    feet.target[leg, 0] += period * radius * world_y
    feet.target[leg, 1] -= period * radius * world_x
