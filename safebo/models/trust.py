"""Priors that must be earned and can be refuted: what the measurements say for and against a declared model.

A constraint is certified by a cautious prior c, the declared one with shorter lengthscales, until the data speak for
the declared prior p_0. With the one-step predictives of a Gaussian process, `v = std_(t-1)(x_t)^2 + noise^2`,

    log p(t) = log p(t-1) - 1/2 (log(2 pi v) + (y_t - mean_(t-1)(x_t))^2 / v)

    E_t = p_0(t) / p_c(t)                promoted where E_t >= K, back to c where E_t falls below it
    M_t = sum_j w_j p_j(t) / p_0(t)      p_0 is refuted once M_t has reached 1 / refute

If c is the truth, E_t is a nonnegative martingale however the trials were chosen, so that c is ever left with a
probability of at most 1 / K; if p_0 is, M_t is one, and p_0 is ever refuted with a probability of at most `refute`
(Ville). A third ratio, `sum_j w_j p_j(t) / p_c(t)` with alternatives to the cautious prior itself, raises the alarm
when no prior of the ladder fits; long before, the likeliest alternative has to certify as well while it is `SUSPICION`
times likelier than c. Each trial's factor of a ratio that decides for good is cut at 10, which keeps a supermartingale
and does not let one outlier decide; suspicion, which only tightens and may pass, weighs all of it, so that one margin
far below its prediction is enough. Measurements that are no Gaussian observations (falls, clipped values) say nothing
here.

Where the noise is declared to have a Student distribution (`safebo.models.student_noise`) all predictives are those of
such noise: mixtures of normal densities, by quadrature, about the mean and with the variance that earlier rows predict.
Exact is that every one is a density which is fixed before its measurement, by the rows before it alone. Approximated
are that mean and variance: what earlier rows say of f is a Gaussian posterior, with the noises that those rows say and
at least the declared ones. So E_t is a martingale up to that approximation of p_c, and the levels above are measured
(`python -m safebo.experiments.evidence.student`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.models.correlations import mixture_density
from safebo.models.discrimination import Rivals, comparable
from safebo.models.posterior import Posterior
from safebo.models.prior_variants import (
    ALTERNATIVES,
    DECLARED,
    FASTER,
    STEADY,
    TIMED_ALTERNATIVES,
    PriorVariant,
)
from safebo.models.surrogate import Surrogate
from safebo.study import Study
from safebo.types import OR, Evidence

LARGEST_FACTOR = math.log(10.0)
"""Of one trial, as a logarithm."""

EVIDENCE_ROWS = 300
"""Observations that are weighed; what they decided holds for the rest of a run, whose memory further models would
multiply."""


CLEAR = 20.0
"""Likelihood ratio from which a drift is told from what does not change with time."""

REACHES = (0.75, 0.5)
"""Shares of beta with which the most cautious prior must still certify what an earned one does: as soon as it is
earned, and once the evidence is `SETTLED` times what was asked. A promotion by a plateau is often taken back soon."""

SETTLED = 10.0

SUSPICION = 3.0
"""Ratio from which an alternative has to certify as well, while it lasts."""


@dataclass(frozen=True)
class TrustRule:
    """When a declared prior is believed.

    Args:
        ladder: priors from the most cautious to the declared one; each certifies once it has earned it against the
            one before.
        evidence: K, the ratio that promotes by one step.
        refute: probability of withdrawing a right prior's promotion.
        alarm: probability of an alarm where the most cautious prior is right.
        common_scale: constraints and objective are declared to be rough alike, so that the evidence of all promotes
            each; otherwise a function's own alone.
        heeded: after an alarm the alternative must certify as well.
        suspicion: ratio to the most cautious prior from which the likeliest alternative must certify as well, as long
            as it is that likely and before any alarm. It only ever tightens, so that it needs no small probability.
        alternatives: to the declared prior.
    """

    ladder: tuple[PriorVariant, ...]
    evidence: float
    refute: float
    alarm: float
    common_scale: bool = False
    heeded: bool = True
    suspicion: float = SUSPICION
    alternatives: tuple[PriorVariant, ...] = ALTERNATIVES

    @classmethod
    def of(
        cls,
        caution: Sequence[float],
        evidence: float | None,
        refute: float,
        alarm: float,
        functions: int,
        delta: float = 0.05,
        common_scale: bool = False,
        heeded: bool = True,
        timed: bool = False,
    ) -> TrustRule:
        """The rule for so many constraints, which share `refute`, `alarm` and half of delta equally.

        `evidence` None takes `K = 2 m steps / delta`: all promotions together are wrong with probability delta / 2.
        `timed`: the declared prior has a time of drift.
        """
        ladder = (*(PriorVariant(lengthscale=factor) for factor in sorted(caution)), DECLARED)
        shares = 1 if common_scale else max(1, functions)
        k = 2.0 * shares * (len(ladder) - 1) / delta if evidence is None else evidence
        refute, alarm = refute / max(1, functions), alarm / max(1, functions)
        others = TIMED_ALTERNATIVES if timed else ALTERNATIVES
        return cls(ladder, k, refute, alarm, common_scale, heeded, alternatives=others)

    @property
    def watched(self) -> tuple[PriorVariant, ...]:
        """Alternatives to the most cautious prior."""
        first = self.ladder[0]
        return tuple(a._replace(lengthscale=first.lengthscale * a.lengthscale) for a in self.alternatives)

    def reach(self, log_evidence: float) -> PriorVariant:
        """The most cautious prior with a fraction of its standard deviation: what certifies by it has that fraction of
        beta. A Gaussian process whose scale and noise shrink alike keeps its mean.

        Args:
            log_evidence: for the earned prior.
        """
        return self._reaching(REACHES[log_evidence >= math.log(self.evidence) + math.log(SETTLED)])

    def _reaching(self, share: float) -> PriorVariant:
        first = self.ladder[0]
        return first._replace(noise=share * first.noise, scale=share * first.scale)

    def rivals(
        self, trust: Mapping[int, FunctionTrust], posterior: Callable[[PriorVariant, int], Posterior]
    ) -> Rivals:
        """For every function whose declared prior may still be earned, its posteriors under the prior that is next and
        under the one that certifies now. A prior that the evidence speaks against already is not pursued.

        Args:
            trust: by function, what is believed of it.
            posterior: of a function under a prior.
        """
        pairs = []
        for i, found in trust.items():
            level = self.ladder.index(found.certified_by)
            closed = (
                found.refuted or (found.alarm is not None and self.heeded) or level + 1 == len(self.ladder)
            )
            if not closed and found.log_evidence[level] >= -math.log(self.suspicion):
                pairs.append((posterior(self.ladder[level + 1], i), posterior(self.ladder[level], i)))
        return comparable(pairs)

    @property
    def variants(self) -> tuple[PriorVariant, ...]:
        """All priors whose predictions are compared."""
        steady = (STEADY,) if FASTER in self.alternatives else ()
        reaches = map(self._reaching, REACHES)
        return tuple(dict.fromkeys((*self.ladder, *self.alternatives, *self.watched, *steady, *reaches)))


@dataclass(frozen=True)
class FunctionTrust:
    """What is believed of one function.

    Args:
        certified_by: the prior that certifies it.
        log_evidence: of every step of the ladder, log E_t.
        log_refutation: log M_t against the declared prior.
        refuted: whether the declared prior was refuted, now or earlier.
        alarm: an alternative that beats the cautious prior; None without an alarm.
        winner: the likeliest alternative to the declared prior.
        heeded: the alternative of the alarm must certify as well.
        suspected: an alternative that is likelier than the cautious prior, but not by as much as raises an alarm; it
            must certify as well.
        disbelief: by how much every observation counts as less than was measured (`disbelief`); empty where none does.
        log_drift: log of the likelihood ratio of the declared time of drift, and a third of it, to no drift at all;
            None where none is declared.
        rival: an alternative that does not drift and is nearly as likely as the likeliest, which does; None without.
    """

    certified_by: PriorVariant
    log_evidence: tuple[float, ...]
    log_refutation: float
    refuted: bool
    alarm: PriorVariant | None
    winner: PriorVariant
    heeded: bool = True
    suspected: PriorVariant | None = None
    disbelief: tuple[float, ...] = ()
    log_drift: float | None = None
    rival: PriorVariant | None = None
    reach: PriorVariant | None = None

    @property
    def also(self) -> PriorVariant | None:
        """What must certify beside `certified_by`."""
        other = self.alarm or self.suspected if self.heeded else None
        return other or self.reach

    def _named(self, alarm: PriorVariant) -> str:
        return str(alarm) if self.rival is None else f"{alarm}{OR}{self.rival})"

    def record(self) -> Evidence:
        """What a trial keeps of it."""
        return Evidence(
            prior=str(self.certified_by),
            log_evidence=min(self.log_evidence, default=0.0),
            log_refutation=self.log_refutation,
            refuted_by=str(self.winner) if self.refuted else "",
            alarm="" if self.alarm is None else self._named(self.alarm),
            suspected="" if self.suspected is None or self.alarm is not None else str(self.suspected),
            capped=sum(less > 0.0 for less in self.disbelief),
            log_drift=self.log_drift,
        )


def log_predictive(posterior: Posterior, first: int = 0) -> Float[Tensor, " n"]:
    """Log density of every observation from row `first` on, given those before it.

    With `K + noise I = L L^T` and `r = L^-1 (y - mean)`: `-1/2 (log(2 pi L_tt^2) + r_t^2)`.
    """
    pivot = posterior.inverse_factor.diagonal()[first:]
    residual = posterior.whitened_residual()[first:]
    return pivot.log() - 0.5 * (math.log(2.0 * math.pi) + residual.square())


def _over(density: Tensor, counted: Tensor) -> Float[Tensor, " n"]:
    """The predictive of a prior that knows a simulation by several correlations (`r x n`) is their mixture's."""
    return density if density.ndim == 1 else mixture_density(density, counted)


