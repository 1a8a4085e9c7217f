"""Changes of gait that are tried in simulation under kicks on slippery floors, from states of the same walk.

A robot walks in the old gait at one speed. In every part of the stride the walk is saved, each new gait is changed to,
the robot is pushed while it changes, and the walk is put back. What is left of the way to a fall is measured. Once the
robot is pushed without a change, to tell what the change has to do with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import Gait, robot_gait
from safebo.robots.quadruped.gait_changes import WATCHED, GaitSchedule
from safebo.robots.quadruped.speed import speed_limit
from safebo.robots.simulation.disturbance import Disturbance, Push
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import FallLimits, Walk, WalkRecording
from safebo.robots.simulation.saved import SavedWalk

APPROACH = 2.0
"""Seconds in the old gait before the first change is tried."""
PUSH_SECONDS = 0.1
PUSHED_WITHIN = 1.0
"""Seconds from the beginning of a change within which its push begins."""


@dataclass(frozen=True)
class ChangePlan:
    """What is tried.

    Args:
        gaits: names; every one is changed to from every other.
        speeds: m/s, growing; a pair is tried up to the speed limit of its slower gait.
        phases: equal parts of the old gait's stride.
        walks: of every gait and speed, each on a floor of its own.
        friction: least and greatest coefficient under the feet.
        push: least and greatest kick, as a change of the robot's velocity, m/s; its direction is drawn evenly.
        seed: of everything that is drawn.
    """

    gaits: tuple[str, ...]
    speeds: tuple[float, ...] = (0.25, 0.5, 0.8, 1.2)
    phases: int = 4
    walks: int = 2
    friction: tuple[float, float] = (0.3, 0.45)
    push: tuple[float, float] = (0.4, 0.9)
    seed: int = 0

    def __post_init__(self) -> None:
        if len(set(self.gaits)) < 2 or "stand" in self.gaits:
            raise ValueError("changes are tried between two or more gaits, without stand")
        if list(self.speeds) != sorted(set(self.speeds)) or not self.speeds or self.speeds[0] <= 0.0:
            raise ValueError(f"speeds must be positive and grow, got {self.speeds}")
        for name, (low, high) in (("friction", self.friction), ("push", self.push)):
            if not (0.0 <= low <= high < math.inf and (high > 0.0 or name == "push")):
                raise ValueError(f"{name} must be the least and the greatest value, got {low:g} and {high:g}")


@dataclass(frozen=True)
class TriedChange:
    """One change.

    Args:
        old, new: names of the gaits; the same one twice where the robot was pushed without a change.
        speed: m/s. part: of the stride. walk: number of the walk.
        fell: whether the robot fell.
        margin: smallest share of the way to a fall that was left, 0 for a fall.
    """

    old: str
    new: str
    speed: float
    part: int
    walk: int
    fell: bool
    margin: float

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def batches(robot: RobotModel, gains: Gains, plan: ChangePlan) -> list[tuple[str, float, int]]:
    """The walks of a plan, slow ones first: old gait, speed, number."""
    limits = gait_limits(robot, gains, plan.gaits)
    return [
        (old, speed, walk)
        for speed in plan.speeds
        for old in plan.gaits
        for walk in range(plan.walks)
        if speed <= limits[old] + 1e-9
    ]


def gait_limits(robot: RobotModel, gains: Mapping[str, float], gaits: Sequence[str]) -> dict[str, float]:
    """Greatest speed of every gait, m/s."""
    return {
        name: speed_limit(robot, robot_gait(robot, name), gains["swing.max_speed"]).speed for name in gaits
    }


def hopeless(tries: Sequence[TriedChange]) -> set[tuple[str, str]]:
    """Pairs of which half of the tries at some speed fell: they are not tried faster."""
    found: dict[tuple[str, str, float], list[bool]] = {}
    for one in tries:
        found.setdefault((one.old, one.new, one.speed), []).append(one.fell)
    return {(old, new) for (old, new, _), fell in found.items() if old != new and 2 * sum(fell) >= len(fell)}


def tried_changes(
    robot: RobotModel,
    gains: Gains,
    plan: ChangePlan,
    batch: tuple[str, float, int],
    without: set[tuple[str, str]],
) -> Iterator[TriedChange]:
    """The changes out of one walk, and the same kicks without a change; none where the robot falls before.

    Args:
        robot: that walks.
        gains: of its controller.
        plan: see there.
        batch: old gait, speed (m/s) and number of the walk.
        without: pairs that are left out.
    """
    old, speed, number = batch
    place = [plan.seed, 0, plan.gaits.index(old), plan.speeds.index(speed), number]
    draw = np.random.default_rng(place)
    floor = draw.uniform(*plan.friction)
    walk = begin_walk(
        robot, gains, GaitSchedule(robot_gait(robot, old)), speed, floor, int(draw.integers(1 << 31))
    )
    limits = gait_limits(robot, gains, plan.gaits)
    news = [
        new for new in plan.gaits if new == old or (speed <= limits[new] + 1e-9 and (old, new) not in without)
    ]
    for part, time in sorted(
        change_times(robot_gait(robot, old), plan.phases, draw).items(), key=lambda x: x[1]
    ):
        if not walk_until(walk, time):
            return
        saved, before = SavedWalk(walk.simulation, walk.controller), walk.row
        for new in news:
            own = np.random.default_rng([*place, part, plan.gaits.index(new)])
            push = drawn_push(robot, plan.push, own)
            margin, fell = pushed(walk, push) if new == old else changed(walk, robot_gait(robot, new), push)
            yield TriedChange(old, new, speed, part, number, fell, margin)
            saved.restore()
            walk.row, walk.record.fell, walk.record.stop_reason = before, False, ""


def begin_walk(
    robot: RobotModel, gains: Gains, schedule: GaitSchedule, speed: float, friction: float, seed: int
) -> Walk:
    """A walk that speeds up at 1 m/s^2, in at least half a second, on a floor of some friction."""
    gap = Disturbance(control_delay=1, foot_friction=friction)
    ramp = VelocityRamp(speed, duration=max(0.5, speed))
    # Ticks that are never walked cost nothing but room.
    return Walk(Simulation(robot, gap, seed), Controller(robot, gains, schedule, ramp), seconds=15.0)


def change_times(gait: Gait, phases: int, draw: np.random.Generator) -> dict[int, float]:
    """A moment within every part of one stride after the approach, s since the start of the walk."""
    first = math.ceil(APPROACH / gait.stride_duration)
    return {part: (first + (part + draw.random()) / phases) * gait.stride_duration for part in range(phases)}


def drawn_push(robot: RobotModel, size: tuple[float, float], draw: np.random.Generator) -> Push:
    """A horizontal kick; its time is counted from the beginning of a change."""
    kick, angle = draw.uniform(*size), draw.uniform(0.0, 2.0 * math.pi)
    force = kick * robot.mass / PUSH_SECONDS
    time = draw.uniform(0.0, PUSHED_WITHIN)
    return Push(time, PUSH_SECONDS, (force * math.cos(angle), force * math.sin(angle), 0.0))


def walk_until(walk: Walk, time: float) -> bool:
    """Walk on to a moment (s since the start of the walk); False where the robot fell."""
    while walk.record.time[walk.row] < time - 1e-9:
        if not walk.tick():
            return False
    return True


def changed(walk: Walk, gait: Gait, push: Push) -> tuple[float, bool]:
    """The smallest margin of a change that begins now, and whether the robot fell."""
    walk.controller.want_gait(gait)  # type: ignore[attr-defined]  # begin_walk made it
    return pushed(walk, push)


def pushed(walk: Walk, push: Push) -> tuple[float, bool]:
    """The smallest margin of what is walked from now on under a push that is timed from now, and whether it fell."""
    start, simulation = walk.row, walk.simulation
    now = float(walk.record.time[start])
    simulation.disturbance = replace(simulation.disturbance, pushes=(replace(push, time=now + push.time),))
    stands = walk_until(walk, now + WATCHED)
    return (
        smallest_margin(walk.record, slice(start, walk.row), walk.controller.robot) if stands else 0.0
    ), not stands


def smallest_margin(record: WalkRecording, rows: slice, robot: RobotModel) -> float:
    """The smallest share of the way to a fall that is left, in tilt (from upright) and in height (from nominal)."""
    limits = FallLimits()
    _, x, y, _ = record.base_orientation[rows].T
    tilt = np.arccos(np.clip(1.0 - 2.0 * (x * x + y * y), -1.0, 1.0))
    height = record.base_position[rows, 2] / robot.nominal_height
    left = np.minimum(1.0 - tilt / limits.tilt, (height - limits.height) / (1.0 - limits.height))
    return float(np.clip(np.min(left, initial=1.0), 0.0, 1.0))
