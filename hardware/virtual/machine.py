"""A virtual robot's life: tick by tick until it is asked to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.unitree.go1_link import Go1RobotSide
from safebo.hardware.unitree.go2_link import Go2RobotSide
from safebo.hardware.unitree.joints import motors_of
from safebo.hardware.virtual.attitude import roll_pitch_yaw
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.pace import SpeedWatch, VirtualPace
from safebo.hardware.virtual.plant import VirtualPlant

LOG_EVERY = 50  # ticks
FALLEN = 1.0  # rad of roll or pitch


class VirtualRobot:
    """A plant on its wire.

    Args:
        side: its end of the network.
        plant: its body.
        injector: faults.
    """

    def __init__(self, side: Go1RobotSide | Go2RobotSide, plant: VirtualPlant, injector: Injector) -> None:
        self._side: Go1RobotSide | Go2RobotSide = side
        self.plant, self.injector = plant, injector
        self._motors = motors_of(plant.robot.joint_names)

    @property
    def commanded(self) -> bool:
        """Whether somebody's command is still young."""
        return self.plant.commanded

    @property
    def damaged(self) -> int:
        """Commands refused for length, head or checksum."""
        return self._side.damaged

    def listen(self) -> int:
        """Take commands, and answer services; how many sound commands came."""
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        """Wait for a command for at most `seconds`; whether there is one."""
        return self._side.wait(seconds)

    def publish(self) -> None:
        """Say how things are now."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the network."""
        self._side.close()


class BodyLog:
    """What the robot's body really did, a JSON object per line, each 0.1 s of robot time.

    Keys: `wall` (date and time, a label only), `time` (s), `tick` (ms of the robot's own clock), `height` (m, of the
    trunk's frame), `roll`, `pitch` (rad), `fallen` (either beyond 1 rad), `joints` (rad, 12, in the robot's order),
    `kp`, `kd` (means of what acted), `charge` (`service`, `commands`, `watchdog`, `remote` or `off`), `faults` (kinds),
    `commands` (how many came).

    Args:
        path: file to append to; None for no log.

    Raises:
        HardwareInputError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                raise HardwareInputError(f"{path}: {error.strerror}") from None

    def put(self, plant: VirtualPlant, faults: list[str]) -> None:
        """Write a line when it is time for one."""
        if self._file is None or plant.ticks % LOG_EVERY:
            return
        try:
            wall = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._file.write(json.dumps({"wall": wall, **body_of(plant, faults)}) + "\n")
        except OSError:  # a full disk must not stop the robot's clock
            self.close()

    def close(self) -> None:
        """No more lines."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:
                return


def body_of(plant: VirtualPlant, faults: list[str]) -> dict[str, Any]:
    """What the robot's body does now, but for the wall clock; see `BodyLog`."""
    base = plant.simulation.truth()
    roll, pitch, _ = roll_pitch_yaw(base.orientation)
    kp, kd = plant.command_gains
    return {
        "time": round(plant.time, 4),
        "tick": plant.milliseconds,
        "height": round(float(base.position[2]), 5),
        "roll": round(roll, 5),
        "pitch": round(pitch, 5),
        "fallen": max(abs(roll), abs(pitch)) > FALLEN,
        "joints": [round(float(q), 5) for q in plant.simulation.true_joint_position],
        "kp": round(kp, 3),
        "kd": round(kd, 3),
        "charge": plant.charge,
        "faults": faults,
        "commands": plant.commands,
    }


def step(robot: VirtualRobot) -> None:
    """One tick of a robot that has listened: faults, physics, and what it says after it."""
    plant, injector = robot.plant, robot.injector
    injector.look(plant.time, plant.reached)
    plant.tick(injector.influence())
    if any(fault.kind == "reboot" for fault in injector.ended):
        plant.reboot()
    robot.publish()


def live(
    robot: VirtualRobot,
    pace: VirtualPace,
    speed: SpeedWatch,
    log: BodyLog,
    say: Callable[[str], None],
    asked: Callable[[], bool],
) -> None:
    """Tick until asked to end."""
    plant, injector = robot.plant, robot.injector
    while not asked():
        pace.next(robot)
        step(robot)
        log.put(plant, injector.names)
        for fault in injector.begun:
            say(f"{plant.time:9.3f}  fault {fault.kind} begins")
        for fault in injector.ended:
            say(f"{plant.time:9.3f}  fault {fault.kind} ends")
        if plant.ticks % 50 == 0:
            speed.look(plant.time)
