"""Trials of a simulated quadruped: gains and a gait in, objective, margins and outcome out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from safebo.boundary.margin_to_go import MarginMonitor
from safebo.robots.controllers.finding import find_controller, table_for
from safebo.robots.controllers.protocol import Command
from safebo.robots.controllers.walk import ProtocolWalk
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.evaluation.conditions import (
    CONDITION_CONTEXTS,
    WalkConditions,
    command_of,
    gait_schedule,
    walk_conditions,
)
from safebo.robots.evaluation.early_end import end_rule
from safebo.robots.evaluation.margins import to_go
from safebo.robots.evaluation.metrics import Limits
from safebo.robots.evaluation.named import WATCHED_OBJECTIVES
from safebo.robots.evaluation.options import LeggedOptions, goal_from, margins_from, named_goal
from safebo.robots.evaluation.scoring import WalkScoring, capped
from safebo.robots.evaluation.shown import PresentMargins
from safebo.robots.evaluation.strides import strides_of
from safebo.robots.evaluation.switches import tried_switches
from safebo.robots.evaluation.visited import STATE_SCALES, reported_rows
from safebo.robots.evaluation.watching import Watching, ramped, takeovers
from safebo.robots.quadruped.controller import Controller
from safebo.robots.quadruped.gains import Gains, robot_gains
from safebo.robots.quadruped.gait import Gait, robot_gait
from safebo.robots.quadruped.gait_changes import GaitSchedule
from safebo.robots.quadruped.gait_table import GaitTable, read_gait_table
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.floor import check_start
from safebo.robots.simulation.footage import commands_over_time
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import STATE_NAMES, Walk, WalkLoop, WalkRecording
from safebo.robots.simulation.trajectory import Trajectory
from safebo.types import (
    WATCHED_PREFIX,
    EarlyEnd,
    EvaluatorInfo,
    FloatArray,
    Measurement,
    Monitor,
    ParameterInfo,
    QuantityInfo,
    SwitchedTrial,
    SwitchPlan,
    Trial,
)

RAMP = 0.5
"""Seconds over which the velocity command grows from rest."""

PERIOD = 0.002
"""Seconds between two control ticks."""

CONTEXTS: dict[str, tuple[str, str, str]] = {
    "gait.duty_factor": ("duty_factor", "1", "share of the stride in which a foot stands"),
    "gait.stride_duration": ("stride_duration", "s", "time of one stride"),
    "gait.offset.fl": ("offset_fl", "1", "phase of the front left leg against the front right one"),
    "gait.offset.rr": ("offset_rr", "1", "phase of the rear right leg against the front right one"),
    "gait.offset.rl": ("offset_rl", "1", "phase of the rear left leg against the front right one"),
}
"""Context names, with the gait's field, unit and description."""


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

    path_options: ClassVar = ("robot", "controller", "controller_file", "gait_changes")

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.settings = LeggedOptions.from_options(options or {})
        self.robot: RobotModel = load_robot(self.settings.robot)
        gains = robot_gains(self.robot, self.settings.gains.given())
        self.settings = replace(self.settings, gains=gains, limits=self._limits(options or {}))
        self._own = find_controller(self.settings.controller)
        if self._own is not None:
            self._own_gains = self._own.table.full(self.settings.controller_gains)
            self._controller = self._own.make()
        gap = Disturbance.from_dict((options or {}).get("disturbance", {}), self.robot.size)
        self.settings = replace(self.settings, disturbance=gap)
        self._gap = gap.without_noise() if self.settings.noise_free else gap
        self._base_gait = robot_gait(self.robot, self.settings.gait)
        self._changes = self._table()
        goal = goal_from(self.settings, self.robot)
        self.scoring = WalkScoring(
            self.robot,
            self.settings.limits,
            goal.name if goal is not None else str(self.settings.objective),
            goal,
            margins_from(self.settings, self.robot),
            tuple(named_goal(name, self.robot) for name in WATCHED_OBJECTIVES),
            self.settings.velocity,
            self.settings.seconds,
            self.settings.objective_after,
            RAMP,
            gains["swing.max_speed"] if self._own is None else None,
        )
        self.scoring.check(PERIOD, self._base_gait.stride_duration)
        self._folder: Path | None = None
        self._relative_to: Path | None = None

    def __repr__(self) -> str:
        return f"LeggedEvaluator({self.settings!r})"

    def _table(self) -> GaitTable | None:
        """The changes of gait that are allowed; None for all."""
        path = self.settings.gait_changes
        return read_gait_table(path, self.robot) if path else None

    def _limits(self, options: Mapping[str, Any]) -> Limits:
        """The limits; a height that nobody gave is the Go1's to the robot's scale."""
        limits = self.settings.limits
        if "height" in (options.get("limits") or {}):
            return limits
        return replace(limits, height=limits.height * self.robot.size.length)

    def info(self) -> EvaluatorInfo:
        """Gains, objectives, margins, contexts and state of the robot."""
        gains = self.full_gains({})
        return EvaluatorInfo(
            name="legged",
            parameters=tuple(
                ParameterInfo(g.name, g.unit, gains[g.name], g.lower, g.upper, g.description)
                for g in table_for(self.settings.controller)
            ),
            objectives=(self.scoring.objective_info,),
            margins=self.scoring.margin_infos,
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
            monitored=self._own is None or self._own.switches,
            margins_to_go=self.scoring.over_time,
            tries_switches=self.scoring.over_time and self._own is None,
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
        world = self.world(conditions, {})
        self._check_gaits(gait_schedule(world.segments, self._base_gait, self.robot, self._changes))

    def _check_gaits(self, gaits: GaitSchedule) -> None:
        """Refuse changes of gait within a walk for a controller of the protocol, which is told one gait."""
        if self._own is not None and gaits.changes:
            raise ValueError(
                f"a change of gait within a walk is for the controllers that come with this package: "
                f"{self.settings.controller} is told one gait"
            )

    def world(self, conditions: Mapping[str, Any] | None, context: Mapping[str, float]) -> WalkConditions:
        """What the world of a walk is like, under a scenario's conditions in a context.

        Raises:
            ValueError: names the condition, what was wrong and what is allowed.
        """
        settings = self.settings
        world = walk_conditions(
            conditions or {}, context, self._gap, settings.velocity, settings.seconds, self.robot.size
        )
        check_start(world.disturbance, world.plant or self.robot)
        if self._own is not None and any(segment.gait for segment in world.segments):
            raise ValueError(
                f"velocity: controller {settings.controller} is told one gait for the whole walk; changes of gait "
                "(`gait`) are for the controller that comes with this package"
            )
        return world

    def walk(
        self,
        parameters: Mapping[str, float],
        context: Mapping[str, float],
        seed: int,
        monitor: Monitor | MarginMonitor | None = None,
        operating_time: float = 0.0,
        early_end: EarlyEnd | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> WalkRecording:
        """Walk once with these gains, after so many seconds of operation, and record everything.

        Raises:
            ValueError: a margin has no value in a walk with the context's stride; says how long it takes.
        """
        return self.begin(parameters, context, seed, monitor, operating_time, early_end, conditions).to_end()

    def begin(
        self,
        parameters: Mapping[str, float],
        context: Mapping[str, float],
        seed: int,
        monitor: Monitor | MarginMonitor | None = None,
        operating_time: float = 0.0,
        early_end: EarlyEnd | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> Walk:
        """What `walk` walks, before its first tick.

        Raises:
            ValueError: as for `walk`.
        """
        settings, gait = self.settings, self.gait(context)
        self.scoring.check(PERIOD, gait.stride_duration)
        world = self.world(conditions, context)
        gap = world.disturbance
        gap = settings.drift.at(gap, operating_time) if settings.drift else gap
        controller = self._walker(
            parameters,
            gait_schedule(world.segments, gait, self.robot, self._changes),
            command_of(world, RAMP),
        )
        watch: Callable[[FloatArray], int] | None = None
        backups = list[Any]()
        if isinstance(monitor, MarginMonitor):
            present = PresentMargins(self.scoring.under(world), gait, monitor.shown)
            watch = Watching(monitor, PERIOD, gait.stride_duration, present)
        elif monitor is not None:
            watch = monitor.check
        if monitor is not None:
            ways = takeovers(monitor, self.full_gains(parameters))
            backups = [[self.full_gains(gains) for gains in way] for way in ways]
        walk = Walk(
            Simulation(world.plant or self.robot, gap, seed),
            controller,
            settings.seconds,
            monitor=watch,
            backups=backups,
            # The rule is for one command and one level floor.
            end=None
            if early_end is None or world.segments or not gap.same_everywhere
            else end_rule(early_end, self.scoring.under(world), gait),
        )
        if isinstance(watch, Watching):
            watch.record = walk.record
        return walk

    def command_over_time(
        self,
        record: WalkRecording,
        context: Mapping[str, float],
        conditions: Mapping[str, Any] | None = None,
    ) -> FloatArray:
        """What a recorded walk was asked for: forward, leftward (m/s) and yaw rate (rad/s), as its gait can follow it,
        `n x 3`.
        """
        if record.command.any():
            return record.command
        limit = self.scoring.limit(self.gait(context)).speed
        return commands_over_time(record, command_of(self.world(conditions, context), RAMP), limit)

    def full_gains(self, parameters: Mapping[str, float]) -> Mapping[str, float]:
        """All gains of what walks, some of them as a trial has them."""
        if self._own is None:
            return self.settings.gains.replace(dict(parameters))
        return self._own.table.full(self._own_gains, parameters)

    def _walker(self, parameters: Mapping[str, float], gaits: GaitSchedule, command: Command) -> WalkLoop:
        """What walks, with a trial's gains."""
        gains = self.full_gains(parameters)
        if self._own is not None:
            self._check_gaits(gaits)
            name = self.settings.controller
            return ProtocolWalk(
                self._controller, name, self.robot, gains, gaits.first, command, period=PERIOD
            )
        truth = self.settings.estimator == "truth"
        estimator: Literal["kalman", "truth"] = "truth" if truth else "kalman"
        return Controller(
            self.robot,
            Gains(gains),
            gaits,
            command,
            estimator,
            law=self.settings.controller,
            adaptive_contact=self.settings.adaptive_contact,
        )

    def end_rule(self, rule: EarlyEnd, context: Mapping[str, float]) -> Callable[[WalkRecording, int], str]:
        """What is asked with a recording and its complete rows, as they come, whether a walk in a context ends there:
        why, or an empty text.
        """
        return end_rule(rule, self.scoring, self.gait(context))

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one trial."""
        conditions = {} if trial.scenario is None else trial.scenario.conditions
        record = self.walk(
            trial.parameters,
            trial.context,
            trial.seed,
            monitor,
            self._time(trial),
            trial.early_end,
            conditions,
        )
        telemetry = self._save(record, trial) if self.settings.telemetry else None
        return self.measure(record, trial.context, telemetry, conditions)

    def try_switches(self, trial: Trial, plan: SwitchPlan) -> SwitchedTrial:
        """Walk one trial and try backups on the way, each ramped as a monitor of the margin to go does it.

        Raises:
            ValueError: a controller whose walks cannot be put back, or margins that are no minimum over time.
        """
        if not self.scoring.over_time:
            raise ValueError("margins to go need margins that are a minimum over time")
        conditions = {} if trial.scenario is None else trial.scenario.conditions
        walk = self.begin(
            trial.parameters, trial.context, trial.seed, None, self._time(trial), None, conditions
        )
        own = self.full_gains(trial.parameters)
        steps = [[self.full_gains(step) for step in ramped(own, backup)] for backup in plan.backups]
        scoring = self.scoring.under(self.world(conditions, trial.context))
        return tried_switches(walk, self.gait(trial.context), scoring, plan, steps)

    def _time(self, trial: Trial) -> float:
        """The trial's operating time, s.

        Raises:
            ValueError: the plant drifts and the trial has none.
        """
        if self.settings.drift and trial.operating_time is None:
            raise ValueError(
                f"the plant drifts, and trial {trial.id} has no operating time: ask with operating_time=SECONDS"
            )
        return trial.operating_time or 0.0

    def measure(
        self,
        record: WalkRecording,
        context: Mapping[str, float],
        telemetry: str | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> Measurement:
        """What a recorded walk shows, of a walk under `conditions`."""
        settings, gait = self.settings, self.gait(context)
        scoring = self.scoring.under(self.world(conditions, context))
        walked = len(record) - record.walk_start
        if walked < 1:
            return Measurement("failed", fell=record.fell, message=f"never walked: {record.stop_reason}")
        observed, true = (scoring.seen(record, truth, gait) for truth in (False, True))
        whole = max(walked, round(settings.seconds / record.period))
        rows = whole if record.ended or record.fell else walked
        seen, real = (scoring.margins(walk, rows) for walk in (observed, true))
        objective: float | None = None
        true_objective: float | None = None
        outcome = "completed"
        extra, message = scoring.decided_by(observed, seen)
        if record.fell:
            outcome = "aborted"
            seen, real = (capped(m, scoring.fallen()) for m in (seen, real))
        else:
            unfit = scoring.unfit(seen, walked * record.period)
            if unfit:
                return Measurement("failed", message=unfit)
            rows = whole if record.ended else walked
            steady, first = (round(s / record.period) for s in (2.0 * RAMP, settings.objective_after))
            values, truths = (
                scoring.objectives(walk, rows, steady, min(first, walked - 1)) for walk in (observed, true)
            )
            objective, true_objective = values[scoring.objective], truths[scoring.objective]
            extra.update({f"objective.{name}": value for name, value in values.items()})
            extra.update({WATCHED_PREFIX + n: value for n, value in scoring.watched_in(observed).items()})
            if record.backup >= 0:
                outcome = "backup"
        course = scoring.margins_over_time(observed, rows)
        closed = scoring.closed_after(record.period, gait.stride_duration)
        states = record.states[record.walk_start :]
        # Only the states of completed walks become those of a backup.
        informative = settings.state_choice == "informative" and outcome == "completed"
        visited = reported_rows(states, settings.state_every, informative)
        return Measurement(
            outcome=outcome,  # type: ignore[arg-type]
            objective=objective,
            margins=seen,
            fell=record.fell,
            states=states[visited],
            margins_to_go={n: to_go(values)[visited] for n, values in course.items()}
            if outcome == "completed" and scoring.over_time
            else None,
            backup_time=float(record.time[record.backup_row]) if record.backup >= 0 else None,
            backup_state=record.states[record.backup_row].copy() if record.backup >= 0 else None,
            true_objective=true_objective,
            true_margins=real,
            telemetry=telemetry,
            duration=walked * record.period,
            message=record.stop_reason or "; ".join(filter(None, (message, scoring.shortened(gait)))),
            extra=extra,
            strides=strides_of(
                scoring.objective_over_time(observed),
                course,
                record.period,
                gait.stride_duration,
                max(2.0 * RAMP, closed),
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
