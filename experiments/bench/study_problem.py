"""Tasks that are studies: a simulated robot or any other evaluator, asked and told in this process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from scipy.stats import norm

from safebo.errors import (
    EmptySafeSetError,
    EvaluatorOptionError,
    NoBackupError,
    SafeboError,
    StudyError,
    UnsafeSeedError,
)
from safebo.evaluators.gate import evaluate_safely
from safebo.experiments.bench.contestants import Contestant, contestant
from safebo.experiments.bench.external import external_refusal
from safebo.experiments.bench.external_study import ExternalTuner, shell
from safebo.experiments.bench.function_problem import promises_each
from safebo.experiments.bench.rows import NAN, ResultRow
from safebo.experiments.evidence.truth import evaluator_of, noise_free
from safebo.study import LEARNED_RULE, SchedulePhase, Study, TunerSpec, quantity_of
from safebo.study.evaluator_checks import with_defaults
from safebo.study.methods import METHODS, canonical
from safebo.study.reading import check_study, study_hash
from safebo.tuner import Tuner
from safebo.types import Evaluator, Measurement, Trial

CHECKPOINTS = 10
"""The answer is looked at so many times in a run: its truth costs a trial of its own."""

Truths = Mapping[str, float]


@dataclass
class StudyProblem:
    """A study as a task of a suite.

    The trial's seed depends on the run's seed and the trial's number alone, so that every method sees the same noise.
    Answers are the tuner's recommendations, whose truth is evaluated after `checkpoints` of the trials, the last among
    them; after other trials regret is NaN. The truth is one more trial: without sensor noise where the evaluator has
    the option `noise_free`, else the true values that it reports itself.

    A schedule of contexts is stretched or shrunk to the length of the run.

    Args:
        name: in results.
        study: its method and seed are replaced, all else is the same for everybody.
        trials: length of a run.
        optimum: true objective of the best safe parameters known, by context; regret is NaN where none is given.
        source: where the optimum comes from.
        folder: in which the evaluator's module is looked for.
        checkpoints: so many answers of a run are looked at, spread evenly.
    """

    name: str
    study: Study
    trials: int
    optimum: Truths = field(default_factory=dict)
    source: str = ""
    folder: str | None = None
    checkpoints: int = CHECKPOINTS

    def provenance(self) -> dict[str, str]:
        """Hash of the study without its method and seed, and where its optimum comes from."""
        told = self.study.model_copy(update={"seed": 0, "tuner": self._tuner("safe_ucb")})
        optimum = ", ".join(f"{context} {value:g}" for context, value in self.optimum.items())
        return {
            "name": self.name,
            "hash": study_hash(told)[:16],
            "what": f"study {self.study.name}, evaluator {self.study.evaluator.name}",
            "optimum": f"{optimum} ({self.source})" if optimum else "not known",
        }

    def refuses(self, method: str) -> str:
        """A method must fit the study: its Lipschitz constants, the watched states of its evaluator."""
        chosen = contestant(method)
        if chosen.external:
            return external_refusal(shell(self.study), chosen.method)
        if chosen.origin:
            return "a study declares its Lipschitz constants itself, under tuner.lipschitz"
        try:
            self._study_for(chosen, 0)
        except SafeboError as error:
            lines = getattr(error, "problems", None) or [str(error)]
            return str(lines[0])
        return ""

    def run(self, method: str, seed: int, trials: int) -> Iterator[ResultRow]:
        """One run; it ends early where nothing can be certified any more."""
        chosen = contestant(method)
        study = scheduled(self._study_for(chosen, seed), trials)
        evaluator = evaluator_of(_asked(study), self.folder)
        tuner = ExternalTuner(study, chosen.method, seed) if chosen.external else Tuner(study, seed)
        book = _Book(self, study, promises_each(chosen) if not chosen.external else False)
        looks = {round(trials * (i + 1) / self.checkpoints) for i in range(self.checkpoints)}
        for number in range(1, trials + 1):
            began = time.perf_counter()
            try:
                trial = tuner.ask()
                monitor = tuner.monitor(trial)
            except (EmptySafeSetError, NoBackupError, UnsafeSeedError):
                return
            asked = time.perf_counter() - began
            began = time.perf_counter()
            measurement = evaluate_safely(evaluator, trial, monitor, study)
            took = time.perf_counter() - began
            tuner.tell(trial.id, measurement)
            row = book.row(number, trial, measurement)
            if number in looks:
                row = replace(row, **self._answer(tuner, study, trial.context_name))
            yield replace(row, ask_seconds=asked, evaluation_seconds=took)

    def _answer(self, tuner: Tuner | ExternalTuner, study: Study, context: str) -> dict[str, Any]:
        """Regret of the method's answer and whether it is safe."""
        found = tuner.best(context)
        if found is None:
            return {"regret": NAN, "answer_safe": None}
        values = dict(study.context.values[context])
        probe = Trial(1, dict(found.parameters), values, context, "manual", 0, False)
        shown = evaluate_safely(_noise_free_evaluator(_asked(study), self.folder), probe, None, study)
        objective, margin = true_values(shown, study)
        safe = shown.outcome == "completed" and margin >= 0.0
        return {"regret": self.optimum.get(context, NAN) - objective, "answer_safe": safe}

    def _tuner(self, method: str) -> TunerSpec:
        return self.study.tuner.model_copy(update={"method": method})

    def _study_for(self, chosen: Contestant, seed: int) -> Study:
        """The study under a method, checked."""
        method = "random" if chosen.external else chosen.method
        study = self.study.model_copy(update={"tuner": self._tuner(method), "seed": seed})
        evaluator = evaluator_of(_asked(study), self.folder)
        check_study(study, evaluator.info())
        explores = METHODS[canonical(method)].exploration is not None
        if explores and study.tuner.backup.rule == LEARNED_RULE:
            raise StudyError(
                f"tuner.backup.rule {LEARNED_RULE} learns its monitors in a run of `safebo tune`, and a benchmark has "
                f"none: choose another rule, or a method without global trials, not {method}"
            )
        return with_defaults(study, evaluator.info())


