"""Faults of the robot's sensors: what they say cannot be true."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from safebo.experiments.robustness.faults.bench import (
    TICK,
    answer_time,
    ended,
    latched_as,
    on_a_body,
)
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.faults.states import Entry, hurt
from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.guardian.states import State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.digest import trial_digest

Case = tuple[Entry, State, str]
"""A fault, the state in which the guardian latches, and what the operator reads."""

SITS = (State.SIT_LATCHED, State.DAMP_LATCHED)


def in_a_walk(
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
            after = story.state if state in SITS and story.state in SITS else state
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


def arm(world: WireWorld, client: GuardianClient) -> int:
    """Arm a trial with baseline gains on a standing robot; its token."""
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
        told.append(report.refused(f"{entry}: armed", partial(arm, world, client), answer=words))
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
    in_a_walk(report, cases, 0.038, "40 ms")
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
    in_a_walk(report, cases, 0.25, "0.25 s, the time in which its target moves included")
    report.robot = "joint damping"


@fault(
    39,
    "all encoders stuck",
    "all angles and speeds stay what they were while the robot walks; the clock goes on",
)
def encoders_stuck(report: Report) -> None:
    """The same, and sooner."""
    entry: Entry = {"kind": "encoder_frozen", "value": ["FL", "FR", "RL", "RR"]}
    in_a_walk(report, [(entry, State.DAMP_LATCHED, "all encoders are frozen")], 0.1, "0.1 s")
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
    in_a_walk(report, cases, 0.1, "0.1 s")
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
    in_a_walk(report, cases, 0.5, "0.5 s of walking")
    report.robot = "stands down, then joint damping"


@fault(
    42, "attitude that jumps", "the attitude is told rolled by 0.3 rad from one state to the next in a walk"
)
def attitude_jumps(report: Report) -> None:
    """The gyroscope has seen nothing of it: standing down."""
    cases: list[Case] = [({"kind": "attitude_offset"}, State.SIT_LATCHED, "gyroscope and attitude disagree")]
    in_a_walk(report, cases, 0.15, "0.15 s")
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
