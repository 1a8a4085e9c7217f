"""The file in which a team says how its controller is attached: where it listens, its gains, how they get in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safebo.hardware.adapters.gains_text import TextFormat
from safebo.hardware.adapters.sections import Section
from safebo.hardware.constants import (
    MAX_ANSWER_BUDGET_S,
    MAX_GAINS,
    MIN_ANSWER_BUDGET_S,
    PROOF_TIMEOUT_S,
    RESTART_TIMEOUT_S,
)
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.link.udp import LOOPBACK
from safebo.hardware.yaml_file import read_yaml


@dataclass(frozen=True)
class FilePortSettings:
    """See `safebo.hardware.adapters.file_and_restart.FileAndRestartPort`."""

    file: Path
    format: TextFormat
    restart: tuple[str, ...]
    patience: float


@dataclass(frozen=True)
class ParameterPortSettings:
    """See `safebo.hardware.adapters.ros_parameters.RosParameterPort`.

    Args:
        client: Python file and function in it; called with the node's name, it gives a `ParameterClient`.
        node: name of the node.
        atomic: whether all are set at once.
    """

    client: tuple[Path, str]
    node: str
    atomic: bool


@dataclass(frozen=True)
class ControllerFile:
    """What the file says.

    Args:
        path: of the file itself.
        name: of the controller, for people.
        port: UDP port on the loopback interface where it hears states.
        switches: it changes to baseline gains within a tick.
        budget: seconds that a tick of a physical robot waits for its own answer; None: half a period.
        proof: seconds that the controller gets to answer with gains once they are written.
        table: its gains.
        names: what the gain port calls each.
        gain_port: how they get in.
    """

    path: Path
    name: str
    port: int
    switches: bool
    budget: float | None
    proof: float
    table: ControllerGains
    names: Mapping[str, str]
    gain_port: FilePortSettings | ParameterPortSettings


def read_controller_file(path: Path) -> ControllerFile:
    """Read it.

    Raises:
        HardwareInputError: file, key, value, and what is allowed.
    """
    whole = Section(path, "", read_yaml(path))
    controller = whole.section("controller")
    name, port = controller.text("name"), _loopback_port(controller)
    switches = controller.flag("switches_within_a_tick", False)
    budget = (
        controller.number("budget", MIN_ANSWER_BUDGET_S, MAX_ANSWER_BUDGET_S)
        if "budget" in controller.data
        else None
    )
    proof = controller.number("proof", 0.01, 60.0, PROOF_TIMEOUT_S)
    controller.over()
    table = _table(whole.section("gains"))
    names, gain_port = _gain_port(whole.section("gain_port"), table)
    whole.over()
    return ControllerFile(path, name, port, switches, budget, proof, table, names, gain_port)


def _loopback_port(section: Section) -> int:
    address = section.text("address")
    host, _, port = address.rpartition(":")
    if host not in (LOOPBACK, "localhost") or not port.isdigit() or not 0 < int(port) < 65536:
        section.refuse(
            "address", address, f"{LOOPBACK}:PORT: commands for motors travel inside one machine only"
        )
    return int(port)


def _table(section: Section) -> ControllerGains:
    if not 1 <= len(section.data) <= MAX_GAINS:
        raise section.error("", f"expected 1 to {MAX_GAINS} gains, got {len(section.data)}")
    rows: list[tuple[str, str, float, float, float]] = []
    for name in list(section.data):
        gain = section.section(name)
        unit = gain.text("unit", empty=True)
        lower, upper = gain.number("lower"), gain.number("upper")
        if not lower <= upper:
            raise gain.error("upper", f"{upper:g} is below lower, {lower:g}")
        baseline = gain.number("baseline", lower, upper)
        gain.over()
        rows.append((name, unit, lower, upper, baseline))
    names, units, lowers, uppers, baselines = zip(*rows, strict=True)
    try:
        return ControllerGains(names, units, lowers, uppers, baselines)
    except ValueError as error:
        raise section.error("", str(error)) from None


def _gain_port(
    section: Section, table: ControllerGains
) -> tuple[dict[str, str], FilePortSettings | ParameterPortSettings]:
    kind = section.text("kind")
    prefix = section.text("prefix", default="", empty=True)
    names = {name: prefix + name for name in table.names}
    if "names" in section.data:
        own = section.section("names")
        for name in list(own.data):
            if name not in names:
                raise own.error(name, f"there is no such gain; known are {', '.join(table.names)}")
            names[name] = own.text(name)
    if len(set(names.values())) < len(names):
        raise section.error("names", "two gains have the same name there")
    folder = section.path.parent
    settings: FilePortSettings | ParameterPortSettings
    if kind == "file-and-restart":
        form = section.text("format", default=TextFormat.YAML)
        if form not in list(TextFormat):
            section.refuse("format", form, " or ".join(TextFormat))
        restart = section.texts("restart")
        patience = section.number("patience", 0.1, 120.0, RESTART_TIMEOUT_S)
        settings = FilePortSettings(folder / section.text("file"), TextFormat(form), restart, patience)
    elif kind == "ros-parameters":
        client = section.text("client")
        file, _, function = client.rpartition(":")
        if not file or not function.isidentifier():
            section.refuse("client", client, "FILE.py:FUNCTION")
        settings = ParameterPortSettings(
            (folder / file, function), section.text("node"), section.flag("atomic", True)
        )
    else:
        section.refuse("kind", kind, "file-and-restart or ros-parameters")
    section.over()
    return names, settings
