"""Faults of the stream of a robot's states: of another robot, of a wrong clock, old ones, or with values missing."""

from __future__ import annotations

import math
from functools import partial

from safebo.experiments.robustness.faults.bench import (
    TICK,
    answer_time,
    ended,
    latched_as,
    on_a_body,
    on_a_stand_in,
    on_baseline,
)
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.faults.sensors import SITS, Case, arm, in_a_walk
from safebo.experiments.robustness.faults.states import hurt, injected
from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import State
from safebo.types import NotStartedError


@fault(
    45,
    "another robot's serial",
    "the states bear another serial number from one to the next while the robot walks",
)
def serial(report: Report) -> None:
    """They are another robot's: joint damping."""
    cases: list[Case] = [({"kind": "serial"}, State.DAMP_LATCHED, "another one: 7-7 instead of 0-0")]
    in_a_walk(report, cases, 0.0, "one control tick after the state that says so")
    report.robot = "joint damping"


@fault(
    46, "robot's clock fast or slow", "the robot's clock runs at twice, half or 1.3 times its rate, in a walk"
)
def clock_rate(report: Report) -> None:
    """No controller goes by such a clock: latched, and the trial says nothing."""
    found = []
    slowest = 0.0
    for rate in (2.0, 0.5, 1.3):
        with on_a_body() as (run, world):
            story, since = hurt(run, world, {"kind": "clock_rate", "value": rate})
            took = answer_time(world, since, on_baseline)
            slowest = max(slowest, took)
            report.expect(
                story.measurement is None or story.measurement.outcome == "failed", f"{rate}: scored"
            )
            found.append(story.message.split(";")[0])
    report.responded(slowest, 0.5, "0.5 s")
    report.shows(
        robot="baseline gains, or joint damping where angles contradict their speeds",
        record="trial says nothing about its gains, and why",
        operator=found[0],
    )


@fault(47, "robot's clock backwards", "the robot's clock runs backwards while the robot walks")
def clock_back(report: Report) -> None:
    """Such states are late ones: the same as silence."""
    with on_a_body() as (run, world):
        story, since = hurt(run, world, {"kind": "clock_back"})
        held = answer_time(world, since, on_baseline)
        report.responded(held, 0.1 + 2 * TICK, "100 ms, as for silence")
        report.expect(story.state is State.DAMP_LATCHED, f"robot: {story.state.name}")
        report.expect(story.measurement is None, f"record: {story.measurement}")
        report.operator = story.message.split(";")[0]
    report.shows(
        robot=f"baseline gains after {held:.3f} s; joint damping once it is half a second back, as for a restart",
        record="trial unknown until a person says; its raw file is kept",
    )


@fault(
    48,
    "old states again",
    "the states of the last 0.4 s come again and again under new ticks while the robot walks",
)
def replayed(report: Report) -> None:
    """What was said to the bit before is no news: standing down at the third in a row."""
    with on_a_body() as (run, world):
        begin: list[float] = []

        def loop() -> None:
            world.body.inject(kind="replay", value=0.4, at=world.body.plant.time + 0.4)
            begin.append(world.now + 0.4)

        story, _ = injected(run, world, loop)
        took = answer_time(world, begin[0], latched_as(State.SIT_LATCHED))
        report.responded(took, 4 * TICK, "the third in a row")
        ended(report, run, story, story.state, "failed")
        report.expect(story.state in SITS, f"robot: {story.state.name}")
        told = [words for kind, words in story.kinds if kind == "latch"]
        report.expect("old states come again" in told[0], f"operator: {told}")
        report.operator = told[0].split(": ", 1)[1]
    report.robot = "stands down, then joint damping"


@fault(
    49,
    "lost motor packets",
    "the robot's own count of packets lost to its motors rises by 1,000 a tick in a walk",
)
def motor_lost(report: Report) -> None:
    """Nobody knows what its motors do: baseline gains, latched."""
    with on_a_body() as (run, world):
        count = [0.0]

        def lose(seen: RobotObservation) -> None:
            count[0] += 1000.0 * world.walking
            seen.motor_lost = count[0]

        world.body.edit = lose
        story, _ = injected(run, world, lambda: None)
        walk = world.guardian.run.started + TROT.settle
        held = answer_time(world, walk, on_baseline)
        report.responded(held, 0.5, "as soon as more than 200 in a second are counted")
        ended(report, run, story, State.HOLD_LATCHED, "failed", "too many motor packets lost")
    report.robot = "baseline gains, latched"


@fault(
    50, "states at half their rate", "every second state, and then every fourth, is all that comes, regularly"
)
def rarer(report: Report) -> None:
    """The controller's time would run wrong: baseline gains, latched."""
    cases: list[Case] = [
        ({"kind": "rarer", "value": float(n)}, State.HOLD_LATCHED, "states come too rarely") for n in (2, 4)
    ]
    in_a_walk(report, cases, 0.25, "25 states")
    report.robot = "baseline gains, latched"


