"""Faults of the sensors: what they make a state say that depends on the states before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from safebo.hardware.unitree.joints import motors_of
from safebo.hardware.unitree.records import Record
from safebo.hardware.virtual.faults import InjectedFault

_IMU = {"attitude": ("quaternion", "rpy"), "gyroscope": ("gyroscope",), "accelerometer": ("accelerometer",)}
_MOTOR = ("q", "q_raw", "dq", "dq_raw")
_BODY = ("foot_force", "foot_force_est", "bms_state")
_MASK = 0xFFFFFFFF


class SensorFaults:
    """Distorts one state after the other.

    Args:
        faults: all that may come; only those that are active in a tick count in it.
    """

    def __init__(self, faults: tuple[InjectedFault, ...]) -> None:
        self._faults = faults
        looped = [float(fault.value) for fault in faults if fault.kind == "replay"]
        self._recent: deque[Record] = deque(maxlen=round(max(looped) / 0.002)) if looped else deque(maxlen=1)
        self._keeps = any(fault.kind in _CHANGES for fault in faults)
        self._first: dict[int, Record] = {}
        self._since: dict[int, int] = {}
        self._loop: dict[int, list[Record]] = {}

    def change(self, record: Record, active: tuple[InjectedFault, ...]) -> Record:
        """A state as these faults make it say; `record` itself is not changed."""
        if not self._keeps:
            return record
        changed = record
        for fault in active:
            if fault.kind not in _CHANGES:
                continue
            key = self._faults.index(fault)
            if key not in self._first:
                self._first[key] = (self._recent[-1] if self._recent else record).copy()
                self._since[key] = 0
                self._loop[key] = list(self._recent)
            if changed is record:
                changed = record.copy()
            self._since[key] += 1
            if fault.kind == "replay":
                changed = self._replayed(changed, key)
            else:
                _CHANGES[fault.kind](changed, self._first[key], fault.value, self._since[key])
        if not any(fault.kind == "replay" for fault in active):
            self._recent.append(record.copy())
        return changed

    def _replayed(self, record: Record, key: int) -> Record:
        loop = self._loop[key]
        if not loop:
            return record
        old = loop[(self._since[key] - 1) % len(loop)].copy()
        old["tick"] = record["tick"]
        return old


def _imu_frozen(record: Record, first: Record, part: str, _: int) -> None:
    for name in (name for word, names in _IMU.items() if part in ("all", word) for name in names):
        record["imu_state"][name] = first["imu_state"][name]


def _gyro_scale(record: Record, _: Record, factor: float, __: int) -> None:
    record["imu_state"]["gyroscope"] *= np.float32(factor)


def _accelerometer_scale(record: Record, _: Record, factor: float, __: int) -> None:
    record["imu_state"]["accelerometer"] *= np.float32(factor)


def _attitude_offset(record: Record, _: Record, roll: float, __: int) -> None:
    w, x, y, z = (float(part) for part in record["imu_state"]["quaternion"])
    c, s = np.cos(0.5 * roll), np.sin(0.5 * roll)
    record["imu_state"]["quaternion"] = (w * c - x * s, x * c + w * s, y * c + z * s, z * c - y * s)
    record["imu_state"]["rpy"][0] += np.float32(roll)


def _encoder_frozen(record: Record, first: Record, joints: tuple[int, ...], _: int) -> None:
    slots = motors_of()[list(joints)]
    for name in _MOTOR:
        record["motor_state"][name][slots] = first["motor_state"][name][slots]


def _angle_offset(record: Record, _: Record, offsets: tuple[float, ...], __: int) -> None:
    slots = motors_of()
    for name in ("q", "q_raw"):
        record["motor_state"][name][slots] += np.array(offsets, np.float32)


def _leg_missing(record: Record, _: Record, joints: tuple[int, ...], __: int) -> None:
    for slot in motors_of()[list(joints)]:
        record["motor_state"][slot] = np.zeros((), record["motor_state"].dtype)


def _no_temperature(record: Record, _: Record, joints: tuple[int, ...], __: int) -> None:
    record["motor_state"]["temperature"][motors_of()[list(joints)]] = 0


def _body_frozen(record: Record, first: Record, _: None, __: int) -> None:
    for name in _BODY:
        record[name] = first[name]


def _serial(record: Record, _: Record, serial: tuple[int, int], __: int) -> None:
    record["sn"] = serial


def _clock_rate(record: Record, first: Record, rate: float, _: int) -> None:
    begin = int(first["tick"])
    record["tick"] = (begin + round(rate * (int(record["tick"]) - begin))) & _MASK


def _clock_back(record: Record, first: Record, _: None, __: int) -> None:
    record["tick"] = (2 * int(first["tick"]) - int(record["tick"])) & _MASK


def _motor_lost(record: Record, _: Record, step: float, ticks: int) -> None:
    if "lost" in (record["motor_state"].dtype.names or ()):
        record["motor_state"]["lost"] += np.uint32(round(step * ticks) & _MASK)


_CHANGES: dict[str, Callable[[Record, Record, Any, int], None]] = {
    "imu_frozen": _imu_frozen,
    "gyro_scale": _gyro_scale,
    "accelerometer_scale": _accelerometer_scale,
    "attitude_offset": _attitude_offset,
    "encoder_frozen": _encoder_frozen,
    "angle_offset": _angle_offset,
    "leg_missing": _leg_missing,
    "no_temperature": _no_temperature,
    "body_frozen": _body_frozen,
    "serial": _serial,
    "clock_rate": _clock_rate,
    "clock_back": _clock_back,
    "motor_lost": _motor_lost,
    "replay": lambda *_: None,
}
