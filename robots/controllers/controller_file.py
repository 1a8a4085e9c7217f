"""The file in which a team says how its controller is attached: where it listens, its gains, how they get in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safebo.errors import FileError
from safebo.files.reading import read_file
from safebo.robots.controllers.datagrams import LOOPBACK
from safebo.robots.controllers.gains_text import TextFormat
from safebo.robots.controllers.numbers import (
    MAX_ANSWER_BUDGET_S,
    MIN_ANSWER_BUDGET_S,
    PROOF_TIMEOUT_S,
    RESTART_TIMEOUT_S,
)
from safebo.robots.controllers.protocol import ControllerInputError, table_of
from safebo.robots.controllers.ros_node import NodeSettings, RosNodePortSettings, node_settings
from safebo.robots.controllers.sections import Section
from safebo.robots.quadruped.gains import Gain, GainTable

PLACES = ("port", "gains", "robot")
"""What `{port}`, `{gains}` and `{robot}` in a start command stand for: where to listen, the gains file, the robot."""


@dataclass(frozen=True)
class FilePortSettings:
    """See `safebo.robots.controllers.file_and_restart.FileAndRestartPort`; `restart` is empty with a start command.

    Args:
        watched: the controller reads the file again when it changes, so nothing is restarted.
    """

    file: Path
    format: TextFormat
    restart: tuple[str, ...]
    patience: float
    watched: bool = False


@dataclass(frozen=True)
class ParameterPortSettings:
    """See `safebo.robots.controllers.ros_parameters.RosParameterPort`.

    Args:
        client: Python file and function in it; called with the node's name, it gives a `ParameterClient`.
        node: name of the node.
        atomic: whether all are set at once.
    """

    client: tuple[Path, str]
    node: str
    atomic: bool


PortSettings = FilePortSettings | ParameterPortSettings | RosNodePortSettings


@dataclass(frozen=True)
class ControllerFile:
    """What the file says.

    Args:
        path: of the file itself.
        name: of the controller, for people.
        port: UDP port on the loopback interface where it hears states.
        switches: it changes to baseline gains within a tick.
        start: program and arguments that start it, with `{port}`, `{gains}` and `{robot}` in them; empty where it is
            started by others.
        budget: seconds that a tick of a physical robot waits for its own answer; None: half a period.
        proof: seconds that the controller gets to answer with gains once they are written.
        table: its gains.
        names: what the gain port calls each.
        gain_port: how they get in.
        node: the node of ROS 2 that it is; None for any other.
    """

    path: Path
    name: str
    port: int
    switches: bool
    start: tuple[str, ...]
    budget: float | None
    proof: float
    table: GainTable
    names: Mapping[str, str]
    gain_port: PortSettings
    node: NodeSettings | None = None


def read_controller_file(path: Path) -> ControllerFile:
    """Read it.

    Raises:
        ControllerInputError: file, key, value, and what is allowed.
    """
    try:
        content = read_file(path)
    except FileError as error:
        raise ControllerInputError(str(error)) from None
    whole = Section(path, "", content)
    if "policy" in whole.data:
        raise ControllerInputError(
            f"{path}: describes a learned policy; `safebo robots adapter {path} --out FILE.yaml` writes the file of a "
            "process that walks with it"
        )
    controller = whole.section("controller")
    name, port = controller.text("name"), _loopback_port(controller)
    switches = controller.flag("switches_within_a_tick", False)
    start = controller.texts("start") if "start" in controller.data else ()
    budget = (
        controller.number("budget", MIN_ANSWER_BUDGET_S, MAX_ANSWER_BUDGET_S)
        if "budget" in controller.data
        else None
    )
    proof = controller.number("proof", 0.01, 60.0, PROOF_TIMEOUT_S)
    controller.over()
    table = _table(whole.section("gains"))
    names, gain_port = _gain_port(whole.section("gain_port"), table, bool(start))
    _check_places(controller, start, gain_port)
    node = None
    if isinstance(gain_port, RosNodePortSettings):
        node = node_settings(whole.section("ros2"))
        _check_node(controller, start, switches)
    whole.over()
    return ControllerFile(path, name, port, switches, start, budget, proof, table, names, gain_port, node)


def _check_node(section: Section, start: tuple[str, ...], switches: bool) -> None:
    """Refuse what a node cannot do."""
    if start:
        raise section.error(
            "start", "is left out with gain_port.kind ros2: the node is started by you, its relay by safebo"
        )
    if switches:
        raise section.error(
            "switches_within_a_tick", "true is not allowed with gain_port.kind ros2: parameters take longer"
        )


def _loopback_port(section: Section) -> int:
    address = section.text("address")
    host, _, port = address.rpartition(":")
    if host not in (LOOPBACK, "localhost") or not port.isdigit() or not 0 < int(port) < 65536:
        section.refuse(
            "address", address, f"{LOOPBACK}:PORT: commands for motors travel inside one machine only"
        )
    return int(port)


def _check_places(section: Section, start: tuple[str, ...], port: PortSettings) -> None:
    """Refuse a start command with other places than there are, or without a port."""
    for word in start:
        for place in re.findall(r"\{(\w*)\}", word):
            if place not in PLACES:
                section.refuse("start", word, ", ".join(f"{{{known}}}" for known in PLACES))
    whole = " ".join(start)
    if start and "{port}" not in whole:
        raise section.error(
            "start", "needs the word {port}: every worker's controller listens on a port of its own"
        )
    if start and isinstance(port, FilePortSettings) and "{gains}" not in whole:
        raise section.error(
            "start", "needs the word {gains}: every worker's controller has a gains file of its own"
        )


def _table(section: Section) -> GainTable:
    if not section.data:
        raise section.error("", "expected one gain at least")
    rows: list[Gain] = []
    for name in list(section.data):
        gain = section.section(name)
        unit = gain.text("unit", empty=True)
        lower, upper = gain.number("lower"), gain.number("upper")
        if not lower <= upper:
            raise gain.error("upper", f"{upper:g} is below lower, {lower:g}")
        baseline = gain.number("baseline", lower, upper)
        gain_text = gain.text("description", "", empty=True)
        gain.over()
        rows.append(Gain(name, unit, baseline, lower, upper, gain_text))
    return table_of(rows, str(section.path))


def _gain_port(section: Section, table: GainTable, started: bool) -> tuple[dict[str, str], PortSettings]:
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
    settings: PortSettings
    if kind in ("file", "file-and-restart"):
        form = section.text("format", default=TextFormat.YAML)
        if form not in list(TextFormat):
            section.refuse("format", form, " or ".join(TextFormat))
        if started and "restart" in section.data:
            raise section.error("restart", "is left out with controller.start, which starts it anew")
        watched = kind == "file"
        restart = () if started or watched else section.texts("restart")
        patience = section.number("patience", 0.1, 120.0, RESTART_TIMEOUT_S)
        settings = FilePortSettings(
            folder / section.text("file"), TextFormat(form), restart, patience, watched
        )
    elif kind == "ros-parameters":
        client = section.text("client")
        file, _, function = client.rpartition(":")
        if not file or not function.isidentifier():
            section.refuse("client", client, "FILE.py:FUNCTION")
        settings = ParameterPortSettings(
            (folder / file, function), section.text("node"), section.flag("atomic", True)
        )
    elif kind == "ros2":
        settings = RosNodePortSettings(section.flag("atomic", True))
    else:
        section.refuse("kind", kind, "file, file-and-restart, ros2 or ros-parameters")
    section.over()
    return names, settings
