"""What does not go together with an objective that a person's preferences say."""

from __future__ import annotations

from collections.abc import Iterator

from safebo.files.problems import KeyPath, Problem
from safebo.study.methods import canonical
from safebo.study.model import Study, Warp
from safebo.study.tuner_model import TunerSpec

METHODS = ("eubo", "safe_ucb", "random_safe")
"""Methods that choose by a latent utility, or by no objective at all."""


def prefers(study: Study) -> bool:
    """Whether the objective is a person's preference."""
    return study.objective.kind == "preference"


def preference_problems(study: Study, tuner: TunerSpec) -> Iterator[Problem]:
    """Keys that contradict `objective.kind`.

    Args:
        study: the study.
        tuner: its tuner section, with what its method brings along.
    """
    spec = study.objective
    if not prefers(study):
        for key in ("indifference", "repeats", "pairs_per_walk"):
            if getattr(spec, key) != type(spec).model_fields[key].default:
                yield Problem(
                    ("objective", key), "belongs to kind: preference; leave it out, or give the kind"
                )
        return
    if spec.warp != Warp():
        yield Problem(("objective", "warp"), "is of measured objectives: a utility has no unit; leave it out")
    if spec.noise_degrees is not None:
        yield Problem(("objective", "noise_degrees"), "is of measured objectives: leave it out")
    if canonical(tuner.method) not in METHODS:
        yield Problem(
            ("tuner", "method"),
            f"{tuner.method} learns from measured objectives, and a preference has none "
            f"(allowed: {', '.join(METHODS)})",
        )
    for path, wrong, allowed in _others(study, tuner):
        if wrong:
            yield Problem(path, f"cannot go with objective.kind: preference: {allowed}")


def _others(study: Study, tuner: TunerSpec) -> Iterator[tuple[KeyPath, bool, str]]:
    """Other keys, whether each is set as a preference cannot have it, and what to do."""
    surrogate, confidence = study.surrogate, tuner.confidence
    yield (
        ("surrogate", "hyperparameters"),
        surrogate.hyperparameters != "fixed",
        "its hyperparameters but lambda stay as declared; use fixed",
    )
    yield ("surrogate", "time"), surrogate.time is not None, "answers have no operating time; leave it out"
    yield (
        ("surrogate", "common_scale"),
        surrogate.common_scale,
        "a utility is no evidence for a margin; leave it out",
    )
    yield (
        ("surrogate", "prior_data"),
        surrogate.prior_data is not None,
        "another run's answers are not taken over",
    )
    yield (
        ("scenarios",),
        study.scenarios is not None,
        "a person compares two walks, not aggregates; leave it out",
    )
    yield ("early_end",), bool(study.early_end), "it compares measured objectives; leave it out"
    yield (
        ("tuner", "confidence", "schedule"),
        confidence.schedule != "constant",
        "a utility is not observed, so use constant",
    )
    yield (
        ("tuner", "confidence", "intersect"),
        confidence.intersect,
        "a utility has no interval of earlier; use false",
    )
