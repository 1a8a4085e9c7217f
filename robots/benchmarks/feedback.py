"""Roll a mechanism out under linear state feedback, for many gains at once.

A mechanism has two hinges or slides, of which an actuator drives the first. One MuJoCo model holds a copy of it for
every vector of gains: the copies do not touch one another, so each moves as it would alone, to the last digit, and
Python is entered once a step instead of once a step and copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from safebo.types import FloatArray

COPIES = 128
"""Of one model; more are rolled out one batch after the other."""


@dataclass(frozen=True)
class Mechanism:
    """A plant with two joints and how its controller is run.

    Args:
        name: of the plant.
        body: MJCF of one copy, `{i}` standing for its number; its joints in the order of the state.
        joint: name of the driven joint, `{i}` likewise.
        gear: force or torque per unit of control, N or N m.
        limit: largest control either way.
        control_period: s.
        substeps: of the simulation in a control period.
        delay: control periods between measuring a state and acting on it.
        gravity: m/s^2, downwards.
    """

    name: str
    body: str
    joint: str
    gear: float
    limit: float
    control_period: float
    substeps: int = 2
    delay: int = 1
    gravity: float = 9.81


@dataclass(frozen=True)
class Rollouts:
    """What happened, T control periods of n copies.

    Args:
        states: both positions, then both rates, `T + 1 x n x 4`, in m or rad.
        controls: as applied, `T x n`.
    """

    states: FloatArray
    controls: FloatArray


def mjcf(mechanism: Mechanism, copies: int) -> str:
    """The model of that many copies. Nothing collides; the world is empty."""
    number = range(copies)
    bodies = "".join(mechanism.body.format(i=i) for i in number)
    motors = "".join(
        f'<motor joint="{mechanism.joint.format(i=i)}" gear="{mechanism.gear!r}" '
        f'ctrllimited="true" ctrlrange="{-mechanism.limit!r} {mechanism.limit!r}"/>'
        for i in number
    )
    timestep = mechanism.control_period / mechanism.substeps
    return (
        f'<mujoco model="{mechanism.name}"><option timestep="{timestep!r}" integrator="implicitfast" '
        f'gravity="0 0 {-mechanism.gravity!r}"><flag contact="disable" autoreset="disable"/></option>'
        f"<worldbody>{bodies}</worldbody><actuator>{motors}</actuator></mujoco>"
    )


@lru_cache(maxsize=8)
def _model(mechanism: Mechanism, copies: int) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(mjcf(mechanism, copies))


def roll_out(mechanism: Mechanism, gains: FloatArray, start: FloatArray, steps: int) -> Rollouts:
    """Apply `control = gains . state` for so many control periods, without noise.

    Args:
        mechanism: the plant.
        gains: on both positions, then on both rates, `n x 4`.
        start: state in which every copy starts, `4`.
        steps: control periods.
    """
    batches = [
        _roll_out(mechanism, gains[first : first + COPIES], start, steps)
        for first in range(0, len(gains), COPIES)
    ]
    return Rollouts(
        np.concatenate([b.states for b in batches], 1), np.concatenate([b.controls for b in batches], 1)
    )


def _roll_out(mechanism: Mechanism, gains: FloatArray, start: FloatArray, steps: int) -> Rollouts:
    copies = len(gains)
    model = _model(mechanism, copies)
    data = mujoco.MjData(model)
    data.qpos[:] = np.tile(start[:2], copies)
    data.qvel[:] = np.tile(start[2:], copies)
    states, controls = np.empty((steps + 1, copies, 4)), np.empty((steps, copies))
    for t in range(steps + 1):
        states[t, :, :2] = data.qpos.reshape(copies, 2)
        states[t, :, 2:] = data.qvel.reshape(copies, 2)
        if t == steps:
            break
        seen = states[max(0, t - mechanism.delay)]
        controls[t] = np.clip((gains * seen).sum(1), -mechanism.limit, mechanism.limit)
        data.ctrl[:] = controls[t]
        mujoco.mj_step(model, data, mechanism.substeps)
    return Rollouts(states, controls)
