"""A controller that is a node of ROS 2: how its file says so, the relay that speaks to it, and its gains through it.

Whoever has the robot never joins the node's network. The relay, `safebo robot ros2 relay`, is a process of its own: it
hears the datagrams of any controller and answers them with what the node publishes, and calls the node's parameter
services for whoever connects to the same port by TCP: a line of JSON, `{"service": ..., "request": ...}`, and a line
back, `{"answer": ...}` or `{"error": ...}`.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebo.robots.controllers.datagrams import LOOPBACK
from safebo.robots.controllers.numbers import RELAY_START_TIMEOUT_S, RESTART_TIMEOUT_S
from safebo.robots.controllers.own_process import OwnProcess
from safebo.robots.controllers.protocol import GainPortError
from safebo.robots.controllers.ros_parameters import (
    RosParameter,
    RosParameterPort,
    SetParametersResult,
)
from safebo.robots.controllers.sections import Section

PAUSE_S = 0.02
"""Between two attempts to reach a relay that is being started."""
MAX_DOMAIN = 230  # as in safebo.hardware.dds
MAX_ODOMETRY_AGE_S = 0.1
_NAME = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")


@dataclass(frozen=True)
class NodeSettings:
    """Section `ros2` of a controller's file.

    Args:
        node: the node's whole name, such as `/my_mpc`.
        domain: its ROS_DOMAIN_ID.
        interface: of this computer's network, a loopback.
        state: topic on which the node hears the robot's states.
        command: on which it publishes joint commands.
        odometry: on which its estimate of the trunk is published.
        odometry_age: by which an estimate may be older than the state that is answered, s.
    """

    node: str
    domain: int
    interface: str
    state: str
    command: str
    odometry: str
    odometry_age: float


@dataclass(frozen=True)
class RosNodePortSettings:
    """Gains as parameters of that node: `atomic` whether all are set at once."""

    atomic: bool


def is_name(name: str) -> bool:
    """Whether a name of a node or a topic is whole: `/one/two`, of letters, digits and `_`."""
    return _NAME.fullmatch(name) is not None


def node_settings(section: Section) -> NodeSettings:
    """Read section `ros2`.

    Raises:
        ControllerInputError: file, key, value, and what is allowed.
    """
    node = _name(section, "node", None)
    domain = section.number("domain", 0, MAX_DOMAIN, 0)
    if not domain.is_integer():
        section.refuse("domain", domain, "a whole number, that of ROS_DOMAIN_ID")
    settings = NodeSettings(
        node,
        int(domain),
        section.text("interface", "lo"),
        _name(section, "state", f"{node}/robot_state"),
        _name(section, "command", f"{node}/joint_command"),
        _name(section, "odometry", f"{node}/odometry"),
        section.number("odometry_age", 0.0, MAX_ODOMETRY_AGE_S, 0.0),
    )
    section.over()
    return settings


def _name(section: Section, key: str, default: str | None) -> str:
    name = section.text(key, default)
    if not is_name(name):
        section.refuse(key, name, "a whole name of ROS 2, such as /my_mpc/joint_command")
    return name


def relay_process(file: Path, port: int, joints: Sequence[str]) -> OwnProcess:
    """The relay of a controller's file, not yet started.

    Args:
        file: of the controller.
        port: where it hears states, by UDP, and calls, by TCP.
        joints: names of the robot's joints, in robot order.
    """
    command = [sys.executable, "-P", "-m", "safebo", "robot", "ros2", "relay", str(file.resolve())]
    return OwnProcess([*command, "--port", str(port), "--joints", ",".join(joints)], file.parent)


class RelayedParameters:
    """The `ParameterClient` of a node behind its relay.

    Args:
        port: of the relay.
        process: the relay, where it is one of ours.
        patience: seconds for one call.
    """

    def __init__(
        self, port: int, process: OwnProcess | None = None, patience: float = RESTART_TIMEOUT_S
    ) -> None:
        self._port, self._process, self._patience = port, process, patience

    def set_parameters_atomically(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """All values or none."""
        return SetParametersResult(*self._call("set_parameters_atomically", _pairs(parameters)))

    def set_parameters(self, parameters: Sequence[RosParameter]) -> list[SetParametersResult]:
        """One by one."""
        return [SetParametersResult(*answer) for answer in self._call("set_parameters", _pairs(parameters))]

    def get_parameters(self, names: Sequence[str]) -> list[float | None]:
        """Values in order."""
        answer: list[float | None] = self._call("get_parameters", list(names))
        return answer

    def _call(self, service: str, request: list[Any]) -> Any:
        try:
            with self._connected() as link, link.makefile("rw") as file:
                file.write(json.dumps({"service": service, "request": request}) + "\n")
                file.flush()
                line = file.readline()
            said: Mapping[str, Any] = json.loads(line)
        except OSError as error:
            raise GainPortError(f"relay at {LOOPBACK}:{self._port}: {error}{self._last_words()}") from error
        except ValueError as error:
            raise GainPortError(
                f"relay at {LOOPBACK}:{self._port}: no answer to {service}{self._last_words()}"
            ) from error
        if "error" in said:
            raise GainPortError(str(said["error"]))
        return said["answer"]

    def _connected(self) -> socket.socket:
        """A connection, waited for while the relay starts."""
        end = time.monotonic() + RELAY_START_TIMEOUT_S
        while True:
            try:
                return socket.create_connection((LOOPBACK, self._port), self._patience)
            except ConnectionRefusedError:
                starting = self._process is not None and self._process.running
                if not starting or time.monotonic() > end:
                    raise
                time.sleep(PAUSE_S)

    def _last_words(self) -> str:
        if self._process is None:
            return ""
        said = self._process.ended() or self._process.said()
        return f"; the relay {said}" if said else ""


def _pairs(parameters: Sequence[RosParameter]) -> list[Any]:
    return [[parameter.name, parameter.value] for parameter in parameters]


class RosNodePort(RosParameterPort):
    """Writes gains as parameters of a node behind its relay, which is started when it does not run.

    Args:
        client: through the relay.
        parameters: the node's name of every gain.
        atomic: with `set_parameters_atomically`.
        process: the relay, where it is one of ours.
    """

    def __init__(
        self,
        client: RelayedParameters,
        parameters: Mapping[str, str],
        atomic: bool,
        process: OwnProcess | None,
    ) -> None:
        super().__init__(client, parameters, atomic)
        self._process = process

    @property
    def restarts(self) -> bool:
        """Whether writing starts the relay."""
        return self._process is not None and not self._process.running

    def write(self, gains: Mapping[str, float]) -> None:
        """Set all parameters; see `RosParameterPort`."""
        if self._process is not None and not self._process.running:
            self._process.restart()
        super().write(gains)
