"""Robots, their controllers and their simulation. Knows no optimizer and imports no torch."""

import os
import sys

# MuJoCo chooses its OpenGL when it is imported; EGL needs no screen. A choice of the user's stands.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")
