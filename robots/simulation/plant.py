"""The plant: a robot in MuJoCo with its motors, sensors and disturbance.

Time goes in control ticks. In every tick the motors turn the command into torque by the joint law on their
own encoders, the torque passes limits, delay and disturbance, and the physics advances by one control period.
Positions and velocities are brought up to date right after the step, so that whatever is read belongs to the
present state.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np
from numba import njit
from numpy.typing import NDArray

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.robots.simulation.disturbance import Disturbance

FloatArray = NDArray[np.float64]

GRAVITY = 9.81

# A diverged state is noticed by `Simulation.finite`; MuJoCo would also leave a log file where the user works.
mujoco.set_mju_user_warning(lambda _message: None)

_NOISE_BLOCK = 256
_CHANNELS = 33  # 12 angles, 12 speeds, 3 attitude, 3 gyroscope, 3 accelerometer


@njit(cache=True)
def _motor_law(
    command: FloatArray,
    encoder: FloatArray,
    state: FloatArray,
    motor: FloatArray,
    corner: float,
    out: FloatArray,
) -> None:
    """Torques of the twelve motors.

    Args:
        command: rows position, velocity, feed-forward torque, kp, kd (5 x 12).
        encoder: rows measured angle and speed (2 x 12).
        state: rows true angle and speed (2 x 12).
        motor: rows torque limit, no-load speed, torque factor, impedance on angle and on speed (5 x 12).
        corner: share of the no-load speed from which the limit falls; 0 for a constant limit.
        out: rows torque of the motor law after its limits, motor torque at the joint, impedance torque
            (3 x 12).
    """
    for j in range(12):
        tau = (
            command[2, j]
            + command[3, j] * (command[0, j] - encoder[0, j])
            + command[4, j] * (command[1, j] - encoder[1, j])
        )
        limit = motor[0, j]
        if corner > 0.0 and tau * state[1, j] > 0.0:
            share = (motor[1, j] - abs(state[1, j])) / (motor[1, j] * (1.0 - corner))
            limit *= min(1.0, max(0.0, share))
        tau = min(limit, max(-limit, tau))
        out[0, j] = tau
        out[1, j] = motor[2, j] * tau
        out[2, j] = motor[3, j] * (command[0, j] - state[0, j]) - motor[4, j] * state[1, j]


@njit(cache=True)
def _sense(
    qpos: FloatArray,
    qvel: FloatArray,
    previous_velocity: FloatArray,
    index: NDArray[np.int64],
    base: NDArray[np.int64],
    period: float,
    imu: FloatArray,
    noise: FloatArray,
    scale: FloatArray,
    bias: FloatArray,
    state: FloatArray,
    truth: FloatArray,
    reading: FloatArray,
) -> None:
    """True joint state (2 x 12), true base state (13) and the reading of all sensors (34) from qpos and qvel.

    The accelerometer gives the mean specific force over the last control period, as units that integrate at a
    high rate do.
    """
    for j in range(12):
        state[0, j] = qpos[index[0, j]]
        state[1, j] = qvel[index[1, j]]
        reading[j] = state[0, j] + scale[j] * noise[j] + bias[j]
        reading[12 + j] = state[1, j] + scale[12 + j] * noise[12 + j] + bias[12 + j]
    bq, bv = base[0], base[1]
    for k in range(7):
        truth[k] = qpos[bq + k]
    for k in range(6):
        truth[7 + k] = qvel[bv + k]
    w, x, y, z = truth[3], truth[4], truth[5], truth[6]
    # attitude: a small rotation, in the trunk frame, on top of the true one
    ax = 0.5 * (scale[24] * noise[24] + bias[24])
    ay = 0.5 * (scale[25] * noise[25] + bias[25])
    az = 0.5 * (scale[26] * noise[26] + bias[26])
    length = math.sqrt(1.0 + ax * ax + ay * ay + az * az)
    reading[24] = (w - x * ax - y * ay - z * az) / length
    reading[25] = (x + w * ax + y * az - z * ay) / length
    reading[26] = (y + w * ay + z * ax - x * az) / length
    reading[27] = (z + w * az + x * ay - y * ax) / length
    for k in range(3):
        reading[28 + k] = truth[10 + k] + scale[27 + k] * noise[27 + k] + bias[27 + k]
    # specific force at the inertial unit
    fx = (truth[7] - previous_velocity[0]) / period
    fy = (truth[8] - previous_velocity[1]) / period
    fz = (truth[9] - previous_velocity[2]) / period + GRAVITY
    wx, wy, wz = truth[10], truth[11], truth[12]
    dx = (wx - previous_velocity[3]) / period
    dy = (wy - previous_velocity[4]) / period
    dz = (wz - previous_velocity[5]) / period
    rx, ry, rz = imu[0], imu[1], imu[2]
    cx, cy, cz = wy * rz - wz * ry, wz * rx - wx * rz, wx * ry - wy * rx
    force0 = (1 - 2 * (y * y + z * z)) * fx + 2 * (x * y + w * z) * fy + 2 * (x * z - w * y) * fz
    force1 = 2 * (x * y - w * z) * fx + (1 - 2 * (x * x + z * z)) * fy + 2 * (y * z + w * x) * fz
    force2 = 2 * (x * z + w * y) * fx + 2 * (y * z - w * x) * fy + (1 - 2 * (x * x + y * y)) * fz
    reading[31] = force0 + dy * rz - dz * ry + wy * cz - wz * cy + scale[30] * noise[30] + bias[30]
    reading[32] = force1 + dz * rx - dx * rz + wz * cx - wx * cz + scale[31] * noise[31] + bias[31]
    reading[33] = force2 + dx * ry - dy * rx + wx * cy - wy * cx + scale[32] * noise[32] + bias[32]


class Simulation:
    """One robot in MuJoCo.

    Same robot, disturbance and seed: the same readings, bit for bit. `reset` starts again from the same seed.

    Args:
        robot: which robot.
        disturbance: how the plant differs from the robot's model.
        seed: of sensor noise and biases.
        control_rate: ticks per second. The physics takes steps of at most the model's own step.
    """

    def __init__(
        self,
        robot: RobotModel,
        disturbance: Disturbance | None = None,
        seed: int = 0,
        control_rate: float = 500.0,
    ) -> None:
        if not control_rate > 0:
            raise ValueError(f"simulation: control_rate must be positive, got {control_rate!r}")
        self.robot = robot
        self.disturbance = disturbance or Disturbance()
        self.seed = int(seed)
        self.period = 1.0 / control_rate
        self.model = robot.load_mujoco()
        self.index = robot.mujoco_index(self.model)
        self.substeps = max(1, math.ceil(self.period / self.model.opt.timestep - 1e-9))
        self.model.opt.timestep = self.period / self.substeps
        _disturb_model(self.model, robot, self.disturbance)
        self.data = mujoco.MjData(self.model)
        self._allocate()
        self.reset()

    def _allocate(self) -> None:
        data, robot, gap = self.data, self.robot, self.disturbance
        self._qpos, self._qvel = data.qpos, data.qvel
        self._ctrl, self._passive, self._external = data.ctrl, data.qfrc_applied, data.xfrc_applied
        self._joint_index = np.stack([self.index.qpos, self.index.dof])
        self._base_index = np.array([self.index.base_qpos, self.index.base_dof])
        self._actuator, self._dof = self.index.actuator, self.index.dof
        speed = np.where(np.isfinite(robot.speed_limit), robot.speed_limit, 1e6)
        self._motor = np.stack(
            [
                robot.torque_limit,
                speed,
                np.repeat(gap.torque_factor, 3),
                np.full(12, gap.joint_impedance[0]),
                np.full(12, gap.joint_impedance[1]),
            ]
        )
        self._corner = gap.torque_speed_corner or 0.0
        self._torques = np.zeros((3, 12))
        self._state = np.zeros((2, 12))
        self._truth = np.zeros(13)
        self._previous_velocity = np.zeros(6)
        self._sensor_delay = int(gap.sensor_noise.delay)
        self._control_delay = int(gap.control_delay)
        self._command_delay = int(gap.command_delay)
        self._readings = np.zeros((self._sensor_delay + 1, 34))
        self._torque_queue = np.zeros((self._control_delay + 1, 12))
        self._command_queue = np.zeros((self._command_delay + 1, 5, 12))
        self._scale = _noise_scale(gap)
        self._imu = np.array(robot.imu_position, dtype=float)
        self._base_state = BaseState(
            self._truth[0:3], self._truth[3:7], self._truth[7:10], self._truth[10:13]
        )
        # one reading object per slot of the delay line, each a set of views
        self._reading_views = [
            SensorReading(0.0, row[0:12], row[12:24], row[24:28], row[28:31], row[31:34])
            for row in self._readings
        ]
        self._foot_leg = {int(geom): leg for leg, geom in enumerate(self.index.foot_geom)}
        self._trunk_geoms = frozenset(
            int(geom)
            for geom in np.flatnonzero(self.model.geom_bodyid == self.index.base_body)
            if self.model.geom_contype[geom] or self.model.geom_conaffinity[geom]
        )

    def reset(
        self,
        joint_position: FloatArray | None = None,
        base_height: float | None = None,
        seed: int | None = None,
    ) -> SensorReading:
        """Put the robot at rest and level at the origin, and start time and noise again.

        Args:
            joint_position: rad, 12; the home pose when None.
            base_height: m; when None, the height at which the lowest foot just touches the floor.
            seed: a new seed of the noise; the one given at creation when None.
        """
        joints = self.robot.home_joints if joint_position is None else np.asarray(joint_position, dtype=float)
        height = self.robot.standing_height(joints) if base_height is None else float(base_height)
        mujoco.mj_resetData(self.model, self.data)
        base = self.index.base_qpos
        self._qpos[base : base + 7] = [0.0, 0.0, height, 1.0, 0.0, 0.0, 0.0]
        self._qpos[self.index.qpos] = joints
        mujoco.mj_step1(self.model, self.data)
        self._random = np.random.default_rng(self.seed if seed is None else int(seed))
        self._bias = self._draw_bias()
        self._noise = np.zeros((_NOISE_BLOCK, _CHANNELS))
        self._noise_row = _NOISE_BLOCK
        self._noisy = bool(np.any(self._scale > 0))
        self.ticks = 0
        self.time = 0.0
        self.walk_start = math.inf
        self._previous_velocity[:] = 0.0
        self._first = True
        self._sense()
        for row, view in enumerate(self._reading_views):
            self._readings[row] = self._readings[0]
            view.time = 0.0
        return self.read()

    def _draw_bias(self) -> FloatArray:
        noise = self.disturbance.sensor_noise
        drawn = self._random.standard_normal(_CHANNELS)
        size = np.zeros(_CHANNELS)
        size[0:12] = noise.joint_position_bias
        size[24:26] = noise.orientation_bias
        size[27:30] = noise.angular_velocity_bias
        size[30:33] = noise.linear_acceleration_bias
        return np.asarray(size * drawn)

    def _sense(self) -> None:
        if self._noisy:
            if self._noise_row == _NOISE_BLOCK:
                self._random.standard_normal(out=self._noise)
                self._noise_row = 0
            noise = self._noise[self._noise_row]
            self._noise_row += 1
        else:
            noise = self._noise[0]
        slot = self.ticks % (self._sensor_delay + 1)
        self._newest = self._readings[slot]
        _sense(
            self._qpos,
            self._qvel,
            self._previous_velocity,
            self._joint_index,
            self._base_index,
            self.period,
            self._imu,
            noise,
            self._scale,
            self._bias,
            self._state,
            self._truth,
            self._newest,
        )
        self._reading_views[slot].time = self.time

    def read(self) -> SensorReading:
        """What the controller gets to see now; the object is filled again by later ticks."""
        return self._reading_views[(self.ticks + 1) % (self._sensor_delay + 1)]

    def truth(self) -> BaseState:
        """The plant's own base state, for metrics and for control with perfect state knowledge."""
        return self._base_state

    @property
    def true_joint_position(self) -> FloatArray:
        """True joint angles, rad, 12."""
        return self._state[0]

    @property
    def true_joint_velocity(self) -> FloatArray:
        """True joint speeds, rad/s, 12."""
        return self._state[1]

    @property
    def commanded_torque(self) -> FloatArray:
        """Torque of the joint law in the last tick, limited, before delay and disturbance, N m, 12."""
        return self._torques[0]

    @property
    def torque_factor(self) -> FloatArray:
        """Share of every motor's torque that arrives at its joint, 12; a view, for motors that grow weak."""
        return self._motor[2]

    @property
    def applied_torque(self) -> FloatArray:
        """Torque that acted on the joints in the last tick, disturbance included, N m, 12."""
        return self._torques[1] + self._torques[2]

    def apply(self, command: JointCommand) -> None:
        """Give the motors a command and let one control period pass."""
        rows = self._command_queue
        slot = rows[self.ticks % (self._command_delay + 1)]
        slot[0] = command.position
        slot[1] = command.velocity
        slot[2] = command.torque
        slot[3] = command.kp
        slot[4] = command.kd
        if self._first and self._command_delay:
            rows[:] = slot
        arrived = rows[(self.ticks + 1) % (self._command_delay + 1)]
        torques = self._torques
        _motor_law(
            arrived,
            self._newest[:24].reshape(2, 12),
            self._state,
            self._motor,
            self._corner,
            torques,
        )
        if self._control_delay:
            queue = self._torque_queue
            queue[self.ticks % (self._control_delay + 1)] = torques[1]
            if self._first:
                queue[:] = torques[1]
            torques[1] = queue[(self.ticks + 1) % (self._control_delay + 1)]
        self._first = False
        self._ctrl[self._actuator] = torques[1]
        self._passive[self._dof] = torques[2]
        if self.disturbance.pushes:
            self._push()
        base = self.index.base_dof
        self._previous_velocity[:] = self._qvel[base : base + 6]
        model, data = self.model, self.data
        mujoco.mj_step2(model, data)
        mujoco.mj_step1(model, data)
        for _ in range(self.substeps - 1):
            mujoco.mj_step2(model, data)
            mujoco.mj_step1(model, data)
        self.ticks += 1
        self.time = self.ticks * self.period
        self._sense()

    def start_walk(self) -> None:
        """Pushes are timed from the start of the walk: now. Before it there are none."""
        self.walk_start = self.time

    def _push(self) -> None:
        # a thousandth of a tick keeps rounding from moving a push by one
        now = self.time - self.walk_start + 1e-3 * self.period
        force = self._external[self.index.base_body]
        force[:] = 0.0
        for push in self.disturbance.pushes:
            if push.time <= now < push.time + push.duration:
                force[:3] += push.force

    def foot_contact(self) -> NDArray[np.bool_]:
        """Which feet touch the floor now, 4."""
        touching = np.zeros(4, dtype=bool)
        if self.data.ncon:
            for geom in self.data.contact.geom.ravel().tolist():
                leg = self._foot_leg.get(geom)
                if leg is not None:
                    touching[leg] = True
        return touching

    def trunk_contact(self) -> bool:
        """Whether the trunk or the head touches something now."""
        return bool(self.data.ncon) and not self._trunk_geoms.isdisjoint(
            self.data.contact.geom.ravel().tolist()
        )

    def finite(self) -> bool:
        """Whether the physics is still sound: finite numbers, none beyond reason.

        MuJoCo answers a diverged state by starting again from time zero, so a clock that lags behind tells.
        """
        speed = self._qvel
        return math.isfinite(speed.dot(speed)) and self.data.time > self.time - 0.5 * self.period


