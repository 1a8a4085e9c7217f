"""What the checks of the sensors remember from one state of the robot to the next, and what they find: one record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ANGLE_WINDOW, TURN_WINDOW, PACE_WINDOW = 75, 125, 25
"""States over which angles are held against speeds, attitude against the gyroscope, steps of the clock against each
other."""

REACH_WINDOW, REACH_EVERY = 32, 5
"""Samples over which a joint's way is held against its target's, and states from one to the next."""

FROZEN_STATES = 5
"""The same to the bit in a row before a value counts as frozen at all."""


class SensorNumbers(NamedTuple):
    """From where on something counts.

    Args:
        gap: s between two states after which what is summed up begins anew.
        moved: rad by which a joint's target has moved when its encoder should have, too.
        moved_torque: N m by which a joint's torque has changed when its encoder should have, too.
        reach: rad that a target has to go before a joint's way is held against it.
        quiet_rate: of the trunk about every axis, below which it is still, rad/s.
        quiet_speed: of every joint, below which it is still, rad/s.
        quiet_time: s of stillness before the accelerometer is held against the attitude.
        gravity_filter: s over which the accelerometer is smoothed.
        stand_filter: s over which angles and torques of a standing robot are smoothed.
        stride_filter: s of carrying over which the height of a foot is smoothed.
        stance_force: N on a foot, above which it carries.
    """

    gap: float
    moved: float
    moved_torque: float
    reach: float
    quiet_rate: float
    quiet_speed: float
    quiet_time: float
    gravity_filter: float
    stand_filter: float
    stride_filter: float
    stance_force: float


GAP, MOVED, MOVED_TORQUE, REACH_RAD, QUIET_RATE, QUIET_SPEED, QUIET_TIME, GRAVITY_FILTER, STAND_FILTER = (
    range(9)
)
STRIDE_FILTER, STANCE_FORCE = 9, 10
"""Their places."""

FOUND = (
    "imu_frozen",
    "encoders_frozen",
    "encoder_frozen",
    "angle_error",
    "joint_reach",
    "gyro_error",
    "gravity_still",
    "gravity_moving",
    "gravity_size",
    "feet_apart",
    "feet_slope",
    "torque_angle",
    "stride_height",
    "shortest_step",
    "longest_step",
)
"""What is found at every new state, in this order; nan: not known now. Units are those of the limits."""

BLAMED = (
    "imu_frozen",
    "encoder_frozen",
    "angle_error",
    "joint_reach",
    "feet_apart",
    "torque_angle",
    "stride_height",
)
"""Of these it is known which sensor, joint or leg it is, in the order of `blame`."""

(IMU, ENCODERS, ENCODER, ANGLE, REACH, GYRO, STILL, MOVING, SIZE, APART, SLOPE, LAW, STRIDE, SHORT, LONG) = (
    range(len(FOUND))
)
WHICH_IMU, WHICH_ENCODER, WHICH_ANGLE, WHICH_REACH, WHICH_APART, WHICH_LAW, WHICH_STRIDE = range(len(BLAMED))

SENSORS = np.dtype(
    [
        ("numbers", "f8", len(SensorNumbers._fields)),
        ("known", "f8", 1),  # states since the memory began
        ("joints", "f8", (2, 12)),  # the newest angles and speeds
        ("imu", "f8", 10),  # quaternion, gyroscope, accelerometer
        ("imu_same", "f8", (3, 2)),  # of each: s and states in a row without a change
        (
            "same",
            "f8",
            (12, 2),
        ),  # the same of each joint's angle, while its target or torque says that it has to move
        ("all_same", "f8", 2),  # the same of all of them
        ("then", "f8", (12, 2)),  # target and torque of a joint when its angle last was another
        ("integral", "f8", 12),  # of speeds, rad
        ("angles", "f8", (ANGLE_WINDOW, 12)),  # angles less integrals, rad
        ("turned", "f8", 4),  # attitude by the gyroscope alone
        ("turns", "f8", (TURN_WINDOW, 4)),  # from it to the attitude that is reported
        ("reach", "f8", (REACH_WINDOW, 24)),  # targets and angles every few states, rad
        ("steps", "f8", PACE_WINDOW),  # of the robot's clock, s
        ("quiet", "f8", 1),  # s for which neither trunk nor joints have moved
        ("still", "f8", (2, 3)),  # specific force and the vertical, smoothed since then, trunk frame
        ("force", "f8", (2, 3)),  # the same over everything
        ("forces", "f8", 1),  # s that went into them
        ("stood", "f8", 1),  # s that went into the next three, smoothed while the robot stands
        ("feet", "f8", (4, 3)),  # m, trunk frame
        ("vertical", "f8", 3),
        ("law", "f8", 12),  # rad by which angle and torque disagree
        ("strides", "f8", 4),  # height of every foot while it carries, against the others, smoothed, m
        ("carried", "f8", 4),  # s that went into them
        ("position", "f8", (4, 3)),  # of the feet, m, trunk frame
        ("jacobian", "f8", (4, 3, 3)),
        ("axes", "f8", (3, 3)),
        ("drift", "f8", (2, 3)),
        ("found", "f8", len(FOUND)),
        ("blame", "f8", len(BLAMED)),
    ]
)
"""Names and shapes; all are numbers of one kind, so the record lies in one piece."""

SensorMemory = NDArray[np.uint8]
"""The bytes of one `SENSORS`, see `safebo.boundary.compiled`."""
