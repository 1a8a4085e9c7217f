"""Trials outside a run: a study's seeds measured in simulation, and candidates for a seed tried there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from safebo.errors import EvaluatorError, RunStoppedError
from safebo.evaluators.gate import failed
from safebo.evaluators.outcome import (
    ended_early,
    margin_of,
    negative_margins,
    remarks_on,
    what_happened,
    where_negative,
)
from safebo.evaluators.scenarios import combined, parts_of
from safebo.runs.evaluator_workers import EvaluatorWorkers
from safebo.study import Study
from safebo.study.axis import value_text
from safebo.study.checks import tuned_contexts
from safebo.study.findings import Finding, MeasuredSeed
from safebo.study.first_step import FirstStep
from safebo.study.preference_checks import prefers
from safebo.study.reading import StudyFile
from safebo.study.scenarios import scenario_names
from safebo.study.space import Space, WarpMap
from safebo.types import EvaluatorInfo, Measurement, Trial, TrialUnknownError
from safebo.workers.pool import UNGUARDED, starts_unguarded

REPEATS = 3
"""Of a study's first seed; the others are measured once."""

MAX_CANDIDATES = 24
"""Tried for a seed in a context."""


class SingleTrials:
    """Evaluates trials one after the other in a worker process, as a run does, and keeps nothing.

    Args:
        workers: one, which evaluates them.
        info: what the evaluator accepts.
        seed: of everything random.
    """

    def __init__(self, workers: EvaluatorWorkers, info: EvaluatorInfo, seed: int) -> None:
        self._workers, self.info, self._seed = workers, info, seed
        self._count = 0

    @property
    def simulated(self) -> bool:
        """Whether a trial may be evaluated without a person: it is repeatable and moves no robot."""
        return self.info.repeatable and not self.info.robot

    def measure(self, parameters: Mapping[str, Any], context: str) -> Measurement:
        """Evaluate one trial, in every scenario where there are some; a walk whose process dies has failed.

        Raises:
            RunStoppedError: nobody knows how it ended.
        """
        study, self._count = self._workers.file.study, self._count + 1
        seed = int(np.random.SeedSequence([self._seed, self._count]).generate_state(1)[0])
        values = dict(study.context.values[context])
        names = scenario_names(study)
        trial = Trial(
            self._count, dict(parameters), values, context, "seed", seed, certified=False, scenarios=names
        )
        walks = [self._walk(part) for part in parts_of(trial, study)]
        return combined(dict(zip(names, walks, strict=True)), study) if names else walks[0]

    def _walk(self, trial: Trial) -> Measurement:
        try:
            return self._workers.pool.submit(0, trial, None).result()
        except BrokenExecutor:
            death = self._workers.pool.restart(0)
            if not self.info.repeatable:
                raise RunStoppedError(f"the evaluator's process {death.words} in a trial") from None
            return failed(f"its worker process {death.words}")
        except TrialUnknownError as error:
            raise RunStoppedError(f"what became of a trial is not known: {error}") from error


@contextmanager
def single_trials(file: StudyFile, tell: Callable[[str], None]) -> Iterator[SingleTrials]:
    """The study's evaluator, checked against the study and ready for single trials.

    Args:
        file: the study.
        tell: takes a line for people while the evaluator takes long to load.

    Raises:
        StudyError: the evaluator does not exist or refuses its options, or the study does not fit it.
        EvaluatorError: it cannot be made.
    """
    if starts_unguarded():
        os._exit(UNGUARDED)  # the process that started this worker says what is wrong
    with tempfile.TemporaryDirectory(prefix="safebo-trials-") as folder:
        workers = EvaluatorWorkers(file, Path(folder))
        try:
            yield SingleTrials(workers, workers.check(workers.start(), tell), file.study.seed)
        finally:
            workers.pool.close(at_once=True)


def warped_row(study: Study, measurement: Measurement) -> tuple[float, ...] | None:
    """Objective and margins on the modelled scale; None of a trial that was not completed."""
    if measurement.outcome != "completed" or ended_early(measurement):
        return None
    # Nothing of a preference is measured: it is what is expected of it.
    objective = study.objective.prior_mean if prefers(study) else measurement.objective
    if objective is None:
        return None
    values = [objective, *(margin_of(measurement, c) for c in study.constraints)]
    functions = (study.objective, *study.constraints)
    return tuple(
        float(WarpMap(f.warp, f.name).forward(v))
        for f, v in zip(functions, values, strict=True)
        if v is not None
    )


