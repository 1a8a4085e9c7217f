"""The two datagrams between a controller's process and who has the robot, byte by byte; docs/adapters.md prints them.

A guardian or a simulation sends states, the controller answers.

Little-endian, fixed length, doubles throughout, so that nothing is rounded on the way. Joints come in robot
order, which is that of `RobotModel.joint_names`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from safebo.robots.controllers.protocol import DatagramError
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading

LOOPBACK = "127.0.0.1"
"""Commands for motors travel inside one machine only."""

STATE_HEAD = struct.Struct("<4sBBHQ10d")
STATE_MAGIC = b"SBs1"
STATE_BYTES = STATE_HEAD.size + 34 * 8

ANSWER_HEAD = struct.Struct("<4sIQQ")
ANSWER_MAGIC = b"SBa1"
ANSWER_BYTES = ANSWER_HEAD.size + (5 * 12 + 13) * 8


class Mode(IntEnum):
    """What the controller's command is used for."""

    STANDBY = 0
    """Nothing: the guardian stands or lies by itself. The answer is proof of life."""
    SETTLE = 1
    """Stand, before the gait starts."""
    WALK = 2
    BRAKE = 3
    """Step to rest; the speed command falls to zero."""


class GainSet(IntEnum):
    """With which gains the answer has to be computed."""

    BASELINE = 0
    TRIAL = 1
    """What the gain port wrote last."""


@dataclass(frozen=True)
class RelayState:
    """From a guardian or a simulation, once per control tick.

    Args:
        mode, gain_set: see there.
        tick: counts up by one; the answer repeats it.
        time: since settling began, s; 0 in standby.
        velocity: the speed to have now, ramp and braking included: forward, leftward, m/s, yaw rate, rad/s.
        gait: duty factor; stride duration, s; phase offsets of FL, RR, RL against FR, strides. Zeros in standby.
        settle: seconds of standing before the gait starts.
        reading: joints and inertial unit; its time is `time`.
    """

    mode: Mode
    gain_set: GainSet
    tick: int
    time: float
    velocity: tuple[float, float, float]
    gait: tuple[float, float, float, float, float]
    settle: float
    reading: SensorReading

    def pack(self) -> bytes:
        """`STATE_BYTES` bytes."""
        head = STATE_HEAD.pack(
            *(STATE_MAGIC, self.mode, self.gain_set, 0, self.tick, self.time),
            *(*self.velocity, *self.gait, self.settle),
        )
        r = self.reading
        values = (
            r.joint_position,
            r.joint_velocity,
            r.orientation,
            r.angular_velocity,
            r.linear_acceleration,
        )
        return head + np.concatenate(values).astype("<f8").tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> RelayState:
        """Read a datagram, as a controller does.

        Raises:
            DatagramError: a wrong length, magic, mode or gain set.
        """
        _check("state", data, STATE_MAGIC, STATE_BYTES)
        _, mode, gain_set, _, tick, time, *walk, settle = STATE_HEAD.unpack_from(data)
        values = np.frombuffer(data, "<f8", 34, STATE_HEAD.size).astype(np.float64)
        position, speed, orientation, rate, force = np.split(values, (12, 24, 28, 31))
        reading = SensorReading(time, position, speed, orientation, rate, force)
        forward, leftward, yaw = walk[:3]
        duty, stride, front_left, rear_right, rear_left = walk[3:]
        velocity, gait = (forward, leftward, yaw), (duty, stride, front_left, rear_right, rear_left)
        try:
            return cls(Mode(mode), GainSet(gain_set), tick, time, velocity, gait, settle, reading)
        except ValueError as error:
            raise DatagramError(f"relay state: {error}") from None


@dataclass(frozen=True)
class RelayAnswer:
    """From the controller, one per state.

    Args:
        instance: random number of this start of the controller, 1 to 2^32 - 1: tells a restart.
        tick: of the state that this answers.
        gains: identity of the gains it was computed with (`gains_identity`); 0: the controller does not say.
            In standby: of the gains that it would walk with.
        command: for the motors. Anything finite in standby.
        base: the controller's estimate of the trunk. Anything in standby.
    """

    instance: int
    tick: int
    gains: int
    command: JointCommand
    base: BaseState

    def pack(self) -> bytes:
        """`ANSWER_BYTES` bytes."""
        c, b = self.command, self.base
        rows = (c.position, c.velocity, c.torque, c.kp, c.kd)
        base = (b.position, b.orientation, b.linear_velocity, b.angular_velocity)
        head = ANSWER_HEAD.pack(ANSWER_MAGIC, self.instance, self.tick, self.gains)
        return head + np.concatenate((*rows, *base)).astype("<f8").tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> RelayAnswer:
        """Read a datagram, as the guardian does. Whether the values may reach a motor is not judged here.

        Raises:
            DatagramError: a wrong length or magic, or instance 0.
        """
        _check("answer", data, ANSWER_MAGIC, ANSWER_BYTES)
        _, instance, tick, gains = ANSWER_HEAD.unpack_from(data)
        if instance == 0:
            raise DatagramError(
                "relay answer: instance 0; a controller draws one from 1 to 2^32 - 1 at its start"
            )
        values = np.frombuffer(data, "<f8", 73, ANSWER_HEAD.size).astype(np.float64)
        rows = values[:60].reshape(5, 12)
        base = BaseState(values[60:63], values[63:67], values[67:70], values[70:73])
        return cls(instance, tick, gains, JointCommand(*rows), base)


def gains_identity(values: Sequence[float]) -> int:
    """The first eight bytes, as a little-endian number, of the SHA-256 of the gains, one double each."""
    return int.from_bytes(hashlib.sha256(struct.pack(f"<{len(values)}d", *values)).digest()[:8], "little")


def _check(what: str, data: bytes, magic: bytes, length: int) -> None:
    if len(data) != length:
        raise DatagramError(f"relay {what}: {len(data)} bytes, expected {length}")
    if data[:4] != magic:
        raise DatagramError(f"relay {what}: begins with {data[:4]!r}, expected {magic!r}")
