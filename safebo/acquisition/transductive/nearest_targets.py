"""How much of a point's variance the targets nearest to it explain, exactly.

Of a rough kernel no few features represent what near targets say. A rough process screens: given its neighbours,
the rest adds little. Conditioning on some of the targets never explains more than all of them do.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from safebo.models.posterior import Posterior

NEIGHBOURS = 32
"""Targets that are looked at around a point, of all and of the sparse choice each."""

_POINTS_AT_ONCE = 512


class NearestTargets:
    """The posterior variance that knowing targets around a point takes away: the nearest ones, and the nearest of a
    sparse choice, the targets next to given points.

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
