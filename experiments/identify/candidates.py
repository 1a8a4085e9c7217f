"""Walks that may be made next, because they are certified, and what each would tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from safebo.experiments.replay.runs import SeenRun, walked_context
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.identification.fit import Fit
from safebo.robots.identification.gap_file import section
from safebo.robots.identification.information import Suggestion, information, suggest, task_weight
from safebo.robots.identification.walks import WalkLog
from safebo.study import Study
from safebo.types import FloatArray, TrialRecord

MAX_CANDIDATES = 8
SECONDS = 3.0
"""Of a simulated walk."""
TASK_DRAWS = 5
"""Plants at which the task's gradient is taken."""


@dataclass(frozen=True)
class Candidate:
    """Gains in a context.

    Args:
        name: for people.
        parameters: the gains.
        context: values of the context.
        context_name: its name.
    """

    name: str
    parameters: Mapping[str, Any]
    context: Mapping[str, float]
    context_name: str


def candidates_of(study: Study, records: Sequence[TrialRecord]) -> list[Candidate]:
    """Safe seeds of every context, and of every context the newest trial that was certified and kept its margins."""
    found = list[Candidate]()
    for number, seed in enumerate(study.seeds):
        context = study.context.values[seed.context] if study.context else {}
        name = f"seed {number + 1} in {seed.context}"
        found.append(Candidate(name, dict(seed.parameters), context, seed.context))
    newest = {
        r.trial.context_name: r.trial
        for r in records
        if r.trial.certified
        and r.trial.phase != "seed"
        and r.measurement is not None
        and r.measurement.outcome == "completed"
        and min(r.measurement.margins.values(), default=0.0) >= 0.0
    }
    for name, trial in newest.items():
        title = f"trial {trial.id}'s gains in {name}"
        found.append(Candidate(title, dict(trial.parameters), trial.context, name))
    return found


def evaluator_on(run: SeenRun, found: Fit, values: FloatArray) -> LeggedEvaluator:
    """The run's evaluator on a plant that the robot could be."""
    given = {**run.study.evaluator.options, "seconds": SECONDS, "telemetry": False}
    given["robot"] = run.evaluator.settings.robot
    given["disturbance"] = section(replace(found, values=values))
    given.pop("drift", None)
    return LeggedEvaluator(given)


def next_walk(
    run: SeenRun, found: Fit, task: bool, threads: int | None = None
) -> tuple[Suggestion, list[str]]:
    """Which certified walk to make next, and which candidates fell in simulation.

    Args:
        run: whose study has the candidates.
        found: what is known so far.
        task: weigh the parameters by what the study's objective makes of them; else by what was believed before.
        threads: that compute.

    Raises:
        ValueError: no candidate walks on the plant as identified.
    """
    evaluator, added, fell = evaluator_on(run, found, found.values), dict[str, FloatArray](), list[str]()
    candidates = [
        replace(candidate, context=walked_context(candidate.context))
        for candidate in candidates_of(run.study, run.records)[:MAX_CANDIDATES]
    ]
    for candidate in candidates:
        stride = evaluator.gait(candidate.context).stride_duration
        try:
            record = evaluator.walk(candidate.parameters, candidate.context, 1)
            log = WalkLog.of(record, candidate.name, stride)
        except ValueError as error:
            fell.append(str(error))
            continue
        quiet = replace(found.family, base=replace(found.family.base, control_delay=0))
        shifted = replace(log, torque=np.roll(log.torque, found.delay, axis=0))
        added[candidate.name] = information(evaluator.robot, quiet, found.values, shifted, threads)
    if not added:
        raise ValueError(
            f"no certified walk to simulate on the plant as identified: {'; '.join(fell) or 'none'}"
        )
    weight = np.diag(found.family.spread**-2)
    if task:
        steps = np.maximum(found.errors, found.family.steps)
        objective = _objective(run, found, candidates[0])
        weight = task_weight(found.family, found.draws(TASK_DRAWS), steps, objective)
    return suggest(np.asarray(np.linalg.inv(found.covariance)), added, np.asarray(weight)), fell


def _objective(run: SeenRun, found: Fit, candidate: Candidate) -> Callable[[FloatArray], float]:
    """The study's objective, without sensor noise, of gains on a plant; nan where the robot falls."""

    def of(values: FloatArray) -> float:
        evaluator = evaluator_on(run, found, values)
        record = evaluator.walk(candidate.parameters, candidate.context, 1)
        value = evaluator.measure(record, candidate.context).true_objective
        return np.nan if value is None else float(value)

    return of
