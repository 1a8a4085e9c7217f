"""The plant against closed forms: motors, delays, sensors, disturbances."""

from __future__ import annotations

import math
from copy import deepcopy

import mujoco
import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.interface import JointCommand
from safebo.robots.simulation.contacts import feel
from safebo.robots.simulation.disturbance import Disturbance, preset
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.sensors import SensorNoise

ROBOT = load_robot("go1")
QUIET = {"sensor_noise": False}


def plant(seed=0, rate=500.0, **gap):
    return Simulation(ROBOT, Disturbance.from_dict({**QUIET, **gap}), seed, rate)


def standing(kp=80.0, kd=2.0):
    return JointCommand(
        position=ROBOT.home_joints.copy(), kp=np.full(12, kp), kd=np.full(12, kd), torque=np.zeros(12)
    )


def torque_command(torque):
    return JointCommand(position=ROBOT.home_joints.copy(), torque=np.asarray(torque, dtype=float))


def test_the_robot_stands_on_its_four_feet_and_rests():
    simulation = plant()
    for _ in range(1500):
        simulation.apply(standing())
    truth = simulation.truth()
    assert np.all(simulation.foot_contact())
    assert not simulation.trunk_contact()
    assert simulation.finite()
    assert truth.position[2] == pytest.approx(ROBOT.standing_height(simulation.true_joint_position), abs=3e-3)
    assert np.linalg.norm(truth.linear_velocity) < 2e-3
    force = np.zeros(6)
    total = 0.0
    for contact in range(simulation.data.ncon):
        mujoco.mj_contactForce(simulation.model, simulation.data, contact, force)
        total += force[0]
    assert total == pytest.approx(ROBOT.mass * 9.81, rel=0.01)


def test_motors_follow_the_joint_law_and_its_limits():
    simulation = plant()
    generator = np.random.default_rng(2)
    for _ in range(20):
        command = JointCommand(*(generator.normal(size=12) for _ in range(3)))
        command.kp[:], command.kd[:] = generator.uniform(0, 60, 12), generator.uniform(0, 3, 12)
        q, qd = simulation.true_joint_position.copy(), simulation.true_joint_velocity.copy()
        wanted = command.torque + command.kp * (command.position - q) + command.kd * (command.velocity - qd)
        simulation.apply(command)
        limited = np.clip(wanted, -ROBOT.torque_limit, ROBOT.torque_limit)
        assert np.allclose(simulation.commanded_torque, limited, atol=1e-12)
        assert np.allclose(simulation.applied_torque, limited, atol=1e-12)


def test_weak_motors_and_joint_impedance_act_as_the_formula_says():
    simulation = plant(torque_factor=[0.7, 0.8, 0.9, 1.0], joint_impedance=[-20.0, -0.5])
    for tick in range(50):
        command = standing(30.0, 1.0)
        command.position += 0.2 * math.sin(0.3 * tick)
        q, qd = simulation.true_joint_position.copy(), simulation.true_joint_velocity.copy()
        tau = command.kp * (command.position - q) - command.kd * qd
        tau = np.clip(tau, -ROBOT.torque_limit, ROBOT.torque_limit)
        factor = np.repeat([0.7, 0.8, 0.9, 1.0], 3)
        simulation.apply(command)
        expected = factor * tau - 20.0 * (command.position - q) + 0.5 * qd
        assert np.allclose(simulation.applied_torque, expected, atol=1e-10)


def test_the_force_under_a_foot_is_what_the_engine_says_of_its_contacts():
    simulation = Simulation(ROBOT, Disturbance(joint_impedance=(0.0, 0.5)))
    for _ in range(100):
        simulation.apply(standing(60.0, 2.0))
    model, data = simulation.model, simulation.data
    mujoco.mj_step2(model, data)
    expected, force = np.zeros(4), np.zeros(6)
    for number, geoms in enumerate(data.contact.geom):
        mujoco.mj_contactForce(model, data, number, force)
        expected[simulation.index.foot_geom.tolist().index(max(geoms))] += force[0]
    contact, found = data.contact, np.zeros(4)
    places = np.full(model.ngeom, -1)
    places[simulation.index.foot_geom] = np.arange(4)
    feel(contact.geom, contact.efc_address, data.efc_force, places, found)
    assert expected.min() > 5.0
    np.testing.assert_array_equal(found, expected)


