"""The guardian's end of a real ROS 2 node's parameters without ROS, for `client: dds_client.py:connect`.

The node runs with `RMW_IMPLEMENTATION=rmw_cyclonedds_cpp` on this computer, in the domain of `ROS_DOMAIN_ID`:
see docs/ros2.md.
"""

from __future__ import annotations

import os

from safebo.hardware.ros2.gain_parameters import GainParameters
from safebo.hardware.ros2.network import join


def connect(node: str) -> GainParameters:
    """The client of a node, such as `/my_mpc`."""
    domain = int(os.environ.get("ROS_DOMAIN_ID", "0"))
    return GainParameters(lambda: join("lo", domain), node)
