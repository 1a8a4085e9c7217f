"""Short walks of the whole chain: controller, estimator, plant."""

from copy import deepcopy

import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains, robot_gains
from safebo.robots.quadruped.gait import GAITS, Gait, robot_gait
from safebo.robots.quadruped.speed import speed_limit
from safebo.robots.quadruped.swing import MAX_STEP
from safebo.robots.simulation.disturbance import Disturbance, preset
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import STATE_NAMES, rollout

NOMINAL = Disturbance(control_delay=1)
SOFT = {"joint.hip.kp": 5.0, "joint.thigh.kp": 5.0, "joint.calf.kp": 5.0}


def walk(robot="go1", gait="trot", seconds=3.0, velocity=0.5, gap=NOMINAL, seed=0, gains=None, **keywords):
    model = load_robot(robot)
    pattern = GAITS[gait] if isinstance(gait, str) else gait
    estimator = keywords.pop("estimator", "kalman")
    command = velocity if callable(velocity) else VelocityRamp(velocity)
    controller = Controller(model, Gains(gains), pattern, command, estimator=estimator)
    return rollout(Simulation(model, gap, seed), controller, seconds, **keywords)


def after_ramp(record):
    return slice(record.walk_start + 500, None)


@pytest.mark.parametrize("robot", ["go1", "go2"])
def test_a_trot_keeps_its_speed_and_stays_level_with_the_estimator_in_the_loop(robot):
    record = walk(robot, seconds=4.0)
    rows = after_ramp(record)
    assert not record.fell
    assert record.base_velocity[rows, 0].mean() == pytest.approx(0.5, rel=0.03)
    assert np.sqrt(np.mean(record.states[rows, 1] ** 2)) < 0.03
    error = record.estimated_velocity[rows] - record.base_velocity[rows]
    assert np.sqrt(np.mean(np.sum(error**2, axis=1))) < 0.1
    assert record.base_position[rows, 2].mean() == pytest.approx(load_robot(robot).nominal_height, abs=0.01)


@pytest.mark.parametrize("gait", ["crawl", "flying-trot", "pronk", Gait(0.6, 0.4, 0.5, 0.5, 0.0)])
def test_other_gaits_walk_on_their_planned_contacts(gait):
    record = walk("go2", gait, seconds=3.0)
    assert not record.fell, record.stop_reason
    rows = after_ramp(record)
    agreement = np.mean(record.contact[rows] == record.planned_contact[rows])
    assert agreement > 0.85


def test_it_turns_and_walks_sideways_and_stands():
    turning = walk(velocity=VelocityRamp(0.2, 0.0, 0.5), seconds=3.0)
    assert not turning.fell
    assert turning.base_rate[after_ramp(turning), 2].mean() == pytest.approx(0.5, abs=0.05)
    sideways = walk(velocity=VelocityRamp(0.0, 0.2, 0.0), seconds=3.0)
    assert sideways.base_velocity[after_ramp(sideways), 1].mean() == pytest.approx(0.2, abs=0.03)
    standing = walk(gait="stand", velocity=0.0, seconds=1.0)
    assert np.abs(standing.base_velocity[-100:]).max() < 0.01