def test_a_command_that_is_not_for_twelve_joints_is_refused():
    with pytest.raises(ValueError, match="twelve"):
        Simulation(ROBOT).apply(JointCommand(kd=np.zeros(11)))


def test_what_is_applied_is_what_the_physics_feels():
    """In free fall, MuJoCo's own inverse dynamics returns the torque that was asked for."""
    simulation = plant(joint_damping=0.0, joint_friction=0.0, joint_impedance=[5.0, 0.1])
    simulation.reset(base_height=2.0)
    torque = np.linspace(-3, 3, 12)
    for _ in range(5):
        simulation.apply(torque_command(torque))
    data, model = simulation.data, simulation.model
    before = data.qvel.copy()
    applied = np.zeros(model.nv)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    bias = data.qfrc_bias.copy()
    simulation.apply(torque_command(torque))
    acceleration = (data.qvel - before) / simulation.period
    applied = mass @ acceleration + bias
    assert np.allclose(applied[:6], 0.0, atol=1e-7)
    assert np.allclose(applied[simulation.index.dof], simulation.applied_torque, atol=1e-7)


@pytest.mark.parametrize("delay", [1, 3])
def test_control_delay_postpones_the_torque_by_whole_ticks(delay):
    simulation = plant(control_delay=delay)
    applied = []
    for tick in range(10):
        simulation.apply(torque_command(np.full(12, 0.1 * tick)))
        assert np.allclose(simulation.commanded_torque, 0.1 * tick)
        applied.append(simulation.applied_torque[0])
    assert np.allclose(applied[delay:], 0.1 * np.arange(10 - delay))
    # before the first one arrives the motors hold what the first tick asked for
    assert np.allclose(applied[:delay], 0.0)


@pytest.mark.parametrize("delay", [1, 2])
def test_command_delay_postpones_targets_but_not_the_motors_own_loop(delay):
    simulation = plant(command_delay=delay)
    for tick in range(8):
        command = standing(20.0, 0.0)
        command.position += 0.01 * tick
        q = simulation.true_joint_position.copy()
        simulation.apply(command)
        late = ROBOT.home_joints + 0.01 * max(0, tick - delay)
        assert np.allclose(simulation.commanded_torque, 20.0 * (late - q), atol=1e-10)


def test_sensor_delay_shows_the_past_and_says_when_it_was():
    simulation = plant(
        sensor_noise={
            "delay": 2,
            **{
                f"{n}_std": 0.0
                for n in (
                    "joint_position",
                    "joint_velocity",
                    "orientation",
                    "angular_velocity",
                    "linear_acceleration",
                )
            },
        }
    )
    past = [simulation.true_joint_position.copy()]
    for tick in range(1, 12):
        simulation.apply(torque_command(np.full(12, 2.0)))
        past.append(simulation.true_joint_position.copy())
        reading = simulation.read()
        if tick >= 2:
            assert np.allclose(reading.joint_position, past[tick - 2], atol=1e-12)
            assert reading.time == pytest.approx((tick - 2) * simulation.period)
    again = simulation.reset()
    assert again.time == 0.0
    assert np.allclose(again.joint_position, past[0])


