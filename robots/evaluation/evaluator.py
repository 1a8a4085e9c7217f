"""Trials of a simulated quadruped: gains and a gait in, objective, margins and outcome out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.evaluation.conditions import (
    CONDITION_CONTEXTS,
    VelocityProfile,
    WalkConditions,
    walk_conditions,
)
from safebo.robots.evaluation.early_end import end_rule
from safebo.robots.evaluation.margins import to_go
from safebo.robots.evaluation.metrics import (
    MARGINS,
    OBJECTIVES,
    Limits,
    WalkSignals,
    margins,
    margins_over_time,
    objectives,
    objectives_over_time,
    walk_signals,
)
from safebo.robots.evaluation.strides import strides_of
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import GAINS, Gains
from safebo.robots.quadruped.gait import Gait, gait_named
from safebo.robots.quadruped.swing import MAX_SWING_SPEED
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.drift import Drift
from safebo.robots.simulation.plant import Simulation, floor_rise
from safebo.robots.simulation.rollout import STATE_NAMES, FallLimits, WalkRecording, rollout
from safebo.robots.simulation.trajectory import Trajectory
from safebo.types import (
    EarlyEnd,
    EvaluatorInfo,
    FloatArray,
    Measurement,
    Monitor,
    ParameterInfo,
    QuantityInfo,
    Trial,
)

RAMP = 0.5
"""Seconds over which the velocity command grows from rest."""

CONTEXTS: dict[str, tuple[str, str, str]] = {
    "gait.duty_factor": ("duty_factor", "1", "share of the stride in which a foot stands"),
    "gait.stride_duration": ("stride_duration", "s", "time of one stride"),
    "gait.offset.fl": ("offset_fl", "1", "phase of the front left leg against the front right one"),
    "gait.offset.rr": ("offset_rr", "1", "phase of the rear right leg against the front right one"),
    "gait.offset.rl": ("offset_rl", "1", "phase of the rear left leg against the front right one"),
}
"""Context names, with the gait's field, unit and description."""

STATE_SCALES: dict[str, tuple[str, float]] = {
    "roll": ("rad", 0.1),
    "pitch": ("rad", 0.1),
    "height": ("m", 0.03),
    "velocity": ("m/s", 0.3),
    "rate": ("rad/s", 1.0),
    "angle": ("rad", 0.2),
    "speed": ("rad/s", 3.0),
}
"""Unit, and change that counts as one unit of distance, by the first part of a state coordinate's name."""


@dataclass(frozen=True)
class LeggedOptions:
    """The options of `LeggedEvaluator`, checked.

    Args:
        robot: `go1`, `go2`, or the path of an MJCF or URDF file.
        gait: named gait for what the context leaves open.
        velocity: forward, leftward (m/s) and yaw rate (rad/s).
        seconds: length of the walk.
        disturbance: the reality gap, a preset's name or its fields.
        estimator: `kalman` (from the sensors, as on a robot) or `truth`.
        gains: gains that are not tuned but differ from their default.
        objective: which of `safebo.robots.evaluation.metrics.OBJECTIVES` a measurement reports.
        limits: where the margins are zero.
        state_every: control ticks between two reported states.
        telemetry: whether trajectories are saved.
        noise_free: perfect sensors, for figures that need the truth.
        drift: how the plant changes with the operating time that a trial is told.
        objective_after: seconds at the start of the walk that the objective leaves out; the margins never do.
    """

    robot: str = "go1"
    gait: str = "trot"
    velocity: tuple[float, float, float] = (0.5, 0.0, 0.0)
    seconds: float = 5.0
    disturbance: Disturbance = field(default_factory=Disturbance)
    estimator: str = "kalman"
    gains: Gains = field(default_factory=Gains)
    objective: str = "tracking"
    limits: Limits = field(default_factory=Limits)
    state_every: int = 10
    telemetry: bool = False
    noise_free: bool = False
    drift: Drift = field(default_factory=Drift)
    objective_after: float = 0.0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> LeggedOptions:
        """LeggedOptions from a study's `evaluator.options`.

        Raises:
            ValueError: names the option, its value, and what is allowed.
        """
        values = {}
        for key, value in options.items():
            if key not in OPTIONS:
                close = difflib.get_close_matches(str(key), OPTIONS, n=1)
                hint = f", did you mean {close[0]!r}" if close else ""
                raise ValueError(f"unknown option {key!r}{hint}? Known are {', '.join(OPTIONS)}")
            values[key] = OPTIONS[key](key, value)
        return cls(**values)


