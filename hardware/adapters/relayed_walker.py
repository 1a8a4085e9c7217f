"""A locomotion controller in a process of the user's own, as the guardian uses it: a datagram out, one back.

No command is ever used in silence beyond two control periods: an answer that is missing, older, not finite, of
another start of the controller or made with other gains raises, and whatever a walker raises in `step` means
joint damping in the same tick.
"""

from __future__ import annotations

import time as clock_module
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from safebo.hardware.constants import (
    ABSENT_TICKS,
    ANSWER_BUDGET_S,
    CONTROL_RATE_HZ,
    MAX_ANSWER_AGE,
    MAX_ANSWERS_PER_TICK,
    RESTART_TICKS,
)
from safebo.hardware.errors import HardwareError
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.motion import STAND_KD, STAND_KP
from safebo.hardware.guardian.walker import NotInTickError, SpeedCommand, Walk
from safebo.hardware.link.channel import Transport
from safebo.robots.controllers.datagrams import (
    GainSet,
    Mode,
    RelayAnswer,
    RelayState,
    gains_identity,
)
from safebo.robots.controllers.protocol import DatagramError
from safebo.robots.controllers.walk import not_finite
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.robots.simulation.rollout import STATE_NAMES, monitored_state
from safebo.types import FloatArray


class ControllerError(HardwareError):
    """The user's controller is silent, late, or says what must not reach a motor."""


@dataclass
class RelayCounters:
    """What came back.

    Args:
        prompt: answers used in their own tick.
        late: answers used up to `MAX_ANSWER_AGE` ticks later.
        held: ticks in which the last command was used again.
        refused: datagrams that were no answer.
    """

    prompt: int = 0
    late: int = 0
    held: int = 0
    refused: int = 0


