"""Which feet touch the floor: the force on every foot, from the torques of its leg.

A leg whose joints are driven by tau and whose foot is pushed by f moves by

    M_lb a_b + M_l qdd + h_l = tau - d qd - c sign(qd) + J^T f,

with a_b the acceleration of the base by gyroscope and accelerometer (no estimate of the base enters), M and h of the
controller's model, d and c its joints' damping and friction. What the equation lacks without f is low-passed: it is the
observer of the generalised momentum (De Luca and Mattone, ICRA 2003) but for the change of M within its time constant,

    r += (1 - exp(-dt / T)) (M_lb a_b + M_l qdd + h_l - tau + d qd + c tanh(qd / s) - r)
    f = (J J^T + lambda^2)^-1 J r.

No joint is that of its model. In the first half of a swing no foot touches, so what the equation lacks there is the
joints' own: friction, damping and rotor inertia beside the model's, three numbers of every joint that are learned from
it by a Kalman filter that forgets slowly, and are taken off always. What is left of f_z there, its rms e, says how far
the estimate is to be trusted. A leg goes by the clock until it has swung `LESSONS` times, and while e is more than
`UNSURE` of the robot's weight.

A foot touches once f_z is more than `ON` of the robot's weight and `DOUBT` times e, and until it is less than `OFF` of
the weight minus `DOUBT` times e: where the model is worse it takes more to say that a foot touches or that it does
not. Forces mostly sideways are a toe that hits a riser, which carries nothing.

Torques are those of the joint law that the motors were told: every robot has them, with no sensor of its own. Unitree's
`foot_force` is not used: its counts have no unit and differ from foot to foot, the guardian does not hand them to
controllers, not every robot has them, and the simulated ones are exact, which a robot's never are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc, put
from safebo.robots.descriptions.chain import measure_legs
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.contact_timing import SWING, Contacts
from safebo.robots.quadruped.filter import is_sound
from safebo.robots.quadruped.interface import GRAVITY, JointCommand, SensorReading
from safebo.robots.quadruped.memory import Memory, motion_of
from safebo.robots.quadruped.wbc.dynamics import Dynamics, LinkTable, equations_of_motion
from safebo.robots.quadruped.wbc.spatial import Vector, cross, dot, vector
from safebo.types import BoolArray, FloatArray, IntArray

ON, OFF = 0.12, 0.06
"""Shares of the robot's weight: a foot that carries a quarter of it has twice the larger one."""
TIME_CONSTANT = 0.006
"""s, of the low-pass T for a Go1; others by the root of their legs' length, as their strides."""
STEEPEST = 1.2
"""Sideways over vertical force beyond which a touch is no floor: twice what rubber holds."""
DAMPING = 0.02
"""m, lambda for a Go1, bounds the force of a straight leg; others by the length of their legs."""
STICKING = 0.2
"""rad/s, s: below that friction of a joint is anything."""
LESSONS = 3
"""Swings of a leg from which its joints are learned before what is felt of it counts."""
IN_THE_AIR = (0.1, 0.45)
"""Shares of the swing between which a foot is certainly off the floor."""
DOUBT = 2.0
"""Multiples of e."""
UNSURE = 0.06
"""Share of the robot's weight."""
REMEMBERED = 150
"""Ticks in the air over which e is taken: about three swings of a trot."""
UNKNOWN = (0.5, 0.3, 0.02)
"""N m, N m s/rad and kg m^2: how far friction, damping and rotor inertia of a Go1's joint may be from the model's;
others to scale."""
FORGETTING = 0.005
"""Share of that by which they may change in a tick in the air."""
ROUGHNESS = 0.5
"""N m: what the equation lacks in one tick for other reasons, mostly noise of the speeds."""
UNLIKELY = 3.0
"""Standard deviations beyond which a lesson counts less (Huber)."""

