"""Which rule for a global trial saves the robot in time, and how often does it stop gains that are safe?

    python -m safebo.experiments.evidence.trigger_rules --out runs/trigger-rules [--violating 500] [--safe 500]

Gains are drawn from the box of the study `go1-trot`, certified by nobody, and walked unwatched. Those that break the
study's constraint are walked again with every rule; a rule rescues them if from its switch to the end no true margin is
negative and the robot does not fall. Some nobody can save: where no rule does, an oracle tries every backup every 20 ms
on the way, by putting the simulation back, and walks the best of these switches to the end. A trigger in a walk that is
safe unwatched is a false one.

The backups, the same for all rules, are the study's initial gains and some near them. The rules on stored states
(`safebo.boundary.rules`) have the constants and scales of `safebo.experiments.papers.go1`. `margin_to_go` learns as in
a run (`safebo.tuner.learning`), from other walks of the same box, and is calibrated on yet others; its gains are ramped
over 6 ms. Times are of one call from Python on one core, all backups together.

Everything is kept in `--out` as it comes; what is there is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.boundary.margin_to_go import MarginMonitor, recent
from safebo.boundary.monitor_file import load_monitor, save_monitor
from safebo.experiments.evidence.truth import from_unit, with_evaluator_options
from safebo.experiments.papers.claims import grid
from safebo.experiments.papers.go1 import trot_then_crawl
from safebo.experiments.papers.go1_boundary import Walks
from safebo.experiments.papers.runs import command
from safebo.robots.evaluation.evaluator import PERIOD, LeggedEvaluator
from safebo.robots.evaluation.shown import shown_margins
from safebo.robots.evaluation.watching import phases, ramped
from safebo.robots.simulation.rollout import WalkRecording
from safebo.study import LEARNED_RULE as LEARNED
from safebo.study.evaluator_checks import with_defaults
from safebo.study.reading import load_study
from safebo.tuner.backups import TRIGGER_RULES, boundary_monitor
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.learning import MonitorLearning
from safebo.types import FloatArray, SwitchPlan, Trial

CONTEXT = "trot"
RULES = (*TRIGGER_RULES, LEARNED)
GRID = 10
"""Ticks between two switches that are tried: 20 ms."""

CONFIRMED = 3
"""Of the oracle's best switches, how many are walked to the end before gains count as lost."""


@dataclass(frozen=True)
class Case:
    """What results depend on: numbers of backups, of walks to learn and to calibrate from, the share of losses that is
    allowed, and the seed.
    """

    backups: int
    fit: int
    calibration: int
    alpha: float
    seed: int


