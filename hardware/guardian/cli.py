"""`safebo-guardian`: the process beside the robot that owns the right to command it."""

from __future__ import annotations

import secrets
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer

from safebo.hardware.adapters.relay import read_controller, relay
from safebo.hardware.command_options import with_options
from safebo.hardware.constants import CONTROL_RATE_HZ, PORT, ROBOT_TIMEOUT_S, START_CHECK_S
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.announcer import Announcer
from safebo.hardware.guardian.bounds import ControllerGains, quadruped_table
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.event_log import EventLog
from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.guardian.pace import GuardianPace, OwnPace, RobotPace, WaitingLink
from safebo.hardware.guardian.process import GuardianProcess, warm
from safebo.hardware.guardian.real_time import RealTime, follow, request_real_time
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.start_row import change_words, changed, start_row
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.thresholds import allowed, read_limits
from safebo.hardware.guardian.tick_check import busy_processes, measure_ticks, stolen_s, verdict
from safebo.hardware.guardian.tick_times import TickWatch
from safebo.hardware.guardian.walker import QuadrupedWalker
from safebo.hardware.link.key import fingerprint, key_at
from safebo.hardware.link.udp import LOOPBACK, UdpServer
from safebo.robots.controllers.controller_file import ControllerFile
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.quadruped.gains import Gains
from safebo.text.command import run_command, say, say_if_heard


class ControllerKind(StrEnum):
    """What walks."""

    BUILT_IN = "built-in"
    RELAY = "relay"


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


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

    Ctrl-C once, SIGTERM, or its terminal closed: the robot stands down, then the process ends. Twice: joint damping
    at once.

    Exit codes: 0 ended as asked; 1 the robot did not answer or the loop failed; 2 bad input.
    """


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

    core: Annotated[
        int | None,
        typer.Option(min=0, help="Core of the control loop. [default: an isolated one, else the last]"),
    ] = None
    own_clock: Annotated[
        bool,
        typer.Option(
            "--own-clock",
            help="Tick on this machine's clock, as for a physical robot, though the robot is a virtual one.",
        ),
    ] = False
    accept_jitter: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Guard a physical robot although ticks come late here; why, in a sentence, for the log.",
        ),
    ] = None

    def read(self) -> GuardianSettings:
        """Read the files.

        Raises:
            HardwareInputError: which file and what in it is wrong.
        """
        own = read_own(self.controller, self.controller_file, self.baseline)
        table = read_table(self.baseline) if own is None else ControllerGains.of(own.table)
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
    robot = load_robot("go2")
    walking = ready_controller(robot, settings)
    real_time = prepare_real_time(robot, settings.options)
    link = Go2Link(DdsNetwork(interface, chosen, physical), robot.joint_names)
    guard(link, robot, walking, settings, real_time, f"interface {interface}, domain {chosen}")


@app.command()
@with_options(GuardianOptions)
def go1(
    options: GuardianOptions,
    address: Annotated[
        str | None, typer.Option(help="The robot. [default: 127.0.0.1, or 192.168.123.10]")
    ] = None,
    robot_port: Annotated[int, typer.Option(help="UDP port of its low-level interface.")] = 8007,
) -> None:
    """Guard a Unitree Go1 on its low-level UDP packets."""
    settings, physical = options.read(), options.physical
    from safebo.hardware.unitree.go1_link import Go1Link
    from safebo.hardware.unitree.go1_udp import ROBOT_ADDRESS, Go1Network

    chosen = address or (ROBOT_ADDRESS if physical else LOOPBACK)
    robot = load_robot("go1")
    walking = ready_controller(robot, settings)
    real_time = prepare_real_time(robot, settings.options)
    link = Go1Link(Go1Network(chosen, robot_port, 0, physical), robot.joint_names)
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

    Runs the guardian's and its controller's work 500 times a second, as in a walk, and prints a histogram of the times
    from one tick to the next and the causes of late ones. Exit codes: 0 fit for `--physical`; 1 not; 2 bad input.
    """
    model = known_robot(robot)
    warm(QuadrupedWalker(model, CONTROL_RATE_HZ), model)
    with busy_processes(load), ThreadPoolExecutor(1, initializer=follow) as executor:
        real_time = granted(core)
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


def ready_controller(robot: RobotModel, settings: GuardianSettings) -> GuardedController:
    """What walks: the built-in controller, compiled, or the relay to the user's own."""
    own = settings.controller
    if own is None:
        begin = time.monotonic()
        walker = QuadrupedWalker(robot, CONTROL_RATE_HZ)
        warm(walker, robot)
        say_if_heard(f"controller of {robot.name} ready after {time.monotonic() - begin:.1f} s")
        return GuardedController(walker, settings.table)
    # A restart of the controller may take seconds: it has a thread to itself.
    executor = ThreadPoolExecutor(1, thread_name_prefix="gains")
    relayed, keeper = relay(own, robot, executor, not settings.options.physical, CONTROL_RATE_HZ)
    say_if_heard(f"relaying to {own.name} at {LOOPBACK}:{own.port}")
    return GuardedController(relayed, settings.table, keeper)


