"""GoSafeOpt's phases in one context: local steps, global steps, and the regions that global trials opened.

All of it is computed from the records; there is no state that could be lost or shared between runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from safebo.study import GlobalSpec
from safebo.tuner.encoding import StudyEncoding
from safebo.types import TrialRecord

MAX_REPEATS = 3
"""How often the safe but uncertified point of a new region is tried again so that it can be certified."""


@dataclass
class ExplorationRegion:
    """A part of the box that local phases explore: around the seeds, or around a safe global trial."""

    trials: list[int] = field(default_factory=list)
    local_steps: int = 0
    best: float | None = None

    def saw(self, value: float | None) -> None:
        """Keep the best objective measured in the region (warped scale)."""
        if value is not None and (self.best is None or value > self.best):
            self.best = value


@dataclass(frozen=True)
class ExplorationProgress:
    """Where the exploration of a context stands.

    Args:
        phase: of the next trial.
        steps: trials of that phase so far.
        regions: the seeds' region first, then one per safe global trial.
        current: index of the region in which local phases work.
    """

    phase: Literal["local", "global"]
    steps: int
    regions: tuple[ExplorationRegion, ...]
    current: int

    @property
    def region(self) -> ExplorationRegion:
        """The current region."""
        return self.regions[self.current]


def succeeded(record: TrialRecord, encoding: StudyEncoding) -> bool:
    """Whether a global trial ran to its end without a trigger and with every margin at least 0."""
    m = record.measurement
    return (
        record.trial.phase == "global"
        and m is not None
        and m.outcome == "completed"
        and not m.fell
        and not encoding.negative_margins(m)
    )


def progress(
    records: Sequence[TrialRecord], encoding: StudyEncoding, spec: GlobalSpec
) -> ExplorationProgress:
    """Follow the records of one context, in the order of their ids.

    Local phases last `local_steps` trials (a converged one ends earlier: its successor was recorded as
    global), global ones `global_steps` or until one is safe: a region opens there and a local phase starts
    in it. A region is left after `patience` local steps when the best objective measured in it is clearly
    worse than the best known: below `seed + tolerance * (best - seed)` on the warped scale, with `seed` the
    seeds' best.
    """
    regions = [ExplorationRegion()]
    current, steps = 0, 0
    phase: Literal["local", "global"] = "local"
    origins: dict[tuple[float, ...], int] = {}
    seeds = ExplorationRegion()
    for record in records:
        trial = record.trial
        objective = _objective(record, encoding)
        if trial.phase == "seed":
            regions[0].trials.append(trial.id)
            regions[0].saw(objective)
            seeds.saw(objective)
        elif trial.phase == "local":
            if phase == "global":
                phase, steps, current = "local", 0, best_region(regions)
            current = _stay_or_leave(regions, current, seeds.best, spec)
            regions[current].trials.append(trial.id)
            regions[current].local_steps += 1
            regions[current].saw(objective)
            steps += 1
        elif trial.phase == "global":
            if phase == "local":
                phase, steps = "global", 0
            steps += 1
            if succeeded(record, encoding):
                key = tuple(trial.parameters[name] for name in encoding.space.names)
                if key not in origins:
                    origins[key] = len(regions)
                    regions.append(ExplorationRegion())
                current = origins[key]
                regions[current].trials.append(trial.id)
                regions[current].saw(objective)
                phase, steps = "local", 0
    if phase == "local" and steps >= spec.local_steps:
        phase, steps = "global", 0
    elif phase == "global" and steps >= spec.global_steps:
        phase, steps, current = "local", 0, best_region(regions)
    if phase == "local":
        current = _stay_or_leave(regions, current, seeds.best, spec)
    return ExplorationProgress(phase, steps, tuple(regions), current)


def best_region(regions: Sequence[ExplorationRegion]) -> int:
    """The region with the best measured objective; the seeds' where nothing was measured."""
    values = [-float("inf") if region.best is None else region.best for region in regions]
    return max(range(len(regions)), key=lambda i: (values[i], -i))


def _stay_or_leave(
    regions: Sequence[ExplorationRegion], current: int, seed: float | None, spec: GlobalSpec
) -> int:
    best = best_region(regions)
    region, known = regions[current], regions[best].best
    if current == best or known is None or region.local_steps < spec.patience:
        return current
    start = known if seed is None else seed
    bar = start + spec.tolerance * (known - start)
    return best if region.best is None or region.best < bar else current


def _objective(record: TrialRecord, encoding: StudyEncoding) -> float | None:
    m = record.measurement
    if m is None or m.outcome != "completed" or m.objective is None or encoding.negative_margins(m):
        return None
    return float(encoding.warps[0].forward(m.objective))
