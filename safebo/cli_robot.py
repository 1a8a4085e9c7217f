"""Options of `safebo tune` that have to do with a robot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from safebo.errors import InputError
from safebo.evaluator import RobotAddress
from safebo.operators import ApprovesAll, Operator, TerminalOperator


@dataclass(frozen=True)
class RobotOptions:
    """The options, checked.

    Args:
        robot: where the robot is; None for a simulation.
        approve_all: whether nobody is asked.
    """

    robot: RobotAddress | None
    approve_all: bool

    def words(self) -> list[str]:
        """The options as they are typed, to go on with the same robot."""
        if self.robot is None:
            return []
        words = ["--robot", f"{self.robot.host}:{self.robot.port}"]
        words += ["--key", self.robot.key] if self.robot.key else []
        words += ["--physical", self.robot.serial] if self.robot.serial else []
        return [*words, *(["--approve-all"] if self.approve_all else [])]

    def operator(self, console: Console) -> Operator | None:
        """Who approves and judges."""
        if self.robot is None:
            return None
        return ApprovesAll(console) if self.approve_all else TerminalOperator(console)


def robot_options(
    robot: str | None,
    physical: str | None,
    key: Path | None,
    approve_all: bool,
    global_trials: bool,
    dry_run: bool,
) -> RobotOptions:
    """Check what belongs together.

    Raises:
        InputError: options that contradict each other, or an address that is none.
    """
    if dry_run and physical is not None:
        raise InputError("--dry-run is for a virtual robot; leave --physical out")
    if robot is None:
        given = [
            name
            for name, value in {
                "--physical": physical,
                "--key": key,
                "--approve-all": approve_all,
                "--global-trials": global_trials,
                "--dry-run": dry_run,
            }.items()
            if value
        ]
        if given:
            raise InputError(f"{given[0]} goes with --robot HOST:PORT, where the robot's guardian listens")
        return RobotOptions(None, False)
    if approve_all and physical is not None:
        raise InputError(
            "--approve-all works only with a virtual robot: a person approves what moves a physical one"
        )
    host, _, port = robot.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--robot {robot!r}: expected HOST:PORT, for example 127.0.0.1:4750")
    address = RobotAddress(host, int(port), None if key is None else str(key), physical, approve_all)
    return RobotOptions(address, approve_all)
