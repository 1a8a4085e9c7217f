"""What walks in a virtual robot's motion service: the project's own controller, at a speed that changes as it goes.

It is loaded when it is first wanted. Where its compiled parts are not there yet, as on a fresh installation, another
process compiles them, from the robot's start on, which takes a minute or two while the robot lives.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numba
import numpy as np

import safebo.boundary.compiled  # noqa: F401  decides where compiled functions are kept
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import GRAVITY, JointCommand, SensorReading
from safebo.types import FloatArray

MAX_SPEED = np.array([0.8, 0.4, 0.8])
"""Forward, leftward, m/s, and yaw rate, rad/s, at most; what is asked for beyond is cut to it."""
ACCELERATION = np.array([0.8, 0.8, 1.6])  # m/s^2, rad/s^2
RATE = 500.0  # ticks per second
_COMPILE = (
    "import os, sys\nos.nice(5)\nfrom safebo.hardware.guardian.bounds import quadruped_table\n"
    "from safebo.hardware.guardian.dry_run import warm_up\n"
    "from safebo.hardware.guardian.staging import GuardedController\n"
    "from safebo.hardware.guardian.walker import QuadrupedWalker\n"
    "from safebo.robots.descriptions.model import load_robot\nrobot = load_robot(sys.argv[1])\n"
    "warm_up(robot, GuardedController(QuadrupedWalker(robot), quadruped_table()))"
)


class WalkingController:
    """Walks at the speed that is wanted.

    Args:
        robot: the controller's model of it.
    """

    def __init__(self, robot: RobotModel) -> None:
        from safebo.robots.quadruped.controller import Controller
        from safebo.robots.quadruped.gains import Gains
        from safebo.robots.quadruped.gait import gait_named

        self._speed = np.zeros(3)
        self._wanted = np.zeros(3)
        self._time = 0.0
        self._reading = SensorReading()
        gains = Gains()
        self.swing_height = float(gains["swing.apex_height"])
        self._controller = Controller(robot, gains, gait_named("trot"), self._now, control_rate=RATE)

    def begin(self, reading: SensorReading) -> None:
        """Settle and walk from the next `step` on, from standing."""
        self._speed[:] = self._wanted[:] = 0.0
        self._time = 0.0
        self._controller.reset(self._timed(reading))

    def want(self, speed: FloatArray) -> None:
        """The speed to reach: forward, leftward, m/s, and yaw rate, rad/s."""
        self._wanted = np.clip(speed, -MAX_SPEED, MAX_SPEED)

    @property
    def at_rest(self) -> bool:
        """Whether it steps on the spot, and is to."""
        return not (self._speed.any() or self._wanted.any())

    def step(self, reading: SensorReading) -> JointCommand:
        """One control tick."""
        change = ACCELERATION / RATE
        self._speed += np.clip(self._wanted - self._speed, -change, change)
        command = self._controller.step(self._timed(reading))
        self._time += 1.0 / RATE
        return command

    def _now(self, time: float) -> tuple[float, float, float]:
        forward, leftward, yaw = self._speed.tolist()
        return forward, leftward, yaw

    def _timed(self, reading: SensorReading) -> SensorReading:
        own = self._reading
        own.time = self._time
        own.joint_position, own.joint_velocity = reading.joint_position, reading.joint_velocity
        own.orientation, own.angular_velocity = reading.orientation, reading.angular_velocity
        own.linear_acceleration = reading.linear_acceleration
        return own


class WalkingLoader:
    """Loads the controller, a tenth of a second, once its parts are compiled.

    Args:
        robot: whose.
        background: compile beside the robot's clock, from now on, what is not compiled yet; False: when it is wanted,
            while the clock waits.
        say: told when it is there, or why it is not.
    """

    def __init__(
        self, robot: RobotModel, background: bool, say: Callable[[str], None] = lambda words: None
    ) -> None:
        self._robot, self._say = robot, say
        self._compiler: subprocess.Popen[str] | None = None
        if background and not _compiled().exists():
            compiler = [sys.executable, "-c", _COMPILE, robot.name]
            self._compiler = subprocess.Popen(
                compiler,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._failed = False
        self.controller: WalkingController | None = None

    def close(self) -> None:
        """Compile no more."""
        if self._compiler is not None:
            self._compiler.kill()
            self._compiler.communicate()

    def want(self) -> None:
        """Load it, unless that has been done or its parts are not compiled yet."""
        if self.controller is not None or self._failed:
            return
        if self._compiler is not None:
            if self._compiler.poll() is None:
                return
            compiler, self._compiler = self._compiler, None
            _, errors = compiler.communicate()
            if compiler.returncode:
                self._failed = True
                last = (errors.strip().splitlines() or ["it was ended"])[-1]
                self._say(f"the motion service cannot walk, Move does nothing: {last}")
                return
        controller = WalkingController(self._robot)
        home = SensorReading(joint_position=self._robot.home_joints.copy())
        home.linear_acceleration[2] = GRAVITY
        controller.begin(home)
        controller.want(np.array([0.1, 0.0, 0.0]))
        for _ in range(round(RATE)):  # every part of it is loaded once the gait has begun
            controller.step(home)
        self.controller = controller
        with suppress(OSError):
            _compiled().touch()
        self._say("the motion service can walk")


def _compiled() -> Path:
    """Is there once the controller's parts are compiled: in the folder of this code's compiled functions.

    Numba keeps a function for the place of its file, the interpreter and the processor; the same code somewhere else,
    or a home that several machines share, compiles anew.
    """
    kept_for = (str(Path(__file__).resolve()), sys.version, numba.__version__, platform.node())
    name = hashlib.sha256("\n".join(kept_for).encode()).hexdigest()[:16]
    return Path(numba.config.CACHE_DIR or os.devnull) / f"walking-{name}"
