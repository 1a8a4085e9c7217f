"""One way to speak to every robot: `RobotLink`, and what it hears, `RobotState`.

A link carries bytes and judges form only: lengths, heads, checksums, order. Whether a value can be true, and
what follows from it, is for the guardian; a state with a nan in it and a good checksum is handed on as it came.
Age is told by the robot's own clock: packets that arrive while the clock stands still are no news.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from safebo.hardware.constants import CLOCK_RESTART_S, CLOCK_SLACK, MAX_COMMAND, ROBOT_TIMEOUT_S
from safebo.hardware.errors import CommandError
from safebo.robots.quadruped.interface import JointCommand, SensorReading
from safebo.types import FloatArray

_WRAP = 1 << 32


@dataclass
class Battery:
    """The battery as the robot reports it.

    Args:
        charge: per cent.
        voltage: V, nan where unknown.
        current: A, negative while it discharges on the robots that sign it so.
        cells: cell voltages, V; cells that are not there are left out.
        temperature: degrees Celsius, the sensors in the robot's order.
    """

    charge: float = math.nan
    voltage: float = math.nan
    current: float = math.nan
    cells: FloatArray = field(default_factory=lambda: np.zeros(0))
    temperature: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def cell_spread(self) -> float:
        """Largest minus smallest cell voltage, V; nan without cells."""
        return float(np.ptp(self.cells)) if len(self.cells) else math.nan


@dataclass
class LinkCounters:
    """What a link met since it was opened.

    Args:
        received: packets.
        accepted: states by which the robot's clock advanced.
        damaged: packets refused for length, head or checksum.
        duplicate: states with the newest tick again; a frozen stream counts here.
        late: states overtaken by newer ones.
        lost: states that the ticks say were sent and that never came, at the nominal rate.
        restarts: times the clock began anew.
        sent: commands.
    """

    received: int = 0
    accepted: int = 0
    damaged: int = 0
    duplicate: int = 0
    late: int = 0
    lost: int = 0
    restarts: int = 0
    sent: int = 0


@dataclass
class RobotState:
    """The newest state of a robot.

    Args:
        tick: the robot's clock in ms, wraps at 2^32, falls back when the robot restarts.
        reading: joints and inertial unit for the controller, joints in the link's `joint_names`. Its time is
            the robot's clock in s since the link's first state, or since a restart.
        torque: estimated joint torques, N m, 12.
        motor_temperature: degrees Celsius, 12.
        motor_mode: as the robot numbers them, 12.
        foot_force: raw counts, 4, in the order of the controller's legs.
        battery: see `Battery`.
        remote: bytes of the remote control.
        serial: serial number as the robot sends it, two words.
        arrived: our monotonic clock when it was read, s.
        restarts: how often the robot's clock has begun anew on this link.
        motor_lost: packets between its board and its motors that the robot counts as lost; None: it does not count.
    """

    tick: int
    reading: SensorReading
    torque: FloatArray
    motor_temperature: FloatArray
    motor_mode: NDArray[np.uint8]
    foot_force: FloatArray
    battery: Battery
    remote: bytes
    serial: tuple[int, int]
    arrived: float
    restarts: int
    motor_lost: int | None = None


class Arrival(StrEnum):
    """What a tick means."""

    NEW = "new"
    DUPLICATE = "duplicate"
    LATE = "late"
    RESTART = "restart"


class RobotClock:
    """Follows a robot's clock through packets that come late, twice or not at all, and through restarts.

    Args:
        tick_seconds: length of a tick.
        period: seconds of the robot's clock between two states, to tell how many are missing.
    """

    def __init__(self, tick_seconds: float, period: float) -> None:
        self._tick_seconds, self._period = tick_seconds, period
        self._tick: int | None = None
        self._seen = math.inf
        self._ticks = 0  # since the first state or the last restart, without wrapping
        self._first = 0

    def follow(self, tick: int, now: float, counters: LinkCounters) -> Arrival:
        """Judge a tick (0 .. 2^32 - 1) that was read at `now` (monotonic s), and count it."""
        arrival = self._judge(tick, now)
        if arrival is Arrival.DUPLICATE:
            counters.duplicate += 1
            return arrival
        if arrival is Arrival.LATE:
            counters.late += 1
            return arrival
        if arrival is Arrival.RESTART or self._tick is None:
            counters.restarts += arrival is Arrival.RESTART
            self._ticks, self._first = 0, tick
        else:
            step = (tick - self._tick) % _WRAP
            counters.lost += max(0, int(step * self._tick_seconds / self._period + CLOCK_SLACK) - 1)
            self._ticks += step
        counters.accepted += 1
        self._tick = tick
        self._seen = now
        return arrival

    def _judge(self, tick: int, now: float) -> Arrival:
        if self._tick is None:
            return Arrival.NEW
        step = (tick - self._tick) % _WRAP
        if step == 0:
            return Arrival.DUPLICATE
        ahead = step * self._tick_seconds
        if ahead <= now - self._seen + CLOCK_RESTART_S:
            return Arrival.NEW
        behind = (_WRAP - step) * self._tick_seconds
        return Arrival.LATE if behind < CLOCK_RESTART_S else Arrival.RESTART

    @property
    def time(self) -> float:
        """Seconds of the robot's clock since the first state or the last restart."""
        return self._ticks * self._tick_seconds

    @property
    def milliseconds(self) -> int:
        """The robot's clock in ms, modulo 2^32."""
        return round((self._first + self._ticks) * self._tick_seconds * 1e3) % _WRAP


