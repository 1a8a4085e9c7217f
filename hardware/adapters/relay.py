"""Everything that stands between the guardian and a user's controller, made from the controller's file."""

from __future__ import annotations

import importlib.util
from concurrent.futures import Executor
from pathlib import Path
from typing import cast

from safebo.hardware.adapters.controller_file import ControllerFile, FilePortSettings
from safebo.hardware.adapters.file_and_restart import FileAndRestartPort
from safebo.hardware.adapters.gain_keeper import GainKeeper
from safebo.hardware.adapters.gain_port import GainPort
from safebo.hardware.adapters.relayed_walker import RelayedWalker
from safebo.hardware.adapters.ros_parameters import ParameterClient, RosParameterPort
from safebo.hardware.constants import ANSWER_BUDGET_S, VIRTUAL_BUDGET_S
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.link.client import Transport
from safebo.hardware.link.udp import LOOPBACK, UdpTransport
from safebo.robots.descriptions.model import RobotModel


def gain_port(file: ControllerFile) -> GainPort:
    """The gain port that a controller's file asks for.

    Raises:
        HardwareInputError: a client that cannot be loaded, or a gains file that lacks a gain.
    """
    settings = file.gain_port
    if isinstance(settings, FilePortSettings):
        port = FileAndRestartPort(
            settings.file, settings.format, file.names, settings.restart, settings.patience
        )
        try:
            port.read()
        except HardwareError as error:
            raise HardwareInputError(f"{file.path}: gain_port.file: {error}") from None
        return port
    path, function = settings.client
    client = load_client(file.path, path, function, settings.node)
    return RosParameterPort(client, file.names, settings.atomic)


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
        HardwareInputError: see `gain_port`.
    """
    port = gain_port(file)
    budget = VIRTUAL_BUDGET_S if virtual else file.budget or ANSWER_BUDGET_S
    wire = transport or UdpTransport(LOOPBACK, file.port)
    walker = RelayedWalker(robot, file.table, wire, file.switches, budget, rate)
    return walker, GainKeeper(walker, port, file.table, executor, file.proof)


def load_client(owner: Path, path: Path, function: str, node: str) -> ParameterClient:
    """Call a function in a user's Python file to get a parameter client.

    Raises:
        HardwareInputError: the file, the function or the node is not there.
    """
    key = f"{owner}: gain_port.client"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise HardwareInputError(f"{key}: {path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        make = getattr(module, function)
        client = make(node)
    except Exception as error:
        raise HardwareInputError(f"{key}: {path}:{function}: {type(error).__name__}: {error}") from error
    for method in ("set_parameters_atomically", "set_parameters", "get_parameters"):
        if not callable(getattr(client, method, None)):
            raise HardwareInputError(f"{key}: what {function} gives has no method {method}")
    return cast(ParameterClient, client)
