"""The gain port and the process that a controller's file asks for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast

from safebo.robots.controllers.controller_file import ControllerFile, FilePortSettings
from safebo.robots.controllers.file_and_restart import FileAndRestartPort, WatchedFilePort
from safebo.robots.controllers.gain_port import GainPort
from safebo.robots.controllers.own_process import OwnProcess
from safebo.robots.controllers.protocol import ControllerInputError, GainPortError
from safebo.robots.controllers.ros_node import (
    RelayedParameters,
    RosNodePort,
    RosNodePortSettings,
    relay_process,
)
from safebo.robots.controllers.ros_parameters import ParameterClient, RosParameterPort
from safebo.robots.descriptions.model import RobotModel


def own_process(file: ControllerFile, robot: RobotModel, port: int, gains: Path | None) -> OwnProcess | None:
    """The controller's process, not yet started, or the relay of one that is a node of ROS 2.

    None where its file has no start command.

    Args:
        file: of the controller.
        robot: its name, for `{robot}`.
        port: where it shall listen, for `{port}`.
        gains: its gains file, for `{gains}`; None where its gains are parameters.
    """
    if file.node is not None:
        return relay_process(file.path, port, robot.joint_names)
    if not file.start:
        return None
    places = {"{port}": str(port), "{gains}": str(gains), "{robot}": robot.name}
    command = []
    for word in file.start:
        for place, value in places.items():
            word = word.replace(place, value)
        command.append(word)
    return OwnProcess(command, file.path.parent)


def gains_file(file: ControllerFile) -> Path | None:
    """Where the controller reads its gains; None where they are parameters."""
    return file.gain_port.file if isinstance(file.gain_port, FilePortSettings) else None


def gain_port(
    file: ControllerFile,
    process: OwnProcess | None = None,
    gains: Path | None = None,
    port: int | None = None,
) -> GainPort:
    """The gain port that a controller's file asks for.

    Args:
        file: of the controller.
        process: the controller's process where it is one of ours.
        gains: the gains file; None for the one that is named.
        port: where the relay of a node of ROS 2 listens; None for the one that is named.

    Raises:
        ControllerInputError: a client that cannot be loaded, or a gains file that lacks a gain.
    """
    settings = file.gain_port
    if isinstance(settings, FilePortSettings):
        path, form = gains or settings.file, settings.format
        written = (
            WatchedFilePort(path, form, file.names, process)
            if settings.watched
            else FileAndRestartPort(path, form, file.names, settings.restart, settings.patience, process)
        )
        try:
            written.read()
        except GainPortError as error:
            raise ControllerInputError(f"{file.path}: gain_port.file: {error}") from None
        return written
    if isinstance(settings, RosNodePortSettings):
        relayed = RelayedParameters(port or file.port, process)
        return RosNodePort(relayed, file.names, settings.atomic, process)
    module, function = settings.client
    client = load_client(file.path, module, function, settings.node)
    return RosParameterPort(client, file.names, settings.atomic)


def load_client(owner: Path, path: Path, function: str, node: str) -> ParameterClient:
    """Call a function in a user's Python file to get a parameter client.

    Raises:
        ControllerInputError: the file, the function or the node is not there.
    """
    key = f"{owner}: gain_port.client"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise ControllerInputError(f"{key}: {path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        make = getattr(module, function)
        client = make(node)
    except Exception as error:
        raise ControllerInputError(f"{key}: {path}:{function}: {type(error).__name__}: {error}") from error
    for method in ("set_parameters_atomically", "set_parameters", "get_parameters"):
        if not callable(getattr(client, method, None)):
            raise ControllerInputError(f"{key}: what {function} gives has no method {method}")
    return cast(ParameterClient, client)
