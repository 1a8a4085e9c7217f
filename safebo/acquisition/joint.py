"""Joint posteriors of candidates and targets from any BoTorch model, and the acquisitions that read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import gpytorch
import torch
from botorch.acquisition import AcquisitionFunction
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from jaxtyping import Float
from torch import Tensor

from safebo.errors import InputError
from safebo.models.botorch_model import SurrogateModel

CHUNK, MAX_CHUNK = 256, 1024
"""Candidates per joint posterior. BoTorch computes their covariances with each other, which nobody needs, and those
of the targets again and again: as many candidates as targets cost least, within these limits."""

SURROGATE_CHUNK = 4096
"""Candidates at a time where the posterior is our own, which computes what is needed and no more."""

Noise = float | Tensor | Callable[[Tensor], Tensor] | None
"""Variances of an observation's noise: one number, one per output (`m`), a function `n x d -> n x m` or
`n x d -> n` where noise depends on the point, or None for the model's own likelihood (taken as constant)."""


@dataclass(frozen=True)
class JointMoments:
    """First and second moments of m outputs at n candidates and k targets, outputs taken as independent.

    Args:
        mean: at the candidates, `m x n`.
        variance: at the candidates, without noise, `m x n`.
        noise: variance of the noise of an observation at the candidates, `m x n`.
        target_mean: `m x k`.
        target_covariance: `m x k x k`.
        cross: covariances between candidates and targets, `m x n x k`.
    """

    mean: Float[Tensor, "m n"]
    variance: Float[Tensor, "m n"]
    noise: Float[Tensor, "m n"]
    target_mean: Float[Tensor, "m k"]
    target_covariance: Float[Tensor, "m k k"]
    cross: Float[Tensor, "m n k"]

    def only(self, outputs: list[int]) -> JointMoments:
        """The moments of those outputs."""
        return JointMoments(*(getattr(self, f.name)[outputs] for f in fields(self)))


def output_moments(
    model: Any, points: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "m n"], Float[Tensor, "m n n"]]:
    """Joint mean and covariance of every output over the points; covariances between outputs are left out.

    Raises:
        InputError: when the model has no single Gaussian posterior.
    """
    if isinstance(model, SurrogateModel):
        return model.moments(points)
    # BoTorch turns to Lanczos approximations past 800 observations; these scores are meant to be exact.
    with gpytorch.settings.max_cholesky_size(2**31 - 1):
        posterior = model.posterior(points)
        normal = getattr(posterior, "distribution", None)
        if not isinstance(normal, MultivariateNormal) or normal.batch_shape != torch.Size([]):
            raise InputError(
                f"{type(model).__name__} has no joint Gaussian posterior of one batch (it gives "
                f"{type(posterior).__name__}); information is computed for unbatched Gaussian-process models "
                "with linear outcome transforms"
            )
        mean, covariance = normal.mean, normal.covariance_matrix
    if not isinstance(normal, MultitaskMultivariateNormal):
        return mean.unsqueeze(0), covariance.unsqueeze(0)
    n, m = mean.shape
    # Rows are (point, output) where interleaved, else (output, point): of pairs of outputs only equal ones are kept.
    blocks = (
        covariance.reshape(n, m, n, m).diagonal(dim1=1, dim2=3)
        if normal._interleaved
        else covariance.reshape(m, n, m, n).diagonal(dim1=0, dim2=2)
    )
    return mean.T, blocks.permute(2, 0, 1)


def sampling_factor(covariance: Float[Tensor, "*m k k"], jitter: float) -> Float[Tensor, "*m k k"]:
    """Lower Cholesky factors of covariances from which samples are drawn.

    Args:
        covariance: posterior covariances.
        jitter: added to their diagonals, relative to the largest entry; ten times more until it is enough, because
            the rounding of a posterior covariance is that of the prior it was subtracted from.

    Raises:
        InputError: when no jitter is enough: the covariance is not finite.
    """
    # (Entries, since round-off may leave no diagonal entry above 0; of a covariance the largest one is diagonal.)
    largest = covariance.abs().amax((-2, -1)).clamp_min(1e-300)
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    for power in range(24):
        added = (jitter * 10.0**power * largest)[..., None, None] * eye
        factor, failed = torch.linalg.cholesky_ex(covariance + added)
        if not bool(failed.any()):
            return factor
    raise InputError(
        f"the covariance of {covariance.shape[-1]} points has no Cholesky factor: it is not finite"
    )


