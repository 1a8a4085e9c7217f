"""A guardian with its link, a network, clients and a robot, all in one process on one clock that only ticks here.

Everything is deterministic: time advances by one control period per tick, the network is a seeded proxy, and
the robot is a stand-in that follows its commands exactly and says whatever the experiment wants it to say.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from safebo.hardware.guardian.bounds import ControllerGains, quadruped_table
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.dry_run import AtOnce
from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.guardian.motion import Poses
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import Walk, Walker
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.digest import MonitorDescription, WalkDescription, trial_digest
from safebo.hardware.link.proxy import FaultProxy, Faults
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading

FloatArray = NDArray[np.float64]

KEY = bytes(range(32))
RATE = 500.0
PERIOD = 1.0 / RATE
TROT = WalkDescription((0.5, 0.5, 0.5, 0.5, 0.0), (0.3, 0.0, 0.0), 0.5, 0.1)
TRIAL_STIFFNESS = 100.0
FASTEST = 15.0
"""Of a stand-in's joints, rad/s."""

NOISE = 1e-6
"""Of a stand-in's encoders and inertial unit: rad, rad/s, m/s^2."""


@cache
def go1() -> RobotModel:
    """The robot, loaded once."""
    return load_robot("go1")


class StandInWalker:
    """Steps on the spot with the stiffness of its gains; raises or gives nonsense when told to."""

    def __init__(self, robot: RobotModel) -> None:
        self._home = robot.home_joints
        self.gains: Mapping[str, float] = {}
        self.time = 0.0
        self.braked = False
        self.fails: Exception | None = None
        self.nonsense = False
        self.seen = np.zeros(2)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Two numbers that an experiment sets."""
        return ("first", "second")

    def begin(self, reading: SensorReading, walk: Walk, gains: Mapping[str, float]) -> None:
        """Begin."""
        self.gains, self.time, self.braked = gains, 0.0, False

    def step(self, reading: SensorReading) -> JointCommand:
        """A small motion of all joints."""
        if self.fails is not None:
            raise self.fails
        self.time += PERIOD
        command = self._command()
        if self.nonsense:
            command.torque[3] = math.nan
        return command

    def _command(self) -> JointCommand:
        swing = 0.0 if self.braked else 0.05 * math.sin(12.0 * self.time)
        kp = np.full(12, self.gains["joint.hip.kp"])
        return JointCommand(self._home + swing, torque=np.full(12, 1.0), kp=kp, kd=np.full(12, 2.0))

    def switch(self, gains: Mapping[str, float]) -> JointCommand:
        """Other gains."""
        self.gains = gains
        return self._command()

    def brake(self) -> None:
        """Stand."""
        self.braked = True

    def state(self, reading: SensorReading) -> FloatArray:
        """What the experiment set."""
        return self.seen

    def base(self) -> BaseState:
        """At rest."""
        return BaseState.at_rest()


class StandInRobot:
    """Follows position targets exactly while they have stiffness, and reports what it is told to report.

    Its encoders and inertial unit have noise in their last digits, as every real one has.

    Attributes:
        silent: sends nothing. frozen: sends the same tick again. edit: changes what is sent.
    """

    def __init__(self, robot: RobotModel, folded: FloatArray) -> None:
        self.position = folded.copy()
        self.velocity = np.zeros(12)
        self.torque = np.zeros(12)
        self._noise = np.random.default_rng(1)
        self.milliseconds = 1000.0
        self.silent = self.frozen = False
        self.edit: Callable[[RobotObservation], None] = lambda seen: None

    def observe(self) -> RobotObservation | None:
        """What arrives in this tick."""
        if not self.frozen:
            self.milliseconds += 1e3 * PERIOD
        if self.silent:
            return None
        noise = NOISE * self._noise.standard_normal(21)
        reading = SensorReading(
            joint_position=self.position + noise[9:],
            joint_velocity=self.velocity.copy(),
            orientation=np.array([1.0, *noise[:3]]),
            angular_velocity=noise[3:6],
            linear_acceleration=noise[6:9],
        )
        reading.linear_acceleration[2] += 9.81
        seen = RobotObservation(
            round(self.milliseconds) % (1 << 32), reading, self.torque.copy(), 40.0, 80.0, 0.01
        )
        self.edit(seen)
        return seen

    def apply(self, command: JointCommand) -> None:
        """Where there is stiffness, be there, as fast as motors turn."""
        before = self.position
        way = np.clip(command.position - before, -PERIOD * FASTEST, PERIOD * FASTEST)
        self.position = np.where(command.kp > 0, before + way, before)
        self.velocity = (self.position - before) / PERIOD
        self.torque = command.torque


class World:
    """Everything together.

    Args:
        seed: of network and tokens.
        up, down: faults from client to guardian and back.
        walker: a stand-in when None.
        limits: that the guardian watches.
    """

    def __init__(
        self,
        seed: int = 0,
        up: Faults | None = None,
        down: Faults | None = None,
        walker: Walker | None = None,
        limits: Sequence[Limit] = LIMITS,
    ) -> None:
        robot = go1()
        self.seed = seed
        self.table: ControllerGains = quadruped_table()
        self.walker = StandInWalker(robot)
        self.controller_time = 0.0
        self.now = 100.0
        self.robot = StandInRobot(robot, Poses(robot).folded)
        controller = GuardedController(walker or self.walker, self.table)
        self.guardian = Guardian(robot, controller, AtOnce(), Random(seed), self._controller_clock, limits)
        self.service = GuardianService(self.guardian, KEY, boot=1 + seed % 1000, virtual=True, serial="none")
        self._faults = up or Faults(), down or Faults()
        self._up: dict[str, FaultProxy] = {}
        self._down: dict[str, FaultProxy] = {}
        self.events: list[EventRow] = []
        self.raw: list[tuple[str, bytes]] = []
        self.command = self.guardian.command
        self.damaged = 0
        self._clock_calls = self._nonces = 0

    def time(self) -> float:
        """The clock of everybody here."""
        return self.now

    def _nonce(self) -> int:
        self._nonces += 1
        return self.seed << 32 | self._nonces

    def copy(self, client: GuardianClient) -> tuple[World, GuardianClient]:
        """A copy of the world at its present moment, and of one of its clients."""
        memo = {id(self.guardian.robot): self.guardian.robot}
        return copy.deepcopy((self, client), memo)

    def _controller_clock(self) -> float:
        """Every second call, the end of a cycle, is `controller_time` later than the first."""
        self._clock_calls += 1
        return 0.0 if self._clock_calls % 2 else self.controller_time

    @property
    def state(self) -> State:
        """Of the guardian."""
        return self.guardian.state

    def tick(self) -> JointCommand:
        """One control period."""
        packets = [(name, data) for name, proxy in self._up.items() for data in proxy.due(self.now)]
        packets += self.raw
        self.raw = []
        tick = self.service.tick(self.now, self.robot.observe(), packets, self.damaged)
        for name, data in tick.outgoing:
            if name in self._down:
                self._down[str(name)].push(self.now, data)
        self.events += tick.events
        self.robot.apply(tick.command)
        self.command = tick.command
        self.now += PERIOD
        return tick.command

    def run(self, seconds: float) -> None:
        """Let time pass without any client doing anything."""
        for _ in range(round(seconds * RATE)):
            self.tick()

    def client(self, name: str = "tuner", every: int = 5) -> GuardianClient:
        """A client on this clock."""
        number = len(self._up) + 1
        self._up[name] = FaultProxy(self._faults[0], self.seed + 2 * number)
        self._down[name] = FaultProxy(self._faults[1], self.seed + 2 * number + 1)
        return GuardianClient(_Wire(self, name), KEY, name, every, self.time, self._nonce)

    def forget(self, name: str) -> None:
        """Throw away what is under way to a client that nobody reads."""
        self._down[name].due(math.inf)

    def standing(self, client: GuardianClient) -> None:
        """Connect, take the lease, stand up and stand still."""
        self.run(1.1)
        client.connect()
        client.acquire()
        client.stand()
        client.wait_for(lambda s: s.state == State.HOLD, 5.0)
        client.pump(1.0)

    def armed(
        self, client: GuardianClient, number: int = 1, monitor: tuple[bytes, MonitorDescription] | None = None
    ) -> int:
        """Send a trial with stiffness `TRIAL_STIFFNESS` and arm it; its token."""
        gains = self.gains(TRIAL_STIFFNESS)
        client.reset_trial()
        client.set_gains(gains)
        client.set_walk(TROT)
        backups = []
        if monitor is not None:
            backups = [self.gains(TRIAL_STIFFNESS - 10.0 * k) for k in range(1, monitor[1].policies + 1)]
            for slot, values in enumerate(backups, 1):
                client.set_gains(values, slot)
            client.set_monitor(*monitor)
        words = None if monitor is None else monitor[1]
        return client.arm(number, trial_digest(self.table.identity, gains, backups, TROT, words))

    def gains(self, stiffness: float) -> tuple[float, ...]:
        """Baseline gains with another stiffness of the hips."""
        return tuple(
            stiffness if name == "joint.hip.kp" else value
            for name, value in zip(self.table.names, self.table.baseline, strict=True)
        )

    def running(self, client: GuardianClient, duration: float = 20.0) -> None:
        """Everything up to a walk that has settled."""
        self.standing(client)
        client.start(self.armed(client), duration)
        client.pump(TROT.settle + 0.1)


class _Wire:
    """A client's transport: waiting lets the world tick."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._inbox: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Into the network."""
        self._world._up[self._name].push(self._world.now, data)

    def receive(self, timeout: float) -> bytes | None:
        """What comes out of it."""
        end, ticked = self._world.now + timeout, timeout <= 0.0
        while True:
            if not self._inbox:
                self._inbox += self._world._down[self._name].due(self._world.now)
            if self._inbox:
                return self._inbox.pop(0)
            # waiting always takes time, or a rounded remainder of nothing would be waited for without end
            if ticked and self._world.now >= end - 1e-9:
                return None
            self._world.tick()
            ticked = True
