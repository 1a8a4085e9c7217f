"""Whether a study is tuned in the same way wherever the bounds of a gain lie and however far they are apart.

    python -m safebo.experiments.robustness.ranges --trials 12

The same closed-form problem is tuned on [0, 1] and on ranges from 1e-12 to 1e12 wide, with offsets up to a million
times their width. Compared are phases, reasons' rules and coordinates of every trial. Ranges that hold fewer doubles
than coordinates are told apart by must be refused by the study's check.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from safebo.errors import SafeboError
from safebo.study import Study
from safebo.study.axis import PROPOSAL_STEPS
from safebo.study.reading import check_study
from safebo.tuner import Tuner
from safebo.types import Trial

SEED = 0.4
"""Where the safe seed lies between the bounds."""


@dataclass(frozen=True)
class Range:
    """Bounds of a gain, and the seed between them."""

    lower: float
    upper: float
    seed: float

    def unit(self, value: float) -> float:
        """A value's place between the bounds."""
        return (value - self.lower) / (self.upper - self.lower)


UNIT = Range(0.0, 1.0, SEED)


def ranges() -> list[Range]:
    """Two that once failed, and forty from 1e-12 to 1e12 wide, each with another offset."""
    found = [Range(16384.0, 16390.0, 16386.4), Range(20.0, 25.0, 22.0)]
    offsets = (0.0, -0.4, 1.0, -37.0, 1024.0, -2.5e4, 1e6, 0.3)
    for index in range(40):
        width = float(f"{10 ** (-12 + 24 * index / 39):.3g}")
        lower = float(f"{offsets[index % len(offsets)] * width:.6g}")
        found.append(Range(lower, lower + width, lower + SEED * width))
    return found


def too_narrow() -> list[Range]:
    """Ranges that hold fewer than a thousand million doubles."""
    corners = (
        (1.0, 1.0 + 1e-9),
        (1e6, 1e6 + 1e-2),
        (-1e12, -1e12 + 1e4),
        (1e30 - 1e20, 1e30),
        (1e-30, 1.0000001e-30),
    )
    return [Range(low, high, low + SEED * (high - low)) for low, high in corners]


def study_on(where: Range, method: str = "safe_ucb") -> Study:
    """One gain in a range and one in [0, 1], one margin."""
    return Study.model_validate(
        {
            "name": "ranges",
            "evaluator": {"name": "closed-form"},
            "parameters": [
                {"name": "a", "bounds": (where.lower, where.upper)},
                {"name": "b", "bounds": (0.0, 1.0)},
            ],
            "objective": {"name": "reward", "prior_mean": -0.5, "prior_std": 0.6, "noise_std": 0.02},
            "constraints": [{"name": "margin", "prior_mean": -0.3, "prior_std": 0.5, "noise_std": 0.02}],
            "seeds": [{"parameters": {"a": where.seed, "b": 0.4}}],
            "surrogate": {"lengthscale": 0.35},
            "tuner": {
                "method": method,
                "beta": 3.0,
                "search": {"swarm_size": 40, "swarm_iterations": 8, "restarts": 3},
            },
        }
    )


def tuned(where: Range, trials: int, method: str = "safe_ucb") -> list[tuple[Trial, float]]:
    """Trials and the first gain's coordinates."""
    tuner = Tuner(study_on(where, method), seed=1)
    found = []
    for _ in range(trials):
        trial = tuner.ask()
        # To a step of proposals, as that is what may differ between ranges.
        a, b = (
            round(v * PROPOSAL_STEPS) / PROPOSAL_STEPS
            for v in (where.unit(trial.parameters["a"]), trial.parameters["b"])
        )
        reward = -2.0 * (a - 0.7) ** 2 - 1.5 * (b - 0.55) ** 2
        margin = 0.45 - 2.2 * (a - 0.42) ** 2 - 2.0 * (b - 0.45) ** 2
        tuner.tell(trial, {"objective": reward, "margins": {"margin": margin}})
        found.append((trial, where.unit(trial.parameters["a"])))
    return found


def difference(
    expected: Sequence[tuple[Trial, float]], where: Range, trials: int, method: str = "safe_ucb"
) -> float:
    """Largest difference of a coordinate from those on [0, 1]; infinite where trials differ in kind."""
    found = tuned(where, trials, method)
    kinds: list[list[Any]] = [
        [(t.phase, t.certified, t.reason.partition(":")[0]) for t, _ in run] for run in (expected, found)
    ]
    if kinds[0] != kinds[1]:
        return math.inf
    second = [
        abs(t.parameters["b"] - s.parameters["b"]) for (t, _), (s, _) in zip(expected, found, strict=True)
    ]
    return max([abs(a - b) for (_, a), (_, b) in zip(expected, found, strict=True)] + second)


def refusal(where: Range) -> str:
    """What the study's check says of a range; empty where it says nothing."""
    try:
        check_study(study_on(where))
    except SafeboError as error:
        return " ".join(str(error).split())
    return ""


def main() -> int:
    """Print a line for every range; 1 where one differs by more than a step of proposals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--method", default="safe_ucb")
    options = parser.parse_args()
    expected = tuned(UNIT, options.trials, options.method)
    worst = 0.0
    for where in ranges():
        found = difference(expected, where, options.trials, options.method)
        worst = max(worst, found)
        print(f"[{where.lower!r}, {where.upper!r}]: {found:.1e}", flush=True)
    print(
        f"largest difference over {len(ranges())} ranges and {options.trials} trials: {worst:.1e} of the range"
    )
    accepted = [where for where in too_narrow() if not refusal(where)]
    for where in too_narrow():
        print(f"[{where.lower!r}, {where.upper!r}]: {refusal(where) or 'ACCEPTED'}")
    return int(worst > 1.0 / PROPOSAL_STEPS or bool(accepted))


if __name__ == "__main__":
    raise SystemExit(main())
