"""A guardian without link and network: messages go straight into its ticks, on a clock that only ticks here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import LipschitzRule
from safebo.experiments.robustness.guardian_world import PERIOD, AtOnce, StandInRobot, StandInWalker, go1
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.core import Guardian, Step
from safebo.hardware.guardian.motion import Poses
from safebo.hardware.guardian.staging import GuardedController, TrialPlan
from safebo.hardware.guardian.state_machine import TrialRun
from safebo.hardware.guardian.states import GuardianEvent, State
from safebo.hardware.guardian.walker import Walk
from safebo.hardware.link import messages as m
from safebo.hardware.link.layout import Body
from safebo.hardware.link.server import Inbound
from safebo.robots.quadruped.gait import Gait

SESSION = 7
SETTLE = 0.1
WALK = Walk(Gait(0.5, 0.5, 0.5, 0.5, 0.0), (0.3, 0.0, 0.0), 0.5, SETTLE)
TRIAL, BACKUPS = 100.0, (90.0, 80.0)
"""Stiffness of the hips, N m/rad, by which the gains at work are told."""


class Lone:
    """One guardian, its stand-in robot, and a holder of the lease that beats at every tick unless it is silent."""

    def __init__(self) -> None:
        robot = go1()
        self.now = 50.0
        self.table = quadruped_table()
        self.walker = StandInWalker(robot)
        self.robot = StandInRobot(robot, Poses(robot).folded)
        self.cycle = 0.0
        self._calls = self._requests = 0
        controller = GuardedController(self.walker, self.table)
        self.guardian = Guardian(robot, controller, AtOnce(), Random(3), self._clock)
        self.silent = False
        self.step = Step(self.guardian.command, [], [])

    def _clock(self) -> float:
        """The second of two calls, the end of a cycle, is `cycle` later than the first."""
        self._calls += 1
        return self.cycle if self._calls % 2 else 2.0 * self.cycle

    @property
    def state(self) -> State:
        """Of the guardian."""
        return self.guardian.state

    @property
    def stiffness(self) -> float:
        """Of the first hip, as commanded last."""
        return float(self.step.command.kp[0])

    def tick(self, *bodies: Body, session: int = SESSION, proof: bool = True, stop: int = 0) -> Step:
        """One control period."""
        inbox = [Inbound(session, body, 1, proof) for body in bodies]
        if not self.silent:
            inbox.append(Inbound(SESSION, m.Heartbeat(self.guardian.lease.epoch, 0, 1), 1, True))
        self.step = self.guardian.step(self.now, self.robot.observe(), inbox, 0, stop)
        self.robot.apply(self.step.command)
        self.now += PERIOD
        return self.step

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / PERIOD)):
            self.tick()

    def ask(self, body: Any, session: int = SESSION) -> m.Reply:
        """One request under the present lease."""
        self._requests += 1
        request = replace(body, request=self._requests, epoch=self.guardian.lease.epoch)
        return self.tick(request, session=session).replies[0][1]

    def until(self, state: State, seconds: float = 10.0) -> int:
        """Tick until a state is reached; how many ticks that took."""
        for k in range(round(seconds / PERIOD)):
            if self.state is state:
                return k
            self.tick()
        raise AssertionError(f"{state.name} is not reached, the state is {self.state.name}")

    def at(self, now: float) -> None:
        """Let the next tick come at this time, without a gap before it."""
        self.now, self.guardian.machine.now = now, now - PERIOD
        self.guardian._sent = now - PERIOD

    def copy(self) -> Lone:
        """Another one in the same moment."""
        shared = (
            self.guardian.robot,
            self.guardian.telemetry._rows,
        )  # the rows are written anew by every trial
        return copy.deepcopy(self, {id(one): one for one in shared})

    def gains(self, stiffness: float) -> tuple[float, ...]:
        """The baseline with another stiffness of the hips."""
        pairs = zip(self.table.names, self.table.baseline, strict=True)
        return tuple(stiffness if name == "joint.hip.kp" else value for name, value in pairs)

    def arm(self, number: int = 4, monitored: bool = False, walk: Walk = WALK) -> None:
        """Arm a trial that was sent and verified."""
        monitor = None
        if monitored:
            states, lower = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([0.5, 0.6])
            monitor = BoundaryMonitor(states, np.array([0, 1]), lower, [{}, {}], LipschitzRule(), np.ones(2))
        backups = tuple(self.gains(k) for k in BACKUPS)
        plan = TrialPlan(number, self.gains(TRIAL), backups, walk, monitor)
        assert self.guardian.machine.transition(GuardianEvent.ARM)
        self.guardian.machine.run = TrialRun(plan, 11, armed=self.guardian.machine.now)

    def start(self, duration: float) -> None:
        """Start what is armed."""
        assert self.ask(m.Start(token=11, duration=duration)).code == m.Code.OK


def in_state(state: State) -> Lone:
    """A robot that rests, or stands for a second already, and whose lease is held; without the way there."""
    lone = Lone()
    g = lone.guardian
    if state is State.HOLD:
        lone.robot.position = g._poses.standing.copy()
        g._curve = g._poses.stand(lone.now - 1.4, lone.robot.position)
        g.command = g._curve.command(lone.now)
    g.machine.state = state
    g.lease.acquire(lone.now, SESSION, "tests")
    lone.run(2 * PERIOD)
    assert lone.state is state
    return lone


def walking(lone: Lone, duration: float = 5.0, monitored: bool = False) -> Lone:
    """A trial that has settled and walks."""
    lone.arm(monitored=monitored)
    lone.start(duration)
    lone.run(SETTLE + 0.05)
    assert lone.stiffness == TRIAL
    return lone


Edit = Callable[[Any], None]


def tilted(angle: float) -> Edit:
    """What makes an observation one of a robot that rolls."""

    def edit(seen: Any) -> None:
        seen.reading.orientation[:] = [np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0]

    return edit


def as_it_is(seen: Any) -> None:
    """Change nothing."""