def _noise_scale(gap: Disturbance) -> FloatArray:
    noise = gap.sensor_noise
    return np.concatenate(
        [
            np.full(12, noise.joint_position_std),
            np.full(12, noise.joint_velocity_std),
            np.full(3, noise.orientation_std),
            np.full(3, noise.angular_velocity_std),
            np.full(3, noise.linear_acceleration_std),
        ]
    )


def _disturb_model(model: Any, robot: RobotModel, gap: Disturbance) -> None:
    """Write the lasting part of the disturbance into a MuJoCo model."""
    index = robot.mujoco_index(model)
    for values, target in (
        (gap.joint_damping, model.dof_damping),
        (gap.joint_friction, model.dof_frictionloss),
        (gap.armature, model.dof_armature),
    ):
        if values is not None:
            target[index.dof] = np.tile(values, 4)
    feet = index.foot_geom
    if gap.foot_friction is not None:
        model.geom_friction[feet, 0] = gap.foot_friction
    model.geom_friction[feet, 0] *= np.asarray(gap.foot_friction_factor)
    body = index.base_body
    if any(gap.trunk_com_shift):
        model.body_ipos[body] += np.asarray(gap.trunk_com_shift)
    if gap.payload_mass > 0:
        _add_point_mass(model, body, gap.payload_mass, np.asarray(gap.payload_position))
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _add_point_mass(model: Any, body: int, mass: float, position: FloatArray) -> None:
    """Add a point mass to a body: new mass, centre of mass and inertia by the parallel-axis theorem."""
    old_mass = float(model.body_mass[body])
    old_com = np.array(model.body_ipos[body])
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body_iquat[body])
    axes = rotation.reshape(3, 3)
    tensor = axes @ np.diag(model.body_inertia[body]) @ axes.T
    total = old_mass + mass
    com = (old_mass * old_com + mass * position) / total
    for part, where in ((old_mass, old_com), (mass, position)):
        arm = where - com
        tensor += part * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    moments, vectors = np.linalg.eigh(tensor)
    if np.linalg.det(vectors) < 0:
        vectors[:, 0] *= -1
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, vectors.ravel())
    model.body_mass[body] = total
    model.body_ipos[body] = com
    model.body_inertia[body] = moments
    model.body_iquat[body] = quaternion
