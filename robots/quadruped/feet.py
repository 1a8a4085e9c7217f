"""What every foot does now and next: contact timeline, lift-off, flight and touchdown.

World positions are foot centres, in the estimator's world. Arrays are `4 x 3` in the order of the robot's
legs.

A foot is a ball and rolls: what stands still is the point of the ball on the ground, and the ball's centre
moves on by the radius times the angle the calf turns. For a standing foot, `local`, `jacobian` and `drift`
are those of that point, and the place where it is held moves with the rolling.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gait import GaitTiming, contact, stride_and_phase
from safebo.robots.quadruped.kinematics import leg_geometry, leg_kinematics, rotation_from_quaternion
from safebo.robots.quadruped.swing import TOUCHDOWN_DEPTH, foothold, swing_point

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_SLIP = 0.03  # m, a stance foot that slid further is held where it is now instead of pulled back


class Feet:
    """The four feet: measured, planned and desired.

    Attributes:
        stance: which feet are planned to stand now, `4`.
        local: in the base frame, the centre of a swinging foot or the contact point of a standing one, m.
        jacobian: of that point in the base frame, `4 x 3 x 3`, m/rad. drift: Jdot qd there, m/s^2.
        world: foot centres in the world; speed: their velocities there, m/s.
        target: where a swinging foot will land and a standing foot stands.
        wanted, wanted_velocity, wanted_acceleration: desired motion of every foot in the world.
        rotation: base to world, `3 x 3`.
    """

    def __init__(self, robot: RobotModel, period: float, gait: GaitTiming) -> None:
        self.gait = gait
        self.period = float(period)
        self.geometry = leg_geometry(robot)
        # the nominal foot is under the thigh joint: hip offset plus the lateral thigh offset
        self.hip = np.zeros((4, 3))
        self.hip[:, 0] = robot.hip_offset[:, 0]
        self.hip[:, 1] = robot.hip_offset[:, 1] + robot.thigh_offset
        self.ground = robot.foot_radius
        self.rotation = np.eye(3)
        self.local, self.drift = np.zeros((4, 3)), np.zeros((4, 3))
        self.jacobian = np.zeros((4, 3, 3))
        self.world, self.speed = np.zeros((4, 3)), np.zeros((4, 3))
        self.start, self.target = np.zeros((4, 3)), np.zeros((4, 3))
        self.wanted, self.wanted_velocity = np.zeros((4, 3)), np.zeros((4, 3))
        self.wanted_acceleration = np.zeros((4, 3))
        self.stance = np.ones(4, dtype=np.bool_)
        self.fresh = True

    def update(
        self,
        time: float,
        position: FloatArray,
        quaternion: FloatArray,
        velocity: FloatArray,
        rate: FloatArray,
        q: FloatArray,
        qd: FloatArray,
        command: FloatArray,
        velocity_gain: float,
        apex: float,
    ) -> bool:
        """Measure the feet and plan their motion; returns whether a planned contact changed.

        Args:
            time: seconds since the gait started; negative means all feet stand.
            position: of the base, world, m.
            quaternion: of the base, w, x, y, z.
            velocity: of the base, world, m/s.
            rate: angular velocity of the base in its own frame, rad/s.
            q: joint angles `12`, rad.
            qd: joint speeds `12`, rad/s.
            command: forward, leftward velocity and yaw rate in the heading frame `3`.
            velocity_gain: of the foothold rule, s.
            apex: height of a swing, m.
        """
        changed = _update_feet(
            time,
            self.period,
            self.gait,
            self.geometry,
            self.hip,
            self.ground,
            position,
            quaternion,
            velocity,
            rate,
            q,
            qd,
            command,
            velocity_gain,
            apex,
            self.fresh,
            self.rotation,
            self.local,
            self.jacobian,
            self.drift,
            self.world,
            self.speed,
            self.start,
            self.target,
            self.wanted,
            self.wanted_velocity,
            self.wanted_acceleration,
            self.stance,
        )
        self.fresh = False
        return bool(changed)


@njit(cache=True)
def _update_feet(
    time: float,
    period: float,
    gait: GaitTiming,
    geometry: FloatArray,
    hip: FloatArray,
    ground: float,
    position: FloatArray,
    quaternion: FloatArray,
    velocity: FloatArray,
    rate: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    command: FloatArray,
    velocity_gain: float,
    apex: float,
    fresh: bool,
    rotation: FloatArray,
    local: FloatArray,
    jacobian: FloatArray,
    drift: FloatArray,
    world: FloatArray,
    speed: FloatArray,
    start: FloatArray,
    target: FloatArray,
    wanted: FloatArray,
    wanted_velocity: FloatArray,
    wanted_acceleration: FloatArray,
    stance: BoolArray,
) -> bool:
    rotation_from_quaternion(quaternion, rotation)
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    changed = fresh
    relative = np.empty(3)
    for leg in range(4):
        joints, speeds = q[3 * leg : 3 * leg + 3], qd[3 * leg : 3 * leg + 3]
        leg_kinematics(geometry[leg], joints, speeds, local[leg], jacobian[leg], drift[leg])
        x, y, z = local[leg, 0], local[leg, 1], local[leg, 2]
        for i in range(3):
            value = 0.0
            for j in range(3):
                value += jacobian[leg, i, j] * speeds[j]
            relative[i] = value
        relative[0] += rate[1] * z - rate[2] * y
        relative[1] += rate[2] * x - rate[0] * z
        relative[2] += rate[0] * y - rate[1] * x
        for i in range(3):
            world[leg, i] = position[i] + rotation[i, 0] * x + rotation[i, 1] * y + rotation[i, 2] * z
            speed[leg, i] = (
                velocity[i]
                + rotation[i, 0] * relative[0]
                + rotation[i, 1] * relative[1]
                + rotation[i, 2] * relative[2]
            )
        stands, progress = contact(time, leg, gait)
        if stands:
            if fresh or not stance[leg]:
                target[leg] = world[leg]
                target[leg, 2] = ground
            _move_to_contact_point(
                rotation,
                rate,
                joints,
                speeds,
                ground,
                period,
                local[leg],
                jacobian[leg],
                drift[leg],
                target[leg],
            )
            slip_x, slip_y = world[leg, 0] - target[leg, 0], world[leg, 1] - target[leg, 1]
            slip = math.hypot(slip_x, slip_y)
            if slip > MAX_SLIP:
                target[leg, 0] += slip_x * (1.0 - MAX_SLIP / slip)
                target[leg, 1] += slip_y * (1.0 - MAX_SLIP / slip)
            wanted[leg] = target[leg]
            wanted_velocity[leg] = 0.0
            wanted_acceleration[leg] = 0.0
        else:
            if fresh or stance[leg]:
                start[leg] = world[leg]
            duration = (1.0 - gait.duty) * gait.stride
            foothold(
                position,
                velocity,
                yaw,
                command,
                hip[leg],
                (1.0 - progress) * duration,
                gait.duty * gait.stride,
                velocity_gain,
                ground - TOUCHDOWN_DEPTH,
                target[leg],
            )
            swing_point(
                start[leg],
                target[leg],
                progress,
                duration,
                apex,
                wanted[leg],
                wanted_velocity[leg],
                wanted_acceleration[leg],
            )
        if stands != stance[leg]:
            changed = True
            stance[leg] = stands
    return changed


@njit(cache=True)
def _move_to_contact_point(
    rotation: FloatArray,
    rate: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    radius: float,
    period: float,
    local: FloatArray,
    jacobian: FloatArray,
    drift: FloatArray,
    held: FloatArray,
) -> None:
    """Turn a standing foot's centre into its contact point; roll the place where it is held by one tick."""
    # down to the ground, in the base frame
    dx, dy, dz = -radius * rotation[2, 0], -radius * rotation[2, 1], -radius * rotation[2, 2]
    c, s = math.cos(q[0]), math.sin(q[0])  # thigh and calf turn about (0, c, s)
    pitch = qd[1] + qd[2]
    local[0] += dx
    local[1] += dy
    local[2] += dz
    jacobian[1, 0] -= dz
    jacobian[2, 0] += dy
    for j in range(1, 3):
        jacobian[0, j] += c * dz - s * dy
        jacobian[1, j] += s * dx
        jacobian[2, j] -= c * dx
    # The way down does not turn with the base, so the contact point accelerates by alpha x down, alpha being
    # the calf's angular acceleration at constant joint speeds. Whoever adds the centrifugal and Coriolis
    # terms of a point that moves with the base adds w x (w x down) + 2 w x (u x down) too much.
    ux, uy, uz = qd[0], c * pitch, s * pitch  # calf relative to the base
    wx, wy, wz = rate[0], rate[1], rate[2]
    ax = wy * uz - wz * uy
    ay = wz * ux - wx * uz - s * qd[0] * pitch
    az = wx * uy - wy * ux + c * qd[0] * pitch
    ex, ey, ez = wx + 2.0 * ux, wy + 2.0 * uy, wz + 2.0 * uz
    fx, fy, fz = ey * dz - ez * dy, ez * dx - ex * dz, ex * dy - ey * dx
    drift[0] += ay * dz - az * dy - (wy * fz - wz * fy)
    drift[1] += az * dx - ax * dz - (wz * fx - wx * fz)
    drift[2] += ax * dy - ay * dx - (wx * fy - wy * fx)
    # angular velocity of the calf in the world moves the ball's centre by omega x (radius z) per second
    wx, wy, wz = wx + ux, wy + uy, wz + uz
    world_x = rotation[0, 0] * wx + rotation[0, 1] * wy + rotation[0, 2] * wz
    world_y = rotation[1, 0] * wx + rotation[1, 1] * wy + rotation[1, 2] * wz
    held[0] += period * radius * world_y
    held[1] -= period * radius * world_x


