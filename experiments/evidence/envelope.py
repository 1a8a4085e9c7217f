"""How far the robots go: gaits, speeds, changes of gait, pushes, cost of transport, and whether their physics holds.

    python -m safebo.experiments.evidence.envelope --out runs/envelope [--page docs/robots.md]

Every figure is kept as one line of `envelope.jsonl` as soon as it is known; the same command goes on where it stopped,
and writes the table of what is known so far. Sensors are noisy, the base is estimated, the motors lose torque from
six tenths of their no-load speed on, a torque arrives one tick late; gains are the defaults to scale.
"""

from __future__ import annotations

import itertools
import json
import math
import time as clock
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.experiments.evidence.envelope_page import MOST, into_page, table
from safebo.robots.descriptions.check import compare_engines
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.descriptions.published import ROBOTS
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import GAITS, robot_gait
from safebo.robots.quadruped.gait_changes import GaitSchedule
from safebo.robots.simulation.disturbance import Disturbance, Push
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.recording import WalkRecording
from safebo.robots.simulation.rollout import rollout
from safebo.text.command import say

SECONDS = 10.0
"""Of a walk that counts."""
SHORTFALL = 0.15
"""Share of the commanded speed that may be missing."""
STEPS = {"forward": 0.1, "leftward": 0.05, "turning": 0.2, "push": 0.2}
"""Grids: m/s, m/s, rad/s, m/s."""
GAIT_NAMES = tuple(name for name in GAITS if name != "stand")
CORNER = 0.6
FAST_SWING = 5.0
"""m/s, `swing.max_speed` of the walks that ask how fast motors can trot."""


def walk(
    robot: RobotModel,
    gait: str | GaitSchedule,
    command: tuple[float, float, float],
    seconds: float = SECONDS,
    gap: Disturbance | None = None,
    gains: dict[str, float] | None = None,
) -> WalkRecording:
    """One walk that speeds up at 1 m/s^2, in at least half a second."""
    schedule = robot_gait(robot, gait) if isinstance(gait, str) else gait
    ramp = VelocityRamp(*command, max(0.5, math.hypot(*command[:2])))
    controller = Controller(robot, robot_gains(robot, gains), schedule, ramp)
    return rollout(Simulation(robot, gap or Disturbance(control_delay=1), 0), controller, seconds)


def achieved(record: WalkRecording) -> tuple[float, float, float]:
    """Mean forward and leftward velocity in the heading frame (m/s) and yaw rate (rad/s) of the second half."""
    rows = record.time >= 0.5 * record.time[-1]
    w, x, y, z = record.base_orientation[rows].T
    yaw = np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
    vx, vy = record.base_velocity[rows, 0], record.base_velocity[rows, 1]
    forward, leftward = np.cos(yaw) * vx + np.sin(yaw) * vy, np.cos(yaw) * vy - np.sin(yaw) * vx
    return float(forward.mean()), float(leftward.mean()), float(record.base_rate[rows, 2].mean())


def walks(record: WalkRecording, command: tuple[float, float, float]) -> bool:
    """Whether a walk went to its end at what was commanded, each part within `SHORTFALL`."""
    if record.fell:
        return False
    found = achieved(record)
    return all(got >= (1.0 - SHORTFALL) * want for got, want in zip(found, command, strict=True) if want > 0)


def largest(step: float, most: float, holds: Callable[[float], bool]) -> float:
    """The largest multiple of a step that holds, by bisection; the most itself first. 0 where none does."""
    if holds(most):
        return most
    low, high = 0, math.ceil(most / step - 1e-9)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle * step) else (low, middle)
    return round(low * step, 6)


def speeds(robot: RobotModel, gait: str) -> dict[str, float]:
    """Largest forward, leftward speed and yaw rate, each alone; and the limit that the controller knows."""
    limit = Controller(robot, robot_gains(robot), robot_gait(robot, gait), VelocityRamp()).limit.speed
    found = {"limit": limit}
    for axis, name in enumerate(("forward", "leftward", "turning")):
        most = MOST[name] if name == "turning" else min(MOST[name], limit)

        def holds(value: float, axis: int = axis) -> bool:
            parts = [0.0, 0.0, 0.0]
            parts[axis] = value
            command = (parts[0], parts[1], parts[2])
            return walks(walk(robot, gait, command), command)

        found[name] = largest(STEPS[name], most, holds)
    return found


def transport(robot: RobotModel, gait: str, fastest: float) -> dict[str, float]:
    """Cost of transport at 0.5 m/s, or at the gait's largest speed where that is less: positive work of the motors
    over weight times way.
    """
    speed = min(0.5, fastest)
    if speed <= 0.0:
        return {"speed": 0.0, "cost": math.inf}
    record = walk(robot, gait, (speed, 0.0, 0.0), 5.0)
    rows = record.time >= 1.5
    power = np.maximum(record.commanded_torque * record.joint_velocity, 0.0)[rows].sum(axis=1).mean()
    return {"speed": speed, "cost": float(power / (robot.mass * 9.81 * achieved(record)[0]))}


def push(robot: RobotModel, gait: str, fastest: float) -> dict[str, float]:
    """Largest change of the trunk's sideways velocity (impulse over mass) that is survived, from 0.1 s of force."""
    command = (min(0.3, fastest), 0.0, 0.0)

    def holds(change: float) -> bool:
        force = (0.0, change * robot.mass / 0.1, 0.0)
        gap = Disturbance(control_delay=1, pushes=(Push(1.5, 0.1, force),))
        return not walk(robot, gait, command, 4.0, gap).fell

    return {"push": largest(STEPS["push"], MOST["push"], holds)}


