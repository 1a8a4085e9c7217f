"""A DC motor under cascaded control: a PI current loop inside a PI speed loop, sampled, one period late.

The motor (0.5 ohm, 1 mH, 0.05 N m/A, 2e-4 kg m^2, at most 24 V) follows a step of the speed to 200 rad/s, and from
0.15 s on a load of 0.3 N m; the loops run at 5 kHz for 0.3 s.
"""

from __future__ import annotations

import numpy as np

from safebo.boundary.compiled import njit
from safebo.types import FloatArray

RESISTANCE, INDUCTANCE, TORQUE_CONSTANT, INERTIA = 0.5, 1e-3, 0.05, 2e-4
"""ohm, H, N m/A (and V s/rad), kg m^2"""
VOLTS, CURRENT_COMMAND = 24.0, 15.0
"""Limits of what the loops ask for: V, A."""
PERIOD, TICKS = 2e-4, 1500
"""s, and periods of a trial"""
TARGET, LOAD, LOAD_FROM = 200.0, 0.3, 750
"""rad/s, N m, and the period after which the load acts"""


@njit(cache=True)
def _step_response(gains: FloatArray, speeds: FloatArray, currents: FloatArray) -> None:
    current_kp, current_ki, speed_kp, speed_ki = gains
    current = speed = inner = outer = volts = 0.0
    for tick in range(len(speeds)):
        error = TARGET - speed
        wanted = min(max(speed_kp * error + outer, -CURRENT_COMMAND), CURRENT_COMMAND)
        if abs(wanted) < CURRENT_COMMAND:  # no windup at the limit
            outer += speed_ki * error * PERIOD
        off = wanted - current
        applied = volts  # a period late
        volts = min(max(current_kp * off + inner, -VOLTS), VOLTS)
        if abs(volts) < VOLTS:
            inner += current_ki * off * PERIOD
        current += (applied - RESISTANCE * current - TORQUE_CONSTANT * speed) / INDUCTANCE * PERIOD
        load = LOAD if tick > LOAD_FROM else 0.0
        speed += (TORQUE_CONSTANT * current - load) / INERTIA * PERIOD
        speeds[tick], currents[tick] = speed, current


def step_responses(gains: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Speeds (rad/s) and currents (A) after every period, `n x 1500` each.

    Args:
        gains: of the current loop, V/A and V/(A s), and of the speed loop, A s/rad and A/rad, `n x 4`.
    """
    rows = np.atleast_2d(np.asarray(gains, dtype=float))
    speeds, currents = np.empty((len(rows), TICKS)), np.empty((len(rows), TICKS))
    for row, speed, current in zip(rows, speeds, currents, strict=True):
        _step_response(row, speed, current)
    return speeds, currents
