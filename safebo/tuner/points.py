"""Parameters of trials as points: in their own units, in the unit cube, and whether they may be proposed."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.history import History
from safebo.types import Trial

OUTSIDE = 1e-9
"""Beyond the unit cube; so much is rounding."""


class TrialPoints:
    """The points of one tuner's trials.

    Args:
        encoding: of the study.
        history: the records; it may grow.
    """

    def __init__(self, encoding: StudyEncoding, history: History) -> None:
        self.encoding, self.history = encoding, history
        self._raw: dict[int, tuple[Trial, NDArray[np.float64]]] = {}
        self._inside: dict[int, tuple[NDArray[np.float64], bool]] = {}

    def raw(self, trial: Trial) -> NDArray[np.float64]:
        """A trial's parameters as a row (`d`) in their own units."""
        known = self._raw.get(trial.id)
        if known is None or known[0] is not trial:
            known = self._raw[trial.id] = (trial, self.encoding.space.vector(trial.parameters, within=False))
        return known[1]

    def inside(self, trial: Trial) -> bool:
        """Whether a trial's parameters may be proposed: those of an earlier run may lie outside of the bounds."""
        row = self.raw(trial)
        known = self._inside.get(trial.id)
        if known is None or known[0] is not row:
            unit = self.encoding.space.to_unit(row)
            within = (unit >= -OUTSIDE).all() and (unit <= 1 + OUTSIDE).all()
            known = self._inside[trial.id] = (row, bool(within and self.encoding.space.keep([row])[0]))
        return known[1]

    def known(self, modelled: bool = False) -> Float[Tensor, "n d"]:
        """Parameters of every told trial of every context, in the unit cube, in the order of the ids.

        Args:
            modelled: only of those that the surrogate has learned from.
        """
        unmodelled = ("failed", "backup") if modelled else ()
        rows = [
            self.raw(r.trial)
            for r in self.history
            if r.measurement is not None and r.measurement.outcome not in unmodelled and self.inside(r.trial)
        ]
        if not rows:
            return torch.zeros(0, self.encoding.space.dimension, dtype=torch.float64)
        return self.encoding.unit(np.stack(rows))
