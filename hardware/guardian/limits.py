"""What the guardian watches: one table of limits with units, and their check at every tick.

The numbers are starting numbers, taken from what manufacturers and laboratories publish for similar robots
(tilt 0.5 rad: MIT Cheetah; body rate 6 rad/s, casing 85 degrees, 20 % charge: Unitree's examples for other
robots). None is validated for a Go1 or Go2; what a laboratory may set instead is in
`safebo.hardware.guardian.thresholds`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from safebo.hardware.constants import TUNER_GONE_S, TUNER_SILENT_S
from safebo.hardware.guardian.states import Response, State
from safebo.hardware.guardian.stream_watch import STREAMED
from safebo.robots.quadruped.sensor_memory import FOUND
from safebo.types import FloatArray

QUANTITIES = (
    "tilt",
    "body_rate",
    "height",
    "joint_excess",
    "joint_speed",
    "joint_torque",
    "tracking",
    "state_age",
    "rejected",
    "damaged",
    "reboot",
    "command_gap",
    "cycle",
    "controller_failed",
    "battery",
    "cell_spread",
    "temperature",
    "tuner_silence",
    "remote_stop",
    "foreign_commands",
    "other_robot",
    "stop",
    *FOUND,
    *STREAMED,
)
"""What is measured at every tick. nan: unknown, which is no trouble by itself; a state with a nan in what
moves the robot was refused before."""

_INDEX = {name: i for i, name in enumerate(QUANTITIES)}


class Scope(StrEnum):
    """In which states a limit counts."""

    ALWAYS = "always"
    CONNECTED = "connected"
    ACTIVE = "active"
    UPRIGHT = "upright"
    RAISED = "raised"
    RESTING = "resting"


_ALL = frozenset(State)
_UPRIGHT = frozenset({State.HOLD, State.ARMED, State.RUNNING, State.HOLD_LATCHED, State.HOLD_ACKNOWLEDGED})
_ACTIVE = _UPRIGHT | {State.STANDING_UP, State.LYING_DOWN, State.SIT_LATCHED}
SCOPES: dict[Scope, frozenset[State]] = {
    Scope.ALWAYS: _ALL,
    Scope.CONNECTED: _ALL - {State.DISCONNECTED},
    Scope.ACTIVE: _ACTIVE,
    Scope.UPRIGHT: _UPRIGHT,
    Scope.RAISED: _UPRIGHT | {State.STANDING_UP},
    Scope.RESTING: frozenset({State.REST, State.DAMP_LATCHED, State.DAMP_ACKNOWLEDGED}),
}


@dataclass(frozen=True)
class Limit:
    """One limit.

    Args:
        number: goes over the link; never changes.
        name: for settings and logs.
        quantity: one of `QUANTITIES`.
        unit: of quantity and threshold.
        threshold: crossed when the quantity is beyond it.
        response: its severity decides which limit wins.
        seconds: for how long it must be crossed without interruption; 0: one tick is enough.
        scope: in which states.
        below: crossed underneath instead of above.
        message: for people.
    """

    number: int
    name: str
    quantity: str
    unit: str
    threshold: float
    response: Response
    seconds: float
    scope: Scope
    message: str
    below: bool = False

    def looser(self, threshold: float) -> bool:
        """Whether a threshold allows more than this limit's own."""
        return threshold < self.threshold if self.below else threshold > self.threshold

    def blaming(self, who: str) -> Limit:
        """The same limit, with who it is in its message."""
        return replace(self, message=f"{self.message}: {who}") if who else self

    def amount(self, threshold: float) -> str:
        """A threshold with the unit, for people."""
        return f"{threshold:g} {self.unit}".rstrip()


