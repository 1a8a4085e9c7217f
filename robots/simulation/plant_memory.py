"""What compiled calls know of a simulated robot, in one piece of memory: its state, and where it is in the engine.

See `safebo.boundary.compiled` for why they are handed over in one piece.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safebo.robots.simulation.sensors import CHANNELS

PLANT = np.dtype(
    [
        ("joints", "f8", (2, 12)),  # true angles and speeds, rad and rad/s
        ("truth", "f8", 13),  # of the base: position, quaternion, velocity (world), rate (base frame)
        ("touching", "u1", 5),  # which feet, and last the trunk, touch something
        (
            "torques",
            "f8",
            (3, 12),
        ),  # of the joint law within its limits, at the joints, of their impedance, N m
        ("foot_force", "f8", 4),  # normal forces under the feet in the last step, N
        ("previous", "f8", 6),  # velocity of the base before the last tick
        ("limits", "f8", (5, 12)),  # torque limit, no-load speed, torque factor, impedance on angle and speed
        ("corner", "f8"),  # share of the no-load speed from which the torque limit falls; 0: it does not
        ("actuator", "i8", 12),  # where the engine has the motors
        ("joints_at", "i8", (2, 12)),  # where qpos and qvel have the joints
        ("base_at", "i8", 2),  # where they have the base
        ("floor", "f8", 3),  # rise of the floor along x and y, and its height where they are 0, m
        ("period", "f8"),  # of control, s
        ("imu", "f8", 3),  # position of the inertial unit in the trunk frame, m
        ("std", "f8", CHANNELS),  # of the white noise on every channel of the sensors
        ("bias", "f8", CHANNELS),  # constant offset of every channel
    ]
)

PlantMemory = NDArray[np.uint8]
"""The bytes of one `PLANT`: `memory.view(PLANT)[0]` names its parts."""
