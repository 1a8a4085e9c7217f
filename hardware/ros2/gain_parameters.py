"""Gains in a ROS 2 node: doubles, whole numbers, and single items of arrays of doubles, as parameters of the node.

A gain is a parameter (`gains.stance.kp`), or an item of one (`weights[3]`, from 0). Types and ranges are asked of the
node before every change: what it would not take is said before anything is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from safebo.hardware.dds import Participant
from safebo.hardware.errors import HardwareError
from safebo.hardware.ros2.parameters import CALL_TIMEOUT_S, Descriptor, NodeParameters, Result, Type, Value
from safebo.robots.controllers.protocol import GainPortError
from safebo.robots.controllers.ros_parameters import RosParameter, SetParametersResult

_ITEM = re.compile(r"(.+)\[(\d+)\]")
NUMBERS = (Type.DOUBLE, Type.INTEGER, Type.DOUBLE_ARRAY)
T = TypeVar("T")
NAMED = 12
"""Parameters of a node that a message lists."""


def split_item(name: str) -> tuple[str, int | None]:
    """A parameter's name and the number of its item; None for the whole."""
    match = _ITEM.fullmatch(name)
    return (name, None) if match is None else (match[1], int(match[2]))


@dataclass(frozen=True)
class Held:
    """A parameter as the node holds it."""

    descriptor: Descriptor
    value: Value


class GainParameters:
    """The `ParameterClient` of a node that is reached over DDS (`safebo.robots.controllers.ros_parameters`).

    Args:
        join: makes this process's participant in the node's domain; called at the first use, by the thread that uses
            this.
        node: such as `/my_mpc`.
        timeout: seconds for one call.

    Every method raises `GainPortError` in words.
    """

    def __init__(self, join: Callable[[], Participant], node: str, timeout: float = CALL_TIMEOUT_S) -> None:
        self._join, self._name, self._timeout = join, node, timeout
        self._node: NodeParameters | None = None

    @property
    def node(self) -> NodeParameters:
        """Its parameters of all kinds."""
        if self._node is None:
            self._node = NodeParameters(self._join(), self._name, self._timeout)
        return self._node

    def set_parameters_atomically(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """All values or none; a refusal is the node's own."""
        return _shown(_words(lambda: self.node.set_atomically(self._typed(parameters))))

    def set_parameters(self, parameters: Sequence[RosParameter]) -> list[SetParametersResult]:
        """One by one. Items of one array are set together, and answered alike."""
        typed = _words(lambda: self._typed(parameters))
        answers = dict(
            zip((name for name, _, _ in typed), _words(lambda: self.node.set(typed)), strict=False)
        )
        missing = Result(False, "no answer to this parameter")
        return [_shown(answers.get(split_item(p.name)[0], missing)) for p in parameters]

    def get_parameters(self, names: Sequence[str]) -> list[float | None]:
        """Values in order; None for one that is not set, is no number, or has no such item."""
        whole = list(dict.fromkeys(split_item(name)[0] for name in names))
        answers = _words(lambda: self.node.get(whole))
        held = {name: value for name, (_, value) in zip(whole, answers, strict=False)}
        return [_number(held.get(split_item(name)[0]), split_item(name)[1]) for name in names]

    def describe(self, names: Sequence[str]) -> dict[str, Descriptor]:
        """What the node says of the parameters of some gains, by the gains' names there.

        Raises:
            GainPortError: one is not there, is no number, or cannot be set.
        """
        return {name: held.descriptor for name, held in _words(lambda: self._held(names)).items()}

    def _held(self, names: Sequence[str]) -> dict[str, Held]:
        """Descriptors and values of parameters, by the gains' names there."""
        node = self.node.node
        whole = list(dict.fromkeys(split_item(name)[0] for name in names))
        answers = self.node.get(whole)
        if len(answers) != len(whole) or any(kind is Type.NOT_SET for kind, _ in answers):
            there = self.node.names()
            missing = [name for name in whole if name not in there] or whole
            more = f" and {len(there) - NAMED} more" if len(there) > NAMED else ""
            raise GainPortError(
                f"{node}: has no parameter {missing[0]!r}; it has {', '.join(there[:NAMED]) or 'none'}{more}"
            )
        values = dict(zip(whole, answers, strict=True))
        said = {each.name: each for each in self.node.describe(whole)}
        out: dict[str, Held] = {}
        for name in names:
            parameter, item = split_item(name)
            kind, value = values[parameter]
            if kind not in NUMBERS or (item is None) == (kind is Type.DOUBLE_ARRAY):
                form = (
                    "a double_array"
                    if item is not None
                    else "double, integer, or NAME[ITEM] of a double_array"
                )
                raise GainPortError(f"{node}: {name}: is of type {kind.name.lower()}, expected {form}")
            descriptor = replace(said.get(parameter, Descriptor(parameter, kind)), type=kind)
            if descriptor.read_only:
                raise GainPortError(f"{node}: {name}: is read-only")
            out[name] = Held(descriptor, value)
        return out

    def _typed(self, parameters: Sequence[RosParameter]) -> list[tuple[str, Type, Any]]:
        """Parameters with the node's types; arrays as they are, with new items."""
        held = self._held([parameter.name for parameter in parameters])
        out: dict[str, tuple[str, Type, Any]] = {}
        for parameter in parameters:
            name, item = split_item(parameter.name)
            kind, value = held[parameter.name].descriptor.type, float(parameter.value)
            if item is not None:
                items = out[name][2] if name in out else list(cast(list[float], held[parameter.name].value))
                if item >= len(items):
                    raise GainPortError(f"{self.node.node}: {name}: has {len(items)} items, no item {item}")
                items[item] = value
                out[name] = name, kind, items
            elif kind is Type.INTEGER:
                if not value.is_integer():
                    raise GainPortError(f"{self.node.node}: {name}: is an integer, and {value!r} is none")
                out[name] = name, kind, int(value)
            else:
                out[name] = name, kind, value
        return list(out.values())


def _number(value: Value, item: int | None) -> float | None:
    if isinstance(value, list):
        value = value[item] if item is not None and item < len(value) else None
    elif item is not None:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shown(result: Result) -> SetParametersResult:
    return SetParametersResult(result.successful, result.reason)


def _words(call: Callable[[], T]) -> T:
    """What a call gives; the errors of a link as those of a gain port."""
    try:
        return call()
    except HardwareError as error:
        raise GainPortError(str(error)) from error
