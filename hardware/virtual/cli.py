"""`safebo-virtual-robot`: a Go1 or Go2 in MuJoCo that speaks the vendor's own protocol, on this machine only."""

from __future__ import annotations

import re
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from safebo.hardware.command_options import with_options
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.robot_lock import RobotLock
from safebo.hardware.unitree.services import MotionService
from safebo.hardware.virtual.faults import KINDS, MARKS, read_faults
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.machine import BodyLog, VirtualRobot, live
from safebo.hardware.virtual.pace import LOCK_STEP_PATIENCE, PATIENCE, SpeedWatch, VirtualPace
from safebo.hardware.virtual.plant import PERIOD, VirtualPlant
from safebo.hardware.virtual.state_encoder import DEFAULT_SERIAL
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.named_disturbance import HELP as DISTURBANCE_HELP
from safebo.robots.simulation.named_disturbance import named_disturbance
from safebo.text.command import program, run_command, say, say_if_heard

app = program()


@app.callback()
def about() -> None:
    """A quadruped in MuJoCo behind exactly its vendor's low-level protocol, in a process of its own.

    It lies on its belly until somebody commands it. It runs in real time; where the machine cannot keep up, its clock
    runs slow and it says so. It lives on a loopback interface and nowhere else.

    - safebo-virtual-robot go2

    - safebo-virtual-robot go2 --disturbance paper --faults faults.yaml --log body.jsonl

    - safebo-virtual-robot go1 --port 8007

    Ctrl-C ends it. Exit codes: 0 ended as asked; 1 it failed; 2 bad input.
    """


SERIAL_TEXT = f"{DEFAULT_SERIAL[0]}-{DEFAULT_SERIAL[1]}"


@dataclass(frozen=True)
class VirtualRobotOptions:
    """What both robots' commands have in common, as given."""

    lock_step: Annotated[
        bool,
        typer.Option(
            "--lock-step", help="While somebody commands: a tick for every command, as fast as they come."
        ),
    ] = False
    disturbance: Annotated[
        str,
        typer.Option("--disturbance", metavar="NAME|FIELDS|FILE", help=DISTURBANCE_HELP),
    ] = "nominal"
    seed: Annotated[int, typer.Option(min=0, help="Of the sensors' noise.")] = 0
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What goes wrong and when (YAML); see `faults`.")
    ] = None
    patience: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Wall seconds that a tick waits for a fresh command while somebody commands. 0 for a program that "
            f"commands more rarely than each 2 ms. [default: {PATIENCE:g}, in lock-step {LOCK_STEP_PATIENCE:g}]",
        ),
    ] = None
    serial: Annotated[str, typer.Option(metavar="N-N", help="Serial number: two numbers below 2^32.")] = (
        SERIAL_TEXT
    )
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the body really did: a JSON object per 0.1 s, appended."),
    ] = None

    def read(self, robot: RobotModel) -> VirtualRobotSettings:
        """Check the options, for that robot.

        Raises:
            HardwareInputError: a disturbance or a serial number that is none.
        """
        try:
            gap = named_disturbance(self.disturbance, robot.size)
        except ValueError as error:
            raise HardwareInputError(str(error)) from None
        match = re.fullmatch(r"(\d{1,10})-(\d{1,10})", self.serial)
        numbers = tuple(int(part) for part in match.groups()) if match else ()
        if len(numbers) != 2 or max(numbers) > 0xFFFFFFFF:
            raise HardwareInputError(
                f"--serial {self.serial!r}: expected two numbers below 2^32, such as {SERIAL_TEXT}"
            )
        default = LOCK_STEP_PATIENCE if self.lock_step else PATIENCE
        patience = default if self.patience is None else self.patience
        return VirtualRobotSettings(self, gap, patience, (numbers[0], numbers[1]))

    def injector(self, head: int, cell_scale: float) -> Injector:
        """The faults that were asked for."""
        found, seed = ((), 0) if self.faults is None else read_faults(self.faults)
        return Injector(found, seed, head, cell_scale)


@dataclass(frozen=True)
class VirtualRobotSettings:
    """The options, and what they mean."""

    options: VirtualRobotOptions
    disturbance: Disturbance
    patience: float
    serial: tuple[int, int]