class LeggedEvaluator:
    """Walks a quadruped in simulation under the study's reality gap.

    One trial: the robot settles on its feet (0.3 s), speeds up (0.5 s) and walks on. It ends early when the
    robot falls: outcome `aborted`, no objective, margins clearly negative. A monitor, if there is one, looks at
    the state in every control tick of the walk and may switch the gains once: outcome `backup`. The same trial
    seed gives the same measurement, bit for bit. With a `drift` the plant is the one of the trial's operating time.

    Args:
        options: see `LeggedOptions`.

    Raises:
        ValueError: for an option that does not exist or a value that is not allowed.
    """

    path_options: ClassVar = ("robot",)

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.settings = LeggedOptions.from_options(options or {})
        self.robot: RobotModel = load_robot(self.settings.robot)
        gap = self.settings.disturbance
        self._gap = gap.without_noise() if self.settings.noise_free else gap
        self._base_gait = gait_named(self.settings.gait)
        self._folder: Path | None = None
        self._relative_to: Path | None = None

    def __repr__(self) -> str:
        return f"LeggedEvaluator({self.settings!r})"

    def info(self) -> EvaluatorInfo:
        """Gains, objectives, margins, contexts and state of the robot."""
        return EvaluatorInfo(
            name="legged",
            parameters=tuple(
                ParameterInfo(g.name, g.unit, self.settings.gains[g.name], g.lower, g.upper, g.description)
                for g in GAINS
            ),
            objectives=(QuantityInfo(self.settings.objective, *OBJECTIVES[self.settings.objective]),),
            margins=tuple(QuantityInfo(n, unit, text) for n, (unit, text) in MARGINS.items()),
            contexts=(
                *(QuantityInfo(n, unit, text) for n, (_, unit, text) in CONTEXTS.items()),
                *(QuantityInfo(n, unit, text) for n, (unit, text) in CONDITION_CONTEXTS.items()),
            ),
            states=tuple(
                QuantityInfo(
                    name, STATE_SCALES[name.split(".")[0]][0], "", STATE_SCALES[name.split(".")[0]][1]
                )
                for name in STATE_NAMES
            ),
            repeatable=True,
            monitored=True,
            margins_to_go=True,
        )

    def record_into(self, folder: Path, relative_to: Path) -> None:
        """Where trajectories go, if the study asks for them, and what their names in measurements start from."""
        self._folder, self._relative_to = folder, relative_to

    def gait(self, context: Mapping[str, float]) -> Gait:
        """The gait of a context; what it leaves open comes from the option `gait`.

        Raises:
            ValueError: for an unknown context variable.
        """
        known = (*CONTEXTS, *CONDITION_CONTEXTS)
        for name in context:
            if name not in known:
                raise ValueError(f"unknown context variable {name!r}: known are {', '.join(known)}")
        base = self._base_gait
        return Gait(
            *(
                float(context.get(name, getattr(base, attribute)))
                for name, (attribute, _, _) in CONTEXTS.items()
            )
        )

    def check_conditions(self, conditions: Mapping[str, Any]) -> None:
        """Refuse conditions of a scenario that a legged robot does not know.

        Raises:
            ValueError: names the condition, what was wrong and what is allowed.
        """
        self._conditions(conditions, {})

    def _conditions(self, conditions: Mapping[str, Any], context: Mapping[str, float]) -> WalkConditions:
        settings = self.settings
        return walk_conditions(conditions, context, self._gap, settings.velocity, settings.seconds)

    def walk(
        self,
        parameters: Mapping[str, float],
        context: Mapping[str, float],
        seed: int,
        monitor: Monitor | None = None,
        operating_time: float = 0.0,
        early_end: EarlyEnd | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> WalkRecording:
        """Walk once with these gains, after so many seconds of operation, and record everything."""
        settings, world = self.settings, self._conditions(conditions or {}, context)
        gap = world.disturbance
        gap = settings.drift.at(gap, operating_time) if settings.drift else gap
        gains = settings.gains.replace(dict(parameters))
        forward, leftward, yaw_rate = world.velocity
        profile = VelocityProfile(world.segments, RAMP) if world.segments else None
        controller = Controller(
            self.robot,
            gains,
            self.gait(context),
            profile or VelocityRamp(forward, leftward, yaw_rate, RAMP),
            estimator="kalman" if settings.estimator == "kalman" else "truth",
        )
        backups: Sequence[Gains] = ()
        if monitor is not None:
            backups = [settings.gains.replace(dict(b)) for b in monitor.backups]
        return rollout(
            Simulation(world.plant or self.robot, gap, seed),
            controller,
            settings.seconds,
            monitor=None if monitor is None else monitor.check,
            backups=backups,
            limits=FallLimits(),
            # The rule is for one command and a level floor.
            end=None
            if early_end is None or world.segments or any(gap.slope)
            else self._end_rule(early_end, self.gait(context), world),
        )

    def _end_rule(
        self, rule: EarlyEnd, gait: Gait, world: WalkConditions
    ) -> Callable[[WalkRecording, int], str]:
        settings = self.settings
        return end_rule(
            rule,
            self.robot,
            settings.limits,
            settings.objective,
            self._command(gait, world),
            2.0 * RAMP,
            gait.stride_duration,
            settings.seconds,
            settings.objective_after,
        )

    def _command(self, gait: Gait, world: WalkConditions) -> FloatArray:
        """Forward and leftward velocity that the gait can follow at the end of the ramp, m/s, 2."""
        limit = _fastest(gait)
        command = np.array(world.velocity[:2])
        command *= min(1.0, limit / max(float(np.linalg.norm(command)), 1e-9))
        return command

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one trial."""
        time = trial.operating_time
        if self.settings.drift and time is None:
            raise ValueError(
                f"the plant drifts, and trial {trial.id} has no operating time: ask with operating_time=SECONDS"
            )
        conditions = {} if trial.scenario is None else trial.scenario.conditions
        record = self.walk(
            trial.parameters, trial.context, trial.seed, monitor, time or 0.0, trial.early_end, conditions
        )
        telemetry = self._save(record, trial) if self.settings.telemetry else None
        return self.measure(record, trial.context, telemetry, conditions)

    def measure(
        self,
        record: WalkRecording,
        context: Mapping[str, float],
        telemetry: str | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> Measurement:
        """What a recorded walk shows, of a walk under `conditions`."""
        settings, robot = self.settings, self.robot
        walked = len(record) - record.walk_start
        if walked < 1:
            return Measurement("failed", fell=record.fell, message=f"never walked: {record.stop_reason}")
        gait, world = self.gait(context), self._conditions(conditions or {}, context)
        command = self._command(gait, world)
        observed, true = (
            as_commanded(walk_signals(record, sees, command, RAMP), record, world, gait)
            for sees in (False, True)
        )
        true = replace(true, height=true.height - floor_heights(record, world))
        course = margins_over_time(observed, robot, settings.limits)
        seen = {name: float(values.min()) for name, values in course.items()}
        real = margins(true, robot, settings.limits)
        objective: float | None = None
        true_objective: float | None = None
        outcome = "completed"
        extra: dict[str, float] = {}
        if record.fell:
            outcome = "aborted"
            ceiling = settings.limits.fallen(robot)
            seen, real = (capped(m, ceiling) for m in (seen, real))
        else:
            rows = max(walked, round(settings.seconds / record.period)) if record.ended else walked
            steady, first = (round(s / record.period) for s in (2.0 * RAMP, settings.objective_after))
            values, truths = (
                objectives(seen, robot, rows, steady, min(first, walked - 1)) for seen in (observed, true)
            )
            objective, true_objective = values[settings.objective], truths[settings.objective]
            extra.update({f"objective.{name}": value for name, value in values.items()})
            if record.backup >= 0:
                outcome = "backup"
        return Measurement(
            outcome=outcome,  # type: ignore[arg-type]
            objective=objective,
            margins=seen,
            fell=record.fell,
            states=record.states[record.walk_start :: settings.state_every].copy(),
            margins_to_go={n: to_go(values)[:: settings.state_every] for n, values in course.items()}
            if outcome == "completed"
            else None,
            backup_time=float(record.time[record.backup_row]) if record.backup >= 0 else None,
            backup_state=record.states[record.backup_row].copy() if record.backup >= 0 else None,
            true_objective=true_objective,
            true_margins=real,
            telemetry=telemetry,
            duration=walked * record.period,
            message=record.stop_reason,
            extra=extra,
            strides=strides_of(
                objectives_over_time(observed, robot).get(settings.objective),
                course,
                record.period,
                gait.stride_duration,
                2.0 * RAMP,
            )
            if outcome == "completed"
            else None,
            ended=record.ended if outcome == "completed" else "",  # type: ignore[arg-type]
        )

    def _save(self, record: WalkRecording, trial: Trial) -> str | None:
        if self._folder is None:
            return None
        scenario = "" if trial.scenario is None else f"-{trial.scenario.name}"
        path = self._folder / f"trial-{trial.id:05d}{scenario}.parquet"
        Trajectory.from_recording(record, self.robot.joint_names, self.robot.legs).save(path)
        return str(path if self._relative_to is None else path.relative_to(self._relative_to))


def as_commanded(
    signals: WalkSignals, record: WalkRecording, world: WalkConditions, gait: Gait
) -> WalkSignals:
    """Signals of a walk whose command changes: the command of every tick, and when the robot should follow it."""
    if not world.segments:
        return signals
    profile, time = VelocityProfile(world.segments, RAMP), record.time[record.walk_start :]
    command = profile.course(time, _fastest(gait))
    return replace(signals, command=command, at_speed=profile.settled(time) >= 2.0 * RAMP)


def floor_heights(record: WalkRecording, world: WalkConditions) -> FloatArray | float:
    """Height of the floor under the trunk in every tick of a walk, m, `n`."""
    if not any(world.disturbance.slope):
        return 0.0
    return floor_rise(world.disturbance, record.base_position[record.walk_start :])


def _fastest(gait: Gait) -> float:
    """Greatest speed that a gait can follow, m/s."""
    return MAX_SWING_SPEED * gait.swing_duration / gait.stride_duration


def capped(values: Mapping[str, float], ceiling: Mapping[str, float]) -> dict[str, float]:
    """Margins of a fall: at most the ceiling, and finite whatever was measured."""
    floor = {name: 1e3 * value for name, value in ceiling.items()}
    capped = {}
    for name, value in values.items():
        value = value if math.isfinite(value) else floor[name]
        capped[name] = max(floor[name], min(ceiling[name], value))
    return capped


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a text, got {value!r}")
    return value


def _gait(key: str, value: Any) -> str:
    gait_named(_text(key, value))
    return str(value)


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be a mapping of names to numbers, got {value!r}")
    return value


def _gains(key: str, value: Any) -> Gains:
    return Gains(_mapping(key, value))


def _limits(key: str, value: Any) -> Limits:
    return Limits.from_dict(_mapping(key, value))


def _one_of(key: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if not any(value is a or (isinstance(a, str) and value == a) for a in allowed):
        raise ValueError(f"{key} must be {' or '.join(str(a).lower() for a in allowed)}, got {value!r}")
    return value


def _number(key: str, value: Any, low: float, high: float, whole: bool = False) -> float:
    good = not isinstance(value, bool) and isinstance(value, (int, float)) and low <= value <= high
    if not good or (whole and int(value) != value):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{key} must be {kind} from {low:g} to {high:g}, got {value!r}")
    return int(value) if whole else float(value)


def _velocity(key: str, value: Any) -> tuple[float, float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise ValueError(f"{key} must be [forward m/s, leftward m/s, yaw rate rad/s], got {value!r}")
    x, y, turn = (_number(f"{key}[{i}]", v, -5.0, 5.0) for i, v in enumerate(value))
    return x, y, turn


def _drift(key: str, value: Any) -> Drift:
    return Drift.from_dict(value)


def _disturbance(key: str, value: Any) -> Disturbance:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"{key} must be a preset's name or a mapping, got {value!r}")
    return Disturbance.from_dict(value)


OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "robot": _text,
    "gait": _gait,
    "velocity": _velocity,
    "seconds": partial(_number, low=0.1, high=3600.0),
    "disturbance": _disturbance,
    "estimator": partial(_one_of, allowed=("kalman", "truth")),
    "gains": _gains,
    "objective": partial(_one_of, allowed=tuple(OBJECTIVES)),
    "limits": _limits,
    "state_every": partial(_number, low=1, high=10_000, whole=True),
    "telemetry": partial(_one_of, allowed=(True, False)),
    "noise_free": partial(_one_of, allowed=(True, False)),
    "drift": _drift,
    "objective_after": partial(_number, low=0.0, high=60.0),
}
"""How each option is checked and read, from its name and its value in a study."""
