"""Spatial vectors for compiled functions: motions, forces and inertias of rigid bodies in one common frame.

Everything is about the frame's origin O and along its axes (Featherstone, Rigid Body Dynamics Algorithms, 2008,
chapter 2): a body that turns at w and whose point at O moves at v has the motion (w, v), a force f with the moment n
about O is (f, n). Vectors are tuples of three numbers, which compiled code keeps in registers.
"""

from __future__ import annotations

from typing import NamedTuple

from safebo.boundary.compiled import njit_no_alloc
from safebo.types import FloatArray

Vector = tuple[float, float, float]


class Motion(NamedTuple):
    """Velocity or acceleration: of rotation, and of the body's point at the origin."""

    angular: Vector
    linear: Vector


class Force(NamedTuple):
    """Force or momentum: linear, and its moment about the origin."""

    linear: Vector
    moment: Vector


class Inertia(NamedTuple):
    """Of a rigid body about the origin.

    Args:
        mass: kg.
        lever: mass times centre of mass, kg m.
        tensor: xx, yy, zz, xy, xz, yz, kg m^2.
    """

    mass: float
    lever: Vector
    tensor: tuple[float, float, float, float, float, float]


class Turn(NamedTuple):
    """A rotation matrix by its columns: what becomes of the three axes."""

    x: Vector
    y: Vector
    z: Vector


IDENTITY = Turn((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@njit_no_alloc
def vector(values: FloatArray) -> Vector:
    """Three numbers of an array."""
    return (values[0], values[1], values[2])


@njit_no_alloc
def along_base(rotation: FloatArray, v: FloatArray | Vector) -> Vector:
    """A vector of the world along the base's axes: R^T v, with `rotation` `3 x 3` from base to world."""
    return (
        rotation[0, 0] * v[0] + rotation[1, 0] * v[1] + rotation[2, 0] * v[2],
        rotation[0, 1] * v[0] + rotation[1, 1] * v[1] + rotation[2, 1] * v[2],
        rotation[0, 2] * v[0] + rotation[1, 2] * v[1] + rotation[2, 2] * v[2],
    )


@njit_no_alloc
def applied(matrix: FloatArray, v: Vector) -> Vector:
    """A matrix `3 x 3` times a vector."""
    return (dot(vector(matrix[0]), v), dot(vector(matrix[1]), v), dot(vector(matrix[2]), v))


@njit_no_alloc
def cross(a: Vector, b: Vector) -> Vector:
    """The vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


@njit_no_alloc
def dot(a: Vector, b: Vector) -> float:
    """The scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit_no_alloc
def plus(a: Vector, b: Vector, factor: float = 1.0) -> Vector:
    """The sum a + factor b."""
    return (a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2])


@njit_no_alloc
def minus(a: Vector, b: Vector) -> Vector:
    """The difference."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


@njit_no_alloc
def times(factor: float, a: Vector) -> Vector:
    """The multiple."""
    return (factor * a[0], factor * a[1], factor * a[2])


@njit_no_alloc
def scaled(factors: Vector, a: Vector) -> Vector:
    """Every component times a factor of its own."""
    return (factors[0] * a[0], factors[1] * a[1], factors[2] * a[2])


@njit_no_alloc
def turned(turn: Turn, a: Vector) -> Vector:
    """A vector turned."""
    return plus(plus(times(a[0], turn.x), turn.y, a[1]), turn.z, a[2])


@njit_no_alloc
def turned_about(axis: Vector, s: float, c: float, a: Vector) -> Vector:
    """A vector turned about a unit axis by the angle with this sine and cosine (Rodrigues)."""
    return plus(plus(times(c, a), cross(axis, a), s), axis, (1.0 - c) * dot(axis, a))


@njit_no_alloc
def then_about(turn: Turn, axis: Vector, s: float, c: float) -> Turn:
    """A rotation after one about a unit axis: R exp(q [axis]x)."""
    x, y, z = IDENTITY
    return Turn(
        turned(turn, turned_about(axis, s, c, x)),
        turned(turn, turned_about(axis, s, c, y)),
        turned(turn, turned_about(axis, s, c, z)),
    )


@njit_no_alloc
def hinge(axis: Vector, anchor: Vector) -> Motion:
    """The motion of a hinge at one radian a second: its axis, and a point on it."""
    return Motion(axis, cross(anchor, axis))


@njit_no_alloc
def moving(before: Motion, joint: Motion, rate: float) -> Motion:
    """A motion and `rate` times another."""
    return Motion(plus(before.angular, joint.angular, rate), plus(before.linear, joint.linear, rate))


@njit_no_alloc
def motion_cross(a: Motion, b: Motion) -> Motion:
    """The rate of change of the motion b, fixed in a body that moves at a."""
    return Motion(cross(a.angular, b.angular), plus(cross(a.angular, b.linear), cross(a.linear, b.angular)))


@njit_no_alloc
def force_cross(a: Motion, f: Force) -> Force:
    """The rate of change of the force or momentum f, fixed in a body that moves at a."""
    return Force(cross(a.angular, f.linear), plus(cross(a.angular, f.moment), cross(a.linear, f.linear)))


@njit_no_alloc
def momentum(body: Inertia, motion: Motion) -> Force:
    """Inertia times motion."""
    xx, yy, zz, xy, xz, yz = body.tensor
    x, y, z = motion.angular
    turning = (xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z)
    return Force(
        plus(cross(motion.angular, body.lever), motion.linear, body.mass),
        plus(turning, cross(body.lever, motion.linear)),
    )


@njit_no_alloc
def combined(a: Inertia, b: Inertia) -> Inertia:
    """Two bodies as one."""
    p, q = a.tensor, b.tensor
    tensor = (p[0] + q[0], p[1] + q[1], p[2] + q[2], p[3] + q[3], p[4] + q[4], p[5] + q[5])
    return Inertia(a.mass + b.mass, plus(a.lever, b.lever), tensor)


@njit_no_alloc
def added(a: Force, b: Force) -> Force:
    """Two forces as one."""
    return Force(plus(a.linear, b.linear), plus(a.moment, b.moment))


@njit_no_alloc
def power(motion: Motion, force: Force) -> float:
    """Of a force on a motion: the force or inertia that a joint with that motion feels."""
    return dot(motion.angular, force.moment) + dot(motion.linear, force.linear)


@njit_no_alloc
def placed(mass: float, centre: Vector, axes: Turn, moments: Vector) -> Inertia:
    """A body about the origin, by the parallel-axis theorem.

    Args:
        mass: kg.
        centre: of mass, m.
        axes: its principal axes.
        moments: of inertia about its centre of mass and along them, kg m^2.
    """
    x, y, z = centre
    p, q, r = axes
    a, b, c = moments
    tensor = (
        a * p[0] * p[0] + b * q[0] * q[0] + c * r[0] * r[0] + mass * (y * y + z * z),
        a * p[1] * p[1] + b * q[1] * q[1] + c * r[1] * r[1] + mass * (x * x + z * z),
        a * p[2] * p[2] + b * q[2] * q[2] + c * r[2] * r[2] + mass * (x * x + y * y),
        a * p[0] * p[1] + b * q[0] * q[1] + c * r[0] * r[1] - mass * x * y,
        a * p[0] * p[2] + b * q[0] * q[2] + c * r[0] * r[2] - mass * x * z,
        a * p[1] * p[2] + b * q[1] * q[2] + c * r[1] * r[2] - mass * y * z,
    )
    return Inertia(mass, times(mass, centre), tensor)