TOUCH = np.dtype(
    [
        ("trunk", "f8", 16),  # see `LinkTable`
        ("links", "f8", (4, 3, 16)),
        ("legs", "f8", (4, 7, 3)),
        ("armature", "f8", 12),
        ("damping", "f8", 12),  # of the joints, N m s/rad
        ("friction", "f8", 12),  # N m
        ("torque_limit", "f8", 12),
        ("imu", "f8", 3),  # place of the inertial unit, m
        ("period", "f8"),
        ("share", "f8"),  # of the low-pass, 1 - exp(-dt / T)
        ("thresholds", "f8", 2),  # on and off, N
        ("weight", "f8"),  # N
        ("damped", "f8"),  # lambda^2, m^2
        ("before", "f8", 27),  # angles, speeds and rate of the base in the last tick
        ("known", "u1"),  # whether there was a last tick
        ("acted", "f8", 12),  # torques since then, N m
        ("base", "f8", (2, 6)),  # velocity and acceleration, in a frame that moves with its origin now
        ("residual", "f8", 12),  # r
        ("learned", "f8", (12, 3)),  # friction, damping and inertia of the joints beside the model's
        ("spread", "f8", (12, 3, 3)),  # their covariance
        ("unknown", "f8", 3),  # standard deviations of them at first
        ("roughness", "f8"),  # N m, see `ROUGHNESS`
        ("wrong", "f8", 4),  # e^2, N^2
        ("ticks", "i8", 4),  # over which it was taken
        ("swings", "i8", 4),  # from which a leg has learned
        ("aloft", "u1", 4),  # whether a foot was certainly off the floor in the last tick
        ("force", "f8", (4, 3)),  # on the feet, base frame, N
        ("touching", "u1", 4),
        ("mass_matrix", "f8", (18, 18)),
        ("bias", "f8", 18),
        ("position", "f8", (4, 3)),
        ("jacobian", "f8", (4, 3, 3)),
        ("axes", "f8", (4, 3, 3)),
        ("drift", "f8", (4, 2, 3)),
    ]
)
"""What the estimate is told, remembers and finds, in one piece of memory, see `safebo.boundary.compiled`."""

TouchMemory = NDArray[np.uint8]
"""The bytes of one `TOUCH`."""


class Touch:
    """The estimate of one robot.

    Args:
        robot: the controller's model.
        dynamics: of it.
        period: control period, s.

    Attributes:
        force: on every foot in the last tick, base frame, N, `4 x 3`. touching: which feet touch, `4`.
    """

    def __init__(self, robot: RobotModel, dynamics: Dynamics, period: float) -> None:
        model, links = robot.load_pinocchio(), dynamics.links
        joints, length = robot.pinocchio_index(model).v, robot.size.length
        strength = robot.size.mass * length
        record = np.zeros(1, TOUCH)
        for name, values in (
            ("trunk", links.trunk),
            ("links", links.links),
            ("legs", links.legs),
            ("armature", links.armature),
            ("damping", np.array(model.damping)[joints]),
            ("friction", np.array(model.friction)[joints]),
            ("torque_limit", robot.torque_limit),
            ("imu", robot.imu_position),
            ("period", period),
            ("share", 1.0 - math.exp(-period / (TIME_CONSTANT * math.sqrt(length)))),
            ("thresholds", np.array([ON, OFF]) * robot.mass * GRAVITY),
            ("weight", robot.mass * GRAVITY),
            ("damped", (DAMPING * length) ** 2),
            ("unknown", np.array(UNKNOWN) * strength * length ** np.array([0.0, 0.5, 1.0])),
            ("roughness", ROUGHNESS * strength),
        ):
            record[name] = values
        self._record = record
        self._memory: TouchMemory = record.view(np.uint8)
        self.force: FloatArray = record["force"][0]
        self.touching: BoolArray = record["touching"][0].view(np.bool_)
        self.reset()

    def reset(self) -> None:
        """Begin again: nothing is known of an earlier tick."""
        for name in ("known", "residual", "force", "touching", "before", "learned", "swings", "aloft"):
            self._record[name] = 0
        self._record["wrong"], self._record["ticks"] = 0.0, 0
        self._record["spread"] = np.diag(self._record["unknown"][0] ** 2)

    def feel(self, command: JointCommand, reading: SensorReading, motion: Memory) -> None:
        """Find out which feet touch, see `estimate_touch`."""
        estimate_touch(
            command.position,
            command.velocity,
            command.torque,
            command.kp,
            command.kd,
            reading.joint_position,
            reading.joint_velocity,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
            self._memory,
            motion,
        )


