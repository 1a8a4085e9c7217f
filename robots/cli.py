"""`safebo robots`: see the robots, their gains and gaits, and let one walk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from safebo.robots.controllers.commands import CONTROLLER_HELP, adapter, serve
from safebo.robots.controllers.commands import or_refuse as _or_refuse
from safebo.robots.controllers.commands import refuse as _refuse
from safebo.robots.controllers.finding import (
    WHOLE_BODY,
    FoundController,
    find_controller,
    table_for,
)
from safebo.robots.controllers.walk import ProtocolWalk
from safebo.robots.descriptions.check import TOLERANCE, check_own_robot
from safebo.robots.descriptions.model import RobotModel, load_robot, own_robot
from safebo.robots.descriptions.published import ROBOTS
from safebo.robots.descriptions.robot_file import (
    SUFFIXES,
    known_robot_files,
    named_robot_file,
    user_folder,
    write_robot_file,
)
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import GAINS, Gains, read_gains, robot_gains
from safebo.robots.quadruped.gait import GAITS, Gait, robot_gait
from safebo.robots.quadruped.gait_changes import GaitSchedule
from safebo.robots.quadruped.gait_table import read_gait_table
from safebo.robots.quadruped.kinematics import roll_pitch_yaw, rotation_from_quaternion
from safebo.robots.quadruped.speed import shortened_command, speed_limit
from safebo.robots.simulation.disturbance import PRESETS
from safebo.robots.simulation.footage import Footage, fall_mark, shown_gains
from safebo.robots.simulation.gait_table_command import gait_changes
from safebo.robots.simulation.named_disturbance import HELP as DISTURBANCE_HELP
from safebo.robots.simulation.named_disturbance import named_disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import WalkLoop, WalkRecording, rollout
from safebo.robots.simulation.show import NotShown, Outlets, show
from safebo.text.command import say

T = TypeVar("T")

app = typer.Typer(
    help="Robots and their controller: list them, list the gains, let one walk in simulation.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list")
def list_robots() -> None:
    """List the robots, gaits and disturbances that come with this package.

    A robot of your own is given as the path of its MJCF or URDF file; `safebo robots add` gives it a name.
    """
    say("Robots")
    for name in sorted(ROBOTS):
        robot = load_robot(name)
        say(f"  {name:12s} {robot.mass:.2f} kg, legs {robot.leg_length:.3f} m; {ROBOTS[name].title}")
    for name, path in known_robot_files().items():
        say(f"  {name:12s} {path}")
    say("Gaits (--gait)")
    for name, gait in GAITS.items():
        offsets = ", ".join(f"{offset:g}" for offset in (gait.offset_fl, gait.offset_rr, gait.offset_rl))
        say(
            f"  {name:12s} stride {gait.stride_duration:g} s, duty factor {gait.duty_factor:g}, "
            f"offsets of FL, RR, RL against FR: {offsets}"
        )
    say("Disturbances (--disturbance)")
    for name in PRESETS:
        say(f"  {name}")


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="MJCF, URDF or robot file, or the name of a robot file.")],
) -> None:
    """Read a robot of your own and say what was found, what was assumed and what is wrong.

    Trunk, legs and joints are found from where they are, whatever they are called. The robot is compared with its file
    and between two physics engines at random states. Exit code 2 if it cannot be used.
    """
    own = _or_refuse(lambda: own_robot(file))
    found = check_own_robot(own)
    for line in found.facts:
        say(line)
    worst = max(found.differences.values())
    say(f"MuJoCo, Pinocchio, the legs' kinematics and the file agree to {worst:.1g}")
    for line in found.problems:
        say(f"note: {line}")
    if worst >= TOLERANCE:
        raise typer.Exit(2)
    if Path(file).suffix not in SUFFIXES and named_robot_file(file) is None:
        say(
            f"`safebo robots add {file} --name NAME` writes all this into a robot file, where it can be corrected"
        )


@app.command()
def add(
    file: Annotated[str, typer.Argument(help="MJCF or URDF file.")],
    name: Annotated[
        str | None, typer.Option(help="How the robot will be called; the file's name if left out.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for the robot file; if left out one in which every project finds it."),
    ] = None,
    replace: Annotated[bool, typer.Option(help="Write a robot file anew that is there already.")] = False,
) -> None:
    """Write a robot file for a description: a short YAML of joints, limits, pose and feet, to be corrected.

    The robot is then known to `safebo robots walk` and to studies (`evaluator.options.robot`) by its name, or by the
    path of its file. Names are looked for in the folder that SAFEBO_ROBOTS names, in `robots/` of the working folder
    and in a folder of your own for all projects.
    """
    chosen = name or Path(file).stem
    if chosen in ROBOTS:
        _refuse(f"--name {chosen}: comes with this package; give the robot another name")
    own = _or_refuse(lambda: own_robot(file))
    folder = user_folder() if to is None else to
    path = _or_refuse(lambda: write_robot_file(own, chosen, folder, replace))
    for note in own.model.notes:
        say(f"note: {note}")
    say(f"{chosen}: {own.model.mass:.2f} kg, legs {own.model.leg_length:.3f} m, written to {path}")
    known = named_robot_file(chosen)
    given = chosen if known is not None and known.samefile(path) else str(path)
    say(f"try `safebo robots walk {given}`; in a study: `evaluator.options.robot: {given}`")


@app.command("gains")
def list_gains(
    controller: Annotated[str, typer.Option(metavar="NAME", help=CONTROLLER_HELP)] = WHOLE_BODY,
) -> None:
    """List every gain of a controller with its unit, default and bounds.

    The names are the ones that `walk --set`, gains files and the parameters of a study use.
    """
    for gain in _or_refuse(lambda: table_for(controller)):
        bounds = f"{gain.lower:g} .. {gain.upper:g}"
        say(f"{gain.name:34s} {gain.default:<8g} {gain.unit:10s} {bounds:16s} {gain.description}")


app.command()(serve)
app.command()(adapter)
app.command()(gait_changes)


def _assignments(pairs: list[str]) -> dict[str, float]:
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name.strip()] = float(text)
        except ValueError:
            raise ValueError(
                f"--set {pair!r}: expected NAME=VALUE, for example --set joint.hip.kp=40"
            ) from None
    return values


def _later_gait(robot: RobotModel, text: str, seconds: float) -> tuple[str, tuple[float, Gait]]:
    """A gait's name, and when it is changed to, with the gait, from `GAIT@SECONDS`."""
    name, _, when = text.partition("@")
    try:
        time = float(when)
    except ValueError:
        time = math.nan
    if not 0.0 <= time < seconds:
        raise ValueError(
            f"--then {text!r}: expected GAIT@SECONDS within the walk of {seconds:g} s, as crawl@3"
        )
    return name, (time, robot_gait(robot, name))


