"""The guardian itself: one pure step per control tick. No threads, no sockets, no clock of its own.

In every tick it takes what the robot said and what came over the link, checks every limit, moves through the
state table, runs the motion of the present state, and gives the joint command. What crosses a limit in a tick
is answered in the command of that tick.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from safebo.hardware.constants import (
    ARM_TIMEOUT_S,
    BLIND_TIMEOUT_S,
    BRAKE_TIME_S,
    CONNECT_TIME_S,
    CONTROL_RATE_HZ,
    MAX_DAMPING,
    MAX_STIFFNESS,
    MAX_TRIAL_S,
    OVERRUN_PERIODS,
    SETTLE_TIME_S,
    STATE_LOST_TIMEOUT_S,
    TELEMETRY_MARGIN_S,
)
from safebo.hardware.guardian.lease import Lease
from safebo.hardware.guardian.limits import LIMITS, NOTHING, Limit, Watch
from safebo.hardware.guardian.measures import WatchedQuantities
from safebo.hardware.guardian.motion import Curve, Poses, damped
from safebo.hardware.guardian.observation import RobotObservation, Stream
from safebo.hardware.guardian.request_handler import RequestHandler
from safebo.hardware.guardian.snapshot import snapshot
from safebo.hardware.guardian.staging import GuardedController, Staging
from safebo.hardware.guardian.state_machine import EventRow, Latch, StateMachine, TrialRun
from safebo.hardware.guardian.states import LATCHED, GuardianEvent, Response, State
from safebo.hardware.guardian.telemetry import Telemetry
from safebo.hardware.guardian.walker import NotInTickError
from safebo.hardware.guardian.wall_clock import WallClock
from safebo.hardware.link.messages import Heartbeat, Reply, RequestMessage, StateMessage, Stop
from safebo.hardware.link.server import Inbound
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand
from safebo.types import FloatArray


@dataclass(frozen=True)
class Step:
    """What one tick gives: the joint command, answers by session, and what happened."""

    command: JointCommand
    replies: list[tuple[int, Reply]]
    events: list[EventRow]


class Guardian:
    """Owns the right to command one robot.

    Args:
        robot: its model.
        controller: what walks, and with which gains.
        executor: builds monitors beside the control loop.
        random: for tokens; unpredictable outside of tests.
        clock: measures how long the controller takes, s.
        limits: see `safebo.hardware.guardian.limits`.
        rate: ticks per second.
        wall: the time of day, for records.
    """

    def __init__(
        self,
        robot: RobotModel,
        controller: GuardedController,
        executor: Executor,
        random: Random,
        clock: Callable[[], float],
        limits: Sequence[Limit] = LIMITS,
        rate: float = CONTROL_RATE_HZ,
        wall: WallClock | None = None,
    ) -> None:
        self.robot, self.controller, self.walker = robot, controller, controller.walker
        self.period = 1.0 / rate
        self._clock, self._wall = clock, wall or WallClock()
        self._unfit = ""
        self.watch = Watch(limits, rate)
        self.stream = Stream()
        self.lease = Lease()
        self.staging = Staging(controller.table, len(self.walker.state_names), executor)
        self.telemetry = Telemetry(int((MAX_TRIAL_S + TELEMETRY_MARGIN_S) * rate))
        self.machine = StateMachine(self._enter, controller.table.baseline)
        self.command = damped(robot.home_joints)
        self._sent = self._sent_before = -math.inf  # when the newest command went out, and the one before it
        self._not_sent = ""
        self._baseline = controller.table.mapping(controller.table.baseline)
        self._poses = Poses(robot)
        self._curve: Curve | None = None
        self._walking = False
        self._walked = True  # since it got up
        self._brake_end = math.inf
        self.measures = WatchedQuantities(robot, self.watch, self.stream)
        self._requests = RequestHandler(
            *(self, self.machine, self.lease, self.staging, self.telemetry, controller, random)
        )

    @property
    def state(self) -> State:
        """Where it stands in the state table."""
        return self.machine.state

    @property
    def run(self) -> TrialRun:
        """The armed, running or last trial."""
        return self.machine.run

    @property
    def latch(self) -> Latch:
        """What is latched, or was last."""
        return self.machine.latch

    @property
    def walking(self) -> bool:
        """Whether the controller runs, and with it its estimate of the trunk."""
        return self._walking

    def describe(self, what: Mapping[str, Any]) -> None:
        """Say of itself, to whoever asks over the link, what can be written as JSON."""
        self._requests.description = json.dumps(what).encode()

    def name_commander(self, who: str) -> None:
        """Say who the other commander is, in the latch that it has caused."""
        latch = self.latch
        if latch.cause.quantity == "foreign_commands" and self.state in LATCHED:
            latch.message = f"{latch.cause.message}: {who}"

    def not_sent(self, why: str) -> None:
        """The command of this tick did not go out: its robot has been without one since the one before."""
        self._sent, self._not_sent = self._sent_before, why

    def status(self) -> StateMessage:
        """How everything stands, as the link tells it."""
        return snapshot(self.machine, self.stream, self.lease, self.measures, self.command)

    def step(
        self,
        now: float,
        observation: RobotObservation | None,
        inbox: Sequence[Inbound] = (),
        damaged: int = 0,
        stop: int = 0,
    ) -> Step:
        """One control tick.

        Args:
            now: monotonic, s.
            observation: what the robot said since the last tick, if anything.
            inbox: authentic, new messages, in the order in which they came.
            damaged: packets from the robot that were refused since the start.
            stop: level of a stop asked for at the guardian itself; 0: none.
        """
        machine = self.machine
        gap = now - self._sent if math.isfinite(self._sent) else 0.0
        machine.now, machine.events = now, []
        replies: list[tuple[int, Reply]] = []
        self.stream.take(now, observation)
        stop = max(stop, self._hear(now, inbox))
        silence = self.lease.silence(now)
        self.measures.take(now, gap, stop, damaged, silence, self.command, self._standing(now), self._walking)
        self._poll(now)
        self._judge()
        self._follow(now)
        for message in inbox:
            if isinstance(message.body, RequestMessage):
                replies.append((message.session, self._requests.answer(now, message.session, message.body)))
        self.command = self._guarded(self._move(now))
        self._sent_before, self._sent, self._not_sent = self._sent, now, ""
        self._record(now)
        return Step(self.command, replies, machine.events)

    # -- what came in ---------------------------------------------------------------------------------

    def _hear(self, now: float, inbox: Sequence[Inbound]) -> int:
        """Heartbeats and stops; the highest stop level of this tick."""
        level = 0
        for message in inbox:
            body = message.body
            if isinstance(body, Heartbeat) and message.proof:
                self.lease.beat(now, message.session, body.epoch)
            elif isinstance(body, Stop):
                # an unknown level is the strongest: who stops is not argued with
                level = max(level, body.level if 1 <= body.level <= 3 else 3)
                self.machine.note("stop", f"level {body.level}: {body.reason}")
        return level

    def _poll(self, now: float) -> None:
        """A controller in a process of its own: whether it lives, and its gains."""
        preparation, newest = self.controller.preparation, self.stream.newest
        if preparation is None:
            return
        resting = not self._walking and self.state not in (State.ARMED, State.RUNNING)
        reading = None if newest is None else newest.reading
        self._unfit = preparation.poll(now, reading, self._walking, resting)
        self.watch.set(controller_failed=float(bool(self._unfit)))
        for message in preparation.events():
            self.machine.note("gains", message)

    # -- what follows ---------------------------------------------------------------------------------

    def _judge(self) -> None:
        limit = self.watch.check(self.state)
        if limit is not NOTHING:
            gap = limit.quantity == "command_gap"
            limit = limit.blaming(self._not_sent if gap else self.measures.blamed(limit.quantity))
        self.machine.present = limit
        self.machine.refusal = limit if limit.response is Response.REFUSE else NOTHING
        if limit.response > Response.REFUSE:
            failed = limit.quantity == "controller_failed"
            self.machine.fault(limit, f"{limit.message}: {self._unfit}" if failed else "")

    def _follow(self, now: float) -> None:
        """Events that come by themselves."""
        stream, run = self.stream, self.run
        if self.lease.expire(now):
            self.machine.note("lease", f"epoch {self.lease.epoch} expired")
        if stream.rebooted and self.lease.session:
            # whoever held it believed in another robot than this one, which has just begun anew
            self.lease.release()
            self.machine.note("lease", f"epoch {self.lease.epoch} is void: the robot restarted")
        if self.state is State.DISCONNECTED and stream.sustained(now) >= CONNECT_TIME_S:
            self.machine.transition(GuardianEvent.STREAM)
        if stream.newest is not None and stream.age(now) > STATE_LOST_TIMEOUT_S:
            self.machine.transition(GuardianEvent.STREAM_LOST)
        if self._curve is not None and self._curve.over(now):
            if self.state is State.STANDING_UP:
                self.machine.transition(GuardianEvent.STOOD)
            elif self.state in (State.LYING_DOWN, State.SIT_LATCHED):
                self.machine.transition(GuardianEvent.LAIN)
        if self.state is State.ARMED and now - run.armed > ARM_TIMEOUT_S:
            self.machine.note("disarmed", "arming is void after a minute")
            self.machine.transition(GuardianEvent.DISARM)
        # half a tick keeps rounding from adding one
        if self.state is State.RUNNING and run.elapsed(now) >= run.duration - 0.5 * self.period:
            self.machine.end(1)

    def calm(self) -> bool:
        """Whether the robot has stood still for long enough."""
        return (
            not self._walking
            and self._curve is not None
            and self._curve.rested(self.machine.now) >= SETTLE_TIME_S
        )

    def _standing(self, now: float) -> bool:
        """Whether the robot stands where it got up, at rest."""
        curve = self._curve
        return not self._walking and not self._walked and curve is not None and curve.over(now)

    # -- motion ---------------------------------------------------------------------------------------

    def _position(self) -> FloatArray:
        """Where the joints are: measured while that is news, else as commanded."""
        newest = self.stream.newest
        if newest is None or self.stream.age(self.machine.now) > BLIND_TIMEOUT_S:
            return self.command.position
        return newest.reading.joint_position

    def _enter(self, before: State) -> None:
        now, state = self.machine.now, self.state
        if state is State.STANDING_UP:
            self._walked = False
            self._curve = self._poses.rise(now, self._position())
        elif state in (State.LYING_DOWN, State.SIT_LATCHED):
            if before not in (State.LYING_DOWN, State.SIT_LATCHED):
                self._walking = False
                self._curve = self._poses.sink(now, self._position())
        elif state is State.RUNNING:
            self._curve = None
        elif state in (State.HOLD, State.HOLD_LATCHED):
            if before is State.RUNNING:
                self._brake(now)
            elif before is State.STANDING_UP:
                self._curve = self._poses.stand(now, self.command.position)
                self.measures.streamed.stands()
        elif state in (State.REST, State.DISCONNECTED, State.DAMP_LATCHED):
            self._walking, self._curve = False, None

    def _brake(self, now: float) -> None:
        """Baseline gains; step to rest while the robot's state is known, else stand at once."""
        if not self._walking or self.stream.age(now) > BLIND_TIMEOUT_S:
            self._stand(now)
            return
        try:
            self.walker.switch(self._baseline)
        except NotInTickError:
            self._stand(now)
            return
        self.walker.brake()
        self._brake_end = now + BRAKE_TIME_S

    def _stand(self, now: float) -> None:
        self._walking = False
        self._curve = self._poses.stand(now, self.command.position)

    def begin(self) -> None:
        """The walk of the armed trial, from this tick on. Whatever the controller raises means damping."""
        plan, newest = self.run.plan, self.stream.newest
        assert plan is not None
        assert newest is not None
        try:
            self.walker.begin(newest.reading, plan.walk, self.controller.table.mapping(plan.gains))
        except Exception as error:
            self._controller_failed(error)
            return
        self.watch.set(cycle=math.nan)
        self.watch.check(self.state, late=True)  # slow cycles of an earlier walk count no more
        self._walking = self._walked = True
        self._brake_end = math.inf
        self.telemetry.begin(plan.number)
        self._wall.set()

    def _move(self, now: float) -> JointCommand:
        if self._walking and (now >= self._brake_end or self._blind(now)):
            self._stand(now)
        if self._walking:
            return self._walk(now)
        self.watch.set(cycle=math.nan)
        if self._curve is not None:
            return self._curve.command(now)
        return damped(self._position())

    def _blind(self, now: float) -> bool:
        return self.state is not State.RUNNING and self.stream.age(now) > BLIND_TIMEOUT_S

    def _walk(self, now: float) -> JointCommand:
        assert self.stream.newest is not None
        reading = self.stream.newest.reading
        begin = self._clock()
        try:
            command = self.walker.step(reading)
            if self.state is State.RUNNING:
                command = self._watched(now, command)
        except Exception as error:
            self._controller_failed(error)
            return damped(self._position())
        cycle = self._clock() - begin
        self.machine.counters.overruns += cycle > OVERRUN_PERIODS * self.period
        self.watch.set(cycle=cycle)
        late = self.watch.check(self.state, late=True)
        if late.response > Response.REFUSE:
            self.machine.fault(late)
            return damped(self._position())
        return command

    def _watched(self, now: float, command: JointCommand) -> JointCommand:
        """Ask the boundary condition, once the gait has begun and until it has switched."""
        run = self.run
        if run.plan is None or run.plan.monitor is None or run.backup >= 0 or run.elapsed(now) < 0:
            return command
        assert self.stream.newest is not None
        choice = run.plan.monitor.check(self.walker.state(self.stream.newest.reading))
        if choice < 0:
            return command
        run.backup = choice
        self.machine.note("backup", f"switched to backup {choice} at {run.elapsed(now):.3f} s")
        return self.walker.switch(self.controller.table.mapping(run.plan.backups[choice]))

    def _controller_failed(self, error: Exception) -> None:
        limit = next(limit for limit in self.watch.limits if limit.quantity == "controller_failed")
        self.machine.fault(limit, f"{limit.message}: {type(error).__name__}: {error}")

    def _guarded(self, command: JointCommand) -> JointCommand:
        """The command within what the motors may be told; damping instead of one that is not finite."""
        robot = self.robot
        total = command.position.sum() + command.velocity.sum() + command.torque.sum()
        total += command.kp.sum() + command.kd.sum()
        if not math.isfinite(total):
            self._controller_failed(ValueError("a joint command that is not finite"))
            command = damped(self._position())
        return JointCommand(
            np.clip(command.position, robot.joint_lower, robot.joint_upper),
            np.clip(command.velocity, -robot.speed_limit, robot.speed_limit),
            np.clip(command.torque, -robot.torque_limit, robot.torque_limit),
            np.clip(command.kp, 0.0, MAX_STIFFNESS),
            np.clip(command.kd, 0.0, MAX_DAMPING),
        )

    def _record(self, now: float) -> None:
        newest = self.stream.newest
        if self.state is not State.RUNNING or newest is None:
            return
        run = self.run
        head = (now, newest.tick, self.state, run.elapsed(now), run.backup, self.stream.fresh)
        self.telemetry.record(head, newest, self.command, self.walker.base(), self._wall())