def guard(
    link: WaitingLink,
    robot: RobotModel,
    controller: GuardedController,
    settings: GuardianSettings,
    real_time: RealTime,
    where: str,
) -> None:
    """Prepare the robot and guard it until asked to end."""
    asked, said = [0], [0]

    def ask(*_: object) -> None:
        asked[0] += 1

    def requests() -> int:
        # not said in the handler, which may have interrupted a line that is being printed
        if asked[0] > said[0]:
            said[0] = asked[0]
            say_if_heard(
                "standing down; once more for joint damping at once" if said[0] == 1 else "joint damping"
            )
        return asked[0]

    server = UdpServer(settings.options.listen, settings.options.port)
    log = EventLog(settings.options.log, say_if_heard)
    try:
        say_if_heard(f"waiting for the {robot.name} at {where}")
        for line in link.prepare(settings.options.patience):
            say_if_heard(f"  {line}")
    except BaseException:
        link.close()
        server.close()
        raise
    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it on purpose
        signal.signal(signal.SIGHUP, ask)
    virtual, period = not settings.options.physical, 1.0 / CONTROL_RATE_HZ
    own_clock = settings.options.own_clock or not virtual
    # A virtual robot's clock may run slow, and what counts then is the work, not how long others kept us from it.
    clock = time.perf_counter if own_clock else time.thread_time
    pace: GuardianPace = OwnPace(period) if own_clock else RobotPace(period)
    watch = TickWatch(period) if own_clock else None
    announcer = Announcer(say_if_heard)
    with ThreadPoolExecutor(1, thread_name_prefix="monitors", initializer=follow) as executor:
        guardian = Guardian(
            robot, controller, executor, SystemRandom(), clock, settings.limits, CONTROL_RATE_HZ
        )
        boot = secrets.randbelow((1 << 32) - 1) + 1
        service = GuardianService(guardian, settings.key, boot, virtual, link.serial(), CONTROL_RATE_HZ)
        host, port = server.address
        log.put([start_row(service, settings.key, f"{host}:{port}", where, settings.controller)])
        for words in change_words(changed(settings.limits)):
            say_if_heard(f"  limit {words}")
        kind = "virtual" if virtual else "PHYSICAL"
        say_if_heard(f"ready: guarding a {kind} {robot.name}, serial {link.serial()}, on {host}:{port}")
        log.put(EventRow(0.0, "real-time", str(grant)) for grant in real_time.grants)
        if settings.options.accept_jitter:
            log.put(
                [EventRow(0.0, "real-time", f"late ticks are accepted: {settings.options.accept_jitter}")]
            )
        process = GuardianProcess(link, service, server, pace, log, announcer, real_time, watch)
        try:
            process.run(requests)
        finally:
            announcer.close()
    if watch is not None:
        say_if_heard(verdict(watch.times)[1] + f"; {watch.late} late")
    say_if_heard("ended; the joints are damped")


def prepare_real_time(robot: RobotModel, options: GuardianOptions) -> RealTime:
    """Ask the system for punctual ticks and say what was got; for a physical robot they are measured too.

    Raises:
        HardwareError: ticks are not punctual enough for a physical robot, and nobody has accepted that.
    """
    real_time = granted(options.core)
    for grant in real_time.grants:
        say_if_heard(f"  {grant}")
    if not options.physical:
        return real_time
    say_if_heard(f"measuring ticks for {START_CHECK_S:g} s before the robot is touched")
    with ThreadPoolExecutor(1, initializer=follow) as executor:
        times = measure_ticks(robot, START_CHECK_S, executor, real_time.lead, say_if_heard)
    punctual, message = verdict(times)
    say_if_heard(message)
    faults = [str(grant) for grant in real_time.missing] + ([] if punctual else [message])
    if faults and not options.accept_jitter:
        raise HardwareError(
            "a physical robot is not guarded here: "
            + "; ".join(faults)
            + '. docs/real-time.md says what to do; --accept-jitter "WHY" takes the risk, which is written into the log'
        )
    return real_time


def granted(core: int | None) -> RealTime:
    """What the system grants.

    Raises:
        HardwareInputError: that core may not be used.
    """
    try:
        return request_real_time(core)
    except ValueError as error:
        raise HardwareInputError(f"--core: {error}") from None


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


def read_table(path: Path | None) -> ControllerGains:
    """The gains with their baseline."""
    if path is None:
        return quadruped_table()
    try:
        gains = Gains.load(path)
    except ValueError as error:  # names the file itself
        raise HardwareInputError(str(error)) from None
    try:
        return quadruped_table(gains.changed())
    except ValueError as error:
        raise HardwareInputError(f"{path}: {error}") from None


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command; ends the process with its exit code."""
    run_command(app, arguments, HardwareError)
