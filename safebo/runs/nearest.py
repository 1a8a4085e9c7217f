"""How far a proposal is from what was tried: the first thing that a person beside a robot wants to know of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from safebo.study import Study
from safebo.study.space import Space
from safebo.types import Trial, TrialRecord


@dataclass(frozen=True)
class Nearest:
    """The trial whose gains are nearest to a proposal.

    Args:
        trial: its number.
        parameter: the gain that changes most.
        share: by how much, of its range (on its scale); 1 for another choice.
    """

    trial: int
    parameter: str
    share: float

    def __str__(self) -> str:
        if self.share == 0.0:
            return f"the gains of trial {self.trial}"
        percent = f"{100.0 * self.share:.2g} %"
        return f"trial {self.trial}; {self.parameter} changes most from there, by {percent} of its range"


def nearest_tried(study: Study, trial: Trial, records: Iterable[TrialRecord]) -> Nearest | None:
    """The trial that walked in the same context whose largest change to the proposal is smallest.

    Args:
        study: both are of.
        trial: the proposal.
        records: of the run.

    Returns:
        It, the latest one of several; None before the first.
    """
    space = Space.of_parameters(study)
    here = space.to_unit(space.vector(trial.parameters, within=False))
    found: Nearest | None = None
    for record in records:
        other, measurement = record.trial, record.measurement
        if measurement is None or measurement.outcome == "failed" or other.context_name != trial.context_name:
            continue  # what was skipped never walked
        apart = np.abs(space.to_unit(space.vector(other.parameters, within=False)) - here)
        shares = [float(apart[columns].max()) for columns in space.columns]
        most = int(np.argmax(shares))
        if found is None or shares[most] <= found.share:
            found = Nearest(other.id, space.names[most], shares[most])
    return found
