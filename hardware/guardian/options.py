"""What `safebo-guardian` is told: its options, and what stands in the files that they name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from safebo.hardware.adapters.relay import read_controller
from safebo.hardware.constants import PORT, ROBOT_TIMEOUT_S
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.bounds import ControllerGains, quadruped_table
from safebo.hardware.guardian.limits import Limit
from safebo.hardware.guardian.thresholds import read_limits
from safebo.hardware.link.key import key_at
from safebo.hardware.link.udp import LOOPBACK
from safebo.robots.controllers.controller_file import ControllerFile
from safebo.robots.quadruped.gains import Gains
from safebo.text.command import say_if_heard


class ControllerKind(StrEnum):
    """What walks."""

    BUILT_IN = "built-in"
    RELAY = "relay"


@dataclass(frozen=True)
class GuardianOptions:
    """What both robots' commands have in common, as given."""

    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST", help="Address on which tuners are heard; another one than loopback is a choice."
        ),
    ] = LOOPBACK
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="UDP port on which tuners are heard; 0 takes a free one.")
    ] = PORT
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key shared with the tuner. [default: ~/.config/safebo/link.key, made if missing]",
        ),
    ] = None
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Gains to which every trouble falls back (`gains: {name: value}`). [default: the controller's]",
        ),
    ] = None
    limits: Annotated[
        Path | None,
        typer.Option(
            "--limits",
            metavar="FILE",
            help="Thresholds of your own (`tilt: 0.4`, ...); see `safebo-guardian limits`.",
        ),
    ] = None
    tighten: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One tighter threshold; may be repeated."),
    ] = None
    loosen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A looser threshold of the limit that is named, knowingly, and kept in the log; may be repeated.",
        ),
    ] = None
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Everything that happens, a JSON object per line, appended."),
    ] = None
    physical: Annotated[
        bool, typer.Option("--physical", help="There is a physical robot. Without it only loopback is used.")
    ] = False
    patience: Annotated[
        float, typer.Option(min=1.0, help="Seconds that the robot gets to answer at the start.")
    ] = ROBOT_TIMEOUT_S
    controller: Annotated[
        ControllerKind,
        typer.Option(help="What walks: the built-in controller, or one of your own in a process of its own."),
    ] = ControllerKind.BUILT_IN
    controller_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="How your own controller is attached (YAML); see docs/adapters.md."
        ),
    ] = None
    adaptive_contact: Annotated[
        bool,
        typer.Option(
            "--adaptive-contact",
            help="Feet stand when they are felt to touch, not by the clock alone; of the built-in controller, for "
            "studies with adaptive_contact: true.",
        ),
    ] = False

    core: Annotated[
        int | None,
        typer.Option(min=0, help="Core of the control loop. [default: an isolated one, else the last]"),
    ] = None
    own_clock: Annotated[
        bool,
        typer.Option(
            "--own-clock",
            help="Tick on this machine's clock in real time, as for a physical robot, though it is a virtual one.",
        ),
    ] = False
    accept_jitter: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Guard a physical robot although ticks come late here; why, in a sentence, for the log.",
        ),
    ] = None

    @property
    def on_own_clock(self) -> bool:
        """Whether ticks follow this machine's clock; a virtual robot's may run slow."""
        return self.physical or self.own_clock

    def read(self) -> GuardianSettings:
        """Read the files.

        Raises:
            HardwareInputError: which file and what in it is wrong.
        """
        if self.core is not None and not self.on_own_clock:
            raise HardwareInputError(
                "--core goes with --physical or --own-clock: a virtual robot's clock waits"
            )
        adaptive = self.adaptive_contact
        if adaptive and self.controller is not ControllerKind.BUILT_IN:
            raise HardwareInputError("--adaptive-contact is for the built-in controller")
        own = read_own(self.controller, self.controller_file, self.baseline)
        table = read_table(self.baseline, adaptive) if own is None else ControllerGains.of(own.table)
        limits = read_limits(self.limits, self.tighten or (), self.loosen or ())
        return GuardianSettings(self, key_at(self.key, say_if_heard), table, limits, own)


@dataclass(frozen=True)
class GuardianSettings:
    """The options, and what stands in the files that they name."""

    options: GuardianOptions
    key: bytes
    table: ControllerGains
    limits: tuple[Limit, ...]
    controller: ControllerFile | None


def read_own(kind: ControllerKind, path: Path | None, baseline: Path | None) -> ControllerFile | None:
    """How the user's own controller is attached; None for the built-in one."""
    if kind is ControllerKind.BUILT_IN:
        if path is not None:
            raise HardwareInputError("--controller-file goes with --controller relay")
        return None
    if path is None:
        raise HardwareInputError("--controller relay needs --controller-file FILE; see docs/adapters.md")
    if baseline is not None:
        raise HardwareInputError(f"--baseline: the baseline gains of your own controller are in {path}")
    return read_controller(path)


def read_table(path: Path | None, adaptive_contact: bool = False) -> ControllerGains:
    """The gains with their baseline."""
    if path is None:
        return quadruped_table(adaptive_contact=adaptive_contact)
    try:
        gains = Gains.load(path)
    except ValueError as error:  # names the file itself
        raise HardwareInputError(str(error)) from None
    try:
        return quadruped_table(gains.changed(), adaptive_contact)
    except ValueError as error:
        raise HardwareInputError(f"{path}: {error}") from None
