"""The noise-free truth of a study: what gains are really worth, for figures and benchmarks only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.evaluators.source import EvaluatorSource
from safebo.study import Study, quantity_of
from safebo.types import Evaluator, Measurement, Trial

Gains = Mapping[str, float]


def process_pool(workers: int) -> Executor:
    """Worker processes that start clean (no inherited torch, locks or threads)."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@lru_cache(maxsize=8)
def evaluator_of(study_json: str, folder: str | None = None) -> Evaluator:
    """A study's evaluator, made once; its module is also looked for in the folder."""
    return EvaluatorSource(Study.model_validate_json(study_json), folder=folder).make()


def evaluate_noise_free(study_json: str, parameters: Gains, context: str) -> Measurement:
    """One trial without sensor noise, under the study's own reality gap."""
    evaluator = evaluator_of(study_json)
    values = Study.model_validate_json(study_json).context.values[context]
    trial = Trial(
        id=1,
        parameters=dict(parameters),
        context=dict(values),
        context_name=context,
        phase="manual",
        seed=0,
        certified=False,
    )
    return evaluator.evaluate(trial)


def noise_free(study: Study, options: Mapping[str, Any] | None = None) -> str:
    """The study as JSON, its evaluator without sensor noise and with some options replaced."""
    return with_evaluator_options(study, {**(options or {}), "noise_free": True}).model_dump_json()


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
) -> list[Measurement]:
    """Noise-free measurements of many gains in one context; `options` replaces some evaluator options."""
    text = noise_free(study, options)
    arguments = [(text, dict(g), context) for g in gains]
    if pool is None:
        return [evaluate_noise_free(*a) for a in arguments]
    return list(pool.map(evaluate_noise_free, *zip(*arguments, strict=True), chunksize=4))


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