@njit(cache=True)
def plan_levers(
    time: float,
    step: float,
    gait: GaitTiming,
    hip: FloatArray,
    com: FloatArray,
    position: FloatArray,
    yaw: float,
    command: FloatArray,
    stance: BoolArray,
    world: FloatArray,
    target: FloatArray,
    contacts: BoolArray,
    levers: FloatArray,
) -> None:
    """Planned contacts (`steps x 4`) and lever arms (`steps x 4 x 3`) over a horizon.

    A lever arm is a foot's place relative to the centre of mass, in the world.

    A foot that stands now stays; one that swings will stand at its target; later footholds follow the
    foothold rule at the commanded velocity. The centre of mass moves at the commanded velocity. Steps are
    sampled at their mid-points.
    """
    c, s = math.cos(yaw), math.sin(yaw)
    velocity = np.zeros(3)
    velocity[0] = c * command[0] - s * command[1]
    velocity[1] = s * command[0] + c * command[1]
    point = np.empty(3)
    for leg in range(4):
        now, _ = stride_and_phase(time, leg, gait)
        for k in range(contacts.shape[0]):
            later = (k + 0.5) * step
            contacts[k, leg], _ = contact(time + later, leg, gait)
            point[:] = world[leg] if stance[leg] else target[leg]
            point[2] = 0.0
            if gait.duty < 1.0 and time + later >= 0.0:
                cycle, _ = stride_and_phase(time + later, leg, gait)
                if cycle > now + (0 if stance[leg] else 1):
                    landing = (cycle - gait.offsets[leg]) * gait.stride - time
                    foothold(
                        position,
                        velocity,
                        yaw,
                        command,
                        hip[leg],
                        landing,
                        gait.duty * gait.stride,
                        0.0,
                        0.0,
                        point,
                    )
            for i in range(3):
                levers[k, leg, i] = point[i] - com[i] - velocity[i] * later
