"""Faults of the robot's body, of its controller, and of who else commands it."""

from __future__ import annotations

from functools import partial

import numpy as np

from safebo.experiments.robustness.faults.bench import (
    TICK,
    answer_time,
    comes_to,
    damps,
    ended,
    latched_as,
    on_a_body,
    on_a_stand_in,
    on_baseline,
    stays,
)
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.faults.states import Entry, hurt, injected
from safebo.experiments.robustness.robot_run import RobotRun
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import LATCHED, State
from safebo.types import NotStartedError

TILT, TURN = 0.5, 6.0  # rad of roll or pitch, rad/s of the trunk: the published limits


def _tilt(seen: RobotObservation) -> float:
    """The larger of roll and pitch, rad, worked out here and not by the guardian."""
    w, x, y, z = seen.reading.orientation
    roll = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2 * (w * y - z * x), -1, 1))
    return float(max(abs(roll), abs(pitch)))


@fault(24, "fall", "a torque of 25 N m tips the walking robot over")
def fall(report: Report) -> None:
    """Joint damping in the very tick, an unsafe trial with its margins, and no getting up by itself."""
    with on_a_body() as (run, world):
        crossed: list[float] = []

        def watch(seen: RobotObservation) -> None:
            if not crossed and (_tilt(seen) > TILT or np.abs(seen.reading.angular_velocity).max() > TURN):
                crossed.append(world.now)

        world.body.edit = watch
        story, _ = hurt(run, world, {"kind": "tip_over", "value": 25.0, "for": 1.0})
        damped = answer_time(world, crossed[0], damps)
        report.responded(damped, TICK, "one control tick")
        ended(report, run, story, State.DAMP_LATCHED, "aborted", "too")
        report.expect(story.measurement is not None and story.measurement.fell, "record: no fall")
        world.run(2.0)
        report.expect(world.state is State.DAMP_LATCHED, f"robot: {world.state.name} two seconds later")
        stays(report, run, State.DAMP_LATCHED)
    report.shows(
        robot="joint damping in the tick in which tilt or turning rate crosses its limit; stays down until cleared",
        record="trial unsafe, fell: every margin below its limit, no objective",
    )


@fault(
    25,
    "joint at its limits",
    "a joint is stuck in a walk, or while it gets up; a motor stays at its largest torque",
)
def joint_limits(report: Report) -> None:
    """Commands are clamped; what persists ends the trial on baseline gains and counts as unsafe."""
    with on_a_body() as (run, world):
        story, _ = hurt(run, world, {"kind": "joint_stuck"})
        margins = {} if story.measurement is None else story.measurement.margins
        below = [name for name, margin in margins.items() if margin < 0]
        report.expect("tracking" in below, f"a stuck joint, yet margins {margins}")
    with on_a_body(lying=True) as (run, world):
        world.when(lambda: world.state is State.STANDING_UP, lambda: world.body.inject(kind="joint_stuck"))
        story = run.run(run.trial())
        report.expect(isinstance(story.error, NotStartedError), f"stuck while it gets up: {story.error!r}")
        report.expect(world.state in LATCHED, f"stuck while it gets up: {world.state.name}")
        report.expect(State.RUNNING not in {s for _, s, _ in world.history}, "it walked with a stuck leg")
    with on_a_body() as (run, world):
        robot = world.guardian.robot

        def saturated(seen: RobotObservation) -> None:
            if world.walking:
                seen.torque[4] = -1.01 * robot.torque_limit[4]

        world.body.edit = saturated
        story = run.run(run.trial())
        held = answer_time(world, _first_walk(run), on_baseline)
        report.responded(held, 0.1, "0.1 s of it without interruption")
        report.record = ""
        ended(report, run, story, State.HOLD_LATCHED, "aborted", "a motor is at its torque")
        most = max(float(np.abs(c.torque / robot.torque_limit).max()) for _, _, c in world.history)
        report.expect(most <= 1.0, f"a torque of {most:.3f} of the limit was commanded")
    report.robot = f"torques are clamped; baseline gains after {held:.3f} s of saturation"
    report.robot += "; stuck while getting up: latched, no trial"
    report.record = f"stuck: margins below their limits ({', '.join(below)}); saturated: " + report.record


def _first_walk(run: RobotRun) -> float:
    """When the walk began, s."""
    guardian = run.world.guardian
    plan = guardian.run.plan
    assert plan is not None
    return guardian.run.started + plan.walk.settle