class Robot:
    """The study's robot, its backups and its one constraint.

    Args:
        case: see there.
    """

    def __init__(self, case: Case) -> None:
        study = with_evaluator_options(load_study("go1-trot").study, {"telemetry": False})
        backup = trot_then_crawl().tuner.backup
        study = study.model_copy(update={"tuner": study.tuner.model_copy(update={"backup": backup})})
        self.walks, self.study = Walks(study, CONTEXT), study
        self.certified = self.walks.certified(case.backups, np.random.default_rng(case.seed))
        self.backups = [dict(backup.parameters) for backup, _ in self.certified]
        self.evaluator = LeggedEvaluator(study.evaluator.options)
        self.context = study.context.values[CONTEXT]
        self.margin = study.constraints[0].quantity or study.constraints[0].name
        self.seed = case.seed

    def gains(self, stream: int, number: int) -> dict[str, float]:
        """Gains from the box, the same for a stream and a number."""
        draw = np.random.default_rng([self.seed, stream, number]).random(len(self.study.parameters))
        return from_unit(self.study, draw)

    def lowest(self, record: WalkRecording) -> float:
        """Smallest true margin of a walk; under 0 for a fall."""
        measured = self.evaluator.measure(record, self.context)
        if record.fell or measured.true_margins is None:
            return -1.0
        return float(measured.true_margins[self.margin])

    def switched(
        self, gains: Mapping[str, float], seed: int, tick: int, backup: int, ramp: bool
    ) -> WalkRecording:
        """A walk in which a backup takes over in one tick, its gains ramped or at once."""
        walk = self.evaluator.begin(gains, self.context, seed)
        while walk.row < walk.record.walk_start + tick and walk.tick():
            pass
        after, own = self.backups[backup], self.evaluator.full_gains(gains)
        steps = ramped(own, after) if ramp else [after]
        walk.switch([self.evaluator.full_gains(step) for step in steps])
        return walk.to_end()

    def shown(self, record: WalkRecording, names: Sequence[str]) -> FloatArray:
        """Margins that a monitor was shown in a recorded walk, `n x q`."""
        evaluator = self.evaluator
        gait, scoring = (
            evaluator.gait(self.context),
            evaluator.scoring.under(evaluator.world({}, self.context)),
        )
        course = scoring.margins_over_time(scoring.seen(record, False, gait), len(record) - record.walk_start)
        return np.column_stack(list(shown_margins(course, names, scoring).values()))

    def trial(self, gains: Mapping[str, float], seed: int) -> Trial:
        """A walk with some gains."""
        return Trial(1, gains, self.context, CONTEXT, "global", seed, certified=False)

    def learned(self, case: Case) -> MarginMonitor:
        """The monitor that a run would learn."""
        keys = {"fit": case.fit, "calibration": case.calibration, "alpha": case.alpha, "state_scale": {}}
        tuner = self.study.tuner.model_copy(
            update={"backup": self.study.tuner.backup.model_copy(update=keys)}
        )
        study = with_defaults(self.study.model_copy(update={"tuner": tuner}), self.evaluator.info())
        return MonitorLearning(
            StudyEncoding(study),
            self.trial({}, 1_000_000 + case.seed),
            self.backups,
            lambda plans: [self.evaluator.try_switches(*one) for one in plans],
            lambda what, done, of: print(f"{what}: {done} of {of} walks", flush=True),
        ).learn()


def first_trigger(
    monitor: Any, record: WalkRecording, stride: float, shown: FloatArray | None = None
) -> tuple[int, int, float]:
    """Tick of a recorded walk in which a monitor triggers, or -1; the backup; and seconds of a call.

    Args:
        monitor: of any rule.
        record: of the walk.
        stride: s.
        shown: margins that a learned monitor is shown in every tick of the walk, `n x q`.
    """
    states = record.states[record.walk_start :]
    turn, learned = phases(len(states), PERIOD, stride), isinstance(monitor, MarginMonitor)
    begin = time.thread_time()
    for tick, state in enumerate(states):
        if not learned:
            choice = monitor.check(state)
        else:
            choice = monitor.check(state, turn[tick], None if shown is None else recent(shown, tick))
        if choice >= 0:
            return tick, choice, (time.thread_time() - begin) / (tick + 1)
    return -1, -1, (time.thread_time() - begin) / max(1, len(states))


def oracle(robot: Robot, gains: Mapping[str, float], seed: int) -> bool:
    """Whether some switch that is tried saves these gains to the end of the walk."""
    plan, trial = SwitchPlan(tuple(robot.backups), (robot.margin,)), robot.trial(gains, seed)
    own = robot.evaluator.try_switches(trial, plan).margins[robot.margin]
    broken = np.flatnonzero(own < 0.0)
    ticks = range(0, int(broken[0]) if len(broken) else len(own), GRID)
    pairs = tuple((tick, backup) for tick in ticks for backup in range(len(robot.backups)))
    margins = robot.evaluator.try_switches(trial, replace(plan, tried=pairs)).to_go[robot.margin]
    for place in np.argsort(-margins, kind="stable")[:CONFIRMED].tolist():
        if margins[place] < 0.0:
            return False
        tick, backup = pairs[place]
        if robot.lowest(robot.switched(gains, seed, tick, backup, ramp=True)) >= 0.0:
            return True
    return False


