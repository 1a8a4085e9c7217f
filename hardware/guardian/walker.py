"""What walks: a small interface, and the project's own controller behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from safebo.hardware.constants import (
    BRAKE_RAMP_S,
    CONTROL_RATE_HZ,
    MAX_FORWARD_SPEED,
    MAX_LEFTWARD_SPEED,
    MAX_RAMP_S,
    MAX_SETTLE_S,
    MAX_STRIDE_S,
    MAX_YAW_RATE,
    MIN_DUTY_FACTOR,
    MIN_STRIDE_S,
)
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.robots.simulation.rollout import STATE_NAMES, monitored_state
from safebo.types import FloatArray

MAX_SPEED = (MAX_FORWARD_SPEED, MAX_LEFTWARD_SPEED, MAX_YAW_RATE)
"""Forward and leftward speed, m/s, and yaw rate, rad/s, at most: starting numbers."""


@dataclass(frozen=True)
class Walk:
    """What to walk.

    Args:
        gait: contact pattern.
        velocity: forward, leftward, m/s, and yaw rate, rad/s.
        ramp: seconds in which the speed grows.
        settle: seconds of standing before the gait starts.
    """

    gait: Gait
    velocity: tuple[float, float, float]
    ramp: float
    settle: float

    def __post_init__(self) -> None:
        if not np.isfinite([*self.velocity, self.ramp, self.settle]).all():
            raise ValueError("walk: speed, ramp and settling time must be finite")
        for name, value, most in zip(
            ("forward", "leftward", "yaw rate"), self.velocity, MAX_SPEED, strict=True
        ):
            if abs(value) > most:
                raise ValueError(f"walk: {name} {value:g} is outside -{most:g} .. {most:g}")
        if not (0.0 <= self.ramp <= MAX_RAMP_S and 0.0 <= self.settle <= MAX_SETTLE_S):
            raise ValueError(f"walk: ramp and settling time must be between 0 and {MAX_RAMP_S:g} s")
        stride, duty = self.gait.stride_duration, self.gait.duty_factor
        if not MIN_STRIDE_S <= stride <= MAX_STRIDE_S or duty < MIN_DUTY_FACTOR:
            raise ValueError(
                f"walk: stride duration must be {MIN_STRIDE_S:g} .. {MAX_STRIDE_S:g} s and the duty factor at least "
                f"{MIN_DUTY_FACTOR:g}"
            )


class NotInTickError(Exception):
    """A controller cannot take other gains within a tick."""


class Walker(Protocol):
    """A locomotion controller as the guardian uses it. Anything it raises in `step` means damping."""

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the numbers that `state` gives."""
        ...

    def begin(self, reading: SensorReading, walk: Walk, gains: Mapping[str, float]) -> None:
        """Settle and walk, from the next `step` on, with these gains."""
        ...

    def step(self, reading: SensorReading) -> JointCommand:
        """One control tick."""
        ...

    def switch(self, gains: Mapping[str, float]) -> JointCommand:
        """Other gains at once; the last command with them.

        Raises:
            NotInTickError: it cannot; the guardian then takes over with its own standing.
        """
        ...

    def brake(self) -> None:
        """Bring the speed to rest, still stepping."""
        ...

    def state(self, reading: SensorReading) -> FloatArray:
        """What a monitor sees."""
        ...

    def base(self) -> BaseState:
        """The controller's own estimate of the trunk."""
        ...


class SpeedCommand:
    """The speed command: grows, stays, and falls to rest once braking began."""

    def __init__(self, walk: Walk) -> None:
        self._ramp = VelocityRamp(*walk.velocity, walk.ramp)
        self.time = 0.0
        self._braking: float | None = None

    def brake(self) -> None:
        """Fall to rest from now on."""
        if self._braking is None:
            self._braking = self.time

    def __call__(self, time: float) -> tuple[float, float, float]:
        """Forward, leftward, m/s, and yaw rate, rad/s, `time` seconds after the walk began."""
        self.time = time
        if self._braking is None:
            return self._ramp(time)
        share = max(0.0, 1.0 - (time - self._braking) / BRAKE_RAMP_S)
        forward, leftward, yaw = self._ramp(self._braking)
        return share * forward, share * leftward, share * yaw


class QuadrupedWalker:
    """The chain of `safebo.robots.quadruped` with its own estimator.

    Args:
        robot: the controller's model.
        rate: ticks per second.
        adaptive_contact: see `Controller`.
    """

    state_names = STATE_NAMES

    def __init__(
        self, robot: RobotModel, rate: float = CONTROL_RATE_HZ, adaptive_contact: bool = False
    ) -> None:
        self._adaptive_contact = adaptive_contact
        self._robot = robot
        self._rate = rate
        self._controller: Controller | None = None
        self._speed: SpeedCommand | None = None
        self._state = np.zeros(len(STATE_NAMES))
        self._time = 0.0
        self._clock = SensorReading()

    def begin(self, reading: SensorReading, walk: Walk, gains: Mapping[str, float]) -> None:
        """Settle and walk, from the next `step` on, with these gains."""
        self._speed = SpeedCommand(walk)
        self._controller = Controller(
            self._robot,
            Gains(gains),
            walk.gait,
            self._speed,
            control_rate=self._rate,
            settle=walk.settle,
            adaptive_contact=self._adaptive_contact,
        )
        self._time = 0.0
        self._controller.reset(self._timed(reading))

    def step(self, reading: SensorReading) -> JointCommand:
        """One control tick; time goes on by one period, whatever the reading says."""
        command = self._active().step(self._timed(reading))
        self._time += 1.0 / self._rate
        return command

    def switch(self, gains: Mapping[str, float]) -> JointCommand:
        """Other gains at once; the last command with them."""
        controller = self._active()
        controller.set_gains(Gains(gains))
        return controller.regained()

    def brake(self) -> None:
        """Bring the speed to rest, still stepping."""
        if self._speed is not None:
            self._speed.brake()

    def state(self, reading: SensorReading) -> FloatArray:
        """What a monitor sees (`safebo.robots.simulation.rollout.STATE_NAMES`, 33); the same array every time."""
        monitored_state(self._active().base, reading, self._state)
        return self._state

    def base(self) -> BaseState:
        """The estimate of the trunk."""
        return self._active().base

    def _timed(self, reading: SensorReading) -> SensorReading:
        """The reading on the controller's own clock."""
        clock = self._clock
        clock.time = self._time
        clock.joint_position, clock.joint_velocity = reading.joint_position, reading.joint_velocity
        clock.orientation, clock.angular_velocity = reading.orientation, reading.angular_velocity
        clock.linear_acceleration = reading.linear_acceleration
        return clock

    def _active(self) -> Controller:
        if self._controller is None:
            raise RuntimeError("the walker has not begun")
        return self._controller
