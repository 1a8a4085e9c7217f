"""A first study from a few measurements around a seed: where its noise, scales and lengthscales come from.

The seed is measured `REPEATS` times, then once at a step of at most `STEP` of the range of every parameter. With the
seed's mean value y of a function, the standard deviation of its repeats and the slopes g_i per whole range:

- noise: so few repeats often show far too little of it by chance, so half of its variance is that of the function's own
  repeats and half what all functions have on average, relative to their prior_std; times `NOISE_FACTOR`;
- a parameter is searched on a logarithmic scale where nothing else was said and its bounds, above 0, lie `DECADE` times
  apart or more: what a gain does goes by its ratio there;
- a margin's prior mean is its limit, so that what was never tried is expected neither safe nor unsafe, and its
  prior_std puts the seed `SEED_STDS` of them above the limit; or half of the change that a user states, where
  that is more;
- the objective's prior mean is the seed's value, its prior_std what the slopes make over half of the range,
  noise included. It is clipped a prior_std under the seed: one spike of a cost, told whole, bends what is
  predicted of all gains nearby;
- a parameter's lengthscale is that with which a function of the margin's scale has ordinarily the slope that was
  measured, `sqrt(3) prior_std / |g_i|` for Matern 3/2, between `SHORTEST` and `LONGEST` of the range. A flat place
  near the seed proves nothing, so `LONGEST` bounds what it may claim. Where the steepest slope asks for less than
  `SHORTEST`, the scale grows instead. A parameter that was not stepped along gets the shortest of the others', at most
  `UNKNOWN`;
- beta is at least `BETA`, and large enough that of a right prior some certified trial breaks a limit with a probability
  of at most `DELTA` (a union bound over trials and margins).

A slope of a margin is shrunk by the share of noise in it: to `P / (P + N)` of what was measured, with the variance P
that slopes of a function of that scale and lengthscale `LONGEST` have, and N that noise gives it. Loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from safebo.study import Study
from safebo.study.space import Space

REPEATS = 3
STEP = 0.02
"""Of a range, the most that a step changes a parameter."""
DECADE = 10.0
NOISE_FACTOR = 1.5
LEAST_NOISE = 0.01
"""Of a function's scale: repeats that agree to the last digit are no proof of a function without noise."""
SEED_STDS = 1.5
SHORTEST, LONGEST, UNKNOWN = 0.1, 0.4, 0.3
BETA, OPTIMISM = 3.0, (1.5, 0.7)
DELTA = 0.05
LEAST_STD = 1e-20
"""Of the objective: what changes by less does not change."""
CLIP = 4.0
"""Prior standard deviations at which values are cut off, so that a fall is no outlier of hundreds of them."""


@dataclass(frozen=True)
class Shown:
    """One measured trial: gains by name, objective, margins by name."""

    parameters: Mapping[str, Any]
    objective: float
    margins: Mapping[str, float]


@dataclass(frozen=True)
class FunctionBelief:
    """What was concluded of one function, in its own unit, and from what.

    Args:
        mean: of the seed's measurements.
        shown: standard deviation of the repeats.
        noise: of one measurement, as concluded.
        slopes: change over the whole range of every parameter, by name; those that were stepped along.
        std: prior standard deviation.
        why: one sentence for the study file.
    """

    mean: float
    shown: float
    noise: float
    slopes: Mapping[str, float]
    std: float
    why: str


@dataclass(frozen=True)
class Beliefs:
    """What the first trials say: of the objective, of every margin, and each parameter's lengthscale."""

    objective: FunctionBelief
    margins: Mapping[str, FunctionBelief]
    lengthscales: Mapping[str, float]


def beta_for(trials: int, margins: int) -> float:
    """Beta of a study of so many trials and margins, to one decimal."""
    enough = -NormalDist().inv_cdf(DELTA / (trials * max(margins, 1)))
    return max(BETA, math.ceil(10.0 * enough) / 10.0)


