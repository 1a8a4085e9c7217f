"""The reality gap as data: what a study may write, and what it is told when it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.simulation.disturbance import PRESETS, Disturbance, Push, preset
from safebo.robots.simulation.named_disturbance import named_disturbance
from safebo.robots.simulation.sensors import SensorNoise


def test_nothing_given_is_the_nominal_plant_with_nominal_noise():
    gap = Disturbance.from_dict({})
    assert gap == Disturbance()
    assert gap.sensor_noise.joint_position_std == 0.002
    assert gap.sensor_noise.joint_velocity_std == 0.04


def test_a_preset_can_be_named_or_changed_field_by_field():
    assert Disturbance.from_dict("paper") == PRESETS["paper"]
    gap = Disturbance.from_dict({"preset": "paper", "joint_impedance": [-40, -1]})
    assert gap.torque_factor == (0.73, 0.9, 0.73, 0.9)
    assert gap.joint_impedance == (-40.0, -1.0)
    assert gap.control_delay == 1


def test_values_per_leg_and_per_joint_come_as_number_list_or_mapping():
    gap = Disturbance.from_dict(
        {
            "torque_factor": {"fl": 0.5},
            "joint_friction": {"hip": 0.1, "thigh": 0.2, "calf": 0.6},
            "joint_damping": 0.3,
            "armature": [0.01, 0.02, 0.03],
            "foot_friction_factor": {"RR": 0.4},
        }
    )
    assert gap.torque_factor == (0.5, 1.0, 1.0, 1.0)
    assert gap.foot_friction_factor == (1.0, 1.0, 1.0, 0.4)
    assert gap.joint_friction == (0.1, 0.2, 0.6)
    assert gap.joint_damping == (0.3, 0.3, 0.3)
    assert gap.armature == (0.01, 0.02, 0.03)


def test_noise_is_on_off_or_itemised_and_its_delay_survives_switching_it_off():
    assert Disturbance.from_dict({"sensor_noise": False}).sensor_noise == SensorNoise.none()
    gap = Disturbance.from_dict({"sensor_noise": {"joint_velocity_std": 0.1, "delay": 2}})
    assert gap.sensor_noise.joint_velocity_std == 0.1
    assert gap.sensor_noise.joint_position_std == 0.002
    assert gap.without_noise().sensor_noise == SensorNoise.none(delay=2)


def test_pushes_are_read_with_their_units():
    gap = Disturbance.from_dict({"pushes": [{"time": 1, "duration": 0.2, "force": [0, 50, 0]}]})
    assert gap.pushes == (Push(1.0, 0.2, (0.0, 50.0, 0.0)),)
    shaking = {"time": 0.2, "duration": 9, "force": [0, 0, 50], "frequency": 5, "rise": 0.8}
    (read,) = Disturbance.from_dict({"pushes": [shaking]}).pushes
    assert (read.frequency, read.rise) == (5.0, 0.8)


def test_a_push_acts_in_its_time_grows_over_its_rise_and_shakes_as_a_sine():
    steady = Push(1.0, 0.2, (1.0, -50.0, 0.0))
    assert [steady.at(t) for t in (0.999, 1.0, 1.199, 1.2)] == [
        (0.0, 0.0, 0.0), (1.0, -50.0, 0.0), (1.0, -50.0, 0.0), (0.0, 0.0, 0.0)
    ]  # fmt: skip
    shaking = Push(0.5, 10.0, (0.0, 0.0, 40.0), frequency=5.0)
    quarters = [shaking.at(0.5 + n / 20)[2] for n in range(5)]
    assert quarters == pytest.approx([0.0, 40.0, 0.0, -40.0, 0.0], abs=1e-9)
    growing = Push(0.5, 10.0, (0.0, 0.0, 40.0), frequency=5.0, rise=1.0)
    assert growing.at(0.75)[2] == pytest.approx(10.0)
    assert growing.at(1.75)[2] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("papr", "unknown preset 'papr'; known: nominal, paper"),
        ({"preset": 3}, "unknown preset 3"),
        ({"torque_factors": 1}, "unknown key 'torque_factors'; known: preset, torque_factor"),
        ({"torque_factor": [1, 1]}, r"torque_factor needs 4 numbers \(FL, FR, RL, RR\), got 2"),
        ({"torque_factor": {"left": 1}}, "torque_factor has no entry left; allowed: FL, FR, RL, RR"),
        ({"torque_factor": "weak"}, "torque_factor must be a finite number, got 'weak'"),
        ({"torque_factor": 0}, "torque_factor must be positive"),
        ({"torque_factor": [1, 1, 1, True]}, r"torque_factor\[3\] must be a finite number"),
        ({"joint_friction": {"hip": 0.1}}, "joint_friction lacks thigh, calf"),
        ({"joint_damping": -0.1}, "joint_damping must be at least 0"),
        ({"payload_mass": -1}, "payload_mass must be at least 0 kg"),
        ({"payload_mass": float("nan")}, "payload_mass must be a finite number"),
        ({"control_delay": 1.5}, "control_delay must be a whole number of ticks"),
        ({"foot_friction": 0}, "foot_friction must be positive"),
        ({"torque_speed_corner": 1.0}, "torque_speed_corner must be between 0 and 1"),
        (
            {"pushes": [{"time": 1}]},
            r"pushes\[0\] needs time \(s\), duration \(s\) and force \(N, 3\), and may have",
        ),
        ({"pushes": [{"time": 1, "duration": 1, "force": [0, 0, 1], "hertz": 5}]}, "may have frequency"),
        (
            {"pushes": [{"time": 1, "duration": 1, "force": [0, 0, 1], "frequency": -5}]},
            r"pushes\[0\].frequency must be at least 0",
        ),
        (
            {"pushes": [{"time": 1, "duration": 1, "force": [0, 0, 1], "rise": "slow"}]},
            r"pushes\[0\].rise must be a finite number",
        ),
        ({"pushes": "hard"}, "pushes must be a list"),
        ({"sensor_noise": 0.1}, "sensor_noise must be true, false or a mapping"),
        ({"sensor_noise": {"gyro": 1}}, "unknown key 'gyro'; known: joint_position_std"),
        ({"sensor_noise": {"delay": 0.5}}, "delay must be a whole number"),
        ({"sensor_noise": {"joint_position_std": -1}}, "joint_position_std must be at least 0"),
        ({"sensor_noise": {"joint_position_std": "high"}}, "joint_position_std must be a number"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values, words):
    with pytest.raises(ValueError, match=words):
        Disturbance.from_dict(values)


def test_every_preset_differs_from_the_nominal_plant():
    for name in PRESETS:
        assert (preset(name) == Disturbance()) == (name == "nominal")
        assert np.all(np.isfinite(preset(name).torque_factor))


def test_presets_joined_by_plus_go_over_each_other() -> None:
    both = preset("paper+slippery")
    assert both.torque_factor == PRESETS["paper"].torque_factor
    assert both.foot_friction == PRESETS["slippery"].foot_friction
    assert preset("payload+slippery+payload") == preset("slippery+payload")
    with pytest.raises(ValueError, match="unknown preset 'nothing'"):
        preset("paper+nothing")


def test_a_named_disturbance_is_to_the_robots_scale_and_given_fields_are_not():
    size = RobotSize(0.5, 0.64)
    paper, go1 = preset("paper+pushed", size), preset("paper+pushed")
    assert paper.joint_impedance == pytest.approx((-20.0 * 0.5 * 0.64, -0.5 * 0.5 * 0.64 * 0.8))
    assert paper.torque_factor == go1.torque_factor
    assert paper.pushes[0].force == pytest.approx((0.0, 30.0, 0.0))
    assert preset("payload", size).payload_mass == pytest.approx(1.0)
    assert preset("paper+pushed", RobotSize()) == go1
    given = Disturbance.from_dict({"preset": "payload", "joint_impedance": -20.0}, size)
    assert given.payload_mass == pytest.approx(1.0)
    assert given.joint_impedance == (-20.0, -20.0)
    assert preset("slippery", size) == preset("slippery")


def test_a_small_robot_walks_under_the_papers_disturbance():
    evaluator = LeggedEvaluator({"robot": "mini_cheetah", "disturbance": "paper", "seconds": 2.0})
    record = evaluator.walk({}, {}, 0)
    assert not record.fell, record.stop_reason
    world = evaluator.world({"disturbance": "payload"}, {})
    assert world.disturbance.payload_mass == pytest.approx(2.0 * evaluator.robot.size.mass)


@pytest.mark.parametrize("text", ["{preset: payload, control_delay: 2}", "gap.yaml", "fields.yaml"])
def test_a_disturbance_is_typed_as_fields_or_read_from_a_file(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = "{preset: payload, control_delay: 2}"
    (tmp_path / "gap.yaml").write_text(f"disturbance: {fields}\nidentified: {{walks: 2}}\n")
    (tmp_path / "fields.yaml").write_text(fields)
    gap = named_disturbance(text, RobotSize(0.5, 0.64))
    assert gap == named_disturbance({"preset": "payload", "control_delay": 2}, RobotSize(0.5, 0.64))
    assert (gap.payload_mass, gap.control_delay) == (pytest.approx(1.0), 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("paper+slipery", "unknown disturbance 'slipery', did you mean slippery"),
        ("{payload_mas: 2}", "--disturbance: disturbance: unknown key 'payload_mas'; known: preset"),
        ("{payload_mass: heavy}", "--disturbance: .*payload_mass"),
        ("missing.yaml", "missing.yaml"),
        ("list.yaml", "list.yaml: holds no disturbance"),
        ("wrong.yaml", "wrong.yaml: .*torque_factor"),
    ],
)
def test_a_disturbance_that_is_none_is_refused_with_where_it_stands(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "wrong.yaml").write_text("disturbance: {torque_factor: [1, 2]}")
    with pytest.raises(ValueError, match=words):
        named_disturbance(text, RobotSize())