class RelayedWalker:
    """Sends every tick's robot state to the user's controller and takes the command that it answers with.

    Args:
        robot: its model.
        table: the controller's gains.
        transport: to the controller, `safebo.hardware.link.udp.UdpTransport` or another; used by one thread.
        switches: the controller changes to baseline gains within a tick when it is told to.
        budget: seconds that a tick waits for its own answer.
        rate: ticks per second.
        clock: monotonic, s.

    Attributes:
        counters: of the present or last walk.
        tick: number of the newest state that was sent.
        newest: the answer to the newest state that was answered.
    """

    state_names = STATE_NAMES

    def __init__(
        self,
        robot: RobotModel,
        table: ControllerGains,
        transport: Transport,
        switches: bool = False,
        budget: float = ANSWER_BUDGET_S,
        rate: float = CONTROL_RATE_HZ,
        clock: Callable[[], float] = clock_module.monotonic,
    ) -> None:
        self._robot, self._table, self._transport, self._switches = robot, table, transport, switches
        self._budget, self._period, self._clock = budget, 1.0 / rate, clock
        self.tick = self._begun = 0
        self.newest: RelayAnswer | None = None
        self._mode, self._set = Mode.STANDBY, GainSet.TRIAL
        self._walk: Walk | None = None
        self._speed: SpeedCommand | None = None
        self._time = 0.0
        self._instance = 0
        self._identity = {GainSet.BASELINE: gains_identity(table.baseline), GainSet.TRIAL: 0}
        self._switched = 0
        self._command = JointCommand()
        self._base = BaseState.at_rest()
        self._state = np.zeros(len(STATE_NAMES))
        self.counters = RelayCounters()

    # -- between walks --------------------------------------------------------------------------------

    def standby(self, reading: SensorReading) -> None:
        """Tell the controller how the robot is while nothing of it is used, and hear that it lives. Never waits."""
        self._mode, self._set, self._walk, self._time = Mode.STANDBY, GainSet.TRIAL, None, 0.0
        self._send(reading)
        for _ in range(MAX_ANSWERS_PER_TICK):
            if not self._hear(0.0):
                break

    @property
    def alive(self) -> bool:
        """Whether the controller has answered one of the last `ABSENT_TICKS` states."""
        return self._age() <= ABSENT_TICKS

    @property
    def lost(self) -> bool:
        """Whether the controller has not answered for `RESTART_TICKS` ticks, or never."""
        return self._age() > RESTART_TICKS

    # -- as the guardian uses it ----------------------------------------------------------------------

    def begin(self, reading: SensorReading, walk: Walk, gains: Mapping[str, float]) -> None:
        """Settle and walk, from the next `step` on; `gains` must be what the controller holds already.

        Raises:
            ControllerError: the controller is not there.
        """
        if not self.alive:
            raise ControllerError("the controller does not answer")
        assert self.newest is not None
        self._instance = self.newest.instance
        self._walk, self._speed, self._time = walk, SpeedCommand(walk), 0.0
        self._mode, self._set = Mode.SETTLE, GainSet.TRIAL
        self._identity[GainSet.TRIAL] = gains_identity([gains[name] for name in self._table.names])
        self._begun, self._switched = self.tick + 1, 0
        self.counters = RelayCounters()
        # what the guardian itself commands at this moment, until the first answer
        self._command = JointCommand(
            self._robot.home_joints.copy(), kp=np.full(12, STAND_KP), kd=np.full(12, STAND_KD)
        )
        self._base = BaseState.at_rest(reading.orientation.copy())

    def step(self, reading: SensorReading) -> JointCommand:
        """One control tick, with at most `budget` seconds of waiting.

        Raises:
            ControllerError: no answer that is young enough, or one that cannot be used.
        """
        assert self._walk is not None
        if self._mode is Mode.SETTLE and self._time >= self._walk.settle:
            self._mode = Mode.WALK
        self._send(reading)
        end = self._clock() + self._budget
        for _ in range(MAX_ANSWERS_PER_TICK):
            if not self._hear(max(0.0, end - self._clock())) or self._age() == 0:
                break
        self._time += self._period
        return self._judged()

    def switch(self, gains: Mapping[str, float]) -> JointCommand:
        """To baseline gains, where the controller can; the last command.

        Raises:
            NotInTickError: other gains, or a controller that cannot change them within a tick.
        """
        if not self._switches or tuple(gains[name] for name in self._table.names) != self._table.baseline:
            raise NotInTickError("the controller takes gains only while the robot stands")
        if self._set is not GainSet.BASELINE:
            self._set, self._switched = GainSet.BASELINE, self.tick + 1
        return self._command

    def brake(self) -> None:
        """Bring the speed to rest, still stepping."""
        self._mode = Mode.BRAKE
        if self._speed is not None:
            self._speed.brake()

    def state(self, reading: SensorReading) -> FloatArray:
        """What a monitor sees (`safebo.robots.simulation.rollout.STATE_NAMES`, 33); the same array every time."""
        monitored_state(self._base, reading, self._state)
        return self._state

    def base(self) -> BaseState:
        """The controller's estimate of the trunk."""
        return self._base

    # -- datagrams ------------------------------------------------------------------------------------

    def _age(self) -> int:
        """Ticks since the state was sent that the newest answer is about."""
        return self.tick - (self.newest.tick if self.newest is not None else -(1 << 40))

    def _send(self, reading: SensorReading) -> None:
        self.tick += 1
        walk = self._walk
        velocity, gait, settle = (0.0, 0.0, 0.0), (0.0,) * 5, 0.0
        if walk is not None and self._speed is not None:
            velocity, settle = self._speed(self._time - walk.settle), walk.settle
            g = walk.gait
            gait = (g.duty_factor, g.stride_duration, g.offset_fl, g.offset_rr, g.offset_rl)
        state = RelayState(self._mode, self._set, self.tick, self._time, velocity, gait, settle, reading)
        self._transport.send(state.pack())

    def _hear(self, timeout: float) -> bool:
        """Take one datagram; whether there was one."""
        data = self._transport.receive(timeout)
        if data is None:
            return False
        answer = None
        with suppress(DatagramError):
            answer = RelayAnswer.unpack(data)
        seen = -1 if self.newest is None else self.newest.tick
        if answer is None or not seen < answer.tick <= self.tick:
            self.counters.refused += 1
        else:
            self.newest = answer
        return True

    def _judged(self) -> JointCommand:
        """The command of the newest answer, if it may be used."""
        answer, age = self.newest, self._age()
        silent = min(age, self.tick - self._begun + 1)
        if silent > MAX_ANSWER_AGE:
            raise ControllerError(
                f"no answer to the last {silent} robot states; at most {MAX_ANSWER_AGE} may be missing"
            )
        if answer is None or answer.tick < self._begun:
            self.counters.held += 1
            return self._command
        if answer.instance != self._instance:
            raise ControllerError("the controller has restarted while the robot walked")
        self._check_gains(answer)
        if age == 0:
            self.counters.prompt += 1
        elif answer.command is not self._command:
            self.counters.late += 1
        else:
            self.counters.held += 1
        wrong = not_finite(answer.command, answer.base, self._robot.joint_names)
        if wrong:
            raise ControllerError(f"the controller's {wrong}")
        self._command, self._base = answer.command, answer.base
        return answer.command

    def _check_gains(self, answer: RelayAnswer) -> None:
        asked = GainSet.BASELINE if 0 < self._switched <= answer.tick else GainSet.TRIAL
        silent_allowed = answer.gains == 0 and not self._switches
        if not silent_allowed and answer.gains != self._identity[asked]:
            raise ControllerError(
                f"the controller answers with gains {answer.gains:#018x}, expected those of the {asked.name.lower()}, "
                f"{self._identity[asked]:#018x}"
            )
