"""What the sensors of a simulated robot say: noise, bias and delay on top of the plant's true state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.quadruped.interface import GRAVITY
from safebo.types import FloatArray, IntArray

CHANNELS = 33
"""Noisy channels of a reading: 12 angles, 12 speeds, 3 attitude, 3 gyroscope, 3 accelerometer."""


@dataclass(frozen=True)
class SensorNoise:
    """Noise of every sensor: white noise per tick, and a bias drawn once per trial.

    The defaults are those of a legged robot's encoders and of a good MEMS inertial unit with its own attitude
    filter.

    Args:
        joint_position_std: rad.
        joint_position_bias: standard deviation of the encoders' constant offsets, rad.
        joint_velocity_std: rad/s.
        orientation_std: rad, about each axis.
        orientation_bias: standard deviation of the constant roll and pitch error, rad.
        angular_velocity_std: rad/s.
        angular_velocity_bias: standard deviation of the constant offset, rad/s.
        linear_acceleration_std: m/s^2.
        linear_acceleration_bias: standard deviation of the constant offset, m/s^2.
        delay: age of every reading when the controller gets it, control ticks.
    """

    joint_position_std: float = 0.002
    joint_position_bias: float = 0.0
    joint_velocity_std: float = 0.04
    orientation_std: float = 0.001
    orientation_bias: float = 0.004
    angular_velocity_std: float = 0.01
    angular_velocity_bias: float = 0.003
    linear_acceleration_std: float = 0.1
    linear_acceleration_bias: float = 0.03
    delay: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"sensor noise: {item.name} must be at least 0, got {value!r}")
        if int(self.delay) != self.delay:
            raise ValueError(
                f"sensor noise: delay must be a whole number of control ticks, got {self.delay!r}"
            )

    @classmethod
    def none(cls, delay: int = 0) -> SensorNoise:
        """Perfect sensors."""
        return cls(**{item.name: 0.0 for item in fields(cls) if item.name != "delay"}, delay=delay)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | bool) -> SensorNoise:
        """Noise from a study file: `true` (defaults), `false` (none) or the fields that differ.

        Raises:
            ValueError: an unknown field or a value that is not a number at least 0.
        """
        if isinstance(values, bool):
            return cls() if values else cls.none()
        known = [item.name for item in fields(cls)]
        checked: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise ValueError(f"sensor noise: unknown key {key!r}; known: {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"sensor noise: {key} must be a number, got {value!r}")
            checked[key] = value
        return cls(**checked)

    def channel_std(self) -> FloatArray:
        """Standard deviation of the white noise on every channel, `33`."""
        return np.repeat(
            [
                self.joint_position_std,
                self.joint_velocity_std,
                self.orientation_std,
                self.angular_velocity_std,
                self.linear_acceleration_std,
            ],
            [12, 12, 3, 3, 3],
        )

    def channel_bias(self) -> FloatArray:
        """Standard deviation of the constant offset of every channel, `33`; none on speeds and on yaw."""
        return np.repeat(
            [
                self.joint_position_bias,
                0.0,
                self.orientation_bias,
                0.0,
                self.angular_velocity_bias,
                self.linear_acceleration_bias,
            ],
            [12, 12, 2, 1, 3, 3],
        )


class Sensors(NamedTuple):
    """The sensors of one trial, as `sense` takes them.

    Args:
        joints: where qpos and qvel hold the joints, `2 x 12`.
        base: where they hold the base, `2`.
        period: control period, s.
        imu: position of the inertial unit in the trunk frame `3`, m.
        std: of the white noise on every channel, `33`.
        bias: constant offset of every channel, `33`.
    """

    joints: IntArray
    base: IntArray
    period: float
    imu: FloatArray
    std: FloatArray
    bias: FloatArray


@njit_no_alloc(forceinline=True)
def sense(
    qpos: FloatArray,
    qvel: FloatArray,
    previous_velocity: FloatArray,
    sensors: Sensors,
    noise: FloatArray,
    state: FloatArray,
    truth: FloatArray,
    reading: FloatArray,
) -> None:
    """True joint state, true base state and the reading of all sensors from qpos and qvel.

    The accelerometer gives the mean specific force over the last control period, as units that integrate at a
    high rate do,

        f = R^T ((v - v_previous) / dt + g) + omegadot x r + omega x (omega x r).

    Args:
        qpos: MuJoCo's generalised positions.
        qvel: MuJoCo's generalised velocities.
        previous_velocity: of the base, one period ago, linear (world) and angular (base frame), `6`.
        sensors: where things are, and their errors.
        noise: standard normal, `33`.
        state: out, joint angles and speeds `2 x 12`.
        truth: out, base position, quaternion, velocity (world), angular velocity (base frame), `13`.
        reading: out, angles, speeds, quaternion, angular velocity, specific force, `34`.
    """
    sensors = Sensors(*sensors)
    joints, scale, bias, period = sensors.joints, sensors.std, sensors.bias, sensors.period
    for j in range(12):
        state[0, j] = qpos[joints[0, j]]
        state[1, j] = qvel[joints[1, j]]
        reading[j] = state[0, j] + scale[j] * noise[j] + bias[j]
        reading[12 + j] = state[1, j] + scale[12 + j] * noise[12 + j] + bias[12 + j]
    bq, bv = sensors.base[0], sensors.base[1]
    for k in range(7):
        truth[k] = qpos[bq + k]
    for k in range(6):
        truth[7 + k] = qvel[bv + k]
    w, x, y, z = truth[3], truth[4], truth[5], truth[6]
    # attitude: a small rotation, in the trunk frame, on top of the true one
    ax = 0.5 * (scale[24] * noise[24] + bias[24])
    ay = 0.5 * (scale[25] * noise[25] + bias[25])
    az = 0.5 * (scale[26] * noise[26] + bias[26])
    length = math.sqrt(1.0 + ax * ax + ay * ay + az * az)
    reading[24] = (w - x * ax - y * ay - z * az) / length
    reading[25] = (x + w * ax + y * az - z * ay) / length
    reading[26] = (y + w * ay + z * ax - x * az) / length
    reading[27] = (z + w * az + x * ay - y * ax) / length
    for k in range(3):
        reading[28 + k] = truth[10 + k] + scale[27 + k] * noise[27 + k] + bias[27 + k]
    # specific force at the inertial unit
    fx = (truth[7] - previous_velocity[0]) / period
    fy = (truth[8] - previous_velocity[1]) / period
    fz = (truth[9] - previous_velocity[2]) / period + GRAVITY
    wx, wy, wz = truth[10], truth[11], truth[12]
    dx = (wx - previous_velocity[3]) / period
    dy = (wy - previous_velocity[4]) / period
    dz = (wz - previous_velocity[5]) / period
    rx, ry, rz = sensors.imu[0], sensors.imu[1], sensors.imu[2]
    cx, cy, cz = wy * rz - wz * ry, wz * rx - wx * rz, wx * ry - wy * rx
    force0 = (1 - 2 * (y * y + z * z)) * fx + 2 * (x * y + w * z) * fy + 2 * (x * z - w * y) * fz
    force1 = 2 * (x * y - w * z) * fx + (1 - 2 * (x * x + z * z)) * fy + 2 * (y * z + w * x) * fz
    force2 = 2 * (x * z + w * y) * fx + 2 * (y * z - w * x) * fy + (1 - 2 * (x * x + y * y)) * fz
    reading[31] = force0 + dy * rz - dz * ry + wy * cz - wz * cy + scale[30] * noise[30] + bias[30]
    reading[32] = force1 + dz * rx - dx * rz + wz * cx - wx * cz + scale[31] * noise[31] + bias[31]
    reading[33] = force2 + dx * ry - dy * rx + wx * cy - wy * cx + scale[32] * noise[32] + bias[32]
