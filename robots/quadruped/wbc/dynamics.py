"""The robot's equations of motion: mass matrix and bias force.

Coordinates are Pinocchio's: base velocity (linear, then angular, in the base frame), then joints leg by leg. Masses
and inertias come from Pinocchio's model of the robot; for a trunk with four legs of three hinges each, composite rigid
bodies and the recursive Newton-Euler algorithm (Featherstone 2008, chapters 5 and 6) are written down here, in the base
frame, where no transformation between links is needed. Tests hold both against Pinocchio.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pinocchio

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.problem import RigidBody
from safebo.robots.quadruped.wbc.spatial import (
    IDENTITY,
    Force,
    Inertia,
    Motion,
    Turn,
    Vector,
    added,
    combined,
    cross,
    dot,
    force_cross,
    hinge,
    minus,
    momentum,
    motion_cross,
    moving,
    placed,
    plus,
    power,
    then_about,
    times,
    turned,
    turned_about,
    vector,
)
from safebo.types import FloatArray


class LinkTable(NamedTuple):
    """All links of a robot, with its joints at zero, in the base frame.

    Args:
        trunk: mass (kg), centre of mass `3` (m), principal axes, one after the other, `9`, and moments about the centre
            of mass `3` (kg m^2): `16`.
        links: the same of hip, thigh and calf of every leg, `4 x 3 x 16`.
        legs: axes and points on them, see `safebo.robots.descriptions.chain`, `4 x 7 x 3`.
        armature: of the joints' rotors, kg m^2, `12`.
    """

    trunk: FloatArray
    links: FloatArray
    legs: FloatArray
    armature: FloatArray


class Dynamics:
    """Mass matrix and bias force of the controller's own model, in robot order.

    Raises:
        ValueError: a robot with other joints than twelve hinges.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._model = robot.load_pinocchio()
        if self._model.nv != 18:
            raise ValueError(f"robot {robot.name!r}: {self._model.nv - 6} joints move, expected twelve")
        self._joint_q = robot.pinocchio_index(self._model).q
        self.links = _links(robot, self._model)
        self.mass_matrix = np.zeros((18, 18))
        self.bias = np.zeros(18)

    def composite(self, joints: FloatArray) -> RigidBody:
        """The whole robot as one rigid body, its joints locked at `joints` `12`."""
        data = self._model.createData()
        q = pinocchio.neutral(self._model)
        q[self._joint_q] = joints
        pinocchio.ccrba(self._model, data, q, np.zeros(self._model.nv))
        whole = data.Ig
        inverse_inertia = np.linalg.inv(np.ascontiguousarray(whole.inertia))
        return RigidBody(float(whole.mass), np.array(data.com[0]), inverse_inertia)

    def update(self, quaternion: FloatArray, base: FloatArray, q: FloatArray, qd: FloatArray) -> None:
        """Evaluate `mass_matrix` and `bias`.

        Args:
            quaternion: base orientation w, x, y, z.
            base: base velocity in the base frame `6`, linear then angular.
            q: joint angles `12`.
            qd: joint speeds `12`.
        """
        equations_of_motion(quaternion, base, q, qd, self.links, self.mass_matrix, self.bias)


def _links(robot: RobotModel, model: pinocchio.Model) -> LinkTable:
    data = model.createData()
    pinocchio.forwardKinematics(model, data, pinocchio.neutral(model))

    def row(joint: int) -> FloatArray:
        body = data.oMi[joint].act(model.inertias[joint])
        moments, axes = np.linalg.eigh(np.ascontiguousarray(body.inertia))
        return np.concatenate([[body.mass], body.lever, axes.T.ravel(), moments])

    index = robot.pinocchio_index(model)
    joints = [model.getJointId(name) for name in robot.joint_names]
    return LinkTable(
        row(1),
        np.array([row(joint) for joint in joints]).reshape(4, 3, 16),
        np.ascontiguousarray(robot.chains),
        np.array(model.armature)[index.v],
    )


@njit_no_alloc
def _body(link: FloatArray, turn: Turn, anchor: Vector, anchor_at_zero: Vector) -> Inertia:
    """A link turned by `turn`, with a point of it that was at `anchor_at_zero` now at `anchor`."""
    centre = plus(anchor, turned(turn, minus(vector(link[1:4]), anchor_at_zero)))
    axes = Turn(
        turned(turn, vector(link[4:7])),
        turned(turn, vector(link[7:10])),
        turned(turn, vector(link[10:13])),
    )
    return placed(link[0], centre, axes, vector(link[13:16]))


