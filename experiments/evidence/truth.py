"""What gains are worth in a simulation that may try everything, without sensor noise or with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.evaluators.scenarios import combined, parts_of
from safebo.evaluators.source import EvaluatorSource
from safebo.study import Study, quantity_of
from safebo.study.scenarios import one_walk, scenario_names
from safebo.types import Evaluator, Measurement, Trial

Gains = Mapping[str, float]


def process_pool(workers: int) -> Executor:
    """Worker processes that start clean (no inherited torch, locks or threads)."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@lru_cache(maxsize=8)
def evaluator_of(study_json: str, folder: str | None = None) -> Evaluator:
    """A study's evaluator, made once; its module is also looked for in the folder."""
    return EvaluatorSource(Study.model_validate_json(study_json), folder=folder).make()


@lru_cache(maxsize=8)
def study_of(study_json: str) -> Study:
    """The study of a text, read once."""
    return Study.model_validate_json(study_json)


def evaluate_once(
    study_json: str, parameters: Gains, context: str, least: float | None = None, seed: int = 0
) -> Measurement:
    """One trial under the study's own reality gap; of all its scenarios, if it has any.

    Args:
        study_json: the study, see `noise_free`.
        parameters: gains by name.
        context: name of the context.
        least: begin with the last scenario and walk no further one after one in which the gains are unsafe, or have an
            objective below this. What is said of them then is only that. None: all are walked.
        seed: of the sensors' noise, where the evaluator has any.
    """
    evaluator, study = evaluator_of(study_json), study_of(study_json)
    trial = Trial(
        id=1,
        parameters=dict(parameters),
        context=dict(study.context.values[context]),
        context_name=context,
        phase="manual",
        seed=seed,
        certified=False,
        scenarios=scenario_names(study),
    )
    if not trial.scenarios:
        return evaluator.evaluate(trial)
    walks, single = {}, one_walk(study)
    parts = parts_of(trial, study)
    for part in parts if least is None else reversed(parts):
        assert part.scenario is not None
        walks[part.scenario.name] = found = evaluator.evaluate(part)
        if least is not None and not (is_safe(single, found) and (found.objective or 0.0) >= least):
            break
    return combined(walks, study)


def noise_free(study: Study, options: Mapping[str, Any] | None = None) -> str:
    """The study as JSON, its evaluator without sensor noise and with some options replaced."""
    return _text(study, {**(options or {}), "noise_free": True})


def _text(study: Study, options: Mapping[str, Any]) -> str:
    return with_evaluator_options(study, options).model_dump_json()


def with_evaluator_options(study: Study, options: Mapping[str, Any]) -> Study:
    """The study with some options of its evaluator replaced."""
    changed = study.evaluator.model_copy(update={"options": {**study.evaluator.options, **options}})
    return study.model_copy(update={"evaluator": changed})


def truth(
    study: Study,
    context: str,
    gains: Sequence[Gains],
    pool: Executor | None = None,
    options: Mapping[str, Any] | None = None,
    least: float | None = None,
    seed: int | None = None,
) -> list[Measurement]:
    """Measurements of many gains in one context.

    Args:
        study: with the simulation.
        context: name of the context.
        gains: by name.
        pool: that evaluates them; None: this process does.
        options: of the evaluator that are replaced.
        least: see `evaluate_once`.
        seed: of the sensors' noise, the same for all gains; None: there is none.
    """
    text = noise_free(study, options) if seed is None else _text(study, options or {})
    arguments = [(text, dict(g), context, least, seed or 0) for g in gains]
    if pool is None:
        return [evaluate_once(*a) for a in arguments]
    return list(pool.map(evaluate_once, *zip(*arguments, strict=True), chunksize=4))


def random_gains(study: Study, count: int, seed: int) -> list[dict[str, float]]:
    """`count` gains drawn uniformly in the unit cube of the study's box (log scale where declared)."""
    generator = np.random.default_rng(seed)
    unit = generator.random((count, len(study.parameters)))
    return [from_unit(study, row) for row in unit]


def from_unit(study: Study, row: NDArray[np.float64]) -> dict[str, float]:
    """Gains from one point of the unit cube."""
    gains = {}
    for parameter, u in zip(study.parameters, row, strict=True):
        low, high = parameter.bounds
        gains[parameter.name] = float(
            low * (high / low) ** u if parameter.scale == "log" else low + u * (high - low)
        )
    return gains


def is_safe(study: Study, measurement: Measurement) -> bool:
    """Whether every constraint of the study held."""
    if measurement.outcome != "completed":
        return False
    return all(measurement.margins[quantity_of(c)] >= 0 for c in study.constraints)
