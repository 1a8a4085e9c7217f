"""Joining a network of ROS 2 nodes: nodes of every distribution are found on a loopback interface.

The Cyclone DDS in ROS 2 up to Kilted is 0.9 or 0.10, which has no multicast on a loopback interface; so its nodes are
looked for by their ports. `rmw_cyclonedds_cpp` announces no types there, so such a node does not die of version 11, as
others of 0.10 do.
"""

from __future__ import annotations

from safebo.hardware.dds import Participant, is_loopback


def join(interface: str, domain: int) -> Participant:
    """Join the nodes of a domain.

    Args:
        interface: network interface by name.
        domain: ROS_DOMAIN_ID.

    Raises:
        HardwareError: see `Participant`.
    """
    return Participant(interface, domain, unicast=is_loopback(interface))