@app.command()
@with_options(VirtualRobotOptions)
def go2(
    options: VirtualRobotOptions,
    interface: Annotated[str, typer.Option(help="Loopback interface.")] = "lo",
    domain: Annotated[int, typer.Option(min=0, max=230, help="DDS domain.")] = 1,
    motion_service: Annotated[
        str, typer.Option(metavar="NAME|off", help="The motion service that holds the joints at the start.")
    ] = "mcf",
    motion_state_always: Annotated[
        bool,
        typer.Option(
            "--motion-state-always",
            help="Publish `rt/sportmodestate` without a motion service too, as the vendor's simulator does.",
        ),
    ] = False,
) -> None:
    """A Unitree Go2: DDS topics `rt/lowcmd`, `rt/lowstate` and the services `motion_switcher` and `sport`."""
    model = load_robot("go2")
    settings = options.read(model)
    from safebo.hardware.unitree.dds import DdsNetwork, check_version, dds_version
    from safebo.hardware.virtual.go2 import CELL_SCALE, VirtualGo2

    network = DdsNetwork(interface, domain)
    network.check()
    check_version(False, dds_version())
    injector = options.injector(head=4, cell_scale=CELL_SCALE)
    name = "" if motion_service == "off" else motion_service
    service = MotionService(name)
    plant = VirtualPlant(
        model,
        settings.disturbance,
        options.seed,
        service,
        background=bool(name) and not options.lock_step,
        say=say_if_heard,
    )
    with closing(RobotLock("virtual robot", f"DDS domain {domain} on {interface!r}")):
        robot = VirtualGo2(network, plant, injector, settings.serial, motion_state_always)
        run(robot, settings, f"a virtual Go2 on interface {interface}, DDS domain {domain}")


@app.command()
@with_options(VirtualRobotOptions)
def go1(
    options: VirtualRobotOptions,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="UDP port on 127.0.0.1; 0 takes a free one.")
    ] = 8007,
    checksum: Annotated[
        Literal["sealed", "plain"],
        typer.Option(
            help="Form of the checksum of commands and states; the vendor's library 3.8 speaks `plain`."
        ),
    ] = "sealed",
) -> None:
    """A Unitree Go1: UDP packets, a state for every command."""
    model = load_robot("go1")
    settings = options.read(model)
    from safebo.hardware.unitree.go1_messages import CELL_SCALE
    from safebo.hardware.virtual.go1 import IDLE_DAMPING, VirtualGo1

    injector = options.injector(head=0, cell_scale=CELL_SCALE)
    plant = VirtualPlant(model, settings.disturbance, options.seed, idle_damping=IDLE_DAMPING)
    robot = VirtualGo1(port, plant, injector, settings.serial, checksum)
    run(robot, settings, f"a virtual Go1 on 127.0.0.1:{robot.port}")


@app.command("faults")
def list_faults() -> None:
    """List every kind of fault for `--faults FILE`: how long it lasts unless said, what it does (value unless said)."""
    say(
        "each entry: {kind, at: s, for: s, from: "
        + " | ".join(MARKS)
        + ", value}; `from` is `command` unless said"
    )
    for name, kind in KINDS.items():
        say(f"{name:18s} {kind.lasting:12s} {kind.description}")


def run(robot: VirtualRobot, settings: VirtualRobotSettings, where: str) -> None:
    """Let the robot live until a signal."""
    asked = [False]

    def ask(*_: object) -> None:
        asked[0] = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
    log = BodyLog(settings.options.log)
    pace = VirtualPace(PERIOD, settings.patience, settings.options.lock_step)
    try:
        say_if_heard(f"ready: {where}, serial {settings.serial[0]}-{settings.serial[1]}")
        speed = SpeedWatch(say_if_heard, quiet=settings.options.lock_step)
        live(robot, pace, speed, log, say_if_heard, lambda: asked[0])
    finally:
        log.close()
        robot.close()
    plant = robot.plant
    say_if_heard(
        f"ended: {plant.time:.1f} s of robot time at {speed.factor(plant.time):.2f} of real time, {plant.commands} "
        f"commands, {robot.damaged} damaged, {pace.missed} ticks without a fresh one"
    )


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command; ends the process with its exit code."""
    run_command(app, arguments, HardwareError)
