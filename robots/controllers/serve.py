"""A controller of the protocol as a process: one class in simulation and, over the datagrams, behind the guardian.

`safebo robots adapter` writes the file by which guardian and simulation start it.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from safebo.errors import FileError
from safebo.files.reading import read_file
from safebo.files.writing import write_whole
from safebo.robots.controllers.datagrams import (
    LOOPBACK,
    STATE_BYTES,
    GainSet,
    Mode,
    RelayAnswer,
    RelayState,
    gains_identity,
)
from safebo.robots.controllers.finding import FoundController
from safebo.robots.controllers.gains_text import written
from safebo.robots.controllers.protocol import ControllerInputError, DatagramError
from safebo.robots.controllers.walk import ProtocolWalk
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gains import GainTable
from safebo.robots.quadruped.gait import Gait, robot_gait
from safebo.robots.quadruped.interface import GRAVITY, BaseState, JointCommand, SensorReading

WARM_TICKS = 40
"""Of walking in place on made-up readings before the first answer, for what is compiled at first use."""


class ServedController:
    """Answers robot states with the commands of a controller.

    Args:
        found: the controller.
        robot: its model.
        gains: a file of them, looked at while it stands by; None for the defaults.
        say: for what is wrong with a file that has changed; the gains then stay as they were.

    Raises:
        FileError: the file cannot be read, or holds what is no gain.
    """

    def __init__(
        self,
        found: FoundController,
        robot: RobotModel,
        gains: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._controller, self._name, self._robot = found.make(), found.name, robot
        self._table, self._file, self._say = found.table, gains, say
        self._instance = secrets.randbelow((1 << 32) - 1) + 1
        self._seen = self._stamp()
        self._take(self._table.full() if gains is None else gains_of_file(gains, self._table))
        self._walk: ProtocolWalk | None = None
        self._velocity = (0.0, 0.0, 0.0)

    def answer(self, data: bytes) -> bytes | None:
        """The answer to one datagram; None for one that is no state.

        Raises:
            ControllerFault, SensorError: the controller failed; nothing must be answered any more.
        """
        try:
            state = RelayState.unpack(data)
        except DatagramError:
            return None
        if state.mode is Mode.STANDBY:
            self._walk = None
            self._look()
            command, base = (
                JointCommand(self._robot.home_joints),
                BaseState.at_rest(state.reading.orientation),
            )
        else:
            self._velocity = state.velocity
            if self._walk is None or state.time == 0.0:
                self._walk = self._begun(state)
            command = self._walk.step(state.reading)
            base = self._walk.base
        return RelayAnswer(self._instance, state.tick, self._identity, command, base).pack()

    def _take(self, gains: dict[str, float]) -> None:
        self._gains, self._identity = gains, gains_identity(list(gains.values()))

    def _look(self) -> None:
        """Take the gains of a file that has changed."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen or self._file is None:
            return
        self._seen = stamp
        try:
            self._take(gains_of_file(self._file, self._table))
        except FileError as error:
            self._say(str(error))

    def _stamp(self) -> tuple[int, int] | None:
        """What tells one content of the file from another; it is replaced as a whole."""
        try:
            status = None if self._file is None else self._file.stat()
        except OSError:
            status = None
        return None if status is None else (status.st_ino, status.st_mtime_ns)

    def warm(self) -> None:
        """Stand, and walk in place, on readings of a robot that stands still; the next state begins anew.

        Raises:
            ControllerFault: the controller fails on that already.
        """
        gait = robot_gait(self._robot, "trot")
        numbers = (gait.duty_factor, gait.stride_duration, gait.offset_fl, gait.offset_rr, gait.offset_rl)
        standing = SensorReading(
            0.0, self._robot.home_joints, linear_acceleration=np.array([0.0, 0.0, GRAVITY])
        )
        state = RelayState(Mode.WALK, GainSet.TRIAL, 0, 0.0, (0.0, 0.0, 0.0), numbers, 0.02, standing)
        walk = self._begun(state)
        for tick in range(WARM_TICKS):
            standing.time = 0.002 * tick
            walk.step(standing)

    def _begun(self, state: RelayState) -> ProtocolWalk:
        """A walk as the state describes it; its command is always the newest one."""
        walk = ProtocolWalk(
            self._controller,
            self._name,
            self._robot,
            self._gains,
            Gait(*state.gait),
            lambda time: self._velocity,
            settle=state.settle,
        )
        walk.reset(state.reading)
        return walk


