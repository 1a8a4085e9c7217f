"""A world that brings troubles by schedule and an independent checker beside the guardian."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.fuzz_guardian import beyond, impossible
from safebo.experiments.robustness.guardian import answered
from safebo.experiments.robustness.guardian_world import PERIOD, go1
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import Response, State
from safebo.hardware.guardian.walker import Walker
from safebo.hardware.link.proxy import Faults
from safebo.robots.quadruped.interface import JointCommand, SensorReading

NETWORK = Faults(drop=0.01, duplicate=0.02, reorder=0.02, corrupt=0.002, delay=0.001, jitter=0.002)
"""Always."""

STATE_HOLD, STATE_SIT = round(0.1 / PERIOD) + 1, round(0.5 / PERIOD) + 1
"""Ticks from the last state to the first without one for longer than the promise."""

SEVERITY = {
    State.HOLD_LATCHED: Response.HOLD,
    State.HOLD_ACKNOWLEDGED: Response.HOLD,
    State.SIT_LATCHED: Response.SIT,
    State.DAMP_LATCHED: Response.DAMP,
    State.DAMP_ACKNOWLEDGED: Response.DAMP,
}
ON_FEET = frozenset({State.HOLD, State.ARMED, State.RUNNING})
MOVING = ON_FEET | {State.STANDING_UP, State.LYING_DOWN, State.HOLD_LATCHED, State.SIT_LATCHED}


@dataclass(frozen=True)
class Promise:
    """A response that has to be reached, and how many ticks after the trouble's first one at the latest."""

    response: Response
    within: int


@dataclass
class Trouble:
    """One trouble, prepared.

    Args:
        name: for the counts.
        promises: in the order of their ticks; none: the run has to go on as if nothing were.
        lasts: ticks after which it goes away by itself.
        begin: called before its first tick.
        each: called before each of its ticks, with the number of the tick.
    """

    name: str
    promises: tuple[Promise, ...]
    lasts: int
    begin: Callable[[SoakWorld], None]
    each: Callable[[SoakWorld, int], None] | None = None


class BreakableWalker:
    """The real controller, that raises, gives nonsense or takes its time when told to.

    Attributes:
        fails: raised instead of a command. nonsense: a command that is not finite. takes: s for a cycle.
        spent: s in all cycles.
    """

    def __init__(self, inner: Walker) -> None:
        self._inner = inner
        self.fails: Exception | None = None
        self.nonsense = False
        self.takes = self.spent = 0.0

    def __getattr__(self, name: str) -> Any:
        """All else is the controller's."""
        return getattr(self._inner, name)

    def step(self, reading: SensorReading) -> JointCommand:
        """As the controller's, or not."""
        self.spent += self.takes
        if self.fails is not None:
            raise self.fails
        command = self._inner.step(reading)
        if self.nonsense:
            command.torque[3] = math.nan
        return command


FULL, FULL_TICKS = 0.98, 50  # share of the motor's torque, ticks: the published limit
RAISED = frozenset({State.STANDING_UP, State.HOLD, State.ARMED, State.RUNNING, State.HOLD_LATCHED})


class IndependentChecker:
    """Looks at what the guardian was told and what it commanded, with arithmetic of its own.

    Attributes:
        missed: what should have been answered in a tick and was not, at most a few.
        crossings: how often tilt, body rate or overspeed were over their limit in a state that moves.
        wild: what was over its limit in the newest tick; empty when nothing was.
        pressed: a motor that has been at its torque for long, as a trapped leg makes it; empty when none has.
    """

    def __init__(self) -> None:
        self._robot = go1()
        self._tick = -1
        self._deaf = 0
        self.missed: list[str] = []
        self.crossings = 0
        self.wild = self.pressed = ""
        self._full = 0

    def look(self, before: State, after: State, seen: RobotObservation | None, command: JointCommand) -> None:
        """One tick: the guardian's state before and after it, what it was told, what it commanded."""
        wrong = beyond(command, self._robot)
        if wrong:
            self._miss(f"a joint command {wrong}")
        fresh = seen is not None and seen.tick != self._tick
        self._deaf = 0 if fresh else self._deaf + 1
        if seen is not None:
            self._tick = seen.tick
        self.wild = ""
        self._press(before, after, seen)
        if before not in MOVING:
            return
        severity = SEVERITY.get(after, Response.NONE)
        owed = Response.SIT if self._deaf >= STATE_SIT else Response.HOLD
        if self._deaf >= STATE_HOLD and severity < owed:
            self._miss(f"{after.name} after {self._deaf} ticks without a state")
        if seen is not None and fresh:
            self.wild = self._wild(seen)
        if self.wild:
            self.crossings += 1
            if not answered(command, Response.DAMP):
                self._miss(f"{after.name} and stiffness with {self.wild}")

    def _press(self, before: State, after: State, seen: RobotObservation | None) -> None:
        """A motor at 98 % of its torque for 0.1 s, from getting up on, ends in baseline gains or less."""
        full = before in RAISED and (
            seen is None or bool((np.abs(seen.torque) > FULL * self._robot.torque_limit).any())
        )
        self._full = self._full + 1 if full else 0
        self.pressed = "a motor at its torque" if self._full >= FULL_TICKS else ""
        if self._full > FULL_TICKS + 1 and SEVERITY.get(after, Response.NONE) < Response.HOLD:
            self._miss(f"{after.name} after {self._full} ticks of full torque")

    def _wild(self, seen: RobotObservation) -> str:
        if impossible(seen):
            return (
                ""  # such a state is not believed; the third in a row is answered, see the trouble's promise
            )
        reading = seen.reading
        speed = float((np.abs(reading.joint_velocity) / self._robot.speed_limit).max())
        rate = float(np.abs(reading.angular_velocity).max())
        w, x, y, z = (float(part) for part in reading.orientation / np.linalg.norm(reading.orientation))
        # the world's vertical in the trunk's frame says both angles
        up = np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
        roll, pitch = math.atan2(up[1], up[2]), math.atan2(-up[0], math.hypot(up[1], up[2]))
        if max(abs(roll), abs(pitch)) > 0.5 + 1e-9:
            return f"a tilt of {max(abs(roll), abs(pitch)):.3f} rad"
        if rate > 6.0:
            return f"a body rate of {rate:.2f} rad/s"
        if speed > 1.5:
            return f"a joint at {speed:.2f} of its speed limit"
        return ""

    def _miss(self, words: str) -> None:
        if len(self.missed) < 20:
            self.missed.append(words)