def _ratio(over: Tensor, under: Tensor, counted: Tensor) -> Float[Tensor, "*r n"]:
    """Logarithms of a likelihood ratio after every observation, to each of several correlations if `under` has them."""
    factors = torch.where(counted, _over(over, counted) - under, 0.0).clamp_max(LARGEST_FACTOR)
    return factors.cumsum(-1)


def _least(ratio: Float[Tensor, "*r n"]) -> Float[Tensor, " n"]:
    """A ratio to the likeliest of several correlations: whichever is the truth, no more than the ratio to that one."""
    return ratio if ratio.ndim == 1 else ratio.amin(0)


def _mixture(over: Sequence[Tensor], under: Tensor, counted: Tensor) -> Float[Tensor, " n"]:
    """Logarithms of the equally weighted mixture's ratio after every observation."""
    parts = torch.stack([_ratio(o, under, counted) for o in over])
    return _least(torch.logsumexp(parts, 0) - math.log(len(over)))


def judged(
    rule: TrustRule,
    predictive: Sequence[Mapping[PriorVariant, Float[Tensor, "*r n"]]],
    counted: Sequence[Bool[Tensor, " n"]],
) -> tuple[FunctionTrust, ...]:
    """What is believed of every function.

    Args:
        rule: when.
        predictive: by function, log predictive densities of its observations under every prior of `rule.variants`;
            `r x n` under one that knows a simulation by r correlations.
        counted: by function, which of its observations are Gaussian ones.
    """
    steps = [
        [
            float(_least(_ratio(p[b], p[a], c))[-1]) if len(c) else 0.0
            for a, b in zip(rule.ladder, rule.ladder[1:], strict=False)
        ]
        for p, c in zip(predictive, counted, strict=True)
    ]
    if rule.common_scale:
        together = [sum(column) for column in zip(*steps, strict=True)]
        steps = [together for _ in steps]
    return tuple(_judged(rule, own, p, c) for own, p, c in zip(steps, predictive, counted, strict=True))


