"""Whether a robot's stream of states can be believed: whose it is, its clock and counters, what it says of the body.

See also `safebo.hardware.guardian.observation.Stream`, which follows the clock itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from safebo.hardware.constants import (
    BODY_SPEED,
    CLOCK_GAP_S,
    CLOCK_WINDOW_S,
    POWER_PATIENCE,
    REMEMBERED_STATES,
)
from safebo.hardware.guardian.observation import RobotObservation
from safebo.types import FloatArray

STREAMED = (
    "serial_changed",
    "clock_rate",
    "replayed",
    "motor_lost",
    "no_heat",
    "no_battery",
    "body_frozen",
    "motor_mode",
)
"""What is found, in this order; nan: not known now. Units are those of the limits."""

_WRAP = 1 << 32
_SERIAL, _RATE, _REPLAYED, _LOST, _TEMPERATURES, _BATTERY, _BODY, _MODES = range(len(STREAMED))


class StreamWatch:
    """Holds every new state against what the stream said before.

    Args:
        joints: names of the motors' joints, in the order of states.

    Attributes:
        found: by `STREAMED`.
    """

    def __init__(self, joints: Sequence[str] = ()) -> None:
        self._joints = tuple(joints)
        self.found: FloatArray = np.full(len(STREAMED), math.nan)
        self._serial = self._other = ""
        self._recent: deque[tuple[float, int]] = deque()  # now, tick
        self._lost: deque[tuple[float, float]] = deque()  # now, packets lost to motors, of states that say it
        self._restarts = 0
        self._order: deque[int] = deque()
        self._met: set[int] = set()
        self._same = 0
        self._warm = self._charged = False  # whether temperatures and charge were ever told
        self._body: tuple[int, int] = (0, 0)
        self._still = [0.0, 0.0]  # s for which feet, and battery, have said the same
        self._driven = self._modes = b""  # modes of the motors once the robot stood up, and now

    def take(self, now: float, seen: RobotObservation) -> None:
        """Look at a new state.

        Args:
            now: the guardian's clock, s.
            seen: the state.
        """
        self.found[_SERIAL] = self._whose(seen.serial)
        self._clock(now, seen)
        self.found[_REPLAYED] = self._replayed(seen)
        self._warm = self._warm or not math.isnan(seen.temperature)
        self._charged = self._charged or not math.isnan(seen.battery)
        silent = self._warm and math.isnan(seen.temperature)
        self.found[_TEMPERATURES] = max(seen.no_temperature, float(silent))
        self.found[_BATTERY] = float(self._charged and math.isnan(seen.battery))
        self._modes = seen.modes
        known = bool(self._driven and self._modes)
        self.found[_MODES] = len(self._other_modes()) if known else math.nan

    def stands(self) -> None:
        """The robot has stood up: its motors are driven, in whatever mode they say."""
        self._driven = self._modes

    def blamed(self, quantity: str) -> str:
        """What it is; empty where there is no more to say."""
        if quantity == "serial_changed":
            return f"{self._other} instead of {self._serial}"
        if quantity == "motor_mode":
            return ", ".join(
                f"{self._joints[k]}: {self._modes[k]} instead of {self._driven[k]}"
                for k in self._other_modes()
            )
        return ""

    def _other_modes(self) -> list[int]:
        """Motors in another mode than when the robot stood up."""
        pairs = zip(self._driven, self._modes, strict=False)
        return [k for k, (driven, mode) in enumerate(pairs) if mode != driven]

    def _whose(self, serial: str) -> float:
        if not serial:
            return math.nan
        self._serial = self._serial or serial
        self._other = serial
        return float(serial != self._serial)

    def _clock(self, now: float, seen: RobotObservation) -> None:
        """How far the rate of the robot's clock is from ours, and how many packets its motors lose."""
        recent = self._recent
        if recent:
            step = 1e-3 * ((seen.tick - recent[-1][1]) % _WRAP)
            gap = max(step, now - recent[-1][0])
            self._be_still(step, seen)
            if gap > CLOCK_GAP_S or seen.restarts != self._restarts:
                recent.clear()
                self._lost.clear()
        self._restarts = seen.restarts
        recent.append((now, seen.tick))
        while len(recent) > 1 and now - recent[1][0] >= CLOCK_WINDOW_S:
            recent.popleft()
        begin, tick = recent[0]
        self.found[_LOST] = self._lost_rate(now, seen.motor_lost)
        long = now - begin
        known = long >= CLOCK_WINDOW_S - 1e-9
        self.found[_RATE] = abs(1e-3 * ((seen.tick - tick) % _WRAP) / long - 1.0) if known else math.nan

    def _lost_rate(self, now: float, count: float) -> float:
        """Packets that motors lost in the last second; unknown where the robot does not count them."""
        lost = self._lost
        if math.isnan(count):
            lost.clear()
            return math.nan
        lost.append((now, count))
        while len(lost) > 1 and now - lost[1][0] >= CLOCK_WINDOW_S:
            lost.popleft()
        return max(0.0, count - lost[0][1]) / CLOCK_WINDOW_S

    def _be_still(self, step: float, seen: RobotObservation) -> None:
        """For how long a moving robot's feet and battery have said the same, s."""
        moves = np.abs(seen.reading.joint_velocity).max() > BODY_SPEED
        for k, told in enumerate((seen.feet, seen.power)):
            if told != self._body[k] or not told:
                self._still[k] = 0.0
            elif moves:
                self._still[k] += step
        self._body = seen.feet, seen.power
        # a battery's own electronics speak more rarely
        self.found[_BODY] = max(self._still[0], self._still[1] / POWER_PATIENCE)

    def _replayed(self, seen: RobotObservation) -> float:
        """How many states in a row have said to the bit what an earlier one did, other than the one before."""
        reading = seen.reading
        mark = hash(
            reading.joint_position.tobytes()
            + reading.orientation.tobytes()
            + reading.angular_velocity.tobytes()
            + reading.linear_acceleration.tobytes()
        )
        order, met = self._order, self._met
        if order and mark == order[-1]:
            return float(self._same)
        if mark in met:
            self._same += 1
            return float(self._same)
        self._same = 0
        order.append(mark)
        met.add(mark)
        if len(order) > REMEMBERED_STATES:
            met.discard(order.popleft())
        return 0.0
