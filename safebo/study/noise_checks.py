"""Checks of noise with a Student distribution: whatever rests on Gaussian or on bounded noise is refused with it."""

from __future__ import annotations

from collections.abc import Iterator

from safebo.files.problems import KeyPath, Problem
from safebo.study import ConfidenceSpec, Study, TunerSpec
from safebo.study.methods import METHODS, NORM_SCHEDULES, canonical


def needs_gaussian(certificate: str, confidence: ConfidenceSpec | None) -> str:
    """What of a certificate or of its confidence does not hold with Student noise, and why; empty where all does."""
    if certificate == "measured":
        return (
            "certificate: measured rests on the largest possible noise, and a Student distribution has none: use "
            "certificate: bounds"
        )
    if confidence is not None and confidence.intersect:
        return (
            "confidence.intersect: true keeps intervals of earlier trials, and later ones may show that those rested "
            "on an outlier: use intersect: false"
        )
    if confidence is not None and confidence.schedule in NORM_SCHEDULES:
        return (
            f"confidence.schedule: {confidence.schedule} holds for sub-Gaussian noise, and a Student distribution has "
            "heavier tails: use constant, posterior, srinivas2010 or logarithmic"
        )
    return ""


def noise_problems(study: Study, brought: TunerSpec) -> Iterator[Problem]:
    """Everything that contradicts declared Student noise, at the first function that has it.

    Args:
        study: as it is declared.
        brought: its tuner section with what the method brings along.
    """
    paths: list[KeyPath] = [("objective",), *(("constraints", i) for i in range(len(study.constraints)))]
    functions = (study.objective, *study.constraints)
    path = next((p for p, f in zip(paths, functions, strict=True) if f.noise_degrees is not None), None)
    if path is None:
        return
    spec, known = study.surrogate, METHODS.get(canonical(study.tuner.method))
    declared = spec.prior_data is not None and isinstance(spec.prior_data.correlation, float)
    why = needs_gaussian(brought.certificate, brought.confidence)
    checks = (
        (bool(why), why),
        (
            spec.hyperparameters != "fixed",
            f"surrogate.hyperparameters: {spec.hyperparameters} fits lengthscales and noise as if it were Gaussian, "
            "and takes outliers for a rough function: use hyperparameters: fixed",
        ),
        (
            known is not None and known.exploration is not None,
            f"method {study.tuner.method} certifies points that it opened by the mean of their own measurements, which "
            "one outlier carries away: use a method without global trials (safe_ucb, safeopt)",
        ),
        (
            declared,
            "surrogate.prior_data.correlation: a declared number is tested against Gaussian noise, and one outlier "
            "would contradict the prior run: leave it out (earned)",
        ),
    )
    yield from (Problem((*path, "noise_degrees"), message) for wrong, message in checks if wrong)
