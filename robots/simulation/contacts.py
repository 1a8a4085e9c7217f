"""What touches the floor in the engine, how hard, and whether the robot still stands."""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit
from safebo.robots.simulation.recording import roll_and_pitch
from safebo.types import BoolArray, FloatArray, IntArray

TRUNK = 4
"""Whose place in a list of what touches something comes after those of the four feet."""


@njit(cache=True)
def feel(
    geoms: IntArray, rows: IntArray, forces: FloatArray, place_of_geom: IntArray, foot_force: FloatArray
) -> None:
    """Normal forces under the feet, from the engine's contacts.

    Args:
        geoms: which touch, `n x 2`.
        rows: where the forces of the contacts begin, `n`; the normal one comes first, with elliptic cones. -1: nowhere.
        forces: of all constraints, N.
        place_of_geom: leg, `TRUNK` or -1.
        foot_force: out, `4`, N.
    """
    foot_force[:] = 0.0
    for k in range(geoms.shape[0]):
        for side in range(2):
            place = place_of_geom[geoms[k, side]] if geoms[k, side] >= 0 else -1
            if 0 <= place < TRUNK and rows[k] >= 0:
                foot_force[place] += forces[rows[k]]


@njit(cache=True)
def touch(geoms: IntArray, place_of_geom: IntArray, touching: BoolArray) -> None:
    """Which feet and whether the trunk touch something: out, `5`; see `feel`."""
    touching[:] = False
    for k in range(geoms.shape[0]):
        for side in range(2):
            place = place_of_geom[geoms[k, side]] if geoms[k, side] >= 0 else -1
            if place >= 0:
                touching[place] = True


@njit(cache=True)
def is_upright(
    known: tuple[FloatArray, FloatArray, BoolArray],
    velocity: FloatArray,
    floor: FloatArray,
    tilt: float,
    height: float,
    trunk: bool,
) -> bool:
    """See `Simulation.upright`; what is not finite is not upright."""
    _, truth, touching = known
    total = 0.0
    for value in velocity:
        total += value * value
    roll, pitch = roll_and_pitch(truth[3:7])
    over_floor = truth[2] - truth[0] * floor[0] - truth[1] * floor[1]
    level = abs(roll) <= tilt and abs(pitch) <= tilt and over_floor >= height
    return math.isfinite(total) and level and not (trunk and touching[TRUNK])
