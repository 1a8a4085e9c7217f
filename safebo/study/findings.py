"""What a study's numbers mean before and after its seeds are measured, in sentences with a verdict. Loads no torch.

`refused` is what cannot work or would be unsafe as it stands, `look at` what is unusual and may be meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from safebo.files.problems import listed
from safebo.study import FunctionSpec, Seed, Study
from safebo.study.axis import Axis, brief, value_text
from safebo.study.first_step import ORDINARY_MARGIN, FirstStep
from safebo.study.methods import certifies, configured, first_beta
from safebo.study.preference_checks import prefers
from safebo.study.priors import fitting_std, impossible, prior_distance
from safebo.study.space import WarpMap
from safebo.text.counted import counted

FloatArray = NDArray[np.float64]

Verdict = Literal["fine", "look at", "refused"]

SEED_REPEATS = 6
"""Measurements of a seed after which a run gives up when nothing is certified."""

UNUSUAL = 3.0
"""Prior standard deviations between a seed's first measurement and the prior mean."""

LEAST_BETA = 1.645
"""Beta below which a certificate is wrong more often than one time in twenty, even where the prior is right."""

SMALL_STEP = 0.01
"""Of the range: steps below it hardly leave the seed."""

DELTA = 0.05
"""Probability of a wrong interval in a whole run that is ordinarily accepted."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        topic: what.
        verdict: `fine`, `look at` or `refused`.
        text: what was found, with numbers and, where it is not fine, what to do.
    """

    topic: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class MeasuredSeed:
    """What a seed showed.

    Args:
        seed: it.
        values: one row of warped values, the objective first, for every measurement.
        duration: of a trial, s, the median; None where the evaluator does not say.
        own_clock: the evaluator reports the robot's operating time.
    """

    seed: Seed
    values: tuple[tuple[float, ...], ...]
    duration: float | None = None
    own_clock: bool = False

    @property
    def mean(self) -> list[float]:
        """Of every function."""
        return [fmean(column) for column in zip(*self.values, strict=True)]


def declared_findings(study: Study, measured: MeasuredSeed | None = None) -> list[Finding]:
    """What the study's own numbers say; of its first seed, where that was measured, with what it showed."""
    if not certifies(study.tuner.method):
        return [Finding("method", "look at", f"{study.tuner.method} certifies nothing: for simulation alone")]
    seed = study.seeds[0] if measured is None else measured.seed
    return [
        *_limits(study),
        *_first_steps(study, seed, None if measured is None else measured.mean[1:]),
        *_beta(study),
    ]


def _in_unit(spec: FunctionSpec, warped: float) -> str:
    value = float(WarpMap(spec.warp, spec.name).inverse(warped))
    return f"{value:.3g} {spec.unit}".rstrip()


def _limits(study: Study) -> Iterator[Finding]:
    """Whether limits can ever bind, and whether they can ever be certified."""
    step = FirstStep(study)
    here = np.zeros(step.space.dimension)
    for index, spec in enumerate(study.constraints):
        topic = f"limit of {spec.name}"
        once, often = step.needed(index, here), step.needed(index, here, SEED_REPEATS)
        least = (once - step.limits[index]) / spec.prior_std
        if often > step.margin(index, 3.0):
            yield Finding(
                topic,
                "refused",
                f"not even a seed {SEED_REPEATS} times measured with a margin of 3 prior_std is certified: noise_std "
                f"{spec.noise_std:g} is too large for prior_std {spec.prior_std:g}; correct the one that is wrong",
            )
        elif least > 2.0:
            yield Finding(
                topic,
                "look at",
                f"a seed needs a margin of {_in_unit(spec, once)} ({least:.2g} prior_std) to be certified by one "
                f"measurement: noise_std {spec.noise_std:g} is much beside prior_std {spec.prior_std:g}",
            )
        elif spec.prior_mean - step.limits[index] > 0:
            free = -(spec.prior_mean - step.limits[index]) / spec.prior_std
            yield Finding(
                topic,
                "look at",
                f"prior_mean {spec.prior_mean:g} expects untried gains to be safe ({free:+.2g} prior_std to the limit; "
                f"beta {step.betas[index]:.3g} is what still asks for trials): a mean at the limit asks for evidence",
            )
        else:
            yield Finding(
                topic,
                "fine",
                f"untried gains are uncertified, and a seed is certified by one measurement of at least "
                f"{_in_unit(spec, once)}",
            )


