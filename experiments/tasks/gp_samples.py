"""Tasks whose functions are drawn from a prior: the method's own, or one that it wrongly believes in."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from safebo.errors import InputError
from safebo.experiments.tasks.features import best_safe_value, feature_functions
from safebo.experiments.tasks.sampled import SampledFunctions, sample_functions
from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, Functions, KernelSpec, Noise, Task


@dataclass(frozen=True)
class Belief:
    """How what a method is told differs from how the functions and the noise were drawn.

    Args:
        name: part of the task's name.
        lengthscale_factor: told lengthscale over true one.
        noise_factor: told standard deviation of the noise over true one.
        degrees_of_freedom: of the noise's Student distribution (its standard deviation stays), infinite for
            normal noise.
        scale_factor: told standard deviation of the prior over true one.
        outliers, slope: of the noise, see `safebo.experiments.tasks.task.Noise`.
        cliff: how far the constraint falls, in a fifth of a lengthscale, at 0.3 from the seed along the first input.
        drift: how far the constraint sinks in a run.
    """

    name: str
    lengthscale_factor: float = 1.0
    noise_factor: float = 1.0
    degrees_of_freedom: float = float("inf")
    scale_factor: float = 1.0
    outliers: float = 0.0
    slope: float = 0.0
    cliff: float = 0.0
    drift: float = 0.0


BELIEFS = {
    belief.name: belief
    for belief in (
        Belief("right"),
        Belief("long", lengthscale_factor=2.0),
        Belief("quiet", noise_factor=1.0 / 3.0),
        Belief("tails", degrees_of_freedom=2.5),
        Belief("longer", lengthscale_factor=1.5),
        Belief("short", lengthscale_factor=0.5),
        Belief("scale", scale_factor=0.5),
        Belief("uneven", slope=0.8),
        Belief("outliers", outliers=0.03),
        Belief("cliff", cliff=2.0),
        Belief("drift", drift=1.0),
    )
}
"""The prior is right; its lengthscale is twice too long; its noise three times too low; the noise has tails; the
lengthscale is 1.5 times too long, or half of the true one; the scale is half of the true one; the noise differs over
the box by a factor of nine, or has 3 % outliers; the constraint falls off a cliff, or sinks by a standard deviation."""

THRESHOLD = 0.25
"""Of the constraint, in prior standard deviations: with the seed's margin, about half of the box is safe."""

SEED_MARGIN = 1.0
"""The constraint at the seed is at least one prior standard deviation above its threshold."""

_LATTICE = {1: (150,), 2: (30, 30)}
_LENGTHSCALE = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.35, 6: 0.5, 10: 0.7}

DIMENSIONS = tuple(_LENGTHSCALE)
"""Numbers of inputs that functions are drawn in; from three on in a box."""


def calibrated_beta(trials: int, delta: float) -> float:
    """The multiplier with which at most a share `delta` of runs under the right prior has any violation.

    Given the data, a point whose lower bound is beta standard deviations below its mean violates one
    constraint with probability `Phi(-beta)` at most, however it was chosen: `trials Phi(-beta) = delta`.
    """
    return float(norm.isf(delta / trials))


