"""The Furuta pendulum as a MuJoCo model of our own.

State: arm angle theta, rod angle alpha from upright, and their rates (rad, rad/s). The motor is driven by a voltage u:

    torque = torque_constant (u - back_emf theta') / resistance

whose second part acts as damping of the arm. Masses, lengths and the motor's constants are those that Quanser publishes
of its Qube-Servo 2; the dampings are small ones of our choice.
"""

from __future__ import annotations

from safebo.robots.benchmarks.feedback import Mechanism

ARM_MASS, ARM_LENGTH = 0.095, 0.085
"""kg, m"""
ROD_MASS, ROD_LENGTH = 0.024, 0.129
"""kg, m"""
RESISTANCE, TORQUE_CONSTANT, BACK_EMF = 8.4, 0.042, 0.042
"""Ohm, N m/A, V s/rad"""
ARM_DAMPING, ROD_DAMPING = 5e-4, 2e-5
"""N m s/rad"""
RADIUS = 0.004
"""m, of arm and rod: decides about their inertia around their own axis alone."""
VOLTAGE_LIMIT = 15.0
"""V"""
CONTROL_PERIOD = 0.004
"""s"""

_DAMPING = ARM_DAMPING + TORQUE_CONSTANT * BACK_EMF / RESISTANCE

_BODY = f"""
<body name="arm{{i}}">
  <joint name="arm{{i}}" type="hinge" axis="0 0 1" damping="{_DAMPING!r}"/>
  <geom type="capsule" fromto="0 0 0 {ARM_LENGTH} 0 0" size="{RADIUS}" mass="{ARM_MASS}"/>
  <body name="rod{{i}}" pos="{ARM_LENGTH} 0 0">
    <joint name="rod{{i}}" type="hinge" axis="1 0 0" damping="{ROD_DAMPING!r}"/>
    <geom type="capsule" fromto="0 0 0 0 0 {ROD_LENGTH}" size="{RADIUS}" mass="{ROD_MASS}"/>
  </body>
</body>"""


def furuta(delay: int = 1) -> Mechanism:
    """The pendulum with a controller that acts so many control periods late."""
    return Mechanism(
        name="furuta",
        body=_BODY,
        joint="arm{i}",
        gear=TORQUE_CONSTANT / RESISTANCE,
        limit=VOLTAGE_LIMIT,
        control_period=CONTROL_PERIOD,
        delay=delay,
    )
