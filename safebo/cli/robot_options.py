"""Options of `safebo tune` that have to do with a robot: what belongs together, and who approves its trials."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from safebo.errors import EvaluatorError, InputError
from safebo.text.command import say

if TYPE_CHECKING:
    from rich.console import Console

    from safebo.runs.operators import Operator
    from safebo.study.reading import StudyFile
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
        console: whether a page may answer as well as the terminal.
    """

    robot: RobotAddress | None
    approve_all: bool
    rehearse: bool = False
    console: bool = False

    @property
    def suffix(self) -> str:
        """What the name of a run's folder ends with."""
        return "-rehearsal" if self.rehearse else "-robot" if self.robot else ""

    def words(self) -> list[str]:
        """The options as they are typed, to go on with the same robot."""
        approve = ["--approve-all"] if self.approve_all else ["--console"] if self.console else []
        if self.rehearse:
            return ["--dry-run", *approve]
        if self.robot is None:
            return []
        words = ["--robot", f"{self.robot.host}:{self.robot.port}"]
        words += ["--key", self.robot.key] if self.robot.key else []
        words += ["--physical", self.robot.serial] if self.robot.serial else []
        return [*words, *approve]

    @contextmanager
    def ready(self, file: StudyFile, folder: Path) -> Iterator[RobotOptions]:
        """The options with a robot that is there: for a rehearsal, a virtual one as long as the block runs.

        Raises:
            InputError: this evaluator cannot be rehearsed. EvaluatorError: robot or guardian did not start.
        """
        if not self.rehearse:
            yield self
            return
        from safebo.evaluators.source import EvaluatorSource
        from safebo.types import RobotAddress  # with numpy, which help needs not

        evaluator = file.study.evaluator
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
                options = EvaluatorSource.of_file(file).bridge_options()
                host, port, key = stack.enter_context(make(options, logs))
            except Exception as error:
                raise EvaluatorError(f"--dry-run: no virtual robot could be started: {error}") from error
            say(
                f"A virtual robot and its guardian are up for this run; their logs are in {logs}. To stop it from "
                f"another terminal: safebo robot stop {host}:{port} --key {key}"
            )
            yield replace(self, robot=RobotAddress(host, port, key, clears=self.approve_all))

    def operator(self, console: Console, folder: Path) -> Operator | None:
        """Who approves and judges the trials of the run in a folder."""
        if self.robot is None:
            return None
        if self.console:
            from safebo.runs.page_operator import PageOperator
            from safebo.storage.questions import QuestionFile

            where = f"safebo console {shlex.quote(str(folder))}"
            return PageOperator(console, QuestionFile(folder), where, self.robot)
        from safebo.runs.operators import ApprovesAll, TerminalOperator

        return ApprovesAll(console) if self.approve_all else TerminalOperator(console)


def robot_options(
    robot: str | None,
    physical: str | None,
    key: Path | None,
    approve_all: bool,
    global_trials: bool,
    dry_run: bool,
    console: bool = False,
) -> RobotOptions:
    """Check what belongs together.

    Raises:
        InputError: options that contradict each other, or an address that is none.
    """
    if console and approve_all:
        raise InputError("--console asks a person, and --approve-all asks nobody: leave one of them out")
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
                "--console": console and not dry_run,
            }.items()
            if value
        ]
        if given == ["--console"]:
            raise InputError(
                "--console goes with --robot HOST:PORT or --dry-run, whose trials a person approves. A simulated run "
                "asks nobody: look at it with `safebo console DIR`"
            )
        if given:
            raise InputError(f"{given[0]} goes with --robot HOST:PORT, where the robot's guardian listens")
        return RobotOptions(None, approve_all, dry_run, console)
    if approve_all and physical is not None:
        raise InputError(
            "--approve-all works only with a virtual robot: a person approves what moves a physical one"
        )
    address = robot_address(robot, key, physical, approve_all)
    return RobotOptions(address, approve_all, console=console)


def robot_address(
    robot: str, key: Path | None, physical: str | None = None, clears: bool = False
) -> RobotAddress:
    """Where a robot's guardian is.

    Args:
        robot: HOST:PORT as it was typed.
        key: file of the shared key.
        physical: serial of the robot that is meant.
        clears: whether latches are cleared without a person.

    Raises:
        InputError: an address that is none.
    """
    host, _, port = robot.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--robot {robot!r}: expected HOST:PORT, for example 127.0.0.1:4750")
    from safebo.types import RobotAddress  # with numpy, which help needs not

    return RobotAddress(host, int(port), None if key is None else str(key), physical, clears)
