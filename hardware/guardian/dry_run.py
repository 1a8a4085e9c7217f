"""A guardian's whole work without a robot: its loop, a tuner in the same thread, and a robot that only lies there.

Before a robot waits, a trial is run so, at full speed: whatever it needs is compiled and loaded then, and nothing in a
tick of the real one (`warm_up`). And it is what ticks are measured with (`safebo.hardware.guardian.tick_check`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Any

import numpy as np

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import LipschitzRule
from safebo.hardware.constants import (
    BRAKE_TIME_S,
    CONNECT_TIME_S,
    CONTROL_RATE_HZ,
    DRY_FAR,
    DRY_RAMP_S,
    DRY_ROLL_RAD,
    DRY_SETTLE_S,
    DRY_SPEED,
    DRY_STATES,
    DRY_STEP_S,
    DRY_WALK_S,
    MAX_TRIAL_S,
    SETTLE_TIME_S,
)
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.flight_recorder import FlightRecorder
from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.guardian.motion import STAND_KD, STAND_KP
from safebo.hardware.guardian.pace import GuardianPace, OwnPace, WaitingLink
from safebo.hardware.guardian.process import GuardianProcess
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.still_robot import StillRobot
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.guardian.tick_times import TickTimes, TickWatch
from safebo.hardware.guardian.walker import Walk
from safebo.hardware.link.arrays import monitor_upload
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.digest import MonitorDescription, WalkDescription, trial_digest
from safebo.hardware.link.udp import UdpAddress
from safebo.hardware.robot_link import RobotState
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.types import FloatArray

HERE: UdpAddress = ("127.0.0.1", 0)
STRONG = ("wbc.orientation.kp", "wbc.orientation.kd", "wbc.position.kp", "wbc.position.kd")
"""Gains of feedback that are chosen large while limits are to bind."""


class AtOnce(Executor):
    """Does work when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished work."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class StandingWalker:
    """Stands; in place of a controller that is a process of its own and is not to be asked."""

    state_names = ("nothing",)

    def __init__(self, robot: RobotModel) -> None:
        stiffness, damping = np.full(12, STAND_KP), np.full(12, STAND_KD)
        self._command = JointCommand(robot.home_joints.copy(), kp=stiffness, kd=damping)

    def begin(self, reading: SensorReading, walk: Walk, gains: Mapping[str, float]) -> None:
        """Nothing has to be done."""

    def step(self, reading: SensorReading) -> JointCommand:
        """The standing pose."""
        return self._command

    def switch(self, gains: Mapping[str, float]) -> JointCommand:
        """The same."""
        return self._command

    def brake(self) -> None:
        """It is at rest."""

    def state(self, reading: SensorReading) -> FloatArray:
        """One number, 0."""
        return np.zeros(1)

    def base(self) -> BaseState:
        """At rest."""
        return BaseState.at_rest()


class DryPace(GuardianPace):
    """As fast as it goes, until `keep_time` is called.

    Attributes:
        now: the guardian's clock, s.
        step: of a tick, s.
    """

    def __init__(self) -> None:
        self.now, self.step = 0.0, DRY_STEP_S
        self._own: OwnPace | None = None

    def keep_time(self, period: float) -> None:
        """From now on, tick on this machine's clock, each `period` seconds."""
        ahead = time.monotonic() - self.now
        self._own = OwnPace(period, lambda: time.monotonic() - ahead)

    def next(self, link: WaitingLink) -> tuple[float, RobotState | None]:
        """The time of the next tick, and the robot's state."""
        if self._own is None:
            self.now += self.step
            return self.now, link.read()
        self.now, state = self._own.next(link)
        return self.now, state


class _Packets:
    """The server's end of a link within one thread."""

    address = HERE

    def __init__(self) -> None:
        self.up: list[bytes] = []
        self.down: list[bytes] = []

    def receive(self) -> list[tuple[UdpAddress, bytes]]:
        """What the tuner has sent since the last tick."""
        sent, self.up = self.up, []
        return [(HERE, data) for data in sent]

    def send(self, address: UdpAddress, data: bytes) -> None:
        """To the tuner."""
        self.down.append(data)

    def close(self) -> None:
        """Nothing is open."""


