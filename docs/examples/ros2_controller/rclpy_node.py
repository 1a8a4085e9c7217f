"""The controller of node.py in rclpy. **Never run: there is no ROS where this is built.**

Written from the documented interfaces of rclpy, control_msgs and nav_msgs (Humble and later); node.py, which speaks the
same names and bytes, is what was run. Try it with the robot off.

    export RMW_IMPLEMENTATION=rmw_cyclonedds_cpp ROS_DOMAIN_ID=0 ROS_LOCALHOST_ONLY=1
    python rclpy_node.py
"""

from __future__ import annotations

import math

import rclpy
from control_msgs.msg import DynamicJointState, InterfaceValue
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

HOME = {"hip": 0.0, "thigh": 0.8, "calf": -1.5}  # rad
HEIGHT = 0.3  # m of the trunk in that pose, about
WALK, BRAKE = 2, 3


class BobbingStance(Node):
    """Stands by a stiffness and a damping at every joint, and bobs where a real one would walk."""

    def __init__(self) -> None:
        super().__init__("bobbing_stance")
        self._double("gains.stance.kp", 60.0, 20.0, 150.0)
        self._double("gains.stance.kd", 3.0, 0.5, 8.0)
        self.declare_parameter("gains.bob", [0.05, 0.05])
        strides = IntegerRange(from_value=0, to_value=10, step=1)
        self.declare_parameter("gains.pause", 0, ParameterDescriptor(integer_range=[strides]))
        self.add_on_set_parameters_callback(self._judge)
        self._commands = self.create_publisher(DynamicJointState, "~/joint_command", 10)
        self._odometry = self.create_publisher(Odometry, "~/odometry", 10)
        self.create_subscription(DynamicJointState, "~/robot_state", self._answer, 1)

    def _double(self, name: str, value: float, lower: float, upper: float) -> None:
        bounds = FloatingPointRange(from_value=lower, to_value=upper, step=0.0)
        self.declare_parameter(name, value, ParameterDescriptor(floating_point_range=[bounds]))

    def _judge(self, parameters: list[Parameter]) -> SetParametersResult:
        """The node's own rule: why a set is refused."""
        wanted = {name: self.get_parameter(name).value for name in ("gains.stance.kp", "gains.stance.kd")}
        wanted.update({parameter.name: parameter.value for parameter in parameters})
        kp, kd = wanted["gains.stance.kp"], wanted["gains.stance.kd"]
        reason = f"a damping of {kd:g} is too much for a stiffness of {kp:g}" if kd > kp / 10.0 else ""
        return SetParametersResult(successful=not reason, reason=reason)

    def _answer(self, state: DynamicJointState) -> None:
        """Odometry and joint command for a robot state; both repeat its time stamp."""
        rows = zip(state.joint_names, state.interface_values, strict=True)
        seen = {name: dict(zip(row.interface_names, row.values, strict=True)) for name, row in rows}
        imu, walk = seen.pop("imu"), seen.pop("walk")
        turn = self._bob(walk) if walk["mode"] in (WALK, BRAKE) else 0.0

        odometry = Odometry()
        odometry.header.stamp, odometry.header.frame_id = state.header.stamp, "odom"
        odometry.child_frame_id = "trunk"
        odometry.pose.pose.position.z = HEIGHT
        for axis in "xyzw":
            setattr(odometry.pose.pose.orientation, axis, imu[f"orientation.{axis}"])
        for axis in "xyz":
            setattr(odometry.twist.twist.angular, axis, imu[f"angular_velocity.{axis}"])
        self._odometry.publish(odometry)

        offset = {"hip": 0.0, "thigh": turn, "calf": -2.0 * turn}
        kp, kd = (self.get_parameter(f"gains.stance.{part}").value for part in ("kp", "kd"))
        command = DynamicJointState()
        command.header.stamp, command.joint_names = state.header.stamp, list(seen)
        for joint in seen:
            kind = joint.split("_")[1]  # FL_thigh_joint
            values = [HOME[kind] + offset[kind], kp, kd]
            command.interface_values.append(
                InterfaceValue(interface_names=["position", "kp", "kd"], values=values)
            )
        self._commands.publish(command)

    def _bob(self, walk: dict[str, float]) -> float:
        strides = (walk["time"] - walk["settle"]) / walk["gait.stride_duration"]
        if strides < self.get_parameter("gains.pause").value:
            return 0.0
        depth: float = self.get_parameter("gains.bob").value[int(strides) % 2]
        return depth * (1.0 - math.cos(2.0 * math.pi * strides)) / 2.0


def main() -> None:
    """Answer until told to end; one thread, so that no command is computed with half of a change."""
    rclpy.init()
    rclpy.spin(BobbingStance())


if __name__ == "__main__":
    main()