def test_torque_fades_with_speed_only_where_the_motor_drives():
    simulation = plant(torque_speed_corner=0.5)
    speed = np.array([0.5, 0.75, 1.1] * 4) * ROBOT.speed_limit
    simulation.data.qvel[simulation.index.dof] = speed
    simulation._sense()
    simulation.apply(torque_command(2.0 * ROBOT.torque_limit))
    share = np.array([1.0, 0.5, 0.0] * 4)
    assert np.allclose(simulation.commanded_torque, share * ROBOT.torque_limit)
    simulation.reset()
    simulation.data.qvel[simulation.index.dof] = speed
    simulation._sense()
    simulation.apply(torque_command(-2.0 * ROBOT.torque_limit))
    assert np.allclose(simulation.commanded_torque, -ROBOT.torque_limit)


def test_every_motor_fades_from_six_tenths_of_its_speed_on_where_nothing_else_is_said():
    for gap in (None, Disturbance(), preset("paper"), Disturbance.from_dict({"payload_mass": 1.0})):
        simulation = Simulation(ROBOT, gap)
        simulation.data.qvel[simulation.index.dof] = np.array([0.59, 0.8, 1.0] * 4) * ROBOT.speed_limit
        simulation._sense()
        simulation.apply(torque_command(2.0 * ROBOT.torque_limit))
        share = np.array([1.0, (1.0 - 0.8) / (1.0 - 0.6), 0.0] * 4)
        assert np.allclose(simulation.commanded_torque, share * ROBOT.torque_limit)
    constant = Simulation(ROBOT, Disturbance(torque_speed_corner=None))
    constant.data.qvel[constant.index.dof] = 0.99 * ROBOT.speed_limit
    constant._sense()
    constant.apply(torque_command(2.0 * ROBOT.torque_limit))
    assert np.allclose(constant.commanded_torque, ROBOT.torque_limit)


def test_the_inertial_unit_feels_gravity_at_rest_and_nothing_in_free_fall():
    simulation = plant()
    for _ in range(1500):
        simulation.apply(standing())
    assert np.allclose(simulation.read().linear_acceleration, [0, 0, 9.81], atol=0.15)
    simulation.reset(base_height=5.0)
    for _ in range(20):
        simulation.apply(standing(0.0, 0.0))
    # the unit sits away from the trunk's origin, and the legs' reaction turns the trunk a little
    assert np.linalg.norm(simulation.read().linear_acceleration) < 0.7


def test_specific_force_is_that_of_the_units_place_on_a_tumbling_trunk():
    """Against positions of the unit differentiated twice."""
    simulation = plant(rate=10_000.0, joint_damping=0.0, joint_friction=0.0)
    simulation.reset(base_height=5.0)
    simulation.data.qvel[3:6] = [2.0, -3.0, 4.0]
    simulation._sense()
    site = mujoco.mj_name2id(simulation.model, mujoco.mjtObj.mjOBJ_SITE, "imu")
    seen, read, turns = [], [], []
    for _ in range(60):
        simulation.apply(standing(50.0, 1.0))
        seen.append(simulation.data.site_xpos[site].copy())
        turns.append(simulation.data.xmat[simulation.index.base_body].reshape(3, 3).copy())
        read.append(simulation.read().linear_acceleration.copy())
    places, felt = np.array(seen), np.array(read)
    acceleration = np.diff(places, 2, axis=0) / simulation.period**2 + [0, 0, 9.81]
    expected = np.array([turn.T @ a for turn, a in zip(turns[1:-1], acceleration, strict=True)])
    # first-order in the period: compare late, where the first tick's kick is over
    assert np.abs(expected[20:] - 0.5 * (felt[21:-1] + felt[22:])).max() < 0.05


