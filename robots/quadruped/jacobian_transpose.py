"""Joint targets and torques without whole-body control: the planned forces through the legs' Jacobians.

Standing legs push with what the MPC planned, swinging legs are pulled to their trajectory, each leg for itself (Di
Carlo et al., IROS 2018, section III; the inertia that a swinging leg has at its foot is that of the home pose):

    standing   tau = g - J^T R^T f
    swinging   tau = g + J^T Lambda R^T (a* + kp (p* - p) + kd (v* - v)),    Lambda = (J M^-1 J^T)^-1 at home

with g what holds the leg against gravity. Joint targets are where every leg has to go for the base to be where it is
commanded, leg by leg: what the hierarchy of `safebo.robots.quadruped.wbc` gives as well while no leg is straight. No
quadratic program is solved but the MPC's, and no mass matrix is needed.
"""

from __future__ import annotations

import math

import numpy as np

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.memory import Memory, motion_of
from safebo.robots.quadruped.mpc.pendulum_mpc import Mpc
from safebo.robots.quadruped.wbc.dynamics import Dynamics, holding_torque
from safebo.robots.quadruped.wbc.hierarchy import DAMPING
from safebo.robots.quadruped.wbc.spatial import (
    Turn,
    Vector,
    along_base,
    applied,
    cross,
    dot,
    minus,
    plus,
    scaled,
    times,
    vector,
)
from safebo.types import FloatArray


class JacobianTranspose:
    """The law of one robot; drives the joints where `safebo.robots.quadruped.wbc.whole_body.WholeBody` does otherwise.

    Args:
        robot: the controller's model.
        dynamics: of it.
        mpc: whose forces are used.

    Attributes:
        forces: of the feet, as the MPC planned them, `4 x 3`, world, N.
        position, velocity, torque: joint targets and torque of the last tick, `12` each.
    """

    def __init__(self, robot: RobotModel, dynamics: Dynamics, mpc: Mpc) -> None:
        self.forces: FloatArray = mpc.forces[0]
        self._limits = np.stack([robot.joint_lower, robot.joint_upper, robot.torque_limit])
        self._inertia, self._links = foot_inertia(robot, dynamics), dynamics.links.links
        self._targets = np.zeros((3, 12))
        self.position, self.velocity, self.torque = self._targets

    def set_gains(self, gains: Gains) -> None:
        """Use these gains from the next tick on."""
        self._swing = gains.swing_feedback()

    def command(self, share: float, memory: Memory, q: FloatArray, qd: FloatArray) -> None:
        """Find joint targets and torque of one tick; see `WholeBody.command`."""
        transpose_tick(
            q, self.forces, self._swing, self._inertia, self._links, self._limits, memory, self._targets
        )


def foot_inertia(robot: RobotModel, dynamics: Dynamics) -> FloatArray:
    """The inertia of every leg at its foot with the base held, in the home pose: (J M^-1 J^T)^-1, `4 x 3 x 3`, kg."""
    home, still = robot.home_joints, np.zeros(3)
    dynamics.update(np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(6), home, np.zeros(12))
    jacobian, position, axes, drift = np.zeros((3, 3)), np.zeros(3), np.zeros((3, 3)), np.zeros((2, 3))
    found = np.zeros((4, 3, 3))
    for leg in range(4):
        joints = slice(3 * leg, 3 * leg + 3)
        leg_kinematics(robot.chains[leg], home[joints], still, position, jacobian, axes, drift)
        mass = dynamics.mass_matrix[6:, 6:][joints, joints]
        found[leg] = np.linalg.inv(jacobian @ np.linalg.solve(mass, jacobian.T))
    return found


@njit_no_alloc
def _tilt_and_turn(rotation: FloatArray, heading: float) -> Vector:
    """What turns the base level and to its heading: the vector of R^T Rz, to second order in the angle, base frame."""
    c, s = math.cos(heading), math.sin(heading)
    x, y, z = vector(rotation[:, 0]), vector(rotation[:, 1]), vector(rotation[:, 2])
    ahead, left, up = (c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)
    return (
        0.5 * (dot(z, left) - dot(y, up)),
        0.5 * (dot(x, up) - dot(z, ahead)),
        0.5 * (dot(y, ahead) - dot(x, left)),
    )