@njit_no_alloc
def estimate_touch(
    position: FloatArray,
    velocity: FloatArray,
    torque: FloatArray,
    kp: FloatArray,
    kd: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    memory: TouchMemory,
    motion: Memory,
) -> None:
    """Which feet touch, by what the sensors say now; an unsound sample changes nothing.

    Args:
        position: of the joint law that has driven the motors since the last tick, `12`, like the next four.
        velocity: see `JointCommand`.
        torque: see `JointCommand`.
        kp: see `JointCommand`.
        kd: see `JointCommand`.
        q: measured angles `12`, rad.
        qd: measured speeds `12`, rad/s.
        orientation: of the base, quaternion.
        angular_velocity: of the base in its frame, rad/s.
        specific_force: at the inertial unit, base frame, m/s^2.
        memory: of the estimate; its `force` and `touching` are written.
        motion: of the legs; what is felt is written.
    """
    if not is_sound(q, qd, orientation, angular_velocity, specific_force):
        return
    m, contacts = memory.view(TOUCH)[0], motion_of(motion).contacts
    before, acted, limit = m["before"], m["acted"], m["torque_limit"]
    for j in range(12):
        tau = torque[j] + kp[j] * (position[j] - before[j]) + kd[j] * (velocity[j] - before[12 + j])
        acted[j] = min(limit[j], max(-limit[j], tau))
    for leg in range(4):
        _watch_swing(leg, contacts, m["aloft"], m["swings"])
    _residuals(q, qd, orientation, angular_velocity, specific_force, memory)
    up = _up(orientation)
    measure_legs(m["legs"], q, qd, m["position"], m["jacobian"], m["axes"], m["drift"])
    for leg in range(4):
        f = _foot_force(m["jacobian"][leg], m["residual"][3 * leg : 3 * leg + 3], m["damped"])
        m["force"][leg, 0], m["force"][leg, 1], m["force"][leg, 2] = f
        vertical = dot(f, up)
        if m["aloft"][leg] != 0:
            m["ticks"][leg] = min(REMEMBERED, m["ticks"][leg] + 1)
            wrong = min(abs(vertical), m["thresholds"][0])  # a toe that hits a riser is no error
            m["wrong"][leg] += (wrong * wrong - m["wrong"][leg]) / m["ticks"][leg]
        doubt = DOUBT * math.sqrt(m["wrong"][leg])
        on, off = m["thresholds"][0] + doubt, m["thresholds"][1] - doubt
        m["touching"][leg] = touches(m["touching"][leg] != 0, dot(f, f), vertical, on, off)
        contacts.touching[leg], contacts.empty[leg] = m["touching"][leg] != 0, vertical < off
        sure = DOUBT * UNSURE * m["weight"] >= doubt
        contacts.known[leg] = m["swings"][leg] >= LESSONS and sure
    put(q, before[0:12])
    put(qd, before[12:24])
    for i in range(3):
        before[24 + i] = angular_velocity[i]
    m["known"] = 1


@njit_no_alloc(forceinline=True)
def _watch_swing(leg: int, contacts: Contacts, aloft: BoolArray, swings: IntArray) -> None:
    """Whether a foot is certainly off the floor, and how many swings of it there were."""
    begin, end = IN_THE_AIR
    now = contacts.mode[leg] == SWING and begin <= contacts.progress[leg] <= end
    if aloft[leg] and not now:
        swings[leg] += 1
    aloft[leg] = now


@njit_no_alloc
def learn(
    lacks: float,
    told: Vector,
    noise: float,
    unknown: FloatArray,
    learned: FloatArray,
    spread: FloatArray,
) -> None:
    """One tick of the Kalman filter of a joint's own, theta: 0 = lacks + told . theta + noise.

    Args:
        lacks: in the equation of the joint, N m.
        told: smooth sign of its speed, its speed, rad/s, and its acceleration, rad/s^2.
        noise: standard deviation, N m.
        unknown: standard deviations of theta at first, `3`.
        learned: theta, friction, damping and inertia beside the model's, `3`; out.
        spread: its covariance, `3 x 3`; out.
    """
    for i in range(3):
        drift = FORGETTING * unknown[i]
        spread[i, i] += drift * drift
    gain = dot(vector(spread[0]), told), dot(vector(spread[1]), told), dot(vector(spread[2]), told)
    total = noise * noise + dot(gain, told)
    miss = -lacks - dot(vector(learned), told)
    most = UNLIKELY * math.sqrt(total)
    miss = min(most, max(-most, miss))
    for i in range(3):
        learned[i] += gain[i] * miss / total
        for j in range(3):
            spread[i, j] -= gain[i] * gain[j] / total