_R = Response
LIMITS: tuple[Limit, ...] = (
    Limit(1, "tilt", "tilt", "rad", 0.5, _R.DAMP, 0.0, Scope.ACTIVE, "roll or pitch too large"),
    Limit(2, "body_rate", "body_rate", "rad/s", 6.0, _R.DAMP, 0.0, Scope.ACTIVE, "the trunk turns too fast"),
    Limit(3, "height", "height", "m", 0.16, _R.DAMP, 0.0, Scope.UPRIGHT, "the trunk is too low", below=True),
    Limit(4, "joint_range", "joint_excess", "rad", 0.05, _R.HOLD, 0.02, Scope.UPRIGHT, "a joint is beyond its range"),
    Limit(5, "joint_speed", "joint_speed", "of limit", 1.0, _R.HOLD, 0.02, Scope.UPRIGHT, "a joint turns too fast"),
    Limit(6, "overspeed", "joint_speed", "of limit", 1.5, _R.DAMP, 0.0, Scope.ACTIVE, "a joint turns at overspeed"),
    Limit(7, "joint_torque", "joint_torque", "of limit", 0.98, _R.HOLD, 0.1, Scope.RAISED, "a motor is at its torque"),
    Limit(8, "tracking", "tracking", "rad", 0.8, _R.HOLD, 0.04, Scope.RAISED, "a joint does not follow its target"),
    Limit(9, "state_age", "state_age", "s", 0.1, _R.HOLD, 0.0, Scope.ACTIVE, "no new robot state"),
    Limit(10, "state_silence", "state_age", "s", 0.5, _R.SIT, 0.0, Scope.ACTIVE, "no new robot state for long"),
    Limit(11, "rejected", "rejected", "in a row", 2.5, _R.DAMP, 0.0, Scope.CONNECTED, "impossible robot states"),
    Limit(12, "damaged", "damaged", "1/s", 50.0, _R.HOLD, 0.0, Scope.ACTIVE, "too many damaged packets from the robot"),
    Limit(13, "reboot", "reboot", "", 0.5, _R.DAMP, 0.0, Scope.CONNECTED, "the robot restarted"),
    Limit(14, "command_gap", "command_gap", "s", 0.02, _R.HOLD, 0.0, Scope.ACTIVE, "commands came too late"),
    Limit(15, "command_silence", "command_gap", "s", 0.1, _R.DAMP, 0.0, Scope.ACTIVE, "no commands for long"),
    Limit(16, "cycle", "cycle", "s", 0.004, _R.DAMP, 0.01, Scope.UPRIGHT, "the controller is too slow"),
    Limit(17, "stall", "cycle", "s", 0.02, _R.DAMP, 0.0, Scope.UPRIGHT, "the controller stalled"),
    Limit(18, "controller", "controller_failed", "", 0.5, _R.DAMP, 0.0, Scope.ALWAYS, "the controller failed"),
    Limit(19, "battery_low", "battery", "%", 30.0, _R.REFUSE, 0.0, Scope.CONNECTED, "the battery is low", below=True),
    Limit(20, "battery_empty", "battery", "%", 20.0, _R.SIT, 0.2, Scope.CONNECTED, "the battery is empty", below=True),
    Limit(21, "cell_spread", "cell_spread", "V", 0.2, _R.REFUSE, 0.0, Scope.CONNECTED, "the battery's cells differ"),
    Limit(22, "motor_warm", "temperature", "deg C", 70.0, _R.REFUSE, 0.0, Scope.CONNECTED, "a motor is warm"),
    Limit(23, "motor_hot", "temperature", "deg C", 85.0, _R.SIT, 0.02, Scope.CONNECTED, "a motor is hot"),
    Limit(24, "tuner_silence", "tuner_silence", "s", TUNER_SILENT_S, _R.HOLD, 0.0, Scope.RAISED, "the tuner is silent"),
    Limit(25, "tuner_gone", "tuner_silence", "s", TUNER_GONE_S, _R.SIT, 0.0, Scope.RAISED, "the tuner is gone"),
    Limit(26, "remote_stop", "remote_stop", "", 0.5, _R.DAMP, 0.0, Scope.ALWAYS, "stopped at the remote control"),
    Limit(27, "foreign_commands", "foreign_commands", "", 0.5, _R.HOLD, 0.0, Scope.CONNECTED, "another commander"),
    Limit(28, "stop_hold", "stop", "level", 0.5, _R.HOLD, 0.0, Scope.ALWAYS, "stopped: baseline gains"),
    Limit(29, "stop_sit", "stop", "level", 1.5, _R.SIT, 0.0, Scope.ALWAYS, "stopped: stand down"),
    Limit(30, "stop_damp", "stop", "level", 2.5, _R.DAMP, 0.0, Scope.ALWAYS, "stopped: joint damping"),
    Limit(31, "tilt_at_rest", "tilt", "rad", 0.35, _R.REFUSE, 0.0, Scope.RESTING, "the robot does not lie level"),
    # Sensors that are frozen. Values of the virtual robots, noise and all, are never the same in two states in a row.
    Limit(32, "imu_frozen", "imu_frozen", "s", 0.03, _R.SIT, 0.0, Scope.CONNECTED, "the inertial unit is frozen"),
    Limit(33, "encoders", "encoders_frozen", "s", 0.03, _R.DAMP, 0.0, Scope.ACTIVE, "all encoders are frozen"),
    Limit(34, "encoder", "encoder_frozen", "s", 0.06, _R.DAMP, 0.0, Scope.ACTIVE, "a joint's encoder is frozen"),
    # Sensors that contradict each other. The worst of `safebo.experiments.robustness.sensor_margins`, falls included:
    # angle 0.03 rad, reach 2, gyro 0.005 rad, gravity 0.016 and 0.33 rad, 0.28 m/s^2, feet 0.0001 m and 0.014 rad,
    # torque 0.003 rad, strides 0.024 m (steps).
    Limit(35, "angle", "angle_error", "rad", 0.12, _R.DAMP, 0.05, Scope.ACTIVE, "a joint's angle and speed disagree"),
    Limit(36, "reach", "joint_reach", "times", 12.0, _R.HOLD, 0.1, Scope.RAISED, "a joint does not move as told"),
    Limit(37, "gyro", "gyro_error", "rad", 0.025, _R.SIT, 0.1, Scope.ACTIVE, "gyroscope and attitude disagree"),
    Limit(38, "gravity_moving", "gravity_moving", "rad", 0.7, _R.SIT, 0.1, Scope.ACTIVE, "gravity is elsewhere"),
    Limit(39, "gravity", "gravity_still", "rad", 0.1, _R.REFUSE, 0.1, Scope.CONNECTED, "gravity is elsewhere"),
    Limit(40, "weight", "gravity_size", "m/s^2", 1.5, _R.REFUSE, 0.1, Scope.CONNECTED, "accelerometer weighs wrong"),
    Limit(41, "joint_law", "torque_angle", "rad", 0.07, _R.REFUSE, 0.1, Scope.UPRIGHT, "angle and torque do not fit"),
    Limit(42, "feet", "feet_apart", "m", 0.008, _R.REFUSE, 0.1, Scope.UPRIGHT, "feet not in a plane: a joint off?"),
    Limit(43, "feet_slope", "feet_slope", "rad", 0.08, _R.REFUSE, 0.1, Scope.UPRIGHT, "feet not level: joints off?"),
    Limit(44, "strides", "stride_height", "m", 0.05, _R.HOLD, 0.1, Scope.UPRIGHT, "a leg is not as long as it says"),
    # The stream of states: whose it is, its clock, its counters, and what it says of the body.
    Limit(45, "serial", "serial_changed", "", 0.5, _R.DAMP, 0.0, Scope.CONNECTED, "the serial number is another one"),
    Limit(46, "state_step", "shortest_step", "s", 0.003, _R.HOLD, 0.0, Scope.ACTIVE, "states come too rarely"),
    Limit(47, "clock_slow", "longest_step", "s", 0.0015, _R.HOLD, 0.0, Scope.ACTIVE, "the robot's clock is slow", True),
    Limit(48, "clock_rate", "clock_rate", "of ours", 0.1, _R.HOLD, 0.2, Scope.ACTIVE, "the robot's clock goes wrong"),
    Limit(49, "replayed", "replayed", "in a row", 2.5, _R.SIT, 0.0, Scope.CONNECTED, "old states come again"),
    Limit(50, "motor_lost", "motor_lost", "1/s", 200.0, _R.HOLD, 0.0, Scope.ACTIVE, "too many motor packets lost"),
    Limit(51, "no_heat", "no_heat", "motors", 0.5, _R.REFUSE, 0.0, Scope.CONNECTED, "a motor says no temperature"),
    Limit(52, "heat_lost", "no_heat", "motors", 0.5, _R.HOLD, 0.5, Scope.ACTIVE, "a motor says no temperature"),
    Limit(53, "no_battery", "no_battery", "", 0.5, _R.REFUSE, 0.0, Scope.CONNECTED, "the battery says nothing"),
    Limit(54, "battery_lost", "no_battery", "", 0.5, _R.HOLD, 0.5, Scope.ACTIVE, "the battery says nothing"),
    Limit(55, "body_frozen", "body_frozen", "s", 1.0, _R.HOLD, 0.0, Scope.ACTIVE, "feet or battery are frozen"),
    Limit(56, "motor_mode", "motor_mode", "motors", 0.5, _R.DAMP, 0.0, Scope.UPRIGHT, "a motor is driven no more"),
    Limit(60, "other_robot", "other_robot", "", 0.5, _R.HOLD, 0.0, Scope.CONNECTED, "another robot hears this"),
)  # fmt: skip
"""Starting numbers."""

