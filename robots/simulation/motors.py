"""The simulated motors: the joint law on their own encoders, limits, weakness and delays, in one compiled step."""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit
from safebo.robots.simulation.plant_memory import PlantMemory
from safebo.types import FloatArray


@njit(cache=True)
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


@njit(cache=True)
def drive(
    tick: int,
    age: int,
    command: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
    plant: PlantMemory,
    delays: tuple[FloatArray, FloatArray],
    encoder: FloatArray,
    engine: tuple[FloatArray, FloatArray, FloatArray],
) -> bool:
    """One tick of the motors: commands and torques through their delays, and into the engine.

    Args:
        tick: ticks since the start; the first command and its torque fill the delays.
        age: ticks since the torque was computed that acts now, at most the longest delay.
        command: position, velocity, torque, kp, kd.
        plant: its torques are written.
        delays: commands of the last ticks, those of the delay and one more, each `5 x 12`; torques at the joints
            likewise, each `12`.
        encoder: measured angles, then speeds (24).
        engine: ctrl, qfrc_applied, qvel.

    Returns:
        Whether the command is for twelve joints; otherwise nothing is done.
    """
    m, (commands, delayed) = plant[0], delays
    torques = m["torques"]
    for values in command:
        if values.shape[0] != 12:
            return False
    late, slot = commands.shape[0], commands[tick % commands.shape[0]]
    slot[0], slot[1], slot[2], slot[3], slot[4] = command
    if tick == 0:
        for other in range(late):
            commands[other] = slot
    _motor_law(commands[(tick + 1) % late], encoder, m["joints"], m["limits"], m["corner"], torques)
    late = delayed.shape[0]
    delayed[tick % late] = torques[1]
    if tick == 0:
        for other in range(late):
            delayed[other] = torques[1]
    torques[1] = delayed[(tick - age) % late]
    control, passive, velocity = engine
    actuator, joints_at, base_at = m["actuator"], m["joints_at"], m["base_at"]
    for j in range(12):
        control[actuator[j]] = torques[1, j]
        passive[joints_at[1, j]] = torques[2, j]
    m["previous"][:] = velocity[base_at[1] : base_at[1] + 6]
    return True
