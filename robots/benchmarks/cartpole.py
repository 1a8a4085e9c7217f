"""The cart-pole as a MuJoCo model of our own.

State: cart position x (m), pole angle theta from upright (rad, positive towards +x), and their rates. A force of at
most `FORCE_LIMIT` drives the cart. The controller acts two control periods late.
"""

from __future__ import annotations

from safebo.robots.benchmarks.feedback import Mechanism

CART_MASS, CART_DAMPING = 1.0, 0.1
"""kg, N s/m"""
POLE_MASS, POLE_LENGTH, POLE_RADIUS = 0.2, 0.8, 0.01
"""kg, m, m: a uniform rod"""
POLE_DAMPING = 1e-3
"""N m s/rad"""
FORCE_LIMIT = 15.0
"""N"""
CONTROL_PERIOD = 0.01
"""s"""
DELAY = 2
"""Control periods."""

_BODY = f"""
<body name="cart{{i}}">
  <joint name="cart{{i}}" type="slide" axis="1 0 0" damping="{CART_DAMPING!r}"/>
  <geom type="box" size="0.1 0.05 0.05" mass="{CART_MASS!r}"/>
  <body name="pole{{i}}">
    <joint name="pole{{i}}" type="hinge" axis="0 1 0" damping="{POLE_DAMPING!r}"/>
    <geom type="capsule" fromto="0 0 0 0 0 {POLE_LENGTH}" size="{POLE_RADIUS}" mass="{POLE_MASS}"/>
  </body>
</body>"""


def cartpole() -> Mechanism:
    """Cart and pole with their controller's timing."""
    return Mechanism(
        name="cartpole",
        body=_BODY,
        joint="cart{i}",
        gear=1.0,
        limit=FORCE_LIMIT,
        control_period=CONTROL_PERIOD,
        delay=DELAY,
    )
