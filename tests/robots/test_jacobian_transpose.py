"""The law without whole-body control, against Pinocchio, against the task hierarchy, and on its feet."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import GAINS, robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.quadruped.jacobian_transpose import JacobianTranspose, foot_inertia
from safebo.robots.quadruped.wbc.dynamics import Dynamics, holding_torque
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout

LAW = "jacobian-transpose"


def trotting(name, law, seconds=0.83):
    """A simulation and a controller that has just commanded a tick of a trot."""
    robot = load_robot(name)
    gains = robot_gains(robot, {"wbc.trajectory_blend": 0.0})
    chain = Controller(robot, gains, robot_gait(robot, "trot"), VelocityRamp(0.4, 0.1, 0.3), law=law)
    simulation = Simulation(robot, seed=3)
    chain.reset(simulation.read())
    while simulation.time < seconds:
        simulation.apply(chain.step(simulation.read()))
    chain.step(simulation.read())
    return simulation, chain


class Legs:
    """Pinocchio's view of a robot whose joints are at `q` and whose base is turned by `rotation`."""

    def __init__(self, robot, q, rotation):
        self.model = robot.load_pinocchio()
        self.data, self.index = self.model.createData(), robot.pinocchio_index(self.model)
        self.q = pinocchio.neutral(self.model)
        self.q[3:7], self.q[self.index.q] = pinocchio.Quaternion(rotation).coeffs(), q
        pinocchio.computeJointJacobians(self.model, self.data, self.q)
        pinocchio.updateFramePlacements(self.model, self.data)

    def holding(self):
        return pinocchio.computeGeneralizedGravity(self.model, self.data, self.q)[self.index.v]

    def jacobian(self, leg):
        """Of the foot, rows linear and angular velocity in the world, for the leg's joints."""
        frame = pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
        whole = pinocchio.getFrameJacobian(self.model, self.data, int(self.index.foot_frame[leg]), frame)
        return whole[:, self.index.v[3 * leg : 3 * leg + 3]]


@pytest.mark.parametrize("name", ["go1", "anymal_c"])
def test_legs_are_held_against_gravity(name):
    robot, rng = load_robot(name), np.random.default_rng(0)
    links = Dynamics(robot).links
    for _ in range(10):
        q, rotation = rng.uniform(-2, 2, 12), pinocchio.exp3(rng.normal(0, 1.0, 3))
        up, angles = tuple(rotation[2]), q.reshape(4, 3)
        held = [holding_torque(up, angles[i], links.legs[i], links.links[i]) for i in range(4)]
        np.testing.assert_allclose(np.ravel(held), Legs(robot, q, rotation).holding(), atol=1e-11)


def test_a_swinging_leg_is_moved_with_the_inertia_at_its_foot():
    robot = load_robot("go2")
    legs = Legs(robot, robot.home_joints, np.eye(3))
    mass = np.triu(pinocchio.crba(legs.model, legs.data, legs.q))
    mass += np.triu(mass, 1).T
    for leg, found in enumerate(foot_inertia(robot, Dynamics(robot))):
        joints, jacobian = legs.index.v[3 * leg : 3 * leg + 3], legs.jacobian(leg)[:3]
        inverse = jacobian @ np.linalg.inv(mass[np.ix_(joints, joints)]) @ jacobian.T
        np.testing.assert_allclose(found @ inverse, np.eye(3), atol=1e-9)


@pytest.mark.slow
def test_standing_legs_push_with_the_planned_forces():
    simulation, chain = trotting("go1", LAW)
    robot, reading = chain.robot, simulation.read()
    legs = Legs(robot, reading.joint_position, chain.feet.rotation)
    held, stands = legs.holding().reshape(4, 3), np.flatnonzero(chain.feet.stance)
    assert len(stands) == 2
    for leg in stands:
        moves, turns = np.split(legs.jacobian(leg), 2)
        contact = moves - pinocchio.skew(np.array([0, 0, -robot.foot_radius])) @ turns
        expected = held[leg] - contact.T @ chain.stance_forces[leg]
        assert np.abs(expected).max() > 3.0
        np.testing.assert_allclose(chain.command.torque[3 * leg : 3 * leg + 3], expected, atol=1e-6)


def test_joint_targets_are_those_of_the_task_hierarchy():
    simulation, chain = trotting("go1", "whole-body")
    other = JacobianTranspose(chain.robot, chain.dynamics, chain.mpc)
    other.set_gains(chain.gains)
    reading = simulation.read()
    other.command(0.5, chain._memory, reading.joint_position, reading.joint_velocity)
    step = other.position - reading.joint_position
    assert np.abs(step).max() > 0.01
    np.testing.assert_allclose(other.position, chain.command.position, atol=2e-4)
    np.testing.assert_allclose(other.velocity, chain.command.velocity, atol=2e-3)


@pytest.mark.parametrize("name", ["go1", "go2"])
def test_a_robot_trots(name):
    robot = load_robot(name)
    chain = Controller(robot, robot_gains(robot), robot_gait(robot, "trot"), VelocityRamp(0.5), law=LAW)
    record = rollout(Simulation(robot, seed=1), chain, 5.0)
    assert not record.fell
    walked = slice(record.walk_start + 500, None)
    assert record.base_velocity[walked, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(record.states[walked, :2]).max() < 0.05
    assert np.all(np.abs(record.commanded_torque) <= robot.torque_limit + 1e-9)


def test_a_study_names_the_law_and_tunes_its_gains():
    evaluator = LeggedEvaluator({"controller": LAW, "seconds": 1.0, "gains": {"joint.hip.kp": 50.0}})
    names = [parameter.name for parameter in evaluator.info().parameters]
    assert names == [gain.name for gain in GAINS if not gain.name.startswith("wbc.")]
    stiff = evaluator.walk({"swing.kp_z": 600.0}, {}, 0)
    soft = evaluator.walk({"swing.kp_z": 100.0}, {}, 0)
    other = LeggedEvaluator({"seconds": 1.0, "gains": {"joint.hip.kp": 50.0}}).walk({}, {}, 0)
    assert not np.array_equal(stiff.commanded_torque, soft.commanded_torque)
    assert not np.array_equal(stiff.commanded_torque, other.commanded_torque)
    with pytest.raises(ValueError, match=r"wbc\.mpc_blend.*--controller jacobian-transpose"):
        LeggedEvaluator({"controller": LAW, "gains": {"wbc.mpc_blend": 0.2}})


def test_a_law_that_does_not_exist_is_refused():
    robot = load_robot("go1")
    with pytest.raises(ValueError, match="'whole-body' or 'jacobian-transpose'"):
        Controller(robot, robot_gains(robot), robot_gait(robot, "trot"), VelocityRamp(), law="transpose")
