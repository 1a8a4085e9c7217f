"""Speed of the robots' own packets: writing and reading one, checksum included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from types import ModuleType
from typing import Any

import numpy as np

from safebo.experiments.speed.measure import SpeedCase
from safebo.hardware.robot_link import LinkCounters, checked_command
from safebo.hardware.unitree import go1_messages, go2_messages
from safebo.hardware.unitree.go2_link import TICK_SECONDS, battery_of
from safebo.hardware.unitree.joints import JOINT_NAMES, motors_of
from safebo.hardware.unitree.state import StateStream
from safebo.robots.quadruped.interface import JointCommand

BAR = 25e-6  # s


def _filled(record: Any, seed: int) -> Any:
    """Random bytes in every field but the head: the codecs take as long for any content."""
    random = np.random.default_rng(seed)
    content = np.frombuffer(bytearray(random.bytes(record.nbytes)), record.dtype).reshape(())
    content["head"] = record["head"]
    return content


def _encode(module: ModuleType, message: str) -> Callable[[], Any]:
    record = _filled(getattr(module, f"new_{message}")(), 1)
    return partial(getattr(module, f"encode_{message}"), record)


def _decode(module: ModuleType, message: str) -> Callable[[], Any]:
    record = _filled(getattr(module, f"new_{message}")(), 1)
    data = getattr(module, f"encode_{message}")(record)
    return partial(getattr(module, f"decode_{message}"), data)


def _go2_state_read() -> Callable[[], Any]:
    """From a packet to a `RobotState` with joints in the controller's order; ticks go on."""
    packets = []
    for tick in range(0, 4000, 2):
        record = go2_messages.new_low_state()
        record["tick"] = tick
        packets.append(go2_messages.encode_low_state(record))
    stream = StateStream(
        JOINT_NAMES, go2_messages.decode_low_state, battery_of, 1.0, TICK_SECONDS, 0.002, LinkCounters()
    )
    coming = cycle(packets)
    return lambda: stream.newest((next(coming),), 0.0)


def _go2_command_write() -> Callable[[], Any]:
    """From a `JointCommand` to a packet."""
    command = JointCommand(kp=np.full(12, 60.0), kd=np.full(12, 3.0))
    record = go2_messages.new_low_cmd()
    slots = motors_of()

    def write() -> bytes:
        go2_messages.set_joints(record, checked_command(command, JOINT_NAMES), slots)
        return go2_messages.encode_low_cmd(record)

    return write


CASES = (
    *(
        SpeedCase(
            f"{robot}_{message.removeprefix('low_')}_{way.__name__.removeprefix('_')}",
            f"{way.__name__.removeprefix('_')} one {robot.capitalize()} low-level {words}",
            BAR,
            partial(way, module, message),
            3000,
            100,
        )
        for robot, module in (("go2", go2_messages), ("go1", go1_messages))
        for message, words in (("low_cmd", "command"), ("low_state", "state"))
        for way in (_encode, _decode)
    ),
    SpeedCase(
        "go2_state_read",
        "Go2 packet to the state that a controller reads",
        BAR,
        _go2_state_read,
        2000,
        50,
    ),
    SpeedCase(
        "go2_command_write",
        "joint command of a controller to a Go2 packet",
        BAR,
        _go2_command_write,
        3000,
        50,
    ),
)
