"""The surrogate of a list of observations, extended row by row where the list only grew.

The result is a pure function of the observations and their order: hyperparameters are those of the first
`k * refit_every` rows (and of the simulation's, where it is believed), those rows are conditioned on at once, every
later one up to `ONE_BY_ONE` by itself, and those after it in blocks (`stops`). The cache only saves work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.correlations import (
    EVERYTHING,
    GRID,
    CorrelatedPosterior,
    KeptCorrelations,
    kept_correlations,
)
from safebo.models.discrimination import Rivals
from safebo.models.function_model import FunctionModel
from safebo.models.growing import GrowingSurrogate, Keys, Observation, exact, keys_of, observed
from safebo.models.mixture import MixturePosterior
from safebo.models.outliers import disbelief
from safebo.models.posterior import Posterior
from safebo.models.predictive_densities import PredictiveDensities, weighed
from safebo.models.prior_models import Ensembles, PriorModels, PriorReport
from safebo.models.prior_variants import DECLARED, PriorVariant, at_time
from safebo.models.student_noise import student_noises
from safebo.models.surrogate import Surrogate
from safebo.models.trust import (
    EVIDENCE_ROWS,
    FunctionTrust,
    TrustRule,
    composed,
    judged,
    trust_rule,
)
from safebo.study import Study

OUTLIER = 3.0
"""Times its declared noise with which a measurement counts at least that is called an outlier."""


class ModelCache:
    """Surrogates of one study.

    Args:
        study: whose surrogate section says how.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.spec = study, study.surrogate
        self.prior = PriorModels(study)
        self.declared = self.prior.declared
        self.now = 0.0
        """Operating time, in seconds, that is asked about; for `surrogate.time`."""
        self._at_now: tuple[Surrogate, float, Surrogate] | None = None
        self._noises = student_noises([m.noise_degrees for m in self.declared], len(self.declared))
        # What hyperparameters depend on: the rows they were fitted to, and whether the simulation is believed.
        self._fit: tuple[Keys, bool] | None = None
        self._ensembles: Ensembles = tuple((model,) for model in self.declared)
        self._declared: GrowingSurrogate | None = None
        self.rule = trust_rule(study)
        # Constraints, and the objective where its evidence counts for them.
        self._compared = range(0 if self.spec.common_scale else 1, len(self.declared))
        self._variants: dict[PriorVariant, GrowingSurrogate] = {}
        self._weighed: tuple[object, Keys, tuple[FunctionTrust, ...]] = (None, (), ())
        self._densities = PredictiveDensities(self.prior, self._noises)
        self._reweighted: tuple[Surrogate, Surrogate] | None = None
        self._correlated: tuple[Surrogate, Surrogate] | None = None
        self._trust: tuple[FunctionTrust, ...] = ()
        self._stricter: Surrogate | None = None
        self._composed: tuple[Surrogate, Surrogate] | None = None

    @property
    def models(self) -> tuple[FunctionModel, ...]:
        """Hyperparameters of the last surrogate, function by function; of samples all."""
        return tuple(model for ensemble in self._ensembles for model in ensemble)

    def take_prior(self, rows: Sequence[Observation]) -> None:
        """Let another run's observations, usually a simulation's, inform every surrogate from now on.

        Raises:
            StudyError: the robot changes with time.
        """
        self.prior.take(rows)
        self._fit = None
        # Half of what is left to promotions; the other half is the correlations'.
        self.rule = trust_rule(self.study, 0.5 if self.prior.earns_correlation else 1.0)

    @property
    def correlation_evidence(self) -> float:
        """K: a correlation is refuted by so many times likelier measurements of one constraint.

        As with promotions (`TrustRule.of`), all together are wrong with probability delta / 2, or with half of that
        where there are promotions as well.
        """
        shares = 1.0 if self.rule is None else 2.0
        return 2.0 * shares * max(1, len(self.declared) - 1) / self.study.tuner.confidence.delta

    def report(self, rows: Sequence[Observation]) -> PriorReport | None:
        """What became of another run's trials; None where none were given."""
        return self.prior.report(rows, self.correlations(rows))

    def correlations(self, rows: Sequence[Observation]) -> dict[str, KeptCorrelations]:
        """What is believed of every function's correlation with the simulation, by name, under the prior that
        certifies; empty where it is declared.
        """
        if not self.prior.earns_correlation:
            return {}
        found = self.surrogate(rows).posteriors
        return {
            model.name: p.found if isinstance(p, CorrelatedPosterior) else EVERYTHING
            for model, p in zip(self.declared, found, strict=True)
        }

    def surrogate(self, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate of these observations, in this order; of earned priors with those that certify now."""
        keys = keys_of(rows)
        believed = bool(self.prior.simulation) and self.prior.contradiction(rows) is None
        fit = self.prior.fit_keys(keys), believed
        if self._declared is None or fit != self._fit:
            if self._fit is None or believed != self._fit[1]:
                self._variants = {}
            self._ensembles, self._fit = self.prior.fit(rows[: len(fit[0])], believed), fit
            base = self.prior.base(self._ensembles, believed)
            self._declared = GrowingSurrogate(base, len(fit[0]), range(len(self.declared)))
        found = self._present(self._declared.of(keys, rows))
        if self.prior.earns_correlation:
            found = self._by_evidence(found, keys, rows)
        if any(self._noises):
            found = self._with_outliers(found, rows)
        return found if self.rule is None else self._earned(found, keys, rows)

    def _with_outliers(self, found: Surrogate, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate in which measurements with Student noise that do not fit the others count with more of it."""
        if self._reweighted is None or self._reweighted[0] is not found:
            posteriors = [self._with_noise(p, i, rows) for i, p in enumerate(found.posteriors)]
            self._reweighted = (found, Surrogate(posteriors, found.inflation))
        return self._reweighted[1]

    def _with_noise(self, p: Posterior, function: int, rows: Sequence[Observation]) -> Posterior:
        """One function's posterior of its measurements' own noise."""
        noise = self._noises[function]
        if noise is None:
            return p
        measured = torch.tensor(observed(function, rows), dtype=torch.float64)
        return noise.robust(p, measured, exact(function, rows))

    def _by_evidence(self, found: Surrogate, keys: Keys, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate whose correlations with the simulation count as far as the measurements speak for them."""
        if self._correlated is None or self._correlated[0] is not found:
            posteriors = [self._weighted(p, DECLARED, i, keys, rows) for i, p in enumerate(found.posteriors)]
            self._correlated = (found, Surrogate(posteriors, found.inflation))
        return self._correlated[1]

    def _weighted(
        self, p: Posterior, variant: PriorVariant, function: int, keys: Keys, rows: Sequence[Observation]
    ) -> Posterior:
        """One function's posterior by what the measurements leave of its correlations; as it is without them."""
        if not isinstance(p, MixturePosterior) or not self.prior.earns_correlation:
            return p
        density = self._densities.of(self._fit, variant, function, keys, rows, lambda: p)
        density = torch.where(weighed(function, rows), density, 0.0)
        return CorrelatedPosterior(p.components, kept_correlations(density, self.correlation_evidence))

    def _present(self, found: Surrogate) -> Surrogate:
        """A surrogate that is asked about `now`, where functions drift."""
        if self.spec.time is None:
            return found
        if self._at_now is None or self._at_now[0] is not found or self._at_now[1] != self.now:
            present = Surrogate([at_time(p, self.now) for p in found.posteriors], found.inflation)
            self._at_now = (found, self.now, present)
        return self._at_now[2]

    def trust(self, rows: Sequence[Observation]) -> dict[str, FunctionTrust]:
        """What is believed of every constraint, by name; empty where priors are declared."""
        if self.rule is None:
            return {}
        self.surrogate(rows)
        return dict(zip([model.name for model in self.declared[1:]], self._trust, strict=True))

    def rivals(self, rows: Sequence[Observation]) -> Rivals:
        """Posteriors between which the evidence has not decided yet; none once it weighs no more rows."""
        if self.rule is None or len(rows) >= EVIDENCE_ROWS:
            return ()
        keys, trust = keys_of(rows), dict(enumerate(self.trust(rows).values(), start=1))
        return self.rule.rivals(trust, lambda variant, i: self._posterior(variant, i, keys, rows))

    def declared_surrogate(self, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate of these observations under the priors as they are declared, or fitted, whatever was earned."""
        found = self.surrogate(rows)
        return found if self._composed is None else self._composed[0]

    def stricter(self, rows: Sequence[Observation]) -> Surrogate | None:
        """A further surrogate that must certify as well: the alternatives that raised an alarm, and earned priors where
        the hyperparameters of the first are fitted; None without one.
        """
        self.surrogate(rows)
        return self._stricter

    def residuals(self, rows: Sequence[Observation]) -> dict[str, Float[Tensor, " n"]]:
        """Standardized one-step residuals of every function's measurements, under the priors that certify now.

        Falls and clipped values are left out; so are functions with sampled hyperparameters, which have no one factor.
        """
        found = {}
        certifying = self.surrogate(rows).posteriors
        for i, (model, posterior) in enumerate(zip(self.declared, certifying, strict=True)):
            clean, noise = exact(i, rows), self._noises[i]
            posterior = _likeliest(posterior if noise is None else self._before_outliers(i, rows))
            if not len(clean) or isinstance(posterior, MixturePosterior):
                continue
            if noise is None:
                own = posterior.whitened_residual()[posterior.count - len(clean) :]
            else:
                measured = self._densities.values(i, rows, posterior.count)
                predicted = noise.predictions(posterior, measured, clean)
                own = noise.standardized(predicted, posterior.noise_variance)
            found[model.name] = own[clean]
        return found

    def _before_outliers(self, function: int, rows: Sequence[Observation]) -> Posterior:
        """One function's posterior under the prior that certifies it, with the declared noise of every measurement."""
        keys, assumed = keys_of(rows), DECLARED
        if self.rule is not None and function > 0:
            assumed = self._trust[function - 1].certified_by
        if assumed == DECLARED:
            assert self._declared is not None
            p = self._declared.of(keys, rows).posteriors[function]
        else:
            p = self._posterior(assumed, function, keys, rows)
        return self._weighted(p, assumed, function, keys, rows)

    def outliers(self, rows: Sequence[Observation]) -> dict[int, dict[str, float]]:
        """By trial and function, with how many times its declared noise a measurement counts where it is taken as an
        outlier: by at least `OUTLIER`, and by the prior that certifies.
        """
        found: dict[int, dict[str, float]] = {}
        if not any(self._noises):
            return found
        for i, (model, p) in enumerate(zip(self.declared, self.surrogate(rows).posteriors, strict=True)):
            p = _likeliest(p)
            if self._noises[i] is None or p.added_noise is None:
                continue
            own = [row for row in rows if row.values[i] is not None]
            for row, added in zip(own, p.added_noise[p.count - len(own) :].tolist(), strict=True):
                more = added - (row.noise[i] if row.noise else 0.0)
                times = math.sqrt(1.0 + max(more, 0.0) / p.noise_variance)
                if times >= OUTLIER:
                    found.setdefault(row.trial, {})[model.name] = times
        return found

    def _earned(self, found: Surrogate, keys: Keys, rows: Sequence[Observation]) -> Surrogate:
        """A surrogate whose constraints have the priors that certify now."""
        assert self.rule is not None
        if self._composed is not None and self._composed[0] is found:
            return self._composed[1]
        self._trust = tuple(
            replace(trust, disbelief=self._disbelief(self.rule, i, keys, rows))
            for i, trust in enumerate(self._judged(self.rule, keys, rows), start=1)
        )
        result, self._stricter = composed(
            found,
            dict(enumerate(self._trust, start=1)),
            lambda variant, i: self._with_noise(
                self._weighted(self._posterior(variant, i, keys, rows), variant, i, keys, rows), i, rows
            ),
            fitted=self.spec.hyperparameters != "fixed",
        )
        self._composed = (found, result)
        return result

    def _disbelief(
        self, rule: TrustRule, function: int, keys: Keys, rows: Sequence[Observation]
    ) -> tuple[float, ...]:
        """By how much less than measured a constraint's observations count."""
        cautious = self._posterior(rule.ladder[0], function, keys, rows)
        if isinstance(cautious, MixturePosterior):
            cautious = cautious.components[0]  # the robot alone, without its simulation, expects least
        values, noise = cautious.weights.new_tensor(observed(function, rows)), self._noises[function]
        if noise is not None:
            return noise.disbelief(cautious, values, exact(function, rows))
        return disbelief(cautious, values)

    def _judged(self, rule: TrustRule, keys: Keys, rows: Sequence[Observation]) -> tuple[FunctionTrust, ...]:
        """What the first observations say of every constraint's prior."""
        keys, rows = keys[:EVIDENCE_ROWS], rows[:EVIDENCE_ROWS]
        if self._weighed[:2] == (self._fit, keys):
            return self._weighed[2]
        predictive, counted = [], []
        for i in self._compared:
            densities = {}
            for v in rule.variants:
                posterior = partial(self._posterior, v, i, keys, rows)
                densities[v] = self._densities.of(self._fit, v, i, keys, rows, posterior)
            predictive.append(densities)
            counted.append(weighed(i, rows))
        found = judged(rule, predictive, counted)[-len(self.declared) + 1 :]
        self._weighed = (self._fit, keys, found)
        return found

    def _posterior(
        self, variant: PriorVariant, function: int, keys: Keys, rows: Sequence[Observation]
    ) -> Posterior:
        """One function's posterior under another prior than the declared one."""
        if variant not in self._variants:
            # A simulation does not drift with the robot's trials: what drifts is judged without it. So is, where its
            # correlation is earned, every prior that only speaks against others.
            believed = self._fit is not None and self._fit[1] and not variant.drifts
            if self.prior.earns_correlation:
                believed = believed and self.rule is not None and variant in self.rule.ladder
            prior = self.prior.base(self.prior.variants_of(variant, believed), believed)
            if variant.drifts:
                prior = Surrogate([variant.drifting(p) for p in prior.posteriors])
            self._variants[variant] = GrowingSurrogate(prior, 0, self._compared, variant)
        found = self._variants[variant].of(keys, rows).posteriors[self._compared.index(function)]
        if self.spec.time is not None:
            return at_time(found, self.now)
        return at_time(found, keys[-1][0] + 1 if keys else 0)


def _likeliest(posterior: Posterior) -> Posterior:
    """That of the likeliest correlation with the simulation, where several are left."""
    if isinstance(posterior, CorrelatedPosterior):
        return posterior.components[GRID.index(posterior.found.likeliest)]
    return posterior