@njit_no_alloc
def _squared(rows: Turn) -> Turn:
    """J J^T + lambda^2 of a Jacobian by its rows, the damping being that of the task hierarchy."""
    x, y, z = rows
    damping = DAMPING * DAMPING
    return Turn(
        (dot(x, x) + damping, dot(x, y), dot(x, z)),
        (dot(x, y), dot(y, y) + damping, dot(y, z)),
        (dot(x, z), dot(y, z), dot(z, z) + damping),
    )


@njit_no_alloc
def _joint_step(rows: Turn, squared: Turn, wanted: Vector) -> Vector:
    """The step of a leg's joints that moves its foot as wanted: J^T (J J^T + lambda^2)^-1 wanted, by Cramer's rule."""
    a, b, c = squared
    bc, ca, ab = cross(b, c), cross(c, a), cross(a, b)
    size = dot(a, bc)
    along = (dot(wanted, bc) / size, dot(wanted, ca) / size, dot(wanted, ab) / size)
    return (
        rows.x[0] * along[0] + rows.y[0] * along[1] + rows.z[0] * along[2],
        rows.x[1] * along[0] + rows.y[1] * along[1] + rows.z[1] * along[2],
        rows.x[2] * along[0] + rows.y[2] * along[1] + rows.z[2] * along[2],
    )


@njit_no_alloc
def transpose_tick(
    q: FloatArray,
    forces: FloatArray,
    swing: FloatArray,
    inertia: FloatArray,
    links: FloatArray,
    limits: FloatArray,
    memory: Memory,
    targets: FloatArray,
) -> None:
    """Joint targets and torques of one tick.

    Args:
        q: joint angles `12`, rad.
        forces: planned for the feet now, `4 x 3`, world, N.
        swing: kp (1/s^2) and kd (1/s) of a swing foot per world axis, `2 x 3`.
        inertia: Lambda of every leg, base frame, kg, `4 x 3 x 3`.
        links: of the legs, see `LinkTable`.
        limits: lowest and highest angle, rad, and largest torque, N m, `3 x 12`.
        memory: of feet, base and wanted base.
        targets: out, angles (within the joints' range), speeds, torques (within their limits), `3 x 12`.
    """
    parameters, feet, base, reference, _ = motion_of(memory)
    legs = parameters.geometry.legs
    lower, upper, torque_limit = limits[0], limits[1], limits[2]
    q_wanted, qd_wanted, torque = targets[0], targets[1], targets[2]
    rotation, wanted = feet.rotation, reference.wanted
    step = minus(along_base(rotation, wanted[0]), along_base(rotation, base.position))
    turn = _tilt_and_turn(rotation, reference.heading[0])
    velocity, rate = along_base(rotation, wanted[1]), along_base(rotation, wanted[2])
    up = (rotation[2, 0], rotation[2, 1], rotation[2, 2])
    kp, kd = vector(swing[0]), vector(swing[1])
    for leg in range(4):
        first, stands = 3 * leg, feet.stance[leg]
        jacobian, local = feet.jacobian[leg], vector(feet.local[leg])
        rows = Turn(vector(jacobian[0]), vector(jacobian[1]), vector(jacobian[2]))
        error = minus(vector(feet.wanted[leg]), vector(feet.world[leg]))
        push = times(-1.0, vector(forces[leg]))
        if not stands:
            lag = minus(vector(feet.wanted_velocity[leg]), vector(feet.velocity[leg]))
            push = plus(plus(vector(feet.wanted_acceleration[leg]), scaled(kp, error)), scaled(kd, lag))
        # The foot moves against the base as the feet's plan says, less what the base itself is to do there.
        way = minus(minus(along_base(rotation, error), step), cross(turn, local))
        speed = minus(minus(along_base(rotation, feet.wanted_velocity[leg]), velocity), cross(rate, local))
        squared = _squared(rows)
        angles, speeds = _joint_step(rows, squared, way), _joint_step(rows, squared, speed)
        pull = along_base(rotation, push)
        if not stands:
            pull = applied(inertia[leg], pull)
        held = holding_torque(up, q[first : first + 3], legs[leg], links[leg])
        for j in range(3):
            i = first + j
            q_wanted[i] = min(upper[i], max(lower[i], q[i] + angles[j]))
            qd_wanted[i] = speeds[j]
            tau = held[j] + rows.x[j] * pull[0] + rows.y[j] * pull[1] + rows.z[j] * pull[2]
            torque[i] = min(torque_limit[i], max(-torque_limit[i], tau))
