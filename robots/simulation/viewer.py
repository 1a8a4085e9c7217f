"""A footage in MuJoCo's own viewer, in real time, again and again until its window is closed."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from typing import Any

import mujoco

from safebo.robots.simulation.footage import Footage
from safebo.robots.simulation.stage import Actor

PERIOD = 1.0 / 60.0
"""Seconds between two pictures."""

CLOSING = 5.0
"""Seconds that a window may take to close."""

HOLD = 1.0
"""Seconds for which the last moment stays before the walk begins anew."""

SPACE, RIGHT, LEFT = 32, 262, 263
"""Keys, as GLFW numbers them."""

STEP = 0.02
"""Seconds by which an arrow key goes on or back."""


class NoScreen(RuntimeError):
    """There is no screen on which a window could open; the message says what works without one."""


class Playing:
    """The time that is shown: it runs, stops, and is moved by keys.

    Args:
        begin, end: s since the walk began.
        speed: seconds of the walk per second.
    """

    def __init__(self, begin: float, end: float, speed: float = 1.0) -> None:
        self._begin, self._end, self._speed = begin, end, speed
        self.time, self.paused = begin, False

    def advance(self, seconds: float) -> float:
        """The time to be shown after so many seconds of the clock."""
        if not self.paused:
            self.time += self._speed * seconds
        if self.time > self._end + HOLD * self._speed:
            self.time = self._begin
        return self.time

    def key(self, code: int) -> None:
        """Space stops and goes on; the arrows move by a little."""
        if code == SPACE:
            self.paused = not self.paused
        elif code in (LEFT, RIGHT):
            self.paused = True
            self.time += STEP if code == RIGHT else -STEP
            self.time = min(max(self.time, self._begin), self._end)


def _refuse_without_display() -> None:
    """Try GLFW here: where MuJoCo's viewer cannot start it, it ends the whole process."""
    import glfw  # comes with MuJoCo

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        works = bool(glfw.init())
    if not works:
        raise NoScreen(
            f"--view cannot open a window on display {os.environ.get('DISPLAY', '')!r}; --video FILE needs none"
        )


def view(footage: Footage, speed: float = 1.0, passes: int | None = None) -> None:
    """Open a window and show the walk until it is closed.

    Args:
        footage: what is shown.
        speed: seconds of the walk per second.
        passes: pictures after which to close the window; None: when a person does.

    Raises:
        NoScreen: no window can open here.
    """
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise NoScreen(
            "--view opens a window, and there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set); "
            "--video FILE needs none"
        )
    _refuse_without_display()
    from mujoco import viewer

    actor = Actor(footage)
    playing = Playing(footage.begin, footage.end, speed)
    actor.pose(0)
    others = set(threading.enumerate())
    try:
        window: Any = viewer.launch_passive(
            actor.model, actor.data, key_callback=playing.key, show_left_ui=False, show_right_ui=False
        )
    except (mujoco.FatalError, RuntimeError) as error:  # no such display; on macOS not started by mjpython
        raise NoScreen(f"--view cannot open a window here: {error}; --video FILE needs none") from error
    try:
        _play(window, actor, playing, passes)
    finally:
        window.close()
        for thread in set(threading.enumerate()) - others:  # which draw what must not be freed before
            thread.join(CLOSING)


def _play(window: Any, actor: Actor, playing: Playing, passes: int | None) -> None:
    """Until the window is closed, or for so many pictures."""
    with window.lock():
        window.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        window.cam.trackbodyid = actor.index.base_body
        window.cam.distance = 1.6 * actor.footage.robot.size.length
        window.cam.azimuth, window.cam.elevation = 125.0, -16.0
    before = time.monotonic()
    while window.is_running() and passes != 0:
        now = time.monotonic()
        row = actor.footage.row_at(playing.advance(now - before))
        before = now
        with window.lock():
            actor.pose(row)
            window.user_scn.ngeom = 0
            actor.add_to(window.user_scn, row)
        window.sync()
        passes = None if passes is None else passes - 1
        time.sleep(max(0.0, PERIOD - (time.monotonic() - now)))