@njit_no_alloc
def _required(body: Inertia, velocity: Motion, acceleration: Motion) -> Force:
    """The force that a body needs for its motion: I a + v x* I v."""
    return added(momentum(body, acceleration), force_cross(velocity, momentum(body, velocity)))


@njit_no_alloc
def _write_base_column(column: int, force: Force, mass_matrix: FloatArray) -> None:
    """What the base has to be held with while one joint accelerates at one radian per square second."""
    for i in range(3):
        mass_matrix[i, column] = mass_matrix[column, i] = force.linear[i]
        mass_matrix[3 + i, column] = mass_matrix[column, 3 + i] = force.moment[i]


@njit_no_alloc
def _write_joint_block(
    hinges: tuple[Motion, Motion, Motion],
    pushes: tuple[Force, Force, Force],
    armature: FloatArray,
    block: FloatArray,
) -> None:
    """What the joints of one leg need while one of them accelerates at one radian per square second."""
    (s0, s1, s2), (push0, push1, push2) = hinges, pushes
    block[0, 0] = power(s0, push0) + armature[0]
    block[1, 1] = power(s1, push1) + armature[1]
    block[2, 2] = power(s2, push2) + armature[2]
    block[0, 1] = block[1, 0] = power(s0, push1)
    block[0, 2] = block[2, 0] = power(s0, push2)
    block[1, 2] = block[2, 1] = power(s1, push2)


@njit_no_alloc
def _write_base_block(whole: Inertia, total: Force, mass_matrix: FloatArray, bias: FloatArray) -> None:
    """What the base needs: `whole` is the inertia of all, `total` the force of all while nothing accelerates."""
    for i in range(3):
        bias[i], bias[3 + i] = total.linear[i], total.moment[i]
        mass_matrix[i, i] = whole.mass
    xx, yy, zz, xy, xz, yz = whole.tensor
    mass_matrix[3, 3], mass_matrix[4, 4], mass_matrix[5, 5] = xx, yy, zz
    mass_matrix[3, 4] = mass_matrix[4, 3] = xy
    mass_matrix[3, 5] = mass_matrix[5, 3] = xz
    mass_matrix[4, 5] = mass_matrix[5, 4] = yz
    # force of an acceleration about O: alpha x lever
    hx, hy, hz = whole.lever
    mass_matrix[0, 4] = mass_matrix[4, 0] = hz
    mass_matrix[0, 5] = mass_matrix[5, 0] = -hy
    mass_matrix[1, 3] = mass_matrix[3, 1] = -hz
    mass_matrix[1, 5] = mass_matrix[5, 1] = hx
    mass_matrix[2, 3] = mass_matrix[3, 2] = hy
    mass_matrix[2, 4] = mass_matrix[4, 2] = -hx


