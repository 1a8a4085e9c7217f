"""A locomotion controller as a node of ROS 2, in Python without ROS: parameters, joint commands, odometry.

It stands by a stiffness and a damping at every joint, and bobs where a real one would walk. What matters is around
that: it serves the standard parameter services, and answers every robot state with an estimate and a command that
repeat the state's time stamp. rclpy_node.py is the same node in rclpy.

    python node.py --domain 0
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
from collections.abc import Mapping
from typing import Any

from safebo.hardware.dds import Quality
from safebo.hardware.ros2.cdr import decode, encode
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.parameters import Descriptor, ParameterServer, Type
from safebo.hardware.ros2.topic_types import topic_type

STATE = COMMAND = "control_msgs/msg/DynamicJointState"
ODOMETRY = "nav_msgs/msg/Odometry"
DECLARED = [
    Descriptor("gains.stance.kp", Type.DOUBLE, 20.0, 150.0, description="N m/rad"),
    Descriptor("gains.stance.kd", Type.DOUBLE, 0.5, 8.0, description="N m s/rad"),
    Descriptor("gains.bob", Type.DOUBLE_ARRAY, 0.0, 0.2, description="depth, rad, in even and odd strides"),
    Descriptor("gains.pause", Type.INTEGER, 0, 10, description="strides before the first bob"),
]
START = {"gains.stance.kp": 60.0, "gains.stance.kd": 3.0, "gains.bob": [0.05, 0.05], "gains.pause": 0}
HOME = {"hip": 0.0, "thigh": 0.8, "calf": -1.5}  # rad
HEIGHT = 0.3  # m of the trunk in that pose, about
WALK, BRAKE = 2, 3


def too_soft(values: Mapping[str, Any]) -> str:
    """The node's own rule, as a callback of `add_on_set_parameters_callback` has one: why a set is refused."""
    kp, kd = values["gains.stance.kp"], values["gains.stance.kd"]
    return f"a damping of {kd:g} is too much for a stiffness of {kp:g}" if kd > kp / 10.0 else ""


def bob(walk: Mapping[str, float], gains: Mapping[str, Any]) -> float:
    """By how much the thighs turn now, rad."""
    strides = (walk["time"] - walk["settle"]) / walk["gait.stride_duration"]
    if strides < gains["gains.pause"]:
        return 0.0
    depth: float = gains["gains.bob"][int(strides) % 2]
    return depth * (1.0 - math.cos(2.0 * math.pi * strides)) / 2.0


def answers(message: Mapping[str, Any], gains: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Odometry and joint command for a robot state."""
    rows = zip(message["joint_names"], message["interface_values"], strict=True)
    seen = {name: dict(zip(row["interface_names"], row["values"], strict=True)) for name, row in rows}
    imu, walk = seen.pop("imu"), seen.pop("walk")
    turn = bob(walk, gains) if walk["mode"] in (WALK, BRAKE) else 0.0
    header = {"stamp": message["header"]["stamp"]}  # it says which state this answers
    odometry = {
        "header": header | {"frame_id": "odom"},
        "child_frame_id": "trunk",
        "pose": {
            "pose": {
                "position": {"z": HEIGHT},
                "orientation": {axis: imu[f"orientation.{axis}"] for axis in "xyzw"},
            }
        },
        "twist": {"twist": {"angular": {axis: imu[f"angular_velocity.{axis}"] for axis in "xyz"}}},
    }
    offset = {"hip": 0.0, "thigh": turn, "calf": -2.0 * turn}
    kp, kd = gains["gains.stance.kp"], gains["gains.stance.kd"]
    values = []
    for joint in seen:
        kind = joint.split("_")[1]  # FL_thigh_joint
        values.append(
            {"interface_names": ["position", "kp", "kd"], "values": [HOME[kind] + offset[kind], kp, kd]}
        )
    return odometry, {"header": header, "joint_names": list(seen), "interface_values": values}


def main() -> None:
    """Answer until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--domain", type=int, default=0)
    parser.add_argument("--node", default="/bobbing_stance")
    options = parser.parse_args()
    node, participant = options.node, join("lo", options.domain)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parameters = ParameterServer(participant, node, DECLARED, START, too_soft)
    states = participant.reader(f"rt{node}/robot_state", topic_type(STATE), Quality(depth=1))
    commands = participant.writer(f"rt{node}/joint_command", topic_type(COMMAND), Quality(depth=10))
    estimates = participant.writer(f"rt{node}/odometry", topic_type(ODOMETRY), Quality(depth=10))
    print("ready", flush=True)
    while True:
        if states.wait(0.001):
            for data in states.take():
                odometry, command = answers(decode(STATE, data), parameters.values)
                estimates.write(encode(ODOMETRY, odometry))
                commands.write(encode(COMMAND, command))
        parameters.serve()  # between two commands: none is computed with half of a change


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
