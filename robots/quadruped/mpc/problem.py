"""What a predictive controller of the base starts from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from safebo.types import FloatArray

STATE_NAMES = ("roll", "pitch", "yaw", "x", "y", "z", "wx", "wy", "wz", "vx", "vy", "vz")


class MpcError(RuntimeError):
    """The quadratic program could not be solved (non-finite state or gains)."""


class RigidBody(NamedTuple):
    """The robot as one body.

    Args:
        mass: kg.
        centre: of mass, in the base frame, m, `3`.
        inverse_inertia: of the inertia about the centre of mass in the base frame, `3 x 3`, 1/(kg m^2).
    """

    mass: float
    centre: FloatArray
    inverse_inertia: FloatArray


class MpcProblem(NamedTuple):
    """What one solution of the MPC starts from; `steps` is one more than its horizon, as the first step and the last
    one share the time of one where a contact changes soon.

    Args:
        state: present state `12`, see `STATE_NAMES`.
        reference: wanted states at the end of every step, `steps x 12`.
        ends: of every step, s from now, `steps`; the first step ends early where a contact changes within it.
        durations: how long every foot is planned to stand in every step, s, `steps x 4`.
        centres: the middle of that time, s from now, `steps x 4`.
        moment_arms: feet relative to the centre of mass in every step, `steps x 4 x 3`, world, m.
        points: where those feet stand, `steps x 4 x 3`, world, m.
    """

    state: FloatArray
    reference: FloatArray
    ends: FloatArray
    durations: FloatArray
    centres: FloatArray
    moment_arms: FloatArray
    points: FloatArray

    @classmethod
    def allocate(cls, steps: int) -> MpcProblem:
        """Room for a horizon."""
        return cls(
            np.zeros(12),
            np.zeros((steps, 12)),
            np.zeros(steps),
            np.zeros((steps, 4)),
            np.zeros((steps, 4)),
            np.zeros((steps, 4, 3)),
            np.zeros((steps, 4, 3)),
        )

    def copy(self) -> MpcProblem:
        """An independent copy."""
        return MpcProblem(*(part.copy() for part in self))
