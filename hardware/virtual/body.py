"""Slow things in a robot: how warm its motors are, how full its battery is.

Plain lumped models with numbers of the right order, so that software that watches them sees them move: no
measurement of a robot is behind them.
"""

from __future__ import annotations

import numpy as np

from safebo.types import FloatArray

AMBIENT = 28.0  # degrees Celsius
HEATING = 0.3  # K at rest per (N m)^2
COOLING = 240.0  # s
CAPACITY = 8.0 * 3600.0  # A s
CELLS = 8
RESISTANCE = 0.015  # ohm per cell
ELECTRONICS = 25.0  # W
COPPER = 0.12  # W per (N m)^2


class MotorHeat:
    """Temperature of twelve motors: the copper's losses heat it, the air cools it.

    Attributes:
        temperature: degrees Celsius, 12.
    """

    def __init__(self) -> None:
        self.temperature = np.full(12, AMBIENT + 2.0)

    def pass_time(self, seconds: float, torque: FloatArray) -> None:
        """Let time pass with these torques, N m, 12."""
        rest = AMBIENT + HEATING * torque * torque
        self.temperature += (rest - self.temperature) * (seconds / COOLING)


class BatteryCells:
    """A pack of cells in series that drains.

    Args:
        charge: per cent at the start.

    Attributes:
        charge: per cent.
        current: A, positive while it drains.
    """

    def __init__(self, charge: float = 92.0) -> None:
        self.charge = charge
        self.current = 0.0
        self._trim = 0.002 * np.cos(np.arange(CELLS))  # V, no two cells are alike

    def pass_time(self, seconds: float, torque: FloatArray, speed: FloatArray) -> None:
        """Let time pass with these torques and speeds, 12 each."""
        power = ELECTRONICS + max(0.0, float(torque @ speed)) + COPPER * float(torque @ torque)
        self.current = power / (CELLS * 3.7)
        self.charge = max(0.0, self.charge - 100.0 * self.current * seconds / CAPACITY)

    @property
    def cells(self) -> FloatArray:
        """Voltage of every cell, V, 8."""
        return 3.3 + 0.0085 * self.charge - RESISTANCE * self.current + self._trim