def _likelihoods(
    among: Sequence[PriorVariant], predictive: Mapping[PriorVariant, Tensor], counted: Tensor
) -> dict[PriorVariant, float]:
    """Logarithms of the observations' likelihoods, the largest first; no factor is cut: many reach the same cuts."""
    total = {v: float(torch.where(counted, _over(predictive[v], counted), 0.0).sum()) for v in among}
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _judged(
    rule: TrustRule, steps: Sequence[float], predictive: Mapping[PriorVariant, Tensor], counted: Tensor
) -> FunctionTrust:
    if len(counted) == 0:
        return FunctionTrust(rule.ladder[0], tuple(steps), 0.0, False, None, rule.alternatives[0])
    against = _mixture([predictive[a] for a in rule.alternatives], predictive[DECLARED], counted)
    watch = _mixture([predictive[a] for a in rule.watched], predictive[rule.ladder[0]], counted)
    refuted = bool(against.max() >= -math.log(rule.refute))
    raised = bool(watch.max() >= -math.log(rule.alarm))
    drift = None
    if FASTER in rule.alternatives:
        ratio = _mixture([predictive[DECLARED], predictive[FASTER]], predictive[STEADY], counted)
        drift = float(ratio[-1])
    level = 0
    # After an alarm that is heeded the cautious prior certifies again, and the alternative with it.
    trusted = not refuted and not (raised and rule.heeded)
    while trusted and level < len(steps) and steps[level] >= math.log(rule.evidence):
        level += 1
    likelihoods = _likelihoods((*rule.watched, rule.ladder[0]), predictive, counted)
    cautious = likelihoods.pop(rule.ladder[0])
    likeliest = next(iter(likelihoods))
    suspicious = likelihoods[likeliest] - cautious >= math.log(rule.suspicion)
    static = next(v for v in likelihoods if not v.drifts)
    unclear = likelihoods[likeliest] - likelihoods[static] < math.log(CLEAR)
    return FunctionTrust(
        rule.ladder[level],
        tuple(steps),
        float(against[-1]),
        refuted,
        likeliest if raised else None,
        next(iter(_likelihoods(rule.alternatives, predictive, counted))),
        rule.heeded,
        likeliest if suspicious else None,
        log_drift=drift,
        rival=static if unclear and static != likeliest else None,
        reach=rule.reach(steps[level - 1]) if level else None,
    )


