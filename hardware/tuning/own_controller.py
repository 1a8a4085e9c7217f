"""Studies that tune a user's own controller: its gains take the place of the built-in controller's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebo.hardware.adapters.controller_file import ControllerFile, read_controller_file
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.types import ParameterInfo

OPTION = "controller_file"
"""The option of an evaluator that names the file; the guardian has to be started with the same one."""


def controller_of(options: Mapping[str, Any]) -> tuple[ControllerFile | None, dict[str, Any]]:
    """The user's controller, None without one, and the options that are left.

    Raises:
        HardwareInputError: the option is no path, or the file is bad.
    """
    rest = dict(options)
    path = rest.pop(OPTION, None)
    if path is None:
        return None, rest
    if not isinstance(path, str) or not path:
        raise HardwareInputError(f"{OPTION}: expected the path of a YAML file, got {path!r}")
    if "gains" in rest:
        raise HardwareInputError(f"gains: the gains of your own controller begin at the baseline in {path}")
    return read_controller_file(Path(path).expanduser()), rest


def parameters_of(table: ControllerGains) -> tuple[ParameterInfo, ...]:
    """What a study may tune: every gain, within its hard bounds."""
    rows = zip(table.names, table.units, table.baseline, table.lower, table.upper, strict=True)
    return tuple(ParameterInfo(*row) for row in rows)


def full_set(table: ControllerGains, parameters: Mapping[str, float]) -> tuple[float, ...]:
    """All gains in table order: the parameters, and baseline for what is not tuned.

    Raises:
        HardwareInputError: a parameter that is no gain.
    """
    unknown = sorted(set(parameters) - set(table.names))
    if unknown:
        raise HardwareInputError(f"{unknown[0]!r} is no gain of this controller: {', '.join(table.names)}")
    return tuple(parameters.get(n, b) for n, b in zip(table.names, table.baseline, strict=True))
