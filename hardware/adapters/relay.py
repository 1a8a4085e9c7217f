"""Everything that stands between the guardian and a user's controller, made from the controller's file."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from safebo.hardware.adapters.gain_keeper import GainKeeper
from safebo.hardware.adapters.relayed_walker import RelayedWalker
from safebo.hardware.constants import ANSWER_BUDGET_S, VIRTUAL_BUDGET_S
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.link.channel import Transport
from safebo.hardware.link.udp import LOOPBACK, UdpTransport
from safebo.robots.controllers.controller_file import ControllerFile, read_controller_file
from safebo.robots.controllers.ports import gain_port, gains_file, own_process
from safebo.robots.controllers.protocol import ControllerInputError
from safebo.robots.descriptions.model import RobotModel


def read_controller(path: Path) -> ControllerFile:
    """How a user's own controller is attached.

    Raises:
        HardwareInputError: the file is bad, or the guardian cannot take its gains.
    """
    try:
        file = read_controller_file(path)
    except ControllerInputError as error:
        raise HardwareInputError(str(error)) from None
    try:
        ControllerGains.of(file.table)
    except ValueError as error:
        raise HardwareInputError(f"{path}: gains: {error}") from None
    return file


def relay(
    file: ControllerFile,
    robot: RobotModel,
    executor: Executor,
    virtual: bool,
    rate: float,
    transport: Transport | None = None,
) -> tuple[RelayedWalker, GainKeeper]:
    """Walker and keeper of a user's controller.

    Args:
        file: how it is attached.
        robot: the robot's model.
        executor: runs the gain port; one worker of its own.
        virtual: whether the robot is a virtual one.
        rate: control ticks per second.
        transport: to the controller; a socket of its own when None.

    Raises:
        HardwareInputError: a client that cannot be loaded, or a gains file that lacks a gain.
    """
    try:
        port = gain_port(file, own_process(file, robot, file.port, gains_file(file)))
    except ControllerInputError as error:
        raise HardwareInputError(str(error)) from None
    budget = VIRTUAL_BUDGET_S if virtual else file.budget or ANSWER_BUDGET_S
    wire = transport or UdpTransport(LOOPBACK, file.port)
    table = ControllerGains.of(file.table)
    walker = RelayedWalker(robot, table, wire, file.switches, budget, rate)
    return walker, GainKeeper(walker, port, table, executor, file.proof)
