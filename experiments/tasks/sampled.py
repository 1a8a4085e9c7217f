"""Functions drawn from a Gaussian-process prior that can be evaluated anywhere and have a known norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from safebo.errors import InputError

FloatArray = NDArray[np.float64]

_SPACING, _MARGIN = 0.6, 1.5
"""Of the nodes, and how far they reach beyond the box, in lengthscales: the covariance errs by under 1e-5."""


@dataclass(frozen=True)
class SampledFunctions:
    """Independent draws from a zero-mean prior with a squared-exponential kernel, in one or two inputs.

    Each is `sum_j w_j k(x, z_j)` over a lattice of nodes z, with weights such that its values at the nodes have
    the prior's distribution exactly. Between nodes the prior leaves next to nothing open.

    Args:
        nodes: of the lattice, one array per input.
        weights: `m x nodes of input 1 (x nodes of input 2)`.
        lengthscale: of the kernel.
        variance: of the prior.
        norms: in the reproducing-kernel Hilbert space of the kernel, `m`.
    """

    nodes: tuple[FloatArray, ...]
    weights: FloatArray
    lengthscale: float
    variance: float
    norms: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values `n x m` of inputs `n x d`."""
        factors = [
            np.exp(-0.5 * ((x[:, i, None] - z) / self.lengthscale) ** 2) for i, z in enumerate(self.nodes)
        ]
        if len(factors) == 1:
            return self.variance * factors[0] @ self.weights.T
        return self.variance * np.einsum("ni,mij,nj->nm", factors[0], self.weights, factors[1], optimize=True)


def sample_functions(
    bounds: FloatArray, lengthscale: float, variance: float, count: int, rng: np.random.Generator
) -> SampledFunctions:
    """That many draws over the box `2 x d`, d one or two.

    Raises:
        InputError: another number of inputs.
    """
    dimension = bounds.shape[1]
    if dimension not in (1, 2):
        raise InputError(f"functions are sampled in one or two inputs, not {dimension}")
    nodes, factors = [], []
    for low, high in bounds.T:
        reach = _MARGIN * lengthscale
        intervals = int(np.ceil((high - low + 2.0 * reach) / (_SPACING * lengthscale)))
        z = np.linspace(low - reach, high + reach, intervals + 1)
        covariance = np.exp(-0.5 * ((z[:, None] - z) / lengthscale) ** 2)
        nodes.append(z)
        factors.append(np.linalg.cholesky(covariance + 1e-10 * np.eye(len(z))))
    white = rng.standard_normal((count, *(len(z) for z in nodes)))
    half = solve_triangular(factors[0], white.reshape(count, len(nodes[0]), -1), lower=True, trans=1)
    if dimension == 2:
        half = np.swapaxes(solve_triangular(factors[1], np.swapaxes(half, 1, 2), lower=True, trans=1), 1, 2)
    norms = np.sqrt((white.reshape(count, -1) ** 2).sum(1))
    return SampledFunctions(
        tuple(nodes), half.reshape(white.shape) / np.sqrt(variance), lengthscale, variance, norms
    )