@njit_no_alloc
def touches(touched: bool, squared: float, vertical: float, on: float, off: float) -> bool:
    """Whether a foot touches, by the force on it: hysteresis, and a cone against risers.

    Args:
        touched: whether it did in the last tick.
        squared: size of the force squared, N^2.
        vertical: its vertical part, N.
        on: beyond which it touches, N.
        off: under which it does not, N.
    """
    if touched:
        return vertical > off
    return vertical > on and squared < (1.0 + STEEPEST * STEEPEST) * vertical * vertical


@njit_no_alloc
def _up(w: FloatArray) -> Vector:
    """The world's vertical in the frame of a unit quaternion."""
    return (
        2.0 * (w[1] * w[3] - w[0] * w[2]),
        2.0 * (w[2] * w[3] + w[0] * w[1]),
        1.0 - 2.0 * (w[1] * w[1] + w[2] * w[2]),
    )


@njit_no_alloc
def _foot_force(jacobian: FloatArray, r: FloatArray, damped: float) -> Vector:
    """(J J^T + lambda^2)^-1 J r, by Cramer's rule."""
    x, y, z = vector(jacobian[0]), vector(jacobian[1]), vector(jacobian[2])
    torque = vector(r)
    a = (dot(x, x) + damped, dot(x, y), dot(x, z))
    b = (a[1], dot(y, y) + damped, dot(y, z))
    c = (a[2], b[2], dot(z, z) + damped)
    wanted = (dot(x, torque), dot(y, torque), dot(z, torque))
    bc, ca, ab = cross(b, c), cross(c, a), cross(a, b)
    size = dot(a, bc)
    return (dot(wanted, bc) / size, dot(wanted, ca) / size, dot(wanted, ab) / size)


@njit_no_alloc
def _residuals(
    q: FloatArray,
    qd: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    memory: TouchMemory,
) -> None:
    """Move r on by one tick, in which the torques of `acted` acted."""
    m = memory.view(TOUCH)[0]
    if m["known"] == 0:
        return
    before, period, mass_matrix, bias = m["before"], m["period"], m["mass_matrix"], m["bias"]
    acted, base, acceleration = m["acted"], m["base"][0], m["base"][1]
    put(angular_velocity, base[3:6])
    table = LinkTable(m["trunk"], m["links"], m["legs"], m["armature"])
    equations_of_motion(orientation, base, q, qd, table, mass_matrix, bias)
    rate, imu, up = vector(angular_velocity), vector(m["imu"]), _up(orientation)
    turned = cross(rate, cross(rate, imu))
    for i in range(3):  # the bias has gravity already, which the accelerometer feels too
        acceleration[i] = specific_force[i] - turned[i] - GRAVITY * up[i]
        acceleration[3 + i] = (angular_velocity[i] - before[24 + i]) / period
    for j in range(12):
        first = 6 + 3 * (j // 3)
        lacks = bias[6 + j] - acted[j]
        for i in range(6):
            lacks += mass_matrix[6 + j, i] * acceleration[i]
        for k in range(3):
            i = first - 6 + k
            lacks += mass_matrix[6 + j, first + k] * (qd[i] - before[12 + i]) / period
        sign, faster = math.tanh(qd[j] / STICKING), (qd[j] - before[12 + j]) / period
        lacks += m["damping"][j] * qd[j] + m["friction"][j] * sign
        told, learned = (sign, qd[j], faster), m["learned"][j]
        if m["aloft"][j // 3] != 0:
            learn(lacks, told, m["roughness"], m["unknown"], learned, m["spread"][j])
        lacks += learned[0] * sign + learned[1] * qd[j] + learned[2] * faster
        m["residual"][j] += m["share"] * (lacks - m["residual"][j])
