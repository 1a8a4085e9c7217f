"""Where the base should be: the commanded pose, its mix with the MPC's trajectory, and the MPC's inputs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc, put
from safebo.robots.quadruped.contact_timing import EARLY, Contacts
from safebo.robots.quadruped.feet import Feet, FootParameters
from safebo.robots.quadruped.gait import GaitTiming, next_change, stance_time, stride_and_phase
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import roll_pitch_yaw
from safebo.robots.quadruped.mpc.problem import MpcProblem
from safebo.robots.quadruped.swing import foothold
from safebo.types import FloatArray

MAX_LEAD = 0.1  # m, the position reference is never further than that from the estimated base
MAX_TURN = 0.3  # rad, the same for the heading
MIN_CONTACT = 0.0005  # s, a planned contact within one step of the MPC that is shorter is none


class BaseReference(NamedTuple):
    """Wanted motion of the base.

    Args:
        command: forward, leftward velocity (m/s) and yaw rate (rad/s) in the heading frame, `3`.
        heading: the wanted yaw, and the measured yaw on the same turn, rad, `2`.
        wanted: as commanded; rows position (m), velocity (m/s), angular velocity (rad/s), world, `3 x 3`.
        blended: the same rows, mixed with the MPC's trajectory.
        rotation: base to world of that mix, `3 x 3`.
        velocity: measured linear and angular velocity of the base in its own frame, `6`.
    """

    command: FloatArray
    heading: FloatArray
    wanted: FloatArray
    blended: FloatArray
    rotation: FloatArray
    velocity: FloatArray

    @classmethod
    def at_rest(cls) -> BaseReference:
        """At the origin, level."""
        return cls(np.zeros(3), np.zeros(2), np.zeros((3, 3)), np.zeros((3, 3)), np.eye(3), np.zeros(6))


@njit_no_alloc
def start_reference(base: BaseState, reference: BaseReference) -> None:
    """Want the base where it is, at rest, with its present heading."""
    w, x, y, z = base.orientation[0], base.orientation[1], base.orientation[2], base.orientation[3]
    reference.heading[:] = math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))
    put(base.position, reference.wanted[0])
    reference.wanted[1:] = 0.0


@njit_no_alloc(forceinline=True)
def advance_reference(
    rotation: FloatArray,
    base: BaseState,
    period: float,
    reference: BaseReference,
) -> None:
    """Move the wanted base pose on by one tick and keep it near the estimated one.

    Args:
        rotation: base to world `3 x 3`.
        base: the estimated base.
        period: seconds of a tick.
        reference: its heading and `wanted` are moved, its `velocity` is measured.
    """
    heading, wanted, command = reference.heading, reference.wanted, reference.command
    position, velocity = base.position, base.linear_velocity
    _, _, yaw = roll_pitch_yaw(rotation)
    heading[0] += command[2] * period
    difference = (yaw - heading[0] + math.pi) % (2.0 * math.pi) - math.pi
    if abs(difference) > MAX_TURN:
        heading[0] += difference - (MAX_TURN if difference > 0 else -MAX_TURN)
        difference = MAX_TURN if difference > 0 else -MAX_TURN
    heading[1] = heading[0] + difference
    c, s = math.cos(heading[0]), math.sin(heading[0])
    wanted[1, 0] = c * command[0] - s * command[1]
    wanted[1, 1] = s * command[0] + c * command[1]
    wanted[2, 2] = command[2]
    for i in range(2):
        ahead = wanted[0, i] + period * wanted[1, i]
        wanted[0, i] = min(position[i] + MAX_LEAD, max(position[i] - MAX_LEAD, ahead))
    for i in range(3):
        reference.velocity[i] = (
            rotation[0, i] * velocity[0] + rotation[1, i] * velocity[1] + rotation[2, i] * velocity[2]
        )
        reference.velocity[3 + i] = base.angular_velocity[i]


@njit_no_alloc
def _between(trajectory: FloatArray, share: float, first: int) -> tuple[float, float, float]:
    """Three numbers, from `first` on, between the first two rows of a trajectory."""
    now, then = trajectory[0], trajectory[1]
    return (
        now[first] + share * (then[first] - now[first]),
        now[first + 1] + share * (then[first + 1] - now[first + 1]),
        now[first + 2] + share * (then[first + 2] - now[first + 2]),
    )


@njit_no_alloc(forceinline=True)
def blend_reference(
    trajectory: FloatArray, share: float, blend: float, centre: FloatArray, reference: BaseReference
) -> None:
    """Mix the commanded base pose with the MPC's trajectory, `share` of a step after its start.

    The MPC moves the centre of mass c, the reference the base origin p = c - R r, v = v_c - omega x (R r) with
    r the centre of mass in the base frame.
    """
    heading, wanted, blended, rotation = (
        reference.heading,
        reference.wanted,
        reference.blended,
        reference.rotation,
    )
    now = _between(trajectory, share, 0)
    place, spin, speed = (
        _between(trajectory, share, 3),
        _between(trajectory, share, 6),
        _between(trajectory, share, 9),
    )
    roll, pitch, yaw = blend * now[0], blend * now[1], heading[0] + blend * (now[2] - heading[0])
    cr, sr, cp, sp, cy, sy = (
        math.cos(roll),
        math.sin(roll),
        math.cos(pitch),
        math.sin(pitch),
        math.cos(yaw),
        math.sin(yaw),
    )
    # R = Rz(yaw) Ry(pitch) Rx(roll)
    rotation[0, 0], rotation[0, 1], rotation[0, 2] = cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr
    rotation[1, 0], rotation[1, 1], rotation[1, 2] = sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr
    rotation[2, 0], rotation[2, 1], rotation[2, 2] = -sp, cp * sr, cp * cr
    x, y, z = (
        rotation[0, 0] * centre[0] + rotation[0, 1] * centre[1] + rotation[0, 2] * centre[2],
        rotation[1, 0] * centre[0] + rotation[1, 1] * centre[1] + rotation[1, 2] * centre[2],
        rotation[2, 0] * centre[0] + rotation[2, 1] * centre[1] + rotation[2, 2] * centre[2],
    )
    arm = (x, y, z)
    turning = (spin[1] * z - spin[2] * y, spin[2] * x - spin[0] * z, spin[0] * y - spin[1] * x)
    for i in range(3):
        blended[0, i] = wanted[0, i] + blend * (place[i] - arm[i] - wanted[0, i])
        blended[1, i] = wanted[1, i] + blend * (speed[i] - turning[i] - wanted[1, i])
        blended[2, i] = wanted[2, i] + blend * (spin[i] - wanted[2, i])


@njit(cache=True)
def write_problem(
    time: float,
    step: float,
    parameters: FootParameters,
    centre: FloatArray,
    base: BaseState,
    feet: Feet,
    reference: BaseReference,
    contacts: Contacts,
    problem: MpcProblem,
) -> None:
    """Write state, reference, contacts and moment arms of the MPC into `problem`.

    Args:
        time: seconds since the gait started.
        step: seconds of one step of the MPC.
        parameters: gait and legs.
        centre: centre of mass in the base frame `3`.
        base: base state.
        feet: the feet now.
        reference: wanted motion of the base.
        contacts: of the legs.
        problem: out.
    """
    rotation, rate = feet.rotation, base.angular_velocity
    heading, wanted, command = reference.heading, reference.wanted, reference.command
    state, path = problem.state, problem.reference
    roll, pitch, _ = roll_pitch_yaw(rotation)
    state[0], state[1], state[2] = roll, pitch, heading[1]
    # c = p + R r,  v_c = v + R (omega x r): the velocity of the centre of mass, which turns with the base
    turning = np.empty(3)
    turning[0] = rate[1] * centre[2] - rate[2] * centre[1]
    turning[1] = rate[2] * centre[0] - rate[0] * centre[2]
    turning[2] = rate[0] * centre[1] - rate[1] * centre[0]
    for i in range(3):
        state[3 + i], state[6 + i], state[9 + i] = base.position[i], 0.0, base.linear_velocity[i]
        for j in range(3):
            state[3 + i] += rotation[i, j] * centre[j]
            state[6 + i] += rotation[i, j] * rate[j]
            state[9 + i] += rotation[i, j] * turning[j]
    divide_horizon(time, step, parameters.gait, problem.ends)
    for k in range(path.shape[0]):
        later = problem.ends[k]
        turn = heading[0] + later * command[2]
        c, s = math.cos(turn), math.sin(turn)
        # a turn at constant speed goes along the mean heading, to second order in the turn
        middle = heading[0] + 0.5 * later * command[2]
        cm, sm = math.cos(middle), math.sin(middle)
        path[k] = 0.0
        path[k, 2] = turn
        path[k, 3] = wanted[0, 0] + later * (cm * command[0] - sm * command[1])
        path[k, 3] += c * centre[0] - s * centre[1]
        path[k, 4] = wanted[0, 1] + later * (sm * command[0] + cm * command[1])
        path[k, 4] += s * centre[0] + c * centre[1]
        path[k, 5] = wanted[0, 2] + centre[2]
        path[k, 8] = command[2]
        path[k, 9] = c * command[0] - s * command[1]
        path[k, 10] = s * command[0] + c * command[1]
    plan_contacts(time, parameters, base.position, feet, reference, contacts, problem)


@njit_no_alloc
def divide_horizon(time: float, step: float, gait: GaitTiming, ends: FloatArray) -> None:
    """Write where the steps of the MPC end, s from now.

    The first step ends where the next contact changes, so that its forces, which act now, are those of the feet that
    stand now; the last step is as much shorter, and empty where the first is a whole one.
    """
    earlier = step - min(step, max(MIN_CONTACT, next_change(time, gait)))
    steps = ends.shape[0]
    for k in range(steps - 1):
        ends[k] = (k + 1) * step - earlier
    ends[steps - 1] = (steps - 1) * step


@njit(cache=True)
def plan_contacts(
    time: float,
    parameters: FootParameters,
    position: FloatArray,
    feet: Feet,
    reference: BaseReference,
    contacts: Contacts,
    problem: MpcProblem,
) -> None:
    """Planned contacts (`steps x 4`), footholds and moment arms (`steps x 4 x 3`) over a divided horizon.

    A moment arm is a foot's position relative to the centre of mass, in the world, in the middle of its contact.

    A foot that stands now stays; one that swings will stand at its target; later footholds follow the
    foothold rule at the commanded velocity. The centre of mass moves at the commanded velocity. A foot that
    stands early stands until its planned stance is over; one that is late is expected after the first step.
    """
    gait, hip = parameters.gait, parameters.geometry.hip
    command, yaw = reference.command, reference.heading[1]
    com, ends, durations, arms = problem.state[3:6], problem.ends, problem.durations, problem.moment_arms
    c, s = math.cos(yaw), math.sin(yaw)
    velocity = np.zeros(3)
    velocity[0] = c * command[0] - s * command[1]
    velocity[1] = s * command[0] + c * command[1]
    point = np.empty(3)
    for leg in range(4):
        now, _ = stride_and_phase(time, leg, gait)
        early, planned = contacts.mode[leg] == EARLY, contacts.planned[leg]
        touchdown = (now + 1 - gait.offsets[leg]) * gait.stride[leg] - time
        height = contacts.ground[leg] - contacts.level[0]
        for k in range(ends.shape[0]):
            start = ends[k - 1] if k else 0.0
            if k == 0:  # no contact changes in it
                stands, middle = ends[0] if feet.stance[leg] else 0.0, 0.5 * ends[0]
            elif time < 0.0 or (early and start < touchdown):
                stands, middle = ends[k] - start, 0.5 * (ends[k] - start)
            else:
                stands, middle = stance_time(time + start, time + ends[k], leg, gait)
            durations[k, leg] = stands if stands >= MIN_CONTACT else 0.0
            later = start + middle
            problem.centres[k, leg] = later
            for i in range(2):
                point[i] = (
                    feet.world[leg, i] if feet.stance[leg] else feet.target[leg, i] - feet.shift[leg, i]
                )
            point[2] = height
            if gait.duty[leg] < 1.0 and time + later >= 0.0:
                stride, _ = stride_and_phase(time + later, leg, gait)
                # a standing foot keeps its position for this stride, a swinging one its target for the next
                if stride > now + (0 if planned else 1):
                    landing = (stride - gait.offsets[leg]) * gait.stride[leg] - time
                    stance_duration = gait.duty[leg] * gait.stride[leg]
                    point[0], point[1] = foothold(
                        position, velocity, yaw, command, hip[leg], landing, stance_duration, 0.0
                    )
            put(point, problem.points[k, leg])
            for i in range(3):
                arms[k, leg, i] = point[i] - com[i] - velocity[i] * later
