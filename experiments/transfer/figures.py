"""What came of the gains in simulation: seed and tuned gains in every drawn robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safebo.evaluators.outcome import margin_of
from safebo.experiments.evidence.truth import truth
from safebo.study import Study
from safebo.types import Measurement


@dataclass(frozen=True)
class InDrawnRobots:
    """Gains walked once in every drawn robot.

    Args:
        context: name.
        what: which gains they are, for people.
        by_robot: what each robot showed, by name.
    """

    context: str
    what: str
    by_robot: Mapping[str, Measurement]

    def line(self, study: Study) -> str:
        """Objective and margins in one line."""
        values = [m.objective for m in self.by_robot.values() if m.objective is not None]
        fell = [name for name, m in self.by_robot.items() if m.fell]
        parts = [f"{self.what}: {study.objective.name}"]
        if values:
            parts[0] += (
                f" worst {min(values):.4g}, median {np.median(values):.4g} {study.objective.unit}".rstrip()
            )
        for name, margins in self.margins(study).items():
            worst = min(margins, key=lambda robot: margins[robot])
            unit = next(c.unit for c in study.constraints if c.name == name)
            parts.append(f"{name} at least {margins[worst]:.3g} {unit}".rstrip() + f" ({worst})")
            parts[-1] += ": NOT SAFE" if margins[worst] < 0 else ""
        if fell:
            parts.append(f"FELL in {', '.join(fell)}")
        return "; ".join(parts)

    def margins(self, study: Study) -> dict[str, dict[str, float]]:
        """Margins by constraint and robot."""
        found = {
            c.name: {robot: margin_of(m, c) for robot, m in self.by_robot.items()} for c in study.constraints
        }
        return {
            name: {robot: v for robot, v in by.items() if v is not None}
            for name, by in found.items()
            if any(v is not None for v in by.values())
        }


def in_drawn_robots(
    study: Study, tuned: Mapping[str, Mapping[str, Any]], number: int
) -> list[tuple[InDrawnRobots, InDrawnRobots]]:
    """Seed and tuned gains of every context that is tuned, in every drawn robot.

    Args:
        study: with the drawn robots as scenarios.
        tuned: gains by context.
        number: seed of the sensors' noise.
    """
    found = []
    for seed in study.seeds:
        walked = [
            m.scenarios
            for m in truth(study, seed.context, [seed.parameters, tuned[seed.context]], seed=number)
        ]
        first, second = (
            InDrawnRobots(seed.context, what, m) for what, m in zip(("seed", "tuned"), walked, strict=True)
        )
        found.append((first, second))
    return found


def smallest_at_seeds(
    study: Study, seeds: Sequence[InDrawnRobots], quantile: float
) -> dict[str, list[float]]:
    """By constraint the margins over drawn robots at the seed where their quantile is smallest."""
    rows = [seed.margins(study) for seed in seeds]
    return {
        c.name: min(
            (list(row[c.name].values()) for row in rows if c.name in row),
            key=lambda values: float(np.quantile(values, quantile)),
        )
        for c in study.constraints
    }
