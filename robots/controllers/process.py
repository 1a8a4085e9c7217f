"""A controller in a process of its own, in lock-step with a simulation, over the datagrams that a guardian sends it.

The process cannot tell the two apart, but by the time: a simulation's stands still until the answer has come. Its gains
are written by the gain port that the guardian uses, and proven by its answers.
"""

from __future__ import annotations

import fcntl
import select
import shutil
import socket
import tempfile
import time as clock
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from safebo.robots.controllers.controller_file import ControllerFile
from safebo.robots.controllers.datagrams import (
    ANSWER_BYTES,
    LOOPBACK,
    GainSet,
    Mode,
    RelayAnswer,
    RelayState,
    gains_identity,
)
from safebo.robots.controllers.gain_port import GainPort, write_and_read_back
from safebo.robots.controllers.numbers import ANSWER_TIMEOUT_S
from safebo.robots.controllers.own_process import OwnProcess
from safebo.robots.controllers.ports import gain_port, gains_file, own_process
from safebo.robots.controllers.protocol import Command, ControllerFault, DatagramError
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gains import Gain
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading

WAIT_S = 0.02
"""Between two looks at whether a silent process still lives."""

LISTENING_S = 0.005
"""Between two states to a process that has just been started and may not listen yet."""


class ProcessController:
    """A controller of the protocol that asks a process for every command.

    With a start command in its file the process is a child, on a port and with a gains file of its own, so that several
    workers can walk at once. Without one it is whoever listens at the file's address, and one worker alone may use it.

    Args:
        file: how the controller is attached.

    Attributes after `step`:
        base: the process's estimate of the trunk.
    """

    def __init__(self, file: ControllerFile) -> None:
        self.gains: Sequence[Gain] = file.table
        self.base: BaseState | None = None
        self._file = file
        self._port: GainPort | None = None
        self._process: OwnProcess | None = None
        self._socket: socket.socket | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[bytes] | None = None
        self._held: dict[str, float] | None = None
        self._tick = 0
        self._settle, self._instance = 0.0, 0
        self._fresh = True
        gain_port(file)  # what it names is looked for before anything walks

    # -- as a controller of the protocol ----------------------------------------------------------------

    def reset(self, robot: RobotModel, gains: Mapping[str, float], gait: Gait, command: Command) -> None:
        """Bring the gains into the process, started anew where it reads them then, and hear it answer with them.

        Raises:
            ControllerFault: the gains cannot be written, or it does not answer with them.
        """
        self._gait = (
            gait.duty_factor,
            gait.stride_duration,
            gait.offset_fl,
            gait.offset_rr,
            gait.offset_rl,
        )
        self._speed, self._fresh, self.base = command, True, None
        if self._port is None:
            self._open(robot)
        assert self._port is not None
        if self._port.restarts or self._held != dict(gains):
            self._held, before = None, self._instance if self._port.restarts else 0
            wrong = write_and_read_back(self._port, gains)
            if wrong:
                raise ControllerFault(f"{self._file.path}: {wrong}")
            self._held = dict(gains)
            self._identity = gains_identity([gains[gain.name] for gain in self.gains])
            self._instance = self._proven(robot, before)

    def step(self, sensors: SensorReading) -> JointCommand:
        """One tick: a state out, its answer in.

        Raises:
            ControllerFault: no answer within `ANSWER_TIMEOUT_S`, or one of another start or with other gains.
        """
        if self._fresh:
            self._settle, self._fresh = max(0.0, -sensors.time), False
        mode = Mode.SETTLE if sensors.time < 0.0 else Mode.WALK
        state = self._state(mode, sensors, sensors.time + self._settle, self._speed(sensors.time))
        self._send(state)
        answer = self._answer(ANSWER_TIMEOUT_S)
        if answer is None:
            raise self._silent(f"no answer to tick {self._tick} within {ANSWER_TIMEOUT_S:g} s")
        if answer.instance != self._instance:
            raise ControllerFault(f"{self._file.path}: the controller has restarted while the robot walked")
        if answer.gains not in (0, self._identity):
            raise self._other_gains(answer)
        self.base = answer.base
        return answer.command

    def close(self) -> None:
        """End the process, if it is ours, and give everything back."""
        if self._process is not None:
            self._process.stop()
        if self._socket is not None:
            self._socket.close()
        if self._lock is not None:
            self._lock.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._port = self._process = self._socket = self._lock = self._folder = self._held = None

    # -- beginning --------------------------------------------------------------------------------------

    def _open(self, robot: RobotModel) -> None:
        """Find or prepare the process; it is started by the gain port."""
        file, gains = self._file, gains_file(self._file)
        number = file.port
        if file.start or file.node is not None:
            number = _free_port()
            if gains is not None:
                self._folder = tempfile.TemporaryDirectory(prefix="safebo-controller-")
                gains = Path(shutil.copy(gains, self._folder.name))
        if not file.start or gains is None:
            self._lock = _locked(file)
        self._process = own_process(file, robot, number, gains)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((LOOPBACK, number))
        self._port = gain_port(file, self._process, gains, number)
        weakref.finalize(self, _close, self._socket, self._lock, self._process)
        if self._process is not None and gains is None:
            self._process.restart()

    def _proven(self, robot: RobotModel, before: int) -> int:
        """The instance of the process that answers with the gains, standing by; another one than `before`."""
        standing = SensorReading(
            0.0, robot.home_joints.copy(), linear_acceleration=np.array([0.0, 0.0, 9.81])
        )
        end, other = clock.monotonic() + self._file.proof, None
        while clock.monotonic() < end:
            self._send(self._state(Mode.STANDBY, standing, 0.0, (0.0, 0.0, 0.0)))
            answer = self._answer(LISTENING_S if other is None else WAIT_S)
            other = other if answer is None else answer
            if answer is not None and answer.instance != before and answer.gains in (0, self._identity):
                return answer.instance
        if other is not None and other.instance == before:
            raise ControllerFault(
                f"{self._file.path}: the controller did not start anew within {self._file.proof:g} s"
            )
        if other is not None:
            raise self._other_gains(other)
        raise self._silent(f"no answer within {self._file.proof:g} s (controller.proof)")

    # -- datagrams --------------------------------------------------------------------------------------

    def _state(
        self, mode: Mode, reading: SensorReading, time: float, velocity: tuple[float, float, float]
    ) -> bytes:
        self._tick += 1
        walks = mode is not Mode.STANDBY
        gait = self._gait if walks else (0.0,) * 5
        settle = self._settle if walks else 0.0
        state = RelayState(mode, GainSet.TRIAL, self._tick, time, velocity, gait, settle, reading)
        return state.pack()

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.send(data)
        except ConnectionError:
            return  # nobody listens yet, or any more: the missing answer tells
        except OSError as error:
            raise ControllerFault(f"{self._file.path}: cannot be reached: {error.strerror}") from error

    def _answer(self, patience: float) -> RelayAnswer | None:
        """The answer to the newest state; None when it does not come in time.

        Raises:
            ControllerFault: the process has ended, or says what is no answer.
        """
        assert self._socket is not None
        end = clock.monotonic() + patience
        while (left := end - clock.monotonic()) > 0.0:
            ready, _, _ = select.select([self._socket], [], [], min(left, WAIT_S))
            if not ready:
                self._check_lives()
                continue
            try:
                answer = RelayAnswer.unpack(self._socket.recv(ANSWER_BYTES + 1))
            except ConnectionError:  # nobody listens
                self._check_lives()
                clock.sleep(min(left, LISTENING_S))
                continue
            except DatagramError as error:
                raise ControllerFault(f"{self._file.path}: {error}") from None
            if answer.tick == self._tick:
                return answer
            if answer.tick > self._tick:
                raise ControllerFault(
                    f"{self._file.path}: an answer to tick {answer.tick}, where the newest state is {self._tick}"
                )
        return None

    def _check_lives(self) -> None:
        ended = "" if self._process is None else self._process.ended()
        if ended:
            raise ControllerFault(f"{self._file.path}: the controller's process {ended}")

    def _silent(self, what: str) -> ControllerFault:
        said = "" if self._process is None else self._process.said()
        return ControllerFault(f"{self._file.path}: {what}{f'; it says: {said}' if said else ''}")

    def _other_gains(self, answer: RelayAnswer) -> ControllerFault:
        return ControllerFault(
            f"{self._file.path}: the controller answers with gains {answer.gains:#018x}, expected "
            f"{self._identity:#018x}"
        )


def _close(link: socket.socket, lock: IO[bytes] | None, process: OwnProcess | None) -> None:
    link.close()
    if lock is not None:
        lock.close()
    if process is not None:
        process.stop()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _locked(file: ControllerFile) -> IO[bytes]:
    """The file, held so that nobody else of this computer walks with its controller."""
    held = file.path.open("rb")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        alone = (
            "a node of ROS 2 walks for one" if file.node else "with controller.start every worker has its own"
        )
        raise ControllerFault(f"{file.path}: another process walks with this controller; {alone}") from None
    return held
