"""Speed of a virtual robot: one tick of 2 ms, from a command that has come to the state that goes out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from safebo.experiments.speed.measure import SpeedCase
from safebo.hardware.unitree import go2_messages as wire
from safebo.hardware.unitree.joints import motors_of
from safebo.hardware.virtual.go2 import CELL_SCALE, joint_command
from safebo.hardware.virtual.plant import PERIOD, VirtualPlant
from safebo.hardware.virtual.state_encoder import StateEncoder
from safebo.robots.descriptions.model import load_robot


def virtual_go2_tick() -> Callable[[], bytes]:
    """Decode a command, let 2 ms of physics pass, fill a state and encode it; the robot stands.

    All that `safebo-virtual-robot go2` does in a tick but Cyclone DDS itself.
    """
    robot = load_robot("go2")
    plant = VirtualPlant(robot, seed=0)
    slots = motors_of(robot.joint_names)
    sayings, state, packet = (
        StateEncoder(plant, wire.MODE_SERVO, 1.0, 1, CELL_SCALE),
        wire.new_low_state(),
        b"",
    )

    def aim(position: np.ndarray) -> bytes:
        command = wire.new_low_cmd()
        none = np.zeros(12)
        wire.set_joints(command, np.array([position, none, none, none + 60.0, none + 5.0]), slots)
        return wire.encode_low_cmd(command)

    def tick() -> bytes:
        motors = wire.decode_low_cmd(packet)["motor_cmd"][slots]
        plant.command(joint_command(motors), motors["mode"] == wire.MODE_SERVO)
        plant.tick()
        sayings.fill(state)
        return wire.encode_low_state(state)

    steps = round(2.0 / PERIOD)
    for share in np.minimum(1.0, np.arange(1.5 * steps) / steps):
        packet = aim(plant.settled + share * (robot.home_joints - plant.settled))
        tick()
    return tick


CASES = (
    SpeedCase(
        "virtual_go2_tick",
        "one tick of a standing virtual Go2, DDS not included",
        0.3e-3,
        virtual_go2_tick,
        2000,
        50,
    ),
)
