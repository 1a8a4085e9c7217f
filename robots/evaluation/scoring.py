"""What a recorded walk is worth: objective and margins, over time and as numbers, by the study's own choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.evaluation.conditions import VelocityProfile, WalkConditions, gaits_of
from safebo.robots.evaluation.formulas import FALLEN, FormulaMargin, words
from safebo.robots.evaluation.goals import Goal
from safebo.robots.evaluation.metrics import (
    MARGINS,
    OBJECTIVES,
    Limits,
    WalkSignals,
    margins_over_time,
    objectives,
    objectives_over_time,
    tick_weights,
    walk_signals,
)
from safebo.robots.evaluation.signals import SIMULATED, WalkTrace
from safebo.robots.evaluation.stl.values import ArrayTrace
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.speed import SpeedLimit, shortened_command, speed_limit
from safebo.robots.simulation.floor import floor_under
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import FloatArray, QuantityInfo


@dataclass(frozen=True)
class SeenWalk:
    """A walk as the robot or the plant saw it: what the built-in margins need, and every signal by name."""

    signals: WalkSignals
    trace: WalkTrace


@dataclass(frozen=True)
class WalkScoring:
    """How walks are scored.

    Args:
        robot: the robot.
        limits: where the built-in margins are zero.
        objective: name of the objective.
        goal: the objective, where it is an expression; None: one of `OBJECTIVES`.
        formulas: further margins.
        watched: further objectives that are measured beside it.
        velocity: commanded forward and leftward velocity (m/s) and yaw rate (rad/s).
        seconds: of a whole walk.
        after: seconds at its start that the objective leaves out.
        ramp: seconds over which the command grows.
        swing_speed: greatest mean speed of a swing foot in the study's own gains, m/s. Where it is tuned, what a
            trial's own value takes from the command counts as an error. None where a controller of somebody else's
            walks, which is told the whole command.
        world: what was different in a walk; None where nothing was.
    """

    robot: RobotModel
    limits: Limits
    objective: str
    goal: Goal | None
    formulas: tuple[FormulaMargin, ...]
    watched: tuple[Goal, ...]
    velocity: tuple[float, float, float]
    seconds: float
    after: float
    ramp: float
    swing_speed: float | None
    world: WalkConditions | None = None

    def under(self, world: WalkConditions) -> WalkScoring:
        """The scoring of a walk under such conditions: by its own command, over its own floor."""
        return replace(self, velocity=world.velocity, world=world)

    # -- what it is -----------------------------------------------------------------------------------

    @property
    def objective_info(self) -> QuantityInfo:
        """Name, unit and description of the objective."""
        if self.goal is not None:
            return self.goal.info
        return QuantityInfo(self.objective, *OBJECTIVES[self.objective])

    @property
    def margin_infos(self) -> tuple[QuantityInfo, ...]:
        """Of every margin."""
        built_in = tuple(QuantityInfo(n, unit, text) for n, (unit, text) in MARGINS.items())
        return built_in + tuple(formula.info for formula in self.formulas)

    @property
    def over_time(self) -> bool:
        """Whether every margin is a minimum over time, so that there is one to go from every state."""
        return all(formula.parts is not None for formula in self.formulas)

    @property
    def simulated(self) -> tuple[str, ...]:
        """Signals that are needed and that a robot's own record does not have."""
        needed = [name for formula in self.formulas for name in formula.signals()]
        needed += self.goal.signals() if self.goal is not None else ()
        return tuple(dict.fromkeys(n for n in needed if n.startswith(SIMULATED)))

    def check(self, period: float, stride: float) -> None:
        """Refuse formulas and an objective that have no value in walks with such a stride.

        Raises:
            ValueError: names the margin or objective and the length of walk that it needs.
        """
        for formula in self.formulas:
            formula.check(period, stride, self.seconds)
        if self.goal is not None:
            length = round(self.seconds / period)
            self.goal.check(
                length, ArrayTrace({}, period, stride), min(round(self.after / period), length - 1)
            )

    def command(self, gait: Gait) -> FloatArray:
        """Forward and leftward velocity that the gait can follow at the end of the ramp, m/s, 2."""
        command = np.array(self.velocity[:2])
        command *= self.limit(gait).share(*self.velocity[:2])
        return command

    def shortened(self, gait: Gait) -> str:
        """Says that a command of the walk is more than the gait can follow; empty where none is."""
        segments = () if self.world is None else self.world.segments
        if not segments:
            return shortened_command(self.limit(gait), *self.velocity[:2])
        gaits = gaits_of(segments, gait, self.robot)
        said = [
            shortened_command(self.limit(g), s.forward, s.leftward)
            for g, s in zip(gaits, segments, strict=True)
        ]
        return "; ".join(dict.fromkeys(filter(None, said)))

    def limit(self, gait: Gait) -> SpeedLimit:
        """The greatest speed of a gait; none where the controller has its own."""
        if self.swing_speed is None:
            return SpeedLimit(math.inf, "")
        return speed_limit(self.robot, gait, self.swing_speed)

    # -- what a walk shows ----------------------------------------------------------------------------

    def seen(self, record: WalkRecording, true: bool, gait: Gait) -> SeenWalk:
        """The walk as the plant (`true`) or as the robot itself saw it."""
        signals = walk_signals(record, true, self.command(gait), self.ramp)
        if self.world is not None:
            fastest = self.limit(gait).speed
            signals = _in_world(signals, record, true, self.world, fastest, self.ramp, self.robot)
        trace = WalkTrace(
            record, signals, true, self.robot, gait.stride_duration, self.velocity[2], self.ramp
        )
        return SeenWalk(signals, trace)

    def margins_over_time(self, walk: SeenWalk, rows: int) -> dict[str, FloatArray]:
        """Every margin that is a minimum over time, in every tick, `n` each.

        Args:
            walk: as somebody saw it.
            rows: ticks of the whole walk.
        """
        course = margins_over_time(walk.signals, self.robot, self.limits)
        for formula in self.formulas:
            values = formula.course(walk.trace, rows)
            if values is not None:
                course[formula.name] = values
        return course

    def margins(self, walk: SeenWalk, rows: int) -> dict[str, float]:
        """Every margin; of a formula in a walk that was to be longer, the most that it could still reach.

        Args:
            walk: as somebody saw it.
            rows: ticks of the whole walk.
        """
        course = margins_over_time(walk.signals, self.robot, self.limits)
        found = {name: float(values.min()) for name, values in course.items()}
        return found | {formula.name: formula.upper(walk.trace, rows) for formula in self.formulas}

    def fallen(self) -> dict[str, float]:
        """Largest margins that a walk which fell may report."""
        return self.limits.fallen(self.robot) | {formula.name: FALLEN for formula in self.formulas}

    def objective_over_time(self, walk: SeenWalk) -> FloatArray | None:
        """In every tick what the objective is the mean of, `n`; None where it is no mean."""
        if self.goal is not None:
            return self.goal.over_time(walk.trace)
        return objectives_over_time(walk.signals, self.robot).get(self.objective)

    @property
    def only_costs(self) -> bool:
        """Whether no tick can make up for what others cost."""
        return self.goal is None or self.goal.never_positive

    def objectives(self, walk: SeenWalk, rows: int, steady: int, first: int) -> dict[str, float]:
        """The objective and the built-in ones, by name.

        Args:
            walk: as somebody saw it.
            rows: ticks of the whole walk, where this is its beginning.
            steady: tick from which on what is missing is taken to go on as what was walked.
            first: ticks at the start that are left out.
        """
        found = objectives(walk.signals, self.robot, rows, steady, first)
        if self.goal is None:
            return found
        weights = tick_weights(len(walk.trace) - first, rows - first, max(0, steady - first))
        return found | {self.goal.name: self.goal.of(walk.trace, np.append(np.zeros(first), weights))}

    def watched_in(self, walk: SeenWalk) -> dict[str, float]:
        """The watched objectives over the whole walk, by name."""
        weights = np.ones(len(walk.trace))
        return {goal.name: goal.of(walk.trace, weights) for goal in self.watched}

    def closed_after(self, period: float, stride: float) -> float:
        """Seconds from which on every margin over time has a value."""
        return max(
            (f.first_closed(period, stride) for f in self.formulas if f.parts is not None), default=0.0
        )

    def decided_by(self, walk: SeenWalk, margins: Mapping[str, float]) -> tuple[dict[str, float], str]:
        """What every formula's margin comes from: numbers by name, and a sentence for those below 0."""
        numbers, sentences = dict[str, float](), []
        for formula in self.formulas:
            found = formula.decisive(walk.trace)
            if found is None:
                continue
            name = formula.name
            numbers |= {
                f"{name}.time": found.time,
                f"{name}.comparison": float(found.atom),
                f"{name}.distance": found.distance,
            }
            if margins[name] < 0:
                sentences.append(words(formula, margins[name], walk.trace))
        return numbers, "; ".join(sentences)

    def unfit(self, margins: Mapping[str, float], walked: float) -> str:
        """Why a walk of so many seconds has not every margin, in words; empty where it has."""
        missing = [f.name for f in self.formulas if not math.isfinite(margins[f.name])]
        if not missing:
            return ""
        return f"the walk of {walked:g} s was too short for the windows of {', '.join(missing)}"