class _Transport:
    """The tuner's end: waiting lets the guardian tick."""

    def __init__(self, packets: _Packets, pace: DryPace, tick: Callable[[], None]) -> None:
        self._packets, self._pace, self._tick = packets, pace, tick

    def send(self, data: bytes) -> None:
        """For the next tick."""
        self._packets.up.append(data)

    def receive(self, timeout: float) -> bytes | None:
        """What the guardian has sent; it ticks until there is something, or for so many seconds."""
        end, ticked = self._pace.now + timeout, timeout <= 0.0
        # waiting always takes a tick, or a rounded remainder of nothing would be waited for without end
        while not self._packets.down and not (ticked and self._pace.now >= end - 1e-9):
            self._tick()
            ticked = True
        return self._packets.down.pop(0) if self._packets.down else None


class _LateRows:
    """A log that passes on what is said of late ticks."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard

    def put(self, events: Iterable[EventRow]) -> None:
        """Look at these."""
        for row in events:
            if row.kind == "late":
                self._heard(row.message)

    def close(self) -> None:
        """Nothing is open."""


def never(limit: Limit) -> Limit:
    """A limit that is watched and never crossed; a stop stays as it is."""
    return limit if limit.quantity == "stop" else replace(limit, threshold=-np.inf if limit.below else np.inf)


class DryRun:
    """One guardian, a tuner and a robot that lies there. Every limit is watched; only a stop latches.

    Args:
        robot: its model.
        controller: what walks.
        executor: builds monitors.
        rate: ticks per second.
        heard: told of late ticks, and why, once time is kept.
    """

    def __init__(
        self,
        robot: RobotModel,
        controller: GuardedController,
        executor: Executor,
        rate: float = CONTROL_RATE_HZ,
        heard: Callable[[str], None] = lambda _message: None,
    ) -> None:
        self._table, self._period = controller.table, 1.0 / rate
        self._width = len(controller.walker.state_names)
        limits = [never(limit) for limit in LIMITS]
        guardian = Guardian(robot, controller, executor, SystemRandom(), time.perf_counter, limits, rate)
        key = secrets.token_bytes(32)
        service = GuardianService(guardian, key, 1, True, rate=rate)
        packets, self.pace = _Packets(), DryPace()
        flights = FlightRecorder(guardian, Path(), lambda flight: None, rate=rate)
        self._robot = StillRobot(robot, lambda: self.pace.now)
        self.process = GuardianProcess(
            self._robot,
            service,
            packets,
            self.pace,
            _LateRows(heard),
            lambda _line: None,
            flights=flights,
        )
        transport = _Transport(packets, self.pace, self.process.tick)
        self.client = GuardianClient(transport, key, "dry run", clock=lambda: self.pace.now)
        self._trial = 0

    def stand(self) -> None:
        """Connect, take the lease, get up, and be calm."""
        self.client.connect()
        self.client.pump(CONNECT_TIME_S + 0.1)
        self.client.acquire()
        self.client.stand()
        self.client.wait_for(lambda seen: seen.state == State.HOLD, 5.0)
        self.client.pump(SETTLE_TIME_S + 0.1)

    def start(self, monitor: BoundaryMonitor, seconds: float) -> None:
        """A trial with the baseline gains begins, watched by a monitor; its backups are those of `hard_to_follow`."""
        client, gains = self.client, self._table.baseline
        data, description = monitor_upload(monitor)
        gait = gait_named("trot")
        numbers = (gait.duty_factor, gait.stride_duration, gait.offset_fl, gait.offset_rr, gait.offset_rl)
        walk = WalkDescription(numbers, (DRY_SPEED, 0.0, 0.0), DRY_RAMP_S, DRY_SETTLE_S)
        backups = [self.hard_to_follow() for _ in monitor.backups]
        if client.status().epoch != client.epoch:  # this machine stood still for as long as a lease holds
            client.acquire()
        client.reset_trial()
        client.set_walk(walk)
        for slot, values in enumerate((gains, *backups)):
            client.set_gains(values, slot)
        client.set_monitor(data, description)
        self._trial += 1
        client.start(self._armed(walk, backups, description), seconds)

    def _armed(
        self, walk: WalkDescription, backups: list[tuple[float, ...]], monitor: MonitorDescription
    ) -> int:
        digest = trial_digest(self._table.identity, self._table.baseline, backups, walk, monitor)
        return self.client.arm(self._trial, digest)

    def hard_to_follow(self) -> tuple[float, ...]:
        """Gains with little friction and strong feedback: what is computed only where limits bind is computed then."""
        chosen = self._table.mapping(self._table.baseline)
        for name, low, high in zip(self._table.names, self._table.lower, self._table.upper, strict=True):
            if name == "friction.coefficient":
                chosen[name] = low
            elif name in STRONG:
                chosen[name] = high
        return tuple(chosen.values())

    def covering(self) -> BoundaryMonitor:
        """A monitor that is asked in every tick and lets every state pass."""
        states = np.random.default_rng(0).standard_normal((DRY_STATES, self._width))
        policy = np.zeros(DRY_STATES, dtype=np.int64)
        return BoundaryMonitor(
            states, policy, np.array([DRY_FAR]), [{}], LipschitzRule(), np.ones(self._width)
        )

    def triggered(self) -> BoundaryMonitor:
        """A monitor that lets no state pass."""
        states, policy = np.full((2, self._width), DRY_FAR), np.array([0, 1])
        return BoundaryMonitor(
            states, policy, np.full(2, 0.5), [{}, {}], LipschitzRule(), np.ones(self._width)
        )

    def everything(self) -> None:
        """A trial that a backup takes over, its telemetry, lying down, a stop, and both steps of clearing it."""
        client = self.client
        self.stand()
        self.start(self.triggered(), DRY_WALK_S)
        self.pace.step = self._period
        self._robot.roll = DRY_ROLL_RAD  # torques at their limits
        client.pump(DRY_SETTLE_S + 0.25 * DRY_WALK_S)
        self._robot.roll = 0.0
        client.wait_for(lambda seen: seen.outcome != 0, 1.0)
        self.pace.step = DRY_STEP_S
        client.wait_for(lambda seen: seen.state == State.HOLD, 1.0)
        client.telemetry(self._trial, len(COLUMNS), most=1)
        client.pump(BRAKE_TIME_S)
        client.lie_down()
        client.wait_for(lambda seen: seen.state == State.REST, 5.0)
        client.stop()
        client.clear(client.acknowledge(client.status().latch))

    def measured(self, seconds: float, warm_ticks: int) -> TickTimes:
        """Times between ticks on this machine's clock, of a robot that walks and is watched by a monitor."""
        self.pace.keep_time(self._period)
        end = 0.0
        watch = None
        while watch is None or self.pace.now < end:
            left = seconds if watch is None else max(DRY_WALK_S, end - self.pace.now)
            self.start(self.covering(), min(MAX_TRIAL_S, left + 1.0))
            if watch is None:
                self.client.pump(warm_ticks * self._period)
                self.process.watch = watch = TickWatch(self._period)
                end = self.pace.now + seconds
            trial = self._trial
            while self.pace.now < end:
                self.client.pump(0.02)
                seen = self.client.state
                if seen is not None and seen.trial == trial and seen.outcome != 0:
                    break
        return watch.times


def warm_up(robot: RobotModel, controller: GuardedController, rate: float = CONTROL_RATE_HZ) -> None:
    """Compile and load all that a guardian of this robot ever runs.

    A controller in a process of its own is left alone: in its place something stands.
    """
    if controller.preparation is not None:
        controller = GuardedController(StandingWalker(robot), controller.table)
    DryRun(robot, controller, AtOnce(), rate).everything()
