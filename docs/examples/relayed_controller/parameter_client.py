"""The guardian's end of `parameter_server.py`: what `gain_port.client` in the controller file names."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from safebo.robots.controllers.ros_parameters import RosParameter, SetParametersResult

PATIENCE = 2.0  # s for one call


class JsonParameterClient:
    """Calls the services of one node; a connection per call, so that a node may restart in between.

    Args:
        port: of the node, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port

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
        with (
            socket.create_connection(("127.0.0.1", self._port), PATIENCE) as link,
            link.makefile("rw") as file,
        ):
            file.write(json.dumps({"service": service, "request": request}) + "\n")
            file.flush()
            line = file.readline()
        if not line:
            raise ConnectionError(f"no answer to {service}")
        return json.loads(line)


def _pairs(parameters: Sequence[RosParameter]) -> list[Any]:
    return [[parameter.name, parameter.value] for parameter in parameters]


def connect(node: str) -> JsonParameterClient:
    """The client of the node whose name is its port."""
    return JsonParameterClient(int(node))
