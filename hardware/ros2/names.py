"""Names of ROS 2 in DDS: a topic `/odom` is `rt/odom`, a service has a topic for requests and one for replies."""

from __future__ import annotations

import re

PARAMETER_SERVICE = re.compile(r"rr(/.+)/get_parametersReply")
"""Topic on which a node answers questions for its parameters; every node of rclcpp and rclpy has it."""


def topic_name(name: str) -> str:
    """Of a topic, such as `/joint_states`."""
    return f"rt{name}"


def request_topic(node: str, service: str) -> str:
    """Where a node hears requests for one of its services."""
    return f"rq{node}/{service}Request"


def reply_topic(node: str, service: str) -> str:
    """Where it answers."""
    return f"rr{node}/{service}Reply"


def nodes_among(topics: list[str]) -> list[str]:
    """Nodes that have parameters, by the topics that are written in a domain."""
    found = [PARAMETER_SERVICE.fullmatch(topic) for topic in topics]
    return sorted(match[1] for match in found if match is not None)