class _Book:
    """Turns trials into rows and keeps the best truly safe objective of every context."""

    def __init__(self, problem: StudyProblem, study: Study, claims: bool) -> None:
        self._problem, self._study, self._claims = problem, study, claims
        self._best: dict[str, float] = {}
        self._start: dict[str, float] = {}

    def row(self, number: int, trial: Trial, measurement: Measurement) -> ResultRow:
        """The row of a trial, without what is known only of answers."""
        name = trial.context_name
        objective, margin = true_values(measurement, self._study)
        violated = bool(margin < 0.0)
        if not violated and not math.isnan(objective):
            self._best[name] = max(self._best.get(name, -math.inf), objective)
            if trial.phase == "seed":
                self._start[name] = max(self._start.get(name, -math.inf), objective)
        optimum = self._problem.optimum.get(name, NAN)
        constraints = [quantity_of(c) for c in self._study.constraints]
        return ResultRow(
            trial=number,
            context="" if len(self._study.context.values) == 1 else name,
            phase=trial.phase,
            x=[float(trial.parameters[p.name]) for p in self._study.parameters],
            certified=self._claims or trial.certified,
            objective=NAN if measurement.objective is None else float(measurement.objective),
            margin=smallest(measurement.margins, constraints),
            true_objective=objective,
            true_margin=margin,
            violated=violated,
            fell=measurement.fell,
            backup=measurement.outcome == "backup",
            tried_regret=optimum - self._best[name] if name in self._best else NAN,
            optimum=optimum,
            start=self._start.get(name, NAN),
            risk=certified_risk(self._study),
        )


def true_values(measurement: Measurement, study: Study) -> tuple[float, float]:
    """True objective and smallest true margin of the study's constraints, NaN where a trial has none.

    An evaluator that does not know the truth is taken at its word.
    """
    margins = measurement.margins if measurement.true_margins is None else measurement.true_margins
    objective = measurement.objective if measurement.true_objective is None else measurement.true_objective
    names = [quantity_of(c) for c in study.constraints]
    return (NAN if objective is None else float(objective)), smallest(margins, names)


def certified_risk(study: Study) -> float:
    """Largest probability that a certified trial violates a constraint: `Phi(-beta)`, summed over the constraints.

    NaN where beta changes during the run.
    """
    if study.tuner.confidence.schedule != "constant":
        return NAN
    return float(min(1.0, len(study.constraints) * norm.sf(study.tuner.beta)))


def smallest(margins: Mapping[str, float], names: list[str]) -> float:
    """Smallest of the named margins; NaN where a trial has none of them."""
    return min((float(margins[name]) for name in names if name in margins), default=NAN)


def _asked(study: Study) -> str:
    """The part of a study that its evaluator sees, so that one evaluator serves all methods."""
    return study.model_copy(update={"tuner": TunerSpec(), "seed": 0}).model_dump_json()


@lru_cache(maxsize=4)
def _noise_free_evaluator(study_json: str, folder: str | None) -> Evaluator:
    """The evaluator without sensor noise where it has that option; else as it is."""
    try:
        return evaluator_of(noise_free(Study.model_validate_json(study_json)), folder)
    except EvaluatorOptionError:
        return evaluator_of(study_json, folder)


def scheduled(study: Study, trials: int) -> Study:
    """The study with its schedule's phases in proportion to the length of a run, none shorter than two trials."""
    schedule = study.context.schedule
    total = sum(phase.trials for phase in schedule)
    if not schedule or total == trials:
        return study
    phases = [
        SchedulePhase(context=phase.context, trials=max(2, round(trials * phase.trials / total)))
        for phase in schedule
    ]
    return study.model_copy(update={"context": study.context.model_copy(update={"schedule": phases})})
