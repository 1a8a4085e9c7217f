"""A tick's calls from Python: where the base is, what feet and base are to do next, what the MPC starts from."""

from __future__ import annotations

from safebo.boundary.compiled import njit, njit_no_alloc, put
from safebo.robots.quadruped.contact_timing import count_from_mean, trusted_phases
from safebo.robots.quadruped.feet import measure_feet, update_feet
from safebo.robots.quadruped.filter import FilterMemory, correct_by_legs, filter_of, is_sound
from safebo.robots.quadruped.gait import stance_phases
from safebo.robots.quadruped.memory import Memory, Motion, motion_of
from safebo.robots.quadruped.mpc.problem import MpcProblem
from safebo.robots.quadruped.mpc.reference import advance_reference, write_problem
from safebo.types import FloatArray

UNSOUND, SAME, CHANGED = -1, 0, 1
"""What a tick found: a sample that is no state, or whether a planned contact changed."""


@njit_no_alloc
def estimate_and_plan(
    time: float,
    fresh: bool,
    forward: float,
    leftward: float,
    yaw_rate: float,
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    estimator: FilterMemory,
    memory: Memory,
) -> int:
    """Take a sample in, and move feet and wanted base on by one tick; an unsound sample changes nothing.

    Args:
        time: seconds since the gait started, negative while all feet stand.
        fresh: whether this is the first tick.
        forward: commanded in the heading frame, m/s.
        leftward: the same.
        yaw_rate: commanded, rad/s.
        joint_position: of a `SensorReading`.
        joint_velocity: of the same.
        orientation: of the same.
        angular_velocity: of the same.
        specific_force: its `linear_acceleration`.
        estimator: memory of the Kalman filter.
        memory: of feet, base and wanted base.

    Returns:
        `UNSOUND`, `SAME` or `CHANGED`.
    """
    if not is_sound(joint_position, joint_velocity, orientation, angular_velocity, specific_force):
        return UNSOUND
    motion, state = motion_of(memory), filter_of(estimator)
    feet, base = motion.feet, motion.base
    measure_feet(motion.parameters.geometry.legs, joint_position, joint_velocity, feet)
    phases, gait, contacts = state.phases, motion.parameters.gait, motion.contacts
    if motion.parameters.rules.adaptive:
        trusted_phases(time, gait, contacts, phases)
        put(contacts.ground, state.ground)
    else:
        stance_phases(time, gait, phases)
    legs = feet.local, feet.jacobian, feet.axes
    correct_by_legs(state, legs, joint_velocity, orientation, angular_velocity, specific_force, phases)
    put(state.mean[0], base.position)
    put(orientation, base.orientation)
    put(state.mean[1], base.linear_velocity)
    put(angular_velocity, base.angular_velocity)
    return _plan(time, fresh, forward, leftward, yaw_rate, joint_velocity, motion)


@njit_no_alloc
def plan_from_base(
    time: float,
    fresh: bool,
    forward: float,
    leftward: float,
    yaw_rate: float,
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    memory: Memory,
) -> int:
    """What `estimate_and_plan` does, with the base as it stands in `memory`."""
    motion = motion_of(memory)
    measure_feet(motion.parameters.geometry.legs, joint_position, joint_velocity, motion.feet)
    return _plan(time, fresh, forward, leftward, yaw_rate, joint_velocity, motion)


@njit_no_alloc(forceinline=True)
def _plan(
    time: float,
    fresh: bool,
    forward: float,
    leftward: float,
    yaw_rate: float,
    joint_velocity: FloatArray,
    motion: Motion,
) -> int:
    """Move feet, whose legs are measured, and wanted base on by one tick."""
    parameters, feet, base, reference, contacts = motion
    command = reference.command
    command[0], command[1], command[2] = forward, leftward, yaw_rate
    if parameters.rules.adaptive:
        _count_heights_anew(parameters.period, motion)
    changed = update_feet(time, fresh, parameters, base, joint_velocity, command, feet, contacts)
    advance_reference(feet.rotation, base, parameters.period, reference)
    return CHANGED if changed else SAME


@njit_no_alloc(forceinline=True)
def _count_heights_anew(period: float, motion: Motion) -> None:
    """Count the base's height, and those that last, from the mean of the floor under the feet."""
    feet, contacts = motion.feet, motion.contacts
    rise = count_from_mean(period, motion.parameters.rules, contacts)
    motion.base.position[2] -= contacts.level[0]
    for leg in range(4):
        feet.start[leg, 2] -= rise
        feet.target[leg, 2] -= rise
        contacts.lowered[leg] -= rise


@njit(cache=True)
def mpc_inputs(time: float, step: float, centre: FloatArray, memory: Memory, problem: MpcProblem) -> None:
    """`write_problem` of what is in a memory; `problem` as a plain tuple."""
    parameters, feet, base, reference, contacts = motion_of(memory)
    write_problem(time, step, parameters, centre, base, feet, reference, contacts, MpcProblem(*problem))
