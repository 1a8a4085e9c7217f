"""A study as a task of a benchmark: its own evaluator is tuned, in process, and its answers are looked at."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.bench.contestants import contestant
from experiments.bench.rows import NAN, TrialRow
from experiments.evidence.tuning import with_method
from safebo.errors import EmptySafeSetError, UnsafeSeedError
from safebo.evaluator import EvaluatorSource, evaluate_safely
from safebo.protocol import Measurement, Trial
from safebo.study import Study
from safebo.study_checks import with_defaults
from safebo.study_file import study_hash
from safebo.tuner import Tuner


@dataclass(frozen=True)
class StudyTask:
    """A study that every method tunes with the same seeds, priors and evaluator.

    The evaluator draws a trial's noise from the run's seed and the trial's number.

    Args:
        name: in results.
        study: for a run of so many trials, under whatever method.
        trials: length of a run.
        best: by context, an objective that no safe parameters exceed; regret is counted from it.
        noise_free: evaluator options with which answers are looked at; none where `true_objective` has no noise anyway.
        look_every: the answer's truth is looked at after so many trials, and after the last.
    """

    name: str
    study: Callable[[int], Study]
    trials: int
    best: Mapping[str, float] = field(default_factory=dict)
    noise_free: Mapping[str, Any] = field(default_factory=dict)
    look_every: int = 1

    def provenance(self) -> dict[str, str]:
        """Hash of the study at the task's own length."""
        what = f"best {dict(self.best)}, looked at every {self.look_every}"
        return {"name": self.name, "hash": study_hash(self.study(self.trials)), "what": what}

    def refuses(self, method: str) -> str:
        """Only the methods that studies name."""
        chosen = contestant(method)
        if chosen.outside:
            return "it knows no contexts, and is for tasks that are functions"
        return "a study has no such constants" if chosen.origin else ""

    def run(self, method: str, seed: int, trials: int) -> Iterator[TrialRow]:
        """One run; it ends early where nothing can be certified any more."""
        study = with_method(self.study(trials), contestant(method).method)
        evaluator = EvaluatorSource(study).make()
        study = with_defaults(study, evaluator.info())
        tuner = Tuner(study, seed)
        answers = _Answers(study, self.noise_free)
        tried: dict[str, float] = {}
        for n in range(1, trials + 1):
            began = time.perf_counter()
            try:
                trial = tuner.ask()
            except (EmptySafeSetError, UnsafeSeedError):
                return
            asked = time.perf_counter()
            measurement = evaluate_safely(evaluator, trial, tuner.monitor(trial), study)
            done = time.perf_counter()
            tuner.tell(trial.id, measurement)
            context = trial.context_name
            margin = _true_margin(study, measurement)
            if margin >= 0.0 and measurement.outcome == "completed":
                value = _true_objective(measurement)
                tried[context] = max(tried.get(context, -math.inf), value)
            best = self.best.get(context, NAN)
            answer: Measurement | None = None
            if n % self.look_every == 0 or n == trials:
                found = tuner.best(context)
                answer = None if found is None else answers.of(context, found.parameters)
            yield TrialRow(
                trial=n,
                context=context,
                phase=trial.phase,
                x=[float(v) for v in trial.parameters.values()],
                certified=trial.certified,
                objective=NAN if measurement.objective is None else measurement.objective,
                margin=min(measurement.margins.values(), default=NAN),
                true_objective=_true_objective(measurement),
                true_margin=margin,
                violated=margin < 0.0,
                fell=measurement.fell,
                backup=measurement.outcome == "backup",
                regret=NAN if answer is None else best - _true_objective(answer),
                answer_safe=None if answer is None else _true_margin(study, answer) >= 0.0,
                tried_regret=best - tried.get(context, NAN),
                optimum=best,
                ask_seconds=asked - began,
                evaluation_seconds=done - asked,
            )


class _Answers:
    """Truth of recommended parameters, each looked at once."""

    def __init__(self, study: Study, options: Mapping[str, Any]) -> None:
        spec = study.evaluator
        quiet = spec.model_copy(update={"options": {**spec.options, **options}})
        self._study = study
        self._evaluator = EvaluatorSource(study.model_copy(update={"evaluator": quiet})).make()
        self._known: dict[tuple[str, tuple[tuple[str, float], ...]], Measurement] = {}

    def of(self, context: str, parameters: Mapping[str, float]) -> Measurement:
        """What these parameters show in one context."""
        key = (context, tuple(parameters.items()))
        if key not in self._known:
            values = self._study.context.values.get(context, {})
            trial = Trial(0, dict(parameters), dict(values), context, "manual", 0, True)
            self._known[key] = self._evaluator.evaluate(trial)
        return self._known[key]


def _true_objective(measurement: Measurement) -> float:
    known = measurement.true_objective
    if known is None:
        known = measurement.objective
    return NAN if known is None else float(known)


def _true_margin(study: Study, measurement: Measurement) -> float:
    """The smallest constrained margin; -inf after a fall that left none."""
    margins = measurement.true_margins or measurement.margins
    found = [margins[name] for c in study.constraints if (name := c.quantity or c.name) in margins]
    if not found:
        return -math.inf if measurement.fell else NAN
    return float(min(found))
