"""The guardian's end of a real ROS 2 node's parameters, for `client: rclpy_client.py:connect`.

Written from the documented interface of rclpy (Humble and later); NOT tried: there is no ROS where this project is
built and tested. Try it with the robot off before anything else. The port behind it, `RosParameterPort`, is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rclpy
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from safebo.robots.controllers.ros_parameters import RosParameter, SetParametersResult

PATIENCE = 2.0  # s for one call
DOUBLE = 3  # rcl_interfaces/msg/ParameterType.PARAMETER_DOUBLE


class RclpyParameterClient:
    """Calls the parameter services of one node from the guardian's gain thread.

    Args:
        name: of the node, such as `/my_mpc`.
    """

    def __init__(self, name: str) -> None:
        if not rclpy.ok():
            rclpy.init()
        self._node = rclpy.create_node("safebo_guardian_gains")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._name = name
        self._atomic = self._node.create_client(SetParametersAtomically, f"{name}/set_parameters_atomically")
        self._single = self._node.create_client(SetParameters, f"{name}/set_parameters")
        self._get = self._node.create_client(GetParameters, f"{name}/get_parameters")

    def set_parameters_atomically(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """All values or none."""
        result = self._call(
            self._atomic, SetParametersAtomically.Request(parameters=_messages(parameters))
        ).result
        return SetParametersResult(result.successful, result.reason)

    def set_parameters(self, parameters: Sequence[RosParameter]) -> list[SetParametersResult]:
        """One by one."""
        results = self._call(self._single, SetParameters.Request(parameters=_messages(parameters))).results
        return [SetParametersResult(result.successful, result.reason) for result in results]

    def get_parameters(self, names: Sequence[str]) -> list[float | None]:
        """Values in order; None for a parameter that is not set or no double."""
        values = self._call(self._get, GetParameters.Request(names=list(names))).values
        return [value.double_value if value.type == DOUBLE else None for value in values]

    def _call(self, client: Any, request: Any) -> Any:
        if not client.wait_for_service(timeout_sec=PATIENCE):
            raise TimeoutError(f"{self._name} offers no {client.srv_name}")
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, timeout_sec=PATIENCE)
        if not future.done():
            raise TimeoutError(f"{self._name} does not answer on {client.srv_name}")
        return future.result()


def _messages(parameters: Sequence[RosParameter]) -> list[Any]:
    return [
        Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value)).to_parameter_msg()
        for parameter in parameters
    ]


def connect(node: str) -> RclpyParameterClient:
    """The client of a node."""
    return RclpyParameterClient(node)
