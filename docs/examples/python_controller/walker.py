"""A walking controller in one class: a virtual model of the trunk, Jacobian-transpose stance, swinging feet.

The trunk hangs on virtual springs and dampers (Pratt et al., IJRR 2001); the standing feet share their force and moment
by least squares, each torque is a Jacobian transposed times a force. Feet are placed by Raibert's rule. Any robot, any
gait.

    safebo robots walk go2 --controller walker.py:Walker
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.estimator import KalmanEstimator
from safebo.robots.quadruped.gains import Gain
from safebo.robots.quadruped.gait import Gait, contact, stance_phases
from safebo.robots.quadruped.interface import GRAVITY, BaseState, JointCommand, SensorReading

Array = NDArray[np.float64]
PERIOD = 0.002  # s
REACH = 0.15  # m, of a step from under the hip
FRICTION = 0.5


class Walker:
    """See `safebo.robots.controllers.protocol.WalkingController`."""

    gains = (
        Gain("stance.kp", "N m/rad", 15.0, 0.0, 100.0, "stiffness of a standing leg's joints"),
        Gain("stance.kd", "N m s/rad", 1.0, 0.1, 6.0, "their damping"),
        Gain("swing.kp", "N m/rad", 50.0, 5.0, 150.0, "stiffness of a swinging leg's joints"),
        Gain("swing.kd", "N m s/rad", 1.5, 0.1, 6.0, "their damping"),
        Gain("trunk.height.kp", "1/s^2", 150.0, 10.0, 1000.0, "vertical acceleration per height error"),
        Gain("trunk.attitude.kp", "1/s^2", 400.0, 10.0, 1500.0, "angular acceleration per attitude error"),
        Gain("trunk.velocity.kp", "1/s", 6.0, 0.0, 40.0, "horizontal acceleration per velocity error"),
        Gain("foothold.velocity_gain", "s", 0.12, 0.0, 0.4, "how far a foot is placed per velocity error"),
        Gain("swing.apex_height", "m", 0.06, 0.02, 0.15, "height of a foot over the ground at mid-swing"),
    )

    def reset(
        self,
        robot: RobotModel,
        gains: Mapping[str, float],
        gait: Gait,
        command: Callable[[float], tuple[float, float, float]],
    ) -> None:
        """Begin a walk."""
        self.robot, self.command, self.given = robot, command, gains
        self.timing = gait.timing(robot.legs)
        self.swing_time, self.stance_time = gait.swing_duration, gait.stance_duration
        self.estimator = KalmanEstimator(robot, PERIOD)
        self.base: BaseState | None = None
        self.inertia = (
            robot.mass * np.array([0.1, 0.25, 0.28]) ** 2
        )  # of the trunk, roughly: radii of gyration
        self.home = robot.stance_points.copy()
        self.home[:, 2] = robot.foot_radius - robot.nominal_height
        self.stood = np.ones(4, dtype=bool)
        self.target, self.lifted = self.home.copy(), self.home.copy()
        self.yaw = 0.0
        self._phases = np.zeros(4)

    def set_gains(self, gains: Mapping[str, float]) -> None:
        """Other gains from the next tick on."""
        self.given = gains

    def step(self, sensors: SensorReading) -> JointCommand:
        """One tick."""
        time, gains = sensors.time, self.given
        fresh = self.base is None
        if fresh:
            base = self.estimator.reset(sensors)
        else:
            stance_phases(time, self.timing, self._phases)
            base = self.estimator.update(sensors, self._phases)
        self.base = base
        roll, pitch, yaw, level = attitude(base.orientation)
        c, s = math.cos(yaw), math.sin(yaw)
        speed = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) @ base.linear_velocity
        rate = level @ base.angular_velocity
        forward, leftward, turn = self.command(time) if time >= 0.0 else (0.0, 0.0, 0.0)
        wanted, turning = np.array([forward, leftward, 0.0]), np.array([0.0, 0.0, turn])
        error = math.remainder((yaw if fresh else self.yaw + turn * PERIOD) - yaw, 2.0 * math.pi)
        self.yaw = yaw + min(0.2, max(-0.2, error))

        feet, jacobians = np.empty((4, 3)), np.empty((4, 3, 3))
        angles, rates = sensors.joint_position.reshape(4, 3), sensors.joint_velocity.reshape(4, 3)
        for leg in range(4):
            foot, jacobian = self._leg(leg, angles[leg], rates[leg])
            feet[leg], jacobians[leg] = level @ foot, level @ jacobian
        if time < 0.0:  # over the middle of the feet before one of them lifts
            wanted[:2] = np.clip(6.0 * (feet - self.home).mean(axis=0)[:2], -0.15, 0.15)

        out = JointCommand()
        for leg in range(4):
            joints = slice(3 * leg, 3 * leg + 3)
            stands, progress = contact(time, leg, self.timing)
            if stands and (fresh or not self.stood[leg]):
                self.target[leg] = feet[leg]
            elif not stands and self.stood[leg]:
                self.lifted[leg] = feet[leg]
            self.stood[leg] = stands
            moving = wanted + np.cross(turning, self.home[leg])
            if stands:
                place, motion = self._standing(leg, feet[leg], moving)
                kp, kd = gains["stance.kp"], gains["stance.kd"]
            else:
                place, motion = self._swinging(leg, progress, moving, wanted, speed, base.position[2])
                kp, kd = gains["swing.kp"], gains["swing.kd"]
            motion = motion - np.cross(rate, feet[leg])
            inverse = jacobians[leg].T @ np.linalg.inv(jacobians[leg] @ jacobians[leg].T + 1e-6 * np.eye(3))
            step = np.clip(inverse @ (place - feet[leg]), -0.6, 0.6)
            out.position[joints] = np.clip(
                angles[leg] + step, self.robot.joint_lower[joints], self.robot.joint_upper[joints]
            )
            out.velocity[joints] = np.clip(inverse @ motion, -20.0, 20.0)
            out.kp[joints], out.kd[joints] = kp, kd

        spring = gains["trunk.attitude.kp"]
        tilt = np.array([-roll, -pitch, self.yaw - yaw])
        moment = self.inertia * (spring * tilt + 2.0 * math.sqrt(spring) * (turning - rate))
        force = gains["trunk.velocity.kp"] * (wanted - speed)
        stiff = gains["trunk.height.kp"]
        force[2] = (
            GRAVITY
            + stiff * (self.robot.nominal_height - base.position[2])
            - 2.0 * math.sqrt(stiff) * speed[2]
        )
        for leg, push in zip(
            *self._shared(feet, np.concatenate([self.robot.mass * force, moment])), strict=True
        ):
            out.torque[3 * leg : 3 * leg + 3] = -jacobians[leg].T @ push
        limit = self.robot.torque_limit
        out.torque = np.clip(out.torque, -limit, limit)
        return out

    def _leg(self, leg: int, q: Array, qd: Array) -> tuple[Array, Array]:
        """Foot `3` and its Jacobian `3 x 3` in the trunk's frame."""
        place, jacobian, axes, drift = np.empty(3), np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
        leg_kinematics(self.robot.chains[leg], q, qd, place, jacobian, axes, drift)
        return place, jacobian

    def _standing(self, leg: int, foot: Array, moving: Array) -> tuple[Array, Array]:
        """Against the trunk's wanted motion, from where the foot touched down."""
        away = self.target[leg] - PERIOD * moving - foot
        self.target[leg] = foot + np.clip(away, -0.03, 0.03)
        self.target[leg, 2] = self.home[leg, 2]
        return self.target[leg], -moving

    def _swinging(
        self, leg: int, share: float, moving: Array, wanted: Array, speed: Array, height: float
    ) -> tuple[Array, Array]:
        """From lift-off to where the foot shall stand, `share` of the way in time."""
        step = 0.5 * self.stance_time * moving + self.given["foothold.velocity_gain"] * (speed - wanted)
        end = self.home[leg] + np.clip(step, -REACH, REACH)
        way, apex = end - self.lifted[leg], self.given["swing.apex_height"]
        place = self.lifted[leg] + share * share * (3.0 - 2.0 * share) * way
        motion = 6.0 * share * (1.0 - share) / self.swing_time * way
        place[2] = self.robot.foot_radius - height + apex * math.sin(math.pi * share) ** 2
        motion[2] = apex * math.pi / self.swing_time * math.sin(2.0 * math.pi * share) - speed[2]
        return place, motion

    def _shared(self, feet: Array, wrench: Array) -> tuple[list[int], Array]:
        """Legs that stand, and a force of each, `n x 3`, that together come near a wrench `6` on the trunk."""
        legs = [leg for leg in range(4) if self.stood[leg]]
        if not legs:
            return [], np.zeros((0, 3))
        columns = np.zeros((6, 3 * len(legs)))
        for k, leg in enumerate(legs):
            x, y, z = feet[leg]
            columns[:3, 3 * k : 3 * k + 3] = np.eye(3)
            columns[3:, 3 * k : 3 * k + 3] = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
        weights = np.array([1.0, 1.0, 1.0, 150.0, 150.0, 150.0])[:, None]  # attitude before speed
        square = columns.T @ (weights * columns) + 1e-3 * np.eye(3 * len(legs))
        forces = np.linalg.solve(square, columns.T @ (weights[:, 0] * wrench)).reshape(-1, 3)
        forces[:, 2] = np.clip(forces[:, 2], 0.0, 2.0 * self.robot.mass * GRAVITY)
        most = FRICTION * forces[:, 2:]
        forces[:, :2] = np.clip(forces[:, :2], -most, most)
        return legs, forces


def attitude(quaternion: Array) -> tuple[float, float, float, Array]:
    """Roll, pitch, yaw, rad, and the rotation `3 x 3` from the trunk to the heading frame."""
    w, x, y, z = quaternion.tolist()
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
    return roll, pitch, yaw, np.array([[cp, sp * sr, sp * cr], [0.0, cr, -sr], [-sp, cp * sr, cp * cr]])
