"""The pendulum: a point mass on a rod, a motor with a torque limit, and what its controller does not know.

With the angle `theta` from upright (rad) and `omega` its rate,

    m L^2 theta'' = m g L sin(theta) + k max(theta_slack - theta, 0) - d omega + u
    u = clip(kp (target - theta_measured) - kd omega, -limit, limit)

The terms with `k` and `d` are an impedance that the controller does not model (the disturbance torque of
Widmer et al. 2023, `theta_p (x* - x) + theta_d x'`): an elastic cord that pulls up on one side and hangs slack
beyond an angle, and a damping that is negative. The motor counts angles before a gear of 4 to 1 and was
switched on one turn off, so it measures `theta - offset`, and stiff gains hold the wrong angle:
`target + offset`.

Integration: classical Runge-Kutta of fourth order over one control period, torque held.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import pi

import numpy as np

from safebo.boundary.compiled import njit
from safebo.types import FloatArray


@dataclass(frozen=True)
class Pendulum:
    """All constants of one pendulum and its task.

    Args:
        gravity: m/s^2.
        mass: kg, at the end of the rod.
        length: m, of the rod.
        cord_stiffness: N m/rad, of the elastic cord.
        cord_slack_angle: rad from upright; the cord pulls towards it from below and is slack above.
        damping: N m s/rad, of the joint; negative feeds energy.
        torque_limit: N m, of the motor.
        encoder_offset: rad, true angle minus measured one.
        start_angle: rad from upright, at rest.
        target_angle: rad from upright, the angle that the task asks for.
        control_period: s, between two control ticks.
        ticks: control ticks in a trial.
    """

    gravity: float = 9.81
    mass: float = 1.0
    length: float = 1.0
    cord_stiffness: float = 7.8
    cord_slack_angle: float = 0.45
    damping: float = -1.5
    torque_limit: float = 30.0
    encoder_offset: float = pi / 2.0
    start_angle: float = -1.5
    target_angle: float = -1.9
    control_period: float = 0.001
    ticks: int = 3500

    @property
    def duration(self) -> float:
        """Length of a trial in s."""
        return self.ticks * self.control_period

    @property
    def start(self) -> FloatArray:
        """State in which a trial starts: angle (rad), speed (rad/s)."""
        return np.array([self.start_angle, 0.0])

    def constants(self) -> FloatArray:
        """The constants as the compiled functions take them, in the order of the fields."""
        return np.array(astuple(self), dtype=np.float64)


@njit(cache=True)
def motor_torque(angle: float, speed: float, kp: float, kd: float, c: FloatArray) -> float:
    """Torque that the controller commands and the motor gives, N m."""
    torque = kp * (c[9] - (angle - c[7])) - kd * speed
    return min(max(torque, -c[6]), c[6])


@njit(cache=True)
def acceleration(angle: float, speed: float, torque: float, c: FloatArray) -> float:
    """Angular acceleration in rad/s^2 under a motor torque."""
    cord = c[3] * max(c[4] - angle, 0.0)
    total = c[1] * c[0] * c[2] * np.sin(angle) + cord - c[5] * speed + torque
    return total / (c[1] * c[2] * c[2])


@njit(cache=True)
def step(angle: float, speed: float, torque: float, c: FloatArray) -> tuple[float, float]:
    """Angle and speed one control period later, the torque held."""
    h = c[10]
    a1 = acceleration(angle, speed, torque, c)
    v2 = speed + 0.5 * h * a1
    a2 = acceleration(angle + 0.5 * h * speed, v2, torque, c)
    v3 = speed + 0.5 * h * a2
    a3 = acceleration(angle + 0.5 * h * v2, v3, torque, c)
    v4 = speed + h * a3
    a4 = acceleration(angle + h * v3, v4, torque, c)
    return (
        angle + h * (speed + 2.0 * v2 + 2.0 * v3 + v4) / 6.0,
        speed + h * (a1 + 2.0 * a2 + 2.0 * a3 + a4) / 6.0,
    )


@njit(cache=True)
def trajectory(kp: float, kd: float, start: FloatArray, c: FloatArray) -> FloatArray:
    """States of a whole trial under fixed gains, `ticks + 1 x 2`: angle (rad), speed (rad/s)."""
    ticks = int(c[11])
    states = np.empty((ticks + 1, 2))
    angle, speed = start[0], start[1]
    states[0, 0], states[0, 1] = angle, speed
    for t in range(ticks):
        angle, speed = step(angle, speed, motor_torque(angle, speed, kp, kd, c), c)
        states[t + 1, 0], states[t + 1, 1] = angle, speed
    return states


@njit(cache=True)
def largest_speed_and_cost(kp: float, kd: float, start: FloatArray, c: FloatArray) -> tuple[float, float]:
    """Largest |speed| (rad/s) of a trial, and the mean of half the squared distance from the target state."""
    ticks = int(c[11])
    angle, speed = start[0], start[1]
    largest = abs(speed)
    total = (angle - c[9]) ** 2 + speed**2
    for _ in range(ticks):
        angle, speed = step(angle, speed, motor_torque(angle, speed, kp, kd, c), c)
        largest = max(largest, abs(speed))
        total += (angle - c[9]) ** 2 + speed**2
    return largest, 0.5 * total / (ticks + 1)


@njit(cache=True)
def landscape(
    kp: FloatArray, kd: FloatArray, start: FloatArray, c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """`largest_speed_and_cost` on the grid of all pairs of gains, each `len(kp) x len(kd)`."""
    speed = np.empty((len(kp), len(kd)))
    cost = np.empty((len(kp), len(kd)))
    for i in range(len(kp)):
        for j in range(len(kd)):
            speed[i, j], cost[i, j] = largest_speed_and_cost(kp[i], kd[j], start, c)
    return speed, cost
