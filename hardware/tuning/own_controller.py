"""Studies that tune a user's own controller: its gains take the place of the built-in controller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.robots.controllers.finding import WHOLE_BODY, chosen_controller, table_for
from safebo.types import ParameterInfo


@dataclass(frozen=True)
class OwnGains:
    """The gains of a study's own controller.

    Args:
        table: names, units, hard bounds; the defaults where the study says nothing.
        study: what its `gains` says: gains that are not tuned.
    """

    table: ControllerGains
    study: Mapping[str, float]

    def full(self, parameters: Mapping[str, float]) -> tuple[float, ...]:
        """All gains in table order: the parameters, over the study's, over the defaults.

        Raises:
            HardwareInputError: one that is no gain of the controller.
        """
        given = {**self.study, **parameters}
        unknown = sorted(set(given) - set(self.table.names))
        if unknown:
            known = ", ".join(self.table.names)
            raise HardwareInputError(f"{unknown[0]!r} is no gain of this controller: {known}")
        rows = zip(self.table.names, self.table.baseline, strict=True)
        return tuple(float(given.get(name, baseline)) for name, baseline in rows)

    @property
    def parameters(self) -> tuple[ParameterInfo, ...]:
        """What a study may tune: every gain, within its hard bounds."""
        t = self.table
        rows = zip(t.names, t.units, self.full({}), t.lower, t.upper, strict=True)
        return tuple(ParameterInfo(*row) for row in rows)


def controller_of(options: Mapping[str, Any]) -> tuple[OwnGains | None, dict[str, Any]]:
    """The gains of the user's controller, None without one, and the options that are left.

    The guardian has to be started with the same controller: its table of gains is compared before the first trial, and
    its own bounds count.

    Raises:
        HardwareInputError: the option names no controller, or its file or class is bad.
    """
    try:
        name, rest = chosen_controller(options)
        if name == WHOLE_BODY:
            return None, rest
        gains = rest.pop("gains", {})
        table = table_for(name)
        if not isinstance(gains, Mapping):
            raise HardwareInputError(f"gains must be a mapping of names to numbers, got {gains!r}")
        own = OwnGains(ControllerGains.of(table), {n: table.checked(n, value) for n, value in gains.items()})
    except HardwareInputError:
        raise
    except ValueError as error:
        raise HardwareInputError(str(error)) from None
    return own, rest
