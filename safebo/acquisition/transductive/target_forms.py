"""ITL and VTL over any number of targets: what a score takes from them, as a function of the point alone.

With features `k(x, a) ~ phi(x) . phi(a)` of the prior covariance (`safebo.models.low_rank`) sums over targets
are quadratic forms, whose matrix is built once from all targets, or from centroids of cells of them with their counts
(`safebo.models.low_rank`). Sources of the rules: `safebo.acquisition.transductive`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from safebo.acquisition.transductive import JITTER
from safebo.models.kernels import Kernel
from safebo.models.low_rank import TOLERANCE, KernelFeatures
from safebo.models.posterior import Posterior

LOW_RANK_RULES = ("itl", "vtl")

VTL_MISSING = 1e-4
"""Features are enough for VTL once they miss less than this fraction of the noise variance."""

_FEATURES_AT_ONCE = 2**22

NEIGHBOURS = 32
"""Targets that are looked at around a point, of all and of the sparse choice each."""

_POINTS_AT_ONCE = 512


def jitter_of(posterior: Posterior, targets: Float[Tensor, "k D"]) -> float:
    """What is added to the targets' variances where ITL takes them as known: `JITTER` of their largest prior
    variance, because the rounding of a posterior covariance is that of the prior it is subtracted from.
    """
    return JITTER * float(posterior.kernel.diagonal(targets).max())


class TargetForm(Protocol):
    """What a score takes from the targets at each point, beside the point's own variance."""

    def __call__(self, X: Float[Tensor, "s D"]) -> Float[Tensor, " s"]:
        """`sum_a k(x, a)^2` for VTL; for ITL, the variance that knowing all targets explains."""


