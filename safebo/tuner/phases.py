"""GoSafeOpt's phases in one context: local steps, global steps, and the regions that global trials opened.

All of it is computed from the records; there is no state that could be lost or shared between runs.

A safe global trial opens a region. Its point may not be certified yet, as one good measurement may be luck: then it is
repeated, watched as before, until it is certified or given up. It is given up when

- a repeat fell, was aborted, or had to be ended by the monitor;
- its measurements together speak against it: the mean of a margin is negative, so that it is more likely unsafe than
  safe (under a flat prior, whatever the noise);
- it was tried `1 + MAX_REPEATS` times, whatever came of them, and is still not certified.

A region whose point is given up is left and never entered again; the global phase that opened it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from safebo.study import GlobalSpec
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.opened import speaks_for, succeeded
from safebo.types import TrialRecord

MAX_REPEATS = 3
"""How often the safe but uncertified point of a new region is tried again so that it can be certified, whatever comes
of it: failed, pending and unsafe repeats count."""


@dataclass
class ExplorationRegion:
    """A part of the box that local phases explore: around the seeds, or around a safe global trial.

    Args:
        trials: made in it, repeats of its point included.
        local_steps: how many of them were local ones.
        best: objective measured in it, warped.
        given_up: its point could not be certified.
    """

    trials: list[int] = field(default_factory=list)
    local_steps: int = 0
    best: float | None = None
    given_up: bool = False

    @property
    def waits(self) -> bool:
        """Whether its point may still have to be repeated: no local trial was made in it yet."""
        return not self.local_steps and not self.given_up

    @property
    def exhausted(self) -> bool:
        """Whether its point was tried as often as it may be, and no local trial was made in it yet."""
        return self.waits and len(self.trials) > MAX_REPEATS

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
        left: the region that was given up because of the last record; None otherwise.
    """

    phase: Literal["local", "global"]
    steps: int
    regions: tuple[ExplorationRegion, ...]
    current: int
    left: ExplorationRegion | None = None

    @property
    def region(self) -> ExplorationRegion:
        """The current region."""
        return self.regions[self.current]


def progress(
    records: Sequence[TrialRecord], encoding: StudyEncoding, spec: GlobalSpec
) -> ExplorationProgress:
    """Follow the records of one context, in the order of their ids.

    Local phases last `local_steps` trials (a converged one ends earlier: its successor was recorded as
    global), global ones `global_steps` or until one is safe: a region opens there and a local phase starts
    in it. Repeats of a region's point before its first local step count towards neither phase; a global trial
    elsewhere after all of them says that the point was not certified by then, and gives the region up.
    A region is left after `patience` local steps when the best objective measured in it is clearly
    worse than the best known: below `seed + tolerance * (best - seed)` on the warped scale, with `seed` the
    seeds' best.
    """
    regions = [ExplorationRegion()]
    current, steps, spent = 0, 0, 0  # `spent`: steps of the global phase that opened the last region
    phase: Literal["local", "global"] = "local"
    origins: dict[tuple[float, ...], int] = {}
    tried: dict[tuple[float, ...], list[TrialRecord]] = {}
    seeds = ExplorationRegion()
    left: ExplorationRegion | None = None
    for record in records:
        trial = record.trial
        objective = _objective(record, encoding)
        key = tuple(trial.parameters[name] for name in encoding.space.names)
        here = tried.setdefault(key, [])
        here.append(record)
        origin = regions[origins[key]] if key in origins else None
        if not record.pending:
            left = None
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
        elif trial.phase == "global" and origin is not None and origin.waits:
            current, phase, steps = origins[key], "local", 0
            origin.trials.append(trial.id)
            origin.saw(objective)
        elif trial.phase == "global":
            if phase == "local":
                phase, steps = "global", 0
                if current > 0 and regions[current].exhausted:
                    regions[current].given_up, steps = True, spent
                    current = best_region(regions)
            steps += 1
            if succeeded(record, encoding) and speaks_for(here, encoding):
                if key not in origins:
                    origins[key] = len(regions)
                    regions.append(ExplorationRegion())
                if not regions[origins[key]].given_up:
                    current = origins[key]
                    regions[current].trials.append(trial.id)
                    regions[current].saw(objective)
                    phase, steps, spent = "local", 0, steps
        if origin is not None and origin.waits and not record.pending and not speaks_for(here, encoding):
            origin.given_up, left = True, origin
            if regions[current] is origin:
                phase, steps, current = "global", spent, best_region(regions)
    if phase == "local" and steps >= spec.local_steps:
        phase, steps = "global", 0
    elif phase == "global" and steps >= spec.global_steps:
        phase, steps, current = "local", 0, best_region(regions)
    if phase == "local":
        current = _stay_or_leave(regions, current, seeds.best, spec)
    return ExplorationProgress(phase, steps, tuple(regions), current, left)


def best_region(regions: Sequence[ExplorationRegion]) -> int:
    """The region with the best measured objective; the seeds' where nothing was measured, and never one given up."""
    values = [-float("inf") if region.best is None or region.given_up else region.best for region in regions]
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
