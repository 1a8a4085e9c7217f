"""Options of `safebo tune` that have to do with a robot."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from safebo.errors import EvaluatorError, InputError
from safebo.runs.operators import ApprovesAll, Operator, TerminalOperator
from safebo.study import EvaluatorSpec
from safebo.text.command import say
from safebo.types import RobotAddress

REHEARSALS = "safebo.rehearsals"
"""Entry points, by the evaluator's name: context managers that put a virtual robot behind a guardian.

They take the evaluator's options and a folder for logs, and give host, port and key file.
"""


@dataclass(frozen=True)
class RobotOptions:
    """The options, checked.

    Args:
        robot: where the robot is; None for a simulation.
        approve_all: whether nobody is asked.
        rehearse: whether the robot is a virtual one that this command starts and ends.
    """

    robot: RobotAddress | None
    approve_all: bool
    rehearse: bool = False

    @property
    def suffix(self) -> str:
        """What the name of a run's folder ends with."""
        return "-rehearsal" if self.rehearse else "-robot" if self.robot else ""

    def words(self) -> list[str]:
        """The options as they are typed, to go on with the same robot."""
        approve = ["--approve-all"] if self.approve_all else []
        if self.rehearse:
            return ["--dry-run", *approve]
        if self.robot is None:
            return []
        words = ["--robot", f"{self.robot.host}:{self.robot.port}"]
        words += ["--key", self.robot.key] if self.robot.key else []
        words += ["--physical", self.robot.serial] if self.robot.serial else []
        return [*words, *approve]

    @contextmanager
    def ready(self, evaluator: EvaluatorSpec, folder: Path) -> Iterator[RobotOptions]:
        """The options with a robot that is there: for a rehearsal, a virtual one as long as the block runs.

        Raises:
            InputError: this evaluator cannot be rehearsed. EvaluatorError: robot or guardian did not start.
        """
        if not self.rehearse:
            yield self
            return
        points = importlib.metadata.entry_points(group=REHEARSALS)
        known = sorted(point.name for point in points)
        if evaluator.name not in known:
            raise InputError(
                f"--dry-run: evaluator {evaluator.name!r} has no virtual robot (those that have: {', '.join(known)})"
            )
        logs = folder / "rehearsal"
        with ExitStack() as stack:
            try:
                make = points[evaluator.name].load()
                host, port, key = stack.enter_context(make(evaluator.options, logs))
            except Exception as error:
                raise EvaluatorError(f"--dry-run: no virtual robot could be started: {error}") from error
            say(
                f"A virtual robot and its guardian are up for this run; their logs are in {logs}. To stop it from "
                f"another terminal: safebo robot stop {host}:{port} --key {key}"
            )
            yield replace(self, robot=RobotAddress(host, port, key, clears=self.approve_all))

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
                "--approve-all": approve_all and not dry_run,
                "--global-trials": global_trials and not dry_run,
            }.items()
            if value
        ]
        if given:
            raise InputError(f"{given[0]} goes with --robot HOST:PORT, where the robot's guardian listens")
        return RobotOptions(None, approve_all, dry_run)
    if approve_all and physical is not None:
        raise InputError(
            "--approve-all works only with a virtual robot: a person approves what moves a physical one"
        )
    host, _, port = robot.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--robot {robot!r}: expected HOST:PORT, for example 127.0.0.1:4750")
    address = RobotAddress(host, int(port), None if key is None else str(key), physical, approve_all)
    return RobotOptions(address, approve_all)
