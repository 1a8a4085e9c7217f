"""Parameters of a ROS 2 node, by the standard services of `rcl_interfaces`: a client, and what a node answers with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from safebo.hardware.dds import Participant
from safebo.hardware.errors import LinkError
from safebo.hardware.ros2.cdr import Message
from safebo.hardware.ros2.services import ServiceClient, ServiceServer

CALL_TIMEOUT_S = 2.0
"""That a node gets to answer a call."""

SERVICES = {
    "list_parameters": "ListParameters",
    "describe_parameters": "DescribeParameters",
    "get_parameters": "GetParameters",
    "get_parameter_types": "GetParameterTypes",
    "set_parameters": "SetParameters",
    "set_parameters_atomically": "SetParametersAtomically",
}
"""Names of the services, with their kinds in `rcl_interfaces/srv`."""

Value = bool | int | float | str | list[Any] | None
"""Of a parameter; None for one that is not set."""


class Type(IntEnum):
    """Types of parameters, numbered as in `rcl_interfaces/msg/ParameterType`."""

    NOT_SET = 0
    BOOL = 1
    INTEGER = 2
    DOUBLE = 3
    STRING = 4
    BYTE_ARRAY = 5
    BOOL_ARRAY = 6
    INTEGER_ARRAY = 7
    DOUBLE_ARRAY = 8
    STRING_ARRAY = 9


@dataclass(frozen=True)
class Result:
    """What a node says to a set."""

    successful: bool
    reason: str = ""


@dataclass(frozen=True)
class Descriptor:
    """What a node says of a parameter.

    Args:
        name: of it.
        type: of its value.
        lower: smallest value allowed; None without a range.
        upper: largest one.
        read_only: it cannot be set.
        description: for people.
    """

    name: str
    type: Type
    lower: float | None = None
    upper: float | None = None
    read_only: bool = False
    description: str = ""


def value_message(kind: Type, value: Any) -> dict[str, Any]:
    """`rcl_interfaces/msg/ParameterValue` of a value."""
    return {"type": int(kind)} | ({} if kind is Type.NOT_SET else {f"{kind.name.lower()}_value": value})


def value_in(message: Message) -> tuple[Type, Value]:
    """Type and value in a `rcl_interfaces/msg/ParameterValue`.

    Raises:
        LinkError: a type that does not exist.
    """
    try:
        kind = Type(message["type"])
    except ValueError:
        raise LinkError(
            f"a parameter of type {message['type']}; types are {Type(0)} to {max(Type)}"
        ) from None
    return kind, None if kind is Type.NOT_SET else message[f"{kind.name.lower()}_value"]


class NodeParameters:
    """Calls the parameter services of one node. Used by one thread.

    Args:
        participant: this process in the node's domain.
        node: such as `/my_mpc`.
        timeout: seconds for one call.

    Every method raises `LinkError` when the node is not there or does not answer in time, and `WireError` when what it
    says is no answer.
    """

    def __init__(self, participant: Participant, node: str, timeout: float = CALL_TIMEOUT_S) -> None:
        self._participant, self.node, self._timeout = participant, node, timeout
        self._clients: dict[str, ServiceClient] = {}

    def names(self) -> list[str]:
        """All parameters that it has."""
        found: list[str] = self._call("list_parameters", {})["result"]["names"]
        return found

    def describe(self, names: Sequence[str]) -> list[Descriptor]:
        """Types and ranges. Nodes of rclcpp and rclpy answer nothing when a name is unknown to them."""
        answers = self._call("describe_parameters", {"names": list(names)})["descriptors"]
        return [_descriptor(answer) for answer in answers]

    def get(self, names: Sequence[str]) -> list[tuple[Type, Value]]:
        """Types and values, in order."""
        answer = self._call("get_parameters", {"names": list(names)})
        return [value_in(value) for value in answer["values"]]

    def set_atomically(self, parameters: Sequence[tuple[str, Type, Any]]) -> Result:
        """All values or none."""
        answer = self._call("set_parameters_atomically", {"parameters": _messages(parameters)})["result"]
        return Result(answer["successful"], answer["reason"])

    def set(self, parameters: Sequence[tuple[str, Type, Any]]) -> list[Result]:
        """One by one, an answer each; those before a refused one stay set."""
        answers = self._call("set_parameters", {"parameters": _messages(parameters)})["results"]
        return [Result(answer["successful"], answer["reason"]) for answer in answers]

    def _call(self, service: str, request: Message) -> dict[str, Any]:
        client = self._clients.get(service)
        if client is None:
            kind = f"rcl_interfaces/srv/{SERVICES[service]}"
            client = self._clients[service] = ServiceClient(self._participant, self.node, service, kind)
        return client.call(request, self._timeout)


def _messages(parameters: Sequence[tuple[str, Type, Any]]) -> list[Message]:
    return [{"name": name, "value": value_message(kind, value)} for name, kind, value in parameters]


def _descriptor(message: Message) -> Descriptor:
    bounds = [*message["floating_point_range"], *message["integer_range"]]
    kind, _ = value_in({"type": message["type"], **{f"{k.name.lower()}_value": None for k in Type}})
    return Descriptor(
        message["name"],
        kind,
        bounds[0]["from_value"] if bounds else None,
        bounds[0]["to_value"] if bounds else None,
        message["read_only"],
        message["description"],
    )


Check = Callable[[Mapping[str, Any]], str]
"""Given all values as they would be, why that may not be; empty when it may."""


class ParameterServer:
    """Parameters of a node that is written without ROS: declared, described, set within their ranges.

    Args:
        participant: the node in its domain.
        node: its name, such as `/my_mpc`.
        declared: its parameters with their types and ranges.
        values: to begin with, by name.
        check: refuses a set by its reason, as a callback of `add_on_set_parameters_callback` does.
    """

    def __init__(
        self,
        participant: Participant,
        node: str,
        declared: Sequence[Descriptor],
        values: Mapping[str, Any],
        check: Check = lambda values: "",
    ) -> None:
        self._declared = {each.name: each for each in declared}
        self.values: dict[str, Any] = dict(values)
        self._check = check
        answers = {
            "list_parameters": self._list,
            "describe_parameters": self._describe,
            "get_parameters": self._get,
            "get_parameter_types": self._types,
            "set_parameters": self._set,
            "set_parameters_atomically": self._set_atomically,
        }
        self._servers = [
            ServiceServer(participant, node, service, f"rcl_interfaces/srv/{kind}", answers[service])
            for service, kind in SERVICES.items()
        ]

    def serve(self) -> None:
        """Answer what has come since the last call; never blocks. `values` changes here and nowhere else."""
        for server in self._servers:
            server.serve()

    def _list(self, request: Message) -> Message:
        prefixes, depth = request["prefixes"], request["depth"]
        names = [
            name
            for name in self._declared
            if not prefixes or any(name == p or name.startswith(p + ".") for p in prefixes)
        ]
        if depth:
            names = [name for name in names if name.count(".") < depth]
        above = sorted({name.rpartition(".")[0] for name in names if "." in name})
        return {"result": {"names": names, "prefixes": above}}

    def _describe(self, request: Message) -> Message:
        known = [self._declared[name] for name in request["names"] if name in self._declared]
        return {"descriptors": [_described(each) for each in known]}

    def _get(self, request: Message) -> Message:
        return {"values": [self._value(name) for name in request["names"]]}

    def _types(self, request: Message) -> Message:
        return {"types": [self._value(name)["type"] for name in request["names"]]}

    def _value(self, name: str) -> dict[str, Any]:
        if name not in self._declared:
            return value_message(Type.NOT_SET, None)
        return value_message(self._declared[name].type, self.values[name])

    def _set(self, request: Message) -> Message:
        return {"results": [self._taken([parameter]) for parameter in request["parameters"]]}

    def _set_atomically(self, request: Message) -> Message:
        return {"result": self._taken(request["parameters"])}

    def _taken(self, parameters: Sequence[Message]) -> Message:
        """Set all of them, or none; what the node says."""
        wanted = dict(self.values)
        for parameter in parameters:
            name = parameter["name"]
            if name not in self._declared:
                return {
                    "successful": False,
                    "reason": f"parameter '{name}' cannot be set because it was not declared",
                }
            kind, value = value_in(parameter["value"])
            wrong = _problem(self._declared[name], kind, value)
            if wrong:
                return {"successful": False, "reason": wrong}
            wanted[name] = value
        wrong = self._check(wanted)
        if wrong:
            return {"successful": False, "reason": wrong}
        self.values = wanted
        return {"successful": True}


def _problem(declared: Descriptor, kind: Type, value: Any) -> str:
    """Why a parameter cannot have a value; empty when it can."""
    if kind is not declared.type:
        return (
            f"Wrong parameter type, parameter {{{declared.name}}} is of type {{{declared.type.name.lower()}}}"
        )
    if declared.read_only:
        return f"parameter '{declared.name}' cannot be set because it is read-only"
    if declared.lower is not None and declared.upper is not None:
        numbers = value if isinstance(value, list) else [value]
        if not all(math.isfinite(n) and declared.lower <= n <= declared.upper for n in numbers):
            return f"Parameter {{{declared.name}}} doesn't comply with floating point range"
    return ""


def _described(each: Descriptor) -> Message:
    message: dict[str, Any] = {
        "name": each.name,
        "type": int(each.type),
        "description": each.description,
        "read_only": each.read_only,
    }
    if each.lower is not None and each.upper is not None:
        whole = each.type in (Type.INTEGER, Type.INTEGER_ARRAY)
        kind = int if whole else float
        bounds = {"from_value": kind(each.lower), "to_value": kind(each.upper), "step": kind(0)}
        message["integer_range" if whole else "floating_point_range"] = [bounds]
    return message
