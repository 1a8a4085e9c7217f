"""What is refused before a run: numbers that cannot be, and an evaluator that does not fit the study or the robot."""

from __future__ import annotations

import math

from safebo.errors import InputError
from safebo.files.problems import Problem, shown
from safebo.runs.supervision import check_allowed, check_meant
from safebo.study import LEARNED_RULE, MAX_SEED, MAX_TRIALS, Study
from safebo.study.methods import METHODS, canonical
from safebo.study.reading import StudyFile
from safebo.types import EvaluatorInfo, RobotAddress

MAX_WORKERS = 1000


def check_numbers(trials: int | None, workers: int | None, seed: int | None, minutes: float | None) -> None:
    """Check numbers of `safebo.run`, where they are given.

    Raises:
        InputError: names the one that cannot be, and what is allowed.
    """
    for name, value, least, most in (
        ("trials", trials, 1, MAX_TRIALS),
        ("workers", workers, 1, MAX_WORKERS),
        ("seed", seed, 0, MAX_SEED),
    ):
        if value is not None and not least <= value <= most:
            raise InputError(f"{name} must be a whole number from {least} to {most}, not {shown(value)}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"minutes must be a number above 0, not {shown(minutes)}")


def check_robot(
    info: EvaluatorInfo,
    study: Study,
    robot: RobotAddress | None,
    operated: bool,
    approve_all: bool,
    global_trials: bool,
) -> None:
    """Where an evaluator moves a robot, check that it is the one that is meant and that its trials may run so.

    Args:
        info: what the evaluator accepts.
        study: the run's.
        robot: the one that is meant; None for what the study itself names.
        operated: whether there is an operator.
        approve_all: whether the operator approves everything.
        global_trials: whether trials outside the certified set may run.

    Raises:
        InputError: they may not.
    """
    if not info.robot:
        return
    if not operated:
        raise InputError(
            f"evaluator {info.name!r} moves a {info.robot} robot: its trials need an operator who approves and "
            "judges them (`operator` of `safebo.runs.runner.run`, or --robot)"
        )
    if robot is not None:
        check_meant(info, robot.serial)
    check_allowed(info, study, approve_all, global_trials)


def refuse_unwatched(info: EvaluatorInfo, file: StudyFile) -> None:
    """A method with global trials relies on a monitor that can end them, so the evaluator must take one."""
    method = METHODS.get(canonical(file.study.tuner.method))
    if method is None or method.exploration is None:
        return
    if not info.monitored:
        message = (
            f"{file.study.tuner.method!r} needs a monitor that switches gains during global trials, and "
            f"evaluator {info.name!r} takes none; choose a method without global trials (safe_ucb, safeopt)"
        )
        raise file.error([Problem(("tuner", "method"), message)])
    rule, message = file.study.tuner.backup.rule, ""
    if rule == "cost_to_go" and not info.margins_to_go:
        message = (
            f"{rule!r} learns from margins to go, and evaluator {info.name!r} reports none; choose another rule "
            "(lipschitz, gaussian_tail, kernel_covariance)"
        )
    elif rule == LEARNED_RULE and info.robot:
        message = (
            f"{rule!r} tries backups in simulated trials, and these trials move a {info.robot} robot, whose guardian "
            "takes no such monitor; choose another rule (lipschitz, gaussian_tail, kernel_covariance)"
        )
    elif rule == LEARNED_RULE and not info.tries_switches:
        message = (
            f"{rule!r} tries backups on the way of simulated trials, and evaluator {info.name!r} cannot put a trial "
            "back (its info does not say tries_switches); choose another rule (lipschitz, gaussian_tail, "
            f"kernel_covariance{', cost_to_go' if info.margins_to_go else ''})"
        )
    if message:
        raise file.error([Problem(("tuner", "backup", "rule"), message)])
