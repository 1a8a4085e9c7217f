"""How often a declared norm is refuted: when it is right, and when it is a third of the truth.

    python -m safebo.experiments.evidence.norms

Functions of known norm: finite sums of the kernel at random places, an objective and a constraint, over a grid of two
gains. Each is tuned with the schedule of real-beta SafeOpt (`fiedler2024`) from one safe seed, told the true norm or a
third of it. Prints how many runs refute the declaration, and of those that break their constraint how many refuted it
before the first trial that did.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from safebo.boundary.kernels import radial_kernel
from safebo.errors import EmptySafeSetError
from safebo.experiments.evidence.truth import process_pool
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement

FloatArray = NDArray[np.float64]

KERNEL, LENGTHSCALE, NORM = "rbf", 0.3, 6.0
NOISE, REGULARISATION = 1e-3, 0.02
"""Standard deviation of the noise, and the surrogate's: where noise is as large as that, beta consists of it and hardly
of the norm, and too small a norm breaks nothing."""

GRID, CENTRES = 21, 10
SEED_MARGIN = 0.5


@dataclass(frozen=True)
class NormOutcome:
    """Of one run: the trial after which the declaration was refuted, and the first that broke the constraint."""

    refuted: int | None
    violated: int | None


class DrawnFunction:
    """A function `sum_j a_j k(x, c_j)` of a given norm on the unit square.

    Args:
        norm: its norm in the kernel's space.
        rng: of places and weights.
    """

    def __init__(self, norm: float, rng: np.random.Generator) -> None:
        self.centres = rng.random((CENTRES, 2))
        weights = rng.standard_normal(CENTRES)
        self.weights = weights * norm / np.sqrt(weights @ self._kernel(self.centres) @ weights)

    def _kernel(self, x: FloatArray) -> FloatArray:
        distance = np.linalg.norm(x[:, None] - self.centres[None], axis=-1) / LENGTHSCALE
        values: FloatArray = radial_kernel(KERNEL).correlation(distance, np)
        return values

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values at rows of x, `n`."""
        return self._kernel(x) @ self.weights


def norm_study(seed: FloatArray, declared: float, method: str) -> Study:
    """The study of one problem."""
    function = {"prior_mean": 0.0, "prior_std": 1.0, "noise_std": REGULARISATION}
    return Study.model_validate(
        {
            "name": "norm",
            "evaluator": {"name": "drawn"},
            "parameters": [{"name": n, "bounds": [0.0, 1.0]} for n in "ab"],
            "objective": {"name": "reward", **function},
            "constraints": [{"name": "margin", **function}],
            "seeds": [{"parameters": {"a": float(seed[0]), "b": float(seed[1])}}],
            "surrogate": {"kernel": KERNEL, "lengthscale": LENGTHSCALE},
            "tuner": {
                "method": method,
                "confidence": {"schedule": "fiedler2024", "norm": declared, "noise_bound": NOISE},
                "search": {"domain": "grid", "grid_points": GRID},
            },
        }
    )


def solve(number: int, share: float, trials: int, method: str) -> NormOutcome:
    """One problem with a declared share of the true norm."""
    rng = np.random.default_rng(number)
    axis = np.linspace(0.0, 1.0, GRID)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    functions = (DrawnFunction(NORM, rng), DrawnFunction(NORM, rng))
    while (values := functions[1](grid)).max() < SEED_MARGIN:
        functions = (functions[0], DrawnFunction(NORM, rng))
    start = grid[rng.choice(np.flatnonzero(values >= SEED_MARGIN))]
    tuner = Tuner(norm_study(start, share * NORM, method), 0)
    refuted, violated = None, None
    for i in range(1, trials + 1):
        try:
            trial = tuner.ask()
        except EmptySafeSetError:
            break  # the seed's margin is too small for this beta
        at = np.array([[trial.parameters["a"], trial.parameters["b"]]])
        truth = [float(f(at)[0]) for f in functions]
        if truth[1] < 0 and violated is None:
            violated = i
        seen = [value + NOISE * rng.standard_normal() for value in truth]
        tuner.tell(trial, Measurement("completed", objective=seen[0], margins={"margin": seen[1]}))
        if refuted is None and any(check.refuted for check in tuner.norms().values()):
            refuted = i
    return NormOutcome(refuted, violated)


def main(
    problems: Annotated[int, typer.Option(min=1)] = 200,
    trials: Annotated[int, typer.Option(min=1)] = 20,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Run both declarations with both methods and print the table."""
    print(f"{problems} functions, {trials} trials each, delta 0.05")
    print(f"{'method':10} {'declared':>9}  refuted  violating runs  refuted before the first violation")
    with process_pool(workers) as pool:
        for method in ("safe_ucb", "safeopt"):
            for share in (1.0, 1.0 / 3.0):
                found = list(pool.map(solve, range(problems), repeat(share), repeat(trials), repeat(method)))
                broken = [o for o in found if o.violated is not None]
                before = sum(
                    o.refuted is not None and o.violated is not None and o.refuted < o.violated
                    for o in broken
                )
                refuted = sum(o.refuted is not None for o in found)
                print(f"{method:10} {share:9.2f}  {refuted:7d}  {len(broken):14d}  {before:10d}", flush=True)


if __name__ == "__main__":
    typer.run(main)