def measured_seeds(trials: SingleTrials, study: Study) -> tuple[list[MeasuredSeed], list[Finding]]:
    """Every seed's measurements, and what is wrong with those that are not safe."""
    seen, findings = [], []
    for index, seed in enumerate(study.seeds):
        rows: list[tuple[float, ...]] = []
        durations: list[float] = []
        bad, own_clock, remarks = "", False, dict[str, None]()
        for _ in range(REPEATS if index == 0 else 1):
            measurement = trials.measure(seed.parameters, seed.context)
            row = warped_row(study, measurement)
            bad = bad or _why_unsafe(measurement, study, row)
            rows += [] if row is None else [row]
            remarks |= dict.fromkeys(remarks_on(measurement))
            durations += [measurement.duration] if row is not None and measurement.duration > 0 else []
            own_clock |= measurement.operating_time is not None
        name = f"seed {index + 1} ({seed.context})"
        if bad:
            text = f"is not safe: {bad}. Give one that is; --find-seed looks for one"
            findings.append(Finding(name, "refused", text))
        else:
            findings.append(Finding(name, "fine", f"measured safe, {len(rows)} of {len(rows)} times"))
        findings += [Finding(name, "look at", remark) for remark in remarks]
        if rows:
            lasted = float(np.median(durations)) if durations else None
            seen.append(MeasuredSeed(seed, tuple(rows), lasted, own_clock))
    return seen, findings


def _why_unsafe(measurement: Measurement, study: Study, row: tuple[float, ...] | None) -> str:
    negative = ", ".join(
        f"{name} {value:.4g}{where_negative(measurement, name, study)}"
        for name, value in negative_margins(measurement, study)
    )
    if negative or row is not None:
        return f"measured {negative}" if negative else ""
    said = "; ".join(what_happened(measurement))
    return f"{measurement.outcome}{f' ({said})' if said else ''}"


def find_seeds(trials: SingleTrials, study: Study) -> dict[str, Mapping[str, Any] | None]:
    """A safe seed for every tuned context: from the evaluator's defaults inwards, then anywhere in the box.

    Safe is a candidate measured so twice; None where no candidate is. In simulation alone.

    Raises:
        EvaluatorError: the evaluator is not known to be a simulation.
    """
    if not trials.simulated:
        raise EvaluatorError(
            f"--find-seed tries gains that nobody knows to be safe, and evaluator {trials.info.name!r} is not known to "
            "be a simulation (it moves a robot, or does not declare `repeatable: true`)"
        )
    return {context: _seed_of(trials, study, context) for context in tuned_contexts(study)}


def _seed_of(trials: SingleTrials, study: Study, context: str) -> Mapping[str, Any] | None:
    """The first candidate that is safe and would be certified by one measurement, else the first that is safe."""
    step, safe = FirstStep(study), None
    for candidate in seed_candidates(study, trials.info):
        measured = [trials.measure(candidate, context)]
        rows = [warped_row(study, measured[0])]
        if rows[0] is None or negative_margins(measured[0], study):
            continue
        measured.append(trials.measure(candidate, context))
        if warped_row(study, measured[1]) is None or negative_margins(measured[1], study):
            continue
        if step.certified(rows[0][1:], np.zeros(step.space.dimension)):
            return candidate
        safe = safe or candidate
    return safe


def seed_candidates(study: Study, info: EvaluatorInfo) -> Iterator[dict[str, Any]]:
    """The evaluator's defaults, points on the way from them to the middle of the box, and then random ones."""
    space = Space.of_parameters(study)
    known = {p.name: p.default for p in info.parameters}
    middle = np.full(space.dimension, 0.5)
    start = middle.copy()
    for axis, columns in zip(space.axes, space.columns, strict=True):
        default = known.get(axis.name, np.nan)
        if not axis.choices and np.isfinite(default):
            start[columns] = np.clip(axis.to_unit(min(max(default, axis.lower), axis.upper)), 0.0, 1.0)
    ways = [start + share * (middle - start) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    others = np.random.default_rng(study.seed).random((4 * MAX_CANDIDATES, space.dimension))
    rows = space.proposals(space.nearest(np.vstack([ways, others])))
    rows = rows[space.keep(rows)]
    _, first = np.unique(rows, axis=0, return_index=True)
    for index in sorted(first.tolist())[:MAX_CANDIDATES]:
        yield space.named(rows[index])


def seed_lines(found: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """The lines of a study file that declare the seeds that were found."""
    lines = ["seeds:"]
    for context, parameters in found.items():
        if parameters is not None:
            values = ", ".join(f"{name}: {value_text(value)}" for name, value in parameters.items())
            lines.append(f"  - {{context: {context}, parameters: {{{values}}}}}")
    return lines
