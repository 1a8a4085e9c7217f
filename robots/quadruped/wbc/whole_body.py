"""Whole-body control of one tick: from the MPC's plan to joint targets and torques, in one compiled call.

Kinematic level (task hierarchy), equations of motion, and the torque program without its constraints; the constrained
one is solved where those matter.
"""

from __future__ import annotations

import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.feet import FeetMemory, name_feet
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.interface import JointCommand, plain
from safebo.robots.quadruped.memory import Memory, motion_of
from safebo.robots.quadruped.mpc.convex_mpc import RigidBody
from safebo.robots.quadruped.mpc.pendulum_mpc import Mpc
from safebo.robots.quadruped.wbc.dynamics import Dynamics, LinkTable, equations_of_motion
from safebo.robots.quadruped.wbc.hierarchy import DAMPING
from safebo.robots.quadruped.wbc.tasks import MpcPlan, TaskGains, joint_targets
from safebo.robots.quadruped.wbc.torque_qp import (
    FOUND,
    TorqueAnswer,
    TorqueProblem,
    TorqueProgram,
    TorqueSettings,
    free_torques,
)
from safebo.types import FloatArray

Joints = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Angles and speeds, lowest and highest angle, `12` each, rad and rad/s."""


class WholeBody:
    """Joint targets by a strict hierarchy of tasks, torques by a quadratic program (Widmer et al., CoRL 2023).

    Args:
        robot: the controller's model.
        dynamics: of it.
        body: the robot as one rigid body.
        mpc: whose plan is followed.
        moment_arms: feet relative to the centre of mass, as the MPC last had them, `4 x 3`, world, m.
        feet: memory of the feet.

    Attributes:
        program: the torque program, with the forces of the last tick.
    """

    def __init__(
        self,
        robot: RobotModel,
        dynamics: Dynamics,
        body: RigidBody,
        mpc: Mpc,
        moment_arms: FloatArray,
        feet: FeetMemory,
    ) -> None:
        self.program = TorqueProgram(body.mass, robot.torque_limit)
        self.program.max_force = mpc.max_force
        self._body, self._dynamics = body, dynamics
        self._limits = robot.joint_lower, robot.joint_upper
        self._plan = tuple(MpcPlan(mpc.trajectory, mpc.forces[0], moment_arms))
        self._acceleration = np.zeros(18)
        named = name_feet(feet)
        self._problem = TorqueProblem(
            dynamics.mass_matrix,
            dynamics.bias,
            self._acceleration,
            mpc.forces[0],
            named.stance,
            named.rotation,
            named.local,
            named.jacobian,
        )
        self._equations = plain((dynamics.links, dynamics.mass_matrix, dynamics.bias))

    @property
    def forces(self) -> FloatArray:
        """Of the feet in the last tick, `4 x 3`, world, N."""
        return self.program.forces

    def set_gains(self, gains: Gains) -> None:
        """Use these gains from the next tick on."""
        self.program.set_gains(
            gains["wbc.weight.linear_acceleration"],
            gains["wbc.weight.angular_acceleration"],
            gains["wbc.force_regularisation"],
            gains["friction.coefficient"],
        )
        base_names = ("orientation.kp", "orientation.kd", "position.kp", "position.kd", "mpc_blend")
        self._gains = plain(
            TaskGains(
                base=np.array([gains[f"wbc.{name}"] for name in base_names]),
                swing=gains.swing_feedback(),
                trajectory_blend=gains["wbc.trajectory_blend"],
                damping=DAMPING,
                body=self._body,
            )
        )

    def command(
        self, share: float, memory: Memory, joints: tuple[FloatArray, FloatArray], out: JointCommand
    ) -> None:
        """Write joint targets and torque of one tick.

        Args:
            share: how far the tick is through a step of the MPC, 0 to 1.
            memory: of feet, base and wanted base.
            joints: angles and speeds, `12` each, rad and rad/s.
            out: its position, velocity and torque.

        Raises:
            TorqueError: no torques were found.
        """
        found = whole_body_tick(
            share,
            self._plan,
            self._gains,
            memory,
            (*joints, *self._limits),
            self._equations,
            self.program.parts,
            (out.position, out.velocity, self._acceleration),
        )
        if found != FOUND:
            self.program.solve_within_limits(self._problem, found)
        out.torque = self.program.torque


@njit(cache=True)
def whole_body_tick(
    share: float,
    plan: MpcPlan,
    gains: TaskGains,
    memory: Memory,
    joints: Joints,
    equations: tuple[LinkTable, FloatArray, FloatArray],
    program: tuple[TorqueSettings, TorqueAnswer],
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> int:
    """Joint targets, equations of motion and torques of one tick.

    Args:
        share: how far the tick is through a step of the MPC, 0 to 1.
        plan: of the MPC.
        gains: of the tasks.
        memory: of feet, base and wanted base; the blended part of this is written.
        joints: see `Joints`.
        equations: links; mass matrix and bias, which are written.
        program: settings of the torque program, and its answer, which is written.
        out: see `joint_targets`.

    Returns:
        What `free_torques` says.
    """
    feet, base, reference = motion_of(memory)
    joint_targets(share, plan, gains, feet, base, reference, joints, out)
    table, mass_matrix, bias = equations
    equations_of_motion(base.orientation, reference.velocity, joints[0], joints[1], table, mass_matrix, bias)
    named, forces = name_feet(feet), MpcPlan(*plan).forces
    problem = TorqueProblem(
        mass_matrix, bias, out[2], forces, named.stance, named.rotation, named.local, named.jacobian
    )
    return free_torques(problem, program[0], program[1])
