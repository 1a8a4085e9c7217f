"""Transductive active learning: observe where it teaches most about given targets.

Rules of Huebotter, Sukhija, Treven, As and Krause, "Transductive Active Learning: Theory and Applications",
NeurIPS 2024. With candidates x, targets A, posterior covariance k and noise variance rho^2(x):

- ITL: `I(f_A; y_x) = 1/2 log((k(x,x) + rho^2) / (k(x,x) - k(x,A) K(A,A)^-1 k(A,x) + rho^2))`, equation 43
- VTL: `tr Var f_A - tr Var[f_A | y_x] = sum_a k(x,a)^2 / (k(x,x) + rho^2)`
- CTL: `sum_a Cor(f_x, f_a)`, equation 41, or the squared correlations `sum_a Cor(y_x, f_a)^2`
- MM-ITL: `sum_a I(f_a; y_x) = -1/2 sum_a log(1 - Cor(y_x, f_a)^2)`, after MacKay 1992
- undirected: `I(f_x; y_x) = 1/2 log(1 + k(x,x) / rho^2)`; uncertainty: `k(x,x)`

With one target and correlations of one sign all four transductive rules rank alike; ITL alone counts what targets
share. With targets the potential maximizers and candidates the certified set, ITL converges to the best
reachable point without a Lipschitz constant (their theorem 5.1); CTL and MM-ITL carry no guarantee. None of
the rules certifies a point. Several outputs: scores are summed over outputs, each a GP of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.acquisition.joint import (
    JointAcquisition,
    JointMoments,
    Noise,
    check_targets,
    joint_moments,
    model_noise,
)
from safebo.errors import InputError, UnknownNameError

JITTER = 1e-10
"""Added to the targets' covariance where it is inverted, as a fraction of its largest diagonal entry."""


def itl(
    variance: Float[Tensor, "*m n"],
    cross: Float[Tensor, "*m n k"],
    target_covariance: Float[Tensor, "*m k k"],
    noise: Float[Tensor, "*m n"],
    jitter: float = JITTER,
) -> Float[Tensor, "*m n"]:
    """Information, in nats, of an observation at each candidate about all targets together; `O(k^3 + n k^2)`.

    Args:
        variance: posterior variances of the candidates.
        cross: posterior covariances of candidates and targets.
        target_covariance: posterior covariance of the targets.
        noise: noise variances at the candidates, above 0 wherever a candidate may be a target.
        jitter: see `JITTER`.
    """
    largest = target_covariance.diagonal(dim1=-2, dim2=-1).amax(-1)
    eye = torch.eye(target_covariance.shape[-1], dtype=variance.dtype, device=variance.device)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest))
    factor, failed = torch.linalg.cholesky_ex(target_covariance + (jitter * scale)[..., None, None] * eye)
    if bool(failed.any()):
        raise InputError(
            f"the covariance of {target_covariance.shape[-1]} targets is not positive definite with a jitter "
            f"of {jitter:g}: use targets farther apart, or a larger jitter"
        )
    # I(f_A; y_x) = 0.5 log((v + n) / (v + n - e)) with e = k_xA Sigma_AA^-1 k_Ax, what the targets would explain.
    white = torch.linalg.solve_triangular(factor, cross.transpose(-1, -2), upper=False)
    explained = torch.minimum(white.square().sum(-2), variance)
    # log1p of what is gained over what remains keeps small informations exact.
    return 0.5 * torch.log1p(_ratio(explained, variance - explained + noise))


def vtl(
    variance: Float[Tensor, "*m n"], cross: Float[Tensor, "*m n k"], noise: Float[Tensor, "*m n"]
) -> Float[Tensor, "*m n"]:
    """How much an observation at each candidate lowers the sum of the targets' variances; `O(n k)`."""
    return _ratio(cross.square().sum(-1), variance + noise)


def correlation(
    variance: Float[Tensor, "*m n"], cross: Float[Tensor, "*m n k"], target_variance: Float[Tensor, "*m k"]
) -> Float[Tensor, "*m n k"]:
    """Correlations of candidates and targets; 0 where nothing is uncertain."""
    deviations = (variance.unsqueeze(-1) * target_variance.clamp_min(0.0).unsqueeze(-2)).clamp_min(0.0)
    positive = deviations > 0
    root = torch.where(positive, deviations, torch.ones_like(deviations)).sqrt()
    return torch.where(positive, cross / root, torch.zeros_like(cross)).clamp(-1.0, 1.0)