class RobotLink(Protocol):
    """A robot's low-level interface, the same for every robot.

    One thread uses a link. `read` and `write` never block; `prepare` does.

    Attributes:
        joint_names: order of joints in states and commands.
        counters: what the link met.
    """

    joint_names: tuple[str, ...]
    counters: LinkCounters

    def prepare(self, timeout: float = ROBOT_TIMEOUT_S) -> list[str]:
        """Make the robot take joint commands from this link, and wait for a steady stream of states.

        Returns:
            What was done, a line each, for people.

        Raises:
            safebo.hardware.errors.LinkError: it did not happen within `timeout` seconds; the message says what did.
        """
        ...

    def read(self) -> RobotState | None:
        """The newest state that has come since the last call, by the robot's clock; None when none came."""
        ...

    def write(self, command: JointCommand) -> None:
        """Send a joint command at once.

        Raises:
            safebo.hardware.errors.CommandError: a value is not finite or cannot be carried; nothing was sent.
        """
        ...

    def serial(self) -> str:
        """The robot's serial number, as its newest state has it; empty before the first one."""
        ...

    def foreign_commands(self) -> str:
        """Who else commands this robot's joints; empty when nobody does as far as the link can tell."""
        ...

    def other_robots(self) -> str:
        """Which other robots are on this link's network and hear its commands; empty when there is none."""
        ...

    def close(self) -> None:
        """Leave the network. The robot keeps the last command for as long as its own watchdog allows."""
        ...


def checked_command(command: JointCommand, names: tuple[str, ...]) -> FloatArray:
    """A command as `5 x 12`: position, velocity, torque, kp, kd.

    Raises:
        CommandError: a shape other than 12, a value that is not finite, a negative gain.
    """
    rows = (command.position, command.velocity, command.torque, command.kp, command.kd)
    try:
        values = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CommandError(f"joint command: expected five rows of {len(names)} numbers ({error})") from error
    if values.shape != (5, len(names)):
        raise CommandError(f"joint command: shape {values.shape}, expected (5, {len(names)})")
    # the negation also catches what is not a number
    if not (np.abs(values).max() <= MAX_COMMAND and values[3:].min() >= 0.0):
        wrong = ~(np.abs(values) <= MAX_COMMAND)
        wrong[3:] |= values[3:] < 0.0
        row, joint = np.argwhere(wrong)[0]
        what = ("position", "velocity", "torque", "kp", "kd")[row]
        raise CommandError(
            f"joint command: {what} of {names[joint]} is {values[row, joint]}: finite numbers only, "
            "gains at least 0"
        )
    return values