def _first_steps(study: Study, seed: Seed, measured: Sequence[float] | None) -> Iterator[Finding]:
    declared = FirstStep(study)
    unit = declared.space.to_unit(declared.space.vector(seed.parameters))
    constraints = range(len(study.constraints))
    cases = seed_cases(declared, measured)
    caution = min(study.surrogate.caution)
    for name, step in (("declared", declared), (f"cautious (x{caution:g})", FirstStep(study, caution))):
        for margin, values in cases.items():
            yield _first_step(step, unit, values, f"first step, {name}", margin, measured is not None)
    typical = cases.get("2 prior_std") or next(iter(cases.values()))
    yield _trials_needed(declared, unit, typical)
    needed = max(
        max(
            (declared.needed(i, point - unit) - declared.margin(i, 0.0)) / study.constraints[i].prior_std
            for i in constraints
        )
        for point in declared.farthest(unit)
    )
    takes = measured is not None and all(
        declared.certified(measured, p - unit) for p in declared.farthest(unit)
    )
    text = f"one measured seed certifies everything from a margin of {needed:.3g} prior_std on"
    if takes:
        yield Finding(
            "whole box",
            "refused",
            f"{text}, and this seed has more: the second trial may be any corner. Lengthscales are fractions of a "
            "range (0.2 to 0.5 is usual) and prior_std is in the margin's unit: correct what is wrong",
        )
    else:
        unusual = needed <= 2.0 * ORDINARY_MARGIN
        yield Finding("whole box", "look at" if unusual else "fine", text)


def seed_cases(step: FirstStep, measured: Sequence[float] | None) -> dict[str, list[float]]:
    """Warped margins that a seed may have, by their name: the measured ones, or 1, 2 and 3 prior_std."""
    if measured is not None:
        return {"the measured margin": list(measured)}
    margins = range(len(step.study.constraints))
    return {f"{k:g} prior_std": [step.margin(i, k) for i in margins] for k in (1.0, 2.0, 3.0)}


def _first_step(
    step: FirstStep, unit: FloatArray, values: Sequence[float], topic: str, margin: str, measured: bool
) -> Finding:
    """How far one step goes along every parameter: of numbers with steps to a value, of choices to which others."""
    parts, shares, stuck = [], [], []
    for axis, columns, parameter in zip(
        step.space.axes, step.space.columns, step.study.parameters, strict=True
    ):
        if axis.choices:
            stuck += [] if _other_choices(step, unit, values, axis, columns) else [axis.name]
            continue
        here = float(unit[columns.start])
        ends = []
        for end in (0.0, 1.0):
            toward = unit.copy()
            toward[columns.start] = end
            ends.append(here + step.reach(unit, values, toward) * (end - here))
        low, high = (brief(float(axis.from_unit(u)), parameter) for u in ends)
        if axis.discrete:
            levels = _levels_within(axis, here, ends)
            low, high = (value_text(axis.at(level)) for level in levels)
            ends = [_coordinate(axis, level) for level in levels]
            stuck += [axis.name] if levels[0] == levels[1] else []
        share = ends[1] - ends[0]
        shares.append(share)
        parts.append(f"{axis.name} {low} .. {high} {parameter.unit}".rstrip() + f" ({100 * share:.2g} %)")
    if not step.certified(values, 0.0 * unit):
        never = measured and not step.certified(values, 0.0 * unit, SEED_REPEATS)
        text = f"with {margin} not even the seed is certified by one measurement"
        if never:
            text += f", nor by {SEED_REPEATS}: its margin is too small for noise_std and beta, and the run would stop"
        return Finding(topic, "refused" if never else "look at", text)
    said = f"with {margin}: {', '.join(parts)} of the range" if parts else f"with {margin}"
    if shares and fmean(shares) < SMALL_STEP:
        return Finding(topic, "look at", f"{said}: steps that small hardly leave the seed")
    if stuck:
        return Finding(
            topic,
            "look at",
            f"{said}; no other value of {listed(stuck)} is within a step, so that trials keep the seed's until more is "
            "known: a longer lengthscale, if that is true, or one study for each value",
        )
    return Finding(topic, "fine", said)


def _levels_within(axis: Axis, here: float, ends: Sequence[float]) -> list[int]:
    """Positions of the outermost two values of an axis with steps that lie within two ends around a coordinate."""
    level = axis.level(float(axis.from_unit(here)))
    found = []
    for end, way in zip(ends, (-1, 1), strict=True):
        last = level
        while 0 <= last + way < axis.levels and way * (_coordinate(axis, last + way) - end) <= 1e-9:
            last += way
        found.append(last)
    return found


def _coordinate(axis: Axis, level: int) -> float:
    return float(axis.to_unit(axis.at(level)))


def _other_choices(
    step: FirstStep, unit: FloatArray, values: Sequence[float], axis: Axis, columns: slice
) -> list[str]:
    """The choices besides the seed's that one step certifies."""
    found = []
    for index, name in enumerate(axis.choices):
        there = unit.copy()
        there[columns] = axis.to_unit(float(index))
        if not np.array_equal(there, unit) and step.certified(values, there - unit):
            found.append(name)
    return found


