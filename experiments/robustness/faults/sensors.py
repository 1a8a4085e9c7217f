"""Faults of the robot's sensors, and of the stream of its states: what they say cannot be true, or is not news."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from safebo.experiments.robustness.faults.states import Entry, hurt, injected
from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.digest import trial_digest
from safebo.types import NotStartedError

Case = tuple[Entry, State, str]
"""A fault, the state in which the guardian latches, and what the operator reads."""

_SITS = (State.SIT_LATCHED, State.DAMP_LATCHED)


def _in_a_walk(
    report: Report, cases: Sequence[Case], most: float, promise: str, outcome: str = "failed"
) -> None:
    """Every case in the walk of a robot of its own: latched in time, and so told."""
    slowest, operator = 0.0, ""
    for entry, state, words in cases:
        with on_a_body() as (run, world):
            story, since = hurt(run, world, entry)
            took = answer_time(world, since, latched_as(state))
            report.expect(took <= most + TICK + 5e-7, f"{entry}: {state.name} after {took:.3f} s")
            slowest = max(slowest, took)
            after = story.state if state in _SITS and story.state in _SITS else state
            report.record = report.operator = ""
            ended(report, run, story, after, outcome, words)
            operator = operator or report.operator
    # said after a tick, heard with the next
    report.responded(slowest, most + TICK, promise)
    report.operator = operator


def _standing_with(world: WireWorld, entry: Entry) -> GuardianClient:
    """A robot that had a fault when it still lay, and has got up with it."""
    client = world.client()
    world.run(0.2)
    world.body.inject(**entry)
    world.standing(client)
    return client


def _arm(world: WireWorld, client: GuardianClient) -> int:
    gains = world.table.baseline
    client.set_gains(gains)
    client.set_walk(TROT)
    return client.arm(1, trial_digest(world.table.identity, gains, [], TROT, None), patience=0.5)


def _refused_standing(report: Report, cases: Sequence[tuple[Entry, str]]) -> None:
    """Every case from the time when the robot still lay: it gets up, and no trial is armed."""
    told = []
    for entry, words in cases:
        world = WireWorld(0)
        client = _standing_with(world, entry)
        told.append(report.refused(f"{entry}: armed", partial(_arm, world, client), answer=words))
        report.expect(world.state is State.HOLD, f"{entry}: {world.state.name}")
    report.operator = told[0]
    report.shows(robot="gets up, does not walk", record="not started")


@fault(
    37,
    "frozen inertial unit",
    "all of the inertial unit, its attitude, gyroscope or accelerometer say the same to the bit while the robot "
    "walks",
)
def imu_frozen(report: Report) -> None:
    """Nobody keeps balance by it: standing down by the joints' angles, within 40 ms."""
    parts = ("all", "attitude", "gyroscope", "accelerometer")
    cases: list[Case] = [
        ({"kind": "imu_frozen", "value": part}, State.SIT_LATCHED, "the inertial unit is frozen")
        for part in parts
    ]
    _in_a_walk(report, cases, 0.038, "40 ms")
    report.robot = f"stands down by its joints' angles after {report.seconds:.3f} s, then joint damping"


@fault(
    38, "stuck encoder", "a thigh's, or a calf's, angle and speed stay what they were while the robot walks"
)
def encoder_stuck(report: Report) -> None:
    """A joint that does not know where it is is driven no longer: joint damping, and which joint it is."""
    cases: list[Case] = [
        ({"kind": "encoder_frozen", "value": joint}, State.DAMP_LATCHED, f"frozen: {joint}")
        for joint in ("FL_thigh", "RR_calf")
    ]
    _in_a_walk(report, cases, 0.25, "0.25 s, the time in which its target moves included")
    report.robot = "joint damping"


@fault(
    39,
    "all encoders stuck",
    "all angles and speeds stay what they were while the robot walks; the clock goes on",
)
def encoders_stuck(report: Report) -> None:
    """The same, and sooner."""
    entry: Entry = {"kind": "encoder_frozen", "value": ["FL", "FR", "RL", "RR"]}
    _in_a_walk(report, [(entry, State.DAMP_LATCHED, "all encoders are frozen")], 0.1, "0.1 s")
    report.robot = "joint damping"


@fault(
    40,
    "encoder that jumps",
    "a calf is off by 0.35 rad from one state to the next in a walk: only told so, or its drive goes by it; a hip by "
    "0.15 rad",
)
def encoder_jumps(report: Report) -> None:
    """The angle has changed otherwise than its speed says: joint damping, and which joint it is."""
    entries: list[tuple[Entry, str]] = [
        ({"kind": "angle_offset"}, "FL_calf"),
        ({"kind": "encoder_offset"}, "FL_calf"),
        ({"kind": "encoder_offset", "value": {"RL_hip": 0.15}}, "RL_hip"),
    ]
    cases: list[Case] = [
        (e, State.DAMP_LATCHED, f"angle and speed disagree: {joint}") for e, joint in entries
    ]
    _in_a_walk(report, cases, 0.1, "0.1 s")
    report.robot = "joint damping"


