"""Whole-body control of one tick: from the MPC's plan to joint targets and torques, in one compiled call.

Kinematic level (task hierarchy), equations of motion, and the torque program without its constraints; the constrained
one is solved where those matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.feet import Feet
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.memory import Memory, motion_of
from safebo.robots.quadruped.mpc.pendulum_mpc import Mpc
from safebo.robots.quadruped.mpc.problem import RigidBody
from safebo.robots.quadruped.wbc.dynamics import Dynamics, LinkTable, equations_of_motion
from safebo.robots.quadruped.wbc.hierarchy import DAMPING
from safebo.robots.quadruped.wbc.tasks import ROWS, MpcPlan, TaskGains, TaskRoom, TaskStack, joint_targets
from safebo.robots.quadruped.wbc.torque_parts import TorqueMemory, TorqueProblem
from safebo.robots.quadruped.wbc.torque_qp import (
    FOUND,
    TorqueProgram,
    free_torques,
)
from safebo.types import FloatArray

LAW = np.dtype(
    [
        ("base", "f8", 5),  # see `TaskGains`
        ("swing", "f8", (2, 3)),
        ("trajectory_blend", "f8"),
        ("mass", "f8"),  # see `RigidBody`
        ("centre", "f8", 3),
        ("inverse_inertia", "f8", (3, 3)),
        ("lower", "f8", 12),  # angles of the joints, rad
        ("upper", "f8", 12),
        ("trunk", "f8", 16),  # see `LinkTable`
        ("links", "f8", (4, 3, 16)),
        ("armature", "f8", 12),
        ("mass_matrix", "f8", (18, 18)),  # written in every tick
        ("bias", "f8", 18),
        ("acceleration", "f8", 18),
        ("position", "f8", 12),
        ("velocity", "f8", 12),
        ("base_task", "f8", (6, 3)),  # see `TaskRoom`
        ("jacobians", "f8", (ROWS, 18)),
        ("sizes", "i8", 4),
        ("targets", "f8", (ROWS, 3)),
        ("solution", "f8", (18, 3)),
    ]
)
"""What the law is told of gains and robot, and what a tick writes, in one piece of memory."""

LawMemory = NDArray[np.uint8]
"""The bytes of one `LAW`, see `safebo.boundary.compiled`."""


class WholeBody:
    """Joint targets by a strict hierarchy of tasks, torques by a quadratic program (Widmer et al., CoRL 2023).

    Args:
        robot: the controller's model.
        dynamics: of it.
        body: the robot as one rigid body.
        mpc: whose plan is followed.
        moment_arms: feet relative to the centre of mass, as the MPC last had them, `4 x 3`, world, m.
        feet: as measured and planned.

    Attributes:
        program: the torque program, with the forces of the last tick.
        position, velocity, torque: joint targets and torque of the last tick, `12` each.
    """

    def __init__(
        self,
        robot: RobotModel,
        dynamics: Dynamics,
        body: RigidBody,
        mpc: Mpc,
        moment_arms: FloatArray,
        feet: Feet,
    ) -> None:
        self.program = TorqueProgram(body.mass, robot.torque_limit)
        self.program.max_force = mpc.max_force
        self._plan = mpc.trajectory, mpc.forces[0], moment_arms
        self._law = np.zeros(1, LAW)
        for name, values in (
            *body._asdict().items(),
            ("lower", robot.joint_lower),
            ("upper", robot.joint_upper),
            ("trunk", dynamics.links.trunk),
            ("links", dynamics.links.links),
            ("armature", dynamics.links.armature),
        ):
            self._law[name] = values
        self._memory: LawMemory = self._law.view(np.uint8)
        self.position, self.velocity = self._law["position"][0], self._law["velocity"][0]
        self.torque: FloatArray = self.program.torque
        self._problem = TorqueProblem(
            self._law["mass_matrix"][0],
            self._law["bias"][0],
            self._law["acceleration"][0],
            mpc.forces[0],
            feet.stance,
            feet.rotation,
            feet.local,
            feet.jacobian,
        )

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
        self._law["base"] = [gains[f"wbc.{name}"] for name in base_names]
        self._law["swing"] = gains.swing_feedback()
        self._law["trajectory_blend"] = gains["wbc.trajectory_blend"]

    def command(self, share: float, memory: Memory, q: FloatArray, qd: FloatArray) -> None:
        """Find joint targets and torque of one tick.

        Args:
            share: how far the tick is through a step of the MPC, 0 to 1.
            memory: of feet, base and wanted base.
            q: joint angles `12`, rad.
            qd: joint speeds `12`, rad/s.

        Raises:
            TorqueError: no torques were found.
        """
        found = whole_body_tick(share, *self._plan, q, qd, memory, self._memory, self.program.memory)
        if found != FOUND:
            self.program.solve_within_limits(self._problem, found)


@njit_no_alloc
def whole_body_tick(
    share: float,
    trajectory: FloatArray,
    forces: FloatArray,
    moment_arms: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    memory: Memory,
    law: LawMemory,
    program: TorqueMemory,
) -> int:
    """Joint targets, equations of motion and torques of one tick.

    Args:
        share: how far the tick is through a step of the MPC, 0 to 1.
        trajectory: see `MpcPlan`.
        forces: see `MpcPlan`.
        moment_arms: see `MpcPlan`.
        q: joint angles `12`, rad.
        qd: joint speeds `12`, rad/s.
        memory: of feet, base and wanted base; the blended part of this is written.
        law: gains and robot; what a tick writes.
        program: settings of the torque program, and its answer, which is written.

    Returns:
        What `free_torques` says.
    """
    parameters, feet, base, reference, _ = motion_of(memory)
    m = law.view(LAW)[0]
    body = RigidBody(m["mass"], m["centre"], m["inverse_inertia"])
    gains = TaskGains(m["base"], m["swing"], m["trajectory_blend"], DAMPING, body)
    plan, acceleration = MpcPlan(trajectory, forces, moment_arms), m["acceleration"]
    joints, out = (q, qd, m["lower"], m["upper"]), (m["position"], m["velocity"], acceleration)
    room = TaskRoom(m["base_task"], TaskStack(m["jacobians"], m["sizes"], m["targets"]), m["solution"])
    joint_targets(share, plan, gains, feet, base, reference, joints, room, out)
    table = LinkTable(m["trunk"], m["links"], parameters.geometry.legs, m["armature"])
    mass_matrix, bias = m["mass_matrix"], m["bias"]
    equations_of_motion(base.orientation, reference.velocity, q, qd, table, mass_matrix, bias)
    problem = TorqueProblem(
        mass_matrix, bias, acceleration, forces, feet.stance, feet.rotation, feet.local, feet.jacobian
    )
    return free_torques(problem, program)
