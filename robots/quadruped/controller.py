"""The whole chain in one object: sensor readings in, joint commands out.

gait planner -> predictive control of the base -> whole-body control -> joint targets and torque (Widmer et
al., CoRL 2023). The controller reads sensors and its own Pinocchio model only, so the same object runs on a
robot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.contact_timing import ContactRules
from safebo.robots.quadruped.estimator import KalmanEstimator
from safebo.robots.quadruped.gains import JACOBIAN_TRANSPOSE, LAWS, NONLINEAR_MPC, WHOLE_BODY, Gains
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.gait_changes import GaitSchedule, GaitSequencer
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorError, SensorReading
from safebo.robots.quadruped.jacobian_transpose import JacobianTranspose
from safebo.robots.quadruped.kinematics import leg_geometry
from safebo.robots.quadruped.memory import allocate_motion, set_swing
from safebo.robots.quadruped.mpc.convex_mpc import ConvexMpc
from safebo.robots.quadruped.mpc.pendulum_mpc import Mpc, PendulumMpc
from safebo.robots.quadruped.mpc.problem import MpcProblem
from safebo.robots.quadruped.mpc.reference import start_reference
from safebo.robots.quadruped.speed import SpeedLimit, speed_limit
from safebo.robots.quadruped.tick import UNSOUND, estimate_and_plan, mpc_inputs, plan_from_base
from safebo.robots.quadruped.touch import Touch
from safebo.robots.quadruped.wbc.dynamics import Dynamics
from safebo.robots.quadruped.wbc.whole_body import WholeBody
from safebo.types import BoolArray

SETTLE = 0.3  # s of standing before a walk
SETTLE_KP = 80.0  # N m/rad, stiffness while a Go1 settles on its feet before it walks; others to scale
SETTLE_KD = 2.0  # N m s/rad
REST = (0.0, 0.0, 0.0)
MAX_BAD_SAMPLES = 5
"""In a row, that are bridged by the last command: 10 ms at 500 Hz, a third of a step of the MPC."""


@dataclass(frozen=True)
class VelocityRamp:
    """A body velocity command that grows linearly from rest and then stays.

    Args:
        forward, leftward: m/s in the heading frame.
        yaw_rate: rad/s.
        duration: seconds of growth.
    """

    forward: float = 0.5
    leftward: float = 0.0
    yaw_rate: float = 0.0
    duration: float = 0.5

    def __call__(self, time: float) -> tuple[float, float, float]:
        """The command `time` seconds after the walk started."""
        if time >= self.duration or self.duration <= 0:
            return self.forward, self.leftward, self.yaw_rate
        share = max(0.0, time / self.duration)
        return share * self.forward, share * self.leftward, share * self.yaw_rate


class Controller:
    """Walks a quadruped.

    Args:
        robot: the controller's own model.
        gains: see `safebo.robots.quadruped.gains`.
        gait: contact pattern, or several one after another.
        command: forward, leftward velocity (m/s, heading frame) and yaw rate (rad/s) as a function of the
            seconds since the walk started.
        estimator: `kalman` estimates the base state from the sensors; `truth` takes it from the caller.
        control_rate: calls of `step` per second.
        settle: seconds of standing before the gait starts.
        mpc_period: seconds between two solutions of the MPC, and the length of one of its steps.
        law: one of `safebo.robots.quadruped.gains.LAWS`.
        adaptive_contact: whether feet stand when they are felt to touch; otherwise by the gait's clock. See
            `safebo.robots.quadruped.contact_timing`.

    A gait has a greatest speed, `limit` (see `speed_limit`); faster commands are shortened to it. How one gait goes
    over into another: `GaitSequencer`.

    Attributes after `step`:
        command: the last joint command (its `position` and `velocity` are the joint targets q*, qd*).
        base: the base state that was used. estimator: what it comes from; None where it is told.
        feet: measured and planned feet.
        velocity_command: what is followed: forward, leftward (m/s, heading frame) and yaw rate (rad/s), `3`.
        planned_contact: contacts that are counted on `4`. contacts: what is known of them.
        stance_forces: forces of the torque program `4 x 3`, world, N.
    """

    def __init__(
        self,
        robot: RobotModel,
        gains: Gains,
        gait: Gait | GaitSchedule,
        command: Callable[[float], tuple[float, float, float]],
        estimator: Literal["kalman", "truth"] = "kalman",
        control_rate: float = 500.0,
        settle: float = SETTLE,
        mpc_period: float = 0.03,
        law: str = WHOLE_BODY,
        adaptive_contact: bool = False,
    ) -> None:
        if law not in LAWS:
            raise ValueError(f"law must be {' or '.join(map(repr, LAWS))}, got {law!r}")
        if estimator not in ("kalman", "truth"):
            raise ValueError(f"estimator must be 'kalman' or 'truth', got {estimator!r}")
        self.robot, self.gains = robot, gains
        self.settle = float(settle)
        self.period = 1.0 / float(control_rate)
        self._command_of = command
        self.estimator = KalmanEstimator(robot, self.period) if estimator == "kalman" else None
        self.dynamics = Dynamics(robot)
        self.body = self.dynamics.composite(robot.home_joints)
        self.mpc: Mpc = (PendulumMpc if law == NONLINEAR_MPC else ConvexMpc)(self.body, step=mpc_period)
        rules = ContactRules(bool(adaptive_contact)).to_scale(robot.size)
        self._memory, motion = allocate_motion(leg_geometry(robot), self.period, rules)
        parameters, self.feet, self.base, self._reference, self.contacts = motion
        self._touch = Touch(robot, self.dynamics, self.period) if adaptive_contact else None
        self._fresh, self._bad_samples = True, 0
        schedule = gait if isinstance(gait, GaitSchedule) else GaitSchedule(gait)
        self._gaits = GaitSequencer(schedule, robot.legs, self.period, self._limit_of, parameters.gait)
        self._problem = MpcProblem.allocate(self.mpc.steps)
        self.velocity_command = self._reference.command
        self.law: WholeBody | JacobianTranspose
        if law != JACOBIAN_TRANSPOSE:
            arms = self._problem.moment_arms[0]
            self.law = WholeBody(robot, self.dynamics, self.body, self.mpc, arms, self.feet)
        else:
            self.law = JacobianTranspose(robot, self.dynamics, self.mpc)
        strength = robot.size.mass * robot.size.length
        self._settle_kp = np.full(12, SETTLE_KP * strength)
        self._settle_kd = np.full(12, SETTLE_KD * strength * math.sqrt(robot.size.length))
        self.command = JointCommand(self.law.position, self.law.velocity, self.law.torque)
        self.planned_contact: BoolArray = self.feet.stance
        self.stance_forces = self.law.forces
        self.set_gains(gains)

    def set_gains(self, gains: Gains) -> None:
        """Use these gains from the next `step` on; nothing else changes."""
        self.gains = gains
        legs = self.robot.legs
        self._kp, self._kd = gains.joint_stiffness(legs), gains.joint_damping(legs)
        chosen = gains.mpc_weights(), gains["mpc.force_regularisation"], gains["friction.coefficient"]
        if isinstance(self.mpc, PendulumMpc):
            self.mpc.set_gains(*chosen, gains["mpc.foothold_cost"])
        else:
            self.mpc.set_gains(*chosen)
        self.law.set_gains(gains)
        swing = gains["swing.apex_height"], gains["swing.max_speed"]
        set_swing(self._memory, gains["foothold.velocity_gain"], *swing)
        self._gaits.refresh()

    @property
    def gait(self) -> Gait:
        """The one that is walked now, the old one until a change is over."""
        return self._gaits.gait

    @property
    def changing(self) -> bool:
        """Whether a change of gait has begun and is not over."""
        return self._gaits.changing

    def want_gait(self, gait: Gait, time: float = 0.0) -> None:
        """Change to another gait, from a time on (s since the walk started), after changes that are wanted already.

        Raises:
            ValueError: the schedule's table refuses the change.
        """
        self._gaits.want(gait, time)

    @property
    def limit(self) -> SpeedLimit:
        """Greatest speed of the gait that is walked now."""
        return self._gaits.limit

    def _limit_of(self, gait: Gait) -> SpeedLimit:
        return speed_limit(self.robot, gait, self.gains["swing.max_speed"])

    def reset(self, reading: SensorReading, truth: BaseState | None = None) -> None:
        """Start again, standing, at the pose of `reading`; with estimator `truth` at the given base state.

        Raises:
            SensorError: the reading is not sound.
        """
        self._take_base(_known(truth, reading) if self.estimator is None else self.estimator.reset(reading))
        self._start = float(reading.time)
        self._next_mpc = -math.inf
        self._gaits.reset()
        self._fresh, self._bad_samples = True, 0
        self.feet.stance[:], self.feet.shift[:] = True, 0.0
        self.contacts.reset()
        if self._touch is not None:
            self._touch.reset()
        start_reference(self.base, self._reference)
        self._reference.wanted[0, 2] = self.robot.nominal_height

    def step(self, reading: SensorReading, truth: BaseState | None = None) -> JointCommand:
        """One control tick.

        The returned command is the same object every time. `reading` comes at the control rate. A sample that is not
        finite changes nothing: the last command stands, for `MAX_BAD_SAMPLES` in a row.

        Raises:
            SensorError: more samples in a row are not finite, or the first is not.
            MpcError, TorqueError: state or gains are not finite.
        """
        time = float(reading.time) - self._start
        walk_time = time - self.settle
        gait_time = max(0.0, walk_time) if walk_time >= -1e-9 else -1.0  # rounding delays no walk by a tick
        changed = self._plan(reading, truth, gait_time, self._wanted(gait_time, walk_time))
        if changed == UNSOUND:
            return self._bridged()
        self._fresh, self._bad_samples = False, 0
        if changed or time >= self._next_mpc - 1e-9:
            mpc_inputs(gait_time, self.mpc.step, self.body.centre, self._memory, tuple(self._problem))
            self.mpc.solve(self._problem)
            if isinstance(self.mpc, PendulumMpc):
                self.feet.shift[:, :2] = self.mpc.shift
            self._mpc_step = float(self._problem.ends[0])
            self._next_mpc = time + self._mpc_step
        out = self.command
        share = 1.0 - (self._next_mpc - time) / self._mpc_step
        self.law.command(share, self._memory, reading.joint_position, reading.joint_velocity)
        if gait_time < 0:
            out.kp, out.kd = self._settle_kp, self._settle_kd
        else:
            out.kp, out.kd = self._kp, self._kd
        return out

    def _wanted(self, gait_time: float, walk_time: float) -> tuple[float, float, float]:
        """The velocity command, shortened to what the gait of now can walk; the gaits move on by one tick."""
        if gait_time < 0.0:
            return REST
        forward, leftward, yaw_rate = self._command_of(walk_time)
        return self._gaits.advance(gait_time, float(forward), float(leftward), float(yaw_rate))

    def _plan(
        self,
        reading: SensorReading,
        truth: BaseState | None,
        gait_time: float,
        wanted: tuple[float, float, float],
    ) -> int:
        """Take a sample in and plan feet and base; see `estimate_and_plan`."""
        q, qd = reading.joint_position, reading.joint_velocity
        if self._touch is not None:
            self._touch.feel(self.command, reading, self._memory)
        if self.estimator is None:
            try:
                self._take_base(_known(truth, reading))
            except SensorError:
                return UNSOUND
            return plan_from_base(gait_time, self._fresh, *wanted, q, qd, self._memory)
        return estimate_and_plan(
            gait_time,
            self._fresh,
            *wanted,
            q,
            qd,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
            self.estimator.memory,
            self._memory,
        )

    def _take_base(self, state: BaseState) -> None:
        for part, values in zip(self.base, state, strict=True):
            part[:] = values

    def _bridged(self) -> JointCommand:
        """The last command, for a sample that is not sound."""
        self._bad_samples += 1
        if self._fresh or self._bad_samples > MAX_BAD_SAMPLES:
            raise SensorError(f"{self._bad_samples} samples of the sensors in a row are not finite numbers")
        return self.command

    def regained(self) -> JointCommand:
        """The last command with the present joint gains, for gains that were switched within a tick."""
        if self.command.kp is not self._settle_kp:
            self.command.kp, self.command.kd = self._kp, self._kd
        return self.command

    def mpc_problem(self) -> MpcProblem:
        """A copy of what the MPC last solved."""
        return self._problem.copy()


def _known(truth: BaseState | None, reading: SensorReading) -> BaseState:
    if truth is None:
        raise ValueError("a controller with estimator 'truth' needs the true base state in reset and step")
    if not np.isfinite(
        [np.sum(part) for part in (*truth, reading.joint_position, reading.joint_velocity)]
    ).all():
        raise SensorError("a state that is not finite")
    return truth
