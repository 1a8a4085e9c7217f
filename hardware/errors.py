"""Errors of the bridge, for people. `exit_code` is what a command line returns: 2 for bad input, 1 for a failure."""

from __future__ import annotations


class HardwareError(Exception):
    """Something that the bridge refuses or cannot do; the message says what, where and what is allowed."""

    exit_code = 1


class HardwareInputError(HardwareError, ValueError):
    """The user asked for something that cannot be: an interface, an address, a name, a value."""

    exit_code = 2


class WireError(HardwareError, ValueError):
    """A packet that is not what its layout says: its length, head, encapsulation or checksum."""


class CommandError(HardwareError, ValueError):
    """A joint command that must not reach a motor: a value not finite or beyond what the wire can carry."""


class LinkError(HardwareError):
    """The robot does not answer, or answers something else than the protocol allows."""


class DdsVersionError(HardwareError):
    """A Cyclone DDS version that must not join this network, or none at all."""