def ctl(
    variance: Float[Tensor, "*m n"],
    cross: Float[Tensor, "*m n k"],
    target_variance: Float[Tensor, "*m k"],
    noise: Float[Tensor, "*m n"],
    squared: bool = False,
) -> Float[Tensor, "*m n"]:
    """Sum of correlations with the targets: of `f_x` (equation 41), or squared ones of `y_x`."""
    if not squared:
        return correlation(variance, cross, target_variance).sum(-1)
    return correlation(variance + noise, cross, target_variance).square().sum(-1)


def mm_itl(
    variance: Float[Tensor, "*m n"],
    cross: Float[Tensor, "*m n k"],
    target_variance: Float[Tensor, "*m k"],
    noise: Float[Tensor, "*m n"],
) -> Float[Tensor, "*m n"]:
    """Sum over the targets of the information, in nats, of an observation about that target alone; `O(n k)`.

    A noiseless observation of a target itself would be infinite: it is held at -1/2 log(2^-52), about 18.
    """
    squared = correlation(variance + noise, cross, target_variance).square()
    limit = 1.0 - torch.finfo(squared.dtype).eps
    return -0.5 * torch.log1p(-squared.clamp_max(limit)).sum(-1)


def undirected(variance: Float[Tensor, "*m n"], noise: Float[Tensor, "*m n"]) -> Float[Tensor, "*m n"]:
    """Information, in nats, of an observation about the value at its own point.

    Raises:
        InputError: when an observation has no noise: its information is then infinite everywhere.
    """
    if not bool((noise > 0).all()):
        raise InputError("undirected information needs noise variances above 0; use the rule `uncertainty`")
    return 0.5 * torch.log1p(variance / noise)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, where 0 over 0 is 0 (nothing to learn) and anything else over 0 infinite."""
    empty = (numerator <= 0) & (denominator <= 0)
    return numerator / torch.where(empty, torch.ones_like(denominator), denominator)


Rule = Callable[[JointMoments, float], Tensor]
"""Moments of m outputs and the jitter to scores `m x n`."""


def _target_variance(moments: JointMoments) -> Tensor:
    return moments.target_covariance.diagonal(dim1=-2, dim2=-1)


RULES: dict[str, Rule] = {
    "itl": lambda m, jitter: itl(m.variance, m.cross, m.target_covariance, m.noise, jitter),
    "vtl": lambda m, jitter: vtl(m.variance, m.cross, m.noise),
    "ctl": lambda m, jitter: ctl(m.variance, m.cross, _target_variance(m), m.noise),
    "ctl_squared": lambda m, jitter: ctl(m.variance, m.cross, _target_variance(m), m.noise, squared=True),
    "mm_itl": lambda m, jitter: mm_itl(m.variance, m.cross, _target_variance(m), m.noise),
    "undirected": lambda m, jitter: undirected(m.variance, m.noise),
    "uncertainty": lambda m, jitter: m.variance,
}


def rule_named(name: str) -> Rule:
    """The rule of that name."""
    if name not in RULES:
        raise UnknownNameError("transductive rule", name, sorted(RULES))
    return RULES[name]


class TransductiveAcquisition(JointAcquisition):
    """One of `RULES` for any BoTorch model: `forward(X: b x 1 x d) -> b`, summed over outputs.

    Args:
        model: any unbatched BoTorch or GPyTorch model with a Gaussian joint posterior.
        targets: what to learn about, `k x d`.
        noise: noise variances of an observation; see `safebo.acquisition.joint.Noise`.
        jitter: see `JITTER`; only ITL inverts the targets' covariance.
        X_pending: points being observed now, `p x d`; they shrink variances and invent no value.
        outputs: which outputs count; all when None.
    """

    rule: ClassVar[str]

    def __init__(
        self,
        model: Any,
        targets: Float[Tensor, "k d"],
        noise: Noise = None,
        jitter: float = JITTER,
        X_pending: Tensor | None = None,
        outputs: list[int] | None = None,
    ) -> None:
        super().__init__(model, targets, noise, X_pending)
        self.jitter = jitter
        self.outputs = outputs

    def score(self, moments: JointMoments) -> Float[Tensor, " n"]:
        """The rule's score."""
        chosen = moments if self.outputs is None else moments.only(self.outputs)
        return rule_named(self.rule)(chosen, self.jitter).sum(0)