def model_noise(model: Any, point: Float[Tensor, "1 d"]) -> Float[Tensor, " m"]:
    """Noise variance of the model's likelihood, per output, on the scale of its posterior."""
    with torch.no_grad():
        noisy = model.posterior(point, observation_noise=True).variance
        return (noisy - model.posterior(point).variance).clamp_min(0.0).reshape(-1)


def noise_at(noise: Noise, points: Float[Tensor, "n d"], outputs: int) -> Float[Tensor, "m n"]:
    """Noise variances at the points.

    Raises:
        InputError: when they are negative, not finite, or of another shape.
    """
    raw = noise(points) if callable(noise) else noise
    value = torch.as_tensor(raw, dtype=points.dtype, device=points.device)
    n = len(points)
    if callable(noise):
        value = value.reshape(n, 1) if value.dim() == 1 else value
        expected = f"{n} x {outputs} or {n}"
        good = value.dim() == 2 and value.shape[0] == n and value.shape[1] in (1, outputs)
    else:
        expected = f"one number or {outputs}"
        good = value.dim() == 0 or (value.dim() == 1 and value.shape[0] in (1, outputs))
    if not good:
        raise InputError(f"noise variances have the shape {tuple(value.shape)}: allowed is {expected}")
    if not bool((torch.isfinite(value) & (value >= 0)).all()):
        raise InputError("noise variances must be finite and at least 0")
    return value.expand(n, outputs).T


def joint_moments(
    model: Any,
    X: Float[Tensor, "n d"],
    targets: Float[Tensor, "k d"],
    noise: Noise = None,
    pending: Float[Tensor, "p d"] | None = None,
) -> JointMoments:
    """Moments of candidates and targets, exact and differentiable in X.

    Args:
        model: any unbatched BoTorch or GPyTorch model with a Gaussian joint posterior, m outputs.
        X: candidates, `n x d`.
        targets: `k x d`.
        noise: see `Noise`.
        pending: points being observed now, `p x d`: they shrink (co)variances and leave means alone.
    """
    if noise is None:
        noise = model_noise(model, targets[:1])
    fixed = targets if pending is None or len(pending) == 0 else torch.cat([targets, pending.to(targets)])
    own = isinstance(model, SurrogateModel)
    chunk = SURROGATE_CHUNK if own else min(max(CHUNK, len(fixed)), MAX_CHUNK)
    parts = [_chunk_moments(model, part, fixed, len(targets), noise) for part in X.split(chunk)]
    return JointMoments(
        mean=torch.cat([p.mean for p in parts], -1),
        variance=torch.cat([p.variance for p in parts], -1),
        noise=torch.cat([p.noise for p in parts], -1),
        target_mean=parts[0].target_mean,
        target_covariance=parts[0].target_covariance,
        cross=torch.cat([p.cross for p in parts], -2),
    )


def marginal_moments(
    model: Any, X: Float[Tensor, "n d"], noise: Noise = None, pending: Float[Tensor, "p d"] | None = None
) -> tuple[Float[Tensor, "m n"], Float[Tensor, "m n"]]:
    """Means and variances of every output at X, one point per posterior; arguments as `joint_moments`.

    Without pending points any BoTorch model will do; with them it needs a joint posterior.
    """
    if pending is None or len(pending) == 0:
        posterior = model.posterior(X.unsqueeze(-2))
        return posterior.mean.squeeze(-2).T, posterior.variance.squeeze(-2).T
    moments = joint_moments(model, X, pending[:1], noise, pending)
    return moments.mean, moments.variance