def _in_world(
    signals: WalkSignals,
    record: WalkRecording,
    true: bool,
    world: WalkConditions,
    fastest: float,
    ramp: float,
    robot: RobotModel,
) -> WalkSignals:
    """Signals with the command of every tick where it changes, and true heights over the floor that there is."""
    rows = slice(record.walk_start, None)
    if any(segment.gait for segment in world.segments):
        # What may be walked while one gait goes over into another is the controller's to say.
        command = record.command[rows, :2]
        changes = np.append(True, np.any(np.diff(record.command[rows], axis=0) != 0.0, axis=1))
        last = np.maximum.accumulate(np.where(changes, record.time[rows], -np.inf))
        signals = replace(signals, command=command, at_speed=record.time[rows] - last >= 2.0 * ramp)
    elif world.segments:
        profile, time = VelocityProfile(world.segments, ramp), record.time[rows]
        command = profile.course(time, fastest)
        signals = replace(signals, command=command, at_speed=profile.settled(time) >= 2.0 * ramp)
    if true and (any(world.disturbance.slope) or world.disturbance.uneven):
        poses = record.base_position[rows], record.base_orientation[rows]
        floor = floor_under(world.disturbance, world.plant or robot, *poses)
        signals = replace(signals, height=signals.height - floor)
    return signals


def capped(values: Mapping[str, float], ceiling: Mapping[str, float]) -> dict[str, float]:
    """Margins of a fall: at most the ceiling, and finite whatever was measured."""
    floor = {name: 1e3 * value for name, value in ceiling.items()}
    capped = {}
    for name, value in values.items():
        value = value if math.isfinite(value) else floor[name]
        capped[name] = max(floor[name], min(ceiling[name], value))
    return capped