class SoakWorld(WireWorld):
    """A Go1 with a body on a network that is never quite right, and one trouble at a time.

    Args:
        seed: of network, sensors and tokens.

    Attributes:
        asked: how often a person has asked to stop at the tuner.
        stiffness: of the hips in the present trial, N m/rad; no other gain has this value.
        dwell: ticks since the guardian's state changed.
        trouble: at work or over; None before its moment. since: its ticks. met: the state in which it began.
        late: its promises that were not kept.
        fell: what the checker saw in the tick of the newest latch; empty when nothing of the body.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed, NETWORK, NETWORK)
        self._breakable = BreakableWalker(self.guardian.walker)
        self.walker = self.guardian.walker = self._breakable  # type: ignore[assignment]
        # a cycle takes what the walker says; counting calls of the clock would lose its count when a cycle raises
        self.guardian._clock = lambda: self._breakable.spent
        self.checker = IndependentChecker()
        self.asked = self.dwell = 0
        self.stiffness = math.nan
        self.viewer = self.client("viewer", 65535)
        self.seen: RobotObservation | None = None
        self._observe = self.robot.observe
        self.robot.observe = self._noted  # type: ignore[method-assign]
        self._waiting: tuple[Callable[[], bool], Trouble] | None = None
        self.trouble: Trouble | None = None
        self.since = 0
        self.met = State.DISCONNECTED
        self.late: list[str] = []
        self.fell = ""

    def _noted(self) -> RobotObservation | None:
        self.seen = self._observe()
        return self.seen

    def schedule(self, when: Callable[[], bool], trouble: Trouble) -> None:
        """Bring a trouble before the first tick in which a condition holds."""
        self._waiting, self.trouble, self.late = (when, trouble), None, []

    def impair(self, change: Callable[[Faults], Faults], both: bool) -> None:
        """Change the network of everybody, to the guardian or in both directions."""
        for proxies in (self._up, self._down) if both else (self._up,):
            for proxy in proxies.values():
                proxy.faults = change(proxy.faults)

    def heal(self) -> None:
        """Whatever was wrong is over."""
        self._waiting = None
        self.robot.edit = lambda seen: None
        self.controller_time = 0.0
        self.walker.fails, self.walker.nonsense = None, False
        self.asked = 0
        self.impair(lambda faults: NETWORK, True)
        self.body.inject(kind="loss", value=0.0)

    @property
    def open(self) -> bool:
        """Whether the present trouble goes on, or one of its promises is still to be kept."""
        trouble = self.trouble
        return trouble is not None and self.since <= max(
            [trouble.lasts, *(p.within for p in trouble.promises)]
        )

    def tick(self) -> JointCommand:
        """One control period, with its trouble."""
        if self._waiting is not None and self._waiting[0]():
            self.trouble, self.since, self.met, self._waiting = self._waiting[1], 0, self.state, None
            self.trouble.begin(self)
        trouble = self.trouble
        if trouble is not None and trouble.each is not None and self.since <= trouble.lasts:
            trouble.each(self, self.since)
        self._breakable.takes = self.controller_time
        before = self.state
        command = super().tick()
        self.dwell = self.dwell + 1 if self.state is before else 0
        self.checker.look(before, self.state, self.seen, command)
        if SEVERITY.get(self.state, 0) > SEVERITY.get(before, 0):
            self.fell = self.checker.wild or self.checker.pressed
        if trouble is not None:
            self._hold_to(trouble, command)
            self.since += 1
            if self.since == trouble.lasts + 1:
                self.heal()
        return command

    def _hold_to(self, trouble: Trouble, command: JointCommand) -> None:
        for promise in trouble.promises:
            if promise.within != self.since:
                continue
            wanted = promise.response
            if wanted is Response.HOLD and self.met is State.STANDING_UP:
                wanted = Response.SIT
            severity = SEVERITY.get(self.state, Response.NONE)
            if severity < wanted or not answered(command, severity) or self.stiffness in command.kp:
                self.late.append(
                    f"{trouble.name} in {self.met.name}: {wanted.name} within {1e3 * PERIOD * self.since:g} ms, found "
                    f"{self.state.name} with kp {command.kp[0]:g}"
                )
