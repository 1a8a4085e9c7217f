"""Seeds after which nothing in their context can be trusted: unsafe, impossible by their priors, or too short."""

from __future__ import annotations

from safebo.errors import ImpossibleSeedError, ShortTrialError, UnsafeSeedError
from safebo.evaluators.outcome import ended_early, margin_of, negative_margins, where_negative
from safebo.evaluators.strides import too_short
from safebo.study import FunctionSpec, Study, Warp
from safebo.study.axis import value_text
from safebo.study.methods import certifies
from safebo.study.preference_checks import prefers
from safebo.study.priors import fitting_std, impossible, modelled, prior_distance
from safebo.study.space import WarpMap
from safebo.types import Measurement, Trial


def refuse_seed(trial: Trial, measurement: Measurement | None, study: Study) -> None:
    """Refuse a seed after which nothing in its context can be trusted.

    Raises:
        UnsafeSeedError: it was measured unsafe.
        ImpossibleSeedError: its prior calls what it measured impossible; an objective that is better than expected is
            not refused.
        ShortTrialError: it cannot certify as far as the study's horizon, and no trial like it will.
    """
    if trial.phase != "seed" or measurement is None or measurement.outcome == "failed":
        return
    gains = ", ".join(f"{k} {value_text(v)}" for k, v in trial.parameters.items())
    negative = negative_margins(measurement, study)
    if negative or ended_early(measurement):
        what = ", ".join(f"{n} = {v:.4g}{where_negative(measurement, n, study)}" for n, v in negative) or (
            "it fell" if measurement.fell else "it was aborted"
        )
        if measurement.scenarios and measurement.message:
            what = f"{what} ({measurement.message})"
        raise UnsafeSeedError(
            f"the seed of context {trial.context_name} is not safe: trial {trial.id} measured {what} "
            f"(safe is >= 0{'; the robot fell' if measurement.fell and negative else ''}) with {gains}. "
            "Give the study a seed that is safe on this robot"
            + (" as it is now" if study.surrogate.time is not None else "")
        )
    wrong = impossible_values(trial, measurement, study)
    if wrong:
        raise ImpossibleSeedError(
            f"the study's priors cannot be right, so nothing can be certified with them: trial {trial.id}, the "
            f"seed of context {trial.context_name} ({gains}), measured {'; '.join(wrong)}. Is the unit the one you "
            "mean? If it is, correct the study and begin a new run"
        )
    short = too_short(measurement, study)
    if short:
        raise ShortTrialError(
            f"trial {trial.id}, the seed of context {trial.context_name} ({gains}): {short}"
        )


def impossible_values(trial: Trial, measurement: Measurement | None, study: Study) -> list[str]:
    """What a seed measured that its priors call impossible, for methods that certify with them; usually nothing."""
    if trial.phase != "seed" or measurement is None or measurement.outcome != "completed":
        return []
    if not study.constraints or not certifies(study.tuner.method):
        return []
    values: list[tuple[FunctionSpec, float | None]] = []
    if not prefers(study):
        values.append((study.objective, measurement.objective))
    values += [(c, margin_of(measurement, c)) for c in study.constraints]
    return [text for f, value in values if (text := _impossible(f, value, study.objective))]


def _impossible(function: FunctionSpec, value: float | None, objective: FunctionSpec) -> str:
    """Why a function's prior cannot be right; empty where it can. A clipped value is at least as far as its clip."""
    if value is None:
        return ""
    warped = float(WarpMap(function.warp, function.name).forward(value))
    far = prior_distance(function, warped)
    if not impossible(far, function is objective):
        return ""
    unit = f" {function.unit}" if function.unit else ""
    scale = "" if function.warp == Warp() else " (modelled: see warp)"
    least = "at least " if modelled(function, value) is None else ""
    return (
        f"{function.name} {value:.4g}{unit}, {least}{abs(far):,.0f} standard deviations from what its prior expects "
        f"(prior_mean {function.prior_mean:g}, prior_std {function.prior_std:g}{scale}; with prior_std "
        f"{fitting_std(function, warped):g} it would be 2)"
    )