def _trials_needed(step: FirstStep, unit: FloatArray, values: Sequence[float]) -> Finding:
    """How many steps of the first one's length lead to the farthest corner, and how many cover the box."""
    share = min(step.reach(unit, values, corner) for corner in step.farthest(unit))
    asked = step.study.trials
    if share <= 0:
        return Finding("trials", "look at", "nothing but the seed is certified by one measurement")
    across = math.ceil(1.0 / share)
    radii = []
    for column in range(len(unit)):
        toward = unit.copy()
        toward[column] = 1.0 if unit[column] <= 0.5 else 0.0
        radii.append(max(step.reach(unit, values, toward) * abs(toward[column] - unit[column]), 1e-6))
    d = len(radii)
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1) * math.prod(radii)
    cover = max(math.ceil(1.0 / ball), 1) if ball > 0 else 10**9
    text = (
        f"{across:,} steps like the first lead to the farthest corner and about {min(cover, 10**9):,} ellipsoids of it "
        f"fill the box; {asked} trials are asked. A run need not fill the box to find good gains"
    )
    return Finding("trials", "look at" if across > asked else "fine", text)


def _beta(study: Study) -> Iterator[Finding]:
    """Whether intervals of this width hold for all the trials that are asked (a union bound over trials)."""
    tuner, margins = configured(study.tuner), len(study.constraints)
    if tuner.certificate == "measured":
        return
    schedule = tuner.confidence.schedule
    if schedule not in ("constant", "logarithmic"):
        yield Finding(
            "beta",
            "fine",
            f"schedule {schedule}, delta {tuner.confidence.delta:g}; {first_beta(study, 1, 1):.3g} after one trial",
        )
        return
    n = study.trials * margins
    if schedule == "logarithmic":
        yield Finding("beta", "look at", "schedule logarithmic promises nothing")
        return
    wrong = min(n * NormalDist().cdf(-tuner.beta), 1.0)
    enough = -NormalDist().inv_cdf(DELTA / n)
    text = (
        f"{tuner.beta:g} for {study.trials} trials of {counted(margins, 'margin')}: if the prior is "
        f"right, some certified trial breaks a limit with a probability of at most {100 * wrong:.3g} %"
    )
    fine = wrong <= DELTA
    yield Finding(
        "beta", "fine" if fine else "look at", text if fine else f"{text}; {enough:.2f} makes it 5 %"
    )


def weak_beta(study: Study) -> str:
    """That the study's beta hardly certifies anything, for people; empty where it does or nothing is certified."""
    tuner = configured(study.tuner)
    rests = certifies(tuner.method) and tuner.certificate != "measured" and len(study.constraints) > 0
    if not rests or tuner.confidence.schedule != "constant" or tuner.beta >= LEAST_BETA:
        return ""
    wrong = 100 * NormalDist().cdf(-tuner.beta)
    return (
        f"tuner.beta {tuner.beta:g}: what is certified may break a limit with a probability of {wrong:.2g} % in every "
        "trial and for every margin, even where the priors are right (3 to 4 is usual)"
    )


def measured_findings(study: Study, measured: MeasuredSeed) -> Iterator[Finding]:
    """Whether priors and units fit what a seed showed."""
    functions = (study.objective, *study.constraints)
    for index, (spec, mean) in enumerate(zip(functions, measured.mean, strict=True)):
        if index == 0 and prefers(study):
            yield Finding(
                "objective", "fine", f"{spec.name} is a person's preference: nothing of it is measured"
            )
            continue
        topic = f"unit of {spec.name}"
        far = prior_distance(spec, mean)
        text = (
            f"the seed shows {_in_unit(spec, mean)}, {abs(far):,.3g} prior standard deviations "
            f"{'above' if far >= 0 else 'below'} the prior mean ({_in_unit(spec, spec.prior_mean)})"
        )
        warp = WarpMap(spec.warp, spec.name)
        if index == 0 and any(warp.clipped(row[0]) for row in measured.values):
            low, high = (_in_unit(spec, end) for end in warp.ends)
            yield Finding(
                topic,
                "look at",
                f"warp.clip cuts {spec.name} off at {low} and {high}, and the seed lies beyond, where all values look "
                "alike: widen objective.warp.clip",
            )
        if abs(far) <= UNUSUAL:
            yield Finding(topic, "fine", text)
        else:
            refused = impossible(far, objective=index == 0)
            fits = f"; prior_std {fitting_std(spec, mean):g} would fit"
            yield Finding(topic, "refused" if refused else "look at", text + fits)
        if len(measured.values) > 2:
            yield _noise(spec, [row[index] for row in measured.values])


def _noise(spec: FunctionSpec, values: Sequence[float]) -> Finding:
    shown = stdev(values)
    text = f"{len(values)} measurements of the seed vary by {shown:.2g}, noise_std is {spec.noise_std:g}"
    wide = shown > 3.0 * spec.noise_std
    return Finding(
        f"noise of {spec.name}",
        "look at" if wide else "fine",
        f"{text}: give at least {1.5 * shown:.2g}" if wide else text,
    )
