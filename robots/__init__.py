"""Robots, their controllers and their simulation. Knows no optimizer and imports no torch."""

import ctypes
import os
import sys

_LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")}
"""Without one of these the choice of that `MUJOCO_GL` makes the import of MuJoCo itself fail."""

_OTHER_CHOICES = ("", "glfw", "glx", *("enable", "enabled", "on", "true", "1"))
_OFF = ("disable", "disabled", "off", "false", "0")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _can_draw(choice: str) -> bool:
    if choice in _LIBRARIES:
        return any(_loads(library) for library in _LIBRARIES[choice])
    return choice in _OTHER_CHOICES


OPENGL = os.environ.get("MUJOCO_GL", "egl" if sys.platform == "linux" else "")
"""What pictures were to be drawn with: the user's choice, or EGL, which needs no screen."""

# MuJoCo chooses its OpenGL when it is imported. Where the choice is not there, nothing is drawn, all else works.
if sys.platform == "linux":
    wanted = OPENGL.lower().strip()
    os.environ["MUJOCO_GL"] = OPENGL if wanted in _OFF or _can_draw(wanted) else "disable"
