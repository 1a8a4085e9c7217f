"""The surrogate of a list of observations, extended row by row where the list only grew.

The result is a pure function of the observations and their order: hyperparameters are those of the first
`k * refit_every` rows (and of the simulation's, where it is believed), those rows are conditioned on at once, every
later one up to `ONE_BY_ONE` by itself, and those after it in blocks (`stops`). The cache only saves work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.errors import StudyError
from safebo.models.condensed import PivotMemo, condensed
from safebo.models.function_model import FunctionModel, TaskPrior, function_models
from safebo.models.hyperparameters import fitted, sampled
from safebo.models.multi_task import (
    Contradiction,
    Pairing,
    contradiction,
    pairings,
    simulated,
)
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate
from safebo.models.trust import (
    DECLARED,
    EVIDENCE_ROWS,
    FunctionTrust,
    PriorVariant,
    TrustRule,
    at_time,
    composed,
    judged,
    log_predictive,
    trust_rule,
)
from safebo.study import Study

Ensembles = tuple[tuple[FunctionModel, ...], ...]
"""Hyperparameters of every function: one model, or samples of it."""

Keys = tuple[tuple[int, tuple[float | None, ...], tuple[bool, ...], tuple[float, ...]], ...]
"""Which observations: trials with their values, which later trials of the same gains change, whether exact, and their
added noise."""

ONE_BY_ONE = 300
"""Rows up to this one are conditioned on one by one. One more row copies the whole factor, `O(n^2)`: a restored run of
thousands would copy for minutes, so that later rows come in blocks whose ends depend on their number alone."""

EXACT_SEARCH = 300
"""Observations, a prior run's included, up to which searches look at the exact surrogate: evaluating it at one point is
`O(n^2)`, and a search does so thousands of times."""

LARGE_BLOCK, SMALL_BLOCK = 100, 10

Table = tuple[Tensor, list[tuple[float | None, ...]], list[tuple[float, ...]]]
"""Inputs, values and added noise, row by row."""


@dataclass(frozen=True)
class Observation:
    """One row of the surrogate's data: inputs in the unit cube and warped values, None where not observed."""

    trial: int
    x: Float[Tensor, " D"]
    values: tuple[float | None, ...]
    exact: tuple[bool, ...] = ()
    """Which values are measurements with Gaussian noise: not those of a fall, nor clipped ones. Empty where all are."""
    noise: tuple[float, ...] = ()
    """Variance of each value's noise beyond the function's own. Empty where none has more."""


@dataclass(frozen=True)
class PriorReport:
    """What became of another run's trials.

    Args:
        trials: how many of them are modelled.
        inflation: factor of beta now; 1 once they were dropped.
        observed: identifiers of this run's trials that are modelled, in their order.
        pairings: how far the two runs agree, by function; their rows are indices of `observed`.
        contradiction: why they were dropped; None while they are believed.
    """

    trials: int
    inflation: float
    observed: tuple[int, ...]
    pairings: dict[str, Pairing]
    contradiction: Contradiction | None

    @property
    def dropped_by(self) -> int | None:
        """The trial that was one contradiction too many; None while the prior is believed."""
        return None if self.contradiction is None else self.observed[self.contradiction.row]


