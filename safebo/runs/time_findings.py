"""What `surrogate.time` means in numbers, before a run: how long what a seed shows certifies, and for how many trials.

At the seed itself, under the declared prior: gains away from it have less to lose and expire sooner.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from safebo.safety.expiry import remaining_validity
from safebo.study import Study
from safebo.study.duration import duration_text
from safebo.study.findings import SEED_REPEATS, Finding, MeasuredSeed, seed_cases
from safebo.study.first_step import FirstStep
from safebo.study.methods import certifies

TOPIC = "time"


def time_findings(
    study: Study, measured: MeasuredSeed | None = None, moves_robot: bool | None = None
) -> Iterator[Finding]:
    """How long a certificate of the seed lasts and how many trials fit before it has to be measured again.

    Args:
        study: the study; nothing is said where it declares no `surrogate.time`.
        measured: what a seed showed, in simulation; None where it was not measured.
        moves_robot: whether the evaluator does; None where that is not known.
    """
    time = study.surrogate.time
    if time is None or not study.constraints or not certifies(study.tuner.method):
        return
    step = FirstStep(study)
    cases = seed_cases(step, None if measured is None else measured.mean[1:])
    found = {name: _validity(step, values) for name, values in cases.items()}
    yield _lasting(study, found)
    duration = None if measured is None else measured.duration
    yield from _spacing(study, duration)
    typical = "2 prior_std" if measured is None else next(iter(cases))
    most = list(cases)[-1]
    yield _seeds_again(step, cases, found[typical], (typical, most), duration)
    yield Finding(
        TOPIC,
        "fine",
        "the first step, the whole box and the trials above are as they are right after a measurement, without "
        "surrogate.time: they shrink as it grows old",
    )
    if measured is not None and moves_robot is not True and time.interval is None and not measured.own_clock:
        yield Finding(
            TOPIC,
            "look at",
            "this simulation does not report operating_time, so that the clock on the wall goes on and surrogate.time "
            "depends on how fast the computer is: give surrogate.time.interval, the time from one trial to the next",
        )


def _validity(step: FirstStep, values: list[float]) -> float | None:
    """Seconds for which one measurement certifies a seed: None where it does not, infinity where that never ends."""
    here = np.zeros(step.space.dimension)
    time = step.study.surrogate.time
    assert time is not None
    if not step.certified(values, here):
        return None
    memory = max(time.memory_of(c.name) for c in step.study.constraints)
    found = remaining_validity(lambda delay: step.certified(values, here, ages=(delay,)), memory)
    return math.inf if found is None else found


def _lasting(study: Study, found: dict[str, float | None]) -> Finding:
    time = study.surrogate.time
    assert time is not None
    memory = duration_text(min(time.memory_of(c.name) for c in study.constraints))
    said = [f"{_lasts(seconds)} with {name}" for name, seconds in found.items()]
    return Finding(
        TOPIC,
        "fine" if any(seconds is not None for seconds in found.values()) else "look at",
        f"what one measurement of the seed shows (memory {memory}) certifies it {'; '.join(said)}",
    )


def _lasts(seconds: float | None) -> str:
    if seconds is None:
        return "not even at once"
    return "for good" if math.isinf(seconds) else f"for {duration_text(seconds)}"


def _begins(study: Study, duration: float | None) -> tuple[float, str]:
    """From the start of one trial to that of the next, in seconds at most, and why, in words."""
    time = study.surrogate.time
    assert time is not None
    if time.interval is not None:
        return time.interval, f"surrogate.time.interval {duration_text(time.interval)}"
    lead = f"surrogate.time.lead {duration_text(time.lead)}"
    if duration is None:
        return time.lead, f"{lead}; how long a trial lasts, which comes on top, is not known here"
    return time.lead + duration, f"a trial of {duration_text(duration)} and {lead}"


def _spacing(study: Study, duration: float | None) -> Iterator[Finding]:
    """Whether trials follow each other so slowly that seeds always come first, and keys that are not used."""
    time = study.surrogate.time
    assert time is not None
    spacing, why = _begins(study, duration)
    if spacing > time.pause * (1.0 + 1e-9):
        yield Finding(
            TOPIC,
            "refused",
            f"a trial begins up to {duration_text(spacing)} after the one before ({why}), longer than a tenth of the "
            f"shortest memory ({duration_text(time.pause)}), after which the seeds come first: nothing but seeds would "
            "be tried. Shorten the trials or the lead",
        )
    if time.interval is not None and "lead" in time.model_fields_set:
        yield Finding(TOPIC, "look at", "surrogate.time.lead is not used beside surrogate.time.interval")


def _seeds_again(
    step: FirstStep,
    cases: dict[str, list[float]],
    lasts: float | None,
    names: tuple[str, str],
    duration: float | None,
) -> Finding:
    """How many trials fit between two measurements of the seed, or whether it can be kept certified at all.

    Args:
        step: of the study.
        cases: margins of the seed by name.
        lasts: how long its certificate lasts with the first of `names`.
        names: of the case that is told and of the one with the most margin.
        duration: of a trial, s.
    """
    spacing, why = _begins(step.study, duration)
    typical, most = names
    with_margin = f"with {typical}"
    if lasts is not None and lasts >= spacing:
        trials = "any number of" if math.isinf(lasts) else f"{math.floor(lasts / spacing)}"
        few = trials == "1"
        text = (
            f"{trials} trial{'' if few else 's'} fit{'s' if few else ''} between two measurements of the seed "
            f"{with_margin} (each begins up to {duration_text(spacing)} after the one before: {why}); gains elsewhere "
            "expire sooner"
        )
        if duration is not None and lasts < duration:
            return Finding(
                TOPIC,
                "look at",
                f"{text}. But a trial lasts longer than the certificate with which it begins",
            )
        return Finding(TOPIC, "fine", text)
    said = f"the seed's certificate is gone before the next trial begins, up to {duration_text(spacing)} later ({why})"
    repeats = _repeats(step, cases[typical], spacing)
    if repeats is not None:
        return Finding(
            TOPIC,
            "look at",
            f"{with_margin}, {said}; it holds after {repeats} measurements of the seed in a row, which cost trials "
            "after every one",
        )
    never = _repeats(step, cases[most], spacing) is None
    if never and most != typical:
        with_margin = f"with up to {most}"
    return Finding(
        TOPIC,
        "refused" if never else "look at",
        f"{with_margin}, {said}, and {SEED_REPEATS} measurements in a row do not make it hold: measured again, the "
        "seed would not be certified, and the run would stop. Give one with more margin, shorter trials or a shorter "
        "lead",
    )


def _repeats(step: FirstStep, values: list[float], spacing: float) -> int | None:
    """How many measurements of a seed in a row certify it when the next trial begins; None where so many as are tried
    do not.
    """
    here = np.zeros(step.space.dimension)
    for count in range(1, SEED_REPEATS + 1):
        if step.certified(values, here, ages=[spacing * (k + 1) for k in range(count)]):
            return count
    return None