NOTHING = Limit(0, "nothing", "stop", "", math.inf, Response.NONE, 0.0, Scope.ALWAYS, "")


class Watch:
    """Checks limits tick by tick.

    Args:
        limits: the table.
        rate: ticks per second.
    """

    def __init__(self, limits: Sequence[Limit], rate: float) -> None:
        self.limits = tuple(limits)
        self.values = np.full(len(QUANTITIES), math.nan)
        self._quantity = np.array([_INDEX[limit.quantity] for limit in self.limits])
        self._sign = np.array([-1.0 if limit.below else 1.0 for limit in self.limits])
        self._threshold = self._sign * np.array([limit.threshold for limit in self.limits])
        self._needed = np.array([max(1, round(limit.seconds * rate)) for limit in self.limits])
        self._counts = np.zeros(len(self.limits), dtype=np.int64)
        self._scoped = {
            state: np.array([state in SCOPES[limit.scope] for limit in self.limits]) for state in State
        }
        self._late = np.array([limit.quantity == "cycle" for limit in self.limits])
        responses = np.array([limit.response for limit in self.limits], dtype=np.int64)
        # Most restrictive first, then the order of the table.
        self._order = np.lexsort((np.arange(len(self.limits)), -responses))

    def set(self, **measured: float) -> None:
        """What was measured, by quantity."""
        for quantity, value in measured.items():
            self.values[_INDEX[quantity]] = value

    def put(self, first: str, measured: FloatArray) -> None:
        """What was measured, of `first` and the quantities that follow it."""
        at = _INDEX[first]
        self.values[at : at + len(measured)] = measured

    def check(self, state: State, late: bool = False) -> Limit:
        """The most restrictive limit that is crossed now in this state; `NOTHING` when none is.

        Args:
            state: of the guardian.
            late: check what is known only once the controller has run, instead of all else.
        """
        mine = self._late if late else ~self._late
        over = self._sign * self.values[self._quantity] > self._threshold
        over &= self._scoped[state] & mine
        counts = self._counts
        counts[mine] = np.where(over, counts + 1, 0)[mine]
        crossed = counts >= self._needed
        crossed &= mine
        if not crossed.any():
            return NOTHING
        return self.limits[int(self._order[np.argmax(crossed[self._order])])]
