"""Messages and services of ROS 2 as far as they are used here: their fields, in the notation of `.msg` files.

A service's request and response are types of their own, `SetParameters_Request`; so are an action's services and its
feedback, with the goal's number before what the action's file declares. Field lists are those that docs.ros.org prints
for Jazzy; those of Humble and Rolling are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

DEFINITIONS = {
    "builtin_interfaces/msg/Time": "int32 sec; uint32 nanosec",
    "std_msgs/msg/Header": "builtin_interfaces/Time stamp; string frame_id",
    "std_msgs/msg/String": "string data",
    "geometry_msgs/msg/Vector3": "float64 x; float64 y; float64 z",
    "geometry_msgs/msg/Point": "float64 x; float64 y; float64 z",
    "geometry_msgs/msg/Quaternion": "float64 x; float64 y; float64 z; float64 w",
    "geometry_msgs/msg/Pose": "geometry_msgs/Point position; geometry_msgs/Quaternion orientation",
    "geometry_msgs/msg/PoseWithCovariance": "geometry_msgs/Pose pose; float64[36] covariance",
    "geometry_msgs/msg/Twist": "geometry_msgs/Vector3 linear; geometry_msgs/Vector3 angular",
    "geometry_msgs/msg/TwistWithCovariance": "geometry_msgs/Twist twist; float64[36] covariance",
    "geometry_msgs/msg/Transform": "geometry_msgs/Vector3 translation; geometry_msgs/Quaternion rotation",
    "geometry_msgs/msg/TransformStamped": (
        "std_msgs/Header header; string child_frame_id; geometry_msgs/Transform transform"
    ),
    "tf2_msgs/msg/TFMessage": "geometry_msgs/TransformStamped[] transforms",
    "nav_msgs/msg/Odometry": (
        "std_msgs/Header header; string child_frame_id; geometry_msgs/PoseWithCovariance pose; "
        "geometry_msgs/TwistWithCovariance twist"
    ),
    "sensor_msgs/msg/JointState": (
        "std_msgs/Header header; string[] name; float64[] position; float64[] velocity; float64[] effort"
    ),
    "sensor_msgs/msg/Imu": (
        "std_msgs/Header header; geometry_msgs/Quaternion orientation; float64[9] orientation_covariance; "
        "geometry_msgs/Vector3 angular_velocity; float64[9] angular_velocity_covariance; "
        "geometry_msgs/Vector3 linear_acceleration; float64[9] linear_acceleration_covariance"
    ),
    "diagnostic_msgs/msg/KeyValue": "string key; string value",
    "diagnostic_msgs/msg/DiagnosticStatus": (
        "byte level; string name; string message; string hardware_id; diagnostic_msgs/KeyValue[] values"
    ),
    "diagnostic_msgs/msg/DiagnosticArray": (
        "std_msgs/Header header; diagnostic_msgs/DiagnosticStatus[] status"
    ),
    "control_msgs/msg/InterfaceValue": "string[] interface_names; float64[] values",
    "control_msgs/msg/DynamicJointState": (
        "std_msgs/Header header; string[] joint_names; control_msgs/InterfaceValue[] interface_values"
    ),
    "rcl_interfaces/msg/ParameterValue": (
        "uint8 type; bool bool_value; int64 integer_value; float64 double_value; string string_value; "
        "byte[] byte_array_value; bool[] bool_array_value; int64[] integer_array_value; "
        "float64[] double_array_value; string[] string_array_value"
    ),
    "rcl_interfaces/msg/Parameter": "string name; rcl_interfaces/ParameterValue value",
    "rcl_interfaces/msg/SetParametersResult": "bool successful; string reason",
    "rcl_interfaces/msg/FloatingPointRange": "float64 from_value; float64 to_value; float64 step",
    "rcl_interfaces/msg/IntegerRange": "int64 from_value; int64 to_value; uint64 step",
    "rcl_interfaces/msg/ParameterDescriptor": (
        "string name; uint8 type; string description; string additional_constraints; bool read_only; "
        "bool dynamic_typing; rcl_interfaces/FloatingPointRange[<=1] floating_point_range; "
        "rcl_interfaces/IntegerRange[<=1] integer_range"
    ),
    "rcl_interfaces/msg/ListParametersResult": "string[] names; string[] prefixes",
    "rcl_interfaces/srv/ListParameters_Request": "string[] prefixes; uint64 depth",
    "rcl_interfaces/srv/ListParameters_Response": "rcl_interfaces/ListParametersResult result",
    "rcl_interfaces/srv/DescribeParameters_Request": "string[] names",
    "rcl_interfaces/srv/DescribeParameters_Response": "rcl_interfaces/ParameterDescriptor[] descriptors",
    "rcl_interfaces/srv/GetParameters_Request": "string[] names",
    "rcl_interfaces/srv/GetParameters_Response": "rcl_interfaces/ParameterValue[] values",
    "rcl_interfaces/srv/GetParameterTypes_Request": "string[] names",
    "rcl_interfaces/srv/GetParameterTypes_Response": "uint8[] types",
    "rcl_interfaces/srv/SetParameters_Request": "rcl_interfaces/Parameter[] parameters",
    "rcl_interfaces/srv/SetParameters_Response": "rcl_interfaces/SetParametersResult[] results",
    "rcl_interfaces/srv/SetParametersAtomically_Request": "rcl_interfaces/Parameter[] parameters",
    "rcl_interfaces/srv/SetParametersAtomically_Response": "rcl_interfaces/SetParametersResult result",
    "unique_identifier_msgs/msg/UUID": "uint8[16] uuid",
    "action_msgs/msg/GoalInfo": "unique_identifier_msgs/UUID goal_id; builtin_interfaces/Time stamp",
    "action_msgs/msg/GoalStatus": "action_msgs/GoalInfo goal_info; int8 status",
    "action_msgs/msg/GoalStatusArray": "action_msgs/GoalStatus[] status_list",
    "action_msgs/srv/CancelGoal_Request": "action_msgs/GoalInfo goal_info",
    "action_msgs/srv/CancelGoal_Response": "int8 return_code; action_msgs/GoalInfo[] goals_canceling",
    "safebo_interfaces/action/RunTrial_Goal": (
        "uint32 trial; string[] names; float64[] values; string context; string[] context_names; "
        "float64[] context_values; uint64 seed"
    ),
    "safebo_interfaces/action/RunTrial_Result": (
        "float64 objective; string[] margin_names; float64[] margins; string outcome; bool fell; string message"
    ),
    "safebo_interfaces/action/RunTrial_Feedback": "float64 time; string message",
    "safebo_interfaces/action/RunTrial_SendGoal_Request": (
        "unique_identifier_msgs/UUID goal_id; safebo_interfaces/action/RunTrial_Goal goal"
    ),
    "safebo_interfaces/action/RunTrial_SendGoal_Response": "bool accepted; builtin_interfaces/Time stamp",
    "safebo_interfaces/action/RunTrial_GetResult_Request": "unique_identifier_msgs/UUID goal_id",
    "safebo_interfaces/action/RunTrial_GetResult_Response": (
        "int8 status; safebo_interfaces/action/RunTrial_Result result"
    ),
    "safebo_interfaces/action/RunTrial_FeedbackMessage": (
        "unique_identifier_msgs/UUID goal_id; safebo_interfaces/action/RunTrial_Feedback feedback"
    ),
}

PRIMITIVES = {
    "bool": "?",
    "byte": "B",
    "uint8": "B",
    "int8": "b",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float64": "d",
}
"""Numbers, with the letter of `struct` for each."""

_FIELD = re.compile(r"([\w/]+)(?:\[(<=)?(\d*)\])? (\w+)")


@dataclass(frozen=True)
class Field:
    """A field of a message.

    Args:
        name: of it.
        kind: a name of `PRIMITIVES`, `string`, or a message's full name.
        many: it holds several.
        fixed: how many it always holds; None for one, or for any number.
        most: how many it holds at most; None without a bound.
    """

    name: str
    kind: str
    many: bool = False
    fixed: int | None = None
    most: int | None = None


@cache
def fields_of(name: str) -> tuple[Field, ...]:
    """Fields of a message, in their order.

    Args:
        name: such as `std_msgs/msg/String` or `rcl_interfaces/srv/GetParameters_Request`.
    """
    found = []
    for line in DEFINITIONS[name].split("; "):
        match = _FIELD.fullmatch(line)
        assert match is not None, line
        kind, bound, count, field = match.groups()
        if kind.count("/") == 1:
            kind = kind.replace("/", "/msg/")
        number = int(count) if count else None
        if bound:
            found.append(Field(field, kind, True, None, number))
        else:
            found.append(Field(field, kind, count is not None, number))
    return tuple(found)


def is_service(name: str) -> bool:
    """Whether a type is a service's request or response, before which a header stands on the wire."""
    return name.endswith(("_Request", "_Response"))


def dds_name(name: str) -> str:
    """A message's type name in DDS: `std_msgs::msg::dds_::String_` for `std_msgs/msg/String`."""
    package, room, message = name.split("/")
    return f"{package}::{room}::dds_::{message}_"
