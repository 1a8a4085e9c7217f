"""A robot for ROS 2's viewers: what is published, as an independent reader has it, and the URDF that is drawn."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
from test_robot_view import seen

from safebo.experiments.robustness.guardian_world import World
from safebo.hardware.errors import DdsVersionError, LinkError
from safebo.hardware.guardian.states import State
from safebo.hardware.link.messages import Welcome
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.ros2.robot_view import (
    DIAGNOSTICS,
    ERROR,
    IMU,
    JOINT_STATES,
    OK,
    STALE,
    TF,
    RobotView,
    diagnostics,
)
from safebo.hardware.ros2.urdf import roll_pitch_yaw, urdf_of
from safebo.robots.descriptions.model import load_robot

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

import ros2_peer as peer
from cyclonedds.domain import DomainParticipant
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from safebo.hardware.ros2 import bridge as module
from safebo.hardware.ros2.bridge import Bridge, check_network

DOMAIN = 20 + (os.getpid() + 50) % 200


def test_a_state_is_shown_as_joints_attitude_and_bodies() -> None:
    robot = load_robot("go2")
    view = RobotView(RobotDrawing(robot))
    joints = tuple(float(angle) for angle in robot.home_joints)
    state = seen(attitude=(0.3, -0.2), height=(0.31,), position=joints, torque=(1.0,) * 12)
    shown: dict[str, Any] = dict(view.messages(state, 5_000_000_007))
    assert shown[JOINT_STATES]["header"]["stamp"] == {"sec": 5, "nanosec": 7}
    assert shown[JOINT_STATES]["name"] == list(robot.joint_names)
    assert shown[JOINT_STATES]["position"] == joints
    assert shown[JOINT_STATES]["effort"] == (1.0,) * 12
    orientation = np.array([shown[IMU]["orientation"][axis] for axis in "wxyz"])
    assert np.allclose(roll_pitch_yaw(orientation), [0.3, -0.2, 0.0])
    assert shown[IMU]["angular_velocity_covariance"][0] == -1.0  # not measured
    frames = shown[TF]["transforms"]
    assert [frames[0]["header"]["frame_id"], frames[0]["child_frame_id"]] == ["world", "trunk"]
    assert frames[0]["transform"]["translation"] == {"x": 0.0, "y": 0.0, "z": 0.31}
    assert len(frames) == 13
    assert {frame["child_frame_id"] for frame in frames} == {
        link.get("name") for link in ElementTree.fromstring(urdf_of(robot)).findall("link")
    }


def test_the_guardian_is_diagnosed_in_words() -> None:
    with_robot = Welcome(0, 0, 1, 1, 500, 1, 0, "go1", "7-7")
    latched = diagnostics(seen(state=int(State.DAMP_LATCHED), message="tilt", latch=2), with_robot, 0)
    guardian, trial, robot = latched["status"]
    assert (guardian["level"], guardian["message"]) == (ERROR, "DAMP_LATCHED: tilt")
    assert {"key": "latch", "value": "2"} in guardian["values"]
    assert trial["message"] == "none"
    assert (robot["level"], robot["message"]) == (OK, "battery unknown")
    running = diagnostics(seen(state=int(State.RUNNING), trial=7, elapsed=1.25), with_robot, 0)["status"][1]
    assert running["message"] == "trial 7 running"
    assert {"key": "elapsed, s", "value": "1.25"} in running["values"]
    assert diagnostics(None, None, 0)["status"][0]["level"] == STALE


@pytest.mark.parametrize("name", ["go1", "go2", "anymal_c"])
def test_the_urdf_has_the_robot_s_own_kinematics(name: str) -> None:
    robot = load_robot(name)
    drawn = mujoco.MjModel.from_xml_string(urdf_of(robot))
    model = robot.load_mujoco()
    data, other = mujoco.MjData(model), mujoco.MjData(drawn)
    index = robot.mujoco_index(model)
    rng = np.random.default_rng(0)
    for _ in range(5):
        angles = robot.home_joints + rng.uniform(-0.3, 0.3, 12)
        data.qpos[index.base_qpos : index.base_qpos + 7] = [0, 0, 0, 1, 0, 0, 0]
        data.qpos[index.qpos] = angles
        for joint, angle in zip(robot.joint_names, angles, strict=True):
            other.qpos[drawn.jnt_qposadr[drawn.joint(joint).id]] = angle
        mujoco.mj_kinematics(model, data)
        mujoco.mj_kinematics(drawn, other)
        for leg in ("FL_calf", "RR_calf"):
            assert np.allclose(data.body(leg).xpos, other.body(leg).xpos, atol=1e-5)
            assert np.allclose(data.body(leg).xmat, other.body(leg).xmat, atol=1e-5)
    for body in ("FR_thigh", "RL_calf"):
        assert drawn.body(body).mass == pytest.approx(model.body(body).mass)
        assert drawn.body(body).ipos == pytest.approx(model.body(body).ipos, abs=1e-5)
    upper = model.jnt_range[model.joint(robot.joint_names[1]).id][1]
    assert drawn.jnt_range[drawn.joint(robot.joint_names[1]).id][1] == pytest.approx(upper, abs=1e-5)


def test_angles_turn_as_the_quaternion_does() -> None:
    rng = np.random.default_rng(1)
    turns = [*rng.normal(size=(50, 4)), np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.5, -0.5])]
    for turn in turns:
        turn = turn / np.linalg.norm(turn)
        back, part = np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4)
        for axis, angle in enumerate(roll_pitch_yaw(turn)):
            mujoco.mju_axisAngle2Quat(part, np.eye(3)[axis], angle)
            made = np.zeros(4)
            mujoco.mju_mulQuat(made, part, back)
            back = made
        assert abs(back @ turn) == pytest.approx(1.0, abs=1e-6)


def test_another_machine_s_network_is_joined_by_a_go2_s_version_only(monkeypatch) -> None:
    check_network("lo", 0)
    monkeypatch.setattr(module, "dds_version", lambda: "11.0.1")
    others = [name for name in os.listdir("/sys/class/net") if name != "lo"]
    for name in others:
        with pytest.raises(DdsVersionError, match="must not join a Go2's network"):
            check_network(name, 0)


def test_an_independent_reader_sees_the_robot_its_description_and_its_silence(monkeypatch) -> None:
    monkeypatch.setattr(module, "WATCH_RETRY_S", 0.01)
    monkeypatch.setattr(module, "DIAGNOSTICS_S", 0.0)
    said: list[str] = []
    world = World(0)
    client = world.client()
    world.run(1.1)
    client.connect()
    bridge = Bridge(load_robot("go1"), "lo", DOMAIN, 50, said.append)
    mine = DomainParticipant(DOMAIN)

    def reader(topic: str, kind: type, quality=peer.QUALITY) -> DataReader:
        return DataReader(mine, Topic(mine, f"rt{topic}", kind), quality)

    joints, states = reader(JOINT_STATES, peer.JointState), reader(DIAGNOSTICS, peer.DiagnosticArray)
    late = reader("/robot_description", peer.String, peer.LATE)  # after it was published
    turns = [0]
    pump = client.pump

    def pumped(seconds: float) -> None:
        turns[0] += 1
        if turns[0] > 40:
            raise LinkError("gone")
        time.sleep(0.01)
        pump(seconds)

    monkeypatch.setattr(client, "pump", pumped)

    @contextmanager
    def connect():
        if turns[0] > 40:
            turns[0] += 1
            raise KeyboardInterrupt if turns[0] > 50 else LinkError("no guardian answered")
        yield client

    with pytest.raises(KeyboardInterrupt):
        bridge.run(connect)
    assert said == ["the guardian is heard", "the guardian is silent: gone"]
    seen_joints = [sample for sample in joints.take(100) if hasattr(sample, "name")]
    assert len(seen_joints) > 10
    assert seen_joints[-1].name == list(load_robot("go1").joint_names)
    assert client.state is not None
    assert seen_joints[-1].position == pytest.approx(client.state.position)
    stamp = seen_joints[-1].header.stamp
    age = time.time() - stamp.sec - 1e-9 * stamp.nanosec
    assert 0.0 < age < 60.0
    messages = [sample for sample in states.take(100) if hasattr(sample, "status")]
    assert "REST" in messages[0].status[0].message
    assert (messages[-1].status[0].level, len(messages[-1].status)) == (STALE, 1)
    (description,) = [sample for sample in late.take(10) if hasattr(sample, "data")]
    assert ElementTree.fromstring(description.data).get("name") == "go1"
    bridge.close()