def with_scale(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    """A parameter, by the keys of a study file, with the scale on which it is searched where none was said."""
    match dict(parameter):
        case {"scale": _} | {"type": _} | {"period": _}:
            return parameter
        case {"bounds": [int() | float() as low, int() | float() as high]} if (
            low > 0 and high >= DECADE * low
        ):
            return {**parameter, "scale": "log"}
    return parameter


def step_length(margins: Mapping[str, float], changes: Mapping[str, float]) -> float:
    """Length of a step, of the range: at most `STEP`, and no stated change may take half of any margin in it."""
    stated = [
        0.5 * margins[name] / change for name, change in changes.items() if change > 0 and name in margins
    ]
    return min([STEP, *stated])


def stepped(space: Space, seed: np.ndarray, index: int, length: float) -> dict[str, Any] | None:
    """The seed (a row) with one parameter a step further, to the side with more room; None where none is so short."""
    axis, columns = space.axes[index], space.columns[index]
    unit = space.to_unit(seed)[columns]
    if axis.choices:
        return None
    here = float(unit[0])
    there = here + (length if here <= 0.5 else -length)
    value = axis.proposal(there, float(axis.from_unit(there)))
    moved = abs(float(axis.to_unit(value)) - here)
    row = seed.copy()
    row[index] = value
    if not 0 < moved <= 1.01 * length or not space.keep(row[None])[0]:
        return None
    return space.named(row)


def beliefs(study: Study, seen: Sequence[Shown], changes: Mapping[str, float]) -> Beliefs:
    """What the first trials say.

    Args:
        study: any study with the parameters, the seed and the names of the functions.
        seen: repeats of the seed, then steps of one parameter each.
        changes: by margin, how much it usually changes over the box, in its unit, as the user says.
    """
    space = Space.of_parameters(study)
    seed = space.vector(study.seeds[0].parameters)
    rows = [space.vector(trial.parameters) for trial in seen]
    repeats = [t for t, row in zip(seen, rows, strict=True) if np.array_equal(row, seed)]
    steps: dict[str, tuple[float, Shown]] = {}
    for trial, row in zip(seen, rows, strict=True):
        moved = [i for i in range(len(seed)) if row[i] != seed[i]]
        if len(moved) == 1:
            axis, columns = space.axes[moved[0]], space.columns[moved[0]]
            units = [float(space.to_unit(r)[columns][0]) for r in (seed, row)]
            steps[axis.name] = (units[1] - units[0], trial)
    margins = {}
    lengthscales = dict.fromkeys(steps, LONGEST)
    told = {c.name: _local([t.margins[c.name] for t in repeats], c.name, steps) for c in study.constraints}
    for name, (mean, shown, raw) in told.items():
        std, why = max(
            (mean / SEED_STDS, f"the seed's margin over {SEED_STDS:g}"),
            (0.5 * changes.get(name, 0.0), "half of the change that was stated"),
            (5.0 * shown, "five times what the repeats vary by"),
        )
        slopes = _shrunk(raw, std, NOISE_FACTOR * shown, steps)
        steepest = max(slopes.values(), default=0.0) * SHORTEST / math.sqrt(3.0)
        std, why = max((std, why), (steepest, "what the steepest slope asks for"))
        margins[name] = FunctionBelief(mean, shown, shown, slopes, std, why)
        for parameter, slope in slopes.items():
            if slope > 0:
                fitting = math.sqrt(3.0) * std / slope
                lengthscales[parameter] = max(min(lengthscales[parameter], fitting), SHORTEST)
    others = min([UNKNOWN, *lengthscales.values()])
    lengthscales = {name: lengthscales.get(name, others) for name in space.names}
    mean, shown, slopes = _local([t.objective for t in repeats], None, steps)
    std, why = max(
        (
            math.sqrt(sum((0.5 * slope) ** 2 for slope in slopes.values())),
            "what the slopes make of half the range",
        ),
        (5.0 * shown, "five times what the repeats vary by"),
        (1e-3 * abs(mean), "a guess, a thousandth of the mean: no step changed it by more. Correct it"),
    )
    if std < LEAST_STD:
        std, why = 1.0, "a guess: it was 0 at all of these gains. Correct it"
    objective = FunctionBelief(mean, shown, shown, slopes, std, why)
    common = float(np.mean([(b.shown / b.std) ** 2 for b in (objective, *margins.values())]))
    return Beliefs(
        _with_noise(objective, common),
        {name: _with_noise(belief, common) for name, belief in margins.items()},
        lengthscales,
    )


def _with_noise(belief: FunctionBelief, common: float) -> FunctionBelief:
    """With the noise that is concluded from its own repeats and the common relative variance."""
    noise = NOISE_FACTOR * math.sqrt(0.5 * (belief.shown**2 + common * belief.std**2))
    return replace(belief, noise=max(noise, LEAST_NOISE * belief.std))


def _local(
    repeats: Sequence[float], margin: str | None, steps: Mapping[str, tuple[float, Shown]]
) -> tuple[float, float, dict[str, float]]:
    """Mean and standard deviation of the seed's values, sizes of the slopes; `margin` None: of the objective."""
    mean = float(np.mean(repeats))
    shown = float(np.std(repeats, ddof=1)) if len(repeats) > 1 else 0.0
    there = {p: (d, t.objective if margin is None else t.margins[margin]) for p, (d, t) in steps.items()}
    return mean, shown, {p: abs((value - mean) / distance) for p, (distance, value) in there.items()}


def _shrunk(
    slopes: Mapping[str, float], std: float, noise: float, steps: Mapping[str, tuple[float, Shown]]
) -> dict[str, float]:
    """Slopes less the share that noise has in them."""
    expected = 3.0 * (std / LONGEST) ** 2
    by_noise = {name: noise**2 * (1.0 + 1.0 / REPEATS) / steps[name][0] ** 2 for name in slopes}
    return {
        name: slope * expected / (expected + by_noise[name]) if slope > 0 else 0.0
        for name, slope in slopes.items()
    }