def test_noise_has_the_declared_size_and_no_memory():
    simulation = Simulation(ROBOT, Disturbance(), seed=4)
    noise = simulation.disturbance.sensor_noise
    read, turned = [], []
    for _ in range(2000):
        simulation.apply(standing())
        reading = simulation.read()
        read.append(
            np.concatenate(
                [
                    reading.joint_position - simulation.true_joint_position,
                    reading.joint_velocity - simulation.true_joint_velocity,
                    reading.angular_velocity - simulation.truth().angular_velocity,
                ]
            )
        )
        assert np.linalg.norm(reading.orientation) == pytest.approx(1.0)
        turned.append(2.0 * (reading.orientation - simulation.truth().orientation)[1:])
    errors, turns = np.array(read), np.array(turned)
    assert np.allclose(errors[:, :12].std(axis=0), noise.joint_position_std, rtol=0.1)
    assert np.allclose(errors[:, 12:24].std(axis=0), noise.joint_velocity_std, rtol=0.1)
    assert np.allclose(errors[:, 24:].std(axis=0), noise.angular_velocity_std, rtol=0.1)
    assert np.allclose(turns.std(axis=0), noise.orientation_std, rtol=0.15)
    white = errors[:, 0] - errors[:, 0].mean()
    assert abs((white[1:] * white[:-1]).mean() / white.var()) < 0.1
    assert np.all(np.abs(errors[:, 24:].mean(axis=0)) > 1e-5)  # the gyroscope's constant offset


def test_the_same_seed_repeats_bit_for_bit_and_another_one_does_not():
    runs = []
    for seed in (1, 1, 2):
        simulation = Simulation(ROBOT, Disturbance.from_dict("paper"), seed)
        for _ in range(100):
            simulation.apply(standing())
        runs.append(deepcopy(simulation.read()))
    first = [np.concatenate([r.joint_position, r.linear_acceleration, r.orientation]) for r in runs]
    assert np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])
    simulation.reset(seed=1)
    for _ in range(100):
        simulation.apply(standing())
    assert np.array_equal(simulation.read().joint_position, runs[0].joint_position)


def test_payload_moves_mass_and_inertia_as_a_point_mass_does():
    mass, place = 3.0, np.array([0.1, -0.05, 0.08])
    loaded = plant(payload_mass=mass, payload_position=place.tolist())
    plain = plant()
    body = plain.index.base_body

    def about_origin(model):
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.body_iquat[body])
        axes, com = rotation.reshape(3, 3), model.body_ipos[body]
        tensor = axes @ np.diag(model.body_inertia[body]) @ axes.T
        return tensor + model.body_mass[body] * (com @ com * np.eye(3) - np.outer(com, com))

    added = about_origin(loaded.model) - about_origin(plain.model)
    assert np.allclose(added, mass * (place @ place * np.eye(3) - np.outer(place, place)), atol=1e-12)
    assert loaded.model.body_subtreemass[body] == pytest.approx(ROBOT.mass + mass)
    moment = loaded.model.body_mass[body] * loaded.model.body_ipos[body]
    assert np.allclose(moment - plain.model.body_mass[body] * plain.model.body_ipos[body], mass * place)


def test_lasting_disturbances_reach_the_physics():
    simulation = plant(
        joint_damping=[0.1, 0.2, 0.3],
        joint_friction=[0.4, 0.5, 0.6],
        armature=[0.01, 0.02, 0.03],
        foot_friction=0.5,
        foot_friction_factor={"rr": 0.2},
        trunk_com_shift=[0.02, 0.0, 0.01],
    )
    model, index = simulation.model, simulation.index
    assert np.allclose(model.dof_damping[index.dof].reshape(4, 3), [0.1, 0.2, 0.3])
    assert np.allclose(model.dof_frictionloss[index.dof].reshape(4, 3), [0.4, 0.5, 0.6])
    assert np.allclose(model.dof_armature[index.dof].reshape(4, 3), [0.01, 0.02, 0.03])
    assert np.allclose(model.geom_friction[index.foot_geom, 0], [0.5, 0.5, 0.5, 0.1])
    shift = model.body_ipos[index.base_body] - plant().model.body_ipos[index.base_body]
    assert np.allclose(shift, [0.02, 0.0, 0.01])


