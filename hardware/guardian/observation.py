"""What the guardian knows of the robot at one tick, and whether it can be true."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from safebo.hardware.constants import (
    MAX_ANGULAR_VELOCITY,
    MAX_JOINT_POSITION,
    MAX_JOINT_TORQUE,
    MAX_JOINT_VELOCITY,
    MAX_LINEAR_ACCELERATION,
    MAX_SQUARED_NORM,
    MAX_STATE_GAP_S,
    MAX_TEMPERATURE,
    MIN_SQUARED_NORM,
    MIN_TEMPERATURE,
    REBOOT_MS,
    WARM_TEMPERATURE,
)
from safebo.hardware.robot_link import RobotState
from safebo.hardware.unitree.remote import stop_pressed
from safebo.robots.quadruped.interface import SensorReading
from safebo.types import FloatArray


@dataclass
class RobotObservation:
    """One sample of the robot's own state stream.

    Args:
        tick: the robot's clock, ms, wraps at 2^32. Age is told by its advance, never by arrival.
        reading: joints and inertial unit, joints in robot order.
        torque: estimated joint torques, N m, 12.
        temperature: hottest motor, degrees Celsius; nan where the robot does not say.
        battery: state of charge, percent; nan where unknown.
        cell_spread: largest minus smallest cell voltage, V; nan where unknown.
        remote_stop: the person beside the robot pressed the remote's damping keys.
        foreign_commands: somebody else commands the joints too, or the vendor's motion service is active.
        other_robot: another robot publishes its states on the same network, and hears what this one is told.
        restarts: how often the robot's clock has begun anew, as the link counts.
        serial: the robot's serial number as this state has it; empty where it has none.
        motor_lost: packets between the robot's board and its motors that are counted as lost; nan where unknown.
        no_temperature: motors whose temperature cannot be.
        feet: stands for the feet's forces: another number for others; 0 where the robot does not say.
        power: the same for all that the battery says.
        modes: of the motors, a byte each, as the robot numbers them; empty where it does not say.
    """

    tick: int
    reading: SensorReading
    torque: FloatArray = field(default_factory=lambda: np.zeros(12))
    temperature: float = math.nan
    battery: float = math.nan
    cell_spread: float = math.nan
    remote_stop: bool = False
    foreign_commands: bool = False
    other_robot: bool = False
    restarts: int = 0
    serial: str = ""
    motor_lost: float = math.nan
    no_temperature: float = 0.0
    feet: int = 0
    power: int = 0
    modes: bytes = b""


def observe(state: RobotState, foreign_commands: bool = False, other_robot: bool = False) -> RobotObservation:
    """What a robot link heard, as the guardian sees it."""
    battery = state.battery
    return RobotObservation(
        state.tick,
        state.reading,
        state.torque,
        float(np.max(state.motor_temperature)),
        _percent(state.battery.charge),
        state.battery.cell_spread,
        stop_pressed(state.remote),
        foreign_commands,
        other_robot,
        state.restarts,
        "-".join(map(str, state.serial)),
        math.nan if state.motor_lost is None else float(state.motor_lost),
        _missing(state.motor_temperature),
        hash(state.foot_force.tobytes()),
        hash((battery.charge, battery.current, battery.voltage, battery.cells.tobytes())),
        state.motor_mode.tobytes(),
    )


def _missing(temperature: FloatArray) -> float:
    """How many motors' temperatures cannot be: a sensor that is not there says nothing, or exactly nothing."""
    hottest = np.nanmax(temperature) if not np.isnan(temperature).all() else 0.0
    wrong = ~((temperature >= MIN_TEMPERATURE) & (temperature <= MAX_TEMPERATURE))
    return float((wrong | ((temperature == 0.0) & (hottest > WARM_TEMPERATURE))).sum())


def _percent(charge: float) -> float:
    """A battery that says more than full says nothing: the wire's byte goes up to 255."""
    return charge if 0.0 <= charge <= 100.0 else math.nan


MAX_READING = {
    "joint_position": MAX_JOINT_POSITION,
    "joint_velocity": MAX_JOINT_VELOCITY,
    "angular_velocity": MAX_ANGULAR_VELOCITY,
    "linear_acceleration": MAX_LINEAR_ACCELERATION,
}
"""Beyond these no such robot can be: rad, rad/s, rad/s, m/s^2."""


def implausible(observation: RobotObservation) -> str:
    """Why these values cannot be true; empty when they can."""
    reading = observation.reading
    for name, most in MAX_READING.items():
        # the negation also catches what is not a number
        if not np.abs(getattr(reading, name)).max() <= most:
            return f"{name} beyond {most:g} or not a number"
    if not np.abs(observation.torque).max() <= MAX_JOINT_TORQUE:
        return f"torque beyond {MAX_JOINT_TORQUE:g} N m or not a number"
    norm = float(reading.orientation @ reading.orientation)
    if not MIN_SQUARED_NORM <= norm <= MAX_SQUARED_NORM:
        return "the orientation is no unit quaternion"
    return ""


AHEAD = 1 << 31


class Stream:
    """Follows the robot's clock: which samples are new, how old the newest is, whether the robot restarted.

    Args:
        gap: seconds without a new sample after which a stream no longer counts as sustained.
    """

    def __init__(self, gap: float = MAX_STATE_GAP_S) -> None:
        self._gap = gap
        self.newest: RobotObservation | None = None
        self.advanced = -math.inf
        self.since = math.inf
        self.rejected = 0
        self.rejected_in_row = 0
        self.accepted = 0
        self.missed = 0
        self.rebooted = False
        self.fresh = False
        self.remote_stop = False

    def take(self, now: float, observation: RobotObservation | None) -> None:
        """Use a sample, or notice that there is none; `fresh`, `rebooted` speak of this tick."""
        self.fresh = self.rebooted = self.remote_stop = False
        if observation is not None:
            # a stop counts even in a state that is otherwise not believed
            self.remote_stop = observation.remote_stop
            if implausible(observation):
                self.rejected += 1
                self.rejected_in_row += 1
            else:
                self._use(now, observation)
        if not self.fresh:
            self.missed += 1
        if now - self.advanced > self._gap:
            self.since = math.inf

    def _use(self, now: float, observation: RobotObservation) -> None:
        if self.newest is not None:
            step = (observation.tick - self.newest.tick) % (1 << 32)
            restarted = observation.restarts != self.newest.restarts
            if step == 0 and not restarted:
                return
            if step >= AHEAD and (1 << 32) - step < REBOOT_MS and not restarted:
                return
            if step >= AHEAD or restarted:
                self.rebooted = True
                self.since = math.inf
        self.rejected_in_row = 0
        self.newest = observation
        self.advanced = now
        self.since = min(self.since, now)
        self.accepted += 1
        self.fresh = True

    def age(self, now: float) -> float:
        """Seconds since the robot's clock advanced."""
        return now - self.advanced

    def sustained(self, now: float) -> float:
        """Seconds for which states have come without a gap; 0 when they do not."""
        return max(0.0, now - self.since)