class ITL(TransductiveAcquisition):
    """Information about all targets together, equation 43; see `itl`. Converges (theorem 5.1)."""

    rule = "itl"


class VTL(TransductiveAcquisition):
    """Reduction of the targets' summed variances; see `vtl`."""

    rule = "vtl"


class CTL(TransductiveAcquisition):
    """Sum of correlations with the targets, equation 41; see `ctl`. Without guarantee."""

    rule = "ctl"


class SquaredCTL(TransductiveAcquisition):
    """Sum of squared correlations of an observation with the targets; see `ctl`. Without guarantee."""

    rule = "ctl_squared"


class MMITL(TransductiveAcquisition):
    """Sum of informations about each target alone; see `mm_itl`. Without guarantee."""

    rule = "mm_itl"


class Undirected(TransductiveAcquisition):
    """Information about the value where one observes; the targets are not looked at; see `undirected`."""

    rule = "undirected"


class Uncertainty(TransductiveAcquisition):
    """Uncertainty sampling: the posterior variance, summed over outputs; the targets are not looked at."""

    rule = "uncertainty"


@dataclass(frozen=True)
class BatchSelection:
    """Points chosen from a pool, in the order of choice.

    Args:
        indices: rows of the pool, `q`.
        scores: what each taught beyond those before it, in the rule's unit, `q`.
    """

    indices: Int[Tensor, " q"]
    scores: Float[Tensor, " q"]


def select_batch(
    model: Any,
    pool: Float[Tensor, "n d"],
    targets: Float[Tensor, "k d"],
    q: int,
    rule: str | Rule = "itl",
    noise: Noise = None,
    jitter: float = JITTER,
    repeat: bool = False,
) -> BatchSelection:
    """Choose q points of a pool greedily, each given that those before it are being observed.

    The scores of the first q steps of ITL add up to the information of the whole batch about the targets.
    Each step is one rank-one update: `O(n (k + q))` beside the model's own cost; no `n x n` matrix is built.
    Ties go to the lowest row.

    Args:
        model: see `TransductiveAcquisition`.
        pool: candidates, `n x d`.
        targets: `k x d`.
        q: how many to choose.
        rule: name in `RULES`, or a function of moments and jitter that gives `m x n`.
        noise: see `safebo.acquisition.joint.Noise`.
        jitter: see `JITTER`.
        repeat: whether a row may be chosen again.

    Raises:
        InputError: when q is below 1 or, without repetition, above the pool's size.
    """
    if q < 1 or (not repeat and q > len(pool)):
        raise InputError(f"q is {q}: allowed are 1 to {len(pool)} points of this pool (more with `repeat`)")
    score_rule = rule_named(rule) if isinstance(rule, str) else rule
    noise = model_noise(model, check_targets(targets)[:1]) if noise is None else noise
    chosen: list[int] = []
    gains: list[float] = []
    with torch.no_grad():
        moments = joint_moments(model, pool, targets, noise)
        white: list[Tensor] = []  # one `m x n` per choice: their products are the explained covariances
        for _ in range(q):
            score = score_rule(moments, jitter).sum(0)
            if not repeat:
                score = score.index_fill(0, torch.tensor(chosen, dtype=torch.long), -torch.inf)
            best = int(score.argmax())
            chosen.append(best)
            gains.append(float(score[best]))
            covariance = joint_moments(model, pool, pool[best : best + 1], noise).cross[..., 0]
            for w in white:
                covariance = covariance - w * w[:, best : best + 1]
            pivot = (moments.variance[:, best] + moments.noise[:, best]).unsqueeze(-1).sqrt()
            pivot = torch.where(pivot > 0, pivot, torch.full_like(pivot, torch.inf))
            row, target_row = covariance / pivot, moments.cross[:, best] / pivot
            white.append(row)
            moments = replace(
                moments,
                variance=(moments.variance - row.square()).clamp_min(0.0),
                cross=moments.cross - row.unsqueeze(-1) * target_row.unsqueeze(-2),
                target_covariance=moments.target_covariance
                - target_row.unsqueeze(-1) * target_row.unsqueeze(-2),
            )
    return BatchSelection(torch.tensor(chosen), torch.tensor(gains, dtype=pool.dtype))
