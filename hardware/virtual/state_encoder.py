"""What a plant's state looks like in both robots' records: the fields they have in common, filled in place."""

from __future__ import annotations

import numpy as np

from safebo.hardware.unitree.joints import MOTOR_LEGS, motors_of
from safebo.hardware.unitree.records import Record
from safebo.hardware.unitree.remote import encode_remote
from safebo.hardware.virtual.attitude import roll_pitch_yaw
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.robots.descriptions.description import LEGS

REMOTE_IDLE = np.frombuffer(encode_remote(), np.uint8)
_FOOT_LEGS = [LEGS.index(leg) for leg in MOTOR_LEGS]
DEFAULT_SERIAL = (0x5AFEB0, 1)


class StateEncoder:
    """Fills records of one plant.

    Args:
        plant: whose.
        servo: number of the mode that a driven motor reports.
        torque_scale: N m per count of `tau_est`.
        tick_scale: counts of `tick` per millisecond.
        cell_scale: V per count of a cell.
    """

    def __init__(
        self, plant: VirtualPlant, servo: int, torque_scale: float, tick_scale: int, cell_scale: float
    ) -> None:
        self._plant, self._servo = plant, servo
        self._torque_scale, self._tick_scale, self._cell_scale = torque_scale, tick_scale, cell_scale
        self._motors = motors_of(plant.robot.joint_names)

    def fill(self, record: Record) -> None:
        """Write what the robot knows now."""
        plant, reading, slots = self._plant, self._plant.reading, self._motors
        imu, motors = record["imu_state"], record["motor_state"]
        imu["quaternion"] = reading.orientation
        imu["gyroscope"] = reading.angular_velocity
        imu["accelerometer"] = reading.linear_acceleration
        imu["rpy"] = roll_pitch_yaw(reading.orientation)
        motors["q"][slots] = motors["q_raw"][slots] = reading.joint_position
        motors["dq"][slots] = motors["dq_raw"][slots] = reading.joint_velocity
        torque = plant.torque / self._torque_scale
        motors["tau_est"][slots] = np.rint(torque) if self._torque_scale < 1.0 else torque
        motors["mode"][slots] = 0 if plant.charge == "off" else self._servo
        record["tick"] = (plant.milliseconds * self._tick_scale) & 0xFFFFFFFF
        record["wireless_remote"] = REMOTE_IDLE
        if plant.ticks % 5 == 0:
            self._fill_slow(record)

    def _fill_slow(self, record: Record) -> None:
        plant = self._plant
        motors, cells = record["motor_state"], record["bms_state"]
        motors["temperature"][self._motors] = np.rint(np.clip(plant.heat.temperature, 0, 120))
        record["imu_state"]["temperature"] = 45
        record["foot_force"] = np.rint(np.clip(plant.foot_force(), 0, 3e4))[_FOOT_LEGS]
        record["foot_force_est"] = record["foot_force"]
        volts = plant.battery.cells
        cells["soc"] = round(plant.battery.charge)
        cells["current"] = round(-1e3 * plant.battery.current)
        cells["bq_ntc"] = cells["mcu_ntc"] = 32
        cells["cell_vol"][: len(volts)] = np.rint(volts / self._cell_scale)
