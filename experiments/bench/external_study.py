"""Optimizers of other packages on a study: they choose, the study's evaluator runs what they chose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from safebo.errors import InputError, UnsafeSeedError
from safebo.experiments.bench.external import external_proposals
from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.tuner.encoding import StudyEncoding
from safebo.types import Measurement, Phase, Trial, TrialRecord


def shell(study: Study) -> Task:
    """What a study tells an optimizer of another package: the unit cube, and thresholds on the modelled scale."""
    encoding = StudyEncoding(study)
    functions = len(encoding.names)
    dimension = len(study.parameters)
    seed = encoding.space.to_unit(encoding.space.vector(study.seeds[0].parameters))

    def unknown(_x: FloatArray) -> FloatArray:
        raise InputError(f"study {study.name}: its evaluator knows its functions, nobody else")

    return Task(
        name=study.name,
        functions=unknown,
        bounds=np.array([[0.0] * dimension, [1.0] * dimension]),
        kernels=(KernelSpec("rbf", 1.0),) * functions,
        prior_means=(0.0,) * functions,
        noise_std=(0.0,) * functions,
        beta=(0.0,) * functions,
        thresholds=(UNCONSTRAINED, *(float(t) for t in encoding.thresholds)),
        start=lambda _seed: np.asarray(seed)[None],
        trials=study.trials,
        known_optimum=np.nan,
    )


@dataclass(frozen=True)
class ExternalRecommendation:
    """Parameters that an optimizer would give to its user."""

    parameters: dict[str, float]


class ExternalTuner:
    """Asks an optimizer of another package as a `Tuner` is asked, one for every context.

    It tries the study's seeds first, follows the schedule, numbers trials and draws their noise as `Tuner` does. The
    optimizers are told the unit cube and the modelled scale, the best case for them. A trial without an objective (a
    fall, an end before time) counts as the worst objective seen so far; one without margins (a failure) is not told.

    Args:
        study: what is tuned.
        name: of the optimizer.
        seed: of the run.
    """

    def __init__(self, study: Study, name: str, seed: int) -> None:
        self._study, self._name, self._seed = study, name, seed
        # A tuner that only keeps the book: the schedule, the numbers of trials, the seeds of their noise.
        self._book = Tuner(study, seed)
        self._encoding = StudyEncoding(study)
        self._who = {
            context: external_proposals(shell(study), name, seed * 1009 + index)
            for index, context in enumerate(study.context.values)
        }
        self._seeds = {
            context: [s.parameters for s in study.seeds if s.context == context]
            for context in study.context.values
        }
        self._asked: dict[int, tuple[Trial, FloatArray]] = {}
        self._told: dict[str, list[FloatArray]] = {context: [] for context in study.context.values}
        self._count = 0

    def ask(self) -> Trial:
        """The next trial: a seed of the context, or what the optimizer proposes.

        Raises:
            UnsafeSeedError: no seed of the context could be measured.
        """
        context = self._book.scheduled_context()
        self._count += 1
        phase: Phase = "local"
        if self._seeds[context]:
            phase = "seed"
            parameters = dict(self._seeds[context].pop(0))
            x = np.asarray(self._encoding.space.to_unit(self._encoding.space.vector(parameters)))
        else:
            if not self._told[context]:
                raise UnsafeSeedError(f"context {context}: no seed of it could be measured")
            x = self._who[context].ask(self._count)
            raw = np.clip(
                self._encoding.space.from_unit(x), *np.array([p.bounds for p in self._study.parameters]).T
            )
            parameters = self._encoding.space.named(raw)
        trial = Trial(
            id=self._count,
            parameters=parameters,
            context=dict(self._study.context.values[context]),
            context_name=context,
            phase=phase,
            seed=noise_seed(self._seed, self._count),
            certified=False,
        )
        self._book.history.add(trial)
        self._asked[trial.id] = (trial, x)
        return trial

    def monitor(self, trial: Trial) -> None:
        """Nobody watches."""

    def tell(self, trial_id: int, measurement: Measurement) -> None:
        """What a trial showed."""
        trial, x = self._asked.pop(trial_id)
        self._book.history.tell(trial_id, measurement)
        found = self._encoding.observations([TrialRecord(trial, measurement)])
        if not found:
            return
        observation = found[0]
        told = self._told[trial.context_name]
        objective = observation.values[0]
        if objective is None:
            if not told:
                return
            objective = min(float(values[0]) for values in told)
        values = np.array([objective, *(float(v or 0.0) for v in observation.values[1:])])
        told.append(values)
        self._who[trial.context_name].tell(x, values)

    def best(self, context: str) -> ExternalRecommendation | None:
        """The optimizer's own answer."""
        x = self._who[context].best
        return (
            None
            if x is None
            else ExternalRecommendation(self._encoding.space.named(self._encoding.space.from_unit(x)))
        )


def noise_seed(seed: int, number: int) -> int:
    """Seed of a trial's noise, from the run's seed and the trial's number alone, as `Tuner` draws it."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
