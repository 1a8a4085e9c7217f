"""A BoTorch `Model` over our own posteriors: BoTorch's acquisitions and optimizers work on a surrogate."""

from __future__ import annotations

from typing import Any

import torch
from botorch.models.gpytorch import GPyTorchModel
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from jaxtyping import Float
from torch import Tensor

from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate

JITTER = 1e-10


class SurrogateModel(GPyTorchModel):
    """The surrogate as BoTorch sees it: outputs are the functions on their warped scale, objective first.

    A `GPyTorchModel` in that its posteriors are GPyTorch's, so that BoTorch caches roots of them; nothing of
    GPyTorch computes them.

    Args:
        surrogate: the posteriors.
        fixed: the context, `c`, appended to every input; None when inputs already carry it.
    """

    def __init__(self, surrogate: Surrogate, fixed: Tensor | None = None) -> None:
        super().__init__()
        self.surrogate = surrogate
        self.fixed = fixed

    @property
    def num_outputs(self) -> int:
        """Number of functions."""
        return self.surrogate.functions

    @property
    def batch_shape(self) -> torch.Size:
        """Surrogates are not batched."""
        return torch.Size([])

    def moments(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Joint mean (`m x n`) and covariance (`m x n x n`) of every function over the points `n x d`."""
        X = self._with_context(X)
        means, covariances = zip(*[p.joint(X) for p in self.surrogate.posteriors], strict=True)
        return torch.stack(means), torch.stack(covariances)

    def cross_moments(self, X: Tensor, Z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means and variances at X (`m x n` each) and covariances of X with Z (`m x n x k`) of every function.

        Covariances among the rows of X, which `posterior` would have to give as well, are not computed.
        """
        X, Z = self._with_context(X), self._with_context(Z)
        marginals = [p.mean_variance(X) for p in self.surrogate.posteriors]
        cross = torch.stack([p.cross_covariance(X, Z) for p in self.surrogate.posteriors])
        return torch.stack([mean for mean, _ in marginals]), torch.stack([v for _, v in marginals]), cross

    def _with_context(self, X: Tensor) -> Tensor:
        if self.fixed is None or not self.fixed.numel():
            return X
        return torch.cat([X, self.fixed.to(X).expand(*X.shape[:-1], -1)], -1)

    def subset_output(self, idcs: list[int]) -> SurrogateModel:
        """The model of those functions alone."""
        return SurrogateModel(Surrogate([self.surrogate.posteriors[i] for i in idcs]), self.fixed)

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any | None = None,
        **kwargs: Any,
    ) -> Any:
        """Joint posterior of every batch of q points, `b x q x d -> b x q x m`, differentiable in X."""
        X = self._with_context(X)
        chosen = range(self.num_outputs) if output_indices is None else output_indices
        normals = []
        for i in chosen:
            p = self.surrogate.posteriors[i]
            mean, covariance = _moments(p, X)
            if observation_noise is True:
                eye = torch.eye(X.shape[-2], dtype=X.dtype, device=X.device)
                covariance = covariance + p.noise_variance * eye
            normals.append(MultivariateNormal(mean, covariance))
        joint = (
            normals[0] if len(normals) == 1 else MultitaskMultivariateNormal.from_independent_mvns(normals)
        )
        posterior = GPyTorchPosterior(joint)
        return posterior if posterior_transform is None else posterior_transform(posterior)


def _moments(
    p: Posterior, X: Float[Tensor, "*b q D"]
) -> tuple[Float[Tensor, "*b q"], Float[Tensor, "*b q q"]]:
    """Joint moments of every batch of q points; a single point's without the jitter that a factor needs."""
    if X.shape[-2] == 1:
        mean, variance = p.mean_variance(X.reshape(-1, X.shape[-1]))
        return mean.reshape(X.shape[:-1]), variance.reshape(*X.shape[:-1], 1)
    mean, covariance = p.joint(X)
    eye = torch.eye(X.shape[-2], dtype=X.dtype, device=X.device)
    return mean, covariance + JITTER * float(p.kernel.diagonal(X.reshape(-1, X.shape[-1])[:1])[0]) * eye