def test_a_foot_slips_when_the_floor_asks_for_more_than_its_friction():
    """A standing robot pushed sideways slides exactly when the push exceeds friction times weight."""
    for force, slides in ((0.5, False), (1.5, True)):
        push = force * 0.3 * ROBOT.mass * 9.81
        simulation = plant(
            foot_friction=0.3, pushes=[{"time": 0.0, "duration": 9.0, "force": [0.0, push, 0.0]}]
        )
        quiet = plant(foot_friction=0.3)
        for _ in range(500):
            quiet.apply(standing(200.0, 6.0))
        simulation.data.qpos[:] = quiet.data.qpos
        simulation._sense()
        simulation.start_walk()
        for _ in range(150):
            simulation.apply(standing(200.0, 6.0))
        feet = simulation.data.geom_xpos[simulation.index.foot_geom, 1]
        moved = np.abs(feet - quiet.data.geom_xpos[quiet.index.foot_geom, 1]).max()
        assert (moved > 0.03) == slides, (force, moved)


def test_a_push_gives_its_impulse_between_its_times_counted_from_the_walk():
    simulation = plant(pushes=[{"time": 0.02, "duration": 0.04, "force": [30.0, 0.0, 0.0]}])
    simulation.reset(base_height=5.0)

    def momentum():
        mujoco.mj_subtreeVel(simulation.model, simulation.data)
        return ROBOT.mass * simulation.data.subtree_linvel[simulation.index.base_body, 0]

    for _ in range(20):
        simulation.apply(standing(0.0, 0.0))
    simulation.start_walk()
    gained = []
    for _ in range(50):
        before = momentum()
        simulation.apply(standing(0.0, 0.0))
        gained.append(momentum() - before)
    active = np.flatnonzero(np.abs(gained) > 1e-3)
    assert active.tolist() == list(range(10, 30))
    assert sum(gained) == pytest.approx(30.0 * 0.04, rel=0.01)


def test_a_shaking_push_gives_the_impulse_of_half_a_sine_and_takes_it_back():
    simulation = plant(pushes=[{"time": 0.0, "duration": 9.0, "force": [30.0, 0.0, 0.0], "frequency": 5.0}])
    simulation.reset(base_height=5.0)
    simulation.start_walk()
    momentum = []
    for _ in range(100):
        simulation.apply(standing(0.0, 0.0))
        mujoco.mj_subtreeVel(simulation.model, simulation.data)
        momentum.append(ROBOT.mass * simulation.data.subtree_linvel[simulation.index.base_body, 0])
    assert max(momentum) == pytest.approx(30.0 / (np.pi * 5.0), rel=0.01)
    assert momentum[-1] == pytest.approx(0.0, abs=0.02)


def test_control_rate_and_physics_rate_differ_when_they_must():
    slow = plant(rate=100.0)
    assert slow.substeps == 5
    slow.apply(standing())
    assert slow.data.time == pytest.approx(0.01)
    fast = plant(rate=1000.0)
    assert fast.substeps == 1
    fast.apply(standing())
    assert fast.time == pytest.approx(0.001)


def test_a_diverged_state_is_noticed():
    simulation = plant()
    simulation.apply(standing())
    assert simulation.finite()
    simulation.data.qvel[8] = np.nan
    for _ in range(3):
        simulation.apply(standing())
    assert not simulation.finite()
    simulation.reset()
    assert simulation.finite()


def test_a_robot_on_its_belly_touches_with_its_trunk():
    simulation = plant()
    for _ in range(800):
        simulation.apply(standing(0.0, 0.5))
    assert simulation.trunk_contact()


def test_perfect_sensors_tell_the_truth():
    simulation = Simulation(ROBOT, Disturbance(sensor_noise=SensorNoise.none()))
    for _ in range(50):
        simulation.apply(standing())
    reading = simulation.read()
    assert np.array_equal(reading.joint_position, simulation.true_joint_position)
    assert np.allclose(reading.orientation, simulation.truth().orientation)
    assert np.array_equal(reading.angular_velocity, simulation.truth().angular_velocity)
