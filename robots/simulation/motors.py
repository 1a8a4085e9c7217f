"""The simulated motors: the joint law on their own encoders, limits, weakness and delays, in one compiled step."""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit_no_alloc, put
from safebo.robots.simulation.plant_memory import PLANT, PlantMemory
from safebo.types import FloatArray


@njit_no_alloc(forceinline=True)
def _motor_law(
    command: FloatArray,
    encoder: FloatArray,
    state: FloatArray,
    motor: FloatArray,
    corner: float,
    out: FloatArray,
) -> None:
    """Torques of the twelve motors; a motor that is told what is not finite gives none.

    Args:
        command: rows position, velocity, feed-forward torque, kp, kd (5 x 12).
        encoder: measured angles, then speeds (24).
        state: rows true angle and speed (2 x 12).
        motor: rows torque limit, no-load speed, torque factor, impedance on angle and on speed (5 x 12).
        corner: share of the no-load speed from which the limit falls; 0 for a constant limit.
        out: rows torque of the motor law after its limits, motor torque at the joint, impedance torque
            (3 x 12).
    """
    for j in range(12):
        tau = (
            command[2, j]
            + command[3, j] * (command[0, j] - encoder[j])
            + command[4, j] * (command[1, j] - encoder[12 + j])
        )
        limit = motor[0, j]
        if corner > 0.0 and tau * state[1, j] > 0.0:
            share = (motor[1, j] - abs(state[1, j])) / (motor[1, j] * (1.0 - corner))
            limit *= min(1.0, max(0.0, share))
        tau = min(limit, max(-limit, tau)) if math.isfinite(tau) else 0.0
        out[0, j] = tau
        out[1, j] = motor[2, j] * tau
        wanted = command[0, j] if math.isfinite(command[0, j]) else state[0, j]
        out[2, j] = motor[3, j] * (wanted - state[0, j]) - motor[4, j] * state[1, j]


@njit_no_alloc
def drive(
    tick: int,
    age: int,
    position: FloatArray,
    velocity: FloatArray,
    torque: FloatArray,
    kp: FloatArray,
    kd: FloatArray,
    plant: PlantMemory,
    commands: FloatArray,
    delayed: FloatArray,
    readings: FloatArray,
    control: FloatArray,
    passive: FloatArray,
    speeds: FloatArray,
) -> bool:
    """One tick of the motors: commands and torques through their delays, and into the engine.

    Args:
        tick: ticks since the start; the first command and its torque fill the delays.
        age: ticks since the torque was computed that acts now, at most the longest delay.
        position: of the command, rad.
        velocity: of the command, rad/s.
        torque: of the command, N m.
        kp: of the command, N m/rad.
        kd: of the command, N m s/rad.
        plant: its torques are written.
        commands: of the last ticks, those of the delay and one more, each `5 x 12`.
        delayed: torques at the joints likewise, each `12`.
        readings: of the last ticks likewise, each beginning with measured angles and speeds, see `sense`.
        control: ctrl of the engine, out.
        passive: qfrc_applied of the engine, out.
        speeds: qvel of the engine.

    Returns:
        Whether the command is for twelve joints; otherwise nothing is done.
    """
    for values in (position, velocity, torque, kp, kd):
        if values.shape[0] != 12:
            return False
    m = plant.view(PLANT)[0]
    torques, encoder = m["torques"], readings[tick % readings.shape[0]]
    # the first command and its torque are those of all the ticks before
    late = commands.shape[0]
    for when in range(late if tick == 0 else 1):
        slot = commands[(tick + when) % late]
        put(position, slot[0])
        put(velocity, slot[1])
        put(torque, slot[2])
        put(kp, slot[3])
        put(kd, slot[4])
    _motor_law(commands[(tick + 1) % late], encoder, m["joints"], m["limits"], m["corner"], torques)
    late = delayed.shape[0]
    for when in range(late if tick == 0 else 1):
        put(torques[1], delayed[(tick + when) % late])
    put(delayed[(tick - age) % late], torques[1])
    actuator, joints_at, base_at = m["actuator"], m["joints_at"], m["base_at"]
    for j in range(12):
        control[actuator[j]] = torques[1, j]
        passive[joints_at[1, j]] = torques[2, j]
    put(speeds[base_at[1] : base_at[1] + 6], m["previous"])
    return True
