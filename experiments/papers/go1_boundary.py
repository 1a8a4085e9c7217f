"""How the boundary condition of `safebo.experiments.papers.go1` does on gains that nobody chose by their outcome.

    python -m safebo.experiments.papers.go1_boundary --gains 100 --backups 15

walks gains near the initial ones, whose states become backup states, then every corner of the box and random gains,
each unwatched and watched. What counts: no watched walk violates, and many of the gains that are safe unwatched go to
their end.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer

from safebo.boundary.monitor import BoundaryMonitor
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.papers.claims import grid
from safebo.experiments.papers.go1 import trot_then_crawl
from safebo.experiments.papers.runs import command
from safebo.experiments.tasks.task import FloatArray
from safebo.study import Study
from safebo.tuner.backups import Backup, backup_of, boundary_monitor
from safebo.tuner.encoding import StudyEncoding
from safebo.types import Evaluator, Measurement, Phase, Trial, TrialRecord

NEAR = 0.12
"""Largest difference of a backup's gains from the initial ones, per coordinate of the unit cube."""


class Walks:
    """Walks of one study in one gait.

    Args:
        study: the study.
        gait: name of the context.
    """

    def __init__(self, study: Study, gait: str) -> None:
        self.study, self.gait, self.encoding = study, gait, StudyEncoding(study)
        self.evaluator: Evaluator = EvaluatorSource(study).make()

    def walk(
        self, point: FloatArray, seed: int, phase: Phase, monitor: BoundaryMonitor | None = None
    ) -> TrialRecord:
        """One walk with gains of the unit cube, `d`."""
        gains = dict(
            zip(self.encoding.space.names, self.encoding.space.from_unit(point).tolist(), strict=True)
        )
        values = self.study.context.values[self.gait]
        trial = Trial(1, gains, values, self.gait, phase, seed, monitor is None)
        return TrialRecord(trial, self.evaluator.evaluate(trial, monitor))

    def monitor(self, count: int, rng: np.random.Generator) -> BoundaryMonitor:
        """The boundary condition of the initial gains and `count - 1` near them, those of them that are backups."""
        return self.boundary(self.certified(count, rng))

    def certified(self, count: int, rng: np.random.Generator) -> list[tuple[Backup, float]]:
        """Backups of the initial gains and `count - 1` near them, with lower bounds of at least 0."""
        start = self.study.seeds[0].parameters
        middle = self.encoding.space.to_unit(self.encoding.space.vector(start))
        steps = NEAR * (2.0 * rng.random((count, len(middle))) - 1.0)
        steps[0] = 0.0
        records = [self.walk(np.clip(middle + s, 0.0, 1.0), i, "local") for i, s in enumerate(steps)]
        found = [(backup_of(record, self.encoding), record.measurement) for record in records]
        bounded = [(b, self._lower(m)) for b, m in found if b is not None and m is not None]
        return [(b, lower) for b, lower in bounded if lower >= 0]

    def boundary(self, certified: Sequence[tuple[Backup, float]]) -> BoundaryMonitor:
        """The boundary condition of some backups and their lower bounds."""
        lower = np.array([lower for _, lower in certified])
        return boundary_monitor([b for b, _ in certified], lower, self.study.tuner.backup)

    def _lower(self, measurement: Measurement) -> float:
        """Of a tried point: its measured margin, warped, less beta standard deviations of the noise."""
        spec, warp = self.study.constraints[0], self.encoding.warps[1]
        margin = float(warp.forward(measurement.margins[spec.quantity])) - warp.threshold()
        return margin - self.study.tuner.beta * spec.noise_std

    def safe(self, record: TrialRecord) -> bool:
        """Whether the walk was truly safe."""
        m = record.measurement
        assert m is not None
        assert m.true_margins is not None
        return not m.fell and m.true_margins[self.study.constraints[0].quantity] >= 0.0


def counted(walks: Walks, points: FloatArray, monitor: BoundaryMonitor) -> Counter[str]:
    """What became of gains, `n x d` in the unit cube, unwatched and watched."""
    found: Counter[str] = Counter()
    for seed, point in enumerate(points, 1000):
        safe = walks.safe(walks.walk(point, seed, "local"))
        watched = walks.walk(point, seed, "global", monitor)
        assert watched.measurement is not None
        ended = watched.measurement.outcome == "completed"
        found["gains"] += 1
        found["safe"] += safe
        found["let through"] += safe and ended
        found["caught"] += not safe and not ended and walks.safe(watched)
        found["violated"] += not walks.safe(watched)
    return found


def main(
    gains: Annotated[int, typer.Option(min=1, help="random gains of each gait")] = 100,
    backups: Annotated[int, typer.Option(min=1, help="walks near the initial gains")] = 15,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Walk and print a table."""
    study = trot_then_crawl()
    d = len(study.parameters)
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=d)))
    rows = []
    for gait in (phase.context for phase in study.context.schedule):
        rng = np.random.default_rng(seed)
        walks = Walks(study, gait)
        monitor = walks.monitor(backups, rng)
        for name, points in (("corners", corners), ("random", rng.random((gains, d)))):
            c = counted(walks, points, monitor)
            unsafe = c["gains"] - c["safe"]
            rows.append(
                [
                    gait,
                    name,
                    str(c["gains"]),
                    str(unsafe),
                    f"{c['caught']} of {unsafe}",
                    f"{c['let through']} of {c['safe']}",
                    str(c["violated"]),
                ]
            )
    heading = "gait, gains, number, unsafe, caught in time, safe ones let through, violations watched"
    print(grid(heading.split(", "), rows))


if __name__ == "__main__":
    command(main)
