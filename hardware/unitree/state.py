"""From a robot's packets to its newest `RobotState`: what Go1 and Go2 have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from safebo.hardware.errors import WireError
from safebo.hardware.robot_link import Arrival, Battery, LinkCounters, RobotClock, RobotState
from safebo.hardware.unitree.joints import feet_of, motors_of
from safebo.hardware.unitree.records import Record
from safebo.robots.quadruped.interface import SensorReading

_NEWS = (Arrival.NEW, Arrival.RESTART)


class StateStream:
    """Decodes a robot's packets, judges their order by the robot's clock, keeps the newest.

    Args:
        joints: order of joints in states.
        decode: record of a packet; raises `WireError` for packets that are none.
        battery: the battery in a record.
        torque_scale: N m per count of `tau_est`.
        tick_seconds: length of a tick.
        period: seconds between two states, to tell how many are missing.
        counters: where packets are counted.
    """

    def __init__(
        self,
        joints: Sequence[str],
        decode: Callable[[bytes], Record],
        battery: Callable[[Record], Battery],
        torque_scale: float,
        tick_seconds: float,
        period: float,
        counters: LinkCounters,
    ) -> None:
        self.motors = motors_of(joints)
        self._feet = feet_of()
        self._decode, self._battery, self._torque_scale = decode, battery, torque_scale
        self._clock = RobotClock(tick_seconds, period)
        self._counters = counters
        self.serial = ""  # of the robot, as its newest state has it
        self.refused = ""  # why the newest damaged packet is none

    def newest(self, packets: Iterable[bytes], now: float) -> RobotState | None:
        """The newest state among packets that were read at `now` (monotonic s); None when none came."""
        newest = None
        for data in packets:
            self._counters.received += 1
            try:
                record = self._decode(data)
            except WireError as error:
                self._counters.damaged += 1
                self.refused = str(error)
                continue
            if self._clock.follow(int(record["tick"]), now, self._counters) in _NEWS:
                newest = record
        return None if newest is None else self._state(newest, now)

    def _state(self, record: Record, now: float) -> RobotState:
        motors, imu = record["motor_state"][self.motors], record["imu_state"]
        first, second = record["sn"].tolist()
        self.serial = f"{first}-{second}"
        return RobotState(
            tick=self._clock.milliseconds,
            reading=SensorReading(
                time=self._clock.time,
                joint_position=motors["q"].astype(np.float64),
                joint_velocity=motors["dq"].astype(np.float64),
                orientation=imu["quaternion"].astype(np.float64),
                angular_velocity=imu["gyroscope"].astype(np.float64),
                linear_acceleration=imu["accelerometer"].astype(np.float64),
            ),
            torque=motors["tau_est"] * self._torque_scale,
            motor_temperature=motors["temperature"].astype(np.float64),
            motor_mode=motors["mode"].copy(),
            foot_force=record["foot_force"][self._feet].astype(np.float64),
            battery=self._battery(record),
            remote=record["wireless_remote"].tobytes(),
            serial=(first, second),
            arrived=now,
            restarts=self._counters.restarts,
            motor_lost=int(motors["lost"].sum(dtype=np.int64))
            if "lost" in (motors.dtype.names or ())
            else None,
        )


def battery_temperature(cells: Record) -> NDArray[np.float64]:
    """The battery's four sensors, degrees Celsius."""
    return np.concatenate([cells["bq_ntc"], cells["mcu_ntc"]]).astype(np.float64)
