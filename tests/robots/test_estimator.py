"""The base estimate: against a dense Kalman filter, on a swaying stand, on a walk, with slipping feet."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.estimator import KalmanEstimator
from safebo.robots.quadruped.filter import EstimatorNoise
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.quadruped.interface import JointCommand, SensorReading
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout

ROBOT = load_robot("go1")
PERIOD = 0.002


class DenseFilter:
    """The same belief as one 18-dimensional filter with all measurements at once, feet from Pinocchio."""

    def __init__(self, robot, noise):
        self.robot, self.noise = robot, noise
        self.model = robot.load_pinocchio()
        self.data = self.model.createData()
        self.index = robot.pinocchio_index(self.model)
        self.x = np.zeros(18)
        self.covariance = np.kron(np.diag([1e-4, 1e-2, 1e-4, 1e-4, 1e-4, 1e-4]), np.eye(3))

    def feet(self, reading):
        """Place, velocity and rolling of every foot relative to the base, world axes."""
        q, v = pinocchio.neutral(self.model), np.zeros(self.model.nv)
        q[3:7] = np.roll(reading.orientation, -1)
        q[self.index.q] = reading.joint_position
        v[3:6] = reading.angular_velocity
        v[self.index.v] = reading.joint_velocity
        pinocchio.forwardKinematics(self.model, self.data, q, v)
        pinocchio.updateFramePlacements(self.model, self.data)
        out = []
        for frame in self.index.foot_frame:
            motion = pinocchio.getFrameVelocity(
                self.model, self.data, int(frame), pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
            )
            rolling = np.cross(motion.angular, [0.0, 0.0, self.robot.foot_radius])
            out.append((self.data.oMf[int(frame)].translation.copy(), motion.linear.copy(), rolling))
        return out

    def reset(self, reading):
        feet = np.array([place for place, _, _ in self.feet(reading)])
        self.x[2] = self.robot.foot_radius - feet[:, 2].min()
        self.x[6:] = (self.x[:3] + feet).ravel()

    def update(self, reading, stance):
        noise, dt = self.noise, PERIOD
        rotation = pinocchio.Quaternion(np.roll(reading.orientation, -1)).matrix()
        w, arm = reading.angular_velocity, self.robot.imu_position
        force = reading.linear_acceleration - np.cross(w, np.cross(w, arm))
        acceleration = rotation @ force - [0, 0, 9.81]
        transition = np.eye(18)
        transition[0:3, 3:6] = dt * np.eye(3)
        self.x = transition @ self.x
        self.x[0:3] += 0.5 * dt**2 * acceleration
        self.x[3:6] += dt * acceleration
        growth = [noise.position**2 * dt] * 3 + [(noise.acceleration * dt) ** 2] * 3 + [0.0] * 12
        self.covariance = transition @ self.covariance @ transition.T + np.diag(growth)
        rows, measured, variances = [], [], []
        for leg, (place, velocity, rolling) in enumerate(self.feet(reading)):
            own = slice(6 + 3 * leg, 9 + 3 * leg)
            if stance[leg] < 0:
                self.x[own] = self.x[:3] + place
                self.covariance[own, :] = 0.0
                self.covariance[:, own] = 0.0
                self.covariance[own, own] = np.eye(3)
                continue
            trust = min(1.0, min(stance[leg], 1 - stance[leg]) / noise.touchdown_window + 0.05)
            self.x[own] += dt * rolling
            self.covariance[own, own] += noise.foot_drift**2 * dt / trust * np.eye(3)
            relative, speed = np.zeros((3, 18)), np.zeros((3, 18))
            relative[:, own], relative[:, :3] = np.eye(3), -np.eye(3)
            speed[:, 3:6] = np.eye(3)
            height = np.zeros((1, 18))
            height[0, 8 + 3 * leg] = 1.0
            rows += [relative, speed, height]
            measured += [place, rolling - velocity, [self.robot.foot_radius]]
            variances += [noise.foot_position**2 / trust] * 3 + [(noise.foot_velocity / trust) ** 2] * 3
            variances += [(noise.foot_height / trust) ** 2]
        if rows:
            h, z = np.concatenate(rows), np.concatenate(measured)
            total = h @ self.covariance @ h.T + np.diag(variances)
            gain = np.linalg.solve(total, h @ self.covariance).T
            self.x = self.x + gain @ (z - h @ self.x)
            self.covariance = (np.eye(18) - gain @ h) @ self.covariance


@pytest.mark.parametrize("name", ["go1", "go2"])
def test_it_is_the_kalman_filter(name):
    robot = load_robot(name)
    noise = EstimatorNoise(outlier=1e9)
    estimator, dense = KalmanEstimator(robot, PERIOD, noise), DenseFilter(robot, noise)
    generator = np.random.default_rng(5)
    reading = SensorReading(joint_position=robot.home_joints.copy())
    estimator.reset(reading)
    dense.reset(reading)
    phases = np.array([0.02, 0.5, 0.93, 0.3])
    for tick in range(60):
        reading.joint_position[:] = robot.home_joints + 0.05 * generator.normal(size=12)
        reading.joint_velocity[:] = generator.normal(size=12)
        axis = 0.1 * generator.normal(size=3)
        reading.orientation[:] = np.roll(pinocchio.Quaternion(pinocchio.exp3(axis)).coeffs(), 1)
        reading.angular_velocity[:] = generator.normal(size=3)
        reading.linear_acceleration[:] = generator.normal(size=3) + np.array([0, 0, 9.81])
        stance = phases.copy()
        if 15 <= tick < 30:
            stance[[1, 2]] = -1.0
        if 40 <= tick < 50:
            stance[:] = -1.0
        state = estimator.update(reading, stance)
        dense.update(reading, stance)
        # a swinging foot is put where the leg says before or after its neighbours' corrections: of the order of
        # its prior's weight, (0.004 m)^2 / 1 m^2
        tolerance = 1e-11 if tick < 15 else 1e-6
        assert np.abs(state.position - dense.x[:3]).max() < tolerance
        assert np.abs(state.linear_velocity - dense.x[3:6]).max() < tolerance


def swaying(disturbance, seed=3, seconds=4.0, bias=0.0):
    """A robot that bends its knees while all feet stay: estimate and truth over time."""
    simulation = Simulation(ROBOT, disturbance, seed)
    estimator = KalmanEstimator(ROBOT, PERIOD)
    command = JointCommand(kp=np.full(12, 80.0), kd=np.full(12, 2.0))
    command.position[:] = ROBOT.home_joints
    estimator.reset(simulation.read())
    stance = np.full(4, 0.5)
    errors = []
    for tick in range(int(seconds / PERIOD)):
        bend = np.sin(2 * np.pi * tick * PERIOD)
        command.position[1::3] = ROBOT.home_joints[1::3] + 0.15 * bend
        command.position[2::3] = ROBOT.home_joints[2::3] - 0.18 * bend
        simulation.apply(command)
        reading = simulation.read()
        reading.linear_acceleration[0] += bias
        state, truth = estimator.update(reading, stance), simulation.truth()
        errors.append(
            np.concatenate([state.position - truth.position, state.linear_velocity - truth.linear_velocity])
        )
    return np.array(errors)


def test_a_swaying_stand_is_followed_and_height_does_not_drift():
    errors = swaying(Disturbance())[250:]
    assert np.sqrt((errors[:, 3:] ** 2).mean(axis=0)).max() < 0.01
    assert np.abs(errors[:, 2]).max() < 0.004
    assert np.abs(errors[:, :2]).max() < 0.02


def test_a_constant_acceleration_error_does_not_run_away():
    errors = swaying(Disturbance(), bias=0.3, seconds=6.0)
    assert np.abs(errors[-500:, 3]).max() < 0.05
    assert np.abs(errors[-500:, 2]).max() < 0.005


@pytest.mark.parametrize("gap", ["nominal", "paper"])
def test_the_velocity_of_a_walk_is_known_and_height_stays_bounded(gap):
    controller = Controller(ROBOT, Gains(), gait_named("trot"), VelocityRamp(0.5, 0.0, 0.0, 0.5))
    record = rollout(Simulation(ROBOT, Disturbance.from_dict(gap), 2), controller, 6.0)
    assert not record.fell
    walking = record.time > 0.5
    error = (record.estimated_velocity - record.base_velocity)[walking]
    assert np.sqrt((error**2).sum(axis=1).mean()) < 0.03
    assert np.abs(error.mean(axis=0)).max() < 0.01
    assert np.abs((record.estimated_position - record.base_position)[:, 2]).max() < 0.01


def test_one_slipping_foot_is_outvoted():
    """A foot that drags at 0.5 m/s while it is planned to stand moves the estimate by little."""
    results = []
    for outlier in (2.5, 1e9):
        estimator = KalmanEstimator(ROBOT, PERIOD, EstimatorNoise(outlier=outlier))
        reading = SensorReading(joint_position=ROBOT.home_joints.copy())
        reading.linear_acceleration[2] = 9.81
        estimator.reset(reading)
        stance = np.full(4, 0.5)
        for _ in range(100):
            estimator.update(reading, stance)
        reading.joint_velocity[1] = 1.9  # front left thigh: about 0.5 m/s at the foot
        for _ in range(25):
            reading.joint_position[1] += 1.9 * PERIOD
            state = estimator.update(reading, stance)
        results.append(np.abs(state.linear_velocity[0]))
    assert results[0] < 0.5 * results[1]
    assert results[0] < 0.08


def test_reset_takes_the_height_from_the_legs_or_from_the_caller():
    estimator = KalmanEstimator(ROBOT)
    reading = SensorReading(joint_position=ROBOT.home_joints.copy())
    assert estimator.reset(reading).position[2] == pytest.approx(ROBOT.standing_height(ROBOT.home_joints))
    state = estimator.reset(reading, base_height=0.31)
    assert state.position.tolist() == [0.0, 0.0, 0.31]
    assert np.all(state.linear_velocity == 0.0)


@pytest.mark.parametrize(
    ("values", "word"),
    [({"foot_velocity": 0.0}, "foot_velocity"), ({"touchdown_window": 0.7}, "touchdown_window")],
)
def test_noise_that_makes_no_sense_is_refused(values, word):
    with pytest.raises(ValueError, match=word):
        KalmanEstimator(ROBOT, PERIOD, EstimatorNoise(**values))


@pytest.mark.parametrize(("gait", "speed"), [("trot", 0.5), ("crawl", 0.3)])
def test_the_assumed_noise_of_the_sensors_is_theirs(gait, speed):
    """Squared innovations over their predicted variance are one in the mean where the filter's noise is right.

    Touchdown and lift-off are trusted less than they deserve on a flat floor, which keeps the mean a little under one.
    """
    controller = Controller(ROBOT, Gains(), gait_named(gait), VelocityRamp(speed))
    rollout(Simulation(ROBOT), controller, 4.0)
    assert controller.estimator is not None
    position, velocity, height = controller.estimator.normalised_innovations()
    assert 0.5 < position.mean() < 1.2
    assert 0.6 < velocity.mean() < 1.6
    assert height[2] < 1.0  # the floor is believed less than a flat one deserves