RobotName = Annotated[
    str, typer.Argument(help="A robot's name, or the path of an MJCF, URDF or robot file of your own.")
]
GaitName = Annotated[str, typer.Option(help=f"One of {', '.join(GAITS)}.")]
Velocity = Annotated[float, typer.Option(help="Forward speed to walk at, m/s.")]
Leftward = Annotated[float, typer.Option(help="Sideways speed to the left, m/s.")]
Turn = Annotated[float, typer.Option(help="Turning rate to the left, rad/s.")]
GainsFile = Annotated[
    Path | None,
    typer.Option(help="YAML file with a mapping `gains`, as `safebo report` writes the best gains."),
]
SetGains = Annotated[
    list[str] | None,
    typer.Option("--set", help="One gain, NAME=VALUE; may be repeated and goes over --gains."),
]
Then = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GAIT@SECONDS", help="A gait to change to so many seconds into the walk; may be repeated."
    ),
]
Changes = Annotated[
    Path | None,
    typer.Option(
        "--gait-changes", metavar="FILE", help="Table that --then keeps to, of `safebo robots gait-changes`."
    ),
]
Seconds = Annotated[float, typer.Option(help="How long to walk, s.")]
DisturbanceName = Annotated[
    str,
    typer.Option(metavar="NAME|FIELDS|FILE", help=DISTURBANCE_HELP),
]
Delay = Annotated[
    int | None,
    typer.Option(help="Control ticks (2 ms) until a torque acts, instead of the disturbance's own."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the sensor noise.")]
EstimatorName = Annotated[
    str, typer.Option(help="kalman: base state from the sensors, as on a robot; truth: the plant's own.")
]
AdaptiveContact = Annotated[
    bool,
    typer.Option(
        "--adaptive-contact", help="Feet stand when they are felt to touch, not by the clock alone."
    ),
]
ControllerName = Annotated[str, typer.Option(metavar="NAME", help=CONTROLLER_HELP)]
Video = Annotated[Path | None, typer.Option(help="Write an MP4 of the walk (needs EGL or another OpenGL).")]
Size = Annotated[str, typer.Option(metavar="WxH", help="Pixels of the video.")]
Speed = Annotated[
    float, typer.Option(help="Seconds of the walk per second that is shown; 0.25 is slow motion.")
]
View = Annotated[bool, typer.Option("--view", help="Open MuJoCo's viewer.")]
Rerun = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a recording for Rerun (extra `rerun`).")
]


@app.command()
def walk(
    robot: RobotName,
    gait: GaitName = "trot",
    velocity: Velocity = 0.5,
    leftward: Leftward = 0.0,
    turn: Turn = 0.0,
    gains: GainsFile = None,
    set_: SetGains = None,
    then: Then = None,
    changes: Changes = None,
    seconds: Seconds = 5.0,
    disturbance: DisturbanceName = "nominal",
    delay: Delay = None,
    seed: Seed = 0,
    estimator: EstimatorName = "kalman",
    controller: ControllerName = WHOLE_BODY,
    adaptive_contact: AdaptiveContact = False,
    video: Video = None,
    size: Size = "1280x720",
    speed: Speed = 1.0,
    view: View = False,
    rerun: Rerun = None,
) -> None:
    """Let a robot walk in simulation and say how well it did.

    The controller sees sensors only: noisy joint encoders and an inertial unit, from which it estimates the
    motion of its base. It stands for a moment, speeds up over half a second and walks on.

    For example `safebo robots walk go1`, or `safebo robots walk go2 --gait crawl --velocity 0.3 --video
    crawl.mp4`, or `safebo robots walk go1 --disturbance paper --set joint.hip.kp=70 --set joint.hip.kd=3`.
    """
    model = _or_refuse(lambda: load_robot(robot))
    for note in model.notes:
        say(f"note: {note}")
    pattern = _or_refuse(lambda: robot_gait(model, gait))
    own = _or_refuse(lambda: find_controller(controller))
    given = {**_or_refuse(lambda: _gains_of_file(gains, own)), **_or_refuse(lambda: _assignments(set_ or []))}
    _or_refuse(lambda: table_for(controller).full(given))
    chosen: Any = robot_gains(model, given) if own is None else own.table.full(given)
    gap = _or_refuse(lambda: named_disturbance(disturbance, model.size))
    if delay is not None:
        gap = _or_refuse(lambda: dataclasses.replace(gap, control_delay=delay))
    _refuse_not_finite({"--velocity": velocity, "--leftward": leftward, "--turn": turn})
    if not 0.0 < seconds <= 3600.0:
        _refuse(f"--seconds must be more than 0 and at most 3600, got {seconds:g}")
    outlets = _or_refuse(lambda: Outlets.chosen(video, size, speed, view, rerun))
    if estimator not in ("kalman", "truth"):
        _refuse(f"--estimator must be kalman or truth, got {estimator!r}")
    ramp = VelocityRamp(velocity, leftward, turn)
    later = _or_refuse(lambda: [_later_gait(model, text, seconds) for text in then or []])
    if adaptive_contact and own is not None:
        _refuse("--adaptive-contact is for the controllers that come with this package")
    if later and own is not None:
        _refuse("--then is for the controller that comes with this package; others are told one gait")
    if own is None:
        known: Literal["kalman", "truth"] = "kalman" if estimator == "kalman" else "truth"
        table = None if changes is None else _or_refuse(lambda: read_gait_table(changes, model))
        schedule = _or_refuse(lambda: GaitSchedule(pattern, tuple(change for _, change in later), table))
        walker: WalkLoop = Controller(
            model, chosen, schedule, ramp, known, law=controller, adaptive_contact=adaptive_contact
        )
        _note_shortened(model, [(gait, pattern), *((name, each) for name, (_, each) in later)], chosen, ramp)
    elif estimator == "truth":
        _refuse("--estimator truth is for the controller that comes with this package")
    else:
        walker = ProtocolWalk(_or_refuse(own.make), controller, model, chosen, pattern, ramp)
    plant = _or_refuse(lambda: Simulation(model, gap, seed))
    rollout(plant, walker, seconds=0.02)  # what is not yet compiled is compiled here, outside the timing
    record = rollout(plant, walker, seconds)
    if len(record) <= record.walk_start:
        say(f"Error: never walked: {record.stop_reason}", error=True)
        raise typer.Exit(1)
    say(summary(model, " ".join([gait, *(then or [])]), record))
    if outlets.any:
        plain: Any = robot_gains(model, {}) if own is None else own.table.full()
        footage = Footage(
            model,
            record,
            f"{model.name}, {gait}",
            () if disturbance == "nominal" else (f"disturbance {disturbance}",),
            record.command,
            shown_gains(chosen, plain, GAINS if own is None else own.table),
            "default",
            marks=fall_mark(record),
            world=gap,
        )
        _show(footage, outlets)


def _refuse_not_finite(options: Mapping[str, float]) -> None:
    for name, value in options.items():
        if not math.isfinite(value):
            _refuse(f"{name} must be a finite number, got {value!r}")


def _note_shortened(
    model: RobotModel, gaits: Sequence[tuple[str, Gait]], gains: Mapping[str, float], ramp: VelocityRamp
) -> None:
    """Say in which gaits the robot walks more slowly than it is told."""
    for name, gait in gaits:
        limit = speed_limit(model, gait, gains["swing.max_speed"])
        if shortened := shortened_command(limit, ramp.forward, ramp.leftward):
            say(f"note: in gait {name!r} {shortened}")


def _gains_of_file(path: Path | None, own: FoundController | None) -> dict[str, float]:
    """Gains of a file, checked, so that what is wrong names the file."""
    if path is None:
        return {}
    if own is None:
        return Gains.load(path).given()
    given = read_gains(path)
    try:
        own.table.full(given)
    except ValueError as error:
        raise ValueError(f"{path}: gains: {error}") from None
    return given


def summary(robot: RobotModel, gait_name: str, record: WalkRecording) -> str:
    """One line about a walk; means are taken once the speed ramp is over."""
    rows = slice(min(record.walk_start + round(0.5 / record.period), len(record) - 1), len(record))
    orientation = record.base_orientation[rows]
    rotation = np.empty((3, 3))
    angles = np.empty((len(orientation), 3))
    forward = np.empty(len(orientation))
    for i, quaternion in enumerate(orientation):
        rotation_from_quaternion(quaternion, rotation)
        angles[i] = roll_pitch_yaw(rotation)
        heading = angles[i, 2]
        vx, vy = record.base_velocity[rows][i, :2]
        forward[i] = np.cos(heading) * vx + np.sin(heading) * vy
    angle_error = record.desired_position[rows] - record.joint_position[rows]
    speed_error = record.desired_velocity[rows] - record.joint_velocity[rows]
    walked = (len(record) - record.walk_start) * record.period
    whole = len(record) * record.period
    fall = f"FELL after {walked:.2f} s: {record.stop_reason}" if record.fell else "no fall"
    parts = (
        f"{robot.name} {gait_name} {walked:.1f} s: {fall}",
        f"mean speed {forward.mean():.3f} m/s",
        f"tracking rms {_rms(angle_error):.4f} rad, {_rms(speed_error):.3f} rad/s",
        f"pitch rms {_rms(angles[:, 1]):.4f} rad, roll rms {_rms(angles[:, 0]):.4f} rad",
        f"real-time factor {whole / max(record.wall_seconds, 1e-9):.1f}",
    )
    return "; ".join(parts)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _show(footage: Footage, outlets: Outlets) -> None:
    try:
        for line in show([footage], outlets):
            say(line)
    except NotShown as error:
        say(str(error), error=True)
    except OSError as error:
        what = "No video" if outlets.rerun is None else "Not shown"
        say(f"{what}: {error.filename or outlets.video}: {error.strerror or error}", error=True)
        raise typer.Exit(1) from None
