"""The surrogate of a list of observations, extended row by row where the list only grew.

The result is a pure function of the observations and their order: hyperparameters are those of the first
`k * refit_every` rows, the posterior is extended one row at a time. The cache only saves work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from safebo.problem import Observation
from safebo.study import Study
from safebo.surrogate import FunctionModel, Surrogate, fitted, function_models


class ModelCache:
    """Surrogates of one study.

    Args:
        study: whose surrogate section says how.
    """

    def __init__(self, study: Study) -> None:
        self.spec = study.surrogate
        self.declared = function_models(study)
        self._rows: list[Observation] = []
        self._models: tuple[FunctionModel, ...] = self.declared
        self._fitted_rows: list[int] = []
        self._surrogate = Surrogate.prior(self.declared)
        self._imagined: tuple[Surrogate, object, Surrogate] | None = None

    @property
    def models(self) -> tuple[FunctionModel, ...]:
        """Hyperparameters of the last surrogate."""
        return self._models

    def surrogate(self, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate of these observations, in this order."""
        ids = [row.trial for row in rows]
        fit_ids = self._fit_ids(ids)
        known = [row.trial for row in self._rows]
        if fit_ids != self._fitted_rows:
            self._models = self._fit(rows[: len(fit_ids)])
            self._fitted_rows = fit_ids
            known = []
        if ids[: len(known)] != known or not known:
            self._rows, self._surrogate = [], Surrogate.prior(self._models)
        for row in rows[len(self._rows) :]:
            self._surrogate = self._surrogate.observed(row.x, row.values)
            self._rows.append(row)
        return self._surrogate

    def imagined(self, surrogate: Surrogate, X: torch.Tensor, worst: torch.Tensor, value: float) -> Surrogate:
        """With points counted as visited at their means, and others as having that objective value."""
        if len(X) == 0 and len(worst) == 0:
            return surrogate
        key = (X.numpy().tobytes(), worst.numpy().tobytes(), value)
        if self._imagined is None or self._imagined[0] is not surrogate or self._imagined[1] != key:
            result = surrogate
            for x in worst:
                result = result.observed(x, (value, *([None] * (surrogate.functions - 1))))
            self._imagined = (surrogate, key, result.imagined(X))
        return self._imagined[2]

    def _fit_ids(self, ids: list[int]) -> list[int]:
        if self.spec.hyperparameters == "fixed":
            return []
        return ids[: len(ids) // self.spec.refit_every * self.spec.refit_every]

    def _fit(self, rows: Sequence[Observation]) -> tuple[FunctionModel, ...]:
        models = []
        for i, declared in enumerate(self.declared):
            seen = [(row.x, row.values[i]) for row in rows if row.values[i] is not None]
            if not seen:
                models.append(declared)
                continue
            X = torch.stack([x for x, _ in seen])
            y = torch.tensor([v for _, v in seen], dtype=torch.float64)
            models.append(fitted(declared, X, y))
        return tuple(models)
