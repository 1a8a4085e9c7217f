"""Rigid-body dynamics of a quadrotor with twelve states and four controls.

States, in this order: position (m), velocity (m/s), angles phi, theta, psi (rad), body rates p, q, r (rad/s).
The attitude is `R = R_z(psi) R_x(phi) R_y(theta)` and the body rates are

    p = cos(theta) phi' - cos(phi) sin(theta) psi'
    q = theta' + sin(phi) psi'
    r = sin(theta) phi' + cos(phi) cos(theta) psi'

Controls: thrust along the body's z axis (N) and three torques about the body's axes, in the units of
`CONTROL_UNITS` (N m), with Euler's equation for the rates. No drag, no ground, no limit on the controls.

Source: the quadcopter of Hübotter et al. 2024, K.4.2 (masses, inertia and order of the angles as in its
published code); the equations are the textbook's.
"""

from __future__ import annotations

import numpy as np

from safebo.boundary.compiled import njit
from safebo.types import FloatArray

MASS = 0.18
"""kg"""
GRAVITY = 9.81
"""m/s^2"""
INERTIA = np.array([[2.5e-4, 0.0, 2.55e-6], [0.0, 2.32e-4, 0.0], [2.55e-6, 0.0, 3.738e-4]])
"""kg m^2, about the centre of mass, in the body's frame"""
CONTROL_UNITS = np.array([1.0, 2e-4, 2e-4, 1e-3])
"""What one unit of each control is: N of thrust, N m of roll, pitch and yaw torque."""
STATES, CONTROLS = 12, 4

_INVERSE_INERTIA = np.linalg.inv(INERTIA)


@njit(cache=True)
def state_rate(state: FloatArray, control: FloatArray) -> FloatArray:
    """Time derivative of the state, `12`; real or complex (for derivatives by a complex step)."""
    sin_phi, cos_phi = np.sin(state[6]), np.cos(state[6])
    sin_theta, cos_theta = np.sin(state[7]), np.cos(state[7])
    sin_psi, cos_psi = np.sin(state[8]), np.cos(state[8])
    p, q, r = state[9], state[10], state[11]
    lift = CONTROL_UNITS[0] * control[0] / MASS
    rate = np.empty_like(state)
    rate[0], rate[1], rate[2] = state[3], state[4], state[5]
    rate[3] = lift * (cos_psi * sin_theta + cos_theta * sin_phi * sin_psi)
    rate[4] = lift * (sin_psi * sin_theta - cos_psi * cos_theta * sin_phi)
    rate[5] = lift * cos_phi * cos_theta - GRAVITY
    psi_rate = (cos_theta * r - sin_theta * p) / cos_phi
    rate[6] = cos_theta * p + sin_theta * r
    rate[7] = q - sin_phi * psi_rate
    rate[8] = psi_rate
    h0 = INERTIA[0, 0] * p + INERTIA[0, 1] * q + INERTIA[0, 2] * r
    h1 = INERTIA[1, 0] * p + INERTIA[1, 1] * q + INERTIA[1, 2] * r
    h2 = INERTIA[2, 0] * p + INERTIA[2, 1] * q + INERTIA[2, 2] * r
    t0 = CONTROL_UNITS[1] * control[1] - (q * h2 - r * h1)
    t1 = CONTROL_UNITS[2] * control[2] - (r * h0 - p * h2)
    t2 = CONTROL_UNITS[3] * control[3] - (p * h1 - q * h0)
    for i in range(3):
        rate[9 + i] = _INVERSE_INERTIA[i, 0] * t0 + _INVERSE_INERTIA[i, 1] * t1 + _INVERSE_INERTIA[i, 2] * t2
    return rate


@njit(cache=True)
def euler_step(state: FloatArray, control: FloatArray, dt: float) -> FloatArray:
    """State `dt` seconds later by one explicit Euler step, the control held."""
    return state + dt * state_rate(state, control)


@njit(cache=True)
def step_jacobians(state: FloatArray, control: FloatArray, dt: float) -> tuple[FloatArray, FloatArray]:
    """Derivatives of `euler_step` by state, `12 x 12`, and by control, `12 x 4`, exact to rounding."""
    tiny = 1e-30  # a complex step has no difference to lose digits in
    by_state = np.empty((STATES, STATES))
    by_control = np.empty((STATES, CONTROLS))
    complex_state, complex_control = state.astype(np.complex128), control.astype(np.complex128)
    for j in range(STATES):
        complex_state[j] += 1j * tiny
        by_state[:, j] = euler_step(complex_state, complex_control, dt).imag / tiny
        complex_state[j] = state[j]
    for j in range(CONTROLS):
        complex_control[j] += 1j * tiny
        by_control[:, j] = euler_step(complex_state, complex_control, dt).imag / tiny
        complex_control[j] = control[j]
    return by_state, by_control
