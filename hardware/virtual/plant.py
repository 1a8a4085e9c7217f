"""A quadruped with its motors' drives, in process: no socket, no clock, no wire format.

One `tick` is 2 ms of robot time. Who is in charge of the joints is decided anew in every tick: the remote's
damping keys, then the built-in motion service while it is active, then the newest joint command while it is
younger than `WATCHDOG`, and joint damping when there is none. Joints come in the order of `robot.joint_names`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import mujoco
import numpy as np

from safebo.hardware.guardian.motion import DAMPING, Poses, damped
from safebo.hardware.unitree.services import MotionService
from safebo.hardware.virtual.attitude import roll_pitch_yaw
from safebo.hardware.virtual.body import BatteryCells, MotorHeat
from safebo.hardware.virtual.scene import with_body_contacts
from safebo.hardware.virtual.sport_motion import UPRIGHT_RAD, SportMotion
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand, SensorReading
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.types import BoolArray, FloatArray

PERIOD = 0.002  # s
WATCHDOG = 0.02  # s of robot time without a command, then joint damping
SETTLE = 5.0  # s that the robot gets to come to rest on the floor before time begins
MAX_DRIVE_STIFFNESS, MAX_DRIVE_DAMPING = 500.0, 50.0  # N m/rad, N m s/rad: a drive cuts more to it
BEYOND_RANGE = np.pi  # rad outside the joint's range from which a target counts as no further away
NO_TARGET = 1e4  # rad or rad/s: targets beyond ask for none (the vendor's are 2.146e9 and 16000)
STUCK_FRICTION = 500.0  # N m of dry friction in a joint that does not move: far more than any motor has
_RIGID = (
    0.9999,
    0.9999,
    0.001,
    0.5,
    2.0,
)  # MuJoCo's impedance of a friction that does not creep under torque
SWING = 0.04  # s that a foot is off the floor in the first step of a walk
STANDING = 0.8  # share of the nominal height


@dataclass
class Influence:
    """What faults do to the body at this tick.

    Args:
        force: on the trunk, in the world, N, 3.
        torque: on the trunk, about its own axes, N m, 3.
        stuck: joints that do not move, 12.
        strength: share of every motor's torque that arrives, 12.
        encoder: error of every joint's encoder, by which its drive goes, too, rad, 12.
        limp: the drives are off.
        damped: the remote's damping keys are pressed.
    """

    force: FloatArray = field(default_factory=lambda: np.zeros(3))
    torque: FloatArray = field(default_factory=lambda: np.zeros(3))
    stuck: BoolArray = field(default_factory=lambda: np.zeros(12, dtype=bool))
    strength: FloatArray = field(default_factory=lambda: np.ones(12))
    encoder: FloatArray = field(default_factory=lambda: np.zeros(12))
    limp: bool = False
    damped: bool = False


NO_INFLUENCE = Influence()


class VirtualPlant:
    """The robot's body and drives. It lies on its belly, at rest, when time begins.

    Args:
        robot: which one.
        disturbance: how it differs from its model.
        seed: of sensor noise.
        motion: the built-in motion service; None for a robot without one.
        idle_damping: what a motor does whose mode is not servo, N m s/rad.
        background, say: of the motion service; see `SportMotion`.

    Attributes:
        ticks: since the start.
        charge: who commanded the joints in the last tick: `service`, `commands`, `watchdog`, `remote` or `off`.
        commands: how many have come.
        reached: robot time, s, at which `start`, the first `command`, `stand` and `walk` were.
    """

    def __init__(
        self,
        robot: RobotModel,
        disturbance: Disturbance | None = None,
        seed: int = 0,
        motion: MotionService | None = None,
        idle_damping: float = 0.0,
        background: bool = False,
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.robot = robot
        self.motion = motion or MotionService(name="")
        self.simulation = Simulation(with_body_contacts(robot), disturbance, seed, round(1.0 / PERIOD))
        self.heat, self.battery = MotorHeat(), BatteryCells()
        self._idle_damping = idle_damping
        self._poses = Poses(robot)
        self.sport = SportMotion(robot, self._poses, background, say)
        self.motion.able = self._able
        self._low = robot.joint_lower - BEYOND_RANGE
        self._high = robot.joint_upper + BEYOND_RANGE
        self._strength = self.simulation.torque_factor.copy()
        self._zero = self.simulation.encoder_error.copy()
        index = self.simulation.index
        model = self.simulation.model
        self._friction = model.dof_frictionloss[index.dof].copy()
        self._softness = model.dof_solimp[index.dof].copy()
        self._stuck = np.zeros(12, dtype=bool)
        self._wrench = np.zeros(6)
        self._foot_slot = {int(geom): leg for leg, geom in enumerate(index.foot_geom)}
        self.ticks = 0
        self.charge = "watchdog"
        self.commands = 0
        self.reached: dict[str, float] = {"start": 0.0}
        self._boot = 0
        self._command = self._acting = damped(robot.home_joints)
        self._commanded = -(10**9)
        self._airborne = np.zeros(4, dtype=np.int64)
        self._lie_down()

    def _lie_down(self) -> None:
        folded = self._poses.folded
        self.simulation.reset(folded, self.robot.standing_height(folded) + 0.005)
        limp = damped(folded)
        for _ in range(round(SETTLE / PERIOD)):
            limp.position[:] = self.simulation.true_joint_position
            self.simulation.apply(limp)
        self.settled = self.simulation.true_joint_position.copy()

    @property
    def time(self) -> float:
        """Robot time since the start, s."""
        return self.ticks * PERIOD

    @property
    def milliseconds(self) -> int:
        """The robot's own clock: since it booted."""
        return round((self.ticks - self._boot) * PERIOD * 1e3)

    @property
    def commanded(self) -> bool:
        """Whether somebody's joint command is still young."""
        return self.ticks - self._commanded < round(WATCHDOG / PERIOD)

    @property
    def reading(self) -> SensorReading:
        """Encoders and inertial unit now."""
        return self.simulation.read()

    @property
    def torque(self) -> FloatArray:
        """What the drives estimate from their currents, N m, 12: before any weakness behind the current."""
        return self.simulation.commanded_torque

    @property
    def command_gains(self) -> tuple[float, float]:
        """Mean stiffness and damping that acted in the last tick."""
        return float(self._acting.kp.mean()), float(self._acting.kd.mean())

    def reboot(self) -> None:
        """The robot's clock begins anew, and the newest command is forgotten."""
        self._boot = self.ticks
        self._commanded = -(10**9)

    def command(self, command: JointCommand, servo: BoolArray, count: int = 1) -> None:
        """Take a joint command; whatever is in it, a drive can take it.

        Args:
            command: as it came over the wire; targets that ask for none are allowed, and so is nonsense.
            servo: which motors are in servo mode, 12; the others idle.
            count: how many commands had come when this newest one was taken.
        """
        self.commands += count
        self.reached.setdefault("command", self.time)
        self._commanded = self.ticks
        self._command = self._taken(command, servo)

    def _taken(self, command: JointCommand, servo: BoolArray) -> JointCommand:
        """What the drives make of a command: gains cut to what they take, damping where it is no number."""
        rows = np.array([command.position, command.velocity, command.torque, command.kp, command.kd], float)
        sound = np.isfinite(rows).all(axis=0)
        rows[:, ~sound] = 0.0
        position, velocity, torque, kp, kd = rows
        kp = np.clip(kp, 0.0, MAX_DRIVE_STIFFNESS)
        kd = np.clip(kd, 0.0, MAX_DRIVE_DAMPING)
        limit = self.robot.torque_limit
        torque = np.clip(torque, -limit, limit)
        here = self.simulation.true_joint_position
        aimless, coasting = np.abs(position) > NO_TARGET, np.abs(velocity) >= NO_TARGET
        kp[aimless], position[aimless] = 0.0, here[aimless]
        kd[coasting], velocity[coasting] = 0.0, 0.0
        position = np.clip(position, self._low, self._high)
        for where, damping in ((~servo, self._idle_damping), (~sound, DAMPING)):
            position[where] = here[where]
            velocity[where] = torque[where] = kp[where] = 0.0
            kd[where] = damping
        return JointCommand(position, velocity, torque, kp, kd)

    def tick(self, influence: Influence = NO_INFLUENCE) -> None:
        """Let 2 ms pass."""
        self._press(influence)
        self._acting = self._in_charge(influence)
        self.simulation.apply(self._acting)
        self.ticks += 1
        if not self.simulation.finite():  # no command may end the world; the robot is put down again
            self._lie_down()
        self.heat.pass_time(PERIOD, self.torque)
        self.battery.pass_time(PERIOD, self.torque, self.simulation.true_joint_velocity)
        self._note_walk()

    def _press(self, influence: Influence) -> None:
        simulation = self.simulation
        base = simulation.index.base_dof
        # the free joint's own six: the disturbance's pushes act elsewhere and may come at the same time
        simulation.data.qfrc_applied[base : base + 3] = influence.force
        simulation.data.qfrc_applied[base + 3 : base + 6] = influence.torque
        simulation.torque_factor[:] = self._strength * influence.strength
        simulation.encoder_error[:] = self._zero + influence.encoder
        if (influence.stuck != self._stuck).any():
            self._stuck = influence.stuck.copy()
            # a solver's constraint, unlike damping, also stops a joint at speed without throwing the rest about
            model, dof = simulation.model, simulation.index.dof
            model.dof_frictionloss[dof] = np.where(self._stuck, STUCK_FRICTION, self._friction)
            model.dof_solimp[dof] = np.where(self._stuck[:, None], _RIGID, self._softness)

    def _in_charge(self, influence: Influence) -> JointCommand:
        here = self.simulation.true_joint_position
        if influence.limp:
            self.charge = "off"
            return JointCommand(position=here.copy())
        if influence.damped:
            self.charge = "remote"
            return damped(here)
        if self.motion.name:
            self.charge = "service"
            return self._serve(here)
        self.sport.release()
        self.motion.asked.clear()
        if self.commanded:
            self.charge = "commands"
            return self._command
        self.charge = "watchdog"
        return damped(here)

    def _serve(self, here: FloatArray) -> JointCommand:
        """What the built-in motion service commands, after the calls that have come."""
        for name, speed in self.motion.asked:
            self.sport.ask(name, speed, self.time, here)
        self.motion.asked.clear()
        roll, pitch = self._tilt()
        fallen = max(abs(roll), abs(pitch)) > UPRIGHT_RAD
        return self.sport.command(self.time, here, self.reading, fallen)

    def _able(self, name: str) -> bool:
        return self.sport.able(name, *self._tilt())

    def _tilt(self) -> tuple[float, float]:
        """Roll and pitch of the trunk, rad."""
        roll, pitch, _ = roll_pitch_yaw(self.simulation.truth().orientation)
        return roll, pitch

    def _note_walk(self) -> None:
        """When the robot first stood, and when its first step began."""
        if "walk" in self.reached or self.ticks % 5:
            return
        if self.simulation.truth().position[2] < STANDING * self.robot.nominal_height:
            self._airborne[:] = 0
            return
        self.reached.setdefault("stand", self.time)
        self._airborne = np.where(self.simulation.foot_contact(), 0, self._airborne + 5)
        if (self._airborne * PERIOD >= SWING).any():
            self.reached["walk"] = self.time
            self.simulation.start_walk()

    def foot_force(self) -> FloatArray:
        """Normal force under every foot, N, 4, legs in robot order."""
        force = np.zeros(4)
        data = self.simulation.data
        if data.ncon:
            for contact, geoms in enumerate(data.contact.geom.tolist()):
                leg = self._foot_slot.get(geoms[0], self._foot_slot.get(geoms[1]))
                if leg is not None:
                    mujoco.mj_contactForce(self.simulation.model, data, contact, self._wrench)
                    force[leg] += self._wrench[0]
        return force