def test_the_same_seed_gives_the_same_walk_bit_for_bit_and_another_seed_another():
    first, again, other = (walk(seconds=1.0, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.joint_position, again.joint_position)
    np.testing.assert_array_equal(first.commanded_torque, again.commanded_torque)
    assert not np.array_equal(first.joint_position, other.joint_position)


def test_a_rollout_repeats_itself_with_the_same_objects():
    model = load_robot("go1")
    controller = Controller(model, Gains(), GAITS["trot"], VelocityRamp(0.5))
    plant = Simulation(model, NOMINAL, 1)
    first, again = rollout(plant, controller, 1.0), rollout(plant, controller, 1.0)
    np.testing.assert_array_equal(first.joint_position, again.joint_position)


def test_recorded_torques_stay_within_their_limits():
    record = walk(seconds=1.0)
    robot = load_robot("go1")
    assert np.all(np.abs(record.commanded_torque) <= robot.torque_limit + 1e-9)


def test_too_soft_gains_fall_with_the_papers_disturbance_and_the_record_ends_there():
    record = walk(gap=preset("paper"), gains=SOFT, seconds=4.0)
    assert record.fell
    assert record.stop_reason
    assert len(record) < record.walk_start + 4.0 / record.period
    assert np.all(np.isfinite(record.joint_position))
    assert len(record.desired_position) == len(record.states) == len(record)


def test_a_monitor_that_switches_gains_in_time_saves_the_robot():
    good = Gains({"joint.hip.kp": 70, "joint.thigh.kp": 70, "joint.calf.kp": 70, "joint.hip.kd": 3.2,
                  "joint.thigh.kd": 3.2, "joint.calf.kd": 3.2})  # fmt: skip
    seen = []

    def monitor(state):
        seen.append(state.copy())
        return 0 if abs(state[STATE_NAMES.index("roll")]) > 0.08 else -1

    record = walk(gap=preset("paper"), gains=SOFT, seconds=4.0, monitor=monitor, backups=[good])
    assert not record.fell
    assert record.backup == 0
    assert record.backup_row == record.walk_start + len(seen) - 1
    np.testing.assert_array_equal(record.states[record.backup_row], seen[-1])


def test_the_monitored_state_is_what_its_names_say():
    record = walk(seconds=1.0, estimator="truth")
    assert record.states.shape[1] == len(STATE_NAMES) == 33
    np.testing.assert_allclose(record.states[:, 2], record.base_position[:, 2])
    np.testing.assert_allclose(record.states[:, 6:9], record.base_rate)
    np.testing.assert_allclose(record.states[:, 9:21], record.measured_position)
    np.testing.assert_allclose(record.states[:, 21:33], record.measured_velocity)
    speed = np.linalg.norm(record.states[:, 3:6], axis=1)
    np.testing.assert_allclose(speed, np.linalg.norm(record.base_velocity, axis=1))


def test_the_controller_reads_no_internals_of_the_plant():
    """A plant with another mass and friction is controlled by the same commands while the readings agree."""
    model = load_robot("go1")
    plant = Simulation(model, NOMINAL.without_noise(), 0)
    other = Simulation(model, Disturbance(payload_mass=5.0, foot_friction=0.2).without_noise(), 0)
    commands = []
    for simulation in (plant, other):
        controller = Controller(model, Gains(), GAITS["trot"], VelocityRamp(0.5))
        reading = simulation.read()
        controller.reset(reading)
        commands.append(deepcopy(controller.step(reading)))
    np.testing.assert_array_equal(commands[0].torque, commands[1].torque)
    np.testing.assert_array_equal(commands[0].position, commands[1].position)


def test_a_gait_that_cannot_step_fast_enough_says_how_fast_it_can():
    controller = Controller(load_robot("go1"), Gains(), GAITS["pronk"], VelocityRamp(0.5))
    assert controller.limit.speed == pytest.approx(0.3)
    assert "swings for 0.06 s of every 0.6 s" in controller.limit.reason
    controller.set_gains(Gains({"swing.max_speed": 2.0}))
    assert controller.limit.speed == pytest.approx(0.2)


def test_a_gait_is_as_fast_as_foot_leg_and_motors_allow():
    go1, anymal = load_robot("go1"), load_robot("anymal_c")
    assert speed_limit(go1, GAITS["crawl"], 3.0).speed == pytest.approx(2 * MAX_STEP / 0.9)
    slow = speed_limit(anymal, GAITS["pronk"], 3.0)
    fastest = 15 / 8 * slow.speed / 0.1 - slow.speed  # of the foot, relative to the trunk
    assert fastest == pytest.approx(0.8 * 7.5 * anymal.nominal_height)
    assert "7.5 rad/s" in slow.reason
    assert speed_limit(go1, GAITS["stand"], 3.0).speed == 0.0


@pytest.mark.parametrize(("robot", "gait"), [("go1", "crawl"), ("anymal_c", "pronk"), ("anymal_c", "crawl")])
def test_crawl_and_pronk_walk_at_the_speed_to_which_a_command_is_shortened(robot, gait):
    model = load_robot(robot)
    controller = Controller(model, robot_gains(model), robot_gait(model, gait), VelocityRamp(2.0))
    record = rollout(Simulation(model, NOMINAL, 0), controller, 5.0)
    assert not record.fell, record.stop_reason
    command = np.hypot(*record.command[-1, :2])
    assert command == pytest.approx(controller.limit.speed)
    assert record.base_velocity[-1000:, 0].mean() == pytest.approx(command, rel=0.1)


def planned(gait, speed, seconds=3.0):
    """Share of the weight that the MPC has the standing feet carry, and feed-forward torques, tick by tick."""
    robot = load_robot("go1")
    controller, plant = Controller(robot, Gains(), gait, VelocityRamp(speed)), Simulation(robot)
    controller.reset(plant.read(), plant.truth())
    shares, torques = [], []
    for _ in range(round(seconds / plant.period)):
        command = controller.step(plant.read())
        if command.kp is not controller._settle_kp and plant.time > 1.5:
            stance = controller.feet.stance
            shares.append(controller.mpc.forces[0, stance, 2].sum() / (robot.mass * 9.81))
            torques.append(command.torque / robot.torque_limit)
        plant.apply(command)
    return np.array(shares), np.array(torques)


@pytest.mark.parametrize("stride", [0.45, 0.5, 0.57])
def test_standing_feet_are_never_told_to_let_the_body_fall(stride):
    """A stride is no multiple of the MPC's step: contacts change within steps, at the end of every stance."""
    shares, _ = planned(Gait(0.5, stride, 0.5, 0.5, 0.0), 0.5)
    assert shares.min() >= 0.8
    assert shares.max() <= 1.2
    assert shares.mean() == pytest.approx(1.0, abs=0.02)


def test_feed_forward_torques_stay_within_the_motors_limits():
    _, torques = planned(GAITS["flying-trot"], 1.0, 4.0)
    assert np.abs(torques).max() <= 1.0
    assert np.abs(torques).max() > 0.9, "nothing was limited: the walk is too easy to show it"
