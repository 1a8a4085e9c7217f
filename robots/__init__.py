"""Robots, their controllers and their simulation. Knows no optimizer and imports no torch."""

import ctypes
import os
import sys


def _egl_is_there() -> bool:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


# MuJoCo chooses its OpenGL when it is imported; EGL needs no screen. A choice of the user's stands. Without
# the library, choosing EGL would make the import of MuJoCo itself fail: then nothing is drawn, all else works.
if sys.platform == "linux" and "MUJOCO_GL" not in os.environ:
    os.environ["MUJOCO_GL"] = "egl" if _egl_is_there() else "disable"
