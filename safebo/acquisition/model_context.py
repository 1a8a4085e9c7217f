"""Safe acquisitions for plain BoTorch users: an acquisition context from any model with a Gaussian joint posterior.

    ctx = context_of_model(model, beta=2.0, constraints=(1,), pool=candidates)
    acquisition = acquisition_class("safeopt")(ctx)
    starts = acquisition.starts(8)  # the best of the pool
    x, value = optimize_acqf(acquisition, bounds, q=1, num_restarts=8, batch_initial_conditions=starts)

Every acquisition by name works on it: SafeOpt, StageOpt, GoOSE, Safe-UCB, ITL and its kin, ISE, MES, EI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext
from safebo.acquisition.joint import joint_moments, marginal_moments, model_noise
from safebo.errors import InputError
from safebo.models.posterior import FixedPoints, Posterior
from safebo.models.surrogate import Surrogate
from safebo.safety.certificates import CertificateRule
from safebo.safety.sets import ExpanderRule
from safebo.study import TransductiveSpec


@dataclass(frozen=True)
class DeclaredVariance:
    """What is known of a foreign model's prior: its variance, by declaration."""

    variance: float

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariances with no points at all."""
        if b.shape[-2]:
            raise InputError("the prior covariance of a BoTorch model is not known to safebo")
        return a.new_zeros(*a.shape[:-1], 0)

    def diagonal(self, a: Tensor) -> Tensor:
        """The variance everywhere."""
        return a.new_full(a.shape[:-1], self.variance)

    def to(self, device: torch.device | str) -> DeclaredVariance:
        """The same on every device."""
        return self


class ModelPosterior(Posterior):
    """One output of a BoTorch model, behind the calls of our own posteriors.

    Args:
        model: with one output.
        noise_variance: of an observation.
        prior_std: the scale on which this output's widths are compared.
        dimension: number of inputs.
        pending: points being observed now, `p x D`.
    """

    def __init__(
        self,
        model: Any,
        noise_variance: float,
        prior_std: float,
        dimension: int,
        pending: Tensor | None = None,
    ) -> None:
        for name, value in {
            "model": model,
            "kernel": DeclaredVariance(prior_std**2),
            "prior_mean": 0.0,
            "noise_variance": noise_variance,
            "inputs": torch.zeros(0, dimension, dtype=torch.float64),
            "pending": pending,
        }.items():
            object.__setattr__(self, name, value)

    model: Any
    pending: Tensor | None

    def __repr__(self) -> str:
        return f"ModelPosterior({type(self.model).__name__})"

    def __getattr__(self, name: str) -> Any:
        if name in ("inverse_factor", "weights"):
            raise InputError(
                f"a BoTorch model's posterior has no {name}: intersected intervals, real beta and exact sets on grids "
                "need safebo's own posteriors (GridTuner, Tuner)"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def extended(self, x: Float[Tensor, " D"], y: float, added: float = 0.0) -> Posterior:
        """Refused: a model learns outside."""
        raise InputError(
            "a BoTorch model learns by its own means: fit or condition it, then make a new context"
        )

    def fantasized(self, x: Float[Tensor, " D"]) -> ModelPosterior:
        """After a trial at x whose value is the present mean: the same means, smaller variances."""
        row = x.reshape(1, -1)
        pending = row if self.pending is None else torch.cat([self.pending, row])
        return ModelPosterior(
            self.model, self.noise_variance, self.kernel.diagonal(row).sqrt().item(), len(x), pending
        )

    def mean_variance(
        self, X: Float[Tensor, "m D"], covariance: Float[Tensor, "m n"] | None = None
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Marginal means and variances at X."""
        mean, variance = marginal_moments(self.model, X, self.noise_variance, self.pending)
        return mean[0], variance[0].clamp_min(torch.finfo(variance.dtype).tiny)

    def mean(self, X: Float[Tensor, "m D"]) -> Float[Tensor, " m"]:
        """Means at X."""
        return self.mean_variance(X)[0]

    def fixed(self, points: Float[Tensor, "k D"]) -> FixedPoints:
        """Points to be compared with by `against`."""
        return FixedPoints(points, *self.mean_variance(points))

    def against(
        self, X: Float[Tensor, "m D"], fixed: FixedPoints
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"], Float[Tensor, "m k"]]:
        """Means and variances at X, and posterior covariances with fixed points."""
        moments = joint_moments(self.model, X, fixed.points, self.noise_variance, self.pending)
        return moments.mean[0], moments.variance[0], moments.cross[0]

    def joint(self, X: Float[Tensor, "*b q D"]) -> tuple[Float[Tensor, "*b q"], Float[Tensor, "*b q q"]]:
        """Joint mean and covariance of every batch of q points."""
        if X.dim() == 2:
            moments = joint_moments(self.model, X, X, self.noise_variance, self.pending)
            return moments.target_mean[0], moments.target_covariance[0]
        if self.pending is not None:
            raise InputError(
                "batches of joint posteriors with pending points are not computed for BoTorch models"
            )
        posterior = self.model.posterior(X)
        return posterior.mean.squeeze(-1), posterior.distribution.covariance_matrix

    def cross_covariance(self, a: Float[Tensor, "m D"], b: Float[Tensor, "p D"]) -> Float[Tensor, "m p"]:
        """Covariance between the rows of `a` and of `b`."""
        return joint_moments(self.model, a, b, self.noise_variance, self.pending).cross[0]


class ContextOptions(TypedDict, total=False):
    """Fields of `AcquisitionContext` that a context of a BoTorch model takes as they are."""

    dimension: int
    certificate: CertificateRule
    lipschitz: Float[Tensor, " c"]
    rule: ExpanderRule
    epsilon: float
    transductive: TransductiveSpec
    seed: int


def context_of_model(
    model: Any,
    beta: float | Sequence[float],
    constraints: Sequence[int],
    thresholds: Sequence[float] | None = None,
    pool: Float[Tensor, "p d"] | None = None,
    scales: Sequence[float] | None = None,
    noise_variances: Sequence[float] | None = None,
    pending: Float[Tensor, "v d"] | None = None,
    **options: Unpack[ContextOptions],
) -> AcquisitionContext:
    """What an acquisition may look at, from a BoTorch model; output 0 is the objective, to be maximised.

    Args:
        model: any unbatched BoTorch or GPyTorch model with a Gaussian joint posterior, m outputs.
        beta: multiplier of the standard deviation, one or one per output.
        constraints: outputs that are margins, `c` of them; the objective may be one.
        thresholds: where they are 0; 0 when None.
        pool: points that stand for the box where a rule needs a finite set (all but Safe-UCB and random ones do).
        scales: on which widths of the outputs are compared, `m`; 1 when None.
        noise_variances: of an observation, `m`; the model's own likelihood when None.
        pending: points being observed now; they narrow intervals in the rule and certify nothing.
        options: `dimension`, which is the pool's unless there is none, `certificate`, `lipschitz`, `rule`, `epsilon`,
            `transductive` and `seed`, as `AcquisitionContext` has them.

    Raises:
        InputError: arguments that do not fit each other.
    """
    outputs = int(model.num_outputs)
    if pool is None and "dimension" not in options:
        raise InputError("give a pool, or the number of inputs as `dimension`")
    d = options["dimension"] if pool is None else int(pool.shape[-1])
    chosen = tuple(int(i) for i in constraints)
    if not all(0 <= i < outputs for i in chosen) or not chosen:
        raise InputError(
            f"constraints are {list(chosen)}: allowed are outputs 0 to {outputs - 1}, at least one"
        )
    limits = [0.0] * len(chosen) if thresholds is None else list(thresholds)
    if len(limits) != len(chosen):
        raise InputError(f"{len(limits)} thresholds for {len(chosen)} constraints")
    probe = torch.zeros(1, d, dtype=torch.float64) if pool is None else pool[:1].double()
    noise = model_noise(model, probe).tolist() if noise_variances is None else list(noise_variances)
    scale = [1.0] * outputs if scales is None else list(scales)
    betas = [float(beta)] * outputs if isinstance(beta, (int, float)) else [float(b) for b in beta]
    for name, values in (("noise variances", noise), ("scales", scale), ("betas", betas)):
        if len(values) != outputs:
            raise InputError(f"{len(values)} {name} for {outputs} outputs")
    parts = [model.subset_output([i]) if outputs > 1 else model for i in range(outputs)]
    surrogate = Surrogate([ModelPosterior(p, noise[i], scale[i], d) for i, p in enumerate(parts)])
    generator = torch.Generator().manual_seed(options.get("seed", 0))
    given: dict[str, Any] = {**options, "dimension": d}
    if "lipschitz" in given:
        given["lipschitz"] = torch.as_tensor(given["lipschitz"], dtype=torch.float64)
    ctx = AcquisitionContext(
        surrogate=surrogate,
        fantasized=surrogate if pending is None or len(pending) == 0 else surrogate.fantasized(pending),
        context=torch.zeros(0, dtype=torch.float64),
        thresholds=torch.tensor(limits, dtype=torch.float64),
        beta=torch.tensor(betas, dtype=torch.float64),
        constraints=chosen,
        pool=torch.zeros(0, d, dtype=torch.float64) if pool is None else pool.double(),
        draw=torch.rand(d, dtype=torch.float64, generator=generator),
        **given,
    )
    if len(ctx.pool):
        bounds = ctx.pool_bounds
        safe = ctx.certified(bounds)
        if bool(safe.any()):
            ctx = replace(ctx, incumbent=float(bounds.certain.lower[safe, 0].max()))
    return ctx
