"""Runs in which faults are made, and questions about what happened in them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.robot_run import RobotRun, ScheduledWorld, TrialStory
from safebo.hardware.guardian.states import LATCHED, State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.proxy import Faults
from safebo.robots.quadruped.interface import JointCommand

TICK = 0.002  # s
INTO = 0.3  # s of walking before a fault


AnyWorld = TypeVar("AnyWorld", bound=ScheduledWorld)

READY: list[tuple[WireWorld, GuardianClient]] = []
"""Robots that stand already, each for one run. Getting up takes longer than most faults: whoever makes every fault in a
fork of one process has a few get up once, before (`stand_up`)."""


def stand_up(count: int) -> None:
    """Let robots for later runs get up, until so many are ready."""
    while len(READY) < count:
        world = WireWorld(0)
        client = world.client("tuner 1")
        world.standing(client)
        READY.append((world, client))


def on_a_body(lying: bool = False) -> AbstractContextManager[tuple[RobotRun, WireWorld]]:
    """Trials on a virtual Go1 behind its wire protocol, with the real controller.

    Args:
        lying: one that has to get up, in any case.
    """
    if READY and not lying:
        return _trials(*READY.pop())
    return _trials(WireWorld(0))


def on_a_stand_in(
    up: Faults | None = None, down: Faults | None = None
) -> AbstractContextManager[tuple[RobotRun, ScheduledWorld]]:
    """Trials on a robot that does what it is told; for faults that no body is needed for."""
    return _trials(ScheduledWorld(0, up, down))


@contextmanager
def _trials(world: AnyWorld, client: GuardianClient | None = None) -> Iterator[tuple[RobotRun, AnyWorld]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(RobotRun(Path(folder), world, client=client)) as run,
    ):
        yield run, world


def answer_time(world: ScheduledWorld, since: float, answers: Callable[[State, JointCommand], bool]) -> float:
    """Seconds from a moment to the first command that answers it, s; infinite without one."""
    for when, state, command in world.history:
        if when >= since - 1e-9 and answers(state, command):
            return when - since
    return float("inf")


def on_baseline(state: State, command: JointCommand) -> bool:
    """Whether a command is no longer one of the trial's gains."""
    return state is not State.RUNNING


def latched_as(wanted: State) -> Callable[[State, JointCommand], bool]:
    """Whether the guardian has latched in a state."""
    return lambda state, command: state is wanted


def damps(state: State, command: JointCommand) -> bool:
    """Whether a command is joint damping."""
    return bool(not command.kp.any() and not command.torque.any() and (command.kd > 0).all())


def comes_to(world: ScheduledWorld, state: State, seconds: float) -> bool:
    """Whether the guardian gets to a state within so many seconds, which pass only until it does."""
    end = world.now + seconds
    while world.state is not state and world.now < end:
        world.tick()
    return world.state is state


def stays(report: Report, run: RobotRun, state: State) -> None:
    """Nothing may move before a person has cleared what is latched: another trial is tried."""
    begin = len(run.world.history)
    again = run.run(run.trial(9))
    report.expect(
        again.error is not None and "safebo robot clear" in str(again.error),
        f"another trial: {again.message}",
    )
    moved = {s for _, s, _ in run.world.history[begin:]} - LATCHED
    report.expect(not moved and run.world.state in LATCHED, f"moved while {state.name}: {sorted(moved)}")


def ended(report: Report, run: RobotRun, story: TrialStory, state: State, outcome: str, *words: str) -> None:
    """Demand how a trial ended, for the robot, the record and the operator."""
    found = "nothing" if story.measurement is None else story.measurement.outcome
    report.expect(story.state is state, f"robot: {story.state.name} instead of {state.name}")
    report.expect(found == outcome, f"record: {found} instead of {outcome}; {story.message}")
    for word in words:
        report.expect(word in story.message, f"operator: {word!r} is not in {story.message!r}")
    if outcome == "aborted" and story.measurement is not None:
        margins = story.measurement.margins
        report.expect(margins and all(v < 0 for v in margins.values()), f"record: margins {margins}")
    report.record = report.record or _recorded(story)
    report.operator = report.operator or story.message.split(";")[0]


def _recorded(story: TrialStory) -> str:
    meanings = {
        "completed": "completed, with its score",
        "aborted": "unsafe: every margin below its limit, no objective",
        "failed": "says nothing about its gains, and why",
    }
    outcome = "" if story.measurement is None else story.measurement.outcome
    return f"trial {meanings.get(outcome, 'unknown until a person says')}"


def commands_of(world: ScheduledWorld) -> np.ndarray:
    """Every command of the trial, `n x 60`."""
    return np.array(
        [np.concatenate([c.position, c.velocity, c.torque, c.kp, c.kd]) for _, _, c in world.history]
    )
