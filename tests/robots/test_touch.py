"""Which feet touch: the estimate against Pinocchio, and against MuJoCo's contacts in walks."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.contact_timing import EARLY, LATE, SWING
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.quadruped.interface import GRAVITY, JointCommand, SensorReading
from safebo.robots.quadruped.kinematics import leg_geometry
from safebo.robots.quadruped.memory import allocate_motion
from safebo.robots.quadruped.touch import DAMPING, LESSONS, STEEPEST, STICKING, Touch, learn, touches
from safebo.robots.quadruped.wbc.dynamics import Dynamics
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import Walk

forces = st.floats(-200.0, 200.0)


@pytest.mark.parametrize("name", ["go1", "anymal_c"])
@pytest.mark.parametrize("still", [True, False])
def test_the_force_on_a_foot_is_the_one_that_pinocchio_needs(name, still):
    """Legs that move at constant speeds under a base that accelerates, and forces on the feet."""
    robot, random = load_robot(name), np.random.default_rng(4)
    model = robot.load_pinocchio()
    data, index = model.createData(), robot.pinocchio_index(model)
    q = robot.home_joints + random.normal(0, 0.1, 12)
    qd = np.zeros(12) if still else random.normal(0, 2.0, 12)
    turn = pinocchio.rpy.rpyToMatrix(random.normal(0, 0.2, 3))
    x, y, z, w = pinocchio.Quaternion(turn).coeffs()
    rate, push = random.normal(0, 0.5, 3), random.normal(0, 2.0, 3)  # of the base, its own frame
    full, speeds, accelerations = pinocchio.neutral(model), np.zeros(model.nv), np.zeros(model.nv)
    full[3:7], full[index.q] = [x, y, z, w], q
    speeds[3:6], speeds[index.v], accelerations[:3] = rate, qd, push
    torque = pinocchio.rnea(model, data, full, speeds, accelerations)[index.v]
    torque += np.array(model.damping)[index.v] * qd
    torque += np.array(model.friction)[index.v] * np.tanh(qd / STICKING)
    pinocchio.computeJointJacobians(model, data, full)
    pinocchio.updateFramePlacements(model, data)
    applied, found = random.normal(0, 30, (4, 3)), np.zeros((4, 3))  # base frame
    for leg in range(4):
        whole = pinocchio.getFrameJacobian(
            model, data, int(index.foot_frame[leg]), pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
        )
        jacobian = turn.T @ whole[:3, index.v]
        torque -= jacobian.T @ applied[leg]
        square = jacobian @ jacobian.T
        damped = (DAMPING * robot.size.length) ** 2 * np.eye(3)
        found[leg] = np.linalg.solve(square + damped, square @ applied[leg])
    imu = robot.imu_position
    felt = push + turn.T @ [0, 0, GRAVITY] + np.cross(rate, np.cross(rate, imu))
    reading = SensorReading(0.0, q, qd, np.array([w, x, y, z]), rate, felt)
    touch = Touch(robot, Dynamics(robot), 0.002)
    motion, _ = allocate_motion(leg_geometry(robot), 0.002)
    scale = np.abs(torque).max() / robot.torque_limit.min()
    command = JointCommand(q, qd, torque, np.full(12, 5.0), np.full(12, 1.0))
    assert scale < 1.0
    for _ in range(60):
        touch.feel(command, reading, motion)
    np.testing.assert_allclose(touch.force, found, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found, applied, rtol=0.03, atol=0.05 * robot.mass)


def test_an_unsound_sample_changes_nothing():
    robot = load_robot("go1")
    touch, (motion, _) = Touch(robot, Dynamics(robot), 0.002), allocate_motion(leg_geometry(robot), 0.002)
    reading = SensorReading(joint_position=robot.home_joints.copy())
    reading.linear_acceleration[2] = GRAVITY
    for _ in range(5):
        touch.feel(JointCommand(), reading, motion)
    before = touch.force.copy()
    reading.joint_velocity[3] = np.nan
    touch.feel(JointCommand(), reading, motion)
    np.testing.assert_array_equal(touch.force, before)
    assert np.isfinite(before).all()
    assert before.any()


def test_friction_damping_and_inertia_of_a_joint_are_learned():
    """From a joint that swings to and fro, with noise, and a toe that hits something once."""
    random, true = np.random.default_rng(3), np.array([0.6, 0.25, 0.015])
    unknown = np.array([0.5, 0.3, 0.02])
    learned, spread = np.zeros(3), np.diag(unknown**2)
    for tick in range(2000):
        phase = 0.05 * tick
        told = np.tanh(8.0 * np.sin(phase) / STICKING), 8.0 * np.sin(phase), 200.0 * np.cos(phase)
        lacks = -true @ told + random.normal(0, 0.3) + (50.0 if tick == 1000 else 0.0)
        learn(lacks, told, 0.5, unknown, learned, spread)
    assert np.all(np.abs(learned - true) < [0.1, 0.02, 0.001])
    assert np.linalg.eigvalsh(spread).min() > 0.0


def test_a_leg_goes_by_the_clock_until_it_has_learned():
    robot = load_robot("go1")
    touch = Touch(robot, Dynamics(robot), 0.002)
    motion, named = allocate_motion(leg_geometry(robot), 0.002)
    reading = SensorReading(joint_position=robot.home_joints.copy())
    reading.linear_acceleration[2] = GRAVITY
    contacts = named.contacts
    contacts.planned[:] = [True, False, True, False]
    for swing in range(LESSONS):
        for contacts.mode[:], contacts.progress[:] in ((SWING, 0.2), (SWING, 0.9)):
            touch.feel(JointCommand(), reading, motion)
            if swing < LESSONS - 1:
                assert not contacts.known.any()
    assert contacts.known.all(), "the model is the robot's"
    np.testing.assert_array_equal(contacts.touching, touch.touching)
    command = JointCommand(torque=np.full(12, 5.0))  # as if motors gave nothing of it
    for _ in range(3):
        for contacts.mode[:], contacts.progress[:] in ((SWING, 0.2), (SWING, 0.9)):
            for _ in range(40):
                touch.feel(command, reading, motion)
    assert not contacts.known.any()


@given(st.booleans(), st.tuples(forces, forces, forces), st.floats(1.0, 50.0), st.floats(0.1, 1.0))
@settings(deadline=None)
def test_a_touch_begins_above_and_ends_below(touched, force, on, share):
    x, y, z = force
    now = touches(touched, x * x + y * y + z * z, z, on, share * on)
    if z > on and np.hypot(x, y) < 0.99 * STEEPEST * z:
        assert now
    if z < share * on:
        assert not now
    if share * on < z <= on:
        assert now == touched
    if not touched and np.hypot(x, y) > 1.01 * STEEPEST * abs(z):
        assert not now


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "gait", "most"), [("go1", "trot", 0.02), ("go2", "crawl", 0.05), ("anymal_c", "trot", 0.05)]
)
def test_in_a_nominal_walk_touches_are_true_and_soon(name, gait, most):
    """No foot is felt early that does not touch, none is lost, and touches are felt within 30 ms."""
    robot = load_robot(name)
    chain = Controller(
        robot, robot_gains(robot), robot_gait(robot, gait), VelocityRamp(0.4), adaptive_contact=True
    )
    walk = Walk(Simulation(robot, seed=1), chain, 4.0)
    false, late, swings, wrong, ticks = 0, 0, 0, 0, 0
    before = chain.contacts.mode.copy()
    touched = np.zeros(4)
    while walk.tick():
        mode, true = chain.contacts.mode, walk.record.contact[walk.row - 1]
        touched = np.where(true, touched + 1, 0)
        if walk.row > walk.record.walk_start:
            false += int(((mode == EARLY) & (before != EARLY) & ~true).sum())
            late += int(((mode == LATE) & (before != LATE)).sum())
            swings += int((chain.feet.stance & (touched == 1)).sum())
            wrong += int((chain.feet.stance & ~true).sum())
            ticks += 4
        before = mode.copy()
    assert not walk.record.fell
    assert (false, late) == (0, 0)
    assert wrong < most * ticks
