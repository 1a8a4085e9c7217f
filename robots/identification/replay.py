"""Recorded torques through the shipped plant again, open loop, from many states and under many parameters at once.

MuJoCo's own `rollout` does the steps, in threads without Python's lock. From a true state and with the true parameters
it gives the recorded motion to rounding (an even floor and no pushes).
"""

from __future__ import annotations

import copy
import os
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout as engine

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.identification.parameters import Family
from safebo.robots.simulation.floor import model_on_floor
from safebo.robots.simulation.plant import disturb_model
from safebo.types import FloatArray

CHANNELS = 33
"""Coordinates of a state, and as many of what is measured: height, roll, pitch, angles (12), velocity (3, world), rate
(3, trunk), joint speeds (12). Where the robot is and which way it looks change nothing."""

GROUPS: dict[str, slice] = {
    "height": slice(0, 1),
    "attitude": slice(1, 3),
    "joint position": slice(3, 15),
    "velocity": slice(15, 18),
    "rate": slice(18, 21),
    "joint velocity": slice(21, 33),
}
"""Channels of one kind."""

UNITS = {
    "height": "m",
    "attitude": "rad",
    "joint position": "rad",
    "velocity": "m/s",
    "rate": "rad/s",
    "joint velocity": "rad/s",
}


class States:
    """States of the robot, `n`: generalised positions and velocities in the order of the engine.

    Args:
        position: height, `n`; quaternion, w first, `n x 4`; joint angles, `n x 12`.
        velocity: of the trunk, world, `n x 3`; rate, trunk's frame, `n x 3`; joint speeds, `n x 12`.
    """

    def __init__(
        self, position: tuple[FloatArray, FloatArray, FloatArray], velocity: tuple[FloatArray, ...]
    ) -> None:
        self.height, self.quaternion, self.joints = position
        self.velocity, self.rate, self.speeds = velocity

    def motion(self) -> FloatArray:
        """As `Replayer.run` gives motions, `n x 35`."""
        parts = self.height[:, None], self.quaternion, self.joints, self.velocity, self.rate, self.speeds
        return np.hstack(parts)

    def moved(self, change: FloatArray) -> States:
        """Each state moved by a change, `n x CHANNELS`; roll and pitch about the trunk's own axes."""
        half = 0.5 * change[:, GROUPS["attitude"]]
        w, x, y, z = self.quaternion.T
        a, b = half.T
        turned = np.stack(
            [w - x * a - y * b, x + w * a - z * b, y + w * b + z * a, z + x * b - y * a], axis=1
        )
        turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        return States(
            (self.height + change[:, 0], turned, self.joints + change[:, GROUPS["joint position"]]),
            (
                self.velocity + change[:, GROUPS["velocity"]],
                self.rate + change[:, GROUPS["rate"]],
                self.speeds + change[:, GROUPS["joint velocity"]],
            ),
        )


def states_of(motion: FloatArray) -> States:
    """States of a motion, `n x 35` (`Replayer.run`)."""
    return States(
        (motion[:, 0], motion[:, 1:5], motion[:, 5:17]),
        (motion[:, 17:20], motion[:, 20:23], motion[:, 23:35]),
    )


def difference(to: FloatArray, start: FloatArray) -> FloatArray:
    """From one motion to another, `... x CHANNELS`, of motions `... x 35` (`Replayer.run`)."""
    out = np.empty((*np.broadcast_shapes(to.shape, start.shape)[:-1], CHANNELS))
    out[..., 0] = to[..., 0] - start[..., 0]
    out[..., 3:] = to[..., 5:] - start[..., 5:]
    w, x, y, z = np.moveaxis(start[..., 1:5], -1, 0)
    a, b, c, d = np.moveaxis(to[..., 1:5], -1, 0)
    real = w * a + x * b + y * c + z * d
    sign = np.where(real < 0.0, -2.0, 2.0)
    out[..., 1] = sign * (w * b - x * a - y * d + z * c)
    out[..., 2] = sign * (w * c + x * d - y * a - z * b)
    return out


class Replayer:
    """Replays torques on plants of a family.

    Args:
        robot: which one.
        family: the plants.
        period: s of a control tick.
        threads: that compute; None: one per processor that may be used.
    """

    def __init__(self, robot: RobotModel, family: Family, period: float, threads: int | None = None) -> None:
        self.robot, self.family = robot, family
        self._plain = model_on_floor(family.base, robot)
        self._substeps = max(1, int(np.ceil(period / self._plain.opt.timestep - 1e-9)))
        self._plain.opt.timestep = period / self._substeps
        self.index = robot.mujoco_index(self._plain)
        model, index = self._plain, self.index
        count = threads if threads is not None else len(os.sched_getaffinity(0))
        self._data = [mujoco.MjData(model) for _ in range(max(1, count))]
        self._size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        q, v = 1 + index.base_qpos, 1 + model.nq + index.base_dof
        self._columns = np.concatenate(
            [
                [q + 2],
                np.arange(q + 3, q + 7),
                1 + index.qpos,
                np.arange(v, v + 6),
                1 + model.nq + index.dof,
            ]
        )

    def model(self, values: FloatArray) -> Any:
        """The engine's model of the plant with these parameters, `p`."""
        model = copy.copy(self._plain)
        disturb_model(model, self.robot, self.family.disturbance(values))
        return model

    def run(self, plants: list[FloatArray], states: list[States], torques: FloatArray) -> FloatArray:
        """Replay windows on several plants from several states.

        Args:
            plants: parameters, `m` of `p`.
            states: at the start of every window, `m` of `n`.
            torques: of the joint law that act in every tick, N m, `n x k x 12`.

        Returns:
            Height, quaternion, joint angles, velocity, rate and joint speeds after every tick, `m x n x k x 35`.
        """
        n, ticks = torques.shape[:2]
        made: dict[bytes, Any] = {}
        for values in plants:
            made.setdefault(values.tobytes(), self.model(values))
        models = [made[values.tobytes()] for values in plants for _ in range(n)]
        begin = np.zeros((len(plants) * n, self._size))
        control = np.zeros((len(plants) * n, ticks, self._plain.nu))
        for number, (values, state) in enumerate(zip(plants, states, strict=True)):
            at = slice(number * n, (number + 1) * n)
            begin[at, self._columns] = state.motion()
            factor = np.repeat(self.family.disturbance(values).torque_factor, 3)
            control[at, :, self.index.actuator] = torques * factor
        if self._substeps > 1:
            control = np.repeat(control, self._substeps, axis=1)
        after, _ = engine.rollout(models, self._data, begin, control)
        kept = after[:, self._substeps - 1 :: self._substeps, self._columns]
        return np.asarray(kept).reshape(len(plants), n, ticks, len(self._columns))