@fault(
    51, "a leg's states missing", "the motors of one leg say nothing but zeros: before a trial, and in a walk"
)
def leg_missing(report: Report) -> None:
    """Before: it does not get up. In a walk: joint damping, for its motors' modes say nothing either."""
    world = WireWorld(0)
    world.run(1.2)
    world.body.inject(kind="leg_missing")
    world.run(0.2)
    client = world.client()
    client.connect()
    client.acquire()
    told = report.refused("got up", client.stand, answer="a motor says no temperature")
    with on_a_body() as (run, wire):
        story, since = hurt(run, wire, {"kind": "leg_missing"})
        took = answer_time(wire, since, latched_as(State.DAMP_LATCHED))
        report.responded(took, TICK, "the state that says so")
        ended(report, run, story, State.DAMP_LATCHED, "failed", "a motor is driven no more: FL_hip")
    report.shows(
        robot="before: does not get up; in a walk: joint damping",
        record="before: not started; in a walk: says nothing about its gains",
        operator=told,
    )


@fault(
    52,
    "temperature missing or impossible",
    "one motor's temperature is 0, -200 degrees Celsius or NaN: before a trial, and in a walk",
)
def temperature(report: Report) -> None:
    """Nobody sees a motor get hot: no trial; in a walk baseline gains after half a second."""

    def says(degrees: float, seen: RobotObservation) -> None:
        if math.isnan(degrees):
            seen.temperature = degrees
        seen.no_temperature = 1.0

    for degrees in (-200.0, math.nan):
        with on_a_stand_in() as (run, world):
            world.run(0.1)
            world.robot.edit = partial(says, degrees)
            story = run.run(run.trial())
            report.expect(isinstance(story.error, NotStartedError), f"{degrees}: {story.error!r}")
            report.expect("a motor says no temperature" in story.message, story.message)
    in_a_walk(
        report,
        [({"kind": "no_temperature"}, State.HOLD_LATCHED, "a motor says no temperature")],
        0.5,
        "0.5 s of it",
    )
    report.shows(
        robot="before: no new trial; in a walk: baseline gains, latched", record="not started; or no score"
    )


@fault(
    53,
    "battery says nothing",
    "the charge is 255 %, as on the wire where it is not known: before and in a walk",
)
def battery(report: Report) -> None:
    """Nobody sees it get empty: the same as a temperature that is missing."""

    def nothing(seen: RobotObservation) -> None:
        seen.battery = math.nan

    with on_a_stand_in() as (run, world):
        story, since = injected(run, world, partial(setattr, world.robot, "edit", nothing))
        held = answer_time(world, since, on_baseline)
        report.responded(held, 0.5 + TICK, "0.5 s of it")
        ended(report, run, story, State.HOLD_LATCHED, "failed", "the battery says nothing")
        checks = [c.message for c in run.evaluator.preflight() if not c.passed]
        report.expect(any("the battery says nothing" in words for words in checks), f"checks: {checks}")
    report.shows(robot="before: no new trial; in a walk: baseline gains, latched")


@fault(
    54,
    "feet and battery frozen",
    "the feet's forces and all that the battery says stay the same while the robot walks",
)
def body_frozen(report: Report) -> None:
    """Slow values that have stopped: baseline gains, latched."""
    world, kept = WireWorld(0), list[tuple[int, int]]()

    def freeze(seen: RobotObservation) -> None:
        kept.append((seen.feet, seen.power))
        seen.feet, seen.power = kept[0]

    client = world.client()
    world.standing(client)
    client.start(arm(world, client), 4.0)
    client.pump(TROT.settle + 0.3)
    world.body.edit, world.remember = freeze, True
    begin = world.now
    while world.state is State.RUNNING and world.now < begin + 2.0:
        client.pump(0.02)
    report.responded(answer_time(world, begin, on_baseline), 1.2, "1 s of moving joints")
    report.expect(world.state is State.HOLD_LATCHED, f"robot: {world.state.name}")
    report.operator = world.guardian.latch.message
    report.shows(robot="baseline gains, latched", record="trial says nothing about its gains, and why")


@fault(59, "motor that is off", "a motor gives no torque, and says so by its mode, while the robot walks")
def motor_off(report: Report) -> None:
    """Gains do not answer for a limp leg: joint damping, before the leg gives way as it does by bad gains."""
    words = "a motor is driven no more: FL_thigh: 0 instead of 10"
    in_a_walk(report, [({"kind": "motor_off"}, State.DAMP_LATCHED, words)], 0.0, "the state that says so")
    report.robot = "joint damping"