def _chunk_moments(model: Any, X: Tensor, fixed: Tensor, k: int, noise: Noise) -> JointMoments:
    """Moments of one chunk; the rows of `fixed` past the first k are pending."""
    mean, variance, cross, fixed_mean, covariance = _blocks(model, X, fixed.to(X))
    if len(fixed) > k:
        noisy = covariance[:, k:, k:] + torch.diag_embed(noise_at(noise, fixed[k:], len(mean)))
        factor, failed = torch.linalg.cholesky_ex(noisy)
        if bool(failed.any()):
            raise InputError(
                f"{len(fixed) - k} pending points cannot be told apart: without noise each may be pending once"
            )
        # Given observations at the pending points Q, with Sigma_QQ + noise = R R^T:
        # Sigma_ab - (R^-1 Sigma_Qa)^T (R^-1 Sigma_Qb).
        white = torch.linalg.solve_triangular(factor, cross[..., k:].transpose(-1, -2), upper=False)
        white_targets = torch.linalg.solve_triangular(factor, covariance[:, k:, :k], upper=False)
        variance = variance - white.square().sum(-2)
        cross = cross[..., :k] - white.transpose(-1, -2) @ white_targets
        covariance = covariance[:, :k, :k] - white_targets.transpose(-1, -2) @ white_targets
    return JointMoments(
        mean=mean,
        variance=variance.clamp_min(0.0),
        noise=noise_at(noise, X, len(mean)),
        target_mean=fixed_mean[:, :k],
        target_covariance=covariance,
        cross=cross,
    )


def _blocks(model: Any, X: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means and variances at X, covariances with the fixed points; means and covariances of the fixed points."""
    if isinstance(model, SurrogateModel):
        return (*model.cross_moments(X, fixed), *model.moments(fixed))
    n = len(X)
    mean, covariance = output_moments(model, torch.cat([X, fixed]))
    variance = covariance.diagonal(dim1=-2, dim2=-1)[:, :n]
    return mean[:, :n], variance, covariance[:, :n, n:], mean[:, n:], covariance[:, n:, n:]


def check_targets(targets: Tensor) -> Tensor:
    """The targets, detached; refused when there are none or they are no `k x d` matrix."""
    if targets.dim() != 2 or len(targets) == 0:
        raise InputError(
            f"targets have the shape {tuple(targets.shape)}: allowed is `k x d` with at least one point"
        )
    return targets.detach()


class JointAcquisition(AcquisitionFunction):
    """A score of candidates from their joint posterior with fixed targets; pending points are conditioned on.

    Certifies nothing: restrict the optimizer (or the pool) to a certified set.

    Args:
        model: see `joint_moments`.
        targets: `k x d`.
        noise: see `Noise`.
        X_pending: points being observed now, `p x d`.
    """

    def __init__(
        self, model: Any, targets: Float[Tensor, "k d"], noise: Noise = None, X_pending: Tensor | None = None
    ) -> None:
        super().__init__(model=model)
        self.register_buffer("targets", check_targets(targets))
        self.noise: Noise = model_noise(model, targets[:1]) if noise is None else noise
        self.set_X_pending(X_pending)

    def score(self, moments: JointMoments) -> Float[Tensor, " n"]:
        """The value to maximise."""
        raise NotImplementedError

    def forward(self, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, " b"]:
        """The score at every point.

        Raises:
            InputError: when more than one point is asked for at once.
        """
        points = one_point_each(self, X)
        moments = joint_moments(self.model, points, self.targets, self.noise, self.X_pending)
        return self.score(moments).reshape(X.shape[:-2])


def one_point_each(acquisition: AcquisitionFunction, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, "n d"]:
    """The batch's points; refused when q is not 1."""
    if X.shape[-2] != 1:
        raise InputError(
            f"{type(acquisition).__name__} scores one point at a time, got q = {X.shape[-2]}; choose several "
            "with `sequential=True` in `optimize_acqf` or from a pool with `select_batch`"
        )
    return X.squeeze(-2).reshape(-1, X.shape[-1])
