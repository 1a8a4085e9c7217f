"""What a robot of one's own does: it stands on its feet's friction, and walks with gains and gaits for its size."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import pytest
from made_robots import MASS, ODD, Make, written

from safebo.robots.descriptions.model import RobotSize, load_robot
from safebo.robots.descriptions.own import OwnChoices, read_own_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import GAITS, robot_gait
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout


def slip(foot_friction, path, gap=None):
    """How far a robot slides in half a second when it is pushed with 60 N."""
    model = read_own_robot(path, OwnChoices(foot_friction=foot_friction)).model
    simulation = Simulation(model, gap or Disturbance().without_noise(), 0)
    controller = Controller(model, robot_gains(model), GAITS["stand"], VelocityRamp(0.0), estimator="truth")
    truth = simulation.truth()
    controller.reset(simulation.read(), truth)
    for tick in range(300):
        simulation.data.xfrc_applied[simulation.index.base_body, 1] = 60.0 if tick > 150 else 0.0
        simulation.apply(controller.step(simulation.read(), truth))
    return float(simulation.data.geom_xpos[simulation.index.foot_geom][:, 1].mean())


def test_foot_friction_means_what_it_says_whatever_the_floor(tmp_path):
    path = written(tmp_path, Make(geom='friction="0.7 0.02 0.01"').text())
    model = load_robot(path).load_mujoco()
    assert model.geom("FL_foot").friction[0] == pytest.approx(0.7)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qpos[2] = load_robot(path).standing_height(load_robot(path).home_joints) - 0.002
    mujoco.mj_forward(model, data)
    assert data.ncon == 4
    assert all(contact.friction[0] == pytest.approx(0.7) for contact in data.contact)
    held = slip(None, path)
    assert abs(held) < 0.02
    assert slip(0.05, path) > 0.05
    assert slip(None, path, Disturbance(foot_friction=0.05).without_noise()) > 0.05


@pytest.mark.parametrize(
    "make", [Make(turned=ODD, axes=(1, -1, -1), foot="welded"), Make(ranges=(None, None, None))]
)
def test_a_robot_of_another_make_trots_with_default_gains(make, tmp_path):
    robot = load_robot(written(tmp_path, make.text()))
    controller = Controller(robot, robot_gains(robot), GAITS["trot"], VelocityRamp(0.4))
    record = rollout(Simulation(robot, Disturbance(), 0), controller, 3.0)
    assert not record.fell, record.stop_reason
    rows = slice(record.walk_start + 500, None)
    assert record.base_velocity[rows, 0].mean() == pytest.approx(0.4, abs=0.03)


def test_gains_go_with_mass_and_leg_length_and_are_a_go1s_for_a_go1(tmp_path):
    robot = load_robot(written(tmp_path, Make().text()))
    gains, go1 = robot_gains(robot), robot_gains(load_robot("go1"))
    assert go1.changed() == {}
    mass, length = robot.size
    assert mass == pytest.approx(MASS / 12.743448)
    assert length == pytest.approx(0.42 / 0.426)
    assert gains["joint.hip.kp"] == pytest.approx(60 * mass * length)
    assert gains["mpc.force_regularisation"] == pytest.approx(1e-5 / mass**2)
    chosen = robot_gains(robot, {"joint.hip.kp": 60.0})
    assert chosen["joint.hip.kp"] == 60.0
    assert chosen["joint.thigh.kp"] == gains["joint.thigh.kp"]


def test_a_robot_with_short_legs_strides_faster_and_a_large_one_as_named(tmp_path):
    robot = load_robot(written(tmp_path, Make().text()))
    small, large = (replace(robot, size=RobotSize(1.0, length)) for length in (0.25, 4.0))
    assert robot_gait(small, "trot").stride_duration == pytest.approx(0.25)
    assert robot_gait(large, "trot") == robot_gait(load_robot("go1"), "trot") == GAITS["trot"]