@fault(
    41, "wrong gyroscope", "the gyroscope has the wrong sign, or says twice the rate, while the robot walks"
)
def gyroscope(report: Report) -> None:
    """It contradicts the change of attitude: standing down."""
    cases: list[Case] = [
        ({"kind": "gyro_scale", "value": factor}, State.SIT_LATCHED, "gyroscope and attitude disagree")
        for factor in (-1.0, 2.0)
    ]
    _in_a_walk(report, cases, 0.5, "0.5 s of walking")
    report.robot = "stands down, then joint damping"


@fault(
    42, "attitude that jumps", "the attitude is told rolled by 0.3 rad from one state to the next in a walk"
)
def attitude_jumps(report: Report) -> None:
    """The gyroscope has seen nothing of it: standing down."""
    cases: list[Case] = [({"kind": "attitude_offset"}, State.SIT_LATCHED, "gyroscope and attitude disagree")]
    _in_a_walk(report, cases, 0.15, "0.15 s")
    report.robot = "stands down, then joint damping"


@fault(
    43,
    "joint that is off before a trial",
    "a calf is off by 0.35 rad or a hip by 0.15 rad before the robot gets up: only told so, or its drive goes by it",
)
def joint_off(report: Report) -> None:
    """Found while it stands, by torques and by its feet; no trial is armed, and the joint or leg is named."""
    cases: list[tuple[Entry, str]] = [
        ({"kind": "angle_offset"}, "angle and torque do not fit: FL_calf"),
        ({"kind": "angle_offset", "value": {"RL_hip": 0.15}}, "angle and torque do not fit: RL_hip"),
        ({"kind": "encoder_offset", "value": {"FR_calf": -0.35}}, "feet not in a plane: a joint off?: FR"),
        ({"kind": "encoder_offset", "value": {"RL_hip": 0.15}}, "feet not in a plane: a joint off?: RL"),
    ]
    _refused_standing(report, cases)


@fault(
    44,
    "gravity that is elsewhere",
    "before a trial the attitude is off by 0.15 rad, or the accelerometer weighs 1.3 times too much",
)
def gravity(report: Report) -> None:
    """Accelerometer and attitude contradict each other on a robot that is still: no trial."""
    cases: list[tuple[Entry, str]] = [
        ({"kind": "attitude_offset", "value": 0.15, "at": 2.6}, "gravity is elsewhere"),
        ({"kind": "accelerometer_scale", "at": 2.6}, "accelerometer weighs wrong"),
    ]
    told = []
    for entry, words in cases:
        world = WireWorld(0)
        client = world.client()
        world.run(1.2)
        world.body.inject(**{k: v for k, v in entry.items() if k != "at"})
        world.run(1.5)
        client.connect()
        client.acquire()
        told.append(report.refused(f"{entry}: got up", client.stand, answer=words))
        report.expect(world.state is State.REST, f"{entry}: {world.state.name}")
    report.operator = told[0]
    report.shows(robot="does not even get up", record="not started")


@fault(
    45,
    "another robot's serial",
    "the states bear another serial number from one to the next while the robot walks",
)
def serial(report: Report) -> None:
    """They are another robot's: joint damping."""
    cases: list[Case] = [({"kind": "serial"}, State.DAMP_LATCHED, "another one: 7-7 instead of 0-0")]
    _in_a_walk(report, cases, 0.0, "one control tick after the state that says so")
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
        report.expect(story.state in _SITS, f"robot: {story.state.name}")
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
    _in_a_walk(report, cases, 0.25, "25 states")
    report.robot = "baseline gains, latched"


@fault(
    51, "a leg's states missing", "the motors of one leg say nothing but zeros: before a trial, and in a walk"
)
def leg_missing(report: Report) -> None:
    """Before: it does not get up. In a walk: latched by its range, then joint damping."""
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
        report.responded(answer_time(wire, since, on_baseline), 0.05, "0.05 s")
        report.expect(story.state in (State.DAMP_LATCHED, State.HOLD_LATCHED), f"robot: {story.state.name}")
        found = "nothing" if story.measurement is None else story.measurement.outcome
        report.expect(found in ("failed", "aborted"), f"record: {found}")
    report.shows(
        robot="before: does not get up; in a walk: baseline gains, then joint damping",
        record="before: not started; in a walk: no score",
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
    _in_a_walk(
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
    client.start(_arm(world, client), 4.0)
    client.pump(TROT.settle + 0.3)
    world.body.edit, world.remember = freeze, True
    begin = world.now
    while world.state is State.RUNNING and world.now < begin + 2.0:
        client.pump(0.02)
    report.responded(answer_time(world, begin, on_baseline), 1.2, "1 s of moving joints")
    report.expect(world.state is State.HOLD_LATCHED, f"robot: {world.state.name}")
    report.operator = world.guardian.latch.message
    report.shows(robot="baseline gains, latched", record="trial says nothing about its gains, and why")