@fault(26, "hot motor, empty battery", "soft limits before a trial, hard limits while the robot walks")
def battery_and_heat(report: Report) -> None:
    """Above a soft limit nothing new starts; a hard one makes the robot stand down."""
    soft: dict[str, Entry] = {
        "the battery is low": {"kind": "low_battery", "value": 25.0},
        "a motor is warm": {"kind": "hot_motor", "value": 75.0},
        "the battery's cells differ": {"kind": "cell_spread", "value": 0.4},
    }
    with on_a_body() as (run, world):
        for number, (words, entry) in enumerate(soft.items(), 1):
            world.body.inject(**entry)
            story = run.run(run.trial(number))
            report.expect(isinstance(story.error, NotStartedError), f"{words}: {story.error!r}")
            report.expect(words in story.message, f"operator: {words!r} is not in {story.message!r}")
            report.expect(story.steps[-1] == "APPROVED", f"{words}: steps {story.steps}")
            checks = [c for c in run.evaluator.preflight() if not c.passed]
            report.expect(checks, f"{words}: the checks before the first trial passed")
    hard: dict[str, tuple[Entry, float]] = {
        "the battery is empty": ({"kind": "low_battery", "value": 10.0}, 0.2),
        "a motor is hot": ({"kind": "hot_motor", "value": 95.0}, 0.02),
    }
    for words, (entry, lasting) in hard.items():
        with on_a_body() as (run, world):
            story, since = hurt(run, world, entry)
            sat = answer_time(world, since, latched_as(State.SIT_LATCHED))
            # said after a tick, heard with the next
            report.responded(sat, lasting + TICK, "0.2 s (charge), 0.02 s (motor) beyond the limit")
            report.record = report.operator = ""
            ended(report, run, story, story.state, "failed", words)
            report.expect(comes_to(world, State.DAMP_LATCHED, 4.0), f"{words}: {world.state.name} after 4 s")
    report.robot = "soft: no new trial; hard: stands down, then joint damping"
    report.record = "soft: not started; hard: " + report.record


@fault(
    27, "controller crash or overrun", "the controller raises, gives NaN, or takes 21 ms, then 5 ms a cycle"
)
def controller(report: Report) -> None:
    """The guardian takes over in the same tick; slow cycles have ten milliseconds."""
    slowest = 0.0
    # a controller that raises or gives nonsense with these gains speaks against them; time does not
    kinds: tuple[tuple[str, object, str, str, float], ...] = (
        ("fails", ArithmeticError("singular"), "aborted", "singular", 0.0),
        ("nonsense", True, "aborted", "not finite", 0.0),
        ("controller_time", 0.021, "failed", "stalled", 0.0),
        ("controller_time", 0.005, "failed", "too slow", 0.01),
    )
    for name, value, outcome, words, most in kinds:
        with on_a_stand_in() as (run, world):
            hurt_one = world if name == "controller_time" else world.walker
            story, since = injected(run, world, partial(setattr, hurt_one, name, value))
            damped = answer_time(world, since, damps)
            report.expect(damped <= most + 1e-9, f"{words}: damped after {damped:.4f} s")
            slowest = max(slowest, damped)
            report.record = report.operator = ""
            ended(report, run, story, State.DAMP_LATCHED, outcome, words)
            stays(report, run, story.state)
    report.responded(slowest, 0.01, "the same tick; 10 ms for slow cycles")
    report.shows(
        robot="joint damping in the same tick; after five slow cycles in a row",
        record="crash or NaN: unsafe; too slow: says nothing about the gains",
    )


@fault(
    28,
    "second commander",
    "somebody else publishes joint commands: before a trial, and while the robot walks",
)
def second_commander(report: Report) -> None:
    """Nothing starts; a running trial ends on baseline gains."""
    with on_a_stand_in() as (run, world):

        def foreign(seen: RobotObservation) -> None:
            seen.foreign_commands = True

        story, since = injected(run, world, partial(setattr, world.robot, "edit", foreign))
        held = answer_time(world, since, on_baseline)
        report.responded(
            held, TICK, "one control tick after it is known (publishers are counted 20 times a second)"
        )
        ended(report, run, story, State.HOLD_LATCHED, "failed", "another commander")
        checks = [c.message for c in run.evaluator.preflight() if not c.passed]
        report.expect(
            any("another commander" in words for words in checks), f"checks before a trial: {checks}"
        )
        stays(report, run, story.state)
    report.robot = "baseline gains, latched; before a trial it is not started"


@fault(31, "stop at the remote control", "the person beside the robot presses L2 and B while it walks")
def remote_stop(report: Report) -> None:
    """Seen in the robot's states: joint damping, an unsafe trial by a person's judgement, no start without reset."""
    with on_a_body() as (run, world):
        story, since = hurt(run, world, {"kind": "remote_stop"})
        damped = answer_time(world, since, damps)
        report.responded(damped, TICK, "one control tick after the state that says so")
        ended(report, run, story, State.DAMP_LATCHED, "aborted", "stopped at the remote control")
        run.client.pump(0.1)
        report.refused("it stood up without a reset", run.client.stand)
        stays(report, run, story.state)
    report.robot = "joint damping; the drives damp by themselves meanwhile"
