"""The models before this run's observations: declared priors, another run's trials where they are believed, and
hyperparameters that are fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from safebo.errors import StudyError
from safebo.models.correlations import KeptCorrelations, correlated_models
from safebo.models.function_model import FunctionModel, TaskPrior, function_models
from safebo.models.growing import Keys, Observation, keys_of, table_of
from safebo.models.hyperparameters import fitted, sampled
from safebo.models.multi_task import Contradiction, Pairing, contradiction, pairings, simulated
from safebo.models.prior_variants import PriorVariant
from safebo.models.surrogate import Surrogate
from safebo.study import Study
from safebo.study.tuner_checks import prior_data

Ensembles = tuple[tuple[FunctionModel, ...], ...]
"""Hyperparameters of every function: one model, or samples of it."""


@dataclass(frozen=True)
class PriorReport:
    """What became of another run's trials.

    Args:
        trials: how many of them are modelled.
        inflation: factor of beta now; 1 once they were dropped.
        observed: identifiers of this run's trials that are modelled, in their order.
        pairings: how far the two runs agree, by function; their rows are indices of `observed`.
        contradiction: why they were dropped; None while they are believed.
        correlations: what is believed of every function's, where it is earned; else empty.
    """

    trials: int
    inflation: float
    observed: tuple[int, ...]
    pairings: dict[str, Pairing]
    contradiction: Contradiction | None
    correlations: dict[str, KeptCorrelations] = field(default_factory=dict)

    @property
    def dropped_by(self) -> int | None:
        """The trial that was one contradiction too many; None while the prior is believed."""
        return None if self.contradiction is None else self.observed[self.contradiction.row]


class PriorModels:
    """What is assumed of every function before this run measured it.

    Args:
        study: whose surrogate section says how.
    """

    def __init__(self, study: Study) -> None:
        self.spec = study.surrogate
        self.prior_data = prior_data(study)
        self.declared = function_models(study)
        self.simulation: list[Observation] = []
        """Another run's observations, usually a simulation's, believed or not."""
        self._expected: Surrogate | None = None
        self._verdict: tuple[Keys, Contradiction | None] = ((), None)

    def take(self, rows: Sequence[Observation]) -> None:
        """Let another run's observations, usually a simulation's, inform every surrogate from now on.

        Raises:
            StudyError: the robot changes with time.
        """
        if self.spec.time is not None:
            raise StudyError(
                "surrogate.time is declared, and another run's trials have no place on this robot's operating time: "
                "leave out either the prior run or surrogate.time"
            )
        self.simulation, self._expected = list(rows), None
        self._verdict = ((), None)

    @property
    def earns_correlation(self) -> bool:
        """Whether another run's observations were taken whose correlation is not declared."""
        return bool(self.simulation) and self.prior_data.correlation == "earned"

    def contradiction(self, rows: Sequence[Observation]) -> Contradiction | None:
        """Why the simulation is not believed after these observations; None where it is, or there is none."""
        spec = self.prior_data
        if not self.simulation or spec.correlation == "earned" or not rows:
            return None
        # Those that do not observe the objective observe the constraints, so more rows than are checked may count.
        ids = keys_of(rows)
        if self._verdict[0] != ids:
            names = [model.name for model in self.declared]
            X, values, added = table_of(rows)
            plain = Surrogate.prior(self.declared)
            found = contradiction(
                self.expectation(), plain, names, X, values, spec.checked, spec.level, added
            )
            self._verdict = (ids, found)
        return self._verdict[1]

    def report(
        self, rows: Sequence[Observation], correlations: dict[str, KeptCorrelations]
    ) -> PriorReport | None:
        """What became of another run's trials; None where none were given.

        Args:
            rows: this run's observations.
            correlations: what they leave of every function's, by name, where it is earned.
        """
        if not self.simulation:
            return None
        found = self.contradiction(rows)
        names = [model.name for model in self.declared]
        X, values, _ = table_of(rows, len(self.declared[0].lengthscale))
        return PriorReport(
            len(self.simulation),
            self.inflation if found is None else 1.0,
            tuple(row.trial for row in rows),
            pairings(names, self.expectation(), X, values),
            found,
            correlations,
        )

    def expectation(self) -> Surrogate:
        """What the simulated trials alone let expect."""
        if self._expected is None:
            # Of the simulation's own function any correlation says the same.
            ensembles = self.fit([], True)
            if self.earns_correlation:
                ensembles = tuple(ensemble[:1] for ensemble in ensembles)
            self._expected = self.base(ensembles, True)
        return self._expected

    def variants_of(self, variant: PriorVariant, believed: bool) -> Ensembles:
        """The models of every function under another prior."""
        if believed and self.earns_correlation:
            return tuple(correlated_models(variant.of_model(m), self.prior_data) for m in self.declared)
        return tuple((variant.of_model(model),) for model in self._models(believed))

    def base(self, ensembles: Ensembles, believed: bool) -> Surrogate:
        """Before any observation of this run."""
        if not believed:
            return Surrogate.prior(ensembles)
        X, values, added = table_of(self.simulation)
        return Surrogate.prior(ensembles, self.inflation).conditioned(simulated(X), values, added)

    @property
    def inflation(self) -> float:
        """Factor of beta while the simulation is believed."""
        return self.prior_data.inflation or 1.0

    def fit_keys(self, ids: Keys) -> Keys:
        """The first of these observations, to which hyperparameters are fitted."""
        if self.spec.hyperparameters == "fixed":
            return ()
        return ids[: len(ids) // self.spec.refit_every * self.spec.refit_every]

    def fit(self, rows: Sequence[Observation], believed: bool) -> Ensembles:
        """Hyperparameters of every function from these rows, and from the simulation's where it is believed."""
        if believed and self.earns_correlation:
            return tuple(correlated_models(model, self.prior_data) for model in self.declared)
        spec, declared = self.spec, self._models(believed)
        X, values, added = table_of(rows, len(declared[0].lengthscale))
        if believed:
            S, more, theirs = table_of(self.simulation)
            X, values = torch.cat([simulated(S), torch.nn.functional.pad(X, (0, 1))]), more + values
            added = theirs + added
        if spec.hyperparameters == "fixed":
            return tuple((model,) for model in declared)
        ensembles: list[tuple[FunctionModel, ...]] = []
        for i, model in enumerate(declared):
            seen = [j for j, row in enumerate(values) if row[i] is not None]
            y = torch.tensor([values[j][i] for j in seen], dtype=torch.float64)
            noise = y.new_tensor([added[j][i] if added[j] else 0.0 for j in seen])
            if spec.hyperparameters == "map":
                ensembles.append((fitted(model, X[seen], y, noise),))
            else:
                ensembles.append(sampled(model, X[seen], y, spec.samples, added=noise))
        return tuple(ensembles)

    def _models(self, believed: bool) -> tuple[FunctionModel, ...]:
        """The declared priors, related to the simulation's where it is believed."""
        data = self.prior_data
        if not believed or not isinstance(data.correlation, float):
            return self.declared
        tasks = TaskPrior(data.correlation, data.std_ratio, data.discrepancy_lengthscale)
        return tuple(replace(model, tasks=tasks) for model in self.declared)
