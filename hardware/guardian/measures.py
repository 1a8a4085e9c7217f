"""From the newest robot state to the quantities that limits are about."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from safebo.hardware.constants import DAMAGE_WINDOW_S
from safebo.hardware.guardian.limits import Watch
from safebo.hardware.guardian.observation import Stream
from safebo.hardware.guardian.sensors import SensorWatch
from safebo.hardware.guardian.stream_watch import STREAMED, StreamWatch
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand
from safebo.robots.quadruped.sensor_memory import FOUND


class WatchedQuantities:
    """Fills a `Watch` at every tick.

    The height of the trunk is that over its lowest foot, from joint angles and attitude alone: it needs no
    estimator, and says nothing of a robot that hangs in the air.

    Attributes after `take`:
        attitude: roll and pitch, rad.
        height: m.
        sensors: whether they can be believed. streamed: whether the stream can.
    """

    def __init__(self, robot: RobotModel, watch: Watch, stream: Stream) -> None:
        self._robot, self._watch, self._stream = robot, watch, stream
        self.sensors = SensorWatch(robot)
        self.streamed = StreamWatch(self.sensors.joints)
        self._damage: deque[tuple[float, int]] = deque()
        self.attitude = (0.0, 0.0)
        self.height = robot.nominal_height

    def take(
        self,
        now: float,
        gap: float,
        stop: int,
        damaged: int,
        silence: float,
        command: JointCommand,
        standing: bool = False,
        walking: bool = False,
    ) -> None:
        """Measure everything that is known before the controller runs.

        Args:
            now: s.
            gap: seconds since the last command.
            stop: level of a stop that came in this tick; 0: none.
            damaged: packets from the robot that were refused since the start.
            silence: of the tuner, s.
            command: the last one.
            standing: the robot stands where it got up, at rest.
            walking: its controller runs.
        """
        stream, newest = self._stream, self._stream.newest
        self._watch.set(
            state_age=stream.age(now),
            rejected=stream.rejected_in_row,
            damaged=self._damage_rate(now, damaged),
            reboot=float(stream.rebooted),
            command_gap=gap,
            tuner_silence=silence,
            stop=stop,
            remote_stop=float(stream.remote_stop),
        )
        if newest is None:
            return
        if stream.fresh:
            self.sensors.take(newest, command, standing, walking)
            self.streamed.take(now, newest)
            self._watch.put(STREAMED[0], self.streamed.found)
            self._watch.put(FOUND[0], self.sensors.found)
        robot, reading = self._robot, newest.reading
        q = reading.joint_position
        w, x, y, z = (reading.orientation / np.linalg.norm(reading.orientation)).tolist()
        roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
        pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
        up = np.array([2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)])
        self.attitude = roll, pitch
        self.height = robot.foot_radius - float((robot.foot_positions(q) @ up).min())
        self._watch.set(
            tilt=max(abs(roll), abs(pitch)),
            body_rate=float(np.abs(reading.angular_velocity).max()),
            height=self.height,
            joint_excess=float(np.maximum(q - robot.joint_upper, robot.joint_lower - q).max()),
            joint_speed=float((np.abs(reading.joint_velocity) / robot.speed_limit).max()),
            joint_torque=float((np.abs(newest.torque) / robot.torque_limit).max()),
            tracking=float(np.abs(command.position - q).max()),
            battery=newest.battery,
            cell_spread=newest.cell_spread,
            temperature=newest.temperature,
            foreign_commands=float(newest.foreign_commands),
            other_robot=float(newest.other_robot),
        )

    def blamed(self, quantity: str) -> str:
        """Which sensor, joint, leg or robot it is; empty where that cannot be known."""
        return self.sensors.blamed(quantity) or self.streamed.blamed(quantity)

    def _damage_rate(self, now: float, damaged: int) -> float:
        self._damage.append((now, damaged))
        while now - self._damage[0][0] > DAMAGE_WINDOW_S:
            self._damage.popleft()
        return (damaged - self._damage[0][1]) / DAMAGE_WINDOW_S
