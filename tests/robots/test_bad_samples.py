"""Samples of the sensors that are none: refused before filter and solvers, bridged for a moment, never obeyed."""

import copy

import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import MAX_BAD_SAMPLES, Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import GAITS
from safebo.robots.quadruped.interface import JointCommand, SensorError
from safebo.robots.simulation.plant import Simulation

PARTS = ("joint_position", "joint_velocity", "orientation", "angular_velocity", "linear_acceleration")
ROBOT = load_robot("go1")


def walking(estimator="kalman", ticks=200):
    controller = Controller(ROBOT, Gains(), GAITS["trot"], VelocityRamp(), estimator=estimator, settle=0.1)
    plant = Simulation(ROBOT)
    controller.reset(plant.read(), plant.truth())
    for _ in range(ticks):
        plant.apply(controller.step(plant.read(), plant.truth()))
    return plant, controller


def spoilt(reading, part, value):
    bad = copy.deepcopy(reading)
    values = getattr(bad, part)
    values[:] = value if value == 0.0 else values
    values[-1] = value
    return bad


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_sample_changes_nothing_and_the_last_command_stands(part, value):
    plant, controller = walking()
    before = copy.deepcopy(controller.command)
    known = [np.array(values) for values in controller.base]
    for _ in range(MAX_BAD_SAMPLES):
        command = controller.step(spoilt(plant.read(), part, value))
        for name in ("position", "velocity", "torque", "kp", "kd"):
            np.testing.assert_array_equal(getattr(command, name), getattr(before, name))
        for now, then in zip(controller.base, known, strict=True):
            np.testing.assert_array_equal(now, then)
    with pytest.raises(SensorError, match=f"{MAX_BAD_SAMPLES + 1} samples"):
        controller.step(spoilt(plant.read(), part, value))


def test_an_orientation_of_zeros_is_no_sample():
    plant, controller = walking()
    reading = spoilt(plant.read(), "orientation", 0.0)
    for _ in range(MAX_BAD_SAMPLES):
        controller.step(reading)
    with pytest.raises(SensorError):
        controller.step(reading)


def test_a_robot_walks_on_over_single_bad_samples():
    plant, controller = walking()
    for tick in range(1000):
        reading = plant.read()
        if tick % 50 < 2:
            reading = spoilt(reading, PARTS[tick % 5], np.nan)
        plant.apply(controller.step(reading))
    assert plant.truth().position[2] == pytest.approx(ROBOT.nominal_height, abs=0.02)
    assert plant.truth().linear_velocity[0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("estimator", ["kalman", "truth"])
@pytest.mark.parametrize("part", PARTS[:2])
def test_the_first_sample_must_be_one(estimator, part):
    plant = Simulation(ROBOT)
    controller = Controller(ROBOT, Gains(), GAITS["trot"], VelocityRamp(), estimator=estimator)
    reading = spoilt(plant.read(), part, np.nan)
    with pytest.raises(SensorError):
        controller.reset(reading, plant.truth())


@pytest.mark.parametrize("part", ["position", "velocity", "torque", "kp", "kd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_motor_that_is_told_what_is_no_number_gives_no_torque(part, value):
    plant = Simulation(ROBOT)
    command = JointCommand(position=ROBOT.home_joints + 0.1, kp=np.full(12, 50.0), kd=np.full(12, 1.0))
    getattr(command, part)[4] = value
    plant.apply(command)
    assert plant.applied_torque[4] == 0.0
    assert np.abs(np.delete(plant.applied_torque, 4)).min() > 0.5
    assert plant.finite()
