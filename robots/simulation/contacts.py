"""What comes out of the engine after a step: contacts and their forces, state, sensors, whether the robot stands."""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.simulation.plant_memory import PLANT, PlantMemory
from safebo.robots.simulation.recording import TableBytes, record_effect, roll_and_pitch
from safebo.robots.simulation.sensors import Sensors, sense
from safebo.types import BoolArray, FloatArray, IntArray

TRUNK = 4
"""Whose place in a list of what touches something comes after those of the four feet."""


@njit_no_alloc
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


@njit_no_alloc(forceinline=True)
def touch(geoms: IntArray, place_of_geom: IntArray, touching: BoolArray) -> None:
    """Which feet and whether the trunk touch something: out, `5`; see `feel`."""
    touching[:] = False
    for k in range(geoms.shape[0]):
        for side in range(2):
            place = place_of_geom[geoms[k, side]] if geoms[k, side] >= 0 else -1
            if place >= 0:
                touching[place] = True


@njit_no_alloc
def observe(
    tick: int,
    geoms: IntArray,
    place_of_geom: IntArray,
    positions: FloatArray,
    velocities: FloatArray,
    noise: FloatArray,
    readings: FloatArray,
    plant: PlantMemory,
) -> None:
    """Take the robot's state out of the engine: what is true, what touches something, and what the sensors say.

    Args:
        tick: ticks since the start.
        geoms: which touch, see `feel`.
        place_of_geom: see `feel`.
        positions: qpos of the engine.
        velocities: qvel of the engine.
        noise: standard normal, of ticks in turn, `n x 33`.
        readings: of the last ticks in turn, out, see `sense`.
        plant: out.
    """
    m = plant.view(PLANT)[0]
    touch(geoms, place_of_geom, m["touching"])
    sensors = Sensors(m["joints_at"], m["base_at"], m["period"], m["imu"], m["std"], m["bias"])
    drawn, reading = noise[tick % noise.shape[0]], readings[tick % readings.shape[0]]
    sense(positions, velocities, m["previous"], sensors, drawn, m["joints"], m["truth"], reading)


@njit_no_alloc(forceinline=True)
def is_upright(
    plant: PlantMemory, velocities: FloatArray, most_tilt: float, least_height: float, trunk_counts: bool
) -> bool:
    """Whether the robot is in no way fallen; what is not finite is not upright.

    Args:
        plant: of the robot.
        velocities: qvel of the engine.
        most_tilt: largest roll or pitch, rad.
        least_height: over the floor, m.
        trunk_counts: whether a trunk that touches something is fallen.
    """
    m = plant.view(PLANT)[0]
    truth, floor = m["truth"], m["floor"]
    total = 0.0
    for value in velocities:
        total += value * value
    roll, pitch = roll_and_pitch(truth[3:7])
    over_floor = truth[2] - truth[0] * floor[0] - truth[1] * floor[1] - floor[2]
    level = abs(roll) <= most_tilt and abs(pitch) <= most_tilt and over_floor >= least_height
    return math.isfinite(total) and level and not (trunk_counts and m["touching"][TRUNK] != 0)


@njit_no_alloc
def record_and_judge(
    table: TableBytes,
    row: int,
    plant: PlantMemory,
    velocities: FloatArray,
    most_tilt: float,
    least_height: float,
    trunk_counts: bool,
) -> bool:
    """`record_effect` and `is_upright` in one call."""
    record_effect(table, row, plant)
    return is_upright(plant, velocities, most_tilt, least_height, trunk_counts)