def changes(robot: RobotModel, old: str) -> dict[str, Any]:
    """Changes out of one gait into every other at 0.3 m/s: which end in a fall."""
    falls = []
    for new in GAITS:
        if new != old:
            schedule = GaitSchedule(robot_gait(robot, old), ((1.5, robot_gait(robot, new)),))
            if walk(robot, schedule, (0.3, 0.0, 0.0), 7.0).fell:
                falls.append(new)
    return {"tried": len(GAITS) - 1, "falls": falls}


def physics(robot: RobotModel) -> dict[str, float]:
    """Largest relative differences of both engines, and slip of standing feet (m/s) at friction 0.05 and at its own."""
    found = compare_engines(robot, np.random.default_rng(0))
    result = {"engines": max(found.values()), "feet": found["feet"] * 2.0 * robot.leg_length}
    for name, gap in (("slip", {}), ("slip_on_ice", {"foot_friction": 0.05})):
        evaluator = LeggedEvaluator({"robot": robot.name, "seconds": 3.0, "disturbance": gap})
        record = evaluator.walk({}, {}, 0)
        trace = evaluator.scoring.seen(record, True, evaluator.gait({})).trace
        slip, touching = trace["foot.slip"], trace["foot.contact"]
        result[name] = float((slip * touching).sum() / max(1.0, touching.sum()))
    return result


def fast_trot(robot: RobotModel) -> dict[str, float]:
    """Largest trotting speeds with a swing speed of `FAST_SWING`: at which it walks, and with no motor at its curve."""
    found: dict[str, float] = {}
    for name, inside in (("walks", False), ("inside", True)):

        def holds(speed: float, inside: bool = inside) -> bool:
            command = (speed, 0.0, 0.0)
            record = walk(robot, "trot", command, gains={"swing.max_speed": FAST_SWING})
            return walks(record, command) and (not inside or at_curve(record, robot) == 0.0)

        found[name] = largest(0.05, 2.5, holds)
    return found


def at_curve(record: WalkRecording, robot: RobotModel) -> float:
    """Share of the ticks after the ramp in which some motor is held back by its torque-speed curve."""
    rows = record.time >= 3.0
    torque, speed = record.commanded_torque[rows], record.joint_velocity[rows]
    fade = (robot.speed_limit - np.abs(speed)) / (robot.speed_limit * (1.0 - CORNER))
    limit = robot.torque_limit * np.where(torque * speed > 0, np.clip(fade, 0.0, 1.0), 1.0)
    return float(np.any(np.abs(torque) >= 0.999 * limit, axis=1).mean())


def tasks(robots: list[str], gaits: list[str]) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Everything to find out, with the walks it takes at worst in seconds of walking: (what, robot, gait)."""
    for robot in robots:
        yield ("physics", robot, ""), 6.0
    if "go1" in robots:
        yield ("fast trot", "go1", ""), 120.0
    for robot, gait in itertools.product(robots, gaits):
        yield ("speeds", robot, gait), 150.0
        yield ("transport", robot, gait), 5.0
        yield ("push", robot, gait), 20.0
    for robot, gait in itertools.product(robots, GAITS):
        yield ("changes", robot, gait), 56.0


def find(what: str, robot: RobotModel, gait: str, known: dict[tuple[str, str, str], Any]) -> Any:
    """One line of the envelope."""
    fastest = known.get(("speeds", robot.name, gait), {}).get("forward", 0.5)
    match what:
        case "physics":
            return physics(robot)
        case "fast trot":
            return fast_trot(robot)
        case "speeds":
            return speeds(robot, gait)
        case "transport":
            return transport(robot, gait, fastest)
        case "push":
            return push(robot, gait, fastest)
    return changes(robot, gait)


def main(
    out: Annotated[Path, typer.Option(help="Folder for `envelope.jsonl`.")] = Path("runs/envelope"),
    robot: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    gait: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    page: Annotated[Path | None, typer.Option(help="Markdown page with the table's two marks.")] = None,
) -> None:
    """Find out what is not yet known, and write the table."""
    robots, gaits = robot or list(ROBOTS), gait or list(GAIT_NAMES)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "envelope.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    known = {tuple(entry["task"]): entry["found"] for entry in map(json.loads, lines)}
    left = [(task, cost) for task, cost in tasks(robots, gaits) if task not in known]
    whole = sum(cost for _, cost in left)
    say(
        f"{len(left)} figures to find, {whole / 3600:.1f} hours of walking at most; {len(known)} known already"
    )
    begun, walked = clock.monotonic(), 0.0
    for task, cost in left:
        what, name, named_gait = task
        known[task] = find(what, load_robot(name), named_gait, known)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"task": task, "found": known[task]}) + "\n")
        walked += cost
        hours = (clock.monotonic() - begun) * (whole - walked) / walked / 3600
        say(f"{what} {name} {named_gait}: {json.dumps(known[task])}; {hours:.2f} hours left")
        if page is not None:
            into_page(page, table(known, robots, gaits))
    text = table(known, robots, gaits)
    if page is not None:
        into_page(page, text)
    say(text)


if __name__ == "__main__":
    typer.run(main)
