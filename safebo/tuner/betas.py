"""How wide a tuner's intervals are: beta now and in the past, and the norms that it rests on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.confidence import disjoint
from safebo.models.function_model import FunctionModel
from safebo.models.growing import Observation
from safebo.models.norms import NormCheck, checked_norm
from safebo.models.surrogate import Surrogate
from safebo.models.trust import EVIDENCE_ROWS
from safebo.study.methods import NORM_SCHEDULES
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.history import History


class Betas:
    """The multipliers of standard deviations, by the study's schedule, for a surrogate of given observations.

    Args:
        encoding: functions and schedule of the study.
        history: the records; it may grow.
        declared: the functions' models as the study declares them.
    """

    def __init__(self, encoding: StudyEncoding, history: History, declared: Sequence[FunctionModel]) -> None:
        self.encoding, self.history, self.declared = encoding, history, declared
        self._norms: tuple[object, dict[str, NormCheck]] = (None, {})

    def now(self, surrogate: Surrogate, rows: Sequence[Observation]) -> Float[Tensor, " m"]:
        """The multiplier of every function's standard deviation now."""
        schedule, trials = self.encoding.schedule, len(self.history)
        beta = [
            surrogate.inflation * schedule.with_norm(self._norm(i, rows)).now(p, i, trials)
            for i, p in enumerate(surrogate.posteriors)
        ]
        return torch.tensor(beta, dtype=torch.float64)

    def past(self, surrogate: Surrogate, rows: Sequence[Observation]) -> list[Tensor] | None:
        """Every function's beta after 0, 1, ... of its observations, where intervals are intersected."""
        if not self.encoding.study.tuner.confidence.intersect:
            return None
        betas = self._histories(surrogate, rows)
        spec = self.encoding.study.surrogate
        if spec.trust == "earned" and spec.on_alarm != "record":
            for i in self.disjoint(surrogate, rows):  # the present interval alone
                betas[i] = torch.cat([torch.full_like(betas[i][:-1], torch.inf), betas[i][-1:]])
        return betas

    def _histories(self, surrogate: Surrogate, rows: Sequence[Observation]) -> list[Tensor]:
        """Every function's beta after 0, 1, ... of its observations."""
        schedule = self.encoding.schedule
        return [
            surrogate.inflation * schedule.with_norm(self._norm(i, rows)).history(p, i)
            for i, p in enumerate(surrogate.posteriors)
        ]

    def disjoint(self, surrogate: Surrogate, rows: Sequence[Observation]) -> tuple[int, ...]:
        """Constraints whose intervals of different times have nothing in common where they are intersected."""
        if not self.encoding.study.tuner.confidence.intersect:
            return ()
        betas = self._histories(surrogate, rows)
        return tuple(
            i for i, p in enumerate(surrogate.posteriors) if i > 0 and disjoint(p, betas[i], EVIDENCE_ROWS)
        )

    def norms(self, rows: Sequence[Observation]) -> dict[str, NormCheck]:
        """What the measurements say of every function's declared norm; empty for schedules of none."""
        schedule = self.encoding.schedule
        spec = schedule.spec
        if spec.schedule not in NORM_SCHEDULES:
            return {}
        told = tuple((row.trial, row.values) for row in rows)
        if self._norms[0] != told:
            found = {}
            for i, model in enumerate(self.declared):
                own = [r for r in rows if r.values[i] is not None and (not r.exact or r.exact[i])]
                X = torch.stack([r.x for r in own]) if own else torch.zeros(0, 0, dtype=torch.float64)
                residual = np.array([r.values[i] for r in own], dtype=np.float64) - model.mean
                noise = schedule.noise_std[i] if spec.noise_bound is None else spec.noise_bound
                share = spec.delta / len(self.declared)
                found[model.name] = checked_norm(model.kernel(), X, residual, noise, share, spec.norm)
            self._norms = (told, found)
        return self._norms[1]

    def _norm(self, function: int, rows: Sequence[Observation]) -> float | None:
        """The norm that takes the place of a function's refuted one; None for the declared one."""
        if self.encoding.study.surrogate.on_alarm not in ("pause", "caution"):
            return None
        found = self.norms(rows).get(self.encoding.names[function])
        return None if found is None or not found.refuted else found.enough