def gp_sample(
    dimension: int,
    seed: int,
    belief: Belief = BELIEFS["right"],
    noise_std: float = 0.1,
    trials: int = 100,
    delta: float = 0.05,
    beta: float | None = None,
) -> Task:
    """Objective and constraint drawn from unit-variance priors on the unit interval (150 points) or square (900).

    Lengthscale 0.1 or 0.2. The safe seed is a point of the grid drawn at random; the functions are drawn again
    until the constraint exceeds its threshold by `SEED_MARGIN` there.

    From three inputs on the unit cube is a box, the lengthscale grows (0.3, 0.35, 0.5, 0.7 in 3, 4, 6, 10 inputs), the
    functions are drawn by random features (`safebo.experiments.tasks.features` says how nearly) and the
    optimum is the best that a search with many starts finds.

    Args:
        dimension: one of `DIMENSIONS`.
        seed: of the functions and the seed point.
        belief: what the method is told wrongly.
        noise_std: true standard deviation of the noise of both functions.
        trials: length of a run.
        delta: share of runs with any violation that the default `beta` stands for.
        beta: another multiplier of the standard deviation.

    Raises:
        InputError: another number of inputs.
    """
    if dimension not in _LENGTHSCALE:
        raise InputError(f"dimension must be one of {DIMENSIONS}, got {dimension}")
    lattice, lengthscale = _LATTICE.get(dimension), _LENGTHSCALE[dimension]
    name = f"gp-{dimension}d-{belief.name}-{seed}"
    bounds = np.array([[0.0] * dimension, [1.0] * dimension])
    rng = np.random.default_rng([zlib.crc32(b"gp_sample"), dimension, seed])
    functions: Functions
    optimum: float | None = None
    if lattice is None:
        start = rng.random((1, dimension))
        functions, optimum = _draw_in_cube(dimension, lengthscale, start, rng)
    else:
        start = np.array([rng.choice(np.linspace(0.0, 1.0, count)) for count in lattice])[None]
        functions = _draw(bounds, lengthscale, 1.0, 2, start, THRESHOLD + SEED_MARGIN, rng)
    if belief.cliff:
        functions = _over_cliff(functions, start, belief.cliff, 0.2 * lengthscale)
    kernel = KernelSpec("rbf", lengthscale * belief.lengthscale_factor, belief.scale_factor**2)
    told_beta = calibrated_beta(trials, delta) if beta is None else beta
    return Task(
        name=name,
        functions=functions,
        bounds=bounds,
        kernels=(kernel, kernel),
        prior_means=(0.0, 0.0),
        noise_std=(noise_std * belief.noise_factor,) * 2,
        noise=Noise((noise_std, noise_std), belief.degrees_of_freedom, belief.outliers, belief.slope),
        beta=(told_beta, told_beta),
        thresholds=(UNCONSTRAINED, THRESHOLD),
        start=lambda seed: start,
        trials=trials,
        lattice=lattice,
        known_optimum=optimum,
        drift=belief.drift,
    )


def _over_cliff(functions: Functions, start: FloatArray, depth: float, width: float) -> Functions:
    """The functions, the last of which falls off a cliff on the side of the start that has more room."""
    x0 = float(start[0, 0])
    side = 1.0 if x0 <= 0.5 else -1.0

    def fallen(x: FloatArray) -> FloatArray:
        values = functions(x).copy()
        beyond = (side * (x[:, 0] - x0) - 0.3) / width
        values[:, -1] -= depth / (1.0 + np.exp(-np.clip(10.0 * beyond, -60.0, 60.0)))
        return values

    return fallen


def safeopt_example(dimension: int, seed: int) -> Task:
    """SafeOpt's published examples: one drawn function, to be maximised and kept at or above 0.

    1,000 points of [-10, 10] or 100 x 100 of [-5, 5]^2, squared-exponential kernel of variance 2 and
    lengthscale 1, noise 0.05, beta 2, `min_width` 0.2, seed in the middle, where the function exceeds 0.5.

    Source: the 1-D and 2-D example notebooks of befelix/SafeOpt.

    Raises:
        InputError: another number of inputs.
    """
    if dimension not in (1, 2):
        raise InputError(f"dimension must be 1 or 2, got {dimension}")
    half, lattice = (10.0, (1000,)) if dimension == 1 else (5.0, (100, 100))
    bounds = np.array([[-half] * dimension, [half] * dimension])
    start = np.zeros((1, dimension))
    rng = np.random.default_rng([zlib.crc32(b"safeopt_example"), dimension, seed])
    return Task(
        name=f"safeopt-{dimension}d-{seed}",
        functions=_draw(bounds, 1.0, 2.0, 1, start, 0.5, rng),
        bounds=bounds,
        kernels=(KernelSpec("rbf", 1.0, 2.0),),
        prior_means=(0.0,),
        noise_std=(0.05,),
        beta=(2.0,),
        thresholds=(0.0,),
        start=lambda seed: start,
        trials=100,
        lattice=lattice,
        min_width=0.2,
    )


def _draw(
    bounds: FloatArray,
    lengthscale: float,
    variance: float,
    count: int,
    start: FloatArray,
    least: float,
    rng: np.random.Generator,
) -> SampledFunctions:
    """Functions whose last one is at least `least` at the start; all are drawn anew until it is."""
    while True:
        functions = sample_functions(bounds, lengthscale, variance, count, rng)
        if functions(start)[0, -1] >= least:
            return functions


def _draw_in_cube(
    dimension: int, lengthscale: float, start: FloatArray, rng: np.random.Generator
) -> tuple[Functions, float]:
    """Objective and constraint whose seed has its margin, and the best safe objective."""
    while True:
        functions = feature_functions(dimension, lengthscale, 2, rng)
        if functions(start)[0, 1] >= THRESHOLD + SEED_MARGIN:
            return functions, best_safe_value(functions, dimension, THRESHOLD)
