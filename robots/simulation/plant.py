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
from numpy.typing import NDArray

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.robots.simulation.contacts import TRUNK, feel, observe
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.floor import (
    check_start,
    floor_gradient,
    floor_under,
    foot_friction,
    model_on_floor,
    slope_quaternion,
)
from safebo.robots.simulation.motors import drive
from safebo.robots.simulation.plant_memory import PLANT, PlantMemory
from safebo.robots.simulation.sensors import CHANNELS
from safebo.types import FloatArray

# A diverged state is noticed by `Simulation.finite`; MuJoCo would also leave a log file where the user works.
mujoco.set_mju_user_warning(lambda _message: None)

_NOISE_BLOCK = 256
_JITTER = 0x6A17  # of the seed of delays, beside that of the sensors' noise


class Simulation:
    """One robot in MuJoCo.

    Same robot, disturbance and seed: the same readings, bit for bit. `reset` starts again from the same seed.

    Args:
        robot: which robot.
        disturbance: how the plant differs from the robot's model.
        seed: of sensor noise and biases.
        control_rate: ticks per second. The physics takes steps of at most the model's own step.

    Attributes, views of what the next tick changes, `12` each:
        true_joint_position, true_joint_velocity: rad, rad/s.
        memory: all of this and more, as compiled functions take it. velocity: qvel of the engine.
        torques: of the last tick, rows of the joint law within its limits, of the motors at the joints, of the joints'
            impedance, N m, `3 x 12`.
        commanded_torque: of the joint law in the last tick, limited, before delay and disturbance, N m.
        torque_factor: share of every motor's torque that arrives at its joint, for motors that grow weak.
        encoder_error: constant error of every joint's encoder, rad; the motors go by it, too.
        torque_age: ticks since the torque was computed that acted in the last tick.
        foot_force: normal force under every foot in the last physics step of the last tick, N, `4`.
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
        check_start(self.disturbance, robot)
        self.model = model_on_floor(self.disturbance, robot)
        self.index = robot.mujoco_index(self.model)
        self.substeps = max(1, math.ceil(self.period / self.model.opt.timestep - 1e-9))
        self.model.opt.timestep = self.period / self.substeps
        disturb_model(self.model, robot, self.disturbance)
        self.data = mujoco.MjData(self.model)
        self._allocate()
        self.reset()

    def _allocate(self) -> None:
        data, robot, gap = self.data, self.robot, self.disturbance
        self._qpos, self._qvel, self._external = data.qpos, data.qvel, data.xfrc_applied
        self._contacts = data.contact  # always those of now
        speed = np.where(np.isfinite(robot.speed_limit), robot.speed_limit, 1e6)
        motor = np.stack(
            [
                robot.torque_limit,
                speed,
                np.repeat(gap.torque_factor, 3),
                np.full(12, gap.joint_impedance[0]),
                np.full(12, gap.joint_impedance[1]),
            ]
        )
        plant = np.zeros(1, PLANT)
        self.memory: PlantMemory = plant.view(np.uint8)
        for name, values in (
            ("limits", motor),
            ("corner", gap.torque_speed_corner or 0.0),
            ("actuator", self.index.actuator),
            ("joints_at", np.stack([self.index.qpos, self.index.dof])),
            ("base_at", [self.index.base_qpos, self.index.base_dof]),
            ("floor", np.zeros(3) if gap.uneven else [*floor_gradient(gap), 0.0]),
            ("period", self.period),
            ("imu", robot.imu_position),
            ("std", gap.sensor_noise.channel_std()),
        ):
            plant[name] = values
        self._bias, self._previous = plant["bias"][0], plant["previous"][0]
        self.encoder_error: FloatArray = self._bias[:12]
        self._uneven, self._floor = gap.uneven, plant["floor"][0]
        self.torques: FloatArray = plant["torques"][0]
        self.commanded_torque: FloatArray = self.torques[0]
        self.torque_factor: FloatArray = plant["limits"][0, 2]
        self.foot_force: FloatArray = plant["foot_force"][0]
        self.true_joint_position, self.true_joint_velocity = plant["joints"][0]
        self._truth: FloatArray = plant["truth"][0]
        self._touching = plant["touching"][0].view(np.bool_)
        self._sensor_delay = int(gap.sensor_noise.delay)
        self._readings = np.zeros((self._sensor_delay + 1, 34))
        self._base_state = BaseState(
            self._truth[0:3], self._truth[3:7], self._truth[7:10], self._truth[10:13]
        )
        # one reading object per slot of the delay line, each a set of views
        self._reading_views = [
            SensorReading(0.0, row[0:12], row[12:24], row[24:28], row[28:31], row[31:34])
            for row in self._readings
        ]
        model = self.model
        self._place_of_geom = np.full(model.ngeom, -1)
        hard = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        self._place_of_geom[(model.geom_bodyid == self.index.base_body) & hard] = TRUNK
        self._place_of_geom[self.index.foot_geom] = np.arange(4)
        self.velocity = self._qvel
        self._noise = np.zeros((_NOISE_BLOCK, CHANNELS))
        self._noisy = bool(np.any(plant["std"] > 0))
        # what `drive` and `observe` take besides what changes from tick to tick
        commands = np.zeros((int(gap.command_delay) + 1, 5, 12))
        torques = np.zeros((int(gap.control_delay) + int(gap.delay_jitter) + 1, 12))
        engine = data.ctrl, data.qfrc_applied, self._qvel
        self._motors = self.memory, commands, torques, self._readings, *engine
        self._sensors = self._qpos, self._qvel, self._noise, self._readings, self.memory
        self._foot_friction = model.geom_friction[self.index.foot_geom, 0].copy()

    def reset(
        self,
        joint_position: FloatArray | None = None,
        base_height: float | None = None,
        seed: int | None = None,
    ) -> SensorReading:
        """Put the robot at rest and level with the floor at the origin, and start time and noise again.

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
        if any(self.disturbance.slope):
            level = self._qpos[base + 3 : base + 7]
            level[:] = slope_quaternion(self.disturbance)
            mujoco.mju_rotVecQuat(self._qpos[base : base + 3], np.array([0.0, 0.0, height]), level)
        self._qpos[self.index.qpos] = joints
        self._find_contacts()
        self._random = np.random.default_rng(self.seed if seed is None else int(seed))
        noise = self.disturbance.sensor_noise
        self._bias[:] = noise.channel_bias() * self._random.standard_normal(CHANNELS)
        self._delay_random = np.random.default_rng([_JITTER, self.seed if seed is None else int(seed)])
        self.torque_age = int(self.disturbance.control_delay + self.disturbance.delay_jitter)
        self.ticks = 0
        self.time = 0.0
        self.walk_start = math.inf
        self._previous[:] = 0.0
        self._sense()
        for row, view in enumerate(self._reading_views):
            self._readings[row] = self._readings[0]
            view.time = 0.0
        return self.read()

    def _sense(self) -> None:
        if self._noisy and self.ticks % _NOISE_BLOCK == 0:
            self._random.standard_normal(out=self._noise)
        observe(self.ticks, self._geoms, self._place_of_geom, *self._sensors)
        self._reading_views[self.ticks % (self._sensor_delay + 1)].time = self.time

    def read(self) -> SensorReading:
        """What the controller gets to see now; the object is filled again by later ticks."""
        return self._reading_views[(self.ticks + 1) % (self._sensor_delay + 1)]

    def truth(self) -> BaseState:
        """The plant's own base state, for metrics and for control with perfect state knowledge."""
        return self._base_state

    @property
    def applied_torque(self) -> FloatArray:
        """Torque that acted on the joints in the last tick, disturbance included, N m, 12."""
        return np.asarray(self.torques[1] + self.torques[2])

    def apply(self, command: JointCommand) -> None:
        """Give the motors a command and let one control period pass."""
        if self.disturbance.delay_jitter:
            self._draw_delay()
        told = command.position, command.velocity, command.torque, command.kp, command.kd
        if not drive(self.ticks, self.torque_age, *told, *self._motors):
            raise ValueError("a command has twelve numbers of each kind, one a joint")
        if self.disturbance.pushes:
            self._push()
        model, data = self.model, self.data
        mujoco.mj_step2(model, data)
        for _ in range(self.substeps - 1):
            self._find_contacts()
            mujoco.mj_step2(model, data)
        # the engine knows the forces only until contacts are found anew
        feel(self._geoms, self._rows, data.efc_force, self._place_of_geom, self.foot_force)
        self._find_contacts()
        self.ticks += 1
        self.time = self.ticks * self.period
        self._sense()
        if self._uneven:
            self._floor[2] = self.floor_height()

    def _find_contacts(self) -> None:
        """Positions, velocities and contacts of the present state."""
        if self.disturbance.friction_patches:
            mujoco.mj_kinematics(self.model, self.data)
            feet = self.index.foot_geom
            places = self.data.geom_xpos[feet]
            self.model.geom_friction[feet, 0] = foot_friction(self.disturbance, places, self._foot_friction)
        mujoco.mj_step1(self.model, self.data)
        self.take_contacts()

    def take_contacts(self) -> None:
        """Look where the engine has its contacts now; for one whose state was put into it."""
        self._geoms, self._rows = self._contacts.geom, self._contacts.efc_address

    def _draw_delay(self) -> None:
        """How old the torque is that acts in this tick: the newest that has arrived, see `Disturbance.delay_jitter`."""
        row = self.ticks % _NOISE_BLOCK
        if row == 0:
            shortest, jitter = self.disturbance.control_delay, self.disturbance.delay_jitter
            self._drawn_delays = shortest + self._delay_random.integers(jitter + 1, size=_NOISE_BLOCK)
        self.torque_age = min(self.torque_age + 1, int(self._drawn_delays[row]))

    def start_walk(self) -> None:
        """Pushes are timed from the start of the walk: now. Before it there are none."""
        self.walk_start = self.time

    def _push(self) -> None:
        # a thousandth of a tick keeps rounding from moving a push by one
        now = self.time - self.walk_start + 1e-3 * self.period
        force = self._external[self.index.base_body]
        force[:] = 0.0
        for push in self.disturbance.pushes:
            force[:3] += push.at(now)

    def foot_contact(self) -> NDArray[np.bool_]:
        """Which feet touch the floor now, 4."""
        return self._touching[:TRUNK].copy()

    def trunk_contact(self) -> bool:
        """Whether the trunk or the head touches something now."""
        return bool(self._touching[TRUNK])

    def in_time(self) -> bool:
        """Whether the physics goes on: MuJoCo answers a diverged state by starting again from time zero."""
        return bool(self.data.time > self.time - 0.5 * self.period)

    def floor_height(self) -> float:
        """Height of the floor over which the trunk's height counts, world, m."""
        here = self._truth[0:3], self._truth[3:7]
        return float(floor_under(self.disturbance, self.robot, *here))

    def finite(self) -> bool:
        """Whether the physics is still sound: finite numbers, and it goes on."""
        speed = self._qvel
        return math.isfinite(speed.dot(speed)) and self.in_time()


def disturb_model(model: Any, robot: RobotModel, gap: Disturbance) -> None:
    """Write the lasting part of the disturbance into a MuJoCo model."""
    index = robot.mujoco_index(model)
    for values, target in (
        (gap.joint_damping, model.dof_damping),
        (gap.joint_friction, model.dof_frictionloss),
        (gap.armature, model.dof_armature),
    ):
        if values is not None:
            target[index.dof] = np.tile(values, 4)
    model.dof_damping[index.dof] += gap.added_damping
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