class ModelCache:
    """Surrogates of one study.

    Args:
        study: whose surrogate section says how.
    """

    def __init__(self, study: Study) -> None:
        self.spec = study.surrogate
        self.declared = function_models(study)
        self._simulation: list[Observation] = []
        self._expected: Surrogate | None = None
        self._verdict: tuple[Keys, Contradiction | None] = ((), None)
        # What hyperparameters depend on: the rows they were fitted to, and whether the simulation is believed.
        self._state: tuple[Keys, bool] | None = None
        self._ensembles: Ensembles = tuple((model,) for model in self.declared)
        self._declared: _GrowingSurrogate | None = None
        self.rule = trust_rule(study)
        # Constraints, and the objective where its evidence counts for them.
        self._compared = range(0 if self.spec.common_scale else 1, len(self.declared))
        self._variants: dict[PriorVariant, _GrowingSurrogate] = {}
        self._weighed: tuple[object, Keys, tuple[FunctionTrust, ...]] = (None, (), ())
        self._trust: tuple[FunctionTrust, ...] = ()
        self._stricter: Surrogate | None = None
        self._composed: tuple[Surrogate, Surrogate] | None = None
        self._fantasized: tuple[Surrogate, object, Tensor, Surrogate] | None = None
        self._condensed: tuple[Surrogate, Surrogate] | None = None
        self._pivots = PivotMemo()

    @property
    def models(self) -> tuple[FunctionModel, ...]:
        """Hyperparameters of the last surrogate, function by function; of samples all."""
        return tuple(model for ensemble in self._ensembles for model in ensemble)

    def take_prior(self, rows: Sequence[Observation]) -> None:
        """Let another run's observations, usually a simulation's, inform every surrogate from now on.

        Raises:
            StudyError: when the study does not say how (`surrogate.prior_data`).
        """
        if self.spec.prior_data is None:
            raise StudyError(
                "surrogate.prior_data is missing: another run's trials are given as a prior, and the study does not "
                "say how far they are to be believed (keys: correlation, std_ratio, discrepancy_lengthscale, "
                "inflation, checked, level)"
            )
        self._simulation, self._expected, self._state = list(rows), None, None
        self._verdict = ((), None)

    @property
    def has_prior_run(self) -> bool:
        """Whether another run's observations were taken, believed or not."""
        return bool(self._simulation)

    def contradiction(self, rows: Sequence[Observation]) -> Contradiction | None:
        """Why the simulation is not believed after these observations; None where it is, or there is none."""
        spec = self.spec.prior_data
        if not self._simulation or spec is None or not rows:
            return None
        # Those that do not observe the objective observe the constraints, so more rows than are checked may count.
        ids = _keys(rows)
        if self._verdict[0] != ids:
            names = [model.name for model in self.declared]
            X, values, added = _table(rows)
            plain = Surrogate.prior(self.declared)
            found = contradiction(
                self._expectation(), plain, names, X, values, spec.checked, spec.level, added
            )
            self._verdict = (ids, found)
        return self._verdict[1]

    def report(self, rows: Sequence[Observation]) -> PriorReport | None:
        """What became of another run's trials; None where none were given."""
        if not self._simulation or self.spec.prior_data is None:
            return None
        found = self.contradiction(rows)
        names = [model.name for model in self.declared]
        X, values, _ = _table(rows, len(self.declared[0].lengthscale))
        return PriorReport(
            len(self._simulation),
            self.spec.prior_data.inflation if found is None else 1.0,
            tuple(row.trial for row in rows),
            pairings(names, self._expectation(), X, values),
            found,
        )

    def _expectation(self) -> Surrogate:
        """What the simulated trials alone let expect."""
        if self._expected is None:
            self._expected = self._base(self._fit([], True), True)
        return self._expected

    def surrogate(self, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate of these observations, in this order; of earned priors with those that certify now."""
        keys = _keys(rows)
        believed = bool(self._simulation) and self.contradiction(rows) is None
        state = self._fit_keys(keys), believed
        if self._declared is None or state != self._state:
            if self._state is None or believed != self._state[1]:
                self._variants = {}
            self._ensembles, self._state = self._fit(rows[: len(state[0])], believed), state
            base = self._base(self._ensembles, believed)
            self._declared = _GrowingSurrogate(base, len(state[0]), range(len(self.declared)))
        found = self._declared.of(keys, rows)
        return found if self.rule is None else self._earned(found, keys, rows)

    def trust(self, rows: Sequence[Observation]) -> dict[str, FunctionTrust]:
        """What is believed of every constraint, by name; empty where priors are declared."""
        if self.rule is None:
            return {}
        self.surrogate(rows)
        return dict(zip([model.name for model in self.declared[1:]], self._trust, strict=True))

    def stricter(self, rows: Sequence[Observation]) -> Surrogate | None:
        """A further surrogate that must certify as well: the alternatives that raised an alarm, and earned priors where
        the hyperparameters of the first are fitted; None without one.
        """
        self.surrogate(rows)
        return self._stricter

    def _earned(self, found: Surrogate, keys: Keys, rows: Sequence[Observation]) -> Surrogate:
        """A surrogate whose constraints have the priors that certify now."""
        assert self.rule is not None
        if self._composed is not None and self._composed[0] is found:
            return self._composed[1]
        self._trust = self._judged(self.rule, keys, rows)
        result, self._stricter = composed(
            found,
            dict(enumerate(self._trust, start=1)),
            lambda variant, i: self._posterior(variant, i, keys, rows),
            fitted=self.spec.hyperparameters != "fixed",
        )
        self._composed = (found, result)
        return result

    def _judged(self, rule: TrustRule, keys: Keys, rows: Sequence[Observation]) -> tuple[FunctionTrust, ...]:
        """What the first observations say of every constraint's prior."""
        keys, rows = keys[:EVIDENCE_ROWS], rows[:EVIDENCE_ROWS]
        if self._weighed[:2] == (self._state, keys):
            return self._weighed[2]
        predictive, counted = [], []
        for i in self._compared:
            own = [not row.exact or row.exact[i] for row in rows if row.values[i] is not None]
            posteriors = {v: self._posterior(v, i, keys, rows) for v in rule.variants}
            # A simulation's rows come first; they are part of the prior.
            predictive.append({v: log_predictive(p, p.count - len(own)) for v, p in posteriors.items()})
            counted.append(torch.tensor(own, dtype=torch.bool))
        found = judged(rule, predictive, counted)[-len(self.declared) + 1 :]
        self._weighed = (self._state, keys, found)
        return found

    def _posterior(
        self, variant: PriorVariant, function: int, keys: Keys, rows: Sequence[Observation]
    ) -> Posterior:
        """One function's posterior under another prior than the declared one."""
        if variant not in self._variants:
            # A simulation does not drift with the robot's trials: what drifts is judged without it.
            believed = self._state is not None and self._state[1] and not variant.drifts
            models = [variant.of_model(model) for model in self._models(believed)]
            prior = self._base(tuple((model,) for model in models), believed)
            if variant.drifts:
                prior = Surrogate([variant.drifting(p) for p in prior.posteriors])
            self._variants[variant] = _GrowingSurrogate(prior, 0, self._compared, variant)
        found = self._variants[variant].of(keys, rows).posteriors[self._compared.index(function)]
        return at_time(found, keys[-1][0] + 1 if keys else 0)

    def condensed(self, surrogate: Surrogate) -> Surrogate:
        """What a search looks at instead of a surrogate: itself up to `EXACT_SEARCH` observations."""
        if max(p.count for p in surrogate.posteriors) <= EXACT_SEARCH:
            return surrogate
        if self._condensed is None or self._condensed[0] is not surrogate:
            self._condensed = (surrogate, condensed(surrogate, memo=self._pivots))
        return self._condensed[1]

    def fantasized(self, surrogate: Surrogate, X: Tensor, worst: Tensor, value: float) -> Surrogate:
        """With points counted as visited at their means, and others as having that objective value."""
        if len(X) == 0 and len(worst) == 0:
            return surrogate
        before = (worst.numpy().tobytes(), value)
        known = self._fantasized
        if known is None or known[0] is not surrogate or known[1] != before or not _begins(X, known[2]):
            base = surrogate
            for x in worst:
                base = base.observed(x, (value, *([None] * (surrogate.functions - 1))))
            known = (surrogate, before, X[:0], base)
        # Trials that failed stay visited for good: only the new ones are added, with the same result bit for bit.
        new = X[len(known[2]) :]
        result = known[3].fantasized(new) if len(new) else known[3]
        self._fantasized = (surrogate, before, X, result)
        return result

    def _base(self, ensembles: Ensembles, believed: bool) -> Surrogate:
        """Before any observation of this run."""
        spec = self.spec.prior_data
        if not believed or spec is None:
            return Surrogate.prior(ensembles)
        X, values, added = _table(self._simulation)
        return Surrogate.prior(ensembles, spec.inflation).conditioned(simulated(X), values, added)

    def _fit_keys(self, ids: Keys) -> Keys:
        if self.spec.hyperparameters == "fixed":
            return ()
        return ids[: len(ids) // self.spec.refit_every * self.spec.refit_every]

    def _fit(self, rows: Sequence[Observation], believed: bool) -> Ensembles:
        """Hyperparameters of every function from these rows, and from the simulation's where it is believed."""
        spec, declared = self.spec, self._models(believed)
        X, values, added = _table(rows, len(declared[0].lengthscale))
        if believed and spec.prior_data is not None:
            S, more, theirs = _table(self._simulation)
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
        data = self.spec.prior_data
        if not believed or data is None:
            return self.declared
        tasks = TaskPrior(data.correlation, data.std_ratio, data.discrepancy_lengthscale)
        return tuple(replace(model, tasks=tasks) for model in self.declared)


class _GrowingSurrogate:
    """One surrogate of rows that mostly grow, extended from the last one.

    Args:
        base: before any of the rows.
        first: so many rows are conditioned on at once.
        functions: which of a row's values its posteriors are of.
        variant: of the prior; it says whether rows have a time.
    """

    def __init__(
        self, base: Surrogate, first: int, functions: range, variant: PriorVariant = DECLARED
    ) -> None:
        self.base, self.first, self.variant = base, first, variant
        self.functions = slice(functions.start, functions.stop)
        self._posteriors = Surrogate(base.posteriors[self.functions], base.inflation)
        self._keys: Keys = ()
        self._kept: dict[
            int, Surrogate
        ] = {}  # by the number of rows that they know, the first ones of `_keys`

    def of(self, keys: Keys, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate of these rows, in this order."""
        first, base = self.first, self._posteriors
        self._kept = {n: s for n, s in self._kept.items() if keys[:n] == self._keys[:n]}
        self._keys = keys
        if first not in self._kept:
            self._kept[first] = base.conditioned(*self._table(rows[:first])) if first else base
        path = stops(first, len(rows))
        known = max(n for n in path if n in self._kept)
        surrogate = self._kept[known]
        # Longer lists start from the present one, or from the last stop that all of them have.
        anchor = max(n for n in path if n == first or n <= ONE_BY_ONE or n % LARGE_BLOCK == 0)
        for n, end in pairwise(path[path.index(known) :]):
            block = rows[n:end]
            if len(block) == 1:
                x = self.variant.timed(block[0].x, block[0].trial)
                row = block[0]
                surrogate = surrogate.observed(x, row.values[self.functions], row.noise[self.functions])
            else:
                surrogate = surrogate.conditioned(*self._table(block))
            if end == anchor:
                self._kept[anchor] = surrogate
        self._kept = {n: s for n, s in self._kept.items() if n == anchor} | {len(rows): surrogate}
        return surrogate

    def _table(self, rows: Sequence[Observation]) -> Table:
        values = [row.values[self.functions] for row in rows]
        added = [row.noise[self.functions] for row in rows]
        if not rows:
            return torch.zeros(0, self.base.posteriors[0].inputs.shape[1], dtype=torch.float64), values, added
        return torch.stack([self.variant.timed(row.x, row.trial) for row in rows]), values, added


def _begins(X: Tensor, first: Tensor) -> bool:
    """Whether the first rows of X are these, bit for bit."""
    return len(first) <= len(X) and torch.equal(X[: len(first)], first)


def stops(first: int, count: int) -> list[int]:
    """The numbers of rows between which a surrogate of `count` rows is extended, from `first` to `count`.

    Up to `ONE_BY_ONE` every number; then every full large block, the small blocks that follow it at once, and the rest
    one by one.
    """
    path = list(range(first, min(count, ONE_BY_ONE) + 1)) or [first]
    path += range((path[-1] // LARGE_BLOCK + 1) * LARGE_BLOCK, count + 1, LARGE_BLOCK)
    small = count // SMALL_BLOCK * SMALL_BLOCK
    path += [small] if small > path[-1] else []
    return path + list(range(path[-1] + 1, count + 1))


def _keys(rows: Sequence[Observation]) -> Keys:
    return tuple((row.trial, row.values, row.exact, row.noise) for row in rows)


def _table(rows: Sequence[Observation], dimension: int = 0) -> Table:
    """Inputs, values and added noise; `dimension` is that of no rows."""
    values, added = [row.values for row in rows], [row.noise for row in rows]
    if not rows:
        return torch.zeros(0, dimension, dtype=torch.float64), values, added
    return torch.stack([row.x for row in rows]), values, added
