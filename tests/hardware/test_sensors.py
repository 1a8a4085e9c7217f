"""Sensors that are frozen, or contradict each other: found, with who it is; and sound ones are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from safebo.experiments.robustness.guardian_world import go1
from safebo.hardware.constants import QUIET_TIME_S
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.sensors import SensorWatch
from safebo.robots.quadruped.interface import GRAVITY, JointCommand, SensorReading
from safebo.robots.quadruped.sensor_kernel import look
from safebo.robots.quadruped.sensor_memory import FOUND

STEP = 0.002


def limit(name: str) -> float:
    return next(one.threshold for one in LIMITS if one.name == name)


class Mill:
    """A robot whose joints and trunk swing, with sensors that fit each other; `edit` makes them not to."""

    def __init__(self, still: bool = False) -> None:
        self.robot = go1()
        self.watch = SensorWatch(self.robot)
        self.random = np.random.default_rng(0)
        self.tick = 100
        self.still = still
        self.kept: dict[str, Any] = {}

    def state(self) -> tuple[RobotObservation, JointCommand]:
        t = 1e-3 * self.tick
        swing, rate = (0.0, 0.0) if self.still else (0.3 * np.sin(8.0 * t), 2.4 * np.cos(8.0 * t))
        roll, turn = (0.0, 0.0) if self.still else (0.1 * np.sin(9.0 * t), 0.9 * np.cos(9.0 * t))
        noise = 1e-4 * self.random.standard_normal(33)
        reading = SensorReading(
            t,
            self.robot.home_joints + swing + noise[:12],
            np.full(12, rate) + noise[12:24],
            np.array([np.cos(roll / 2), np.sin(roll / 2), *(0.1 * noise[24:26])]),
            np.array([turn, 0.0, 0.0]) + noise[26:29],
            GRAVITY * np.array([0.0, np.sin(roll), np.cos(roll)]) + noise[29:32],
        )
        seen = RobotObservation(self.tick, reading, np.full(12, 0.5))
        command = JointCommand(
            position=self.robot.home_joints + swing, kp=np.full(12, 60.0), torque=np.full(12, 0.5)
        )
        return seen, command

    def run(
        self, states: int, edit: Any = lambda seen, kept: None, standing: bool = False
    ) -> dict[str, float]:
        """The worst of everything that was found."""
        worst = dict.fromkeys(FOUND, np.nan)
        for _ in range(states):
            self.tick += 2
            seen, command = self.state()
            edit(seen, self.kept)
            self.watch.take(seen, command, standing, False)
            for name, value in zip(FOUND, self.watch.found, strict=True):
                worst[name] = np.fmax(worst[name], value)
        return worst


def frozen(name: str, part: Any = slice(None)) -> Any:
    """What repeats the first values that it sees."""

    def edit(seen: RobotObservation, kept: dict[str, Any]) -> None:
        values = getattr(seen.reading, name)
        kept.setdefault(name, values[part].copy())
        values[part] = kept[name]

    return edit


def scaled(name: str, factor: float) -> Any:
    def edit(seen: RobotObservation, kept: dict[str, Any]) -> None:
        getattr(seen.reading, name)[:] *= factor

    return edit


def off(joint: int, angle: float) -> Any:
    def edit(seen: RobotObservation, kept: dict[str, Any]) -> None:
        seen.reading.joint_position[joint] += angle

    return edit


def test_sound_sensors_are_far_from_every_limit() -> None:
    for standing in (False, True):
        found = Mill(still=standing).run(600, standing=standing)
        for one in LIMITS:
            # a state comes every 2 ms exactly, and 3 ms are too long: there is no half of it
            if one.quantity in FOUND and not one.below and one.name != "state_step":
                value = found[one.quantity]
                assert np.isnan(value) or value < 0.5 * one.threshold, (one.name, value)
        known = (
            {"gravity_still", "gravity_size", "feet_apart", "feet_slope", "torque_angle"}
            if standing
            else set()
        )
        assert not any(np.isnan(found[name]) for name in known | {"angle_error", "gyro_error", "joint_reach"})


@pytest.mark.parametrize(
    ("part", "who"),
    [
        ("orientation", "attitude"),
        ("angular_velocity", "gyroscope"),
        ("linear_acceleration", "accelerometer"),
    ],
)
def test_a_part_of_the_inertial_unit_that_is_frozen_is_found_within_40_ms(part: str, who: str) -> None:
    mill = Mill(still=True)
    assert mill.run(100)["imu_frozen"] == 0.0
    mill.run(1, frozen(part))
    assert mill.run(16, frozen(part))["imu_frozen"] > limit("imu_frozen")
    assert mill.watch.blamed("imu_frozen") == who
    assert mill.run(1)["imu_frozen"] == 0.0


def test_encoders_that_are_frozen_are_found_while_targets_move() -> None:
    mill = Mill()
    mill.run(100)
    one = mill.run(100, frozen("joint_position", slice(4, 5)))
    assert one["encoder_frozen"] > limit("encoder")
    assert one["encoders_frozen"] == 0.0
    assert mill.watch.blamed("encoder_frozen") == "FL_thigh".replace(
        "FL", mill.robot.joint_names[4].split("_")[0]
    )
    mill.kept.clear()
    assert mill.run(60, frozen("joint_position"))["encoders_frozen"] > limit("encoders")
    still = Mill(still=True)
    still.run(100)
    assert (
        still.run(300, frozen("joint_position"))["encoders_frozen"] == 0.0
    )  # nothing says that they should move


def test_an_angle_that_jumps_or_stands_against_its_speed_is_found() -> None:
    for edit in (off(8, 0.35), frozen("joint_position", slice(8, 9)), scaled("joint_velocity", -1.0)):
        mill = Mill()
        mill.run(200)
        assert mill.run(150, edit)["angle_error"] > limit("angle")
    mill = Mill()
    mill.run(200)
    mill.run(10, off(8, 0.35))
    assert mill.watch.blamed("angle_error") == mill.robot.joint_names[8].removesuffix("_joint")


def test_a_joint_that_does_not_move_as_its_target_is_found_whatever_its_noise() -> None:
    def stuck(seen: RobotObservation, kept: dict[str, Any]) -> None:
        seen.reading.joint_position[7] = 0.7 + 0.002 * np.sin(seen.tick)

    assert Mill().run(200, stuck)["joint_reach"] > limit("reach")


@pytest.mark.parametrize("factor", [-1.0, 0.0, 2.0])
def test_a_gyroscope_of_the_wrong_sign_or_scale_is_found(factor: float) -> None:
    assert Mill().run(400, scaled("angular_velocity", factor))["gyro_error"] > limit("gyro")


def test_gravity_that_is_elsewhere_or_of_another_size_is_found_while_the_robot_is_still() -> None:
    def rolled(seen: RobotObservation, kept: dict[str, Any]) -> None:
        seen.reading.orientation[:2] = np.cos(0.075), np.sin(0.075)

    assert Mill(still=True).run(400, rolled)["gravity_still"] > limit("gravity")
    assert Mill(still=True).run(600, scaled("linear_acceleration", 1.3))["gravity_size"] > limit("weight")
    assert np.isnan(Mill().run(400, rolled)["gravity_still"])  # it moves


def test_a_robot_that_just_fell_and_lies_still_is_not_accused_of_the_fall() -> None:
    def falling(seen: RobotObservation, kept: dict[str, Any]) -> None:
        seen.reading.angular_velocity[:] = 3.0
        seen.reading.linear_acceleration[:] = 25.0, -30.0, 5.0

    mill = Mill(still=True)
    mill.run(50, falling)
    assert mill.run(int(2.0 * QUIET_TIME_S / 0.002))["gravity_still"] < 0.5 * limit("gravity")


@pytest.mark.parametrize(("joint", "angle"), [(2, 0.35), (5, -0.35), (6, 0.15), (9, -0.15), (7, 0.15)])
def test_an_offset_is_found_while_the_robot_stands(joint: int, angle: float) -> None:
    mill = Mill(still=True)
    found = mill.run(300, off(joint, angle), standing=True)
    assert found["torque_angle"] > limit("joint_law")
    assert mill.watch.blamed("torque_angle") == mill.robot.joint_names[joint].removesuffix("_joint")
    if joint != 7:  # a thigh moves its foot along the ground
        assert found["feet_apart"] > limit("feet")
        assert mill.watch.blamed("feet_apart") == mill.robot.legs[joint // 3]


def test_lost_states_and_a_restart_change_nothing() -> None:
    mill = Mill()
    worst = mill.run(100)
    for gap in (4, 40, 400, 4000):
        mill.tick += gap
        for name, value in mill.run(120).items():
            worst[name] = np.fmax(worst[name], value)
    mill.tick = 20
    worst = {name: np.fmax(value, worst[name]) for name, value in mill.run(200).items()}
    for one in LIMITS:
        if one.quantity in FOUND and not one.below:
            assert not worst[one.quantity] > one.threshold, one.name


def test_no_layout_of_a_links_arrays_is_compiled_in_a_tick() -> None:
    watch = SensorWatch(go1())
    known = len(look.signatures)
    packet: Any = np.zeros((12, 3), dtype=np.float32)
    packet.flags.writeable = False
    reading = SensorReading(joint_position=packet[:, 0], joint_velocity=packet[:, 1])
    seen = RobotObservation(2, reading, torque=packet[:, 2])
    watch.take(seen, JointCommand(position=packet[::-1, 0], torque=np.zeros(24)[::2]), False, False)
    assert len(look.signatures) == known