@njit_no_alloc(forceinline=True)
def equations_of_motion(
    quaternion: FloatArray,
    base: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    table: LinkTable,
    mass_matrix: FloatArray,
    bias: FloatArray,
) -> None:
    """Write mass matrix M and bias force h of M a + h = force.

    With the joints' motions S_i, the inertia I_i of all that hangs on joint i, and F_i the force that this needs when
    nothing accelerates but what the speeds make turn,

        M_ij = S_i^T I_j S_j (i between the base and j),   h_i = S_i^T F_i.

    Gravity is an acceleration of the base upward.

    Args:
        quaternion: base orientation w, x, y, z.
        base: base velocity in the base frame `6`, linear then angular.
        q: joint angles `12`, rad.
        qd: joint speeds `12`, rad/s.
        table: the links.
        mass_matrix: out, `18 x 18`; what couples two legs is not written: it is zero.
        bias: out, `18`.
    """
    w, x, y, z = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    up = (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y))
    trunk_velocity = Motion(vector(base[3:6]), vector(base[0:3]))
    trunk_acceleration = Motion((0.0, 0.0, 0.0), (GRAVITY * up[0], GRAVITY * up[1], GRAVITY * up[2]))
    origin = (0.0, 0.0, 0.0)
    whole = _body(table.trunk, IDENTITY, origin, origin)
    total = _required(whole, trunk_velocity, trunk_acceleration)
    for leg in range(4):
        chain, links, first = table.legs[leg], table.links[leg], 6 + 3 * leg
        q0, q1, q2 = q[3 * leg], q[3 * leg + 1], q[3 * leg + 2]
        u0, u1, u2 = qd[3 * leg], qd[3 * leg + 1], qd[3 * leg + 2]
        axis0, axis1, axis2 = vector(chain[0]), vector(chain[1]), vector(chain[2])
        point0, point1, point2 = vector(chain[3]), vector(chain[4]), vector(chain[5])
        # from the base outward: where the links are, and how they move while no joint accelerates
        turn0 = then_about(IDENTITY, axis0, math.sin(q0), math.cos(q0))
        turn1 = then_about(turn0, axis1, math.sin(q1), math.cos(q1))
        turn2 = then_about(turn1, axis2, math.sin(q2), math.cos(q2))
        anchor1 = plus(point0, turned(turn0, minus(point1, point0)))
        anchor2 = plus(anchor1, turned(turn1, minus(point2, point1)))
        s0 = hinge(axis0, point0)
        s1 = hinge(turned(turn0, axis1), anchor1)
        s2 = hinge(turned(turn1, axis2), anchor2)
        velocity0 = moving(trunk_velocity, s0, u0)
        velocity1 = moving(velocity0, s1, u1)
        velocity2 = moving(velocity1, s2, u2)
        acceleration0 = moving(trunk_acceleration, motion_cross(velocity0, s0), u0)
        acceleration1 = moving(acceleration0, motion_cross(velocity1, s1), u1)
        acceleration2 = moving(acceleration1, motion_cross(velocity2, s2), u2)
        # from the foot inward: what hangs on every joint, and the force that it needs
        body2 = _body(links[2], turn2, anchor2, point2)
        body1 = _body(links[1], turn1, anchor1, point1)
        body0 = _body(links[0], turn0, point0, point0)
        force2 = _required(body2, velocity2, acceleration2)
        force1 = added(force2, _required(body1, velocity1, acceleration1))
        force0 = added(force1, _required(body0, velocity0, acceleration0))
        bias[first] = power(s0, force0)
        bias[first + 1] = power(s1, force1)
        bias[first + 2] = power(s2, force2)
        inertia1 = combined(body1, body2)
        inertia0 = combined(body0, inertia1)
        push0, push1, push2 = momentum(inertia0, s0), momentum(inertia1, s1), momentum(body2, s2)
        _write_base_column(first, push0, mass_matrix)
        _write_base_column(first + 1, push1, mass_matrix)
        _write_base_column(first + 2, push2, mass_matrix)
        block, armature = (
            mass_matrix[first : first + 3, first : first + 3],
            table.armature[3 * leg : 3 * leg + 3],
        )
        _write_joint_block((s0, s1, s2), (push0, push1, push2), armature, block)
        whole, total = combined(whole, inertia0), added(total, force0)
    _write_base_block(whole, total, mass_matrix, bias)


@njit_no_alloc
def holding_torque(up: Vector, q: FloatArray, chain: FloatArray, links: FloatArray) -> Vector:
    """What holds one leg against gravity, N m: a . (h x g up) of each joint, h the lever of all that hangs on it.

    The lever, mass times centre of mass about a point of the joint, is that of the link and of what hangs on the next
    joint, turned with it; each is taken along the axes of its own link at zero, and so is `up`.

    Args:
        up: along the base's axes.
        q: joint angles of the leg `3`, rad.
        chain: of the leg, `7 x 3`.
        links: hip, thigh and calf, `3 x 16`, see `LinkTable`.
    """
    axis0, axis1, axis2 = vector(chain[0]), vector(chain[1]), vector(chain[2])
    point0, point1, point2 = vector(chain[3]), vector(chain[4]), vector(chain[5])
    s1, c1, s2, c2 = math.sin(q[1]), math.cos(q[1]), math.sin(q[2]), math.cos(q[2])
    up0 = turned_about(axis0, -math.sin(q[0]), math.cos(q[0]), up)
    up1 = turned_about(axis1, -s1, c1, up0)
    up2 = turned_about(axis2, -s2, c2, up1)
    mass0, mass1, mass2 = links[0, 0], links[1, 0], links[2, 0]
    own0 = minus(vector(links[0, 1:4]), point0)
    own1 = minus(vector(links[1, 1:4]), point1)
    own2 = minus(vector(links[2, 1:4]), point2)
    lever2 = times(mass2, own2)
    carried = plus(turned_about(axis2, s2, c2, lever2), minus(point2, point1), mass2)
    lever1 = plus(carried, own1, mass1)
    carried = plus(turned_about(axis1, s1, c1, lever1), minus(point1, point0), mass1 + mass2)
    lever0 = plus(carried, own0, mass0)
    return (
        GRAVITY * dot(axis0, cross(lever0, up0)),
        GRAVITY * dot(axis1, cross(lever1, up1)),
        GRAVITY * dot(axis2, cross(lever2, up2)),
    )
