"""Leg kinematics against Pinocchio, contact points against finite differences."""

import numpy as np
import pinocchio
import pytest

from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.model import load_robot
from safebo.robots.descriptions.published import ROBOTS
from safebo.robots.quadruped.contact_timing import Contacts
from safebo.robots.quadruped.feet import Feet, FootParameters, measure_feet, update_feet
from safebo.robots.quadruped.gait import GAITS
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import (
    leg_geometry,
    roll_pitch_yaw,
    rotation_error,
    rotation_from_quaternion,
)


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request):
    return load_robot(request.param)


def random_joints(robot, rng):
    return rng.uniform(np.maximum(robot.joint_lower, -3), np.minimum(robot.joint_upper, 3)), rng.normal(
        0, 3, 12
    )


def feet_of(robot, q, qd):
    position, jacobian, axes = np.zeros((4, 3)), np.zeros((4, 3, 3)), np.zeros((4, 3, 3))
    drift = np.zeros((4, 2, 3))
    for leg, geometry in enumerate(leg_geometry(robot).legs):
        part = slice(3 * leg, 3 * leg + 3)
        leg_kinematics(geometry, q[part], qd[part], position[leg], jacobian[leg], axes[leg], drift[leg])
    return position, jacobian, axes, drift


def test_feet_jacobians_and_their_drift_agree_with_pinocchio(robot):
    model = robot.load_pinocchio()
    data, index = model.createData(), robot.pinocchio_index(model)
    rng = np.random.default_rng(0)
    for _ in range(20):
        q, qd = random_joints(robot, rng)
        position, jacobian, axes, drift = feet_of(robot, q, qd)
        full_q, full_v = pinocchio.neutral(model), np.zeros(model.nv)
        full_q[index.q], full_v[index.v] = q, qd
        pinocchio.forwardKinematics(model, data, full_q, full_v, np.zeros(model.nv))
        pinocchio.computeJointJacobians(model, data, full_q)
        pinocchio.updateFramePlacements(model, data)
        frame = pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
        for leg in range(4):
            foot = int(index.foot_frame[leg])
            np.testing.assert_allclose(position[leg], data.oMf[foot].translation, atol=1e-12)
            full = pinocchio.getFrameJacobian(model, data, foot, frame)[:, index.v[3 * leg : 3 * leg + 3]]
            np.testing.assert_allclose(jacobian[leg], full[:3], atol=1e-12)
            np.testing.assert_allclose(axes[leg], full[3:], atol=1e-12)
            moved = pinocchio.getFrameClassicalAcceleration(model, data, foot, frame)
            np.testing.assert_allclose(drift[leg, 0], moved.linear, atol=1e-10)
            np.testing.assert_allclose(drift[leg, 1], moved.angular, atol=1e-10)


def test_rotations_agree_with_pinocchio():
    rng = np.random.default_rng(2)
    rotation, other, error = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(3)
    for _ in range(50):
        q = rng.normal(size=4)
        q /= np.linalg.norm(q)
        rotation_from_quaternion(q, rotation)
        expected = pinocchio.Quaternion(np.array([q[1], q[2], q[3], q[0]])).toRotationMatrix()
        np.testing.assert_allclose(rotation, expected, atol=1e-12)
        np.testing.assert_allclose(
            pinocchio.rpy.rpyToMatrix(np.array(roll_pitch_yaw(rotation))), rotation, atol=1e-9
        )
        vector = rng.normal(size=3) * 0.8
        other[:] = rotation @ pinocchio.exp3(vector)
        rotation_error(rotation, other, error)
        np.testing.assert_allclose(error, vector, atol=1e-9)


def test_the_jacobian_of_a_standing_foot_is_that_of_its_contact_point(robot):
    """A rolling ball: speed of the material point that touches the floor, by finite differences."""
    rng = np.random.default_rng(3)
    model = robot.load_pinocchio()
    data, index = model.createData(), robot.pinocchio_index(model)
    q = robot.home_joints + rng.normal(0, 0.1, 12)
    qd = rng.normal(0, 2, 12)
    feet = Feet.standing()
    parameters = FootParameters(
        GAITS["stand"].timing(robot.legs), leg_geometry(robot), 0.002, 0.1, (0.05, 3.0)
    )
    zero = np.zeros(3)
    base = BaseState(np.array([0, 0, 0.27]), np.array([1.0, 0, 0, 0]), zero, zero)
    measure_feet(parameters.geometry.legs, q, qd, feet)
    update_feet(0.0, True, parameters, base, qd, zero, feet, Contacts.standing())
    full_q, step = pinocchio.neutral(model), 1e-6
    for leg in range(4):
        calf = model.getJointId(robot.joint_names[3 * leg + 2])
        material = []
        for sign in (0, -1, 1):
            full_q[index.q] = q + sign * step * qd
            pinocchio.forwardKinematics(model, data, full_q)
            pinocchio.updateFramePlacements(model, data)
            pose = data.oMi[calf]
            if sign == 0:
                touching = data.oMf[int(index.foot_frame[leg])].translation - [0, 0, robot.foot_radius]
                inside = pose.actInv(touching)
                np.testing.assert_allclose(feet.local[leg], touching, atol=1e-12)
            material.append(pose.act(inside))
        speed = (material[2] - material[1]) / (2 * step)
        np.testing.assert_allclose(feet.jacobian[leg] @ qd[3 * leg : 3 * leg + 3], speed, atol=1e-6)