def judged(robot: Robot, monitors: Mapping[str, Any], number: int, record: WalkRecording) -> dict[str, Any]:
    """What every rule makes of gains whose unwatched walk was recorded."""
    gains, seed = robot.gains(0, number), number
    safe = robot.lowest(record) >= 0.0
    stride = robot.context["gait.stride_duration"]
    rules = {}
    for name, monitor in monitors.items():
        shown = robot.shown(record, monitor.shown) if name == LEARNED else None
        tick, backup, seconds = first_trigger(monitor, record, stride, shown)
        rescued = False
        if not safe and tick >= 0:
            walk = robot.switched(gains, seed, tick, backup, ramp=name == LEARNED)
            rescued = robot.lowest(walk) >= 0.0
        rules[name] = {"tick": tick, "rescued": rescued, "seconds": seconds}
    savable = safe or any(rule["rescued"] for rule in rules.values()) or oracle(robot, gains, seed)
    return {"walk": number, "safe": safe, "oracle": savable, "rules": rules}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is there so far."""
    bad, good = [r for r in rows if not r["safe"]], [r for r in rows if r["safe"]]
    savable = [r for r in bad if r["oracle"]]
    lines = []
    for name in RULES:
        seconds = [r["rules"][name]["seconds"] for r in rows]
        lines.append(
            [
                name,
                _share([r["rules"][name]["rescued"] for r in savable]),
                _share([r["rules"][name]["rescued"] for r in bad]),
                _share([r["rules"][name]["tick"] >= 0 for r in good]),
                f"{1e6 * float(np.median(seconds)):.0f}" if seconds else "",
            ]
        )
    heading = ["rule", "rescued of savable", "rescued of violating", "false triggers", "us a tick"]
    return f"savable by the oracle: {_share([r['oracle'] for r in bad])}\n{grid(heading, lines)}"


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found)} of {len(found)}" + (f" ({100 * sum(found) / len(found):.0f} %)" if found else "")


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/trigger-rules"),
    violating: Annotated[int, typer.Option(min=1, help="gains that break the constraint unwatched")] = 500,
    safe: Annotated[int, typer.Option(min=1, help="gains that do not")] = 500,
    backups: Annotated[int, typer.Option(min=1, help="walks near the initial gains")] = 3,
    fit: Annotated[int, typer.Option(min=10, help="walks to learn from")] = 120,
    calibration: Annotated[
        int, typer.Option(min=1, help="walks that break the constraint, to calibrate with")
    ] = 39,
    alpha: Annotated[float, typer.Option(min=0.001, max=0.5, help="share of losses allowed")] = 0.05,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make what is missing, and print the table as it grows."""
    out.mkdir(parents=True, exist_ok=True)
    case = Case(backups, fit, calibration, alpha, seed)
    file = out / "walks.jsonl"
    kept = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    rows = [row for row in kept if row["case"] == vars(case)]
    robot, began = Robot(case), time.monotonic()
    kept_at = out / f"monitor-{'-'.join(str(value) for value in asdict(case).values())}.npz"
    if not kept_at.exists():
        save_monitor(robot.learned(case), kept_at)
        print(f"learned in {time.monotonic() - began:.0f} s", flush=True)
    learned = load_monitor(kept_at)
    bound = learned.calibration
    print(
        f"{len(robot.backups)} backups; lengthscale {learned.model.lengthscale:g}, noise {learned.model.noise:g}, "
        f"level {bound.level:g}; {bound.counts}\n{bound.guarantee}",
        flush=True,
    )
    monitors = {
        name: boundary_monitor(
            [b for b, _ in robot.certified],
            np.array([lower for _, lower in robot.certified]),
            robot.study.tuner.backup.model_copy(update={"rule": name}),
        )
        for name in TRIGGER_RULES
    } | {LEARNED: learned}
    wanted, number = {True: safe, False: violating}, max((r["walk"] for r in rows), default=-1)
    began, made = time.monotonic(), 0
    while any(sum(r["safe"] is kind for r in rows) < count for kind, count in wanted.items()):
        number += 1
        record = robot.evaluator.walk(robot.gains(0, number), robot.context, number)
        kind = robot.lowest(record) >= 0.0
        if sum(r["safe"] is kind for r in rows) >= wanted[kind]:
            continue
        rows.append({"case": vars(case), **judged(robot, monitors, number, record)})
        with file.open("a") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
        made += 1
        if made % 10 == 0:
            left = sum(wanted.values()) - len(rows)
            hours = (time.monotonic() - began) / made * left / 3600
            print(f"\n{len(rows)} walks, about {hours:.2f} h left\n{table(rows)}", flush=True)
    print(table(rows))


if __name__ == "__main__":
    command(main)
