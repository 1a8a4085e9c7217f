"""`safebo-guardian`: the process beside the robot that owns the right to command it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from safebo.hardware.command_options import with_options
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.guarding import guard, prepare_real_time, ready_controller, real_time_on
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.options import GuardianOptions
from safebo.hardware.guardian.real_time import follow
from safebo.hardware.guardian.thresholds import allowed
from safebo.hardware.guardian.tick_check import busy_processes, measure_ticks, stolen_s, verdict
from safebo.hardware.link.key import fingerprint
from safebo.hardware.link.udp import LOOPBACK
from safebo.hardware.robot_lock import RobotLock
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.text.command import program, run_command, say

app = program()


@app.callback()
def about() -> None:
    """The guardian runs beside a quadruped and alone commands its joints.

    It walks the robot with the gains that a tuner sends, inside hard bounds of its own; it checks its limits 500
    times a second, and answers trouble by baseline gains, by standing down, or by joint damping, whatever else
    still lives. A tuner speaks to it over the network: `safebo tune STUDY --robot HOST:PORT`.

    A first run, with a virtual robot, in three terminals:

    - safebo-virtual-robot go2

    - safebo-guardian go2

    - safebo tune go2-trot --robot 127.0.0.1:4750

    **Its stop is a software stop.** The emergency stop is the robot's own remote (L2+B on a Go2) or power switch,
    in the hand of a person beside the robot.

    Ctrl-C once, SIGTERM, or its terminal closed: the robot stands down, whatever a tuner does, and the process ends
    once it is seen at rest. Twice: joint damping at once.

    Exit codes: 0 ended as asked, the robot seen at rest; 1 the robot did not answer, the loop failed, or the robot was
    not seen to come to rest; 2 bad input.
    """


@app.command()
@with_options(GuardianOptions)
def go2(
    options: GuardianOptions,
    interface: Annotated[str, typer.Option(help="Network interface on which the robot is.")] = "lo",
    domain: Annotated[
        int | None, typer.Option(help="DDS domain. [default: 1, and 0 for a physical robot]")
    ] = None,
) -> None:
    """Guard a Unitree Go2 on its low-level topics (`rt/lowcmd`, `rt/lowstate`)."""
    settings, physical = options.read(), options.physical
    from safebo.hardware.unitree.dds import DdsNetwork
    from safebo.hardware.unitree.go2_link import Go2Link

    chosen = domain if domain is not None else (0 if physical else 1)
    network = DdsNetwork(interface, chosen, physical)
    network.check()
    with closing(RobotLock("guardian", f"go2 in DDS domain {chosen} on {interface!r}")):
        robot = load_robot("go2")
        walking = ready_controller(robot, settings)
        real_time = prepare_real_time(robot, settings.options)
        about = f"safebo-guardian go2 for tuners at {options.listen}:{options.port}"
        link = Go2Link(network, robot.joint_names, about=about)
        guard(link, robot, walking, settings, real_time, f"interface {interface}, domain {chosen}")


@app.command()
@with_options(GuardianOptions)
def go1(
    options: GuardianOptions,
    address: Annotated[
        str | None, typer.Option(help="The robot. [default: 127.0.0.1, or 192.168.123.10]")
    ] = None,
    robot_port: Annotated[int, typer.Option(help="UDP port of its low-level interface.")] = 8007,
    checksum: Annotated[
        Literal["sealed", "plain"],
        typer.Option(
            help="Form of the checksum of commands and states; firmware from 0.1.35 on has `plain`."
        ),
    ] = "sealed",
    state_checksum: Annotated[
        Literal["sealed", "plain", "ignored"] | None,
        typer.Option(help="Of states, where it is another one; `ignored` takes any. [default: as commands]"),
    ] = None,
) -> None:
    """Guard a Unitree Go1 on its low-level UDP packets."""
    settings, physical = options.read(), options.physical
    from safebo.hardware.unitree.go1_link import Go1Link
    from safebo.hardware.unitree.go1_udp import ROBOT_ADDRESS, Go1Network

    chosen = address or (ROBOT_ADDRESS if physical else LOOPBACK)
    network = Go1Network(chosen, robot_port, 0, physical)
    network.check()
    with closing(RobotLock("guardian", f"go1 at {chosen}:{robot_port}")):
        robot = load_robot("go1")
        walking = ready_controller(robot, settings)
        real_time = prepare_real_time(robot, settings.options)
        link = Go1Link(network, robot.joint_names, crc=checksum, state_crc=state_checksum)
        guard(link, robot, walking, settings, real_time, f"{chosen}:{robot_port}")


@app.command("limits")
def list_limits() -> None:
    """List every limit: threshold, unit, for how long, response, where it counts, and what may be set instead."""
    for limit in LIMITS:
        side = "below" if limit.below else "above"
        lasting = f"for {limit.seconds:g} s" if limit.seconds else "at once"
        say(
            f"{limit.name:18s} {side} {limit.threshold:<6g} {limit.unit:10s} {lasting:12s} {limit.response.name:7s}"
            f" {limit.scope.value:10s} {limit.message} ({allowed(limit)})"
        )


@app.command()
def check(
    seconds: Annotated[float, typer.Option(min=1.0, help="How long ticks are measured.")] = 60.0,
    load: Annotated[
        int, typer.Option(min=0, help="Start so many programs beside it that want a core all the time.")
    ] = 0,
    robot: Annotated[str, typer.Option(help="Whose controller runs: go1, go2, or a robot file.")] = "go2",
    core: Annotated[int | None, typer.Option(min=0, help="Core of the control loop.")] = None,
) -> None:
    """Measure how punctual ticks are on this machine, without a robot: is it fit to guard a physical one?

    Runs all that a guardian does in a walk (sensors, states, monitor, controller, link) 500 times a second, and prints
    a histogram of the times from one tick to the next and the causes of late ones. Exit codes: 0 fit for `--physical`;
    1 not; 2 bad input.
    """
    model = known_robot(robot)
    with busy_processes(load), ThreadPoolExecutor(1, initializer=follow) as executor:
        real_time = real_time_on(core)
        for grant in real_time.grants:
            say(str(grant))
        say(f"measuring for {seconds:g} s" + (f", beside {load} busy programs" if load else ""))
        stolen = stolen_s()
        times = measure_ticks(model, seconds, executor, real_time.lead, lambda line: say(f"  {line}"))
        stolen = stolen_s() - stolen
    say("time from one tick to the next:")
    for line in times.histogram():
        say(line)
    punctual, message = verdict(times)
    say(message)
    if stolen:
        say(
            f"the host of this virtual machine took {stolen:.2f} s of its cores meanwhile; no setting here helps that"
        )
    if real_time.missing or not punctual:
        reasons = [str(grant) for grant in real_time.missing] + ([] if punctual else ["ticks come too late"])
        say(f"NOT fit to guard a physical robot: {'; '.join(reasons)}")
        raise typer.Exit(1)
    say("fit to guard a physical robot, as far as ticks go")


def known_robot(name: str) -> RobotModel:
    """A robot by name or file.

    Raises:
        HardwareInputError: there is none.
    """
    try:
        return load_robot(name)
    except (ValueError, OSError) as error:
        raise HardwareInputError(f"--robot: {error}") from None


@app.command("key")
def make(path: Annotated[Path, typer.Argument(help="A file that does not exist yet.")]) -> None:
    """Make a key; copy the file to the machine where the tuner runs."""
    from safebo.hardware.link.key import make_key

    made = fingerprint(make_key(path))
    say(f"a new key is in {path}, readable by you alone; fingerprint {made}")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command; ends the process with its exit code."""
    run_command(app, arguments, HardwareError)
