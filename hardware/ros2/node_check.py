"""What a controller file says of a node's gains beside what the node says of them."""

from __future__ import annotations

from safebo.hardware.ros2.gain_parameters import GainParameters
from safebo.robots.controllers.controller_file import ControllerFile


def compared(file: ControllerFile, client: GainParameters) -> tuple[list[str], list[str]]:
    """A line for each gain, and what is wrong.

    Raises:
        GainPortError: the node is not there, or has no such parameter.
    """
    names = [file.names[gain.name] for gain in file.table]
    described, values = client.describe(names), client.get_parameters(names)
    rows, wrong = [], []
    for gain, name, value in zip(file.table, names, values, strict=True):
        each = described[name]
        row = f"{gain.name}: {name}, {each.type.name.lower()}, is {value}"
        if value is None:
            wrong.append(f"{name}: has no value")
        if each.lower is not None and each.upper is not None:
            allowed = f"{each.lower:g} .. {each.upper:g}"
            row += f", allowed {allowed}"
            if gain.lower < each.lower or each.upper < gain.upper:
                asked = f"{gain.lower:g} .. {gain.upper:g}"
                wrong.append(f"{name}: the node allows {allowed}, {file.path} asks for {asked}")
        rows.append(row)
    return rows, wrong
