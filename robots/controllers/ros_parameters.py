"""Gains as parameters of a node, by services of the shape of ROS 2's `rcl_interfaces`; needs no ROS itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from safebo.robots.controllers.protocol import GainPortError


@dataclass(frozen=True)
class RosParameter:
    """A parameter of type double, as in `rcl_interfaces/msg/Parameter`."""

    name: str
    value: float


@dataclass(frozen=True)
class SetParametersResult:
    """As in `rcl_interfaces/msg/SetParametersResult`."""

    successful: bool
    reason: str = ""


class ParameterClient(Protocol):
    """Calls the parameter services of one node and waits for their answers.

    Every method raises `GainPortError`, `OSError` or `TimeoutError` when the node does not answer in time.
    """

    def set_parameters_atomically(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """`SetParametersAtomically`: all values or none."""
        ...

    def set_parameters(self, parameters: Sequence[RosParameter]) -> Sequence[SetParametersResult]:
        """`SetParameters`: one by one, an answer each; those before a refused one stay set."""
        ...

    def get_parameters(self, names: Sequence[str]) -> Sequence[float | None]:
        """`GetParameters`: values in order; None for one that is not set or no number."""
        ...


class RosParameterPort:
    """Writes gains as parameters of a node.

    Args:
        client: of the node that holds them.
        parameters: the node's name of every gain, such as `{"stance.kp": "gains.stance.kp"}`.
        atomic: with `set_parameters_atomically`; else one by one, for nodes that know no other way.
    """

    def __init__(self, client: ParameterClient, parameters: Mapping[str, str], atomic: bool = True) -> None:
        self._client, self._parameters, self._atomic = client, dict(parameters), atomic

    @property
    def restarts(self) -> bool:
        """Writing starts nothing anew."""
        return False

    def write(self, gains: Mapping[str, float]) -> None:
        """Set all parameters.

        Raises:
            GainPortError: the node refused one, or does not answer.
        """
        asked = [RosParameter(self._parameters[name], value) for name, value in gains.items()]
        try:
            if self._atomic:
                results: Sequence[SetParametersResult] = [self._client.set_parameters_atomically(asked)]
            else:
                results = self._client.set_parameters(asked)
        except OSError as error:  # a timeout is one too
            raise GainPortError(f"parameters: the node does not answer ({error})") from error
        if not self._atomic and len(results) != len(asked):
            raise GainPortError(f"parameters: {len(asked)} were set, {len(results)} answers came")
        for parameter, result in zip(asked, results, strict=False):
            if not result.successful:
                what = "" if self._atomic else f" {parameter.name} = {parameter.value!r}"
                raise GainPortError(
                    f"parameters: the node refuses{what}: {result.reason or 'no reason given'}"
                )

    def read(self) -> dict[str, float]:
        """All parameters.

        Raises:
            GainPortError: one is not set, or the node does not answer.
        """
        names = list(self._parameters.values())
        try:
            values = self._client.get_parameters(names)
        except OSError as error:
            raise GainPortError(f"parameters: the node does not answer ({error})") from error
        if len(values) != len(names):
            raise GainPortError(f"parameters: {len(names)} were asked for, {len(values)} came")
        out: dict[str, float] = {}
        for (gain, name), value in zip(self._parameters.items(), values, strict=True):
            if value is None:
                raise GainPortError(f"parameters: {name} is not set in the node, or no number")
            out[gain] = value
        return out