@dataclass(frozen=True)
class QuadraticForm:
    """`|M^T z(x)|^2` of covariances with some centers, `z = k(x, centers)`.

    Args:
        kernel: the prior covariance.
        centers: `c x D`.
        matrix: M, `c x q`.
    """

    kernel: Kernel
    centers: Float[Tensor, "c D"]
    matrix: Float[Tensor, "c q"]

    def __call__(self, X: Float[Tensor, "s D"]) -> Float[Tensor, " s"]:
        """The form, some points at a time."""
        parts = [
            (self.kernel(x, self.centers) @ self.matrix).square().sum(-1)
            for x in X.split(max(256, _FEATURES_AT_ONCE // len(self.centers)))
        ]
        return torch.cat(parts) if parts else X.new_zeros(0)


class NearestTargets:
    """The posterior variance that knowing targets around a point takes away: the nearest ones, and the nearest of a
    sparse choice, the targets next to given points.

    Of a rough kernel no few features represent what near targets say. A rough process screens: given its neighbours,
    the rest adds little. Conditioning on some of the targets never explains more than all of them do.

    Args:
        posterior: of the function.
        targets: `k x D`.
        spread: points all over the region, `p x D`.
        widths: `D`, in whose units distances are measured; infinite along columns that do not count.
        jitter: added to the targets' variances.
    """

    def __init__(
        self,
        posterior: Posterior,
        targets: Float[Tensor, "k D"],
        spread: Float[Tensor, "p D"],
        widths: Float[Tensor, " D"],
        jitter: float,
    ) -> None:
        self.posterior, self.jitter, self.scale = posterior, jitter, 1.0 / widths
        dense = cKDTree((targets * self.scale).cpu().numpy())
        chosen = (
            torch.from_numpy(dense.query((spread * self.scale).cpu().numpy())[1]).unique().to(targets.device)
        )
        sparse = cKDTree((targets[chosen] * self.scale).cpu().numpy())
        self._sets = ((targets, dense), (targets[chosen], sparse))

    def __call__(self, X: Float[Tensor, "s D"]) -> Float[Tensor, " s"]:
        """At points."""
        parts = [self._explained(x) for x in X.split(_POINTS_AT_ONCE)]
        return torch.cat(parts) if parts else X.new_zeros(0)

    def _explained(self, X: Float[Tensor, "s D"]) -> Float[Tensor, " s"]:
        near = []
        for points, tree in self._sets:
            count = min(NEIGHBOURS, len(points))
            rows = tree.query((X * self.scale).cpu().numpy(), k=count)[1].reshape(len(X), count)
            index = torch.from_numpy(rows).to(X.device)
            near.append(points[index])
        around = torch.cat([X.unsqueeze(1), *near], 1)
        covariance = self.posterior.joint(around)[1]
        k = around.shape[1] - 1
        known = covariance[:, 1:, 1:] + self.jitter * torch.eye(k, dtype=X.dtype, device=X.device)
        factor, failed = torch.linalg.cholesky_ex(known)
        white = torch.linalg.solve_triangular(factor, covariance[:, 1:, :1], upper=False)
        # Targets too close for the jitter say nothing here: the estimate is a lower bound.
        return torch.where(failed == 0, white.square().sum((-2, -1)).nan_to_num(0.0), 0.0)


def _gram(
    kernel: Kernel, centers: Tensor, matrix: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors of the weighted sum over targets of `y y^T`, `y = M^T k(centers, a)`."""
    gram = matrix.new_zeros(matrix.shape[1], matrix.shape[1])
    rows = max(256, _FEATURES_AT_ONCE // len(centers))
    for part, weight in zip(targets.split(rows), weights.split(rows), strict=True):
        y = (kernel(part, centers) @ matrix) * weight.sqrt().unsqueeze(-1)
        gram.addmm_(y.T, y)
    values, vectors = torch.linalg.eigh(gram)
    return values.clamp_min(0.0), vectors


def itl_form(
    posterior: Posterior,
    features: KernelFeatures,
    targets: Float[Tensor, "k D"],
    weights: Float[Tensor, " k"],
) -> QuadraticForm:
    """ITL's explained variance, where the features miss less than the jitter blurs; see `low_rank_form`."""
    matrix = features.inverse_factor.T @ features.posterior_root(posterior)
    values, vectors = _gram(posterior.kernel, features.pivots, matrix, targets, weights)
    values = values / (values + jitter_of(posterior, targets))
    return QuadraticForm(posterior.kernel, features.pivots, matrix @ (vectors * values.sqrt()))


def vtl_form(
    posterior: Posterior,
    features: KernelFeatures,
    targets: Float[Tensor, "k D"],
    weights: Float[Tensor, " k"],
) -> QuadraticForm:
    """VTL's sum of squares; see `low_rank_form`.

    Only the prior covariance is of low rank, `k_n(x, a) ~ phi(x) . phi(a) - w(x) . w(a)` with `w = L_n^-1 k(X, .)` as
    it is: what the features miss is not magnified by precise observations.
    """
    enough = features.truncated(VTL_MISSING * posterior.noise_variance)
    matrix = torch.block_diag(enough.inverse_factor.T, posterior.inverse_factor.T)
    inputs = posterior.inputs
    pivots = torch.nn.functional.pad(enough.pivots, (0, inputs.shape[1] - enough.pivots.shape[1]))
    centers = torch.cat([pivots, inputs])
    values, vectors = _gram(posterior.kernel, centers, matrix, targets, weights)
    kept = values > 1e-15 * values.max()
    sign = matrix.new_ones(len(centers), 1)
    sign[enough.rank :] = -1.0
    return QuadraticForm(posterior.kernel, centers, matrix @ (sign * vectors[:, kept] * values[kept].sqrt()))


def low_rank_form(
    rule: str,
    posterior: Posterior,
    features: KernelFeatures,
    targets: Float[Tensor, "a D"],
    grouped: tuple[Float[Tensor, "k D"], Float[Tensor, " k"]] | None = None,
) -> TargetForm:
    """A function's ITL or VTL form.

    Where the features of a kernel stop short of their tolerance (rough kernels, short lengthscales), ITL is
    conditioned on the nearest targets instead, which explain a little less than all do.

    Args:
        rule: one of `LOW_RANK_RULES`.
        posterior: of the function.
        features: of its kernel.
        targets: points to learn about, `a x D`.
        grouped: centroids of cells of them and how many targets each stands for; the targets themselves if None.
    """
    where, weights = (targets, targets.new_ones(len(targets))) if grouped is None else grouped
    if rule == "vtl":
        return vtl_form(posterior, features, where, weights)
    if features.relative_missing > TOLERANCE:
        jitter = jitter_of(posterior, targets)
        return NearestTargets(posterior, targets, features.pivots, features.widths, jitter)
    return itl_form(posterior, features, where, weights)


def score_of_form(
    rule: str,
    form: Float[Tensor, " s"],
    variance: Float[Tensor, " s"],
    known: Bool[Tensor, " s"],
    noise: float,
    jitter: float,
) -> Float[Tensor, " s"]:
    """The score of points. One that is a target itself is known, for ITL, once the targets are, up to their jitter.

    Args:
        rule: `itl` or `vtl`.
        form: see `TargetForm`.
        variance: posterior variances.
        known: which points are targets themselves.
        noise: variance of an observation's noise.
        jitter: see `jitter_of`.
    """
    if rule == "vtl":
        return form / (variance + noise)
    explained = torch.where(known, variance * (variance / (variance + jitter)), form.minimum(variance))
    return 0.5 * torch.log1p(explained / (variance - explained + noise))