def composed(
    declared: Surrogate,
    trust: Mapping[int, FunctionTrust],
    posterior: Callable[[PriorVariant, int], Posterior],
    fitted: bool = False,
) -> tuple[Surrogate, Surrogate | None]:
    """A surrogate whose constraints have the priors that certify now, and a further one that must certify as well.

    The further one has the alternatives that raised an alarm; None without one.

    Args:
        declared: the surrogate of the declared priors.
        trust: by function, what is believed of it.
        posterior: of a function under a prior.
        fitted: the declared surrogate has fitted hyperparameters instead: it stays, and the further one has the priors
            that certify, so that a fit only ever tightens.
    """

    def counted(variant: PriorVariant, i: int, less: tuple[float, ...]) -> Posterior:
        found = posterior(variant, i)
        return found.shifted(-found.inputs.new_tensor(less)) if less else found

    own, also = list(declared.posteriors), list(declared.posteriors)
    for i, found in trust.items():
        if not fitted and (found.certified_by != DECLARED or found.disbelief):
            own[i] = counted(found.certified_by, i, found.disbelief)
        if fitted or found.also is not None:
            also[i] = counted(found.also or found.certified_by, i, found.disbelief)
        else:
            also[i] = own[i]
    needed = fitted or any(found.also is not None for found in trust.values())
    further = Surrogate(also, declared.inflation) if needed else None
    return Surrogate(own, declared.inflation), further


def trust_rule(study: Study, share: float = 1.0) -> TrustRule | None:
    """The rule that a study declares; None where its priors are taken as declared.

    `share` of delta / 2 is left to promotions where a simulation's correlations have the rest.
    """
    spec = study.surrogate
    if spec.trust != "earned" or not study.constraints:
        return None
    delta = share * study.tuner.confidence.delta
    return TrustRule.of(
        spec.caution,
        spec.evidence,
        spec.refute,
        spec.alarm,
        len(study.constraints),
        delta,
        spec.common_scale,
        heeded=spec.on_alarm != "record",
        timed=spec.time is not None,
    )