def serve(controller: ServedController, port: int, say: Callable[[str], None]) -> None:
    """Answer until SIGTERM or Ctrl-C.

    Raises:
        ControllerInputError: the port is in use.
        ControllerFault, SensorError: the controller failed.
    """
    controller.warm()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        try:
            link.bind((LOOPBACK, port))
        except OSError as error:
            raise ControllerInputError(f"cannot listen on {LOOPBACK}:{port}: {error.strerror}") from None
        gc.collect()
        gc.freeze()  # what is there now is never looked through again, in no tick
        say(f"ready: answering on {LOOPBACK}:{port}")
        try:
            while True:
                data, asked = link.recvfrom(STATE_BYTES + 1)
                answer = controller.answer(data)
                if answer is not None:
                    link.sendto(answer, asked)
        except KeyboardInterrupt:
            return


def gains_of_file(path: Path, table: GainTable) -> dict[str, float]:
    """All gains of a controller from a YAML file of `name: number`; those that are not there have their defaults.

    Raises:
        FileError: it cannot be read, or holds what is no gain.
    """
    content = read_file(path)
    if not isinstance(content, dict):
        raise FileError(f"{path}: expected a mapping of gains to numbers, such as `{table.names[0]}: 1.0`")
    try:
        return table.full(content)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None


def write_adapter(found: FoundController, path: Path, port: int) -> Path:
    """Write the file by which guardian and simulation start a controller of the protocol, and the file of its gains.

    Args:
        found: the controller; a file in its name is one of the working folder.
        path: of the file; both go into its folder, and neither may exist.
        port: where it will listen behind the guardian.

    Returns:
        The path of the gains file.

    Raises:
        FileError: one of the files exists, or the folder does not.
        OSError: one cannot be written.
    """
    gains = path.with_name(f"{path.stem}.gains.yaml")
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}")
    for file in (path, gains):
        if file.exists():
            raise FileError(f"{file}: is there already")
    start = [sys.executable, "-m", "safebo", "robots", "serve", _from_folder(found.name, path.parent)]
    start += ["--robot", "{robot}", "--gains", "{gains}", "--port", "{port}"]
    rows = [
        f"  {gain.name}: {{unit: {_text(gain.unit)}, lower: {written(gain.lower)}, "
        f"upper: {written(gain.upper)}, baseline: {written(gain.default)}, description: {_text(gain.description)}}}"
        for gain in found.table
    ]
    lines = [
        f"# How {found.name} is attached, to a simulation and to the guardian alike (docs/controllers.md).",
        "controller:",
        f"  name: {_text(found.name)}",
        f"  address: {LOOPBACK}:{port}",
        f"  start: [{', '.join(_text(word) for word in start)}]",
        "  proof: 60   # s: Python starts, and compiles what is not yet compiled",
        "gains:   # lower and upper are hard bounds; baseline is what every trouble falls back to",
        *rows,
        "gain_port:",
        "  kind: file",
        f"  file: {_text(gains.name)}",
    ]
    write_whole(path, "\n".join(lines) + "\n")
    write_whole(gains, "".join(f"{gain.name}: {written(gain.default)}\n" for gain in found.table))
    return gains


def _from_folder(name: str, folder: Path) -> str:
    """A controller's name as it is said in another folder."""
    head, colon, attribute = name.rpartition(":")
    if head.endswith(".py") or name.endswith((".yaml", ".yml")):
        file = Path(head if colon else name).expanduser().resolve()
        return os.path.relpath(file, folder.resolve()) + f"{colon}{attribute}" * bool(colon)
    return name


def _text(text: str) -> str:
    """A text in YAML, between quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
